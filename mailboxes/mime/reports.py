"""What a bounce says: out of a delivery status notification (RFC 3464), or out of the words of hosts that send none.

Postfix, Exchange and Gmail send the first; qmail and older Exim write to people only.
"""

import re
from collections.abc import Iterable

from mailboxes.mime.budget import MAX_DIAGNOSTIC_CHARACTERS, MAX_ID_CHARACTERS, MAX_NAME_CHARACTERS
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.parsed import Bounce

ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")  # section 2.3.3, the worst first
STATUS_TYPES = frozenset(("message/delivery-status", "message/global-delivery-status"))
RETURNED_TYPES = frozenset(
    ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers")
)
READ_OCTETS = 64 << 10  # of a report, and of what came back; and characters of words

_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.])([45])\d\d[ -]")
_TYPE = re.compile(r"[A-Za-z0-9-]{1,40}\s*;\s*")  # of an address or a diagnostic (section 2.1.2)
_ADDRESS = r"[^<>\s@]{1,256}@[^<>\s@]{1,256}"
_ID_LINE = re.compile(r"^Message-ID:\s{0,80}(<[^<>\s]{1,996}>)", re.IGNORECASE | re.MULTILINE)
# qmail: `<ada@example.net>:` and what follows; Postfix in its words: the same with the reason in the same line
_IN_BRACKETS = re.compile(rf"^<({_ADDRESS})>:[ \t]{{0,80}}(.{{0,998}}(?:\n.{{1,998}}){{0,12}})", re.MULTILINE)
# Exim: the address alone in a line, indented by two, and why by four
_INDENTED = re.compile(rf"^ {{2}}({_ADDRESS})[ \t]{{0,80}}\n((?: {{4}}.{{1,998}}\n?){{1,12}})", re.MULTILINE)
_QMAIL = re.compile(r"\bqmail-send program\b|^Hi\. This is the \S+ program at \S", re.MULTILINE)
# how bounces that say it in words only begin
_TITLE = re.compile(
    r"undeliver|returned mail|mail delivery (?:failed|failure|system|subsystem)|delivery status notification|"
    r"delivery (?:has |to )?\w{0,20}\s?(?:failed|failure)|failure notice|non[- ]?(?:delivery|remis|distribuable)|"
    r"unzustellbar|nicht zugestellt|mancata consegna|no se puede entregar|не доставлено",
    re.IGNORECASE,
)


def read_report(text: str) -> Bounce | None:
    """A notification's fields, but for the id. Of several recipients the one that fared worst, of those the first.

    None where it says nothing of any recipient.
    """
    told = [_recipient(group) for group in _groups(text) if {"action", "status"} & group.keys()]
    return min((one for one in told if one.action), key=lambda one: ACTIONS.index(one.action), default=None)


def message_id_in(text: str) -> str:
    """That of the header with which a returned mail begins; empty for none."""
    found = _ID_LINE.search(text)
    return found[1][:MAX_ID_CHARACTERS] if found else ""


def read_words(text: str, *, failed_recipients: str) -> Bounce:
    """The same out of a text for people; failed_recipients is the value of X-Failed-Recipients."""
    text = text[:READ_OCTETS]
    found = _IN_BRACKETS.search(text) or _INDENTED.search(text)
    reason = " ".join(clean_line(found[2]).split()) if found else ""
    named = failed_recipients.split(",", maxsplit=1)[0].strip() or (found[1] if found else "")
    status = _status_in(reason) or _status_in(text)
    returned = list(_ID_LINE.finditer(text))
    return Bounce(
        action="delayed" if status.startswith("4") else "failed",
        status=status,
        diagnostic=reason[:MAX_DIAGNOSTIC_CHARACTERS],
        final_recipient=clean_line(named)[:MAX_NAME_CHARACTERS],
        original_message_id=returned[-1][1] if returned else "",
    )


def is_told_in_words(*, author: str, subject: str, text: str, is_null_sender: bool, has_returned: bool) -> bool:
    """Whether a mail without a notification in it is a bounce all the same. author is the From address."""
    is_from_a_host = author.partition("@")[0].lower() in ("mailer-daemon", "postmaster")
    if not (is_from_a_host or is_null_sender):
        return False  # people pass bounces on
    # and hosts say other things as well
    is_certain = (is_from_a_host and is_null_sender) or has_returned
    return is_certain or bool(_TITLE.search(subject) or _QMAIL.search(text[:500]))


def _groups(text: str) -> Iterable[dict[str, str]]:
    """Blocks of fields between blank lines, names in lower case. The first of a name counts."""
    group: dict[str, str] = {}
    last = ""
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if not line.strip():
            if group:
                yield group
            group, last = {}, ""
        elif line[0] in " \t":
            if last:
                group[last] = f"{group[last]} {line.strip()}"[:MAX_DIAGNOSTIC_CHARACTERS]
        elif colon:
            last = name.strip().lower()
            if last in group:
                last = ""
            else:
                group[last] = value.strip()[:MAX_DIAGNOSTIC_CHARACTERS]
    if group:
        yield group


def _recipient(group: dict[str, str]) -> Bounce:
    diagnostic = clean_line(_untyped(group.get("diagnostic-code", "")))
    given = _STATUS.search(group.get("status", ""))
    status = given[1] if given else _status_in(diagnostic)
    action = group.get("action", "").partition("(")[0].strip().lower()
    if action not in ACTIONS:
        action = {"5": "failed", "4": "delayed", "2": "delivered"}.get(status[:1], "")
    address = _untyped(group.get("final-recipient", "") or group.get("original-recipient", "")).strip("<> ")
    return Bounce(action, status, diagnostic, clean_line(address)[:MAX_NAME_CHARACTERS], original_message_id="")


def _untyped(value: str) -> str:
    """`rfc822; ada@example.net` -> `ada@example.net`"""
    found = _TYPE.match(value)
    return value[found.end() :] if found else value


def _status_in(text: str) -> str:
    """An enhanced status code (RFC 3463) in a text; of a reply without one its class, as 5.0.0."""
    if found := _STATUS.search(text):
        return found[1]
    reply = _REPLY.search(text)
    return f"{reply[1]}.0.0" if reply else ""
