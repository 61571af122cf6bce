"""Every way in, seen from outside at /v1/me, and what a key turns into."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apikeys.authentication import KeyRefusedError, lookup, widen
from apikeys.credentials import _checksum, new_key, parse_key
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.crypto import KeyRing
from mailboxes.services import provision
from tests.apikeys.factories import make_key
from tests.factories import make_mailbox

pytestmark = pytest.mark.django_db

ME = "/v1/me"


def challenge_of(client: Client, **headers: str) -> tuple[int, str, str]:
    answer = client.get(ME, headers=headers)
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"], answer["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER   {}", " Bearer {} "])
def test_a_key_comes_as_bearer_in_any_case(client: Client, header: str) -> None:
    key, plaintext = make_key()
    answer = client.get(ME, headers={"Authorization": header.format(plaintext)})
    assert (answer.status_code, answer.json()["id"]) == (200, key.identifier)


def test_a_key_comes_in_its_own_header_too(client: Client) -> None:
    key, plaintext = make_key()
    assert client.get(ME, headers={"X-Api-Key": plaintext}).json()["id"] == key.identifier
    both = {"X-Api-Key": plaintext, "Authorization": f"Bearer {plaintext}"}
    assert client.get(ME, headers=both).json()["id"] == key.identifier
    # a proxy in front may have a use of its own for Authorization
    basic = {"X-Api-Key": plaintext, "Authorization": "Basic dTpw"}
    assert client.get(ME, headers=basic).json()["id"] == key.identifier


def test_two_different_keys_are_malformed_though_both_are_good(client: Client) -> None:
    (_, one), (_, other) = make_key(), make_key()
    status, code, _ = challenge_of(client, **{"X-Api-Key": one, "Authorization": f"Bearer {other}"})
    assert (status, code) == (401, "malformed_key")


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "Basic dTpw"}])
def test_without_a_key_the_challenge_names_no_error(client: Client, headers: dict[str, str]) -> None:
    assert challenge_of(client, **headers) == (401, "missing_credentials", 'Bearer realm="Emailgistics API"')


def test_a_key_in_the_query_string_is_no_key(client: Client) -> None:
    _, plaintext = make_key()
    answer = client.get(ME, {"key": plaintext, "api_key": plaintext, "access_token": plaintext, "X-API-KEY": plaintext})
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_credentials")


def test_a_signed_in_administrator_has_no_key(client: Client) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    assert client.get("/admin/").status_code == 200
    answer = client.get(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_credentials")


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Bearer a b", "{}", "Bearer {}x", "Bearer {} {}"])
def test_a_malformed_key_is_told_without_a_query(
    client: Client, value: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    plaintext = new_key().plaintext
    with django_assert_num_queries(0):
        status, code, challenge = challenge_of(client, Authorization=value.replace("{}", plaintext))
    assert (status, code) == (401, "malformed_key")
    assert challenge.startswith('Bearer realm="Emailgistics API", error="invalid_token", error_description="')


def test_an_unknown_key_is_invalid(client: Client) -> None:
    status, code, challenge = challenge_of(client, Authorization=f"Bearer {new_key().plaintext}")
    assert (status, code) == (401, "invalid_key")
    assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
def test_an_ended_key_is_refused(client: Client, ended: str) -> None:
    key, plaintext = make_key()
    headers = {"Authorization": f"Bearer {plaintext}"}
    assert client.get(ME, headers=headers).status_code == 200
    end(key, ended)
    status, code, challenge = challenge_of(client, **headers)
    assert (status, code) == (401, {"revoked_at": "key_revoked", "expires_at": "key_expired"}[ended])
    assert 'error="invalid_token"' in challenge


@pytest.mark.parametrize("ended", ["revoked_at", "expires_at"])
def test_how_a_key_ended_is_told_only_to_those_who_have_all_of_it(client: Client, ended: str) -> None:
    key, _ = make_key()
    end(key, ended)
    guessed = with_identifier(key.identifier)
    _, code, _ = challenge_of(client, Authorization=f"Bearer {guessed}")
    assert code == "invalid_key"


def end(key: ApiKey, how: str) -> None:
    if how == "revoked_at":
        revoke_api_key(key)
    else:
        long_ago = timezone.now() - timedelta(days=60)
        ApiKey.objects.filter(pk=key.pk).update(created_at=long_ago, expires_at=long_ago + timedelta(days=30))


def with_identifier(identifier: str) -> str:
    """A well-formed key with that identifier and another secret."""
    unchecked = f"{identifier}_{'0' * 32}"
    return unchecked + _checksum(unchecked)


@pytest.mark.parametrize(("days", "expired"), [(-1, True), (1, False)])
def test_the_databases_clock_decides_about_expiry_not_ours(
    days: int, expired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, plaintext = make_key()
    now = timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(created_at=now - timedelta(days=9), expires_at=now + timedelta(days=days))
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(days=2 * days))
    if expired:
        with pytest.raises(KeyRefusedError, match="has expired"):
            lookup(key.identifier, plaintext)
    else:
        assert lookup(key.identifier, plaintext).key_id == key.pk


@pytest.mark.parametrize("mailboxes", [0, 1, 3])
def test_one_query_finds_the_key_its_scopes_and_its_mailboxes(
    mailboxes: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    allowed = [make_mailbox(address=f"box{n}@example.com") for n in range(mailboxes)]
    key, plaintext = make_key(mailboxes=allowed or None, scopes=[Scope.EMAILS_READ, Scope.ALIASES_WRITE])
    with django_assert_num_queries(1) as queries:
        found = lookup(parse_key(plaintext), plaintext)
    assert found.key_id == key.pk
    assert found.identifier == key.identifier
    assert found.scopes == {Scope.EMAILS_READ, Scope.ALIASES_WRITE, Scope.ALIASES_READ}
    assert found.all_mailboxes is not bool(mailboxes)
    assert found.mailbox_ids == {mailbox.pk for mailbox in allowed}
    assert plaintext not in queries.captured_queries[0]["sql"]


def test_the_lookup_uses_an_index() -> None:
    key, _ = make_key()
    rows = ApiKey.objects.filter(identifier=key.identifier)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for an index to pay
    assert "index" in rows.explain().lower()


def test_a_deleted_mailbox_leaves_the_allowlist_and_its_successor_does_not_enter() -> None:
    kept, gone = make_mailbox(), make_mailbox(address="sales@example.com")
    key, plaintext = make_key(mailboxes=[kept, gone])
    assert lookup(key.identifier, plaintext).mailbox_ids == {kept.pk, gone.pk}
    provision.delete_mailbox(gone)
    assert lookup(key.identifier, plaintext).mailbox_ids == {kept.pk}
    type(gone).objects.filter(pk=gone.pk).update(deleted_at=timezone.now() - timedelta(days=31))
    successor = make_mailbox(address="sales@example.com")
    assert successor.pk != gone.pk
    assert lookup(key.identifier, plaintext).mailbox_ids == {kept.pk}


def test_a_list_that_has_become_empty_opens_nothing() -> None:
    only = make_mailbox()
    key, plaintext = make_key(mailboxes=[only])
    provision.delete_mailbox(only)
    found = lookup(key.identifier, plaintext)
    assert (found.all_mailboxes, found.mailbox_ids) == (False, frozenset())


def test_a_key_stays_good_under_a_new_primary_pepper_and_ends_with_its_own(settings: Settings) -> None:
    key, plaintext = make_key()
    old: KeyRing = settings.API_KEY_PEPPERS
    settings.API_KEY_PEPPERS = KeyRing(primary=9, keys={9: b"9" * 32, **old.keys})
    assert lookup(key.identifier, plaintext).key_id == key.pk
    newer, its_plaintext = make_key()
    assert newer.pepper == 9
    assert lookup(newer.identifier, its_plaintext).key_id == newer.pk
    settings.API_KEY_PEPPERS = replace(old, primary=9, keys={9: b"9" * 32})
    with pytest.raises(KeyRefusedError) as refusal:
        lookup(key.identifier, plaintext)
    assert refusal.value.get_codes() == "invalid_key"


def test_write_includes_read_of_the_same_resource_and_nothing_else() -> None:
    assert widen(["emails:write"]) == {Scope.EMAILS_WRITE, Scope.EMAILS_READ}
    assert widen(["emails:content"]) == {Scope.EMAILS_CONTENT}
    assert widen(["emails:submit", "statistics:read"]) == {Scope.EMAILS_SUBMIT, Scope.STATISTICS_READ}
    assert widen(["future:write", "emails:*"]) == frozenset()
