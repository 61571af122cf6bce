"""What receivers get: `{"type":…,"timestamp":…,"data":{…}}`, rendered once in each form and sent as the same octets
each time.

All of it comes from stored rows, so that a form that nobody needed so far can be rendered years later. The octets are
exactly what `JSON.stringify` writes for the same value: a receiver that kept only the parsed JSON can still verify the
signature.
"""

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emailgistics.common.ids import encode_id
from mailboxes import reply
from mailboxes.api.serializers import CONTENT_MARKS
from mailboxes.models import Alias, Attachment, Domain, Email, EmailContent, Mailbox, Recipient
from mailboxes.services.quarantine import quarantine_of
from webhooks.files import links
from webhooks.models import Event, EventBody, Webhook

MAX_BODY_CHARACTERS = 256 * 1024  # of text and of html, each
MAX_HEADERS_CHARACTERS = 64 * 1024
MAX_INLINE_BYTES = 5 * 1024 * 1024  # of all attachments that come with one event, decoded; the others are links
MAX_SAFE_INTEGER = 2**53 - 1  # beyond it JavaScript reads another number
MAX_ARRAY_LENGTH = 2**32 - 1  # of JavaScript

Json = dict[str, Any]
ReadAttachment = Callable[[Attachment], bytes | None]

# What `payload: metadata` leaves out: everything that a key needs the scope emails:content for.
CONTENT_FIELDS = frozenset(
    {"text", "text_truncated", "html", "html_truncated", "preview", "reply", "headers", "headers_truncated"}
)
BOUNCE_FIELDS = ("action", "status", "diagnostic", "final_recipient", "original_message_id")
CALENDAR_FIELDS = ("method", "uid", "summary", "start", "end")
INLINE_FIELDS = frozenset({"content", "content_omitted"})
# of the header, emails:read shows From, To, Cc, Subject, Date and Message-ID; a digest tells a known file again, and
# whoever guesses the few characters of a mail that he does not know that he is right.
# Which list it was and what is invited to are what the mail says; that it is one, `kind` says.
CONTENT_HEADER_FIELDS = frozenset({"sender", "reply_to", "in_reply_to", "references", "list", "calendar"})
CONTENT_BOUNCE_FIELDS = frozenset({"diagnostic", "final_recipient", "original_message_id"})
CONTENT_ATTACHMENT_FIELDS = INLINE_FIELDS | {"filename", "content_id", "url", "sha256"}

_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")  # JSON has them, and many readers do not take them


@dataclass(frozen=True, slots=True)
class StoredEmail:
    """The rows that tell of an email. recipients, at least one, are only those that led to its mailbox.

    Loaded: of email message, mailbox and mailbox.domain; of recipients alias and alias.domain.
    """

    email: Email
    content: EmailContent
    recipients: Sequence[Recipient]
    attachments: Sequence[Attachment]


def email_received(event: Event, stored: StoredEmail) -> Json:
    """The full form of `email.received`."""
    email, message = stored.email, stored.email.message
    return _payload(
        event,
        {
            "id": email.public_id,
            **_destination(email, stored.recipients),
            "received_at": instant(email.received_at),
            "source": message.source,
            "envelope": {
                "mail_from": message.mail_from,
                "rcpt_to": [recipient.address for recipient in stored.recipients],
                "client_ip": message.client_ip,
                "helo": message.helo,
                "tls": message.tls or None,
            },
            "auth": _auth(message.authentication),
            **_who_and_what(email, stored.content),
            **_what_it_says(email, stored.content),
            "attachments": [_attachment(event, attachment) for attachment in stored.attachments],
            "kind": email.kind,
            **_what_kind(stored.content),
            "parse": {"status": message.parse_status, "defects": message.parse_defects},
            "quarantine": _quarantine(email),
            "raw": {"size": email.size, "sha256": message.sha256, "url": links.url(event, links.RAW)},
        },
    )


def email_reparsed(event: Event, stored: StoredEmail, *, received: Event | None) -> Json:
    """The full form of `email.reparsed`: the mail as it is read now, what differs, and the event of when it came."""
    payload = email_received(event, stored)
    payload["data"] |= {"changed": event.changed or [], "received_event_id": received.public_id if received else None}
    return payload


def webhook_test(event: Event, webhook: Webhook) -> Json:
    return _payload(
        event,
        {
            "webhook": {"id": webhook.public_id, "description": webhook.description},
            "message": "This is a test. If its signature verifies, so will that of every mail.",
        },
    )


def webhook_disabled(event: Event, webhook: Webhook, *, reason: str) -> Json:
    """For others than itself that are bound to the same: without its URL, which may hold a secret."""
    return _payload(
        event,
        {
            "webhook": {
                "id": webhook.public_id,
                "description": webhook.description,
                "alias_id": _id(Alias.ID_PREFIX, webhook.alias_id),
                "mailbox_id": _id(Mailbox.ID_PREFIX, webhook.mailbox_id),
                "domain_id": _id(Domain.ID_PREFIX, webhook.domain_id),
            },
            "reason": reason,
            "disabled_at": instant(event.created_at),
        },
    )


def in_form(payload: Json, form: str) -> Json:
    """A payload of an email in a form that says no more than the one that it has."""
    if form == EventBody.Form.INLINE:
        return payload
    dropped = {
        EventBody.Form.FULL: INLINE_FIELDS,
        EventBody.Form.THIN: INLINE_FIELDS,
        EventBody.Form.METADATA: CONTENT_ATTACHMENT_FIELDS,
    }[EventBody.Form(form)]
    data = dict(payload["data"])
    data["attachments"] = [_without(attachment, dropped) for attachment in data["attachments"]]
    if form != EventBody.Form.FULL:
        data = _without(data, CONTENT_FIELDS)
    if form == EventBody.Form.METADATA:
        data = _without(data, CONTENT_HEADER_FIELDS)
        data["raw"] = _without(data["raw"], {"url", "sha256"})
        if data.get("bounce"):
            data["bounce"] = _without(data["bounce"], CONTENT_BOUNCE_FIELDS)
        if "marks" in data:  # a body of an older release has none
            data["marks"] = [mark for mark in data["marks"] if mark not in CONTENT_MARKS]
        if "changed" in data:
            data["changed"] = [name for name in data["changed"] if name not in CONTENT_FIELDS | CONTENT_HEADER_FIELDS]
    return payload | {"data": data}


def with_content(full: Json, attachments: Iterable[Attachment], read: ReadAttachment) -> Json:
    """The form inline: each attachment with its octets in base64, as long as all together are MAX_INLINE_BYTES.

    `read` answers None for octets that are not to be had.
    """
    left = MAX_INLINE_BYTES
    shown = []
    for entry, attachment in zip(full["data"]["attachments"], attachments, strict=True):
        octets, omitted = None, None
        if attachment.size > left:
            omitted = "too_large"
        elif (octets := read(attachment)) is None:
            omitted = "unavailable"
        else:
            left -= len(octets)
        content = None if octets is None else base64.b64encode(octets).decode("ascii")
        shown.append(entry | {"content": content, "content_omitted": omitted})
    return full | {"data": full["data"] | {"attachments": shown}}


def render(payload: Json) -> bytes:
    """The octets. Raises TypeError for what JSON.stringify would write otherwise: a fraction, a number that is huge."""
    return json.dumps(_sendable(payload), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _payload(event: Event, data: Json) -> Json:
    return {"type": str(event.type), "timestamp": instant(event.created_at), "data": data}


def _without(fields: Json, names: AbstractSet[str]) -> Json:
    return {name: value for name, value in fields.items() if name not in names}


def _sendable(value: Any) -> Any:
    match value:
        case str():
            return _UNSENDABLE.sub("\ufffd", value) if _UNSENDABLE.search(value) else str(value)
        case dict():
            return {name: _sendable(inner) for name, inner in value.items()}
        case list():
            return [_sendable(inner) for inner in value]
        case None | bool():
            return value
        case int() if abs(value) <= MAX_SAFE_INTEGER:
            return value
    raise TypeError(f"a payload has no {type(value).__name__} like this")


def _destination(email: Email, recipients: Sequence[Recipient]) -> Json:
    mailbox = email.mailbox
    # several recipients may have led here; the first one that has an alias says most
    first = next((recipient for recipient in recipients if _alias_of(recipient)), recipients[0])
    alias = _alias_of(first)
    domain = alias.domain if alias else mailbox.domain
    return {
        "mailbox": {"id": mailbox.public_id, "address": mailbox.address, "name": mailbox.name},
        "alias": {"id": alias.public_id, "address": alias.address} if alias else None,
        "domain": {"id": domain.public_id, "name": domain.name},
        "route": {"kind": first.kind, "tag": first.tag or None, "captures": _captures(first)},
        "recipients": [
            {
                "address": recipient.address,
                "alias_id": _id(Alias.ID_PREFIX, recipient.alias_id if _alias_of(recipient) else None),
                "kind": recipient.kind,
                "tag": recipient.tag or None,
                "captures": _captures(recipient),
            }
            for recipient in recipients
        ],
    }


def _alias_of(recipient: Recipient) -> Alias | None:
    """None in a further mailbox of it: whoever hears of that mailbox may not know of the alias, which is another's."""
    return None if recipient.is_copy else recipient.alias


def _captures(recipient: Recipient) -> Json:
    return dict(sorted(recipient.captures.items(), key=lambda capture: _place(capture[0])))


def _place(name: str) -> tuple[bool, int, str]:
    """Where JavaScript keeps a property: array indices first, by number; the others by name, as good as any order."""
    is_index = name.isascii() and name.isdecimal() and str(int(name)) == name and int(name) < MAX_ARRAY_LENGTH
    return not is_index, int(name) if is_index else 0, name


def _id(prefix: str, pk: Any) -> str | None:
    return encode_id(prefix, pk) if pk else None


def _quarantine(email: Email) -> Json | None:
    """Of mail that was released. Receivers belong to mailboxes: of wider rules they hear no more than that."""
    found = quarantine_of(email, knows_all_rules=False)
    return {"reason": found.reason, "rule_id": found.rule_id} if found else None


def _who_and_what(email: Email, content: EmailContent) -> Json:
    people = content.addresses
    is_known = email.from_name or email.from_address
    return {
        "message_id": email.message_id_header or None,
        "in_reply_to": content.in_reply_to or None,
        "references": content.references,
        "subject": email.subject,
        "date": instant(email.date) if email.date else None,
        "from": {"name": email.from_name, "address": email.from_address} if is_known else None,
        "sender": _person(people.get("sender")),
        "reply_to": [_person(entry) for entry in people.get("reply_to", [])],
        "to": [_person(entry) for entry in people.get("to", [])],
        "cc": [_person(entry) for entry in people.get("cc", [])],
    }


def _auth(said: Json | None) -> Json | None:
    # by name, as below
    return said and {
        "spf": {name: said["spf"][name] for name in ("result", "domain", "scope", "reason")},
        "dkim": [
            {name: one[name] for name in ("result", "domain", "selector", "aligned", "reason")} for one in said["dkim"]
        ],
        "dmarc": {name: said["dmarc"][name] for name in ("result", "policy", "aligned_by", "domain", "pct", "reason")},
        "checked_at": said["checked_at"],
    }


def _person(entry: Json | None) -> Json | None:
    # by name: a database may keep an object's names in an order of its own
    return {"name": entry["name"], "address": entry["address"]} if entry else None


def _what_it_says(email: Email, content: EmailContent) -> Json:
    headers, headers_truncated = _capped_headers(content.headers)
    text = content.text[:MAX_BODY_CHARACTERS]
    answers = reply.is_reply(subject=email.subject, in_reply_to=content.in_reply_to, references=content.references)
    return {
        "text": text,
        "text_truncated": content.text_truncated or len(content.text) > MAX_BODY_CHARACTERS,
        "html": content.html[:MAX_BODY_CHARACTERS],
        "html_truncated": content.html_truncated or len(content.html) > MAX_BODY_CHARACTERS,
        "preview": content.preview,
        "reply": {"text": reply.new_text(text) if answers else text},
        "headers": headers,
        "headers_truncated": headers_truncated,
    }


def _what_kind(content: EmailContent) -> Json:
    # by name, as above
    bounce, mailing_list, calendar = content.bounce, content.mailing_list, content.calendar
    return {
        "bounce": bounce and {name: bounce[name] or None for name in BOUNCE_FIELDS},
        "list": mailing_list
        and {
            "id": mailing_list["id"] or None,
            "unsubscribe": mailing_list["unsubscribe"],
            "one_click": mailing_list["one_click"],
        },
        "calendar": calendar and {name: calendar[name] or None for name in CALENDAR_FIELDS},
        "marks": content.marks,
    }


def _capped_headers(headers: Iterable[Sequence[str]]) -> tuple[list[list[str]], bool]:
    kept: list[list[str]] = []
    budget = MAX_HEADERS_CHARACTERS
    for name, value in headers:
        budget -= len(name) + len(value)
        if budget < 0:
            return kept, True
        kept.append([name, value])
    return kept, False


def _attachment(event: Event, attachment: Attachment) -> Json:
    return {
        "id": attachment.public_id,
        "filename": attachment.filename,
        "content_type": attachment.content_type,
        "detected_type": attachment.detected_type or None,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "inline": attachment.is_inline,
        "content_id": attachment.content_id or None,
        "url": links.url(event, attachment.public_id),
    }
