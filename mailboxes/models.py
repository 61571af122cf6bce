"""Where mail goes, and the mail itself.

A message is one accepted DATA with its raw octets; an email is that message in one mailbox. Deleting a domain, mailbox
or alias only marks it: accepted mail stays, and an address rests before anybody else can have it. What is not taken in
leaves a refusal.
"""

from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Cast, Coalesce, Concat, Replace

from emailgistics.common import tallies
from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.models import Tally
from mailboxes import addresses

ADDRESS_RESTS_FOR = timedelta(days=30)  # so that mail for the old owner does not reach a new one
IN_MAILBOX = "mailbox_"  # then its id in hexadecimal: the counter of the octets of the mail in it


def tally_of(mailbox_id: UUID) -> str:
    return f"{IN_MAILBOX}{mailbox_id.hex}"


class DomainQuerySet(models.QuerySet["Domain"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, principal: Principal) -> Self:
        """With an allowlist, those that one of its mailboxes is in."""
        if principal.all_mailboxes:
            return self.live()
        # not a join: two allowed mailboxes are still one domain
        return self.live().filter(pk__in=Mailbox.objects.visible_to(principal).values("domain"))


class Domain(TypedIdModel):
    ID_PREFIX: ClassVar = "dom"

    name = models.CharField(max_length=addresses.MAX_DOMAIN_OCTETS, help_text="A-label form, lower case")
    is_active = models.BooleanField(default=True)
    is_test = models.BooleanField(default=False)
    includes_subdomains = models.BooleanField(
        default=False, db_default=False, help_text="mail to support@any.example.com is mail to support@example.com"
    )
    verified_at = models.DateTimeField(null=True, editable=False, help_text="its owner's word was found in its DNS")
    default_mailbox = models.ForeignKey("Mailbox", models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = DomainQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="domain_name_once"),
            # a domain is born a moment before its default mailbox, in the same transaction
            models.CheckConstraint(condition=~Q(name=""), name="domain_has_name"),
        )

    def __str__(self) -> str:
        return self.name


class MailboxQuerySet(models.QuerySet["Mailbox"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, principal: Principal) -> Self:
        return self.live() if principal.all_mailboxes else self.live().filter(pk__in=principal.mailbox_ids)

    def with_used_bytes(self) -> Self:
        """With `used_bytes` loaded."""
        hexadecimal = Replace(Cast("pk", models.CharField(max_length=36)), Value("-"), Value(""))
        rows = Tally.objects.filter(name=OuterRef("tally")).order_by().values("name")
        counted = Subquery(rows.annotate(total=Sum("amount")).values("total"))
        named = self.alias(tally=Concat(Value(IN_MAILBOX), hexadecimal))
        return named.annotate(used_bytes=Coalesce(counted, 0))


class Mailbox(TypedIdModel):
    ID_PREFIX: ClassVar = "mbx"
    MAILBOX_COLUMN: ClassVar = "id"  # see common/footprint.py

    domain = models.ForeignKey(Domain, models.PROTECT, related_name="mailboxes")
    local_part = models.CharField(max_length=addresses.MAX_LOCAL_PART_OCTETS)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    time_zone = models.CharField(max_length=64, blank=True, help_text="IANA name; empty is the installation's")
    # days until something is pruned; null keeps it
    raw_days = models.PositiveIntegerField(null=True, blank=True)
    content_days = models.PositiveIntegerField(null=True, blank=True)
    log_days = models.PositiveIntegerField(null=True, blank=True)
    quota_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="octets of mail that it may hold; null is no limit"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = MailboxQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "mailboxes"

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        return addresses.join(self.local_part, self.domain.name)

    @cached_property
    def used_bytes(self) -> int:
        """Octets of mail in it. Of many mailboxes `with_used_bytes` loads it."""
        return tallies.total(tally_of(self.pk))


class AliasQuerySet(models.QuerySet["Alias"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def with_copies(self) -> Self:
        """With `copies` loaded: only those whose mailbox is not deleted, in the order in which they were added."""
        copies = AliasCopy.objects.filter(mailbox__deleted_at=None).order_by("id")
        return self.prefetch_related(models.Prefetch("copies", copies))

    def visible_to(self, principal: Principal) -> Self:
        return self.live() if principal.all_mailboxes else self.live().filter(mailbox__in=principal.mailbox_ids)


class Alias(TypedIdModel):
    ID_PREFIX: ClassVar = "alias"

    class Kind(models.TextChoices):
        EXACT = "exact"
        PATTERN = "pattern"
        CATCH_ALL = "catch_all"

    domain = models.ForeignKey(Domain, models.PROTECT, related_name="aliases")
    name = models.CharField(
        max_length=addresses.MAX_PATTERN_LENGTH, help_text="local part, a pattern of them, or * for the catch-all"
    )
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="aliases")
    further_mailboxes = models.ManyToManyField(
        Mailbox, through="AliasCopy", related_name="+", help_text="each gets an email of its own, too"
    )
    priority = models.PositiveSmallIntegerField(
        default=100, db_default=100, help_text="of patterns that fit, the lowest wins"
    )
    description = models.CharField(max_length=500, blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.EXACT)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = AliasQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "aliases"
        constraints = (
            models.CheckConstraint(
                condition=Q(kind="catch_all", name=addresses.CATCH_ALL)
                | (Q(kind__in=["exact", "pattern"]) & ~Q(name=addresses.CATCH_ALL)),
                name="alias_kind_fits_name",
            ),
            # no row of Address guards it: a pattern is not one address
            models.UniqueConstraint(
                fields=["domain", "name"], condition=Q(kind="pattern", deleted_at=None), name="alias_pattern_once"
            ),
        )
        # for each mail: whether its domain has patterns at all
        indexes = (models.Index(fields=["domain", "kind"], name="alias_of_kind"),)

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        if self.kind == self.Kind.PATTERN:
            return f"{self.name}@{self.domain.name}"  # not an address: no quotes make it one
        return addresses.join(self.name, self.domain.name)


class AliasCopy(models.Model):
    """A further mailbox that an alias leads to.

    The alias belongs to its first mailbox: webhooks of the alias hear of the emails there, not of these.
    """

    alias = models.ForeignKey(Alias, models.CASCADE, related_name="copies")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="+")

    class Meta:
        ordering = ("id",)
        constraints = (models.UniqueConstraint(fields=["alias", "mailbox"], name="alias_copy_once"),)

    def __str__(self) -> str:
        return f"{self.alias} -> {self.mailbox}"


class RuleQuerySet(models.QuerySet["Rule"]):
    def live(self) -> Self:
        """Those that hold, or would if they were active: a rule ends with what it is for."""
        owners = {f"{owner}__deleted_at": None for owner in ("domain", "mailbox", "alias", "alias__mailbox")}
        return self.filter(deleted_at=None, **owners)

    def visible_to(self, principal: Principal) -> Self:
        """With an allowlist, those of its mailboxes and of aliases that lead there: the others speak for more."""
        if principal.all_mailboxes:
            return self.live()
        allowed = principal.mailbox_ids
        return self.live().filter(Q(mailbox__in=allowed) | Q(alias__mailbox__in=allowed))


class Rule(TypedIdModel):
    """What becomes of mail that fits: of all, or of that for a domain, a mailbox or an alias; see `services.rules`."""

    ID_PREFIX: ClassVar = "rule"

    class Action(models.TextChoices):
        ALLOW = "allow"
        BLOCK = "block"  # refused where the sender's host can still be told, quarantined otherwise
        DISCARD = "discard"  # accepted and not kept; a refusal says so
        QUARANTINE = "quarantine"  # kept, told to nobody until somebody releases it

    class Criterion(models.TextChoices):
        SENDER = "sender"  # envelope sender; empty is the null sender
        SENDER_DOMAIN = "sender_domain"  # with its sub-domains
        NETWORK = "network"  # of the client, in CIDR
        ATTACHMENT = "attachment"  # media type as in image/*, or the end of a filename as in .exe
        SIZE = "size"  # larger than that many octets

    domain = models.ForeignKey(Domain, models.CASCADE, null=True, related_name="rules")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, null=True, related_name="rules")
    alias = models.ForeignKey(Alias, models.CASCADE, null=True, related_name="rules")
    action = models.CharField(max_length=10, choices=Action)
    criterion = models.CharField(max_length=20, choices=Criterion)
    value = models.CharField(max_length=320, blank=True, help_text="in the criterion's canonical form")
    description = models.CharField(max_length=500, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # marked, not removed: mail that it kept back or threw away goes on naming it
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(domain=None, mailbox=None) | Q(domain=None, alias=None) | Q(mailbox=None, alias=None),
                name="rule_has_one_scope",
            ),
            models.CheckConstraint(
                condition=Q(action__in=["allow", "block", "discard", "quarantine"]), name="rule_action"
            ),
            models.CheckConstraint(
                condition=Q(criterion__in=["sender", "sender_domain", "network", "attachment", "size"]),
                name="rule_criterion",
            ),
        )
        indexes = (
            models.Index(
                fields=["criterion", "value"], condition=Q(is_active=True, deleted_at=None), name="rule_by_value"
            ),
        )


class Address(models.Model):
    """The one table of addresses: whoever has the row has the address, be it a mailbox or an alias.

    The row outlives its deleted owner for ADDRESS_RESTS_FOR, and goes to the next owner only after that.
    """

    domain = models.ForeignKey(Domain, models.PROTECT, related_name="addresses")
    local_key = models.CharField(max_length=4 * addresses.MAX_LOCAL_PART_OCTETS, help_text="see addresses.local_key")
    mailbox = models.OneToOneField(Mailbox, models.PROTECT, null=True, related_name="address_row")
    alias = models.OneToOneField(Alias, models.PROTECT, null=True, related_name="address_row")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["domain", "local_key"], name="address_once"),
            models.CheckConstraint(
                condition=Q(mailbox=None, alias__isnull=False) | Q(mailbox__isnull=False, alias=None),
                name="address_has_one_owner",
            ),
        )

    def __str__(self) -> str:
        return addresses.join(self.local_key, self.domain.name)

    @property
    def owner(self) -> Mailbox | Alias:
        owner = self.mailbox or self.alias
        if owner is None:
            raise AssertionError("address_has_one_owner")
        return owner


class Message(TypedIdModel):
    """One accepted DATA: its envelope, and where its processing stands."""

    ID_PREFIX: ClassVar = "msg"

    class State(models.TextChoices):
        WAITING = "waiting"
        PROCESSED = "processed"
        PARKED = "parked"  # it could not be processed; the raw is safe, and its webhooks went out saying so

    class Source(models.TextChoices):
        SMTP = "smtp"
        LMTP = "lmtp"
        PIPE = "pipe"  # `manage.py receive_mail`
        API = "api"  # POST /v1/emails

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


class Refusal(TypedIdModel):
    """Mail for one recipient that was not taken in, or was taken and thrown away as a rule says: the row that says why.

    Refusals are kept for the first few of a network in an hour; every discard is kept, for it was answered with 250.
    """

    ID_PREFIX: ClassVar = "ref"

    class Outcome(models.TextChoices):
        REFUSED = "refused"
        DISCARDED = "discarded"

    at = models.DateTimeField(db_index=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.REFUSED)
    source = models.CharField(max_length=10, choices=Message.Source)
    network = models.CharField(max_length=43, blank=True, help_text="of the client: /24, or /64 of IPv6")
    client_ip = models.GenericIPAddressField(null=True)
    helo = models.CharField(max_length=255, blank=True)
    mail_from = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320, blank=True, help_text="empty where none was named yet")
    reply = models.CharField(max_length=200, help_text="what the client was told")
    code = models.CharField(max_length=40, help_text="stable: the error's, or rule")
    rule = models.ForeignKey(Rule, models.SET_NULL, null=True, related_name="refusals")
    size = models.PositiveIntegerField(null=True, help_text="octets of the raw, where they were read")
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the raw, hexadecimal, where it was read")
    transcript = models.JSONField(default=list, help_text="see Transcript")

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "refused mail"
        constraints = (
            models.CheckConstraint(condition=Q(outcome__in=["refused", "discarded"]), name="refusal_outcome"),
        )


class RefusalCount(models.Model):
    """How much a network was refused within an hour, with and without a row of its own."""

    network = models.CharField(max_length=43, blank=True)
    hour = models.DateTimeField()
    refused = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["network", "hour"], name="refusal_count_once"),)

    def __str__(self) -> str:
        return f"{self.refused} of {self.network} at {self.hour}"


class EmailQuerySet(models.QuerySet["Email"]):
    def visible_to(self, principal: Principal) -> Self:
        """By mailbox; mail of a deleted mailbox is nobody's."""
        live = self.filter(mailbox__deleted_at=None)
        return live if principal.all_mailboxes else live.filter(mailbox__in=principal.mailbox_ids)


class Email(TypedIdModel):
    """A message in one mailbox."""

    ID_PREFIX: ClassVar = "email"

    class Status(models.TextChoices):
        WAITING = "waiting"
        PROCESSED = "processed"
        PARKED = "parked"
        QUARANTINED = "quarantined"  # a rule says that nobody hears of it until somebody releases it

    message = models.ForeignKey(Message, models.PROTECT, related_name="emails")
    mailbox = models.ForeignKey(Mailbox, models.PROTECT, related_name="emails")
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

    objects = EmailQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["message", "mailbox"], name="email_once_per_mailbox"),
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "processed", "parked", "quarantined"]), name="email_status"
            ),
        )
        indexes = (models.Index(fields=["mailbox", "-id"], name="email_newest_first"),)


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
        EXACT = "exact"
        PLUS = "plus"
        RESERVED = "reserved"
        PATTERN = "pattern"
        CATCH_ALL = "catch_all"

    id = models.BigAutoField(primary_key=True)
    message = models.ForeignKey(Message, models.CASCADE, related_name="recipients")
    email = models.ForeignKey(Email, models.CASCADE, related_name="recipients")
    alias = models.ForeignKey(Alias, models.PROTECT, null=True, related_name="recipients")
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
        indexes = (models.Index(fields=["alias", "email"], name="recipient_by_alias"),)

    def __str__(self) -> str:
        return self.address
