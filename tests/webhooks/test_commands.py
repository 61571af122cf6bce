"""`manage.py webhooks` and `manage.py webhook_sink`, as an operator uses them."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from emailgistics.common import leases
from tests.factories import make_alias, make_delivery, make_webhook
from webhooks.models import Webhook
from webhooks.services import queue
from webhooks.services.webhooks import secret_of
from webhooks.transport import Answer

pytestmark = pytest.mark.django_db


def run(*arguments: str, command: str = "webhooks") -> Any:
    out = StringIO()
    call_command(command, *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def run_deliveries(*arguments: str) -> Any:
    return run(*arguments, command="deliveries")


@pytest.mark.usefixtures("loopback_allowed")
def test_a_webhook_is_made_shown_paused_resumed_and_deleted() -> None:
    alias = make_alias()
    made = run("create", "--url", "http://127.0.0.1:9000/hook", "--alias", "help@example.com")
    assert next(iter(made)) == "id"
    secret = made.pop("secret")
    assert made == {
        "id": made["id"],
        "created_at": made["created_at"],
        "url": "http://127.0.0.1:9000/hook",
        "alias_id": alias.public_id,
        "mailbox_id": None,
        "domain_id": None,
        "events": ["email.received"],
        "payload": "full",
        "description": "",
        "state": "active",
        "state_reason": "",
    }
    assert secret == secret_of(Webhook.objects.get())
    assert run("list") == {"data": [made]}
    assert run("show", made["id"]) == made
    assert run("pause", made["id"])["state"] == "paused"
    assert run("resume", made["id"]) == made

    delivery = make_delivery(Webhook.objects.get())
    assert run("delete", made["id"]) == made
    assert run("list") == {"data": []}
    queue.settle()
    delivery.refresh_from_db()
    assert delivery.state == "canceled"
    with pytest.raises(CommandError, match="There is no webhook"):
        run("show", made["id"])


def test_a_secret_is_nowhere_to_be_read_afterwards(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
    make_alias()
    secret = run("create", "--url", "http://127.0.0.1:9000/", "--alias", "help@example.com")["secret"]
    stored = b"".join(str(value).encode() for value in Webhook.objects.values_list().get())
    assert secret.encode() not in stored
    assert secret not in json.dumps(run("list"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/"])
def test_forbidden_addresses_are_refused_with_a_word_on_what_to_do(url: str, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []
    make_alias()
    with pytest.raises(CommandError) as refused:
        run("create", "--url", url, "--alias", "help@example.com")
    told = str(refused.value)
    assert "127.0.0.1" in told or "169.254.169.254" in told
    assert ("WEBHOOK_ALLOW_NETWORKS" in told) == ("169.254" not in url)  # metadata addresses cannot be allowed
    assert not Webhook.objects.exists()


@pytest.mark.usefixtures("loopback_allowed")
def test_what_became_of_a_mail_can_be_seen_with_each_attempt() -> None:
    webhook = make_webhook(alias=make_alias())
    delivery, other = make_delivery(webhook), make_delivery(webhook, state="delivered")
    with leases.held("dispatch") as lease:
        (claimed,) = queue.claim(lease.id, in_flight={})
        failed = Answer.of_fault("dns", "hooks.example.net does not resolve.")
        queue.record([queue.Result(claimed, failed)], lease.id)
    (listed,) = run_deliveries("list", "--webhook", webhook.public_id, "--state", "pending")["data"]
    assert listed == run_deliveries("show", delivery.public_id)
    (attempt,) = listed.pop("attempt_log")
    assert (attempt["n"], attempt["error"], attempt["detail"]) == (1, "dns", "hooks.example.net does not resolve.")
    assert listed.pop("next_attempt_at") > listed.pop("created_at")
    assert listed == {
        "id": delivery.public_id,
        "webhook_id": webhook.public_id,
        "email_id": delivery.event.email.public_id,
        "event_id": delivery.event.public_id,
        "state": "pending",
        "reason": "hooks.example.net does not resolve.",
        "attempts": 1,
        "last_status": None,
        "last_error": "dns",
        "delivered_at": None,
    }
    assert [one["id"] for one in run_deliveries("list", "--limit", "1")["data"]] == [other.public_id]
    with pytest.raises(CommandError, match="There is no delivery"):
        run_deliveries("show", "dlv_x")


@pytest.mark.usefixtures("loopback_allowed")
def test_a_secret_can_be_brought_along_and_a_bad_one_is_refused() -> None:
    make_alias()
    url, mine = "http://127.0.0.1:9000/", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert run("create", "--url", url, "--domain", "example.com", "--secret", mine)["secret"] == mine
    for bad in ("whsec_short", mine.removeprefix("whsec_")):
        with pytest.raises(CommandError, match="A webhook secret is whsec_"):
            run("create", "--url", url, "--domain", "example.com", "--secret", bad)
