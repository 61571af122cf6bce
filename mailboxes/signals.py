"""The one signal by which news goes up."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.dispatch import Signal

from mailboxes.models import Attachment, Email, Recipient


@dataclass(frozen=True, slots=True)
class News:
    """An email that can be read now, or in which something is another since it was opened again.

    Of email: message, mailbox, mailbox.domain and content are loaded; of recipients, which are its own, alias and
    alias.domain. octets is its raw, None if that cannot be read. changed is None the first time; later it names what is
    another, as the API and events call it.
    """

    email: Email
    recipients: Sequence[Recipient]
    attachments: Sequence[Attachment]
    octets: bytes | None
    changed: Sequence[str] | None = None


# Sent with `news`, a sequence of News, inside the transaction that stores what was parsed, or in which somebody lets an
# email out of quarantine. Of each email once, and once more whenever it is opened again and something differs. A
# receiver that raises undoes that transaction.
emails_processed = Signal()


def tell(news: Sequence[News]) -> None:
    if news:
        emails_processed.send(Email, news=news)
