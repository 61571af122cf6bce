"""What `parse` answers. All text in it is clean: no NUL, no lone surrogates, no controls but tab and newline."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["ok", "partial", "failed"]
Kind = Literal["normal", "bounce", "auto_reply", "list"]


@dataclass(frozen=True, slots=True)
class NameAddress:
    """One of the two may be empty, never both. The name is decoded; the address is as the header has it."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class ParsedAttachment:
    """Its octets are `decode_transfer(raw[offset:offset + length], encoding)`."""

    part: str  # path of the part, as in 1.2
    filename: str  # safe to save under; never empty
    content_type: str
    is_inline: bool  # shown as a part of the body, not beside it
    content_id: str  # without angle brackets, as `cid:` links have it
    size: int  # octets once decoded
    sha256: str  # of the decoded octets, hexadecimal
    encoding: str
    offset: int
    length: int  # octets in the raw, still encoded


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """ok: all of it was read; partial: what could be, with `defects`; failed: hardly more than some headers.

    `message_id`, `in_reply_to` and `references` keep their angle brackets. A mail that has only HTML has no `text`.
    """

    status: Status
    defects: tuple[str, ...]  # values of budget.Defect, each once
    headers: tuple[tuple[str, str], ...]
    subject: str
    date: datetime | None  # aware, and representable in UTC
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    from_: NameAddress | None
    sender: NameAddress | None
    reply_to: tuple[NameAddress, ...]
    to: tuple[NameAddress, ...]
    cc: tuple[NameAddress, ...]
    text: str
    text_truncated: bool
    html: str
    html_truncated: bool
    preview: str
    attachments: tuple[ParsedAttachment, ...]
    kind: Kind
