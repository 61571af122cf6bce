"""What emails are found by. Beside Email, in a row that is written once a mail was opened, so that no list of mail and
no change of its state carries the indexes along.
"""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy

from mailboxes.fields import WordsField
from mailboxes.models.emails import MAX_KEY, Email
from mailboxes.models.places import Mailbox
from mailboxes.words import Term

IN_SUBJECT = "s:"  # before the words of a subject, once more
IN_MAILBOX = "m:"  # then the mailbox's id in hexadecimal: who looks in one mailbox pays for no other's mail


def mailbox_word(mailbox_id: UUID) -> str:
    return f"{IN_MAILBOX}{mailbox_id.hex}"


class SearchEntryQuerySet(models.QuerySet["SearchEntry"]):
    def having(self, column: str, terms: Sequence[Term], mailbox_ids: Sequence[UUID] | None) -> Self:
        """Those with all of these in that column; of some mailboxes only, if they are named."""
        if mailbox_ids is not None and not mailbox_ids:
            return self.none()
        sought = [[term] for term in terms]
        if mailbox_ids is not None:
            sought.append([Term(mailbox_word(pk)) for pk in mailbox_ids])
        return self.filter(**{f"{column}__has_all": sought})


class SearchEntry(models.Model):
    """What an email is found by; none until it was opened. `services.search` writes it."""

    email = models.OneToOneField(Email, models.CASCADE, primary_key=True, related_name="search_entry")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, db_index=False, related_name="+", help_text="the email's")
    from_key = models.CharField(max_length=MAX_KEY, blank=True, help_text="From, as address_key has it")
    from_domain = models.CharField(max_length=MAX_KEY, blank=True)
    message_id = models.CharField(max_length=MAX_KEY, blank=True, help_text="without its angle brackets")
    has_attachment = models.BooleanField()
    log_words = WordsField(help_text="of what the log shows, to whoever has emails:read")
    all_words = WordsField(help_text="and of what the mail says, for who has emails:content")

    objects = SearchEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = gettext_lazy("search entries")
        # log_words and all_words have GIN indexes on PostgreSQL: migration 0014
        indexes = (
            models.Index(fields=["mailbox", "from_key", "-email"], name="search_by_author"),
            models.Index(fields=["mailbox", "from_domain", "-email"], name="search_by_domain"),
            models.Index(fields=["mailbox", "message_id", "-email"], name="search_by_message_id"),
            models.Index(fields=["mailbox", "has_attachment", "-email"], name="search_by_attachment"),
        )

    def __str__(self) -> str:
        return f"search entry of {self.email_id}"
