"""What a link opens. Whatever is wrong with one, its answer is the same."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from emailgistics.common.clients import client_address, seconds_to_wait
from emailgistics.common.downloads import OCTET_STREAM, File, download
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import raw
from mailboxes.models import Email, RawMessage
from webhooks.files import links
from webhooks.models import Event

log = get_logger(__name__)

RAW_TYPE = "message/rfc822"
# of what a mail declares; nothing here runs anything, and the rest is octets
CONTENT_TYPES = frozenset(
    {
        "application/json", "application/pdf", "application/zip", "image/gif", "image/jpeg", "image/png", "image/webp",
        "text/calendar", "text/csv", "text/plain",
    }
)  # fmt: skip
HEADERS = {
    "Cache-Control": "no-store",
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
        return _text("Too many requests.\n", HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(wait)})
    event_id = links.verified(event, part, token) if request.method in ("GET", "HEAD") else None
    email = links.opened(event_id, now=timezone.now()) if event_id else None
    file = _file(email, part) if email else None
    if event_id is None or email is None or file is None:
        return _text("There is nothing here.\n", HTTPStatus.NOT_FOUND)
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
    except (raw.CorruptRawError, RawMessage.DoesNotExist) as error:
        log.error("files.unreadable", email=email.public_id, error=type(error).__name__)  # noqa: TRY400 - all is said
        return _text("There is nothing here.\n", HTTPStatus.NOT_FOUND)


def _file(email: Email, part: str) -> File | None:
    if part == links.RAW:
        return File(
            octets=lambda: raw.read_raw(email.message),
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
        octets=lambda: raw.decoded(attachment, raw.read_raw(email.message)),
        size=attachment.size,
        sha256=attachment.sha256,
        content_type=declared if declared in CONTENT_TYPES else OCTET_STREAM,
        filename=attachment.filename,
    )


def _text(text: str, status: HTTPStatus, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8", headers=headers)
