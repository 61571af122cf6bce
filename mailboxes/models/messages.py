"""Messages: one accepted DATA each, its raw octets, and how far its processing is."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import TypedIdModel


class Message(TypedIdModel):
    """One accepted DATA: its envelope, and where its processing stands."""

    ID_PREFIX: ClassVar = "msg"

    class State(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        PROCESSED = "processed", gettext_lazy("Processed")
        PARKED = (
            "parked",
            gettext_lazy("Parked"),
        )  # it could not be processed; the raw is safe, and its webhooks went out saying so

    class Source(models.TextChoices):
        SMTP = "smtp", gettext_lazy("Smtp")
        LMTP = "lmtp", gettext_lazy("Lmtp")
        PIPE = "pipe", gettext_lazy("Pipe")  # `manage.py receive_mail`
        API = "api", gettext_lazy("Api")  # POST /v1/emails

    received_at = models.DateTimeField()
    source = models.CharField(max_length=10, choices=Source, default=Source.SMTP)
    mail_from = models.CharField(max_length=320, blank=True, help_text="envelope sender; empty is the null sender <>")
    client_ip = models.GenericIPAddressField(null=True)
    helo = models.CharField(max_length=255, blank=True)
    tls = models.CharField(max_length=40, blank=True, help_text="protocol version, empty without TLS")
    size = models.PositiveIntegerField(help_text="octets of the raw")
    sha256 = models.CharField(max_length=64, help_text="of the raw, hexadecimal")
    resends = models.PositiveIntegerField(
        default=0, db_default=0, help_text="times that it came again after a 250 that got lost"
    )

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    lease_id = models.UUIDField(null=True, editable=False)
    losses = models.PositiveSmallIntegerField(default=0, help_text="claims whose worker never came back")
    processed_at = models.DateTimeField(null=True)
    parse_status = models.CharField(max_length=10, blank=True, help_text="ok, partial or failed")
    parse_defects = models.JSONField(default=list)
    parse_version = models.PositiveSmallIntegerField(default=0)
    authentication = models.JSONField(null=True, help_text="SPF, DKIM and DMARC when it was opened; null: not checked")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=["waiting", "processed", "parked"]), name="message_state"),
            models.CheckConstraint(condition=Q(state="waiting") | Q(lease_id=None), name="message_lease_only_waiting"),
        )
        indexes = (
            models.Index(fields=["losses", "id"], condition=Q(state="waiting"), name="message_waiting"),
            models.Index(fields=["lease_id"], condition=Q(lease_id__isnull=False), name="message_leased"),
            models.Index(fields=["-id"], condition=Q(state="parked"), name="message_parked"),  # few
        )


class Reparse(models.Model):
    """Somebody asked for a message to be opened again: how far that is, and what came of it.

    Who asked deletes it once it has ended. Apart from Message, so that asking changes nothing of a mail.
    """

    message = models.ForeignKey(Message, models.CASCADE, related_name="reparses")
    is_dry_run = models.BooleanField(default=False, help_text="say what would change, and leave it")
    asked_at = models.DateTimeField()
    lease_id = models.UUIDField(null=True, editable=False)
    losses = models.PositiveSmallIntegerField(default=0, help_text="claims whose worker never came back")
    ended_at = models.DateTimeField(null=True)
    report = models.JSONField(default=list, help_text="of each of its emails: id, outcome, changed, reason")

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(condition=Q(ended_at=None) | Q(lease_id=None), name="reparse_lease_only_unfinished"),
        )
        indexes = (models.Index(fields=["losses", "id"], condition=Q(ended_at=None), name="reparse_unfinished"),)

    def __str__(self) -> str:
        return f"reparse of {self.message_id}"


class RawMessage(models.Model):
    """The octets between 354 and the terminator, dots unstuffed, closing CRLF included; see `raw.py`.

    Apart from Message: a row that is updated several times must not carry megabytes along.
    """

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="raw")
    codec = models.CharField(max_length=10)
    data = models.BinaryField()

    def __str__(self) -> str:
        return f"raw of {self.message_id}"


class Transcript(models.Model):
    """What client and listener said until a message was accepted, without DATA. Apart, so that no list loads it."""

    message = models.OneToOneField(Message, models.CASCADE, primary_key=True, related_name="transcript")
    lines = models.JSONField(help_text='[[ms since the connection began, "C" or "S", text], …]')

    def __str__(self) -> str:
        return f"transcript of {self.message_id}"


class ResendGuard(models.Model):
    """That a mail was accepted for a recipient: the same again within RESEND_WINDOW is the sender who lost our 250.

    It goes with the email: what is not here any more is no reason to turn mail away.
    """

    key = models.UUIDField(primary_key=True, help_text="digest of octets, envelope sender and recipient")
    email = models.ForeignKey("Email", models.CASCADE, related_name="+")
    accepted_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"guard of {self.email_id}"
