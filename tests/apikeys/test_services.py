from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from pytest_django import Settings

from apikeys.models import ApiKey, ApiKeyMailbox
from apikeys.plans import Limits, granted, limits_of
from apikeys.services import (
    change_plan,
    create_api_key,
    parse_expiry,
    parse_networks,
    parse_scopes,
    revoke_api_key,
)
from emailgistics.common.access import Scope
from emailgistics.common.crypto import peppered_digest
from emailgistics.common.errors import ConflictError, RefusedError
from emailgistics.common.ids import uuid7
from mailboxes.services import provision
from tests.apikeys.factories import make_expired_key, make_key
from tests.factories import in_days, make_mailbox

NOW = datetime(2030, 6, 1, 10, 30, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def test_a_key_keeps_what_it_was_given() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    ends = in_days(30)
    key, plaintext = create_api_key(
        name="  Zapier  ",
        expires_at=ends,
        scopes=[Scope.EMAILS_READ, Scope.ALIASES_WRITE, Scope.EMAILS_READ],
        mailboxes=[mailbox, other, mailbox],
        plan="pro",
    )
    stored = ApiKey.objects.get(pk=key.pk)
    assert plaintext.startswith(stored.identifier)
    assert (stored.name, stored.expires_at, stored.rate_plan) == ("Zapier", ends, "pro")
    assert stored.scopes == ["aliases:write", "emails:read"]
    assert not stored.all_mailboxes
    assert set(stored.mailboxes.all()) == {mailbox, other}
    assert (stored.pepper, bytes(stored.digest)) == peppered_digest(plaintext)


def test_no_list_stands_for_all_mailboxes_also_future_ones() -> None:
    key, _ = make_key(mailboxes=None)
    assert key.all_mailboxes
    assert not key.mailboxes.exists()


@pytest.mark.parametrize(("change", "field"), [
    ({"name": "   "}, "name"), ({"name": "x" * 201}, "name"), ({"name": "a\nb"}, "name"), ({"name": "a\0b"}, "name"),
    ({"expires_at": in_days(-1)}, "expires_at"), ({"expires_at": in_days(367)}, "expires_at"),
    ({"scopes": []}, "scopes"), ({"mailboxes": []}, "mailboxes"), ({"plan": "gold"}, "plan"),
])  # fmt: skip
def test_what_makes_no_key_is_refused_by_its_field_and_leaves_nothing(change: dict[str, Any], field: str) -> None:
    valid: dict[str, Any] = {
        "name": "CI", "expires_at": in_days(30), "scopes": [Scope.EMAILS_READ], "mailboxes": None,
    }  # fmt: skip
    with pytest.raises(RefusedError) as refusal:
        create_api_key(**valid | change)
    assert refusal.value.field == field
    assert not ApiKey.objects.exists()
    create_api_key(**valid)


def test_the_longest_life_is_a_setting(settings: Settings) -> None:
    settings.APIKEY_MAX_DAYS = 7
    make_key(expires_at=in_days(7))
    with pytest.raises(RefusedError, match="at most 7 days"):
        make_key(expires_at=in_days(7.01))


def test_a_deleted_mailbox_cannot_be_allowed() -> None:
    mailbox = make_mailbox()
    provision.delete_mailbox(mailbox)
    mailbox.refresh_from_db()
    with pytest.raises(RefusedError, match="is deleted") as refusal:
        make_key(mailboxes=[mailbox])
    assert refusal.value.field == "mailboxes"


def test_a_key_and_its_allowlist_come_together_or_not_at_all() -> None:
    gone = make_mailbox()
    gone.pk = uuid7()

    def make_and_look() -> None:
        with transaction.atomic():
            make_key(mailboxes=[gone])
            connection.check_constraints()

    with pytest.raises(IntegrityError):
        make_and_look()
    assert not ApiKey.objects.exists()
    assert not ApiKeyMailbox.objects.exists()


def test_the_plaintext_is_in_no_table() -> None:
    key, plaintext = make_key(mailboxes=[make_mailbox()])
    identifier, _, secret = plaintext.rpartition("_")
    everything = whole_database()
    assert identifier.encode() in everything  # it looks in the right place
    assert bytes(key.digest) in everything
    assert secret.encode() not in everything
    assert secret[:16].encode() not in everything


def whole_database() -> bytes:
    with connection.cursor() as cursor:
        cells = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            cells += [cell for row in cursor.fetchall() for cell in row]
    return b"\n".join(bytes(c) if isinstance(c, bytes | memoryview) else str(c).encode() for c in cells)


def test_revoking_twice_keeps_the_first_moment() -> None:
    key, _ = make_key()
    revoke_api_key(key)
    first = key.revoked_at
    assert first is not None
    revoke_api_key(key)
    assert key.revoked_at == first


def test_full_is_every_scope_of_today() -> None:
    assert parse_scopes(["full"]) == frozenset(Scope)
    assert parse_scopes(["emails:read", "emails:read"]) == {Scope.EMAILS_READ}
    with pytest.raises(RefusedError, match="no scope 'emails:all'") as refusal:
        parse_scopes(["emails:read", "emails:all"])
    assert refusal.value.field == "scopes"


@pytest.mark.parametrize(("text", "expected"), [
    ("12h", NOW + timedelta(hours=12)), ("30d", NOW + timedelta(days=30)), (" 30d ", NOW + timedelta(days=30)),
    ("2030-07-01", datetime(2030, 7, 1, tzinfo=UTC)),
    ("2030-07-01T18:00:00Z", datetime(2030, 7, 1, 18, tzinfo=UTC)),
    ("2030-07-01T18:00+02:00", datetime(2030, 7, 1, 16, tzinfo=UTC)),
])  # fmt: skip
def test_an_expiry_is_a_span_a_date_or_an_instant(text: str, expected: datetime) -> None:
    assert parse_expiry(text, now=NOW) == expected


def test_a_date_begins_where_the_installation_is(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    assert parse_expiry("2030-07-01", now=NOW) == datetime(2030, 6, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize("text", [
    "", "30", "d", "-1d", "1.5d", "30 d", "30w", "999999d", "9999999999d", "٣d", "2030-02-30", "2030-07-01T18:00",
    "20300701", "2030-W27-1", "tomorrow", "30d\0",
])  # fmt: skip
def test_any_other_expiry_is_refused_with_examples(text: str) -> None:
    with pytest.raises(RefusedError, match="12h, 30d") as refusal:
        parse_expiry(text, now=NOW.replace(year=9999))
    assert refusal.value.field == "expires_at"


@pytest.mark.parametrize(("texts", "networks"), [
    ([], []),
    (["192.0.2.7"], ["192.0.2.7/32"]),
    ([" 192.0.2.0/24 ", "192.0.2.0/24"], ["192.0.2.0/24"]),
    (["2001:DB8:0::/32", "192.0.2.9", "192.0.2.0/24"], ["192.0.2.0/24", "192.0.2.9/32", "2001:db8::/32"]),
    (["2001:db8::1"], ["2001:db8::1/128"]),
    (["::ffff:192.0.2.7", "::ffff:198.51.100.0/120"], ["192.0.2.7/32", "198.51.100.0/24"]),
    (["::ffff:0:0/96"], ["0.0.0.0/0"]),
    (["::/0", "0.0.0.0/0"], ["0.0.0.0/0", "::/0"]),
])  # fmt: skip
def test_networks_are_cidr_each_once_in_order(texts: list[str], networks: list[str]) -> None:
    assert parse_networks(texts) == networks
    assert make_key(networks=texts)[0].networks == networks


@pytest.mark.parametrize("text", [
    "", "office", "192.0.2.7/24", "192.0.2.0/33", "192.0.2", "2001:db8::1/32", "192.0.2.0/24, 198.51.100.0/24",
    "192.0.2.0-192.0.2.9", "0300.0.2.1", "fe80::1%eth0/10", "192.0.2.0/24\0",
])  # fmt: skip
def test_what_is_no_network_is_refused_with_examples(text: str) -> None:
    with pytest.raises(RefusedError, match=r"192\.0\.2\.0/24, 192\.0\.2\.7 or 2001:db8::/32") as refusal:
        parse_networks(["192.0.2.0/24", text])
    assert refusal.value.field == "networks"


def test_a_key_has_at_most_fifty_networks() -> None:
    many = [f"192.0.2.{n}" for n in range(50)]
    assert len(parse_networks([*many, "192.0.2.0"])) == 50
    with pytest.raises(RefusedError, match="at most 50") as refusal:
        parse_networks([*many, "198.51.100.1"])
    assert refusal.value.field == "networks"


@pytest.mark.parametrize(("plan", "limits"), [
    ("standard", (100, 1000, 10_000)), ("pro", (200, 2000, 20_000)), ("enterprise", (1000, 10_000, 100_000)),
])  # fmt: skip
@pytest.mark.usefixtures("real_limits")
def test_a_plan_multiplies_the_limits(plan: str, limits: tuple[int, int, int]) -> None:
    key, _ = make_key(plan=plan)
    found = limits_of(key)
    assert (found.minute, found.hour, found.day) == limits


# --- another plan


@pytest.mark.parametrize("own", [{}, {"minute": "7"}, {"minute": 0, "hour": True, "day": 10**10}, {"week": 1}])
def test_numbers_that_sql_wrote_and_that_are_no_limits_are_those_of_the_plan(own: dict[str, Any]) -> None:
    assert granted("enterprise", own) == granted("enterprise", None)


@pytest.mark.usefixtures("real_limits")
def test_a_plan_can_be_changed_and_an_enterprise_key_has_numbers_of_its_own() -> None:
    key, _ = make_key()
    change_plan(key, plan="enterprise", own_limits={"minute": 700, "day": None})
    stored = ApiKey.objects.get(pk=key.pk)
    assert (stored.rate_plan, stored.own_limits) == ("enterprise", {"minute": 700, "hour": 10_000, "day": 100_000})
    assert limits_of(key) == limits_of(stored) == Limits(700, 10_000, 100_000)
    change_plan(key, plan="enterprise")
    assert (key.own_limits, limits_of(key)) == (None, Limits(1000, 10_000, 100_000))
    change_plan(key, plan="pro")
    assert (ApiKey.objects.get(pk=key.pk).rate_plan, limits_of(key)) == ("pro", Limits(200, 2000, 20_000))


@pytest.mark.usefixtures("real_limits")
@pytest.mark.parametrize("plan, own, field", [
    ("gold", {}, "plan"),
    ("pro", {"minute": 5}, "plan"),
    ("enterprise", {"minute": 0}, "minute"),
    ("enterprise", {"day": 10**9 + 1}, "day"),
    ("enterprise", {"minute": "5"}, "minute"),
    ("enterprise", {"week": 5}, "own_limits"),
    ("enterprise", {"minute": 50, "hour": 40}, "own_limits"),
    ("enterprise", {"day": 9_999}, "own_limits"),
])  # fmt: skip
def test_what_is_no_plan_is_refused_and_nothing_changes(plan: str, own: dict[str, Any], field: str) -> None:
    key, _ = make_key()
    with pytest.raises(RefusedError) as refusal:
        change_plan(key, plan=plan, own_limits=own)
    assert refusal.value.field == field
    stored = ApiKey.objects.get(pk=key.pk)
    assert (stored.rate_plan, stored.own_limits) == ("standard", None)


def test_a_key_that_has_ended_keeps_its_plan() -> None:
    revoked, _ = make_key()
    revoke_api_key(revoked)
    expired, _ = make_expired_key()
    for key in (revoked, expired):
        with pytest.raises(ConflictError, match="has ended"):
            change_plan(key, plan="pro")
        assert ApiKey.objects.get(pk=key.pk).rate_plan == "standard"
