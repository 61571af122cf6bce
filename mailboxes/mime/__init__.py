"""A mail's octets -> what it says. Pure Python, no Django; whatever the octets are, `parse` gives an answer.

The way through: `structure` walks the raw by offset and finds the leaf parts (`fields` reads their header blocks),
`bodies` says which of them are text and which attachments, `charsets` and `words` turn octets into text,
`people` reads addresses, `filenames` makes names safe, `sniffing` says what a file is by its first octets.
`kinds` tells bounces, lists and answers of machines, with `reports` for what a bounce says and `calendars` for what
is invited to; `safe_html` makes HTML fit to be shown; `own_keys` finds secrets of this product. `budget` carries the
limits and collects the defects.
"""

from mailboxes.mime.bodies import visible
from mailboxes.mime.budget import Defect
from mailboxes.mime.kinds import Mark
from mailboxes.mime.mail import VERSION, parse
from mailboxes.mime.parsed import NameAddress, ParsedAttachment, ParsedMail
from mailboxes.mime.transfer import decode_transfer

__all__ = [
    "VERSION",
    "Defect",
    "Mark",
    "NameAddress",
    "ParsedAttachment",
    "ParsedMail",
    "decode_transfer",
    "parse",
    "visible",
]
