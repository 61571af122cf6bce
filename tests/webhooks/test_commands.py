"""`manage.py webhooks` and `manage.py webhook_sink`, as an operator uses them."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import leases
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_mailbox, make_webhook
from webhooks import sink
from webhooks.models import MOVED, Attempt, Webhook
from webhooks.services import queue
from webhooks.services.webhooks import headers_of, secrets_of
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
        "events": ["email.received", "webhook.disabled"],
        "payload": "full",
        "attachments": "links",
        "max_in_flight": 20,
        "rate_per_minute": None,
        "thinned_at": None,
        "headers": {},
        "description": "",
        "state": "active",
        "state_reason": "",
        "previous_secret_until": None,
        "health": {"failing_since": None, "failures": 0, "circuit": "closed", "open_until": None},
        "attempts_in_flight": 0,
    }
    assert [secret] == secrets_of(Webhook.objects.get(), now=timezone.now())
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
    webhook = make_webhook()
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
        "event_type": "email.received",
        "is_test": False,
        "generation": 1,
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


URL = "http://127.0.0.1:9000/hook"


@pytest.mark.usefixtures("loopback_allowed")
def test_headers_are_given_line_by_line_and_shown_without_their_values() -> None:
    make_alias()
    lines = ("--header", "Authorization: Bearer a: b", "--header", "X-Tenant:support")
    made = run("create", "--url", URL, "--alias", "help@example.com", *lines)
    assert made["headers"] == {"Authorization": "***", "X-Tenant": "***"}
    assert headers_of(Webhook.objects.get()) == {"Authorization": "Bearer a: b", "X-Tenant": "support"}
    for verb in (("list",), ("show", made["id"])):
        out = StringIO()
        call_command("webhooks", *verb, stdout=out)
        assert "Bearer" not in out.getvalue()
    assert "Authorization=***" in out.getvalue()
    for line, told in (
        ("no colon here", "'Name: value'"), ("Host: secret-x", "cannot be set"), ("X-A: ***", "give its value"),
    ):  # fmt: skip
        with pytest.raises(CommandError, match=told) as refused:
            run("create", "--url", URL, "--alias", "help@example.com", "--header", line)
        assert "secret-x" not in str(refused.value)
        assert "no colon here" not in str(refused.value)
    with pytest.raises(CommandError, match="given twice"):
        run("create", "--url", URL, "--alias", "help@example.com", "--header", "X-A: 1", "--header", "X-A: 2")
    assert Webhook.objects.count() == 1


@pytest.mark.usefixtures("loopback_allowed")
def test_a_webhook_is_changed_in_what_is_named() -> None:
    make_alias()
    made = run("create", "--url", URL, "--alias", "help@example.com", "--header", "X-A: one")
    secret = made.pop("secret")
    changed = run("update", made["id"], "--description", "new", "--payload", "metadata")
    assert changed == made | {"description": "new", "payload": "metadata"}
    changed = run("update", made["id"], "--header", "X-A: ***", "--header", "X-B: two")
    assert changed["headers"] == {"X-A": "***", "X-B": "***"}
    assert headers_of(Webhook.objects.get()) == {"X-A": "one", "X-B": "two"}
    moved = run("update", made["id"], "--url", "http://127.0.0.1:9001/")
    assert [moved.pop("secret")] == secrets_of(Webhook.objects.get(), now=timezone.now()) != [secret]
    assert moved == changed | {"url": "http://127.0.0.1:9001/", "headers": {}}
    run("update", made["id"], "--header", "X-A: one")
    assert run("update", made["id"], "--no-headers")["headers"] == {}
    with pytest.raises(CommandError, match="Say what to change") as usage:
        run("update", made["id"])
    assert usage.value.returncode == 2


@pytest.mark.usefixtures("loopback_allowed")
def test_what_a_webhook_is_told_of_can_be_chosen_and_changed() -> None:
    make_alias()
    made = run("create", "--url", URL, "--alias", "help@example.com", "--event", "email.received")
    assert made["events"] == ["email.received"]
    both = ("--event", "webhook.disabled", "--event", "email.received")
    assert run("update", made["id"], *both)["events"] == ["email.received", "webhook.disabled"]
    assert run("update", made["id"], "--event", "webhook.disabled")["events"] == ["webhook.disabled"]
    with pytest.raises(CommandError, match=r"invalid choice: 'email\.lost'"):
        run("update", made["id"], "--event", "email.lost")


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.usefixtures("loopback_allowed")
def test_a_secret_is_brought_along_in_a_file_which_no_list_of_processes_shows(tmp_path: Path) -> None:
    make_alias()
    file, url = tmp_path / "secret", ("--url", URL, "--alias", "help@example.com")
    file.write_text(f"{SECRET}\n")
    assert run("create", *url, "--secret-file", str(file))["secret"] == SECRET
    with pytest.raises(CommandError, match="not allowed with argument"):
        run("create", *url, "--secret-file", str(file), "--secret", SECRET)
    for broken in (tmp_path / "none", tmp_path):
        with pytest.raises(CommandError, match=f"--secret-file: cannot read {broken}"):
            run("create", *url, "--secret-file", str(broken))
    file.write_bytes(b"\xff")
    with pytest.raises(CommandError, match="A webhook secret is whsec_"):
        run("create", *url, "--secret-file", str(file))
    assert Webhook.objects.count() == 1


@pytest.fixture
def sink_secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each receiver that is started would verify with; none listens."""
    secrets: list[str] = []

    async def serve(receiver: Any, **_: Any) -> None:
        secrets.append(receiver._secret)

    monkeypatch.setattr(sink, "serve", serve)
    return secrets


def test_a_receiver_reads_its_secret_from_a_file_or_the_environment(
    tmp_path: Path, settings: Settings, sink_secrets: list[str]
) -> None:
    settings.SINK_SECRET = "whsec_" + "A" * 32
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    for arguments in (["--secret-file", str(file)], ["--secret", SECRET], []):
        call_command("webhook_sink", *arguments)
    assert sink_secrets == [SECRET, SECRET, settings.SINK_SECRET]
    for wrong in (["--secret-file", str(tmp_path)], ["--secret", "whsec_x"], ["--secret", ""]):
        with pytest.raises(CommandError, match="--secret-file"):
            call_command("webhook_sink", *wrong)
    assert len(sink_secrets) == 3


@pytest.mark.usefixtures("loopback_allowed")
def test_a_secret_is_rotated_with_an_overlap() -> None:
    make_alias()
    made = run("create", "--url", URL, "--alias", "help@example.com")
    rotated = run("rotate-secret", made["id"])
    now = timezone.now()
    assert secrets_of(Webhook.objects.get(), now=now) == [rotated["secret"], made["secret"]]
    assert secrets_of(Webhook.objects.get(), now=now + timedelta(hours=23)) == [rotated["secret"], made["secret"]]
    assert secrets_of(Webhook.objects.get(), now=now + timedelta(hours=24)) == [rotated["secret"]]
    with pytest.raises(CommandError, match="still signs"):
        run("rotate-secret", made["id"], "--overlap", "7d")
    last = run("rotate-secret", made["id"], "--overlap", "0")
    assert last["previous_secret_until"] is None
    assert secrets_of(Webhook.objects.get(), now=now) == [last["secret"]]
    assert run("rotate-secret", made["id"], "--overlap", "7d")["previous_secret_until"] is not None
    for overlap, told in (("8d", "0 to 7 days"), ("soon", "24h, 7d or 0"), ("-1h", "24h, 7d or 0")):
        with pytest.raises(CommandError, match=told):
            run("rotate-secret", made["id"], f"--overlap={overlap}")


@pytest.mark.usefixtures("loopback_allowed")
def test_a_moved_alias_shows_at_once_and_resume_confirms() -> None:
    alias = make_alias()
    made = run("create", "--url", URL, "--alias", "help@example.com")
    provision.update_alias(alias, mailbox=make_mailbox(address="sales@example.com"))
    for shown in (run("show", made["id"]), *run("list")["data"]):
        assert (shown["state"], shown["state_reason"]) == ("paused", MOVED)
    assert run("resume", made["id"])["state"] == "active"


@pytest.mark.usefixtures("loopback_allowed")
def test_an_operator_sees_inner_addresses_and_answers() -> None:
    delivery = make_delivery(make_webhook(), last_status=500)
    Attempt.objects.create(
        delivery=delivery, n=1, started_at=timezone.now(), status=500, peer_ip="10.0.0.7", response_excerpt=b"no\x1b[2J"
    )
    (attempt,) = run_deliveries("show", delivery.public_id)["attempt_log"]
    assert (attempt["peer"], attempt["response"]) == ("10.0.0.7", {"headers": [], "body": "no\x1b[2J"})


@pytest.mark.usefixtures("loopback_allowed")
def test_attempts_are_shown_to_people_line_by_line() -> None:
    delivery = make_delivery(make_webhook(), last_status=500)
    at = timezone.now().replace(2030, 1, 31, 18, 0, 0, 123000)
    log = Attempt.objects.create
    log(delivery=delivery, n=1, started_at=at, error="dns", detail="hooks.example.net does not resolve.", total_ms=12)
    log(
        delivery=delivery, n=2, started_at=at, status=500, peer_ip="10.0.0.7", total_ms=340,
        response_headers=b"X-A: b", response_excerpt=b"no\x1b[2J\nreally" + b"x" * 1000,
    )  # fmt: skip
    log(delivery=delivery, n=3, started_at=at, error="lost")
    out = StringIO()
    call_command("deliveries", "show", delivery.public_id, stdout=out)
    fields, _, attempts = out.getvalue().partition("\n\n")
    assert "attempt_log" not in fields
    assert attempts.splitlines() == [
        "attempt 1 at 2030-01-31T18:00:00.123Z: dns after 12 ms. hooks.example.net does not resolve.",
        "attempt 2 at 2030-01-31T18:00:00.123Z: 500 after 340 ms, from 10.0.0.7.",
        "    no\ufffd[2J\ufffdreally" + "x" * 187,
        "attempt 3 at 2030-01-31T18:00:00.123Z: lost.",
    ]
    call_command("deliveries", "show", make_delivery(delivery.webhook).public_id, stdout=(out := StringIO()))
    assert "attempt" not in out.getvalue().replace("attempts", "").replace("next_attempt_at", "")
