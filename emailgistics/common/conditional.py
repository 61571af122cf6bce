"""Conditional requests (RFC 9110 section 13): an answer that the client has already, a change of what it has not seen.

A tag is a digest of the answer's octets. Where something in it changes by itself, as the octets that a mailbox holds,
a digest of all the rest stands before that: whoever asks for news hears of it, and whoever changes something need not
have seen it.
"""

import re
from collections.abc import Callable, Collection
from hashlib import sha256
from typing import Any, TypeVar

from django.http import HttpResponse, HttpResponseNotModified
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.errors import PreconditionFailedError
from emailgistics.common.problems import BadRequestError, exception_handler

DIGITS = 32  # hexadecimal, so 128 bits
JOINT = "."  # between what somebody sets and all of it
ANY = "*"
KEPT = ("ETag", "Cache-Control", "Vary", "Link")  # of a 304 (section 15.4.5)
CHANGED = "It is not as the tag in If-Match says: somebody has changed it. Read it again, then decide."
THERE = "It is there, and If-None-Match says that it should not be: leave that header out, or name the tag in If-Match."

Thing = TypeVar("Thing")

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST = re.compile(rf"[ \t,]*{_TAG.pattern}(?:[ \t]*,[ \t,]*{_TAG.pattern})*[ \t,]*")


class MalformedTagError(Exception):
    """It is neither * nor a list of tags in quotes."""


def tag_of(shown: Any, changes_by_itself: Collection[str] = (), *, octets: bytes | None = None) -> str:
    """Of the JSON of a thing or of a list, as it stands in ETag. octets are those of the answer, where there is one."""
    as_usual = JSONRenderer().render(shown)
    whole = _digest(as_usual if octets is None else octets)
    settings = as_usual
    if changes_by_itself and isinstance(shown, dict):
        kept = {name: value for name, value in shown.items() if name not in changes_by_itself}
        settings = JSONRenderer().render(kept)
    first = _digest(settings)
    return f'"{first}"' if first == whole else f'"{first}{JOINT}{whole}"'


def answer_if_new(request: Request, response: Response, changes_by_itself: Collection[str] = ()) -> None:
    """Gives an answer to GET or HEAD its tag; it becomes a 304 if the client has it already."""
    response.add_post_render_callback(
        lambda answer: _judged(request, answer, tag_of(answer.data, changes_by_itself, octets=answer.content))
    )


def answer_if_new_but_for(request: Request, response: Response, passed_over: Collection[str]) -> None:
    """The same, of what is as good as the same as long as nothing but this differs: a weak tag."""
    kept = {name: value for name, value in response.data.items() if name not in passed_over}
    response.add_post_render_callback(lambda answer: _judged(request, answer, f"W/{tag_of(kept)}"))


def refusing_change(
    request: Request, json_now: Callable[[], Any], changes_by_itself: Collection[str]
) -> Callable[[Thing], None] | None:
    """For a service, which calls it with the row that it is about to change, locked; None if nobody asked for it.

    It raises PreconditionFailedError unless what If-Match and If-None-Match say holds. Raises BadRequestError for an
    If-Match that nobody can read: who sent that means to be careful.
    """
    try:
        wanted = _tags(request, "If-Match")
        unwanted = _tags(request, "If-None-Match")
    except MalformedTagError as error:
        raise BadRequestError(str(error), "malformed_tag") from error
    if wanted is None and unwanted is None:
        return None

    def refuse(_: Thing) -> None:
        tag = tag_of(json_now(), changes_by_itself)
        if wanted is not None and not _is_among(tag, wanted):
            raise PreconditionFailedError(CHANGED)
        if unwanted is not None and _is_known(tag, unwanted):
            raise PreconditionFailedError(THERE)

    return refuse


def _judged(request: Request, answer: HttpResponse, tag: str) -> HttpResponse:
    answer["ETag"] = tag
    if (wanted := _readable_tags(request, "If-Match")) is not None and not _is_among(tag, wanted):
        return _with_headers_of(answer, exception_handler(PreconditionFailedError(CHANGED), {"request": request}))
    if (known := _readable_tags(request, "If-None-Match")) is not None and _is_known(tag, known):
        return _with_headers_of(answer, HttpResponseNotModified())
    return answer


def _with_headers_of(answer: HttpResponse, other: HttpResponse) -> HttpResponse:
    for name in KEPT:
        if name in answer:
            other[name] = answer[name]
    return other


def _is_among(tag: str, wanted: Collection[str]) -> bool:
    """Strong comparison (section 8.8.3.2): a weak tag is never one of them. Of ours the first half counts."""
    return ANY in wanted or _settings_in(tag) in map(_settings_in, wanted)


def _is_known(tag: str, known: Collection[str]) -> bool:
    """Weak comparison."""
    return ANY in known or _weakly(tag) in map(_weakly, known)


def _settings_in(tag: str) -> str:
    return tag.partition(JOINT)[0].rstrip('"')


def _weakly(tag: str) -> str:
    return tag.removeprefix("W/")


def _readable_tags(request: Request, header: str) -> list[str] | None:
    """Of who only reads: what nobody understands is passed over."""
    try:
        return _tags(request, header)
    except MalformedTagError:
        return None


def _tags(request: Request, header: str) -> list[str] | None:
    """None without that header. Raises MalformedTagError."""
    text = request.headers.get(header)
    if text is None:
        return None
    if text.strip(" \t") == ANY:
        return [ANY]
    if not _LIST.fullmatch(text):
        raise MalformedTagError(f'{header} is * or tags as ETag has them, in quotes, such as {header}: "5f2b8c0d".')
    return _TAG.findall(text)


def _digest(octets: bytes) -> str:
    return sha256(octets).hexdigest()[:DIGITS]
