"""Header blocks -> fields, and the parameters of structured ones. Own code rather than the standard library's.

The scanner needs the octet at which a block ends, which the library does not tell, and the library's reading of
parameters costs the square of their number. Where lines are no fields it decides as the library does.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from mailboxes.mime.budget import MAX_FIELDS, MAX_HEADER_OCTETS, Budget, Defect
from mailboxes.mime.charsets import decode

Field = tuple[bytes, bytes]  # name and value as in the raw

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
MBOX_LINE = re.compile(rb">?From (?![ \t]*+:)[^\n]*+(?:\n|\Z)")  # left by mbox files
_EMPTY_LINE = re.compile(rb"\r?(?:\n|\Z)")
_END_OF_BLOCK = re.compile(rb"\n\r?\n")

_PARAMETER = re.compile(
    r";\s*+([^\s=;*\"]++)(?:\*(\d{1,4}))?(\*?)\s*+=\s*+(?:\"([^\"\\]*+(?:\\.[^\"\\]*+)*+)\"|([^;]*+))", re.DOTALL
)
_ESCAPE = re.compile(r"\\([\"\\])")  # only these: many write a Windows path without escaping it


@dataclass(frozen=True, slots=True)
class Block:
    fields: tuple[Field, ...]
    body: int  # offset of the first octet after the block and its empty line

    def first(self, name: bytes) -> bytes:
        """The value of the first field of that name (lower case); empty without one."""
        return next((value for key, value in self.fields if key.lower() == name), b"")


def read_block(
    raw: bytes, start: int, budget: Budget, *, ends_at: Callable[[int], bool], only: Collection[bytes] | None = None
) -> Block:
    """The header block at start. `ends_at(offset)` says that a boundary is there; `only` names fields to keep.

    A block over a limit ends for us at that field, and its body is looked for after it.
    """
    fields: list[Field] = []
    limit = min(len(raw), start + MAX_HEADER_OCTETS)
    at, count = start, 0
    if mbox := MBOX_LINE.match(raw, at, limit):
        at = mbox.end()
    while at < limit:
        if empty := _EMPTY_LINE.match(raw, at):
            return Block(tuple(fields), empty.end())
        if ends_at(at):
            return Block(tuple(fields), at)
        found = _FIELD.match(raw, at, limit)
        if found is None:
            budget.note(Defect.BAD_HEADER_LINE)
            return Block(tuple(fields), at)
        if count == MAX_FIELDS:
            budget.note(Defect.TOO_MANY_HEADERS)
            return Block(tuple(fields), _body_after(raw, at))
        count += 1
        if only is None or found[1].lower() in only:
            fields.append((found[1], found[2]))
        at = found.end()
    if at < len(raw):
        budget.note(Defect.HEADER_TOO_LARGE)
        at = _body_after(raw, at)
    return Block(tuple(fields), at)


def read_parameters(value: str, budget: Budget) -> tuple[str, dict[str, str]]:
    """`text/plain; charset=x` -> ("text/plain", {"charset": "x"}), by RFC 2045 section 5.1 and RFC 2231, tolerantly.

    Names are lower case. The first of a name counts; a name with RFC 2231's charset counts before one without.
    """
    head, _, _ = value.partition(";")
    plain: dict[str, str] = {}
    segments: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, number, star, quoted, bare in _PARAMETER.findall(value, len(head)):
        content = _ESCAPE.sub(r"\1", quoted) if quoted else bare.strip().lstrip('"')
        if number or star:
            segments.setdefault(name.lower(), {}).setdefault(int(number or 0), (content, bool(star)))
        elif plain.setdefault(name.lower(), content) != content:
            budget.note(Defect.DUPLICATE_PARAMETER)
    extended = {name: _joined(parts, budget) for name, parts in segments.items()}
    return head.strip(), plain | extended


def _body_after(raw: bytes, at: int) -> int:
    end = _END_OF_BLOCK.search(raw, max(at - 1, 0))
    return end.end() if end else len(raw)


def _joined(segments: dict[int, tuple[str, bool]], budget: Budget) -> str:
    """The value of an extended or continued parameter (RFC 2231 sections 3 and 4)."""
    in_order = [segments[number] for number in sorted(segments)]
    charset = ""
    if in_order[0][1] and in_order[0][0].count("'") >= 2:  # noqa: PLR2004 - charset'language'text
        charset, _, text = in_order[0][0].split("'", 2)
        in_order[0] = (text, True)
    octets = b"".join(unquote_to_bytes(text) if is_encoded else text.encode() for text, is_encoded in in_order)
    return decode(octets, charset, budget)
