"""Endpoints: where news goes, what they are bound to, and how well they take it."""

import re
from dataclasses import fields
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Right
from django.utils.translation import gettext_lazy

from apikeys.models import ApiKey
from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel, encode_id
from mailboxes.models import ACTOR_LENGTH, Alias, Domain, Mailbox
from webhooks.health import Health

DELETED = "the webhook, or what it was bound to, was deleted"
MOVED = "its alias leads to another mailbox now; resume it to confirm"
OTHER_MAILBOX = (
    "mail of a mailbox that is not confirmed for this endpoint now; it goes out when the alias leads there again and "
    "the webhook is resumed"
)
PULLED = "waits to be pulled: the webhook has no URL"
STOPPED = "all outgoing webhooks are stopped"
USUAL_PORTS = {"https": ":443", "http": ":80"}
MAX_IN_FLIGHT = 20  # of one webhook, unless it says less
ALIVE = Q(deleted_at=None, alias__deleted_at=None, mailbox__deleted_at=None, domain__deleted_at=None)
STAYED = Q(alias=None) | Q(alias__mailbox=F("bound_mailbox"))

_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<path>.*)", re.DOTALL)


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def live(self) -> Self:
        """Neither the webhook nor what it is bound to was deleted."""
        return self.filter(ALIVE)

    def gone(self) -> Self:
        return self.exclude(ALIVE)

    def moved(self) -> Self:
        """Their alias leads elsewhere: see `Webhook.is_moved`."""
        return self.exclude(STAYED)

    def sending(self) -> Self:
        """Mail may go out to them by itself."""
        return self.live().filter(STAYED, state=Webhook.State.ACTIVE).exclude(url="")

    def at(self, url: str) -> Self:
        """Those with that URL, whatever the case of its scheme and host, with or without the port that is usual and the
        slash of an empty path; without one, those that are pulled.
        """
        parts = _URL.fullmatch(url)
        if parts is None or "\0" in url:  # no row has a NUL, and PostgreSQL takes none in a question
            return self.none() if url else self.filter(url="")
        scheme, authority, path = parts["scheme"], parts["authority"], parts["path"]
        port = USUAL_PORTS.get(scheme.lower(), "")
        host = authority.removesuffix(port)
        same = Q()
        for end in ("", "/") if path in ("", "/") else (path,):
            same |= Q(url__iexact=f"{scheme}://{host}{end}") | Q(url__iexact=f"{scheme}://{host}{port}{end}")
        rows = self.filter(same)
        return rows if path in ("", "/") else rows.alias(path=Right("url", len(path))).filter(path=path)

    def visible_to(self, principal: Principal) -> Self:
        """By what it is bound to; that of a domain hears of all its mailboxes, so it is for keys of all mailboxes."""
        if principal.all_mailboxes:
            return self.live()
        allowed = principal.mailbox_ids
        return self.live().filter(Q(mailbox__in=allowed) | Q(alias__mailbox__in=allowed))


def usual_event_types() -> list[str]:
    """What a webhook is told of unless somebody says otherwise: that mail is read otherwise, only who asks for it."""
    return [name for name in Webhook.EventType.values if name != Webhook.EventType.EMAIL_REPARSED]


class Webhook(TypedIdModel):
    ID_PREFIX: ClassVar = "wh"

    class State(models.TextChoices):
        ACTIVE = "active", gettext_lazy("Active")
        PAUSED = "paused", gettext_lazy("Paused")
        DISABLED = "disabled", gettext_lazy("Disabled")

    class Payload(models.TextChoices):
        FULL = "full", gettext_lazy("Full")
        METADATA = "metadata", gettext_lazy("Metadata")

    class Attachments(models.TextChoices):
        """How attachments come with a full payload."""

        LINKS = "links", gettext_lazy("Links")
        INLINE = "inline", gettext_lazy("Inline")

    class EventType(models.TextChoices):
        """What a webhook can be told of; see `Event.Type` for all there are."""

        EMAIL_RECEIVED = "email.received", gettext_lazy("Email Received")
        EMAIL_REPARSED = "email.reparsed", gettext_lazy("Email Reparsed")
        WEBHOOK_DISABLED = "webhook.disabled", gettext_lazy("Webhook Disabled")

    alias = models.ForeignKey(Alias, models.PROTECT, null=True, blank=True, related_name="webhooks")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, null=True, blank=True, related_name="webhooks")
    domain = models.ForeignKey(Domain, models.PROTECT, null=True, blank=True, related_name="webhooks")
    url = models.URLField(max_length=2000, blank=True, help_text="empty: nothing is sent, its deliveries are pulled")
    sealed_secret = models.BinaryField(help_text="see services.webhooks.secrets_of")
    sealed_previous_secret = models.BinaryField(null=True, help_text="signs as well while a rotation overlaps")
    previous_secret_until = models.DateTimeField(null=True)
    header_names = models.JSONField(
        default=list,
        # the release before knows no headers, and goes on making webhooks while this one is rolled out
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="of its own headers, as written",
    )
    sealed_headers = models.BinaryField(null=True, help_text="names and values; the values are never shown")
    # mail of another mailbox is for other eyes: who moves the alias pauses its webhooks until somebody confirms
    bound_mailbox = models.ForeignKey(
        Mailbox,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="where its alias led when it was bound or last resumed",
    )
    endpoint_mailbox = models.ForeignKey(
        Mailbox,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        help_text="where its alias led when url or headers were last changed; null: where it was bound first",
    )
    payload = models.CharField(max_length=10, choices=Payload, default=Payload.FULL)
    attachments = models.CharField(
        max_length=10, choices=Attachments, default=Attachments.LINKS, db_default=Attachments.LINKS
    )
    events = models.JSONField(
        default=usual_event_types,
        db_default=models.Value(["email.received", "webhook.disabled"], models.JSONField()),
        help_text="what it is told of",
    )
    thinned_at = models.DateTimeField(
        null=True, editable=False, help_text="since its receiver answered 413: its events go without what mails say"
    )
    max_in_flight = models.PositiveSmallIntegerField(default=MAX_IN_FLIGHT, db_default=MAX_IN_FLIGHT)
    rate_per_minute = models.PositiveIntegerField(null=True, blank=True, help_text="requests; null is no limit")
    last_position = models.BigIntegerField(
        default=0, db_default=0, editable=False, help_text="the highest that a delivery of its was given, for pulling"
    )
    description = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    state_reason = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)
    deleted_by = models.CharField(max_length=ACTOR_LENGTH, blank=True, default="", db_default="", editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(alias__isnull=False, mailbox=None, domain=None)
                | Q(alias=None, mailbox__isnull=False, domain=None)
                | Q(alias=None, mailbox=None, domain__isnull=False),
                name="webhook_has_one_binding",
            ),
            models.CheckConstraint(condition=Q(state__in=["active", "paused", "disabled"]), name="webhook_state"),
            models.CheckConstraint(condition=Q(payload__in=["full", "metadata"]), name="webhook_payload"),
            models.CheckConstraint(condition=Q(attachments__in=["links", "inline"]), name="webhook_attachments"),
            models.CheckConstraint(
                condition=Q(max_in_flight__gte=1, max_in_flight__lte=MAX_IN_FLIGHT), name="webhook_max_in_flight"
            ),
            models.CheckConstraint(condition=Q(rate_per_minute=None) | Q(rate_per_minute__gte=1), name="webhook_rate"),
            models.CheckConstraint(
                condition=Q(sealed_previous_secret=None, previous_secret_until=None)
                | Q(sealed_previous_secret__isnull=False, previous_secret_until__isnull=False),
                name="webhook_previous_secret_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(alias=None, bound_mailbox=None) | Q(alias__isnull=False, bound_mailbox__isnull=False),
                name="webhook_of_alias_is_bound_to_its_mailbox",
            ),
        )

    @property
    def is_gone(self) -> bool:
        """Needs `alias`, `mailbox` and `domain`."""
        return bool(self._deleted_things)

    @property
    def why_gone(self) -> str:
        """And by whom, as far as that is on record. Needs `alias`, `mailbox` and `domain`."""
        by = next((thing.deleted_by for thing in self._deleted_things if thing.deleted_by), "")
        return f"{DELETED} by {by}" if by else DELETED

    @property
    def _deleted_things(self) -> list[Any]:
        things = (self, self.alias, self.mailbox, self.domain)
        return [thing for thing in things if thing is not None and thing.deleted_at is not None]

    @property
    def is_moved(self) -> bool:
        """Its alias leads to another mailbox than when it was bound or last resumed. Needs `alias`."""
        return self.alias is not None and self.alias.mailbox_id != self.bound_mailbox_id

    @property
    def current_state(self) -> str:
        """What holds now, and what people are shown: paused as soon as its alias was moved. Needs `alias`."""
        return self.State.PAUSED if self.is_moved and self.state == self.State.ACTIVE else self.state

    @property
    def current_state_reason(self) -> str:
        """Needs `alias`."""
        if not self.is_moved or MOVED in self.state_reason:
            return self.state_reason
        return f"{self.state_reason}; {MOVED}" if self.state_reason else MOVED

    @property
    def form(self) -> str:
        """In which of `EventBody.Form` it gets the news of a mail now."""
        if self.payload == self.Payload.METADATA:
            return "metadata"
        if self.thinned_at is not None:
            return "thin"
        return "inline" if self.attachments == self.Attachments.INLINE else "full"

    def obstacle(self, mailbox_id: UUID | None) -> str:
        """Why news of that mailbox may not go out to it now; empty if it may. Needs `alias`.

        mailbox_id is None for what is not about a mail.

        A webhook of an alias gets the mail of the mailboxes that were confirmed for its endpoint and no other's: else
        whoever gets the alias could point the webhook at himself, and the mail that waits would follow.
        """
        if self.current_state != self.State.ACTIVE:
            return f"the webhook is {self.current_state}"
        if not self.url:
            return PULLED
        if (
            self.alias_id
            and mailbox_id is not None
            and mailbox_id not in (self.bound_mailbox_id, self.endpoint_mailbox_id)
        ):
            return OTHER_MAILBOX
        return ""

    def keeps_back(self, mailbox_id: UUID) -> bool:
        """Whether that mailbox's mail stays held while it is active, or still is once it is resumed. Needs `alias`."""
        if self.alias is None:
            return False
        return mailbox_id not in (self.alias.mailbox_id, self.endpoint_mailbox_id or self.bound_mailbox_id)


class WebhookHealth(models.Model):
    """How well a webhook takes what it is sent: see `webhooks.health`, whose fields these are.

    Apart from Webhook: it is locked and written while deliveries are claimed and recorded, by every dispatcher. A row
    that is all default says nothing against the webhook, and is not written for successes.
    """

    webhook = models.OneToOneField(Webhook, models.CASCADE, primary_key=True, related_name="health")
    failing_since = models.DateTimeField(null=True, help_text="the first failure since the last success")
    failures = models.PositiveIntegerField(default=0, help_text="since then")
    alerted_percent = models.PositiveSmallIntegerField(default=0, help_text="of the way to being disabled: last notice")
    window_started_at = models.DateTimeField(null=True, help_text="in which the circuit breaker counts")
    window_results = models.PositiveIntegerField(default=0)
    window_failures = models.PositiveIntegerField(default=0)
    before_results = models.PositiveIntegerField(default=0, db_default=0, help_text="of the window before it")
    before_failures = models.PositiveIntegerField(default=0, db_default=0)
    open_until = models.DateTimeField(null=True, help_text="the circuit breaker lets nothing out before")
    open_for_s = models.PositiveSmallIntegerField(default=0, help_text="how long it was opened last; 0: it is closed")
    cap = models.PositiveSmallIntegerField(null=True, help_text="requests at once, after trouble; null: as many as may")
    tokens = models.FloatField(null=True, help_text="of the rate limit's bucket, at tokens_at")
    tokens_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"health of {encode_id(Webhook.ID_PREFIX, self.webhook_id)}"

    @property
    def known(self) -> Health:
        """All of it but the rate limit's part."""
        return Health(**{field.name: getattr(self, field.name) for field in fields(Health)})


class Notice(models.Model):
    """Something that the owner of a webhook should know."""

    class Kind(models.TextChoices):
        FAILING = "failing", gettext_lazy("Failing")  # part of the way to being disabled
        DISABLED = "disabled", gettext_lazy("Disabled")
        RECOVERED = "recovered", gettext_lazy("Recovered")
        THINNED = "thinned", gettext_lazy("Thinned")  # its receiver answered 413
        EXPIRING = "expiring", gettext_lazy("Expiring")  # what is held for it will soon expire

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="notices", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    text = models.CharField(max_length=300)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["webhook", "-id"], name="notice_of_webhook"),)

    def __str__(self) -> str:
        return self.text


class OutgoingStop(models.Model):
    """While its one row is there, no dispatcher starts any attempt: "stop all outgoing"."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    stopped_at = models.DateTimeField()
    stopped_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=200, blank=True)
    is_restore = models.BooleanField(
        default=False, db_default=False, help_text="the database is older than what was sent; see `restored.py`"
    )

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="outgoing_stop_is_one"),)

    def __str__(self) -> str:
        return f"stopped by {self.stopped_by}"
