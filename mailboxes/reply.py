"""What is new in a reply: its text without the mail that it answers and the line that announces that one.

Mail clients agree on nothing here, so this takes away only what is surely old, and signatures stay. The time is linear
in the text, whatever it holds.
"""

import re
from collections.abc import Sequence

MAX_ATTRIBUTION_LINES = 3  # clients wrap it
MAX_ATTRIBUTION_CHARACTERS = 600
MAX_HEADER_LINES = 12  # that are looked at below "From:", in a mail that is quoted with its header
REPLY_PREFIXES = "re|aw|antw|antwort|sv|vs|res|rif|odp|ynt|ref"
FORWARD_PREFIXES = "fwd?|wg|tr|vl|rv|enc|doorst|vb|i|pd"

_SUBJECT = re.compile(
    rf"\s*(?:(?P<reply>{REPLY_PREFIXES})|(?:{FORWARD_PREFIXES}))(?:\[\d{{1,3}}\])?\s?:", re.IGNORECASE
)
# "On … wrote:" by languages: how it begins, and the verb that is somewhere in it
_BEGINS = re.compile(r"(?:on|am|le|el|il|op|em|den|dnia|w dniu|на|в)\b|\d", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?:wrote|writes|schrieb|écrit|ecrit|escribió|escribio|scritto|schreef|escreveu|skrev|napisał|napisała|"
    r"napisał\(a\)|написал|написала|пишет|said)\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_MOMENT_OR_ADDRESS = re.compile(r"\d{1,2}[:.h]\d\d|\S@\S")
_SEPARATOR = re.compile(
    r"-{3,}\s*(?:original message|original appointment|ursprüngliche nachricht|originalnachricht|message d.origine|"
    r"mensaje original|messaggio originale|oorspronkelijk bericht|mensagem original|ursprungligt meddelande)\s*-{3,}",
    re.IGNORECASE,
)
_RULE = re.compile(r"[_-]{10,}")
_FROM = re.compile(r"\*?(?:from|von|de|da|van|från|od|от)\s?:", re.IGNORECASE)
_SENT = re.compile(
    r"\*?(?:sent|date|gesendet|datum|envoyé|envoyé le|enviado|enviado el|inviato|data|fecha|verzonden|skickat|"
    r"wysłano|отправлено|дата)\s?:",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\*?(?:subject|betreff|objet|asunto|oggetto|onderwerp|assunto|ämne|temat|тема)\s?:", re.IGNORECASE)


def is_reply(*, subject: str, in_reply_to: str, references: Sequence[str]) -> bool:
    """By what its header says. A mail that is passed on names the other one as well, and is no reply."""
    prefix = _SUBJECT.match(subject[:50])
    if prefix:
        return prefix["reply"] is not None
    return bool(in_reply_to or references)


def new_text(text: str) -> str:
    """The new text of a mail that is a reply.

    Lines that begin with > go, with the line above that says who wrote them; below a mail that is quoted without such
    marks everything goes. Empty if there is nothing but marked quotes; if only the unmarked kind was found, the text
    stays as it is, because nothing tells it from a mail that merely looks like one.
    """
    lines = text.split("\n")
    end = _unmarked_quote(lines)
    kept = _without_marked(lines[:end])
    if end < len(lines) and not any(line.strip() for line in kept):
        kept, end = _without_marked(lines), len(lines)
    if len(kept) == len(lines):
        return text
    return "\n".join(_trimmed(kept))


def _is_marked(line: str) -> bool:
    return line.lstrip(" \t\xa0").startswith(">")


def _without_marked(lines: Sequence[str]) -> list[str]:
    """Without the blocks of marked lines and what announces each, an empty line in place of each block."""
    kept: list[str] = []
    was_marked = False
    for line in lines:
        if not _is_marked(line):
            kept.append(line)
            was_marked = False
        elif not was_marked:
            was_marked = True
            _drop_attribution(kept)
            if kept and kept[-1].strip():
                kept.append("")
    return kept


def _drop_attribution(kept: list[str]) -> None:
    """From the end of what stands above a quote, with the blank lines between."""
    last = len(kept) - 1
    while last >= 0 and last >= len(kept) - 3 and not kept[last].strip():
        last -= 1
    if last < 0 or not kept[last].strip():
        return
    first = _attribution_start(kept, last)
    if first is None and _is_loose_attribution(kept[last]):
        first = last
    if first is not None:
        del kept[first:]


def _is_loose_attribution(line: str) -> bool:
    """Enough for a line right above a marked quote: "Ada writes:", or a date and an address."""
    line = line.replace("\xa0", " ").strip()
    if not line.endswith(":") or len(line) > MAX_ATTRIBUTION_CHARACTERS:
        return False
    return bool(_VERB.search(line) or ("@" in line and _DIGIT.search(line)))


def _attribution_start(lines: Sequence[str], last: int) -> int | None:
    """Where the attribution that ends in that line begins; None if there is none."""
    joined = ""
    for first in range(last, max(-1, last - MAX_ATTRIBUTION_LINES), -1):
        line = lines[first].replace("\xa0", " ").strip()
        if not line or len(joined) + len(line) > MAX_ATTRIBUTION_CHARACTERS:
            return None
        joined = f"{line} {joined}".strip()
        if not joined.endswith(":"):
            return None
        if _BEGINS.match(joined) and _DIGIT.search(joined) and _VERB.search(joined):
            return first
    return None


def _unmarked_quote(lines: Sequence[str]) -> int:
    """The index of the line with which a mail begins that is quoted without marks; len(lines) if there is none."""
    for index, line in enumerate(lines):
        bare = line.replace("\xa0", " ").strip()
        if _SEPARATOR.fullmatch(bare[:200]) or (_FROM.match(bare) and _is_header(lines, index)):
            return _without_rule(lines, index)
        if bare.endswith(":"):
            first = _attribution_start(lines, index)
            if first is not None and _is_followed_by_unmarked(lines, first, index):
                return first
    return len(lines)


def _is_header(lines: Sequence[str], index: int) -> bool:
    """Whether a line like "From:" begins a header as Outlook quotes it: the date and the subject are in it."""
    below: list[str] = []
    for line in lines[index + 1 : index + 1 + MAX_HEADER_LINES]:
        bare = line.replace("\xa0", " ").strip()
        if not bare and below:
            break
        below.append(bare)
    return any(_SENT.match(line) for line in below) and any(_TITLE.match(line) for line in below)


def _is_followed_by_unmarked(lines: Sequence[str], first: int, last: int) -> bool:
    """Whether the attribution announces text without marks. It has to name a moment or an address then: "As you wrote
    on the 3rd:" is somebody's own text.
    """
    announced = " ".join(lines[first : last + 1])
    if not _MOMENT_OR_ADDRESS.search(announced):
        return False
    return next((not _is_marked(line) for line in lines[last + 1 : last + 4] if line.strip()), False)


def _without_rule(lines: Sequence[str], index: int) -> int:
    """The index of the line of dashes above, if there is one."""
    above = index - 1
    while above >= 0 and above >= index - 2 and not lines[above].strip():
        above -= 1
    return above if above >= 0 and _RULE.fullmatch(lines[above].strip()) else index


def _trimmed(lines: list[str]) -> list[str]:
    """Without blank lines at both ends."""
    first, last = 0, len(lines)
    while first < last and not lines[first].strip():
        first += 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    return lines[first:last]
