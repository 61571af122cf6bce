"""Aliases as a CSV file: what is written, and what is read again.

A file that was written is read as the same aliases: cells that a spreadsheet would run are defused and restored.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from emailgistics.common.errors import RefusedError
from emailgistics.common.spreadsheets import defused, restored
from mailboxes import addresses
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import Alias
from mailboxes.patterns import is_pattern
from mailboxes.services import provision

COLUMNS = ("address", "mailbox", "further_mailboxes", "active", "priority", "description")
BOM = "\ufeff"  # by which spreadsheets know UTF-8
DELIMITERS = ",;\t"
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_LINES = 100_000
MAX_CELL = 20_000  # characters: twenty further mailboxes fit
YES, NO = "yes", "no"

Fault = tuple[str, str]  # the column, and what is wrong with it and what to do


class FileError(RefusedError):
    """Nothing of the file can be used as it is."""

    code = "invalid_file"


@dataclass(frozen=True, slots=True)
class Line:
    """One alias of a file. number counts the file's lines from 1; fault, if there is one, is of its form."""

    number: int
    cells: list[str]
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class AliasFile:
    columns: list[str]
    lines: list[Line] = field(default_factory=list)


def written(aliases: Iterable[Alias]) -> Iterator[bytes]:
    """The file, a line at a time. The aliases come with domain, mailbox, and copies with their mailboxes."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    yield (BOM + buffer.getvalue()).encode()
    for alias in aliases:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(cells_of(alias))
        yield buffer.getvalue().encode()


def cells_of(alias: Alias) -> list[str]:
    further = ", ".join(copy.mailbox.address for copy in alias.copies.all() if copy.mailbox.deleted_at is None)
    texts = (address_of(alias), alias.mailbox.address, further)
    others = (YES if alias.is_active else NO, str(alias.priority), defused(alias.description))
    return [*(defused(text) for text in texts), *others]


def address_of(alias: Alias) -> str:
    """So that it is read as the same one: a pattern is not written in quotes, unless it could not be read without."""
    try:
        is_read_again = provision.split_alias(alias.address) == (alias.name, alias.domain.name)
    except InvalidAddressError:
        is_read_again = False
    if is_read_again:
        return alias.address
    escaped = alias.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{alias.domain.name}'


def read(octets: bytes) -> AliasFile:
    """The lines of a file, with the faults of their form. Raises FileError for what is no such file."""
    if len(octets) > MAX_FILE_BYTES:
        raise FileError(f"The file has more than {MAX_FILE_BYTES >> 20} MiB; split it into several.")
    text = _text(octets)
    if text[:5].lower().startswith("sep=") and len(text) > 4:  # noqa: PLR2004 - what Excel writes on top
        text = text.partition("\n")[2]
        skipped = 1
    else:
        skipped = 0
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows = _rows(text, delimiter, skipped)
    columns = _columns(next(rows, (0, []))[1])
    lines = list(_lines(rows, columns))
    if not lines:
        raise FileError("The file has no line below its first one: there is nothing to import.")
    return AliasFile(columns, lines)


def _text(octets: bytes) -> str:
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError("The file is in UTF-16; save it as “CSV UTF-8”.")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise FileError(f"Line {line} is not in UTF-8; save the file as “CSV UTF-8”.") from error


def _rows(text: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(number of the line where it begins, cells) of what is not empty. Raises FileError."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        number = reader.line_num + 1 + skipped
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise FileError(f"Line {number} cannot be read: {error}. Look at its quotation marks.") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield number, cells


def _columns(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    known = ", ".join(COLUMNS)
    if "address" not in names:
        raise FileError(f"The first line names the columns, and one is address. There may be: {known}.")
    for name in names:
        if name not in COLUMNS:
            raise FileError(f"There is no column {addresses.shown(name)}; take it out. There may be: {known}.")
        if names.count(name) > 1:
            raise FileError(f"The column {name} is there twice; take one out.")
    return names


def _lines(rows: Iterable[tuple[int, list[str]]], columns: Sequence[str]) -> Iterator[Line]:
    seen: dict[str, int] = {}
    at = columns.index("address")
    for count, (number, cells) in enumerate(rows):
        if count == MAX_LINES:
            raise FileError(f"The file has more than {MAX_LINES:,} lines; split it into several.")
        fault = _fault(cells, columns)
        if fault is not None:
            yield Line(number, [], fault)
            continue
        texts = [restored(cell) for cell in cells]
        key = _key(texts[at])
        if first := seen.get(key):
            yield Line(number, [], ("address", f"It is in line {first} already; take one of the two out."))
            continue
        seen[key] = number
        yield Line(number, texts)


def _fault(cells: Sequence[str], columns: Sequence[str]) -> Fault | None:
    if len(cells) != len(columns):
        cause = "put texts with a delimiter or quotation marks in them in quotation marks"
        return "", f"It has {len(cells)} cells in place of {len(columns)}; {cause}."
    for name, cell in zip(columns, cells, strict=True):
        if len(cell) > MAX_CELL:
            return name, f"It has {len(cell):,} characters; make it shorter."
        if "\0" in cell:
            return name, "It has a NUL character in it; take that out."
    return None


def _key(address: str) -> str:
    """What two spellings of one alias have in common; of a pattern its letters count as they are."""
    try:
        name, domain = provision.split_alias(address)
    except RefusedError:
        return address
    return f"{name if is_pattern(name) else addresses.local_key(name)}@{domain}"
