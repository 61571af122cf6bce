"""The one signal by which news goes up."""

from django.dispatch import Signal

# Sent once for each Email, inside the transaction that stores what was parsed out of it.
# Arguments: email (Email, saved, with mailbox.domain loaded), parsed (mime.ParsedMail). A receiver that raises undoes
# the processing.
email_processed = Signal()
