"""Every way in, seen from outside at /v1/me, and what a key turns into."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apikeys import authentication
from apikeys.authentication import KeyRefusedError, lookup, widen
from apikeys.credentials import new_key, new_webhook_secret, parse_key
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.crypto import KeyRing
from emailgistics.common.key_form import checksum
from mailboxes.services import provision
from tests.apikeys.factories import make_expired_key, make_key, make_unsealed_key
from tests.factories import in_days, make_mailbox
from tests.headers import headers_of
from tests.installation import wait_for
from tests.worlds.standing import clock_stopped

pytestmark = pytest.mark.django_db

ME = "/v1/me"


Made = tuple[ApiKey, str]


def bearer(plaintext: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {plaintext}"}


def challenge(detail: str) -> str:
    return f'Bearer realm="Emailgistics API", error="invalid_token", error_description="{detail}"'


def challenge_of(client: Client, **headers: str) -> tuple[int, str, str]:
    answer = client.get(ME, headers=headers)
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"], answer["WWW-Authenticate"]


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER   {}", " Bearer {} ", "Bearer \t{}\t"])
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


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [ME, "/v1/emails", "/v1/emails/email_00000000000000000000000000"])
def test_every_method_of_every_route_wants_a_key(client: Client, method: str, path: str) -> None:
    for headers, code in (({}, "missing_credentials"), (bearer(new_key().plaintext), "invalid_key")):
        answer = client.generic(method, path, headers=headers)
        assert answer.status_code == 401
        check_that_it_is_a_challenge(answer["WWW-Authenticate"])
        assert method == "HEAD" or answer.json()["code"] == code


def test_head_answers_as_get_does_without_the_body(client: Client) -> None:
    _, plaintext = make_key()
    got = client.get("/v1/emails", headers=bearer(plaintext))
    headed = client.head("/v1/emails", headers=bearer(plaintext))
    assert (headed.status_code, headed.content) == (200, b"")
    assert headers_of(headed) == headers_of(got)
    assert headed.headers.keys() == got.headers.keys()


def test_a_key_that_is_refused_is_in_no_log_line_and_in_no_answer(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    key, plaintext = make_key()
    revoke_api_key(key)
    _, live = make_key(scopes=[Scope.STATISTICS_READ])
    unknown = new_key().plaintext
    seen = b""
    for value in (plaintext, unknown, plaintext[:-1], live):
        for headers in (bearer(value), {"X-Api-Key": value}, {"Authorization": value}, bearer(f"{value} {value}")):
            for path in (f"/v1/emails?key={value}", f"/v1/emails?access_token={value}"):
                answer = client.get(path, headers=headers)
                assert answer.status_code in (401, 403)
                seen += answer.content + repr(dict(answer.items())).encode()
    logged = caplog.text + "".join(record.getMessage() for record in caplog.records)
    assert "Unauthorized" in logged
    for value in (plaintext, unknown, live):
        assert value[16:40] not in logged
        assert value[16:40].encode() not in seen


def test_a_fault_in_the_lookup_does_not_tell_the_key(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, plaintext = make_key()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(authentication, "peppered_digest", fail)
    client.raise_request_exception = False
    answer = client.get(ME, headers=bearer(plaintext))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert plaintext[16:] not in caplog.text
    assert plaintext[16:].encode() not in answer.content


def test_a_signed_in_administrator_has_no_key(client: Client) -> None:
    client.force_login(User.objects.create_superuser("admin"))
    assert client.get("/admin/").status_code == 200
    answer = client.get(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_credentials")


MALFORMED = [
    "", "x", "{} {}", "{}x", "{},{}", "{};", '"{}"', "token={}", "Bearer {}", "\xa0{}", "{}\xa0", "{}\x85", "\x00{}",
    "{}\x00", "{}\x0c", "\xe9", "\xff\xfe", "%65mgk_", "emgk_", "whsec_{}", "{}" * 2000, "x" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize(("header", "scheme"), [("Authorization", "Bearer "), ("X-Api-Key", "")])
def test_a_malformed_key_is_told_without_a_query(
    client: Client, header: str, scheme: str, value: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    given = scheme + value.replace("{}", new_key().plaintext)
    with django_assert_num_queries(0):
        status, code, refusal = challenge_of(client, **{header: given})
    assert (status, code) == (401, "malformed_key")
    assert refusal == challenge("This is not a whole API key; copy it again.")
    check_that_it_is_a_challenge(refusal)


def test_a_bare_key_in_authorization_is_told_what_is_missing(client: Client) -> None:
    refusal = challenge_of(client, Authorization=new_key().plaintext)
    assert refusal == (401, "malformed_key", challenge("Put the word Bearer before the key."))


def check_that_it_is_a_challenge(value: str) -> None:
    """RFC 6750 section 3: what the values may consist of."""
    scheme, _, parameters = value.partition(" ")
    assert scheme == "Bearer"
    # of what quoted strings and error descriptions may consist
    matches = [re.fullmatch(r'([a-z_]+)="([\x20\x21\x23-\x5b\x5d-\x7e]+)"', part) for part in parameters.split(", ")]
    assert all(matches)
    assert {match[1] for match in matches if match} <= {"realm", "error", "error_description", "scope"}


@pytest.mark.parametrize("length", range(1, 40))
def test_a_key_that_was_cut_off_is_malformed(client: Client, length: int) -> None:
    _, plaintext = make_key()
    assert challenge_of(client, **bearer(plaintext[:-length]))[:2] == (401, "malformed_key")


def test_another_scheme_is_no_key_even_if_it_holds_one(client: Client) -> None:
    _, plaintext = make_key()
    for value in (f"Basic {plaintext}", f"Token {plaintext}", f"Bearer:{plaintext}", f"Bearer={plaintext}"):
        assert challenge_of(client, Authorization=value)[:2] == (401, "missing_credentials")


def test_a_webhook_secret_is_no_key(client: Client) -> None:
    assert challenge_of(client, **bearer(new_webhook_secret()))[:2] == (401, "malformed_key")


def test_an_unknown_key_is_invalid(client: Client) -> None:
    status, code, challenge = challenge_of(client, Authorization=f"Bearer {new_key().plaintext}")
    assert (status, code) == (401, "invalid_key")
    assert 'error="invalid_token"' in challenge


def test_a_revoked_key_is_refused_from_the_next_request_on(client: Client) -> None:
    key, plaintext = make_key()
    headers = bearer(plaintext)
    assert client.get(ME, headers=headers).status_code == 200
    revoke_api_key(key)
    assert challenge_of(client, **headers) == (401, "key_revoked", challenge("This API key was revoked."))


def test_a_key_is_refused_from_its_expiry_on(client: Client) -> None:
    at = timezone.now() + timedelta(seconds=1.5)
    _, plaintext = make_key(expires_at=at)
    headers = bearer(plaintext)
    assert client.get(ME, headers=headers).status_code == 200
    wait_for(lambda: not ApiKey.objects.in_force().exists(), within_s=60, what="its expiry")
    assert challenge_of(client, **headers) == (401, "key_expired", challenge("This API key has expired."))


@pytest.mark.parametrize(("late_ms", "has_ended"), [(-1, False), (0, True), (1, True)])
def test_a_key_ends_with_the_moment_that_it_was_given_and_not_after_it(
    client: Client, late_ms: int, has_ended: bool
) -> None:
    end = in_days(20)
    _, expires = make_key(expires_at=end)
    scheduled, ends = make_key(expires_at=in_days(30))
    ApiKey.objects.filter(pk=scheduled.pk).update(revoke_at=end)
    for plaintext, called in ((expires, "key_expired"), (ends, "key_revoked")):
        with clock_stopped(end + timedelta(milliseconds=late_ms)):
            answer = client.get(ME, headers=bearer(plaintext))
        assert (answer.status_code, answer.json().get("code")) == ((401, called) if has_ended else (200, None))


def test_a_key_that_was_revoked_and_has_expired_is_called_revoked(client: Client) -> None:
    key, plaintext = make_expired_key()
    assert challenge_of(client, **bearer(plaintext))[:2] == (401, "key_expired")
    revoke_api_key(key)
    assert challenge_of(client, **bearer(plaintext))[:2] == (401, "key_revoked")


def test_a_key_that_is_not_sealed_opens_nothing(client: Client) -> None:
    key, plaintext = make_unsealed_key()
    assert challenge_of(client, **bearer(plaintext)) == (401, "invalid_key", challenge("There is no such API key."))
    key.sealed = True
    key.save(update_fields=["sealed"])
    assert client.get(ME, headers=bearer(plaintext)).status_code == 200


@pytest.mark.parametrize("make", [make_expired_key, make_unsealed_key, lambda: revoked(make_key())])
def test_how_a_key_ended_is_told_only_to_those_who_have_all_of_it(client: Client, make: Callable[[], Made]) -> None:
    key, _ = make()
    unknown = challenge_of(client, **bearer(new_key().plaintext))
    assert unknown[:2] == (401, "invalid_key")
    assert challenge_of(client, **bearer(with_identifier(key.identifier))) == unknown


def revoked(made: Made) -> Made:
    revoke_api_key(made[0])
    return made


def with_identifier(identifier: str) -> str:
    """A well-formed key with that identifier and another secret."""
    unchecked = f"{identifier}_{'0' * 32}"
    return unchecked + checksum(unchecked)


@pytest.mark.parametrize("hours", [-48, 48])
def test_the_databases_clock_decides_about_expiry_not_ours(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    key, plaintext = make_key(expires_at=in_days(1))
    ended, ended_plaintext = make_key(born=in_days(-9), expires_at=in_days(-1))
    skewed = timezone.now() + timedelta(hours=hours)
    monkeypatch.setattr(timezone, "now", lambda: skewed)
    assert lookup(key.identifier, plaintext).principal.key_id == key.pk
    assert lookup(ended.identifier, ended_plaintext).has_expired


@pytest.mark.parametrize("session_zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.on_postgres
def test_the_zone_of_the_session_does_not_move_an_expiry(session_zone: str, hours: int) -> None:
    born, at = in_days(-9), timezone.now() + timedelta(hours=hours)
    key, plaintext = make_key(born=born, expires_at=at)
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL TIME ZONE '{session_zone}'")
    assert lookup(key.identifier, plaintext).has_expired is (hours < 0)


# --- from where


def told_from(plaintext: str, peer: str, forwarded: str | None = None) -> tuple[int, str]:
    headers = bearer(plaintext) | ({} if forwarded is None else {"X-Forwarded-For": forwarded})
    answer = Client(REMOTE_ADDR=peer).get(ME, headers=headers)
    return answer.status_code, answer.json().get("code", "")


GOOD, ELSEWHERE = (200, ""), (401, "network_not_allowed")


@pytest.mark.parametrize(("networks", "inside", "outside"), [
    (["192.0.2.0/24"], ["192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"], ["192.0.1.255", "192.0.3.0", "2001:db8::1"]),
    (["192.0.2.7"], ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
    (["::ffff:192.0.2.0/120"], ["192.0.2.1", "::ffff:192.0.2.1"], ["192.0.3.1", "::ffff:192.0.3.1", "::192.0.2.1"]),
    (["2001:db8::/32"], ["2001:db8::1", "2001:db8:ffff:ffff::"], ["2001:db9::", "192.0.2.1", "::ffff:192.0.2.1"]),
    (["192.0.2.0/24", "2001:db8::7"], ["192.0.2.1", "2001:db8::7"], ["2001:db8::8", "198.51.100.1"]),
    ([], ["192.0.2.1", "2001:db8::1", ""], []),
])  # fmt: skip
def test_a_key_is_used_from_its_networks_only(networks: list[str], inside: list[str], outside: list[str]) -> None:
    _, plaintext = make_key(networks=networks)
    assert {told_from(plaintext, peer) for peer in inside} == {GOOD}
    assert {told_from(plaintext, peer) for peer in outside} <= {ELSEWHERE}


def test_the_refusal_says_from_where_the_call_came_and_not_from_where_it_may() -> None:
    _, plaintext = make_key(networks=["192.0.2.0/24"])
    client = Client(REMOTE_ADDR="198.51.100.7")
    description = "This API key may not be used from 198.51.100.7."
    assert challenge_of(client, **bearer(plaintext)) == (401, "network_not_allowed", challenge(description))


def test_a_call_without_an_address_is_in_no_network() -> None:
    _, plaintext = make_key(networks=["0.0.0.0/0", "::/0"])
    assert told_from(plaintext, "192.0.2.1") == told_from(plaintext, "2001:db8::1") == GOOD
    assert told_from(plaintext, "") == told_from(plaintext, "", forwarded="192.0.2.1") == ELSEWHERE  # a Unix socket


def test_a_forwarded_address_counts_behind_a_trusted_proxy_only(settings: Settings) -> None:
    _, plaintext = make_key(networks=["192.0.2.0/24"])
    assert told_from(plaintext, "198.51.100.1", forwarded="192.0.2.7") == ELSEWHERE
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    for peer, forwarded, told in (
        ("198.51.100.1", "192.0.2.7", ELSEWHERE),
        ("10.0.0.1", "192.0.2.7", GOOD),
        ("::ffff:10.0.0.1", "::ffff:192.0.2.7", GOOD),
        # what a client wrote in front of the proxy's word
        ("10.0.0.1", "192.0.2.7, 198.51.100.1", ELSEWHERE),
        ("10.0.0.1", "192.0.2.7, 198.51.100.1, 10.0.0.2", ELSEWHERE),
        ("10.0.0.1", "198.51.100.1, 192.0.2.7", GOOD),
        ("10.0.0.1", None, ELSEWHERE),
        ("10.0.0.1", "unknown", ELSEWHERE),
    ):
        assert told_from(plaintext, peer, forwarded) == told, (peer, forwarded)
    # the proxy itself is not let in by its client's address, nor the client by the proxy's
    _, of_the_proxy = make_key(networks=["10.0.0.0/8"])
    assert told_from(of_the_proxy, "10.0.0.1", "198.51.100.1") == ELSEWHERE


# --- scheduled


def test_a_scheduled_revocation_comes_by_itself(client: Client) -> None:
    key, plaintext = make_key()
    ApiKey.objects.filter(pk=key.pk).update(revoke_at=Now() + timedelta(seconds=1))
    assert client.get(ME, headers=bearer(plaintext)).status_code == 200
    wait_for(lambda: not ApiKey.objects.in_force().exists(), within_s=60, what="its end")
    assert challenge_of(client, **bearer(plaintext)) == (401, "key_revoked", challenge("This API key was revoked."))


@pytest.mark.parametrize("hours", [-48, 48])
def test_the_databases_clock_decides_about_a_scheduled_revocation_not_ours(
    hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (later, its_plaintext), (ended, ended_plaintext) = make_key(), make_key()
    ApiKey.objects.filter(pk=later.pk).update(revoke_at=in_days(1))
    ApiKey.objects.filter(pk=ended.pk).update(revoke_at=in_days(-1))
    skewed = timezone.now() + timedelta(hours=hours)
    monkeypatch.setattr(timezone, "now", lambda: skewed)
    assert not lookup(later.identifier, its_plaintext).is_revoked
    assert lookup(ended.identifier, ended_plaintext).is_revoked


def test_refusals_come_in_one_order_whatever_else_is_wrong() -> None:
    """The key itself, then its end (revoked before expired), then from where; what it lacks is asked of a good one."""
    key, plaintext = make_key(
        networks=["192.0.2.0/24"], scopes=[Scope.STATISTICS_READ], born=in_days(-60), expires_at=in_days(-30)
    )
    unknown = with_identifier(key.identifier)
    path = "/v1/emails/email_00000000000000000000000000"
    client = Client(REMOTE_ADDR="198.51.100.1")

    def told(value: str) -> str:
        code: str = client.get(path, headers=bearer(value)).json()["code"]
        return code

    assert [told(value) for value in (plaintext[:-1], unknown, plaintext)] == [
        "malformed_key", "invalid_key", "key_expired",
    ]  # fmt: skip
    revoke_api_key(key)
    assert told(plaintext) == "key_revoked"
    _, narrow = make_key(networks=["192.0.2.0/24"], scopes=[Scope.STATISTICS_READ])
    assert told(narrow) == "network_not_allowed"
    _, narrow = make_key(networks=["198.51.100.0/24"], scopes=[Scope.STATISTICS_READ])
    assert told(narrow) == "insufficient_scope"
    _, good = make_key(networks=["198.51.100.0/24"])
    assert told(good) == "not_found"


@pytest.mark.parametrize("mailboxes", [0, 1, 3])
def test_one_query_finds_the_key_its_scopes_and_its_mailboxes(
    mailboxes: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    allowed = [make_mailbox(address=f"box{n}@example.com") for n in range(mailboxes)]
    key, plaintext = make_key(mailboxes=allowed or None, scopes=[Scope.EMAILS_READ, Scope.ALIASES_WRITE])
    with django_assert_num_queries(1) as queries:
        found = lookup(parse_key(plaintext), plaintext).principal
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
    assert lookup(key.identifier, plaintext).principal.mailbox_ids == {kept.pk, gone.pk}
    provision.delete_mailbox(gone)
    assert lookup(key.identifier, plaintext).principal.mailbox_ids == {kept.pk}
    type(gone).objects.filter(pk=gone.pk).update(deleted_at=timezone.now() - timedelta(days=31))
    successor = make_mailbox(address="sales@example.com")
    assert successor.pk != gone.pk
    assert lookup(key.identifier, plaintext).principal.mailbox_ids == {kept.pk}


def test_a_list_that_has_become_empty_opens_nothing() -> None:
    only = make_mailbox()
    key, plaintext = make_key(mailboxes=[only])
    provision.delete_mailbox(only)
    found = lookup(key.identifier, plaintext).principal
    assert (found.all_mailboxes, found.mailbox_ids) == (False, frozenset())


def test_a_key_stays_good_under_a_new_primary_pepper_and_ends_with_its_own(settings: Settings) -> None:
    key, plaintext = make_key()
    old: KeyRing = settings.API_KEY_PEPPERS
    settings.API_KEY_PEPPERS = KeyRing(primary=9, keys={9: b"9" * 32, **old.keys})
    assert lookup(key.identifier, plaintext).principal.key_id == key.pk
    newer, its_plaintext = make_key()
    assert newer.pepper == 9
    assert lookup(newer.identifier, its_plaintext).principal.key_id == newer.pk
    settings.API_KEY_PEPPERS = replace(old, primary=9, keys={9: b"9" * 32})
    with pytest.raises(KeyRefusedError) as refusal:
        lookup(key.identifier, plaintext)
    assert refusal.value.get_codes() == "invalid_key"


def test_write_includes_read_of_the_same_resource_and_nothing_else() -> None:
    assert widen(["emails:write"]) == {Scope.EMAILS_WRITE, Scope.EMAILS_READ}
    assert widen(["emails:content"]) == {Scope.EMAILS_CONTENT}
    assert widen(["emails:submit", "statistics:read"]) == {Scope.EMAILS_SUBMIT, Scope.STATISTICS_READ}
    assert widen(["future:write", "emails:*"]) == frozenset()


# --- the connection


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_the_database_has_closed_meanwhile_is_made_anew(client: Client) -> None:
    _, plaintext = make_key()
    assert client.get(ME, headers=bearer(plaintext)).status_code == 200
    end_connection_of_this_thread()
    assert client.get(ME, headers=bearer(plaintext)).status_code == 200


@pytest.mark.on_postgres
def test_of_a_request_only_the_query_for_the_key_is_planned_once_for_all(client: Client) -> None:
    _, plaintext = make_key()
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
        for _ in range(10):
            assert client.get("/v1/domains", headers=bearer(plaintext)).status_code == 200
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        statements = [statement for (statement,) in cursor.fetchall()]
    assert [statement.partition('FROM "')[2].partition('"')[0] for statement in statements] == ["apikeys_apikey"]


def end_connection_of_this_thread() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()
