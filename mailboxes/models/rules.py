"""Rules: what becomes of mail that fits."""

from typing import ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from emailgistics.common.access import Principal
from emailgistics.common.ids import TypedIdModel
from mailboxes.models.places import Alias, Domain, Mailbox


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
        ALLOW = "allow", gettext_lazy("Allow")
        BLOCK = (
            "block",
            gettext_lazy("Block"),
        )  # refused where the sender's host can still be told, quarantined otherwise
        DISCARD = "discard", gettext_lazy("Discard")  # accepted and not kept; a refusal says so
        QUARANTINE = "quarantine", gettext_lazy("Quarantine")  # kept, told to nobody until somebody releases it

    class Criterion(models.TextChoices):
        SENDER = "sender", gettext_lazy("Sender")  # envelope sender; empty is the null sender
        SENDER_DOMAIN = "sender_domain", gettext_lazy("Sender Domain")  # with its sub-domains
        NETWORK = "network", gettext_lazy("Network")  # of the client, in CIDR
        ATTACHMENT = (
            "attachment",
            gettext_lazy("Attachment"),
        )  # media type as in image/*, or the end of a filename as in .exe
        SIZE = "size", gettext_lazy("Size")  # larger than that many octets

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
