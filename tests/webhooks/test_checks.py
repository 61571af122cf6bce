from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from mailboxes.signals import email_processed


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
    assert len(email_processed.receivers) == 1
