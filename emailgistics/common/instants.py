"""How pages show an instant: in the time zone of whoever looks, and exactly, in UTC, where the pointer rests on it."""

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

NOTHING = "–"


def instant(at: datetime | None, *, style: str = "DATETIME_FORMAT", text: str = "") -> SafeString | str:
    """`<time>` of an aware instant; style is a format of `django.utils.formats`, or one of its own letters; text is
    what to write in its place.
    """
    if at is None:
        return NOTHING
    return format_html(
        '<time class="whitespace-nowrap" datetime="{}" title="{}">{}</time>',
        timezone.localtime(at).isoformat(timespec="milliseconds"),
        exactly(at),
        text or date_format(timezone.localtime(at), style),
    )


def exactly(at: datetime) -> str:
    """`2030-01-31T17:00:00.123+00:00`: ISO 8601, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
