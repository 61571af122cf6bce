"""A mail as the checks see it: header fields octet for octet, and where the body begins.

Both are found by `mime.fields`, which finds what people are shown: what is verified is what is shown. A line that is no
field begins the body here as it does there, though who signed the mail may have seen it within the header.
"""

from dataclasses import dataclass
from functools import cached_property

from mailboxes.mime.budget import Budget, Defect
from mailboxes.mime.fields import MBOX_LINE, read_block


@dataclass(frozen=True, slots=True)
class Field:
    name: bytes  # lower case
    octets: bytes  # all of it, name too, without the line end behind it

    @property
    def value(self) -> bytes:
        return self.octets.partition(b":")[2]


@dataclass(frozen=True)
class Mail:
    """octets have CRLF line ends. is_cut: its header is too large, and not all of it is in fields.

    body: where it begins in octets.
    """

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
    budget = Budget()
    block = read_block(raw, 0, budget, ends_at=lambda _: False)
    with_crlf = _unchanged if _has_crlf(raw) else _with_crlf
    mbox = MBOX_LINE.match(raw)
    at = mbox.end() if mbox else 0
    fields = []
    for name, value in block.fields:
        end = raw.index(b":", at) + 1 + len(value)  # there may be blanks before the colon, and they are signed
        fields.append(Field(name.lower(), with_crlf(raw[at:end]).removesuffix(b"\r")))
        at = end + 1
    is_cut = not {Defect.HEADER_TOO_LARGE, Defect.TOO_MANY_HEADERS}.isdisjoint(budget.defects)
    return Mail(with_crlf(raw), tuple(fields), len(with_crlf(raw[: block.body])), is_cut)


def _has_crlf(raw: bytes) -> bool:
    """A pipe hands mail over with bare LFs; by SMTP one of them is an octet like others (RFC 6376 section 5.3)."""
    first = raw.find(b"\n")
    return first > 0 and raw[first - 1 : first] == b"\r"


def _unchanged(octets: bytes) -> bytes:
    return octets


def _with_crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
