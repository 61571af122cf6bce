"""Who asks, and what they may: the vocabulary between views (any app) and the key system (`apikeys`).

`Scope` is the one registry of scopes; views name what an action needs from it, `apikeys` checks it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Q, QuerySet, TextChoices

from emailgistics.common import footprint
from emailgistics.common.errors import DomainError

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser, AnonymousUser, User
    from rest_framework.request import Request


class Scope(TextChoices):
    DOMAINS_READ = "domains:read", "See domains"
    DOMAINS_WRITE = "domains:write", "Create, change and delete domains"
    MAILBOXES_READ = "mailboxes:read", "See mailboxes"
    MAILBOXES_WRITE = "mailboxes:write", "Create, change and delete mailboxes"
    ALIASES_READ = "aliases:read", "See aliases"
    ALIASES_WRITE = "aliases:write", "Create, change and delete aliases"
    WEBHOOKS_READ = "webhooks:read", "See webhooks and their deliveries"
    WEBHOOKS_WRITE = "webhooks:write", "Create, change and delete webhooks"
    EMAILS_READ = "emails:read", "See the email log: envelope, subject, dates, states"
    EMAILS_CONTENT = "emails:content", "Read what emails say: bodies, attachments, raw"
    EMAILS_SUBMIT = "emails:submit", "Hand in mail over HTTP"
    EMAILS_WRITE = "emails:write", "Delete and replay emails"
    STATISTICS_READ = "statistics:read", "See usage statistics"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: one API key.

    `scopes` is already widened (write includes read of the same resource). `mailbox_ids` is the allowlist without
    deleted mailboxes, and says nothing when `all_mailboxes` is set.
    """

    key_id: UUID
    identifier: str
    scopes: frozenset[Scope]
    all_mailboxes: bool
    mailbox_ids: frozenset[UUID]

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


def is_system_administrator(user: "AbstractUser | AnonymousUser") -> bool:
    """Whether a person may do everything in the console."""
    if not (user.is_authenticated and user.is_active):
        return False
    return bool(user.is_superuser) or user.groups.filter(name=SYSTEM_ADMINISTRATORS).exists()


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
