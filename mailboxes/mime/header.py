"""The header of a mail: its fields by name, and what each of them means."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mailboxes.mime.budget import MAX_DATE_CHARACTERS, MAX_ID_CHARACTERS, MAX_SUBJECT_CHARACTERS, Budget, Defect
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.fields import Field
from mailboxes.mime.parsed import NameAddress
from mailboxes.mime.people import read_addresses
from mailboxes.mime.words import decode_words, unfold

# RFC 5322 section 3.6, and those of MIME: of two of them one reader takes the first and another the last
ONCE = ["from", "sender", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"]
ONCE += ["mime-version", "content-type", "content-transfer-encoding", "content-disposition"]
_ID = re.compile(r"<[^<>\s]++>")
_WORD = re.compile(r"[a-z0-9_-]*")


class Header:
    """The fields of the mail, unfolded, by name."""

    def __init__(self, fields: tuple[Field, ...], budget: Budget) -> None:
        self._budget = budget
        self.fields = [(name.decode("ascii"), unfold(value, budget)) for name, value in fields]
        self._values: dict[str, list[str]] = {}
        for name, value in self.fields:
            self._values.setdefault(name.lower(), []).append(value)
        if any(len(self.all(name)) > 1 for name in ONCE):
            budget.note(Defect.DUPLICATE_HEADER)

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def has(self, *names: str) -> bool:
        """Whether one of them is there, be it empty."""
        return any(name in self._values for name in names)

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
        return read_ids(self.first(name), self._budget)

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


def read_ids(value: str, budget: Budget) -> tuple[str, ...]:
    """The Message-IDs in an unfolded value."""
    value = clean_line(value)
    found = [match[0] for match in _ID.finditer(value)] or [value]
    if any(len(each) > MAX_ID_CHARACTERS for each in found):
        budget.note(Defect.BAD_ID)
    return tuple(each for each in found if 0 < len(each) <= MAX_ID_CHARACTERS)
