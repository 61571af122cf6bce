"""Where mail goes: domains, mailboxes, aliases, and the one table of their addresses."""

from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Cast, Coalesce, Concat, Replace
from django.utils.translation import gettext_lazy

from emailgistics.common import tallies
from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.models import Tally
from mailboxes import addresses

ADDRESS_RESTS_FOR = timedelta(days=30)  # so that mail for the old owner does not reach a new one
ACTOR_LENGTH = 80  # of who deleted something: a key, a person, a command
IN_MAILBOX = "mailbox_"  # then its id in hexadecimal: the counter of the octets of the mail in it


def tally_of(mailbox_id: UUID) -> str:
    return f"{IN_MAILBOX}{mailbox_id.hex}"


class DomainQuerySet(models.QuerySet["Domain"]):
    def live(self) -> Self:
        return self.filter(deleted_at=None)

    def visible_to(self, principal: Principal) -> Self:
        """With an allowlist, those that one of its mailboxes is in."""
        return self.live() if principal.all_mailboxes else self.live().filter(pk__in=principal.domain_ids)


class Domain(TypedIdModel):
    ID_PREFIX: ClassVar = "dom"

    class DnsStatus(models.TextChoices):
        UNCHECKED = "unchecked", gettext_lazy("Unchecked")  # nobody looked yet
        OK = "ok", gettext_lazy("Ok")
        MISSING = "missing", gettext_lazy("Missing")
        WRONG = "wrong", gettext_lazy("Wrong")
        UNKNOWN = "unknown", gettext_lazy("Unknown")  # the DNS did not answer, or nobody has said what is to be there

    name = models.CharField(max_length=addresses.MAX_DOMAIN_OCTETS, help_text="A-label form, lower case")
    is_active = models.BooleanField(default=True)
    is_test = models.BooleanField(default=False)
    includes_subdomains = models.BooleanField(
        default=False, db_default=False, help_text="mail to support@any.example.com is mail to support@example.com"
    )
    verified_at = models.DateTimeField(null=True, editable=False, help_text="its owner's word was found in its DNS")
    dns_status = models.CharField(
        max_length=10,
        choices=DnsStatus,
        default=DnsStatus.UNCHECKED,
        db_default=DnsStatus.UNCHECKED,
        editable=False,
        help_text="of the DNS records that it needs, when they were last looked at",
    )
    dns_checked_at = models.DateTimeField(null=True, editable=False)
    dns_found = models.JSONField(null=True, editable=False, help_text="what stood there then; see services.dns_records")
    default_mailbox = models.ForeignKey("Mailbox", models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, editable=False)
    deleted_by = models.CharField(max_length=ACTOR_LENGTH, blank=True, default="", db_default="", editable=False)

    objects = DomainQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="domain_name_once"),
            # a domain is born a moment before its default mailbox, in the same transaction
            models.CheckConstraint(condition=~Q(name=""), name="domain_has_name"),
            models.CheckConstraint(
                condition=Q(dns_status__in=["unchecked", "ok", "missing", "wrong", "unknown"]),
                name="domain_dns_status",
            ),
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
    deleted_by = models.CharField(max_length=ACTOR_LENGTH, blank=True, default="", db_default="", editable=False)

    objects = MailboxQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = gettext_lazy("mailboxes")

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
        EXACT = "exact", gettext_lazy("Exact")
        PATTERN = "pattern", gettext_lazy("Pattern")
        CATCH_ALL = "catch_all", gettext_lazy("Catch All")

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
    deleted_by = models.CharField(max_length=ACTOR_LENGTH, blank=True, default="", db_default="", editable=False)

    objects = AliasQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        verbose_name_plural = gettext_lazy("aliases")
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
