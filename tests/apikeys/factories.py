"""Keys for tests, and clients that hold them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.test import Client

from apikeys.models import ApiKey
from apikeys.services import create_api_key
from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from tests.factories import in_days


def make_key(
    *,
    mailboxes: Sequence[Mailbox] | None = None,
    scopes: Iterable[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    name: str = "CI",
    plan: str = "standard",
) -> tuple[ApiKey, str]:
    """A key for all mailboxes and scopes, unless told otherwise, and its plaintext."""
    return create_api_key(
        name=name, expires_at=expires_at or in_days(30), scopes=scopes, mailboxes=mailboxes, plan=plan
    )


def client_of(plaintext: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {plaintext}"})


def make_client(*, mailboxes: Sequence[Mailbox] | None = None, scopes: Iterable[Scope] = tuple(Scope)) -> Client:
    _, plaintext = make_key(mailboxes=mailboxes, scopes=scopes)
    return client_of(plaintext)
