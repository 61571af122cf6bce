"""What is written down of a parsed mail, and what receivers call it. All of it can be made again out of the raw."""

from dataclasses import asdict
from typing import Any

from mailboxes.mime import NameAddress, ParsedMail

Columns = dict[str, Any]

# columns of Email and EmailContent that are shown under another name, or as a part of something else
SHOWN_AS = {
    "from_name": "from",
    "from_address": "from",
    "message_id_header": "message_id",
    "has_attachment": "attachments",
    "mailing_list": "list",
}
NOT_TOLD = frozenset(("html_safe",))  # stored, and shown to people only: no reason to tell receivers
PEOPLE = ("sender", "reply_to", "to", "cc")  # all in the one column addresses


def email_columns(parsed: ParsedMail) -> Columns:
    return {
        "kind": parsed.kind,
        "subject": parsed.subject,
        "from_name": parsed.from_.name if parsed.from_ else "",
        "from_address": parsed.from_.address if parsed.from_ else "",
        "date": parsed.date,
        "message_id_header": parsed.message_id,
        "has_attachment": any(not attachment.is_inline for attachment in parsed.attachments),
    }


def content_columns(parsed: ParsedMail) -> Columns:
    return {
        "in_reply_to": parsed.in_reply_to,
        "references": list(parsed.references),
        "addresses": _addresses(parsed),
        "headers": [list(field) for field in parsed.headers],
        "text": parsed.text,
        "text_truncated": parsed.text_truncated,
        "html": parsed.html,
        "html_truncated": parsed.html_truncated,
        "html_safe": parsed.html_safe,
        "preview": parsed.preview,
        "marks": list(parsed.marks),
        "bounce": asdict(parsed.bounce) if parsed.bounce else None,
        "mailing_list": _list(parsed),
        "calendar": asdict(parsed.calendar) if parsed.calendar else None,
    }


def attachment_columns(parsed: ParsedMail) -> list[Columns]:
    """Of each attachment, in the order of the mail."""
    return [
        {
            "position": position,
            "part": attachment.part,
            "filename": attachment.filename,
            "content_type": attachment.content_type,
            "detected_type": attachment.detected_type,
            "is_inline": attachment.is_inline,
            "content_id": attachment.content_id,
            "size": attachment.size,
            "sha256": attachment.sha256,
            "encoding": attachment.encoding,
            "offset": attachment.offset,
            "length": attachment.length,
        }
        for position, attachment in enumerate(parsed.attachments)
    ]


def differing(before: Columns, after: Columns) -> list[str]:
    """The columns that have another value afterwards."""
    return [name for name, value in after.items() if before[name] != value]


def shown_names(before: Columns, after: Columns) -> set[str]:
    """What the API and events call that which differs. Columns of Email, of EmailContent, or of both."""
    names = {SHOWN_AS.get(column, column) for column in differing(before, after)}
    if "addresses" in names:
        old, new = before["addresses"], after["addresses"]
        # nobody and an empty list are shown alike
        names = (names - {"addresses"}) | {name for name in PEOPLE if (old.get(name) or None) != (new[name] or None)}
    return names


def _list(parsed: ParsedMail) -> Columns | None:
    if parsed.mailing_list is None:
        return None
    return asdict(parsed.mailing_list) | {"unsubscribe": list(parsed.mailing_list.unsubscribe)}  # as JSON gives it back


def _addresses(parsed: ParsedMail) -> Columns:
    def entry(one: NameAddress) -> dict[str, str]:
        return {"name": one.name, "address": one.address}

    return {
        "sender": entry(parsed.sender) if parsed.sender else None,
        "reply_to": [entry(one) for one in parsed.reply_to],
        "to": [entry(one) for one in parsed.to],
        "cc": [entry(one) for one in parsed.cc],
    }
