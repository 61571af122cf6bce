"""What an email says, cut to what a page can show; the database is asked for no more of it."""

from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Length, Substr

from emailgistics.common.text import printable
from mailboxes import raw
from mailboxes.admin import email_frame
from mailboxes.admin.email_frame import MAX_HTML
from mailboxes.models import Attachment, Email, EmailContent

MAX_TEXT = 200_000  # characters
MAX_RAW = 64 * 1024  # octets
MAX_FIELDS = 500  # of the header
MAX_FIELD = 2_000  # characters
MAX_ATTACHMENTS = 100  # on the page; a mail may have 500
LARGE = ("text", "html", "html_safe", "headers", "references")


@dataclass(frozen=True, slots=True)
class Cut:
    """A text, or its beginning."""

    text: str
    length: int  # of all that is stored
    is_cut_off: bool = False  # what was stored is not all that came

    @property
    def is_whole(self) -> bool:
        return len(self.text) >= self.length


def content_of(email: Email) -> EmailContent | None:
    """Its content without what is large; None while it waits, and once it was removed."""
    return EmailContent.objects.filter(pk=email.pk).defer(*LARGE).first()


def text_of(email: Email) -> Cut | None:
    rows = EmailContent.objects.filter(pk=email.pk)
    found = rows.values_list(Substr("text", 1, MAX_TEXT), Length("text"), "text_truncated").first()
    return None if found is None else Cut(*found)


def html_of(email: Email) -> tuple[str, Cut] | None:
    """(what was made safe, up to MAX_HTML; its measure with that of the HTML that came), None while it waits."""
    rows = EmailContent.objects.filter(pk=email.pk)
    values = rows.values_list(
        Substr("html_safe", 1, MAX_HTML), Length("html_safe"), Length("html"), "html_truncated"
    ).first()
    if values is None:
        return None
    safe, length, came, is_cut_off = values
    return safe, Cut(safe, length if safe else came, is_cut_off)


def headers_of(email: Email) -> tuple[list[tuple[str, str]], int] | None:
    """(the first fields, how many more there are)."""
    fields = EmailContent.objects.filter(pk=email.pk).values_list("headers", flat=True).first()
    if fields is None:
        return None
    shown = [(str(name), _short(str(value))) for name, value in fields[:MAX_FIELDS]]
    return shown, max(0, len(fields) - MAX_FIELDS)


def raw_of(email: Email) -> Cut:
    """Raises what is in raw.UNREADABLE."""
    octets = raw.raw_of(email)
    is_whole = len(octets) <= MAX_RAW
    text = printable(octets[:MAX_RAW])
    return Cut(text, len(text) if is_whole else max(len(octets), len(text) + 1))


def pictures_of(email: Email, html: str) -> dict[str, email_frame.Picture]:
    """Those that its HTML asks for and that are pictures, within bounds. Raises what is in raw.UNREADABLE."""
    asked = email_frame.content_ids(html)
    if not asked:
        return {}
    rows: Any = Attachment.objects.filter(email=email, detected_type__in=email_frame.PICTURE_TYPES)
    found = [row for row in rows.exclude(content_id="").order_by("position") if row.content_id in asked]
    if not found:
        return {}
    octets = raw.raw_of(email)
    measured = ((row.content_id, row.detected_type, row.size) for row in found)
    return email_frame.wanted(measured, lambda position: raw.decoded(found[position], octets))


def _short(value: str) -> str:
    return value if len(value) <= MAX_FIELD else f"{value[:MAX_FIELD]}…"
