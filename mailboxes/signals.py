"""The one signal by which news goes up."""

from collections.abc import Iterable, Sequence

from django.dispatch import Signal

from mailboxes.models import Attachment, Email, Recipient

# Sent once for each Email, inside the transaction that stores what was parsed out of it, or in which somebody lets it
# out of quarantine; and once more whenever it is opened again and something differs. A receiver that raises undoes the
# processing of the whole message.
# Arguments: email (Email; message, mailbox, mailbox.domain and content loaded), recipients (list of its Recipient,
# alias and alias.domain loaded), attachments (list of its Attachment), octets (its raw; None if that cannot be read),
# changed (None the first time; later the names of what is another, as the API and events call it).
email_processed = Signal()


def tell_of_new(
    email: Email, recipients: Iterable[Recipient], attachments: Sequence[Attachment], octets: bytes | None
) -> None:
    """Sends it the first time. recipients may be those of the whole message."""
    email_processed.send(
        Email,
        email=email,
        recipients=[recipient for recipient in recipients if recipient.email_id == email.pk],
        attachments=attachments,
        octets=octets,
        changed=None,
    )
