"""Names of attachments that are safe to save under, on any system and before any eyes."""

import mimetypes
import re
import unicodedata

from mailboxes.mime.budget import MAX_FILENAME_OCTETS, Budget, Defect
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.words import decode_words

# the table that Python brings, not the machine's: the same mail has the same names everywhere
_TYPES = mimetypes.MimeTypes()
_EXTENSIONS = {"image/jpeg": ".jpg", "text/calendar": ".ics", "text/plain": ".txt", "message/rfc822": ".eml"}
_MAX_EXTENSION_OCTETS = 32  # longer is no extension
# of a name, before it is normalized: putting many combining marks into their order costs the square of their number
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 2 * MAX_FILENAME_OCTETS, 4 * _MAX_EXTENSION_OCTETS

# they reorder what is read: `cod.exe` and `exe.doc` can look the same; and line and paragraph separators
_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def filename(disposition: dict[str, str], content_type: dict[str, str], budget: Budget) -> str:
    """The name that the sender gave, made safe; empty when there is none or nothing is left of it.

    By RFC 2183, else the older `name` of Content-Type; encoded words in either, which RFC 2047 forbids and many send.
    """
    given = (disposition.get("filename", ""), content_type.get("name", ""))
    names = [name for name in (safe(decode_words(each, budget)) for each in given if each) if name]
    if len(set(names)) > 1:
        budget.note(Defect.CONFLICTING_NAMES)
    return names[0] if names else ""


def safe(name: str) -> str:
    """The name without path, controls and bidi controls, at most 255 octets; empty when that leaves nothing."""
    readable = _BIDI_CONTROLS.sub("", clean_line(name))
    last = readable.replace("\\", "/").rstrip("/ ").rpartition("/")[2].strip()
    if len(last) > _HEAD_CHARACTERS + _TAIL_CHARACTERS:
        last = last[:_HEAD_CHARACTERS] + last[-_TAIL_CHARACTERS:]
    last = unicodedata.normalize("NFC", last)
    return "" if not last.strip(". ") else _shortened(last)


def default(path: str, content_type: str) -> str:
    """The name of a part without one."""
    known = _EXTENSIONS.get(content_type) or _TYPES.guess_extension(content_type)
    extension = known or (".txt" if content_type.startswith(("text/", "message/")) else ".bin")
    return f"part-{path}{extension}"


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME_OCTETS:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = (dot + extension).encode()
    if not stem or len(tail) > _MAX_EXTENSION_OCTETS:
        stem, tail = name, b""
    return stem.encode()[: MAX_FILENAME_OCTETS - len(tail)].decode(errors="ignore") + tail.decode()
