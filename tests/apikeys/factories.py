"""Keys for tests, and clients that hold them."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any
from unittest import mock

from django.test import Client
from django.utils import timezone

from apikeys.credentials import new_key
from apikeys.models import ApiKey, ApiKeyMailbox
from apikeys.services import create_api_key
from emailgistics.common.access import Scope
from emailgistics.common.crypto import peppered_digest
from emailgistics.common.ids import uuid7
from mailboxes.models import Mailbox
from tests.factories import in_days


def make_key(
    *,
    mailboxes: Sequence[Mailbox] | None = None,
    scopes: Iterable[Scope] = tuple(Scope),
    expires_at: datetime | None = None,
    name: str = "CI",
    plan: str = "standard",
    networks: Iterable[str] = (),
    rotated_from: ApiKey | None = None,
    born: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A key for all mailboxes and scopes, unless told otherwise, and its plaintext.

    One that has expired was `born` long ago: no key's dates can be changed later.
    """
    with mock.patch.object(timezone, "now", return_value=born) if born else nullcontext():
        return create_api_key(
            name=name,
            expires_at=expires_at or in_days(30),
            scopes=scopes,
            mailboxes=mailboxes,
            plan=plan,
            networks=networks,
            rotated_from=rotated_from,
        )


def make_expired_key(*, mailboxes: Sequence[Mailbox] | None = None) -> tuple[ApiKey, str]:
    return make_key(mailboxes=mailboxes, born=in_days(-60), expires_at=in_days(-30))


def make_ended_key(*, mailboxes: Sequence[Mailbox] | None = None, **ends: datetime) -> tuple[ApiKey, str]:
    """As long ago as expires_at, revoked_at or revoke_at say, which no change could write down."""
    fresh = new_key()
    pepper, digest = peppered_digest(fresh.plaintext)
    values: dict[str, Any] = {"expires_at": in_days(60)} | ends
    with mock.patch.object(timezone, "now", return_value=in_days(-300)):
        key = ApiKey.objects.create(
            identifier=fresh.identifier,
            digest=digest,
            pepper=pepper,
            name="CI",
            scopes=Scope.values,
            all_mailboxes=mailboxes is None,
            **values,
        )
    ApiKeyMailbox.objects.bulk_create(ApiKeyMailbox(api_key=key, mailbox=mailbox) for mailbox in mailboxes or ())
    key.sealed = True
    key.save(update_fields=["sealed"])
    return key, fresh.plaintext


def client_of(plaintext: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {plaintext}"})


def make_client(*, mailboxes: Sequence[Mailbox] | None = None, scopes: Iterable[Scope] = tuple(Scope)) -> Client:
    _, plaintext = make_key(mailboxes=mailboxes, scopes=scopes)
    return client_of(plaintext)


def make_unsealed_key() -> tuple[ApiKey, str]:
    """As no service leaves one: its allowlist may still grow."""
    like, _ = make_key()
    fresh = new_key()
    pepper, digest = peppered_digest(fresh.plaintext)
    values = {field.attname: getattr(like, field.attname) for field in ApiKey._meta.concrete_fields}
    values |= {"id": uuid7(), "identifier": fresh.identifier, "pepper": pepper, "digest": digest, "sealed": False}
    return ApiKey.objects.create(**values), fresh.plaintext
