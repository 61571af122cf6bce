"""A mail as the checks see it: header fields octet for octet, and where the body begins.

Fields and the end of the header are found as `mime.fields` finds them: what is verified is what is shown.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from mailboxes.mime.budget import MAX_HEADER_OCTETS

_FIELD = re.compile(rb"([!-9;-~]++)([ \t]*+:(?:[^\n]*+(?:\n[ \t][^\n]*+)*+))(?:\n|\Z)")
_MBOX_LINE = re.compile(rb">?From (?![ \t]*+:)[^\n]*+(?:\n|\Z)")
_END_OF_HEADER = re.compile(rb"(?:\A|\n)\r?\n")


@dataclass(frozen=True, slots=True)
class Field:
    name: bytes  # lower case
    octets: bytes  # all of it, name too, without the line end behind it

    @property
    def value(self) -> bytes:
        return self.octets.partition(b":")[2]


@dataclass(frozen=True)
class Mail:
    """octets have CRLF line ends. is_cut: its header is too large, and not all of it is in fields."""

    octets: bytes
    fields: tuple[Field, ...]
    body: int
    is_cut: bool = False

    @cached_property
    def by_name(self) -> dict[bytes, list[Field]]:
        found: dict[bytes, list[Field]] = {}
        for field in self.fields:
            found.setdefault(field.name, []).append(field)
        return found

    def named(self, name: bytes) -> list[Field]:
        return self.by_name.get(name, [])


def read(raw: bytes) -> Mail:
    octets = _with_crlf(raw)
    mbox = _MBOX_LINE.match(octets)
    start = at = mbox.end() if mbox else 0
    end = _END_OF_HEADER.search(octets, max(at - 1, 0))
    limit = min(end.start() + 1 if end else len(octets), start + MAX_HEADER_OCTETS)
    fields = []
    while at < limit and (found := _FIELD.match(octets, at, limit)):
        fields.append(Field(found[1].lower(), (found[1] + found[2]).removesuffix(b"\r")))
        at = found.end()
    is_cut = (end.start() if end else len(octets)) > start + MAX_HEADER_OCTETS
    return Mail(octets, tuple(fields), end.end() if end else len(octets), is_cut)


def _with_crlf(raw: bytes) -> bytes:
    """A pipe hands mail over with bare LFs; by SMTP one of them is an octet like others (RFC 6376 section 5.3)."""
    first = raw.find(b"\n")
    if first > 0 and raw[first - 1 : first] == b"\r":
        return raw
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
