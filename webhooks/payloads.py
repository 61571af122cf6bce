"""What receivers get: `{"type":…,"timestamp":…,"data":{…}}`, rendered once and sent as the same octets each time.

The octets are exactly what `JSON.stringify` writes for the same value: a receiver that kept only the parsed JSON can
still verify the signature.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings

from emailgistics.common.ids import encode_id
from mailboxes.models import Alias, Attachment, Email, Recipient
from webhooks.models import Event, Webhook

if TYPE_CHECKING:  # the parser belongs to the mail worker; other processes need not load it
    from mailboxes.mime import NameAddress, ParsedMail

MAX_BODY_CHARACTERS = 256 * 1024  # of text and of html, each
MAX_HEADERS_CHARACTERS = 64 * 1024

Json = dict[str, Any]

# What `payload: metadata` leaves out: everything that a key needs the scope emails:content for.
CONTENT_FIELDS = frozenset(
    {"text", "text_truncated", "html", "html_truncated", "preview", "reply", "headers", "headers_truncated"}
)
CONTENT_ATTACHMENT_FIELDS = frozenset({"filename", "content_id", "url"})


def email_received(
    event: Event,
    *,
    email: Email,
    recipients: Sequence[Recipient],
    attachments: Sequence[Attachment],
    parsed: "ParsedMail",
) -> Json:
    """The full form of `email.received`. recipients are only those that led to this mailbox."""
    return {
        "type": event.type,
        "timestamp": instant(event.created_at),
        "data": {
            "id": email.public_id,
            **_destination(email, recipients),
            "received_at": instant(email.received_at),
            "source": email.message.source,
            "envelope": {
                "mail_from": email.message.mail_from,
                "rcpt_to": [recipient.address for recipient in recipients],
                "client_ip": email.message.client_ip,
                "helo": email.message.helo,
                "tls": email.message.tls or None,
            },
            **_what_it_says(parsed),
            "attachments": [_attachment(attachment) for attachment in attachments],
            "kind": parsed.kind,
            "parse": {"status": parsed.status, "defects": list(parsed.defects)},
            "raw": {"size": email.size, "sha256": email.message.sha256, "url": api_url(email, "raw")},
        },
    }


def in_form(full: Json, form: str) -> Json:
    """The payload as a webhook wants it: whole, or without content."""
    if form == Webhook.Payload.FULL:
        return full
    data = {name: value for name, value in full["data"].items() if name not in CONTENT_FIELDS}
    data["attachments"] = [
        {name: value for name, value in attachment.items() if name not in CONTENT_ATTACHMENT_FIELDS}
        for attachment in data["attachments"]
    ]
    data["raw"] = {name: value for name, value in data["raw"].items() if name != "url"}
    return full | {"data": data}


def render(payload: Json) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def api_url(email: Email, *rest: str) -> str:
    """Where a key with emails:content reads it."""
    return "/".join((settings.BASE_URL, "v1/emails", email.public_id, *rest))


def _destination(email: Email, recipients: Sequence[Recipient]) -> Json:
    mailbox = email.mailbox
    # several recipients may have led here; the first one that has an alias says most
    first = next((recipient for recipient in recipients if recipient.alias), recipients[0])
    domain = first.alias.domain if first.alias else mailbox.domain
    return {
        "mailbox": {"id": mailbox.public_id, "address": mailbox.address, "name": mailbox.name},
        "alias": {"id": first.alias.public_id, "address": first.alias.address} if first.alias else None,
        "domain": {"id": domain.public_id, "name": domain.name},
        "route": {"kind": first.kind, "tag": first.tag or None},
        "recipients": [
            {
                "address": recipient.address,
                "alias_id": encode_id(Alias.ID_PREFIX, recipient.alias_id) if recipient.alias_id else None,
                "kind": recipient.kind,
                "tag": recipient.tag or None,
            }
            for recipient in recipients
        ],
    }


def _what_it_says(parsed: "ParsedMail") -> Json:
    headers, headers_truncated = _capped_headers(parsed)
    return {
        "message_id": parsed.message_id or None,
        "in_reply_to": parsed.in_reply_to or None,
        "references": list(parsed.references),
        "subject": parsed.subject,
        "date": instant(parsed.date) if parsed.date else None,
        "from": _name_address(parsed.from_),
        "sender": _name_address(parsed.sender),
        "reply_to": [_name_address(entry) for entry in parsed.reply_to],
        "to": [_name_address(entry) for entry in parsed.to],
        "cc": [_name_address(entry) for entry in parsed.cc],
        "text": parsed.text[:MAX_BODY_CHARACTERS],
        "text_truncated": parsed.text_truncated or len(parsed.text) > MAX_BODY_CHARACTERS,
        "html": parsed.html[:MAX_BODY_CHARACTERS],
        "html_truncated": parsed.html_truncated or len(parsed.html) > MAX_BODY_CHARACTERS,
        "preview": parsed.preview,
        "headers": headers,
        "headers_truncated": headers_truncated,
    }


def _capped_headers(parsed: "ParsedMail") -> tuple[list[list[str]], bool]:
    kept: list[list[str]] = []
    budget = MAX_HEADERS_CHARACTERS
    for name, value in parsed.headers:
        budget -= len(name) + len(value)
        if budget < 0:
            return kept, True
        kept.append([name, value])
    return kept, False


def _name_address(entry: "NameAddress | None") -> Json | None:
    return {"name": entry.name, "address": entry.address} if entry else None


def _attachment(attachment: Attachment) -> Json:
    return {
        "id": attachment.public_id,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "inline": attachment.is_inline,
        "content_id": attachment.content_id or None,
        "url": api_url(attachment.email, "attachments", attachment.public_id),
    }
