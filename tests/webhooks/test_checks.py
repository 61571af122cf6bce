import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from emailgistics.common import leases
from emailgistics.management.commands.up import COMMANDS
from mailboxes.signals import emails_processed
from webhooks import checks
from webhooks.services import dispatch

pytestmark = pytest.mark.on_both  # of settings, which are others on PostgreSQL and Redis


def found(name: str) -> list[str]:
    return [str(message.msg) for message in run_checks() if message.id == name]


@pytest.mark.parametrize("entry", ["everything", "0.0.0.0/0", "10.0.0.1/33", "10.0.0.0/8:99999"])
def test_a_network_that_cannot_be_meant_stops_the_start_and_names_the_variable(entry: str, settings: Settings) -> None:
    assert found("webhooks.E001") == []
    settings.WEBHOOK_ALLOW_NETWORKS = [entry]
    (told,) = found("webhooks.E001")
    assert "WEBHOOK_ALLOW_NETWORKS" in told


def test_a_missing_ca_bundle_stops_the_start(settings: Settings, tmp_path: Path) -> None:
    assert found("webhooks.E002") == []
    settings.WEBHOOK_CA_BUNDLE = str(tmp_path / "none.pem")
    (told,) = found("webhooks.E002")
    assert "WEBHOOK_CA_BUNDLE" in told


def test_news_of_an_email_goes_to_webhooks_and_to_nobody_else() -> None:
    assert len(emails_processed.receivers) == 1


def test_the_times_that_come_with_it_fit_together() -> None:
    assert found("webhooks.E003") == []


WRONG_TIMES = {
    "connecting takes all of it": ({"WEBHOOK_TIMEOUT_S": 8}, "Set WEBHOOK_TIMEOUT_S to more than 8, or the other two"),
    "so does looking up": ({"WEBHOOK_DNS_TIMEOUT_S": 10}, "Set WEBHOOK_TIMEOUT_S to more than 15, or the other two"),
    "and both": ({"WEBHOOK_CONNECT_TIMEOUT_S": 13}, "Set WEBHOOK_TIMEOUT_S to more than 16, or the other two"),
    "too long for anybody": ({"WEBHOOK_TIMEOUT_S": 31, "STOP_WITHIN_S": 60}, "Set it to 30 or less."),
    "killed in flight": ({"WEBHOOK_TIMEOUT_S": 16}, "Set STOP_WITHIN_S to 20 or more"),
    "killed sooner": ({"STOP_WITHIN_S": 18}, "Set STOP_WITHIN_S to 19 or more"),
}


def test_a_lease_that_keeps_work_of_the_dead_for_too_long_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(seconds=17))
    (told,) = found("webhooks.E003")
    assert "waits for 0:00:21, longer than 0:00:20" in told


@pytest.mark.parametrize(("times", "remedy"), WRONG_TIMES.values(), ids=WRONG_TIMES)
def test_times_that_do_not_fit_stop_the_start_and_the_remedy_is_one(
    times: dict[str, int], remedy: str, settings: Settings
) -> None:
    for name, value in times.items():
        setattr(settings, name, value)
    (message,) = [message for message in run_checks() if message.id == "webhooks.E003"]
    assert message.is_serious()
    assert all(name in f"{message.msg} {message.hint}" for name in times if name != "STOP_WITHIN_S" or len(times) == 1)
    assert str(message.hint).startswith(remedy)


@pytest.mark.parametrize(
    "times", [{"WEBHOOK_TIMEOUT_S": 9}, {"WEBHOOK_TIMEOUT_S": 30, "STOP_WITHIN_S": 34}, {"WEBHOOK_DNS_TIMEOUT_S": 9}]
)
def test_times_that_just_fit_are_let_through(times: dict[str, int], settings: Settings) -> None:
    for name, value in times.items():
        setattr(settings, name, value)
    assert found("webhooks.E003") == []


def test_a_lease_that_one_late_renewal_loses_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", leases.LEASE_FOR / 3)
    (told,) = found("webhooks.E003")
    assert "lost by one late renewal" in told


def test_the_work_of_a_dead_dispatcher_is_taken_over_in_20_s_and_a_pause_holds_within_1_s() -> None:
    assert timedelta(seconds=20) >= leases.LEASE_FOR + dispatch.TAKE_OVER_EVERY
    assert dispatch.CLAIM_EVERY < dispatch.SETTLE_EVERY <= timedelta(seconds=1) < dispatch.TAKE_OVER_EVERY
    assert timedelta(seconds=checks.WRITE_DOWN_WITHIN_S + 15) <= dispatch.JOIN_WITHIN


CELERY = [sys.executable, *COMMANDS["dispatcher"].split()[1:]]


@pytest.mark.parametrize(
    ("command", "name", "value", "said"),
    [
        (CELERY, "WEBHOOK_TIMEOUT_S", "8", "webhooks.E003"),
        (CELERY, "WEBHOOK_PROXY", "socks5://user:geheim@proxy:1080", "webhooks.E004"),
        ([sys.executable, "manage.py", "web"], "STOP_WITHIN_S", "18", "webhooks.E003"),
        ([sys.executable, "manage.py", "up"], "WEBHOOK_TIMEOUT_S", "soon", "WEBHOOK_TIMEOUT_S is 'soon'"),
    ],
)
def test_no_part_starts_with_a_wrong_setting(
    command: list[str], name: str, value: str, said: str, settings: Settings, tmp_path: Path
) -> None:
    ran = subprocess.run(
        command, cwd=settings.BASE_DIR, env=os.environ | {"DATA_DIR": str(tmp_path), name: value}, check=False,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    assert said in ran.stderr
    assert name in ran.stderr
    assert "geheim" not in ran.stderr + ran.stdout
