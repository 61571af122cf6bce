"""One mail as an entry of an mbox file: RFC 4155, with the quoting that is called *mboxrd*. What reads it back gets the
octets that were accepted, line ends and all.

Lines that begin with `From ` after any number of `>` get one `>` more, so that undoing it is the same for every line.
The one thing that the format cannot hold is a mail whose last line has no end: it gets one.
"""

import re
import time
from datetime import datetime

NULL_SENDER = "MAILER-DAEMON"  # what every reader knows; RFC 4155 has no word for <>
_FROM = re.compile(rb"^(>*From )", re.MULTILINE)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_UNFIT = re.compile(r"[^!-~]")  # the line is of words in ASCII


def entry(raw: bytes, *, mail_from: str, received_at: datetime) -> bytes:
    """received_at is aware. With the empty line that stands before the next entry."""
    # asctime, as RFC 4155 says: not strftime, whose names of days and months are of the locale
    at = time.asctime(received_at.utctimetuple())
    sender = _UNFIT.sub("_", mail_from) or NULL_SENDER
    end = b"\n" if raw.endswith(b"\n") else b"\n\n"
    return f"From {sender} {at}\n".encode() + quoted(raw) + end


def quoted(raw: bytes) -> bytes:
    return _FROM.sub(rb">\1", raw)


def unquoted(octets: bytes) -> bytes:
    return _QUOTED.sub(rb"\1", octets)
