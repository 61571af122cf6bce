"""Each thing that the doctor looks at, found to be wrong once; and where a canary stands that does not come back."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import leases, selftest
from emailgistics.common.audit import append_only
from emailgistics.common.ids import encode_id, uuid7
from emailgistics.common.models import Canary, Lease, SecretCheck
from emailgistics.operations import alarms, canary, canary_ways, doctor, health
from emailgistics.operations.canary import ADDRESS, DOMAIN
from emailgistics.operations.doctor import State
from mailboxes.models import Domain, Email, Mailbox, Message
from mailboxes.services import process, rule_book
from tests.factories import make_domain, make_mailbox, make_message
from tests.installation import free_ports
from tests.mailboxes.dns_server import DnsServer
from webhooks import signing
from webhooks.models import Attempt, Delivery, Webhook

pytestmark = pytest.mark.django_db

LITTLE = ("--no-dns", "--no-canary")


def examine(*arguments: str) -> dict[str, dict[str, str]]:
    """What was found, by the check's name."""
    out, refused = StringIO(), None
    try:
        call_command("doctor", *arguments, "--json", stdout=out)
    except CommandError as error:
        refused = error
    found = {one["name"]: one for one in json.loads(out.getvalue())["data"]}
    failed = [name for name, one in found.items() if one["state"] == State.FAILED]
    assert (refused is not None) == bool(failed)
    if refused is not None:
        assert refused.returncode == 1
        assert str(refused) == f"Failed: {', '.join(failed)}."
    return found


def look(name: str, *arguments: str) -> tuple[str, str]:
    """State, and what is said of it, of that check alone."""
    [check] = [check for check in doctor.CHECKS if check.name == name]
    finding = doctor._looked(check, doctor.Wish())
    assert finding.to_do or finding.state in (State.OK, State.SKIPPED)
    return finding.state, f"{finding.seen} {finding.to_do}"


def redis_nowhere() -> str:
    return f"redis://127.0.0.1:{free_ports(1)[0]}/0"


@pytest.fixture(autouse=True)
def _fresh(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs, and nothing is known of the database by an earlier test."""
    monkeypatch.setattr(health, "_up_to_date", [False])
    monkeypatch.setattr(connection, "close", lambda: None)  # it holds the test's transaction
    settings.MIN_FREE_DISK_BYTES = 1
    settings.HTTP_PORT, settings.SMTP_PORT = free_ports(2)


def test_where_nothing_runs_only_what_runs_is_missing(settings: Settings) -> None:
    found = examine(*LITTLE)
    assert list(found) == [check.name for check in doctor.CHECKS]
    states = {name: one["state"] for name, one in found.items()}
    fine = ("database", "secrets", "broker", "cache", "clock", "disk", "work", "ledger")
    assert {states[name] for name in fine} == {State.OK}, found
    assert (states["web"], states["listener"]) == (State.FAILED, State.FAILED)
    assert states["processes"] == (State.FAILED if settings.EMBEDDED else State.OK)
    assert (states["dns"], states["canary"]) == (State.SKIPPED, State.SKIPPED)
    assert all(one["to_do"] for one in found.values() if one["state"] in (State.FAILED, State.WARNING))


def test_people_read_the_same_with_what_to_do_below() -> None:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("doctor", *LITTLE, stdout=out)
    lines = out.getvalue().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("database")] == ["ok"]
    [at] = [number for number, line in enumerate(lines) if line.startswith("listener")]
    assert "failed" in lines[at]
    assert lines[at + 1].strip() == canary.NO_LISTENER


def test_without_a_database_what_needs_one_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise DatabaseError("secret-host.example.net refuses")

    monkeypatch.setattr(connection, "cursor", away)
    found = examine(*LITTLE)
    assert found["database"]["state"] == State.FAILED
    skipped = {name for name, one in found.items() if one["seen"] == "the database cannot be used"}
    assert skipped == {"secrets", "clock", "dns", "work", "ledger", "canary"}
    assert found["broker"]["state"] == State.OK


def test_a_database_that_is_not_migrated_or_not_guarded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(MigrationExecutor, "migration_plan", lambda *_: [("one", False)])
        state, said = look("database")
        assert (state, "manage.py migrate" in said) == (State.FAILED, True)
    append_only.drop(connection)
    state, said = look("database")
    assert (state, "guards the audit log is missing" in said) == (State.FAILED, True)


def test_another_secret_fails() -> None:
    selftest.refuse_wrong_secrets()
    assert look("secrets")[0] == State.OK
    SecretCheck.objects.filter(name="SECRET_KEY").update(value=b"x" * 32)
    state, said = look("secrets")
    assert (state, "SECRET_KEY is another one" in said) == (State.FAILED, True)


def test_a_broker_that_is_away_fails_and_a_cache_is_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "current_app", Celery(broker=redis_nowhere(), set_as_current=False))
    assert look("broker")[0] == State.FAILED
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": redis_nowhere()}}
    state, said = look("cache")
    assert (state, "cannot be used" in said) == (State.WARNING, True)
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert look("cache")[1].startswith("it keeps nothing")


def test_the_cache_that_there_is_is_well() -> None:
    """On PostgreSQL that is the one in Redis."""
    assert look("cache") == (State.OK, "what is put in comes out ")


@pytest.mark.parametrize(("skew_s", "state"), [(1, State.OK), (-5, State.WARNING), (60, State.FAILED)])
def test_clocks_that_differ(skew_s: int, state: State, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EMBEDDED = False
    monkeypatch.setattr(doctor, "database_now", lambda: timezone.now() + timedelta(seconds=skew_s))
    assert look("clock")[0] == state


@pytest.mark.on_postgres
def test_the_databases_clock_is_asked() -> None:
    assert abs(doctor.database_now() - timezone.now()) < timedelta(seconds=30)


def test_a_disk_that_fills_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    free = doctor.disk_usage(settings.DATA_DIR).free
    for least, state in ((free // 4, State.OK), (free * 3 // 4, State.WARNING), (free * 4, State.FAILED)):
        settings.MIN_FREE_DISK_BYTES = least
        assert look("disk")[0] == state


def test_settings_that_do_not_go_together(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["mail.example.com"]
    state, said = look("settings")
    assert (state, "ALLOWED_HOSTS lacks 127.0.0.1" in said) == (State.FAILED, True)
    settings.EMBEDDED, settings.BASE_URL, settings.ALLOWED_HOSTS = False, "http://localhost", ["*"]
    state, said = look("settings")
    assert "BASE_URL is not https" in said
    assert "BASE_URL names this host alone" in said
    assert "ALLOWED_HOSTS is *" in said
    settings.WEBHOOK_PROXY = "ftp://proxy.example.net"
    assert look("settings")[0] == State.FAILED, "what the apps check is part of it"


def test_dns_is_a_warning_that_names_the_domain(settings: Settings) -> None:
    assert look("dns") == (State.SKIPPED, "there are no domains but for tests ")
    make_domain()
    with DnsServer() as server:
        settings.DNS_SERVERS, settings.MX_HOSTNAME = [server.address], "mx.mail.example"
        state, said = look("dns")
        assert (state, "example.com (missing)" in said) == (State.WARNING, True)
        server.set_zone({"example.com": [("MX", (5, "mx.mail.example.")), ("TXT", "v=spf1 -all")]})
        doctor.dns_records.forget()
        assert look("dns") == (State.OK, "1 of 1 domains looked at ")


def test_late_work_and_a_ledger_that_differs_fail() -> None:
    make_mailbox()
    make_message()
    assert (look("work")[0], look("ledger")[0]) == (State.OK, State.OK)
    Message.objects.update(received_at=timezone.now() - timedelta(hours=2))
    state, said = look("work")
    assert (state, "Mail has waited" in said) == (State.FAILED, True)
    Email.objects.all().delete()
    state, said = look("ledger")
    assert (state, "emails -1" in said) == (State.FAILED, True)


def test_a_look_that_breaks_down_hides_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.answering, "why_no_smtp", None)
    found = examine(*LITTLE)
    assert found["listener"]["seen"].startswith("the look itself failed: TypeError")
    assert found["ledger"]["state"] == State.OK


def test_wrong_usage_is_2() -> None:
    for wrong in (
        ("--canary-url", "https://hooks.example.net/"),
        ("--canary-listen", ":8026"),
        ("--canary-within", "0"),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("doctor", *wrong)
        assert refused.value.returncode == 2
    for wrong in ("8026", "host:", "host:0", "host:65536"):
        with pytest.raises(CommandError, match="HOST:PORT"):
            call_command("doctor", f"--smtp={wrong}")


# --- the canary


@pytest.fixture
def loopback_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


@pytest.fixture
def sends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """In place of a listener: the mail is stored, and what is given happens to it."""
    settings.TEST_NETWORKS = [ip_network("192.0.2.0/24")]  # where the factories' mail comes from

    def set_what_happens(then: Callable[[], object] = lambda: None) -> None:
        def send(_host: str, _port: int) -> str:
            message = make_message(to=(ADDRESS,), mail_from=ADDRESS)
            then()
            return message.public_id

        monkeypatch.setattr(canary, "_send", send)

    return set_what_happens


def opened() -> None:
    process.drain(linger=timedelta(0))


def where_it_stood() -> str:
    with pytest.raises(canary.CanaryError) as lost:
        canary.fly(within=timedelta(seconds=0.2))
    assert lost.value.remedy
    assert Canary.objects.get().failure == lost.value.where
    assert_nothing_is_left()
    return lost.value.where


def assert_nothing_is_left() -> None:
    assert not Email.objects.exists()
    assert not Message.objects.exists()
    assert not Webhook.objects.exists()
    assert not Lease.objects.filter(kind=canary.LEASE).exists()
    assert not Domain.objects.live().exists(), "it is in no list"
    assert not Mailbox.objects.live().exists()
    [balance] = [one for one in doctor.ledger.balances(timezone.now().date()) if one.account == "emails"]
    assert balance.difference == 0


def test_one_that_is_pulled_comes_back_signed_and_leaves_nothing(sends: Any, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []
    sends(opened)
    for _ in range(2):
        flight = canary.fly(within=timedelta(seconds=5))
        assert "by pulling" in flight.how
        assert_nothing_is_left()
    row = Canary.objects.get()
    assert (row.failure, row.took_ms) == ("", flight.took_ms)
    assert Domain.objects.filter(name=DOMAIN).count() == 1, "made once"


def test_one_that_nobody_opens_is_said_to_wait_for_a_worker(sends: Any) -> None:
    sends()
    assert where_it_stood().endswith(", and still waits to be opened")


def test_one_that_a_rule_keeps_back_is_said_to_be(sends: Any) -> None:
    rule_book.create_rule(action="quarantine", criterion="sender_domain", value=DOMAIN)
    sends(opened)
    assert "quarantined" in where_it_stood()


@pytest.mark.usefixtures("loopback_allowed")
def test_one_that_nobody_sends_is_said_to_wait_for_a_dispatcher(sends: Any) -> None:
    sends(opened)
    assert "its delivery is pending: no dispatcher has taken it" in where_it_stood()


@pytest.mark.usefixtures("loopback_allowed")
def test_one_whose_receiver_cannot_be_reached_is_not_waited_for(sends: Any) -> None:
    def attempted() -> None:
        opened()
        delivery = Delivery.objects.get()
        Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now(), error="connect", detail="refused")

    sends(attempted)
    assert where_it_stood().endswith("the webhook's attempt failed: refused")


def test_one_that_another_database_took_is_said_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_send", lambda *_: encode_id("msg", uuid7()))
    assert "not in this database" in where_it_stood()


def test_without_a_listener_it_fails_and_that_is_an_alarm_until_one_comes_back(sends: Any, settings: Settings) -> None:
    settings.METRICS_TOKEN = "only-for-tests"
    assert "does not answer" in where_it_stood()
    alarms.watch()
    headers = {"Authorization": "Bearer only-for-tests"}
    said = Client().get("/healthz/work", headers=headers).json()
    assert [alarm["code"] for alarm in said["alarms"]] == ["canary_failed"]
    assert "does not answer" in said["canary"]["failure"]
    assert b'emailgistics_alarm{code="canary_failed"} 1.0' in Client().get("/metrics", headers=headers).content
    sends(opened)
    settings.WEBHOOK_ALLOW_NETWORKS = []
    canary.fly(within=timedelta(seconds=5))
    assert not alarms.watch()
    metrics = Client().get("/metrics", headers=headers).content.decode()
    assert "emailgistics_canary_seconds NaN" not in metrics
    assert "emailgistics_canary_age_seconds" in metrics


def test_a_url_that_may_not_be_called_is_refused_before_a_mail_is_sent() -> None:
    with pytest.raises(canary.CanaryError, match="10\\.0\\.0\\.1"):
        canary.fly(url="https://10.0.0.1/", listen=("127.0.0.1", 0))
    assert_nothing_is_left()


def test_two_at_once_are_one() -> None:
    with leases.held(canary.LEASE):
        with pytest.raises(canary.CanaryBusyError):
            canary.fly()
        assert look("canary")[0] == State.SKIPPED
    assert not Canary.objects.exists(), "it says nothing of how mail goes"


def test_its_own_receiver_takes_what_verifies_alone(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
    with canary_ways.open_way() as way:
        delivery = Delivery(event_id=uuid7())
        event_id = encode_id("evt", delivery.event_id)
        assert not way.has_arrived(delivery)
        assert post(way.url, {}) == 401
        for length in ("-1", "many", "1" * 5000):
            assert post(way.url, {"Content-Length": length}) == 401, length
        assert not way.has_arrived(delivery), "that was nobody's who says to be us"
        signed = {"event_id": event_id, "timestamp": int(time.time()), "attempt": 1, "body": b"{}", "version": "1"}
        assert post(way.url, signing.headers(**signed, secrets=[way.secret])) == 204
        assert way.has_arrived(delivery)
        other = canary_ways.new_webhook_secret()
        assert post(way.url, signing.headers(**signed, secrets=[other])) == 401
        with pytest.raises(signing.SignatureError):
            way.has_arrived(delivery)


def post(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, data=b"{}", headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
