"""What a mail's calendar says (RFC 5545, RFC 6047): the first event or task in it."""

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mailboxes.mime.budget import MAX_CALENDAR_TEXT_CHARACTERS, MAX_ID_CHARACTERS, Budget, Defect
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.parsed import Calendar

TYPES = frozenset(("text/calendar", "application/ics"))

log = logging.getLogger(__name__)


def read_calendar(text: str, *, method: str, budget: Budget) -> Calendar:
    """Out of an iCalendar text, or as much of it as can be read; method is the one that its Content-Type names."""
    import icalendar  # noqa: PLC0415 - a large library, and few mails invite

    try:
        whole = icalendar.Calendar.from_ical(text)
        event = next(iter([*whole.walk("VEVENT"), *whole.walk("VTODO"), *whole.walk("VFREEBUSY")]), whole)
        begins = _decoded(event, "DTSTART", budget)
        return Calendar(
            method=_word(method or str(whole.get("METHOD", ""))),
            uid=clean_line(str(event.get("UID", "")))[:MAX_ID_CHARACTERS],
            summary=clean_line(str(event.get("SUMMARY", "")))[:MAX_CALENDAR_TEXT_CHARACTERS],
            start=_moment(begins),
            end=_moment(_end(event, begins, budget)),
        )
    except Exception as error:  # noqa: BLE001 - whatever a library makes of hostile text, the mail is more than that
        log.info("mime.calendar_unreadable error=%s", type(error).__name__)
        budget.note(Defect.BAD_CALENDAR)
        return Calendar(method=_word(method), uid="", summary="", start="", end="")


def _end(event: Any, begins: Any, budget: Budget) -> Any:
    for name in ("DTEND", "DUE"):
        if name in event:
            return _decoded(event, name, budget)
    length = _decoded(event, "DURATION", budget)
    return begins + length if isinstance(begins, date) and isinstance(length, timedelta) else None


def _decoded(event: Any, name: str, budget: Budget) -> Any:
    """A date, datetime or timedelta; None for none, or one that cannot be read."""
    value = event.get(name)
    value = value[0] if isinstance(value, list) else value
    try:
        return None if value is None else value.dt
    except Exception:  # noqa: BLE001 - as above: the library keeps what it cannot read, and says so here
        budget.note(Defect.BAD_CALENDAR)
        return None


def _moment(value: Any) -> str:
    """A date; an instant in UTC; or, without a Z, the time on the wall of whoever reads it."""
    match value:
        case datetime(tzinfo=None):
            return value.isoformat(timespec="milliseconds")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
    return ""


def _word(method: str) -> str:
    """REQUEST, REPLY, CANCEL, … (RFC 5546 section 1.4); empty for what is no token."""
    word = method.strip().upper()
    return word if word.replace("-", "").isalnum() and word.isascii() and len(word) <= 40 else ""  # noqa: PLR2004 - any
