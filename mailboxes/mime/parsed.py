"""What `parse` answers. All text in it is clean: no NUL, no lone surrogates, no controls but tab and newline."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["ok", "partial", "failed"]
Kind = Literal[
    "normal", "bounce", "delivery_status", "auto_reply", "list", "calendar", "feedback_report", "read_receipt"
]


@dataclass(frozen=True, slots=True)
class NameAddress:
    """One of the two may be empty, never both. The name is decoded; the address is as the header has it."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a host says of a mail that it could not deliver, or not yet (RFC 3464). What is not said is empty."""

    action: str  # failed, delayed, delivered, relayed, expanded
    status: str  # enhanced status code (RFC 3463), as 5.1.1
    diagnostic: str  # the reply of the host that refused it
    final_recipient: str
    original_message_id: str  # of the mail that came back, with its angle brackets


@dataclass(frozen=True, slots=True)
class MailingList:
    """What the header says of the list that a mail came by."""

    id: str  # without angle brackets; empty for none
    unsubscribe: tuple[str, ...]  # https, http and mailto URLs
    one_click: bool  # a POST to the https one does it (RFC 8058)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The first event of a mail's calendar. What is not said is empty.

    start and end are a date (2026-06-01), an instant in UTC (…T08:00:00.000Z) or, without a Z, the reader's local time.
    """

    method: str  # REQUEST, REPLY, CANCEL, …
    uid: str
    summary: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class ParsedAttachment:
    """Its octets are `decode_transfer(raw[offset:offset + length], encoding)`."""

    part: str  # path of the part, as in 1.2
    filename: str  # safe to save under; never empty
    content_type: str  # as declared
    detected_type: str  # by its first octets; empty when they do not tell
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
    html_safe: str = ""  # for people; empty where there is no HTML, or too complex one
    marks: tuple[str, ...] = ()  # values of kinds.Mark, each once
    bounce: Bounce | None = None  # of a delivery report, be it of success
    mailing_list: MailingList | None = None
    calendar: Calendar | None = None
    api_keys: tuple[str, ...] = ()  # public ids of API keys that the mail has in it, for the alarm; stored nowhere
