"""Walks the raw octets of a mail once, from front to back, and finds its leaf parts by offset (RFC 2046 section 5.1).

No body is copied and nothing recurses, so a bomb costs what its length costs. Lines end with LF or CRLF, mixed as they
like. What is broken is read as generously as it can be: without an end boundary a multipart ends with what is around
it, and one without any boundary is text. What is attached as a message stays closed: it is a leaf.
"""

import re
from dataclasses import dataclass

from mailboxes.mime.budget import (
    MAX_BOUNDARY_OCTETS,
    MAX_CONTENT_TYPE_CHARACTERS,
    MAX_DEPTH,
    MAX_PARTS,
    Budget,
    Defect,
)
from mailboxes.mime.fields import Block, Field, read_block, read_parameters
from mailboxes.mime.transfer import IDENTITIES, encoding_of
from mailboxes.mime.words import unfold

TEXT = "text/plain"
_PART_FIELDS = frozenset((b"content-type", b"content-transfer-encoding", b"content-disposition", b"content-id"))
_CONTROLS = bytes(octet for octet in (*range(32), 127) if octet not in b"\t\n\r\x1b")
_WITHIN_LINES = bytes(octet for octet in range(256) if octet not in b"\r\n")
_ESCAPE = re.compile(rb"\x1b(?![$(])")  # those are ISO-2022-JP, which some write bare
_DASHES = re.compile(rb"\n--([^\n]{1,%d})" % (MAX_BOUNDARY_OCTETS + 64))
_CONTENT_TYPE = re.compile(r"[!#$&-.0-9A-Z^_`a-z{}~+]++/[!#$&-.0-9A-Z^_`a-z{}~+]++")


@dataclass(slots=True)
class Part:
    """A part of the mail; what `scan` returns are leaves, complete."""

    path: str  # as in IMAP (RFC 3501 section 6.4.5): 1, 2, 2.1; empty for a multipart that is the whole mail
    container: "Part | None"  # the multipart it is directly in
    block: Block  # of the mail itself all fields, of others those in _PART_FIELDS
    content_type: str  # lower case
    parameters: dict[str, str]
    end: int  # where its body ends in the raw
    children: int = 0

    @property
    def offset(self) -> int:
        return self.block.body

    @property
    def length(self) -> int:
        return max(0, self.end - self.offset)


def scan(raw: bytes, budget: Budget) -> tuple[tuple[Field, ...], list[Part]]:
    """The header fields of the mail, and its leaf parts in their order."""
    return _Scanner(raw, budget).run()


class _Scanner:
    def __init__(self, raw: bytes, budget: Budget) -> None:
        self._raw = raw
        self._budget = budget
        self._at = 0
        self._seen = 0  # parts, multiparts among them
        self._leaves: list[Part] = []
        self._leaf: Part | None = None  # the one whose body we are in
        self._stack: list[tuple[bytes, Part]] = []  # boundaries and multiparts around us, the outermost first
        self._depths: dict[bytes, int] = {}  # boundary -> its index in the stack

    def run(self) -> tuple[tuple[Field, ...], list[Part]]:
        mail = self._enter(path="1", container=None, at=0)
        while self._stack and self._seen < MAX_PARTS and self._next_boundary():
            pass
        if self._stack:
            end = len(self._raw)
            if self._seen == MAX_PARTS and (following := self._find_boundary()):
                end = following[0]
                self._budget.note(Defect.TOO_MANY_PARTS)
            self._leave_leaf(end)
            self._leave_multiparts(down_to=0, end=end)
        if _mixes_line_ends(self._raw):
            self._budget.note(Defect.BARE_NEWLINE)
        return mail.block.fields, self._leaves

    def _next_boundary(self) -> bool:
        """Goes on to the next boundary line and past it; False when there is none."""
        found = self._find_boundary()
        if found is None:
            return False
        end, self._at, depth, is_closing = found
        self._leave_leaf(end)
        self._leave_multiparts(down_to=depth + 1, end=end)
        boundary, container = self._stack[depth]
        if is_closing:
            self._stack.pop()
            del self._depths[boundary]
        elif self._is_boundary(self._at):
            self._seen += 1  # no part, which has at least an empty line; yet a million of them cost something
        else:
            container.children += 1
            path = f"{container.path}.{container.children}".lstrip(".")
            self._enter(path=path, container=container, at=self._at)
        return True

    def _find_boundary(self) -> tuple[int, int, int, bool] | None:
        """(end of what is before it, start of what is after it, depth, is a closing one)."""
        for dashes in _DASHES.finditer(self._raw, max(self._at - 1, 0)):
            match = self._depth_of(dashes[1])
            if match is not None:
                end, line_end = dashes.start(), self._raw.find(b"\n", dashes.end())
                # the line break before a boundary belongs to it (RFC 2046 section 5.1.1)
                end -= end > 0 and self._raw[end - 1] == ord("\r")
                return end, (line_end + 1 or len(self._raw)), *match
        return None

    def _depth_of(self, after_dashes: bytes) -> tuple[int, bool] | None:
        line = after_dashes.rstrip(b" \t\r")
        depth = self._depths.get(line)
        if depth is not None:
            return depth, False
        depth = self._depths.get(line[:-2]) if line.endswith(b"--") else None
        return None if depth is None else (depth, True)

    def _is_boundary(self, at: int) -> bool:
        if not self._raw.startswith(b"--", at):
            return False
        dashes = _DASHES.match(self._raw, at - 1) if at else None
        return dashes is not None and self._depth_of(dashes[1]) is not None

    def _enter(self, *, path: str, container: Part | None, at: int) -> Part:
        """Reads a part's header block, and opens it if it is a multipart."""
        self._seen += 1
        block = read_block(self._raw, at, self._budget, ends_at=self._is_boundary, only=_PART_FIELDS if at else None)
        self._look_at(block, at)
        is_digest = container is not None and container.content_type == "multipart/digest"
        content_type, parameters = self._content_type(block, default="message/rfc822" if is_digest else TEXT)
        part = Part(path, container, block, content_type, parameters, end=len(self._raw))
        self._at = block.body
        if content_type.startswith("multipart/") and self._open(part):
            part.path = path if container else ""
        else:
            self._leaf = part
            self._leaves.append(part)
        return part

    def _open(self, part: Part) -> bool:
        if encoding_of(unfold(part.block.first(b"content-transfer-encoding"), self._budget)) not in IDENTITIES:
            self._budget.note(Defect.ENCODED_MULTIPART)
        boundary = part.parameters.get("boundary", "").rstrip().encode(errors="replace")
        if len(self._stack) == MAX_DEPTH:
            self._budget.note(Defect.TOO_DEEP)  # a leaf that is no text: an attachment
            return False
        if not 0 < len(boundary) <= MAX_BOUNDARY_OCTETS or boundary in self._depths:
            is_duplicate = boundary in self._depths
            self._budget.note(Defect.DUPLICATE_BOUNDARY if is_duplicate else Defect.MISSING_BOUNDARY)
            part.content_type = TEXT
            return False
        self._depths[boundary] = len(self._stack)
        self._stack.append((boundary, part))
        return True

    def _content_type(self, block: Block, *, default: str) -> tuple[str, dict[str, str]]:
        value = block.first(b"content-type")
        if not value.strip():
            return default, {}
        written, parameters = read_parameters(unfold(value, self._budget), self._budget)
        match = _CONTENT_TYPE.match(written)
        if match is None or len(match[0]) > MAX_CONTENT_TYPE_CHARACTERS:
            self._budget.note(Defect.BAD_CONTENT_TYPE)
            return TEXT, parameters  # RFC 2045 section 5.2
        return match[0].lower(), parameters

    def _look_at(self, block: Block, start: int) -> None:
        """For what two readers could read differently."""
        octets = self._raw[start : block.body]
        if (
            len(octets.translate(None, delete=_CONTROLS)) < len(octets)
            or octets.count(b"\r") > octets.count(b"\r\n")
            or _ESCAPE.search(octets)
        ):
            self._budget.note(Defect.CONTROL_IN_HEADER)
        names = [name.lower() for name, _ in block.fields if name.lower() in _PART_FIELDS]
        if len(names) > len(set(names)):
            self._budget.note(Defect.DUPLICATE_HEADER)

    def _leave_leaf(self, end: int) -> None:
        if self._leaf:
            self._leaf.end = end
            self._leaf = None

    def _leave_multiparts(self, *, down_to: int, end: int) -> None:
        """Ends multiparts that were not closed by a boundary of their own."""
        while len(self._stack) > down_to:
            boundary, part = self._stack.pop()
            del self._depths[boundary]
            if part.children:
                self._budget.note(Defect.MISSING_END_BOUNDARY)
                continue
            self._budget.note(Defect.MISSING_BOUNDARY)
            part.path, part.content_type, part.end = part.path or "1", TEXT, end
            self._leaves.append(part)


def _mixes_line_ends(raw: bytes) -> bool:
    """CRLF here and LF or CR alone there. All LF is how pipes and files have it."""
    ends = raw.translate(None, delete=_WITHIN_LINES)  # quicker than counting in all of it
    returns = ends.count(b"\r")
    return returns > 0 and (returns != ends.count(b"\n") or returns != raw.count(b"\r\n"))
