"""The engine against real sockets: what is due goes out, nothing waits for the slow, nothing is lost on the way."""

import json
import re
import subprocess
import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import standardwebhooks
import svix
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import leases
from mailboxes.services import process
from tests.factories import make_delivery, make_mailbox, make_message, make_webhook
from tests.webhooks import answers
from webhooks.models import Attempt, Delivery, Webhook
from webhooks.services import dispatch, queue, webhooks
from webhooks.services.queue import Result
from webhooks.transport import Answer, Transport

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

SOON = timedelta(milliseconds=200)

# what the product's documentation tells integrators to write, with a command line around it
NODE_RECEIVER = """
const crypto = require('crypto');
function verifyWebhook(payload, signature, secret) {
  const hash = crypto.createHmac('sha256', secret).update(payload).digest('hex');
  return hash === signature;
}
const body = require('fs').readFileSync(0);
const [signature, secret] = process.argv.slice(1);
const sameAsStringify = JSON.stringify(JSON.parse(body.toString('utf8'))) === body.toString('utf8');
console.log(JSON.stringify({verified: verifyWebhook(body, signature, secret), sameAsStringify}));
"""


def run() -> None:
    dispatch.run_until_idle(idle_for=SOON)


def test_the_body_that_arrives_verifies_with_the_official_libraries_and_with_node(node: str) -> None:
    raw = (
        "From: “Ada” <ada@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_=F0=9F=90=8E?=\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
        'tab\there, quote ", backslash \\, line\u2028separator, \x7f, \U0001f40e\r\n'
    ).encode()
    with answers.receiver() as there:
        mailbox = make_mailbox()
        _, secret = webhooks.create_webhook(url=there.url, mailbox=mailbox)
        make_message(raw=raw)
        process.drain(linger=timedelta(0))
        run()
    (request,) = there.received
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    told = standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    svix.Webhook(secret).verify(request.body, request.headers)  # raises on anything but a good signature
    with pytest.raises(svix.WebhookVerificationError):
        svix.Webhook(secret).verify(request.body + b" ", request.headers)
    assert told["data"]["subject"] == "Grüße 🐎"
    assert "line\u2028separator" in told["data"]["text"]

    ran = subprocess.run(
        [node, "-e", NODE_RECEIVER, request.headers["x-webhook-signature"], secret],
        input=request.body, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout) == {"verified": True, "sameAsStringify": True}


def test_every_attempt_of_an_event_sends_the_same_id_and_octets_under_a_fresh_timestamp() -> None:
    with answers.receiver(answers.in_turn(answers.answer(500), answers.answer(200))) as there:
        delivery = make_delivery(make_webhook(url=there.url), content=b'{"type":"email.received"}')
        run()
        Delivery.objects.update(due_at=timezone.now())
        run()
    first, second = there.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.event.public_id
    assert first.body == second.body == b'{"type":"email.received"}'
    assert (first.headers["webhook-attempt"], second.headers["webhook-attempt"]) == ("1", "2")
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.failures) == ("delivered", 2, 1)
    assert list(Attempt.objects.values_list("n", "status")) == [(1, 500), (2, 200)]


def test_one_hanging_endpoint_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "Transport", partial(Transport, total_s=6))
    with answers.receiver(answers.never()) as hanging, answers.receiver() as healthy:
        mailbox = make_mailbox()
        slow, fast = make_webhook(url=hanging.url, mailbox=mailbox), make_webhook(url=healthy.url, mailbox=mailbox)
        for _ in range(queue.MAX_IN_FLIGHT_PER_WEBHOOK + 10):
            make_delivery(slow)
        quick = [make_delivery(fast) for _ in range(50)]
        engine = dispatch.Engine()
        engine.wake()
        until = time.monotonic() + 5  # less than the hanging ones' deadline
        while Delivery.objects.filter(state="delivered").count() < len(quick):
            assert time.monotonic() < until
            time.sleep(0.02)
        late = make_delivery(fast)
        while Delivery.objects.get(pk=late.pk).state != "delivered":
            assert time.monotonic() < until
            time.sleep(0.02)
        assert len(hanging.received) == queue.MAX_IN_FLIGHT_PER_WEBHOOK
        engine.stop()
        engine.join()
    assert not Delivery.objects.exclude(lease_id=None).exists()
    assert set(Attempt.objects.filter(delivery__webhook=slow).values_list("error", flat=True)) == {"timeout"}


def test_a_private_address_that_got_into_the_database_is_refused_at_the_socket(settings: Settings) -> None:
    with answers.receiver() as there:
        mailbox = make_mailbox()
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "[::1]"):
            webhook = make_webhook(url=there.url, mailbox=mailbox)
            Webhook.objects.filter(pk=webhook.pk).update(url=f"http://{host}:{there.port}/")
            make_delivery(webhook)
        settings.WEBHOOK_ALLOW_NETWORKS = []
        run()
        assert there.connections == 0
    assert list(Attempt.objects.values_list("error", flat=True)) == ["forbidden_address"] * 4
    # an operator may allow it tomorrow: the mail is not lost over it
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


def test_a_redirect_is_a_failure_that_says_where_to() -> None:
    with answers.receiver() as elsewhere:
        moved = answers.answer(302, headers={"location": elsewhere.url})
        with answers.receiver(moved) as there:
            delivery = make_delivery(make_webhook(url=there.url))
            run()
        assert elsewhere.connections == 0
    delivery.refresh_from_db()
    assert (delivery.state, delivery.last_status) == ("pending", 302)
    assert f"it leads to http://127.0.0.1:{elsewhere.port}" in Attempt.objects.get().detail


def test_no_transaction_is_open_while_a_request_is_under_way() -> None:
    """Somebody else can lock and write the delivery's row while its request hangs."""
    with answers.receiver(answers.never()) as there:
        make_delivery(make_webhook(url=there.url))
        engine = dispatch.Engine()
        engine.wake()
        until = time.monotonic() + 10
        while not there.received:
            assert time.monotonic() < until
            time.sleep(0.02)
        started = time.monotonic()
        with transaction.atomic():
            Delivery.objects.select_for_update().get()
            Delivery.objects.update(reason="written meanwhile")
        assert time.monotonic() - started < 2
        assert Delivery.objects.get().lease_id is not None
        engine.stop()
    engine.join()
    assert Attempt.objects.get().error == "closed"


def test_a_database_that_goes_away_after_the_request_loses_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([OperationalError("gone"), OperationalError("still gone")])
    record = queue.record

    def away_twice(*arguments: object) -> None:
        for error in failures:
            raise error
        record(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "record", away_twice)
    monkeypatch.setattr(dispatch, "DATABASE_AWAY_FOR", timedelta(milliseconds=50))
    with answers.receiver() as there:
        delivery = make_delivery(make_webhook(url=there.url))
        run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, len(there.received)) == ("delivered", 1, 1)


def test_a_claim_that_was_committed_unheard_is_freed_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with answers.receiver() as there:
        delivery = make_delivery(make_webhook(url=there.url))
        with monkeypatch.context() as patched:
            claim = queue.claim

            def unheard(*arguments: object, **options: object) -> None:
                claim(*arguments, **options)  # type: ignore[arg-type]
                raise OperationalError("connection lost after COMMIT")

            patched.setattr(queue, "claim", unheard)
            run()
        delivery.refresh_from_db()
        assert (delivery.state, there.received) == ("pending", [])
        run()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, len(there.received)) == ("delivered", 2, 1)


def test_waking_a_running_engine_costs_nothing_and_a_wake_at_the_end_is_not_lost() -> None:
    with answers.receiver() as there:
        webhook = make_webhook(url=there.url)
        engine = dispatch.Engine()
        for number in range(3):
            make_delivery(webhook)
            for _ in range(20):
                engine.wake()
            until = time.monotonic() + 10
            while Delivery.objects.filter(state="delivered").count() <= number:
                assert time.monotonic() < until
                time.sleep(0.02)
            assert sum(thread.name == "dispatch" for thread in threading.enumerate()) <= 1
        engine.stop()
        engine.join()
    assert len(there.received) == 3


def test_after_stop_nothing_more_is_begun() -> None:
    with answers.receiver() as there:
        make_delivery(make_webhook(url=there.url))
        engine = dispatch.Engine()
        engine.stop()
        engine.wake()
        engine.join()
        assert there.connections == 0


def test_pausing_while_mail_flows_starts_nothing_more_than_a_second_later() -> None:
    with answers.receiver() as there:
        webhook = make_webhook(url=there.url)
        engine = dispatch.Engine()
        make_delivery(webhook)
        engine.wake()
        webhooks.pause_webhook(webhook)
        paused_at = time.monotonic()
        while time.monotonic() - paused_at < 1.5:
            make_delivery(webhook)
            engine.wake()
            if time.monotonic() - paused_at < 1:
                sent = len(there.received)
            time.sleep(0.05)
        assert len(there.received) == sent
        engine.stop()
        engine.join()
        queue.settle()
        assert set(Delivery.objects.values_list("state", flat=True)) <= {"held", "delivered"}
        webhooks.resume_webhook(webhook)
        dispatch.run_until_idle(idle_for=SOON)
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_a_claim_and_a_record_take_few_statements_for_many_deliveries() -> None:
    mailbox = make_mailbox()
    hooks = [make_webhook(mailbox=mailbox) for _ in range(10)]
    many = queue.MAX_IN_FLIGHT - queue.RESERVED
    for number in range(many):
        make_delivery(hooks[number % 10])
    with leases.held("dispatch") as lease, CaptureQueriesContext(connection) as queries:
        claimed = queue.claim(lease.id, in_flight={})
        assert len(claimed) == many
        answer = Answer(started_at=timezone.now(), status=204)
        queue.record([Result(one, answer) for one in claimed], lease.id)
    statements = [query["sql"] for query in queries if not re.match("BEGIN|COMMIT|SAVEPOINT|RELEASE", query["sql"])]
    if connection.vendor == "postgresql":  # on SQLite a statement costs next to nothing
        assert len(statements) / len(claimed) <= 0.025


def test_others_begin_before_it_is_written_down_what_came_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    record, received_before = queue.record, []
    with answers.receiver() as there:

        def slow(*arguments: Any) -> None:
            received_before.append(len(there.received))
            time.sleep(0.2)
            record(*arguments)

        monkeypatch.setattr(queue, "record", slow)
        webhook = make_webhook(url=there.url)
        for _ in range(2 * queue.MAX_IN_FLIGHT_PER_WEBHOOK):
            make_delivery(webhook)
        run()
        assert len(there.received) == 2 * queue.MAX_IN_FLIGHT_PER_WEBHOOK
    assert received_before[0] >= queue.MAX_IN_FLIGHT_PER_WEBHOOK
    assert set(Delivery.objects.values_list("state", "attempts")) == {("delivered", 1)}


@pytest.mark.parametrize(
    ("begun", "quiet_s", "took_s", "expected_s"),
    [
        (0, 0, 0.001, 0.01),
        (dispatch.FEW, 0, 0.001, 0.01),
        (0, 0.1, 0.001, 0.025),
        (0, 0.9, 0.001, 0.05),
        (0, 0, 0.03, 0.03),
        (0, 0, 0.1, 0.05),
        (dispatch.FEW + 1, 0, 0.001, 0.05),
    ],
)
def test_the_next_claim_comes_soon_after_little_was_sent_and_later_after_nothing_or_much_or_on_a_busy_machine(
    begun: int, quiet_s: float, took_s: float, expected_s: float
) -> None:
    assert dispatch.next_claim_in_s(begun, quiet_s=quiet_s, took_s=took_s) == expected_s
