"""The one signal by which news goes up."""

from django.dispatch import Signal

# Sent once for each Email, inside the transaction that stores what was parsed out of it; and once more whenever it is
# opened again and something differs. A receiver that raises undoes the processing of the whole message.
# Arguments: email (Email; message, mailbox, mailbox.domain and content loaded), recipients (list of its Recipient,
# alias and alias.domain loaded), attachments (list of its Attachment), octets (its raw; None if that cannot be read),
# changed (None the first time; later the names of what is another, as the API and events call it).
email_processed = Signal()
