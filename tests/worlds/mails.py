"""Mail of which the octets are the same for the same numbers, and its way in."""

from collections.abc import Sequence

from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import receive_message


def mail(number: int, how: int) -> bytes:
    """The same octets for the same numbers, with and without an attachment."""
    head = (
        f"From: Ada <ada@example.net>\r\nTo: help@example.com\r\nSubject: Engine {number}\r\n"
        f"Message-ID: <{number}@example.net>\r\nX-Part: {how % 3}\r\nMIME-Version: 1.0\r\n"
    )
    if how % 3 == 0:
        return f"{head}\r\nIt does not turn, {number}.\r\n".encode()
    return (
        f'{head}Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        f"See {number}.\r\n"
        f'--b\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename="plan{number}.zip"\r\n'
        f"Content-Transfer-Encoding: base64\r\n\r\nUEsDBA{number:04}\r\n--b--\r\n"
    ).encode()


def deliver(raw: bytes, to: Sequence[str], *, sender: str) -> list[str]:
    """By SMTP, from a client that says how large it is: to whom of these it was accepted."""
    envelope = Envelope(mail_from=f"{sender}@example.net", client_ip="192.0.2.1", helo="mail.example.net")
    answers = admit_all([Request(address, envelope, len(raw)) for address in to])
    taken = [answer for answer in answers if isinstance(answer, Admission)]
    if taken:
        receive_message(envelope=envelope, admissions=taken, raw=raw)
    return [admission.route.address for admission in taken]
