"""What machines ask: health for a load balancer, work for who is to be woken, metrics for Prometheus."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core import mail
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common.models import Alarm, LedgerDay
from emailgistics.operations import alarms, health
from emailgistics.tasks import watch
from mailboxes.models import Message
from tests.factories import make_delivery, make_mailbox, make_message, make_webhook
from tests.installation import ROOT
from webhooks.models import WebhookHealth
from webhooks.services import stop

pytestmark = pytest.mark.django_db

TOKEN = "only-for-tests"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
LONG_AGO = timedelta(hours=2)


@pytest.fixture(autouse=True)
def _settings(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.MIN_FREE_DISK_BYTES = 1
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def away(*_: object, **__: object) -> None:
        raise DatabaseError("secret-host.example.net refuses")

    with monkeypatch.context() as context:
        context.setattr(connection, "cursor", away)
        yield


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready", "/healthz/work"])
def test_a_healthy_installation_answers_one_word_whatever_host_is_named(path: str) -> None:
    answer = Client().get(path, headers={"Host": "10.0.0.7:8000"})
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies
    assert Client().head(path).status_code == 200
    refused = Client().post(path)
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")


def test_without_a_database_it_lives_and_is_not_ready_and_tells_nobody_why(no_database: None) -> None:
    client = Client()
    assert client.get("/healthz/live").status_code == 200
    for path, word in (("/healthz/ready", b"unready\n"), ("/healthz/work", b"trouble\n")):
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (503, word)
        told = client.get(path, headers=WITH_TOKEN)
        assert "The database does not answer" in told.json()["reasons"][0]
        assert "secret-host" not in told.content.decode()
    assert client.get("/metrics", headers=WITH_TOKEN).status_code == 503


def test_a_database_of_an_earlier_release_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db.migrations.executor import MigrationExecutor

    monkeypatch.setattr(health, "_up_to_date", [False])
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: [("one", False)])
    answer = Client().get("/healthz/ready", headers=WITH_TOKEN)
    assert answer.status_code == 503
    assert "manage.py migrate" in answer.json()["reasons"][0]


def test_mail_that_waits_is_trouble_and_takes_no_web_node_away() -> None:
    make_mailbox()
    make_message()
    assert Client().get("/healthz/work").status_code == 200
    Message.objects.update(received_at=timezone.now() - LONG_AGO)
    answer = Client().get("/healthz/work", headers=WITH_TOKEN)
    assert answer.status_code == 503
    assert answer.json()["oldest_waiting_mail_s"] == pytest.approx(7200, abs=60)
    assert Client().get("/healthz/ready").status_code == 200


def test_a_late_delivery_is_trouble_unless_it_may_not_go_out() -> None:
    webhook = make_webhook()
    make_delivery(webhook, due_at=timezone.now() - LONG_AGO)
    Message.objects.update(state=Message.State.PROCESSED)
    assert Client().get("/healthz/work").content == b"trouble\n"
    WebhookHealth.objects.update_or_create(
        webhook=webhook, defaults={"open_until": timezone.now() + timedelta(minutes=5)}
    )
    assert Client().get("/healthz/work").content == b"ok\n", "its circuit breaker is open"
    WebhookHealth.objects.all().delete()
    stop.stop_outgoing(by="somebody")
    assert Client().get("/healthz/work").content == b"ok\n", "somebody stopped all of it on purpose"


def test_nobody_watching_is_trouble_too() -> None:
    watch()
    LedgerDay.objects.all().delete()
    long_ago = timezone.now() - LONG_AGO
    LedgerDay.objects.create(day=long_ago.date(), checked_at=long_ago, is_balanced=True, took_ms=1)
    answer = Client().get("/healthz/work", headers=WITH_TOKEN)
    assert "beat" in " ".join(answer.json()["reasons"])


def test_metrics_are_for_who_has_the_token(settings: Settings) -> None:
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}, {"Authorization": "Bearer \xff"}):
        answer = Client().get("/metrics", headers=given)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
        assert b"emailgistics_" not in answer.content
        assert Client().get("/healthz/work", headers=given).content == b"ok\n"
    settings.METRICS_TOKEN = ""
    for given in ({}, {"Authorization": "Bearer "}):
        assert Client().get("/metrics", headers=given).status_code == 404


def test_metrics_say_what_came_what_waits_and_what_is_wrong_by_ids_alone() -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    WebhookHealth.objects.update_or_create(webhook=webhook, defaults={"failing_since": timezone.now() - LONG_AGO})
    stop.stop_outgoing(by="somebody")
    stop.OutgoingStop.objects.update(stopped_at=timezone.now() - LONG_AGO)
    alarms.watch()
    text = Client().get("/metrics", headers=WITH_TOKEN).content.decode()
    values = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in text.splitlines() if line[0] != "#"}
    assert values["emailgistics_mail_accepted_total"] == "1.0"
    assert values["emailgistics_mail_waiting"] == "1.0"
    assert values['emailgistics_deliveries_open{state="pending"}'] == "1.0"
    assert values['emailgistics_alarm{code="outgoing_stopped"}'] == "1.0"
    assert values['emailgistics_alarm{code="mail_waits"}'] == "0.0"
    assert float(values[f'emailgistics_webhook_failing_seconds{{webhook_id="{webhook.public_id}"}}']) > 7000
    assert "example.com" not in text
    assert "127.0.0.1" not in text


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_is_over(settings: Settings) -> None:
    settings.ALERT_EMAILS, settings.EMAIL_URL = ["ops@example.com"], "consolemail://"
    make_mailbox()
    make_message()
    Message.objects.update(received_at=timezone.now() - LONG_AGO)
    for _ in range(3):
        alarms.watch()
    (told,) = mail.outbox
    assert told.to == ["ops@example.com"]
    assert "mail_waits" in told.subject
    assert "Is a worker running" in told.body
    since = Alarm.objects.get(code="mail_waits").since
    Message.objects.update(state=Message.State.PROCESSED)
    alarms.watch()
    assert not Alarm.objects.exists()
    assert "Over: mail_waits" in mail.outbox[1].body
    assert f"{since:%Y-%m-%d %H:%M}" in mail.outbox[1].body


def test_an_e_mail_that_cannot_be_sent_is_sent_later(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALERT_EMAILS, settings.EMAIL_URL = ["ops@example.com"], "consolemail://"
    stop.stop_outgoing(by="somebody")
    stop.OutgoingStop.objects.update(stopped_at=timezone.now() - LONG_AGO)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as context:
        context.setattr("django.core.mail.EmailMessage.send", refuse)
        alarms.watch()
    assert Alarm.objects.get().told_at is None
    alarms.watch()
    assert len(mail.outbox) == 1
    assert Alarm.objects.get().told_at is not None


def test_every_alarm_has_a_place_in_the_documentation_with_its_rule() -> None:
    page = (ROOT / "docs" / "operations" / "alarms.md").read_text()
    codes = [kind.code for kind in alarms.KINDS]
    assert re.findall(r"(?m)^## `(\w+)`$", page) == codes
    rules = (ROOT / "docs" / "operations" / "prometheus-rules.yaml").read_text()
    assert sorted(re.findall(r'emailgistics_alarm\{code="(\w+)"\}', rules)) == sorted(codes)
    for kind in alarms.KINDS:
        assert kind.what_to_do in page, kind.code


def test_the_answer_with_the_token_is_json_that_names_every_alarm(tmp_path: Path, settings: Settings) -> None:
    settings.SMTP_TLS_CERT = str(tmp_path / "missing.pem")
    alarms.watch()
    said = json.loads(Client().get("/healthz/work", headers=WITH_TOKEN).content)
    assert [alarm["code"] for alarm in said["alarms"]] == ["certificate_ends"]
