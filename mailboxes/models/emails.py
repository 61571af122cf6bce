"""Emails: a message in one mailbox, what it says, and by what recipients it came."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from mailboxes import addresses
from mailboxes.models.messages import Message
from mailboxes.models.places import Alias, Mailbox
from mailboxes.models.rules import Rule

MAX_KEY = 320  # characters: an index takes no more than about 2700 octets of a row


class EmailQuerySet(models.QuerySet["Email"]):
    def visible_to(self, principal: Principal) -> Self:
        """By mailbox; mail of a deleted mailbox is nobody's."""
        live = self.filter(mailbox__deleted_at=None)
        return live if principal.all_mailboxes else live.filter(mailbox__in=principal.mailbox_ids)


class Email(TypedIdModel):
    """A message in one mailbox."""

    ID_PREFIX: ClassVar = "email"

    class Status(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        PROCESSED = "processed", gettext_lazy("Processed")
        PARKED = "parked", gettext_lazy("Parked")
        QUARANTINED = (
            "quarantined",
            gettext_lazy("Quarantined"),
        )  # a rule says that nobody hears of it until somebody releases it

    # email_once_per_mailbox and email_newest_first find them; each index more is written twice for every email
    message = models.ForeignKey(Message, models.PROTECT, db_index=False, related_name="emails")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, db_index=False, related_name="emails")
    received_at = models.DateTimeField()
    size = models.PositiveIntegerField(help_text="octets of the raw")
    status = models.CharField(max_length=12, choices=Status, default=Status.WAITING)
    quarantine_reason = models.CharField(
        max_length=400, blank=True, default="", db_default="", help_text="why it is kept back, or was"
    )
    # no index: rules are marked deleted, so nobody asks for it
    quarantine_rule = models.ForeignKey(Rule, models.SET_NULL, null=True, db_index=False, related_name="+")
    released_at = models.DateTimeField(null=True, help_text="out of quarantine")

    # what the log shows, out of the headers once processed
    kind = models.CharField(max_length=20, default="normal")
    subject = models.TextField(blank=True)
    from_name = models.TextField(blank=True)
    from_address = models.TextField(blank=True)
    date = models.DateTimeField(null=True)
    message_id_header = models.TextField(blank=True)
    has_attachment = models.BooleanField(default=False)

    # retention of its mailbox: see services/retain.py
    raw_removed_at = models.DateTimeField(null=True, help_text="the raw is not kept for this mailbox since then")
    content_removed_at = models.DateTimeField(null=True, help_text="what it says, headers too, is not kept since then")

    objects = EmailQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["message", "mailbox"], name="email_once_per_mailbox"),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "processed", "parked", "quarantined"]), name="email_status"
            ),
        )
        indexes = (
            models.Index(fields=["mailbox", "-id"], name="email_newest_first"),
            # few: nearly all are processed, and found among all
            models.Index(
                fields=["mailbox", "status", "-id"],
                condition=Q(status__in=["waiting", "parked", "quarantined"]),
                name="email_unprocessed",
            ),
        )


class EmailContent(models.Model):
    """What an email says. Beside Email, so that no list loads it."""

    email = models.OneToOneField(Email, models.CASCADE, primary_key=True, related_name="content")
    in_reply_to = models.TextField(blank=True)
    references = models.JSONField(default=list)
    addresses = models.JSONField(default=dict, help_text="sender, reply_to, to, cc: {name, address} or lists of them")
    headers = models.JSONField(default=list, help_text="[[name, value], …] in their order, decoded")
    text = models.TextField(blank=True)
    text_truncated = models.BooleanField(default=False)
    html = models.TextField(blank=True)
    html_truncated = models.BooleanField(default=False)
    html_safe = models.TextField(blank=True, db_default="", help_text="the HTML, made safe to show to people")
    preview = models.TextField(blank=True)
    marks = models.JSONField(
        default=list, db_default=models.Value([], models.JSONField()), help_text="codes; see mime/kinds.py"
    )
    # null for mail that is none
    bounce = models.JSONField(
        null=True, help_text="action, status, diagnostic, final_recipient, original_message_id; empty if not said"
    )
    mailing_list = models.JSONField(null=True, help_text="id, unsubscribe, one_click")
    calendar = models.JSONField(null=True, help_text="method, uid, summary, start, end; empty if not said")

    def __str__(self) -> str:
        return f"content of {self.email_id}"


class Attachment(TypedIdModel):
    """Where in the raw an attachment is; `raw.py` reads its octets from there."""

    ID_PREFIX: ClassVar = "att"

    email = models.ForeignKey(Email, models.CASCADE, related_name="attachments")
    position = models.PositiveSmallIntegerField(help_text="from 0, in the order of the mail")
    part = models.CharField(max_length=200, help_text="path of the MIME part, as in 1.2")
    filename = models.CharField(max_length=255)
    content_type = models.CharField(max_length=255, help_text="as declared")
    detected_type = models.CharField(
        max_length=255, blank=True, db_default="", help_text="by its first octets; empty when they do not tell"
    )
    is_inline = models.BooleanField(default=False)
    content_id = models.CharField(max_length=998, blank=True)
    size = models.PositiveIntegerField(help_text="octets once decoded")
    sha256 = models.CharField(max_length=64, help_text="of the decoded octets, hexadecimal")
    encoding = models.CharField(max_length=20, help_text="content transfer encoding that applies")
    offset = models.PositiveIntegerField(help_text="of the first encoded octet in the raw")
    length = models.PositiveIntegerField(help_text="encoded octets in the raw")

    class Meta:
        ordering = ("email", "position")
        constraints = (models.UniqueConstraint(fields=["email", "position"], name="attachment_position_once"),)


class Recipient(models.Model):
    """One accepted RCPT TO, where routing led it, and why."""

    class Kind(models.TextChoices):
        EXACT = "exact", gettext_lazy("Exact")
        PLUS = "plus", gettext_lazy("Plus")
        RESERVED = "reserved", gettext_lazy("Reserved")
        PATTERN = "pattern", gettext_lazy("Pattern")
        CATCH_ALL = "catch_all", gettext_lazy("Catch All")

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(Message, models.CASCADE, related_name="recipients")
    email = models.ForeignKey(Email, models.CASCADE, related_name="recipients")
    alias = models.ForeignKey(Alias, models.PROTECT, null=True, db_index=False, related_name="recipients")
    # these two are null in rows of an older release, until `manage.py emails index` has come to them
    mailbox = models.ForeignKey(
        Mailbox, models.PROTECT, null=True, db_index=False, related_name="+", help_text="the email's"
    )
    address_key = models.CharField(max_length=MAX_KEY, null=True, help_text="see addresses.address_key")
    address = models.CharField(max_length=320, help_text="as the sender's host gave it")
    kind = models.CharField(max_length=10, choices=Kind)
    tag = models.CharField(max_length=addresses.MAX_LOCAL_PART_OCTETS, blank=True)
    captures = models.JSONField(
        default=dict,
        db_default=models.Value({}, models.JSONField()),
        help_text="what the pattern's groups matched, by name or number",
    )
    is_copy = models.BooleanField(default=False, db_default=False, help_text="it led to a further mailbox of its alias")
    explanation = models.JSONField(default=list, help_text="the decisions of routing, in their order")

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(fields=["alias", "email"], name="recipient_by_alias"),
            models.Index(fields=["mailbox", "alias", "-email"], name="recipient_newest_of_alias"),
            models.Index(fields=["mailbox", "address_key", "-email"], name="recipient_newest_of_address"),
        )

    def __str__(self) -> str:
        return self.address
