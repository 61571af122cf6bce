"""Header values -> text: raw octets and encoded words (RFC 2047)."""

import binascii
import re

from mailboxes.mime.budget import MAX_WORDS, Budget, Defect
from mailboxes.mime.charsets import decode, decode_header
from mailboxes.mime.transfer import decode_transfer

# blanks within are against section 2, and some senders have them; the part after * is a language (RFC 2231 section 5)
ENCODED_WORD = re.compile(r"=\?([^?*\s]{1,60})(?:\*[^?\s]{0,60})?\?([bBqQ])\?([^?]*+)\?=")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


def unfold(value: bytes, budget: Budget) -> str:
    """The value of a field on one line; its encoded words stay encoded. Octets above 127 are UTF-8, or guessed."""
    return decode_header(_FOLD.sub(b"", value).strip(), budget)


def decode_words(text: str, budget: Budget) -> str:
    """The text with its encoded words decoded; what is no valid one stays as it is.

    Neighbours are joined (section 6.2), and those of one charset before they are decoded: some senders cut characters.
    """
    pieces: list[str] = []
    charset, octets, end = "", b"", 0
    for count, word in enumerate(ENCODED_WORD.finditer(text)):
        if count == MAX_WORDS:
            budget.note(Defect.TOO_MANY_ENCODED_WORDS)
            break
        between = text[end : word.start()]
        is_neighbour = count > 0 and (not between or between.isspace())
        if not (is_neighbour and word[1].lower() == charset):
            pieces.append(decode(octets, charset, budget))
            charset, octets = word[1].lower(), b""
        if not is_neighbour:
            pieces.append(between)
        octets += _octets(word[2], word[3])
        end = word.end()
    if end == 0:
        return text
    return "".join((*pieces, decode(octets, charset, budget), text[end:]))


def _octets(encoding: str, encoded: str) -> bytes:
    if encoding in "bB":
        return decode_transfer(encoded.encode("ascii", errors="ignore"), "base64")
    return binascii.a2b_qp(encoded.encode(errors="replace"), header=True)
