"""The whole: octets -> ParsedMail."""

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mailboxes.mime import bodies
from mailboxes.mime.budget import (
    GUESS_OCTETS,
    MAX_DATE_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_REFERENCES,
    MAX_SUBJECT_CHARACTERS,
    Budget,
    Defect,
)
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.fields import Field, read_block, read_parameters
from mailboxes.mime.parsed import Kind, NameAddress, ParsedMail, Status
from mailboxes.mime.people import read_addresses
from mailboxes.mime.structure import Part, scan
from mailboxes.mime.words import decode_words, unfold

VERSION = 1  # of what parse answers; higher when the same octets give another answer

log = logging.getLogger(__name__)

_ONCE = ("from", "sender", "subject", "date", "message-id")  # RFC 5322 section 3.6
_ID = re.compile(r"<[^<>\s]++>")
_WORD = re.compile(r"[a-z0-9_-]*")


def parse(raw: bytes) -> ParsedMail:
    """What the mail says, as much of it as can be read. Never raises for what is in raw."""
    budget = Budget(sample=raw[:GUESS_OCTETS])
    try:
        fields, parts = scan(raw, budget)
        return _mail(raw, _Header(fields, budget), parts, budget)
    except MemoryError:
        raise  # says something about this process, not about the mail
    except Exception:
        log.exception("mime.parse_failed")
    budget = Budget(sample=raw[:GUESS_OCTETS])
    budget.note(Defect.INTERNAL_ERROR)
    try:
        block = read_block(raw, 0, budget, ends_at=lambda _: False)
        return _mail(raw, _Header(block.fields, budget), [], budget)
    except Exception:
        log.exception("mime.header_failed")
        return _mail(raw, _Header((), budget), [], budget)


class _Header:
    """The fields of the mail, unfolded, by name."""

    def __init__(self, fields: tuple[Field, ...], budget: Budget) -> None:
        self._budget = budget
        self.fields = [(name.decode("ascii"), unfold(value, budget)) for name, value in fields]
        self._values: dict[str, list[str]] = {}
        for name, value in self.fields:
            self._values.setdefault(name.lower(), []).append(value)
        if any(len(self.all(name)) > 1 for name in _ONCE):
            budget.note(Defect.DUPLICATE_HEADER)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def subject(self) -> str:
        subject = clean_line(decode_words(self.first("subject"), self._budget))
        if len(subject) > MAX_SUBJECT_CHARACTERS:
            self._budget.note(Defect.SUBJECT_TOO_LONG)
        return subject[:MAX_SUBJECT_CHARACTERS]

    def word(self, name: str) -> str:
        """The value up to its first blank, parameter or comment, lower case."""
        match = _WORD.match(self.first(name).strip().lower())
        return match[0] if match else ""

    def people(self, name: str) -> tuple[NameAddress, ...]:
        # two To fields are against the rules, and both were meant
        return tuple(person for value in self.all(name) for person in read_addresses(value, self._budget))

    def person(self, name: str) -> NameAddress | None:
        """Whom the first field of that name names first."""
        return next(iter(read_addresses(self.first(name), self._budget)), None)

    def ids(self, name: str) -> tuple[str, ...]:
        """Message-IDs, with their angle brackets; a value without any is one as it stands."""
        value = clean_line(self.first(name))
        found = [match[0] for match in _ID.finditer(value)] or [value]
        if any(len(each) > MAX_ID_CHARACTERS for each in found):
            self._budget.note(Defect.BAD_ID)
        return tuple(each for each in found if 0 < len(each) <= MAX_ID_CHARACTERS)

    def date(self) -> datetime | None:
        value = self.first("date")
        if not value:
            return None
        try:
            date = parsedate_to_datetime(value[:MAX_DATE_CHARACTERS])
            aware = date if date.tzinfo else date.replace(tzinfo=UTC)
            aware.astimezone(UTC)  # the database keeps UTC, and year 1 or 9999 may be out of it there
        except (ValueError, OverflowError, TypeError, IndexError):
            self._budget.note(Defect.BAD_DATE)
            return None
        return aware


def _mail(raw: bytes, header: _Header, parts: list[Part], budget: Budget) -> ParsedMail:
    if not header.fields:
        budget.note(Defect.NO_HEADER)
    texts, attached = bodies.split([bodies.read_leaf(part, budget) for part in parts])
    plain = [leaf for leaf in texts if leaf.part.content_type != bodies.HTML]
    marked_up = [leaf for leaf in texts if leaf.part.content_type == bodies.HTML]
    text, text_truncated = bodies.joined(raw, plain, budget, too_long=Defect.TEXT_TOO_LONG)
    html, html_truncated = bodies.joined(raw, marked_up, budget, too_long=Defect.HTML_TOO_LONG)
    references = header.ids("references")
    if len(references) > MAX_REFERENCES:
        budget.note(Defect.TOO_MANY_REFERENCES)
    said = ParsedMail(
        status="ok",
        defects=(),
        headers=tuple((name, clean_line(decode_words(value, budget))) for name, value in header.fields),
        subject=header.subject(),
        date=header.date(),
        message_id=next(iter(header.ids("message-id")), ""),
        in_reply_to=next(iter(header.ids("in-reply-to")), ""),
        references=references[-MAX_REFERENCES:],  # the last ones are the nearest
        from_=header.person("from"),
        sender=header.person("sender"),
        reply_to=header.people("reply-to"),
        to=header.people("to"),
        cc=header.people("cc"),
        text=text,
        text_truncated=text_truncated,
        html=html,
        html_truncated=html_truncated,
        preview=bodies.preview(text, html, is_html_first=texts[:1] == marked_up[:1]),
        attachments=bodies.described(raw, attached, html, budget),
        kind=_kind(header, parts, budget),
    )
    # only now: reading all that found the defects
    status: Status = "partial" if budget.defects else "ok"
    if Defect.INTERNAL_ERROR in budget.defects:
        status = "failed"
    return replace(said, status=status, defects=budget.defects)


def _kind(header: _Header, parts: list[Part], budget: Budget) -> Kind:
    """By what the mail itself says; the envelope (a null sender) may know better."""
    content_type, parameters = read_parameters(header.first("content-type"), budget)
    report = parameters.get("report-type", "").lower() if content_type.lower() == "multipart/report" else ""
    precedence = header.word("precedence")
    if report == "delivery-status" or any(map(_reports_delivery, parts)) or header.all("x-failed-recipients"):
        return "bounce"
    if (
        report == "disposition-notification"
        or header.word("auto-submitted") not in ("", "no")  # RFC 3834 section 5
        or precedence in ("auto_reply", "auto-reply")
        or header.all("x-autoreply")
        or header.all("x-autorespond")
    ):
        return "auto_reply"
    if header.all("list-id") or header.all("list-post") or precedence in ("list", "bulk", "junk"):
        return "list"
    return "normal"


def _reports_delivery(part: Part) -> bool:
    is_in_report = part.container is not None and part.container.content_type == "multipart/report"
    return is_in_report and part.content_type == "message/delivery-status"
