"""What kind of mail it is, which list it came by, and what there is to be said of its parts."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

from mailboxes.mime.budget import MAX_ID_CHARACTERS, MAX_UNSUBSCRIBE_URLS, MAX_URL_CHARACTERS, Budget
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.fields import read_parameters
from mailboxes.mime.header import Header
from mailboxes.mime.parsed import Bounce, Calendar, Kind, MailingList
from mailboxes.mime.structure import Part

DELIVERY_STATUS = "delivery-status"
_FEEDBACK, _RECEIPT = "feedback-report", "disposition-notification"
# the part in a multipart/report that says what report it is; the parameter may be missing or wrong
_REPORT_PARTS = {
    "message/feedback-report": _FEEDBACK,
    "message/disposition-notification": _RECEIPT,
    "message/global-disposition-notification": _RECEIPT,
    "message/delivery-status": DELIVERY_STATUS,
    "message/global-delivery-status": DELIVERY_STATUS,
}
_REPORT_KINDS: dict[str, Kind] = {_FEEDBACK: "feedback_report", _RECEIPT: "read_receipt"}
# how mail programs begin the subject of an automatic answer, by languages; the colon is theirs, not people's
_AWAY = re.compile(
    r"\s*(?:auto(?:matic|mated)?[- ]?(?:reply|response)|out of (?:the )?office(?: auto[- ]?reply)?|"
    r"automatisch(?:e antwort|e reactie| antwoord)|abwesenheits\w*|(?:respuesta|resposta|risposta) autom[aá]tica|"
    r"fuera de (?:la )?oficina|r[ée]ponse automatique|absence du bureau|autosvar|automatiskt svar|automatisk svar|"
    r"odpowied[zź] automatyczna|автоответ|автоматический ответ|"
    r"自动(?:答复|回复)|自動(?:応答|回覆|返信)|자동 회신)\s*[:：]",
    re.IGNORECASE,
)
_LIST_ID = re.compile(r"<([^<>\s]{1,998})>")
_IN_BRACKETS = re.compile(r"<\s*([^<>\s]++)\s*>")
_MAY_UNSUBSCRIBE = ("https://", "http://", "mailto:")
_ONE_CLICK = re.compile(r"\s*List-Unsubscribe\s*=\s*One-Click\s*", re.IGNORECASE)
_INLINE_PGP = re.compile(r"^-----BEGIN PGP (SIGNED )?MESSAGE-----", re.MULTILINE)


class Mark(StrEnum):
    """What somebody who handles the mail wants to know, and what is no defect. Stable codes; new ones may be added."""

    ENCRYPTED = "encrypted"  # PGP/MIME, S/MIME or PGP in the text
    SIGNED = "signed"  # the same; nothing says that the signature is right
    TNEF = "tnef"  # Outlook's winmail.dat: what is in it stays in it
    PARTIAL_MESSAGE = "partial_message"  # a piece of a mail (RFC 2046 section 5.2.2), left as it is
    EXTERNAL_BODY = "external_body"  # a part that is elsewhere (section 5.2.3), not fetched
    API_KEY = "api_key"  # it has an API key in it: revoke that
    WEBHOOK_SECRET = "webhook_secret"  # noqa: S105 - a code, not the secret


_OF_TYPES = {
    "multipart/encrypted": Mark.ENCRYPTED,
    "application/pgp-encrypted": Mark.ENCRYPTED,
    "multipart/signed": Mark.SIGNED,
    "application/pgp-signature": Mark.SIGNED,
    "application/pkcs7-signature": Mark.SIGNED,
    "application/x-pkcs7-signature": Mark.SIGNED,
    "application/ms-tnef": Mark.TNEF,
    "application/vnd.ms-tnef": Mark.TNEF,
    "message/partial": Mark.PARTIAL_MESSAGE,
    "message/external-body": Mark.EXTERNAL_BODY,
}
_SMIME = frozenset(("application/pkcs7-mime", "application/x-pkcs7-mime"))


def report_of(header: Header, parts: Sequence[Part], budget: Budget) -> str:
    """feedback-report, disposition-notification, delivery-status or another report type; empty for no report."""
    content_type, parameters = read_parameters(header.first("content-type"), budget)
    by_parts = (
        _REPORT_PARTS[part.content_type]
        for part in parts
        if part.content_type in _REPORT_PARTS and part.container and part.container.content_type == "multipart/report"
    )
    if content_type.lower() == "multipart/report":
        named = parameters.get("report-type", "").strip().lower()
        return named if named in _REPORT_PARTS.values() else next(by_parts, named)
    return next(by_parts, DELIVERY_STATUS if header.has("x-failed-recipients") else "")


def kind_of(header: Header, *, report: str, bounce: Bounce | None, calendar: Calendar | None, subject: str) -> Kind:
    """The first that fits. That nobody answers a machine comes before what the mail is about."""
    if bounce is not None:
        return "bounce" if bounce.action in ("failed", "") else "delivery_status"
    if kind := _REPORT_KINDS.get(report):
        return kind
    if _is_automatic(header) or _AWAY.match(subject):
        return "auto_reply"
    if header.has("list-id", "list-post", "list-unsubscribe") or header.word("precedence") in ("list", "bulk", "junk"):
        return "list"
    if calendar is not None and calendar.method:
        return "calendar"
    # Exchange asks others for silence by it, in answers of its own and in much else
    return "auto_reply" if header.has("x-auto-response-suppress") else "normal"


def _is_automatic(header: Header) -> bool:
    return (
        header.word("auto-submitted") not in ("", "no")  # RFC 3834 section 5
        or header.word("precedence") in ("auto_reply", "auto-reply")
        or header.has("x-autoreply", "x-autorespond", "x-auto-reply", "x-mail-autoreply", "x-autoreply-from")
        or header.word("delivered-to") == "autoresponder"
    )


def list_of(header: Header) -> MailingList | None:
    """By List-Id (RFC 2919), List-Unsubscribe (RFC 2369) and List-Unsubscribe-Post (RFC 8058)."""
    if not header.has("list-id", "list-unsubscribe"):
        return None
    value = clean_line(header.first("list-id"))
    found = _LIST_ID.search(value)
    named = (url for field in header.all("list-unsubscribe") for url in _IN_BRACKETS.findall(clean_line(field)))
    urls = [url for url in named if url.lower().startswith(_MAY_UNSUBSCRIBE) and len(url) <= MAX_URL_CHARACTERS]
    urls = list(dict.fromkeys(urls))[:MAX_UNSUBSCRIBE_URLS]
    is_one_click = _ONE_CLICK.fullmatch(header.first("list-unsubscribe-post")[:100]) is not None
    return MailingList(
        id=(found[1] if found else value)[:MAX_ID_CHARACTERS],
        unsubscribe=tuple(urls),
        one_click=is_one_click and any(url.lower().startswith("https://") for url in urls),
    )


def marks_of(parts: Iterable[Part], text: str) -> tuple[Mark, ...]:
    """What the types of the parts, and of those around them, and the beginning of the text say."""
    found: dict[Mark, None] = {}
    seen: set[int] = set()
    for leaf in parts:
        part: Part | None = leaf
        while part is not None and id(part) not in seen:
            seen.add(id(part))
            if mark := _OF_TYPES.get(part.content_type) or _smime(part):
                found[mark] = None
            part = part.container
    if "-----BEGIN PGP" in text:
        for begins in _INLINE_PGP.finditer(text):
            found[Mark.SIGNED if begins[1] else Mark.ENCRYPTED] = None
    return tuple(found)


def _smime(part: Part) -> Mark | None:
    """RFC 8551 section 3.2.2; without the parameter it is mostly encrypted."""
    if part.content_type not in _SMIME:
        return None
    return Mark.SIGNED if part.parameters.get("smime-type", "").lower() == "signed-data" else Mark.ENCRYPTED
