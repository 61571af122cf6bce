"""A mail from the installation itself, to see that mail to an address arrives and what becomes of it."""

from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import formatdate, make_msgid

from mailboxes.models import Message
from mailboxes.services.admit import admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt, receive_message

SUBJECT = "A test mail"
TEXT = """\
This is a test mail from {by}, sent to {to} out of the web console.

It went the way of every other mail: routed by its address, stored before anybody was told so, then opened, and told to
the webhooks that are bound to where it went.
"""


def send_test_mail(to: str, *, by: str) -> Receipt:
    """Hands a mail in as the listener does after DATA: the same routing, rules, quota and promise.

    Raises what refuses a recipient (`admit`), and whatever the database raises.
    """
    envelope = Envelope(mail_from="", source=Message.Source.PIPE)
    admission = admit(to, envelope=envelope, size=None)
    host = admission.route.address.rpartition("@")[2]
    raw = _mail(to=admission.route.address, host=host, by=by)
    envelope = Envelope(mail_from=f"postmaster@{host}", source=Message.Source.PIPE)
    # once more, now that rules and quotas can see whose it is and how large
    admission = admit(to, envelope=envelope, size=len(raw))
    return receive_message(envelope=envelope, admissions=[admission], raw=raw)


def _mail(*, to: str, host: str, by: str) -> bytes:
    mail = EmailMessage(policy=SMTPUTF8)
    mail["From"] = f"Emailgistics <postmaster@{host}>"
    mail["To"] = to
    mail["Subject"] = SUBJECT
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=host)
    mail.set_content(TEXT.format(by=by, to=to))
    return mail.as_bytes()
