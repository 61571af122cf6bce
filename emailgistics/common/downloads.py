"""A file of somebody else's as an answer: to be saved, never shown as a page of ours; whole, or a range of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from emailgistics.common import problems

OCTET_STREAM = "application/octet-stream"
# RFC 6838 section 4.2; what a mail declares goes into a header of ours
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
UNSATISFIABLE = "The Range that was asked for is beyond the end of the file: Content-Range says how long that is."

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,19})-(\d{0,19})[ \t]*", re.ASCII | re.IGNORECASE)
_NOT_IN_FILENAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff/\\]")


@dataclass(frozen=True, slots=True)
class File:
    """octets is asked only if they are to be sent; size and sha256 are theirs."""

    octets: Callable[[], bytes]
    size: int
    sha256: str
    content_type: str
    filename: str


class UnsatisfiableRangeError(Exception):
    """No octet of the range is in the file."""


def download(request: HttpRequest, file: File) -> HttpResponseBase:
    """GET and HEAD with If-None-Match, Range (one range; several are answered with the whole) and If-Range, by RFC 9110
    sections 13 and 14. A range beyond the end is a problem 416.
    """
    etag = f'"{file.sha256}"'
    response = get_conditional_response(request, etag=etag) or _content(request, file)
    response["ETag"] = etag
    response["Accept-Ranges"] = "bytes"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def asked_range(request: HttpRequest, file: File) -> tuple[int, int] | None:
    """(first, last) of the octets that are asked for, None for all of them. Raises UnsatisfiableRangeError."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    condition = request.headers.get("If-Range")
    if request.method != "GET" or match is None or (condition is not None and condition != f'"{file.sha256}"'):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:  # the last so many
        if int(last) == 0 or file.size == 0:
            raise UnsatisfiableRangeError
        return max(0, file.size - int(last)), file.size - 1
    if last and int(last) < int(first):
        return None  # no range at all, section 14.1.1
    if int(first) >= file.size:
        raise UnsatisfiableRangeError
    return int(first), min(int(last or file.size), file.size - 1)


def safe_filename(name: str) -> str:
    """Without what a file system or a person would misread."""
    return _NOT_IN_FILENAMES.sub("_", name) or "file"


def _content(request: HttpRequest, file: File) -> HttpResponse:
    try:
        asked = asked_range(request, file)
    except UnsatisfiableRangeError:
        answer = problems.problem(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range_not_satisfiable", UNSATISFIABLE)
        answer["Content-Range"] = f"bytes */{file.size}"
        return answer
    if request.method == "HEAD":
        response = HttpResponse(content_type=file.content_type)
        response["Content-Length"] = str(file.size)
    elif asked is None:
        response = HttpResponse(file.octets(), content_type=file.content_type)
    else:
        first, last = asked
        response = HttpResponse(
            file.octets()[first : last + 1], status=HTTPStatus.PARTIAL_CONTENT, content_type=file.content_type
        )
        response["Content-Range"] = f"bytes {first}-{last}/{file.size}"
    disposition = content_disposition_header(as_attachment=True, filename=safe_filename(file.filename))
    response["Content-Disposition"] = disposition or "attachment"
    return response
