"""Mail of which the octets are the same for the same numbers, and its way in."""

import base64
import re
from collections.abc import Sequence

from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import receive_message

# in all that a mail says, and nowhere in what the log shows of it; no id has a u
WORD = re.compile(
    rb"zuq(?:answers|before|contentid|diagnostic|host|html|leave|list|name|octets|person|pixel|plan|reply|sender|summary|"
    rb"text|thread|uid|value|words)",
    re.IGNORECASE,
)
FOREIGN = b"zxforeign"  # in everything of a mail that is for others alone

_HEAD = """From: Ada <ada@example.net>\r
To: help@example.com\r
Subject: Engine {number} {word}\r
Message-ID: <{number}{word}@example.net>\r
Reply-To: Zuqreply <zuqanswers@example.net>\r
Sender: zuqsender@example.net\r
References: <zuqthread@example.net>\r
In-Reply-To: <zuqbefore@example.net>\r
X-Zuqname: zuqvalue {word}\r
List-Id: <zuqlist.example.net>\r
List-Unsubscribe: <https://example.net/zuqleave>\r
MIME-Version: 1.0\r
"""
_FILES = """Content-Type: multipart/mixed; boundary="b"\r
\r
--b\r
Content-Type: text/html; charset=utf-8\r
\r
<p>zuqhtml {number} <img src="https://example.net/zuqpixel"></p>\r
--b\r
Content-Type: application/zip\r
Content-Disposition: attachment; filename="zuqplan{number}.zip"\r
Content-ID: <zuqcontentid>\r
Content-Transfer-Encoding: base64\r
\r
{octets}\r
--b\r
Content-Type: text/calendar; method=REQUEST\r
\r
BEGIN:VCALENDAR\r
METHOD:REQUEST\r
BEGIN:VEVENT\r
UID:zuquid{number}\r
SUMMARY:zuqsummary\r
DTSTART:20260601T100000Z\r
END:VEVENT\r
END:VCALENDAR\r
--b--\r
"""
_BOUNCE = """Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r
\r
--b\r
\r
zuqwords {number}\r
--b\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; zuqhost.example.net\r
\r
Final-Recipient: rfc822; zuqperson@example.net\r
Action: failed\r
Status: 5.1.1\r
Diagnostic-Code: smtp; 550 zuqdiagnostic\r
--b--\r
"""


def mail(number: int, how: int, *, word: str = "") -> bytes:
    """In words; with a page, a file and an invitation; or a bounce."""
    octets = base64.b64encode(f"PK\3\4 zuqoctets {number}".encode()).decode()
    body = ("\r\nIt does not turn: zuqtext {number}.\r\n", _FILES, _BOUNCE)[how % 3]
    return (_HEAD + body).format(number=number, word=word, octets=octets).encode()


def deliver(raw: bytes, to: Sequence[str], *, sender: str) -> list[str]:
    """By SMTP, from a client that says how large it is: to whom of these it was accepted."""
    envelope = Envelope(mail_from=f"{sender}@example.net", client_ip="192.0.2.1", helo="mail.example.net")
    answers = admit_all([Request(address, envelope, len(raw)) for address in to])
    taken = [answer for answer in answers if isinstance(answer, Admission)]
    if taken:
        receive_message(envelope=envelope, admissions=taken, raw=raw)
    return [admission.route.address for admission in taken]
