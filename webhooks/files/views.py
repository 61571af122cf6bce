"""What a link opens. Whatever is wrong with one, its answer is the same."""

import math
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from emailgistics.common.clients import client_address, seconds_to_wait, too_often
from emailgistics.common.downloads import OCTET_STREAM, File, download
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import raw
from mailboxes.models import Email
from webhooks.files import links
from webhooks.models import Event

log = get_logger(__name__)

RAW_TYPE = "message/rfc822"
READ_UNIT_BYTES = 8 * 1024 * 1024  # what a read counts for each begun one of, against FILES_PER_MINUTE
# of what a mail declares; nothing here runs anything, and the rest is octets
CONTENT_TYPES = frozenset(
    {
        "application/json", "application/pdf", "application/zip", "image/gif", "image/jpeg", "image/png", "image/webp",
        "text/calendar", "text/csv", "text/plain",
    }
)  # fmt: skip
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "cross-origin",  # receivers may show a picture of it on a page of their own
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@csrf_exempt  # its refusal would be another answer
def open_link(request: HttpRequest, event: str = "", part: str = "", token: str = "") -> HttpResponseBase:
    response = _answer(request, event, part, token)
    for name, value in HEADERS.items():
        response[name] = value
    return response


def _answer(request: HttpRequest, event: str, part: str, token: str) -> HttpResponseBase:
    if wait := seconds_to_wait(request, group="files", per_minute=settings.FILES_PER_MINUTE):
        return too_often(wait)
    event_id = links.verified(event, part, token) if request.method in ("GET", "HEAD") else None
    email = links.opened(event_id, now=timezone.now()) if event_id else None
    file = _file(email, part) if email else None
    if event_id is None or email is None or file is None:
        return _text("There is nothing here.\n", HTTPStatus.NOT_FOUND)
    if request.method == "GET" and (wait := _seconds_to_wait_to_read(request, email)):
        return too_often(wait)
    log.info(
        "files.read",
        event_id=encode_id(Event.ID_PREFIX, event_id),
        email=email.public_id,
        part=part,
        ip=client_address(request),
        range=request.headers.get("Range"),
    )
    try:
        return download(request, file)
    except raw.UNREADABLE as error:
        log.error("files.unreadable", email=email.public_id, error=type(error).__name__)  # noqa: TRY400 - all is said
        return _text("There is nothing here.\n", HTTPStatus.NOT_FOUND)


def _seconds_to_wait_to_read(request: HttpRequest, email: Email) -> int:
    """Counted by size, apart from requests: any part, and any range of it, has all of the raw unpacked and hashed.

    A mail of any size can be read once a minute.
    """
    per_minute = settings.FILES_PER_MINUTE
    cost = min(per_minute, max(1, math.ceil(email.message.size / READ_UNIT_BYTES)))
    return seconds_to_wait(request, group="files.read", per_minute=per_minute, cost=cost)


def _file(email: Email, part: str) -> File | None:
    if part == links.RAW:
        return File(
            octets=lambda: raw.raw_of(email),
            size=email.message.size,
            sha256=email.message.sha256,
            content_type=RAW_TYPE,
            filename=f"{email.public_id}.eml",
        )
    attachment = links.attachment_of(email, part)
    if attachment is None:
        return None
    declared = attachment.content_type.lower()
    return File(
        octets=lambda: raw.decoded(attachment, raw.raw_of(email)),
        size=attachment.size,
        sha256=attachment.sha256,
        content_type=declared if declared in CONTENT_TYPES else OCTET_STREAM,
        filename=attachment.filename,
    )


def _text(text: str, status: HTTPStatus) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
