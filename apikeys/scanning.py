"""Keys of ours in files: found by their form and checksum, and told by their digest whether they open anything.

Octets are looked at as they are, so it does not matter what a file is: text in any encoding that writes ASCII as ASCII,
UTF-16 and UTF-32, binary files, and what gzip packed. Other archives are unpacked by whoever scans them.
"""

import gzip
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

from django.db.models import TextChoices

from apikeys.authentication import KeyRefusedError, lookup
from apikeys.credentials import MalformedKeyError, parse_key
from emailgistics.common.errors import DomainError
from emailgistics.common.key_form import CHECKSUM_LENGTH, ID_LENGTH, KEY_PREFIX, SECRET_LENGTH

STANDARD_INPUT = "-"
CHUNK_BYTES = 1024 * 1024
MAX_UNPACKED_BYTES = 1024**3  # of one packed file: one of a few octets can be packed from any number
GZIP_BEGINS = b"\x1f\x8b"
WIDTHS = (1, 2, 4)  # octets of a character: ASCII and what extends it, UTF-16, UTF-32
CHARACTERS = len(KEY_PREFIX) + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
LONGEST_BYTES = max(WIDTHS) * CHARACTERS


class Standing(TextChoices):
    """What somebody who finds the key can do with it: only an active one opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNKNOWN = "unknown"  # of another installation, purged, or made up, whatever its identifier says


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    line: int  # from 1, by the line ends before it
    identifier: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class NotRead:
    """What was not looked at, or not all of it."""

    path: str
    reason: str


def scan(path: str) -> Iterator[Finding | NotRead]:
    """Everything under path, a file, a folder, or `-` for standard input.

    Links below a folder are not followed: what they lead to is in it as well, or was not asked for. Memory does not
    grow with what is read.
    """
    for file in _files(path):
        if isinstance(file, NotRead):
            yield file
            continue
        try:
            with _opened(file) as octets:
                for text, line in _unpacked_keys(octets):
                    yield Finding(str(file), line, parse_key(text), standing_of(text))
        except (OSError, EOFError, zlib.error, DomainError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            yield NotRead(str(file), reason or str(error))


@lru_cache(maxsize=1024)  # one key may be in a log a million times
def standing_of(plaintext: str) -> Standing:
    """By the whole key, as a request with it would be judged, networks apart. Raises MalformedKeyError."""
    try:
        found = lookup(parse_key(plaintext), plaintext)
    except KeyRefusedError:
        return Standing.UNKNOWN
    if found.is_revoked:
        return Standing.REVOKED
    return Standing.EXPIRED if found.has_expired else Standing.ACTIVE


def _files(path: str) -> Iterator[Path | NotRead]:
    if path == STANDARD_INPUT:
        yield Path(path)
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        yield NotRead(path, error.strerror or str(error))
        return
    if stat.S_ISDIR(mode):
        yield from _below(Path(path))
    elif stat.S_ISREG(mode):
        yield Path(path)
    else:
        yield NotRead(path, "it is neither a file nor a folder")


def _below(folder: Path) -> Iterator[Path | NotRead]:
    """Regular files alone: a pipe or a device has no end."""
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield NotRead(str(current), error.strerror or str(error))
            continue
        folders += [Path(entry.path) for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
        yield from (Path(entry.path) for entry in found if entry.is_file(follow_symlinks=False))


def _opened(file: Path) -> AbstractContextManager[BufferedReader]:
    if str(file) != STANDARD_INPUT:
        return file.open("rb")
    return nullcontext(sys.stdin.buffer)  # type: ignore[arg-type]  # it is one, unless somebody replaced it


def _unpacked_keys(octets: BufferedReader) -> Iterator[tuple[str, int]]:
    """(key, line)"""
    if not octets.peek(len(GZIP_BEGINS)).startswith(GZIP_BEGINS):
        yield from _keys(octets)
        return
    with gzip.GzipFile(fileobj=octets) as unpacked:
        yield from _keys(unpacked, at_most=MAX_UNPACKED_BYTES)


def _keys(octets: BufferedReader | gzip.GzipFile, *, at_most: int | None = None) -> Iterator[tuple[str, int]]:
    """Each key once, also one that lies across two chunks. Raises UnpackedTooMuchError."""
    kept, lines, read, reported_until = b"", 1, 0, 0
    # what comes before a fault in what is packed is looked at
    next_chunk = octets.read1 if isinstance(octets, gzip.GzipFile) else octets.read
    chunk = next_chunk(CHUNK_BYTES)
    while chunk:
        window = kept + chunk
        begins_at = read - len(kept)
        read += len(chunk)
        for start, end, text in _matches(window):
            if begins_at + start >= reported_until and _is_key(text):
                reported_until = begins_at + end
                yield text, lines + window.count(b"\n", 0, start)
        if at_most is not None and read > at_most:
            raise UnpackedTooMuchError(f"only the first {at_most} octets of what is packed in it were looked at")
        kept = window[-(LONGEST_BYTES - 1) :]
        lines += window.count(b"\n", 0, len(window) - len(kept))
        chunk = next_chunk(CHUNK_BYTES)


class UnpackedTooMuchError(DomainError):
    code = "unpacked_too_much"


def _matches(window: bytes) -> list[tuple[int, int, str]]:
    """(start, end, text) of whatever looks like a key, in order."""
    found = [
        (match.start(), match.end(), match[0].replace(b"\0", b"").decode("ascii"))
        for width in WIDTHS
        if _spread(KEY_PREFIX, width) in window
        for match in re.finditer(_expression(width), window)
    ]
    return sorted(found)


@lru_cache
def _expression(width: int) -> bytes:
    """Zeros between the characters, which is the same whichever octet of a character comes first."""
    zeros = b"\\x00" * (width - 1)
    character = b"[0-9A-Za-z]" + zeros
    prefix = zeros.join(re.escape(letter.encode()) for letter in KEY_PREFIX) + zeros
    rest = SECRET_LENGTH + CHECKSUM_LENGTH - 1
    return prefix + b"(?:%b){%d}_%b(?:%b){%d}[0-9A-Za-z]" % (character, ID_LENGTH, zeros, character, rest)


def _spread(text: str, width: int) -> bytes:
    return (b"\0" * (width - 1)).join(letter.encode() for letter in text)


def _is_key(text: str) -> bool:
    try:
        parse_key(text)
    except MalformedKeyError:
        return False
    return True
