"""What is counted of a key's use: in memory at the request, in the database at the flush."""

import multiprocessing
import re
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from structlog.testing import capture_logs

from apikeys import usage, usage_counts, usage_store
from apikeys.authentication import Presented, lookup
from apikeys.credentials import parse_key
from apikeys.models import ApiKey, KeyCalls, KeyMailboxUse, KeyRefusals, KeyScopeUse
from apikeys.services import revoke_api_key
from apikeys.usage_counts import Counts, LastUse, Refused
from emailgistics.common import footprint
from emailgistics.common.access import Scope
from emailgistics.common.ids import uuid7
from emailgistics.common.models import AuditEntry
from mailboxes.models import Mailbox
from tests.apikeys.factories import client_of, make_expired_key, make_key
from tests.factories import make_alias, make_delivery, make_email, make_mailbox, make_webhook

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TODAY = date(2026, 6, 1)
UNKNOWN = "email_01h455vb4pex5vsknk084sn02q"


@pytest.fixture(autouse=True)
def _nothing_is_counted_yet() -> None:
    usage.collector.take()


def calls() -> set[tuple[str, int, int]]:
    return set(KeyCalls.objects.values_list("family", "status_class", "count"))


def refusals() -> set[tuple[str, str, int]]:
    return set(KeyRefusals.objects.values_list("reason", "network", "count"))


def answer(plaintext: str, *, at: datetime = NOON, address: str = "192.0.2.7", agent: str = "") -> None:
    """As after a request with that key from there."""
    request = RequestFactory().get("/v1/me", headers={"User-Agent": agent})
    presented = Presented(lookup(parse_key(plaintext), plaintext), address, footprint.begin())
    request.presented = request.admission = presented  # type: ignore[attr-defined]
    usage.note_answer(request, HttpResponse(), at=at)


# --- calls


def test_every_call_is_counted_by_family_and_how_it_ended() -> None:
    _, plaintext = make_key(scopes=[Scope.MAILBOXES_READ, Scope.EMAILS_READ])
    client = client_of(plaintext)
    for _ in range(3):
        client.get("/v1/mailboxes")
    assert usage.flush()
    client.get("/v1/mailboxes")
    client.get(f"/v1/emails/{UNKNOWN}")
    client.get("/v1/me")
    client.get("/v1/webhooks")
    client.get("/v1/nowhere")  # asks for no key
    assert usage.flush()
    assert calls() == {("mailboxes", 2, 4), ("emails", 4, 1), ("me", 2, 1), ("webhooks", 4, 1)}
    assert refusals() == {("insufficient_scope", "127.0.0.0/24", 1)}


def test_a_day_ends_at_midnight_in_utc() -> None:
    _, plaintext = make_key()
    for at in (NOON, NOON.replace(hour=23, minute=59), NOON + timedelta(hours=12)):
        answer(plaintext, at=at)
    usage.flush()
    assert set(KeyCalls.objects.values_list("day", "count")) == {(TODAY, 2), (TODAY + timedelta(days=1), 1)}


def test_a_call_itself_writes_nothing() -> None:
    _, plaintext = make_key()
    with CaptureQueriesContext(connection) as made:
        client_of(plaintext).get("/v1/me")
        client_of(plaintext).get(f"/v1/emails/{UNKNOWN}")
    assert [query["sql"] for query in made if not query["sql"].startswith("SELECT")] == []
    assert ApiKey.objects.get().last_used_at is None


def test_a_flush_costs_the_same_however_many_calls_there_were() -> None:
    _, plaintext = make_key(mailboxes=[make_mailbox()])
    for _ in range(2):
        client_of(plaintext).get("/v1/mailboxes")
    with CaptureQueriesContext(connection) as made:
        usage.flush()
    # the first that a statement does: one that inserts many may begin otherwise
    verbs = (re.search(r'\b(INSERT) INTO|\b(UPDATE) "|\b(DELETE) FROM', query["sql"]) for query in made)
    writing = [next(filter(None, verb.groups())) for verb in verbs if verb]
    # first use, calls, scopes, statistics; the key
    assert sorted(writing) == ["INSERT", "INSERT", "INSERT", "INSERT", "UPDATE"]
    with CaptureQueriesContext(connection) as made:
        usage.flush()
    assert len(made) == 0


# --- the last use


def test_the_last_use_says_when_from_where_and_with_what() -> None:
    key, plaintext = make_key()
    Client(headers={"Authorization": f"Bearer {plaintext}", "User-Agent": "curl/8"}).get("/v1/me")
    usage.flush()
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert (key.last_used_address, key.last_used_agent) == ("127.0.0.1", "curl/8")


def test_it_only_moves_forward() -> None:
    key, plaintext = make_key()
    answer(plaintext, at=NOON, address="192.0.2.7", agent="new")
    usage.flush()
    answer(plaintext, at=NOON - timedelta(minutes=1), address="192.0.2.8", agent="old")
    usage.flush()
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_address, key.last_used_agent) == (NOON, "192.0.2.7", "new")
    assert calls() == {("me", 2, 2)}


def test_a_forwarded_address_that_nobody_vouches_for_is_not_the_clients() -> None:
    key, plaintext = make_key()
    client_of(plaintext).get("/v1/me", headers={"X-Forwarded-For": "203.0.113.9"})
    usage.flush()
    key.refresh_from_db()
    assert key.last_used_address == "127.0.0.1"


def test_a_connection_without_an_address_is_used_from_nowhere() -> None:
    key, plaintext = make_key()
    answer(plaintext, address="")
    usage.flush()
    key.refresh_from_db()
    assert (key.last_used_at, key.last_used_address) == (NOON, None)


@pytest.mark.parametrize(
    "agent, kept",
    [
        ("a" * 300, "a" * 200),
        ("evil\x1b[2Jbot\x00\u202e", "evil\ufffd[2Jbot\ufffd\ufffd"),
        ("half \ud800 pair", "half \ufffd pair"),
    ],
)
def test_what_a_client_calls_itself_is_one_short_line(agent: str, kept: str) -> None:
    key, plaintext = make_key()
    answer(plaintext, agent=agent)
    usage.flush()
    key.refresh_from_db()
    assert key.last_used_agent == kept


# --- refusals


def test_calls_with_a_key_that_has_ended_are_refusals_and_no_use() -> None:
    revoked, plaintext = make_key()
    expired, old = make_expired_key()
    revoke_api_key(revoked)
    for address in ("192.0.2.1", "192.0.2.99", "198.51.100.1", "2001:db8::1", "2001:db8::2"):
        client_of(plaintext).get("/v1/me", REMOTE_ADDR=address)
    client_of(old).get("/v1/me")
    usage.flush()
    assert refusals() == {
        ("key_revoked", "192.0.2.0/24", 2),
        ("key_revoked", "198.51.100.0/24", 1),
        ("key_revoked", "2001:db8::/64", 2),
        ("key_expired", "127.0.0.0/24", 1),
    }
    assert set(KeyRefusals.objects.values_list("api_key", flat=True)) == {revoked.pk, expired.pk}
    assert calls() == set()
    assert set(ApiKey.objects.values_list("last_used_at", flat=True)) == {None}


def test_who_does_not_have_the_whole_key_is_not_counted_as_its_holder() -> None:
    plaintext, other = make_key()[1], make_key()[1]
    for wrong in ("", "emgk_nonsense", plaintext[:-1]):
        assert client_of(wrong).get("/v1/me").status_code == 401
    assert client_of(f"{other[:16]}{plaintext[16:]}").get("/v1/me").status_code == 401
    usage.flush()
    assert (calls(), refusals()) == (set(), set())


def test_a_stolen_key_that_is_tried_from_everywhere_does_not_fill_the_table() -> None:
    key, _ = make_key()
    for flush in range(2):
        for number in range(40):
            address = f"2001:db8:{flush}:{number:x}::1"
            usage.collector.note_refusal(key.pk, reason="key_revoked", address=address, at=NOON)
        usage.flush()
    rows = KeyRefusals.objects.filter(api_key=key)
    assert rows.count() == usage_store.MAX_NETWORKS + 1
    assert rows.get(network=usage_store.ELSEWHERE).count == 80 - usage_store.MAX_NETWORKS


# --- scopes and mailboxes


@pytest.fixture
def support() -> Mailbox:
    return make_mailbox()


def used(plaintext: str, ask: Callable[[Client], object]) -> tuple[set[str], set[str]]:
    """Scopes, and the local parts of mailboxes."""
    ask(client_of(plaintext))
    usage.flush()
    mailboxes = KeyMailboxUse.objects.values_list("mailbox__local_part", flat=True)
    return set(KeyScopeUse.objects.values_list("scope", flat=True)), set(mailboxes)


def test_a_scope_is_used_when_it_lets_a_call_pass(support: Mailbox) -> None:
    _, plaintext = make_key(scopes=[Scope.EMAILS_READ, Scope.WEBHOOKS_WRITE])

    def ask(client: Client) -> None:
        client.get("/v1/webhooks")  # write includes read
        client.get("/v1/domains")  # a scope that it lacks
        client.get("/v1/me")  # needs none

    assert used(plaintext, ask) == ({"webhooks:read"}, set())


def test_a_scope_that_only_an_option_needs_is_used_as_well(support: Mailbox) -> None:
    email = make_email()
    _, plaintext = make_key()
    ask = lambda client: client.get(f"/v1/emails/{email.public_id}?include=text")  # noqa: E731
    assert used(plaintext, ask) == ({"emails:read", "emails:content"}, {"support"})


def test_a_list_of_emails_uses_the_mailboxes_whose_emails_it_shows(support: Mailbox) -> None:
    make_mailbox(address="sales@example.com")
    make_email()
    _, plaintext = make_key(mailboxes=list(Mailbox.objects.all()))
    assert used(plaintext, lambda client: client.get("/v1/emails")) == ({"emails:read"}, {"support"})


def test_a_list_of_mailboxes_uses_none_of_them(support: Mailbox) -> None:
    _, plaintext = make_key()
    assert used(plaintext, lambda client: client.get("/v1/mailboxes")) == ({"mailboxes:read"}, set())


def test_what_is_found_by_an_id_uses_its_mailbox(support: Mailbox, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.0/8"]
    alias = make_alias(mailbox=support)
    make_mailbox(address="sales@example.com")
    webhooks = [make_webhook(mailbox=support), make_webhook(alias=alias)]
    delivery = make_delivery(webhooks[1])
    client = client_of(make_key()[1])
    for path in (
        f"mailboxes/{support.public_id}",
        f"aliases/{alias.public_id}",
        f"emails?mailbox_id={support.public_id}&status=parked",
        *(f"webhooks/{webhook.public_id}/deliveries?state=held" for webhook in webhooks),
        f"deliveries/{delivery.public_id}",
    ):
        KeyMailboxUse.objects.all().delete()
        assert client.get(f"/v1/{path}").status_code == 200
        usage.flush()
        assert [use.mailbox for use in KeyMailboxUse.objects.all()] == [support], path


def test_a_mailbox_that_a_body_names_is_used(support: Mailbox) -> None:
    body = {"name": "more", "domain_id": support.domain.public_id, "mailbox_id": support.public_id}
    _, plaintext = make_key()
    ask = lambda client: client.post("/v1/aliases", body, content_type="application/json")  # noqa: E731
    assert used(plaintext, ask) == ({"aliases:write"}, {"support"})


def test_what_is_not_found_uses_nothing(support: Mailbox) -> None:
    _, plaintext = make_key(mailboxes=[support])
    secret = make_mailbox(address="sales@example.com")
    assert used(plaintext, lambda client: client.get(f"/v1/mailboxes/{secret.public_id}"))[1] == set()


# --- the flush


def counted(key: ApiKey, mailbox: Mailbox, *, calls: int = 1) -> Counts:
    counts = Counts()
    for _ in range(calls):
        counts.calls.add((key.pk, TODAY, "me", 2), 1)
    counts.refusals.add((key.pk, TODAY, "rate_limited", "192.0.2.0/24"), Refused(calls, NOON))
    counts.scopes.add((key.pk, "emails:read"), TODAY)
    counts.mailboxes.add((key.pk, mailbox.pk), TODAY)
    counts.last_uses.add(key.pk, LastUse(NOON, "192.0.2.7", "curl"))
    return counts


@pytest.mark.django_db(transaction=True)
def test_processes_that_flush_at_once_lose_nothing_and_do_not_hold_each_other_up(support: Mailbox) -> None:
    keys = [make_key()[0] for _ in range(20)]
    faults: list[Exception] = []

    def work(order: Iterable[ApiKey]) -> None:
        try:
            for _ in range(5):
                together = Counts()
                for key in order:
                    together.add_all(counted(key, support))
                usage_store.write(together)
        except Exception as error:  # noqa: BLE001 - whatever it is
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=[order]) for order in (keys, keys[::-1], keys[7:] + keys[:7])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(KeyCalls.objects.values_list("count", flat=True)) == {15}
    assert set(KeyRefusals.objects.values_list("count", flat=True)) == {15}
    assert AuditEntry.objects.filter(action="apikey.first_used").count() == 20
    assert KeyCalls.objects.count() == KeyScopeUse.objects.count() == KeyMailboxUse.objects.count() == 20


def test_a_mailbox_whose_row_is_gone_keeps_nothing_else_from_being_written(support: Mailbox) -> None:
    key, _ = make_key()
    counts = counted(key, support)
    counts.mailboxes.add((key.pk, uuid7()), date(2026, 6, 1))
    usage.collector.put_back(counts)
    assert usage.flush()
    assert KeyMailboxUse.objects.get().mailbox == support
    assert KeyCalls.objects.exists()


def test_what_the_database_refuses_is_dropped_and_counting_goes_on(
    support: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = make_key()

    def refused(_: Counts) -> None:
        raise IntegrityError("there is no such row")

    usage.collector.put_back(counted(key, support))
    with monkeypatch.context() as broken:
        broken.setattr(usage_store, "write", refused)
        assert not usage.flush()
    usage.collector.put_back(counted(key, support))
    assert usage.flush()
    assert calls() == {("me", 2, 1)}


def test_while_the_database_is_away_counts_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _, plaintext = make_key()
    client = client_of(plaintext)
    client.get("/v1/me")

    def away(_: Counts) -> None:
        raise OperationalError("it is away")

    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(usage_store, "write", away)
        assert not usage.flush()
        client.get("/v1/me")
        assert not usage.flush()
    assert [log["event"] for log in logs] == ["apikeys.usage_not_written"] * 2
    assert usage.flush()
    assert calls() == {("me", 2, 2)}


def test_a_flush_is_whole_or_nothing(support: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    key, _ = make_key()
    usage.collector.put_back(counted(key, support))
    written: Any = usage_store._mailboxes

    def broken(_: Counts) -> Any:
        raise OperationalError("it went away half way")

    monkeypatch.setattr(usage_store, "_mailboxes", broken)
    assert not usage.flush()
    key.refresh_from_db()
    assert (key.last_used_at, calls()) == (None, set())
    monkeypatch.setattr(usage_store, "_mailboxes", written)
    assert usage.flush()
    assert calls() == {("me", 2, 1)}


def test_memory_is_bounded_and_what_is_lost_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_counts, "AT_MOST", 3)
    for _ in range(2):
        for number in range(5):
            usage.collector.note_refusal(uuid7(), reason="key_revoked", address=f"192.0.{number}.1", at=NOON)
    with capture_logs() as logs:
        assert usage.flush()
    assert [(log["event"], log["entries"]) for log in logs] == [("apikeys.usage_lost", 7)]


def test_counts_of_a_key_that_is_gone_are_dropped_and_hold_up_no_other(support: Mailbox) -> None:
    key, _ = make_key()
    gone = ApiKey(pk=uuid7())
    both = counted(key, support)
    both.add_all(counted(gone, support))
    usage.collector.put_back(both)
    assert usage.flush()
    assert set(KeyCalls.objects.values_list("api_key", flat=True)) == {key.pk}


# --- a web process


@pytest.mark.django_db(transaction=True)
def test_what_was_counted_last_is_written_as_the_process_ends() -> None:
    """A worker of Granian's is a process of multiprocessing, which ends without atexit."""
    key, _ = make_key()
    connection.close()

    def work() -> None:
        usage.start_flushing()
        usage.collector.note_refusal(key.pk, reason="key_revoked", address="192.0.2.7", at=NOON)

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert refusals() == {("key_revoked", "192.0.2.0/24", 1)}
