"""Who asks, and what they may: the vocabulary between views (any app) and the key system (`apikeys`).

`Scope` is the one registry of scopes; views name what an action needs from it, `apikeys` checks it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q, QuerySet, TextChoices
from django.utils.translation import gettext_lazy

from emailgistics.common import footprint
from emailgistics.common.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request


class Scope(TextChoices):
    DOMAINS_READ = "domains:read", gettext_lazy("See domains")
    DOMAINS_WRITE = "domains:write", gettext_lazy("Create, change and delete domains")
    MAILBOXES_READ = "mailboxes:read", gettext_lazy("See mailboxes")
    MAILBOXES_WRITE = "mailboxes:write", gettext_lazy("Create, change and delete mailboxes")
    ALIASES_READ = "aliases:read", gettext_lazy("See aliases")
    ALIASES_WRITE = "aliases:write", gettext_lazy("Create, change and delete aliases")
    WEBHOOKS_READ = "webhooks:read", gettext_lazy("See webhooks and their deliveries")
    WEBHOOKS_WRITE = "webhooks:write", gettext_lazy("Create, change and delete webhooks")
    EMAILS_READ = "emails:read", gettext_lazy("See the email log: envelope, subject, dates, states")
    EMAILS_CONTENT = "emails:content", gettext_lazy("Read what emails say: bodies, attachments, raw")
    EMAILS_SUBMIT = "emails:submit", gettext_lazy("Hand in mail over HTTP")
    EMAILS_WRITE = "emails:write", gettext_lazy("Delete and replay emails")
    STATISTICS_READ = "statistics:read", gettext_lazy("See usage statistics")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as people read of it later; with its key, if it is one."""

    name: str = ""
    key_id: UUID | None = None


NOBODY = Actor()
OPERATOR = Actor("an operator")  # whoever is at the shell


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: one API key.

    `scopes` is already widened (write includes read of the same resource). `mailbox_ids` is the allowlist without
    deleted mailboxes, `domain_ids` are the domains that they are in; both say nothing when `all_mailboxes` is set.
    """

    key_id: UUID
    identifier: str
    scopes: frozenset[Scope]
    all_mailboxes: bool
    mailbox_ids: frozenset[UUID]
    domain_ids: frozenset[UUID]

    @property
    def actor(self) -> Actor:
        return Actor(f"the key {self.identifier}", self.key_id)

    def may(self, *required: Scope) -> bool:
        """Whether it has all of them; then the request has made use of them."""
        is_allowed = self.scopes.issuperset(required)
        if is_allowed:
            footprint.note_scopes(required)
        return is_allowed


class AllowlistRestrictedError(DomainError):
    """A key with an allowlist asks for what acts on a whole domain. A 403, decided from route and body form alone."""

    code = "allowlist_restricted"


def require_all_mailboxes(caller: Principal) -> None:
    """Raises AllowlistRestrictedError. Call it before anything is looked for."""
    if not caller.all_mailboxes:
        raise AllowlistRestrictedError("This acts on a whole domain, so it needs a key for all mailboxes.")


SYSTEM_ADMINISTRATORS = "System administrators"  # the group; superusers are, too


def system_administrators() -> "QuerySet[User]":
    """Those who can sign in."""
    from django.contrib.auth.models import User  # noqa: PLC0415 - settings name this module before models are there

    by_group = Q(groups__name=SYSTEM_ADMINISTRATORS)
    return User.objects.filter(Q(is_superuser=True) | by_group, is_active=True).distinct()


def principal(request: "Request") -> Principal:
    """The caller of an authenticated API request. Asking on an unauthenticated one is a mistake of the view."""
    caller = request.auth
    if not isinstance(caller, Principal):
        raise TypeError("this view has no authenticated principal: check its authentication and permission classes")
    return caller
