"""A mail's body in the canonical forms of RFC 6376 section 3.4, hashed as it goes by."""

import hashlib
from collections.abc import Collection, Iterator
from functools import cache

PIECE_OCTETS = 256 << 10
_BLANKS = b" \t\r\n"
_RUNS = (1024, 32, 2)  # of blanks, the long ones first: few passes, whatever the octets are


class Digests:
    """SHA-256 of the body's first `length` octets (of all, if None) in each form that is wanted.

    Each form is made and hashed once. wanted: (is_relaxed, length).
    """

    def __init__(self, octets: bytes, start: int, wanted: Collection[tuple[bool, int | None]]) -> None:
        self._octets, self._start, self._wanted = octets, start, wanted
        self._made = cache(self._make)

    def digest(self, *, is_relaxed: bool, length: int | None) -> bytes | None:
        """None if the body is shorter."""
        return self._made(is_relaxed)[0].get(length)

    def size(self, *, is_relaxed: bool) -> int:
        return self._made(is_relaxed)[1]

    def _make(self, is_relaxed: bool) -> tuple[dict[int | None, bytes], int]:
        lengths = sorted(length for relaxed, length in self._wanted if relaxed == is_relaxed and length is not None)
        found: dict[int | None, bytes] = {}
        hashed, size = hashlib.sha256(), 0
        for piece in canonical(self._octets, self._start, is_relaxed=is_relaxed):
            at = 0
            while lengths and lengths[0] <= size + len(piece):
                cut = lengths.pop(0)
                hashed.update(piece[at : cut - size])
                at = cut - size
                found[cut] = hashed.digest()
            hashed.update(piece[at:])
            size += len(piece)
        if lengths[:1] == [0]:  # of no octets at all
            found[0] = hashlib.sha256().digest()
        found[None] = hashed.digest()
        return found, size


def canonical(octets: bytes, start: int, *, is_relaxed: bool) -> Iterator[bytes]:
    """Sections 3.4.3 and 3.4.4, piece by piece: a mail of 40 MiB is not copied whole."""
    held: list[bytes] = []  # blanks and line ends that may be the last ones
    is_empty = True
    for at in range(start, len(octets), PIECE_OCTETS):
        piece = octets[at : at + PIECE_OCTETS]
        if kept := piece.rstrip(_BLANKS):
            is_empty = False
            whole = b"".join((*held, kept))
            yield _relaxed(whole) if is_relaxed else whole
            held.clear()
        held.append(piece[len(kept) :])
    end = b"".join(held)
    end = _without_last_lines(_relaxed(end).rstrip(b" ") if is_relaxed else end)
    if end or not (is_empty and is_relaxed):
        yield end + b"\r\n"


def _relaxed(octets: bytes) -> bytes:
    octets = octets.replace(b"\t", b" ")
    for length in _RUNS:
        run = b" " * length
        while run in octets:
            octets = octets.replace(run, b" ")
    return octets.replace(b" \r\n", b"\r\n")


def _without_last_lines(octets: bytes) -> bytes:
    """Without the CRLFs at its end. Not by an expression: this costs the same whatever comes before them."""
    if not octets.endswith(b"\r\n"):
        return octets
    at = len(octets.rstrip(b"\r\n"))
    # the last place where they are not CRLF after CRLF
    at = max(at, octets.rfind(b"\r\r", at) + 1, octets.rfind(b"\n\n", at) + 1)
    return octets[: at + octets.startswith(b"\n", at)]
