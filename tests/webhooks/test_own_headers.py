"""Own headers and rotated secrets over real sockets: what arrives, and that no value stays behind anywhere."""

import json
from datetime import timedelta
from typing import Any

import pytest
import standardwebhooks
from django.db import connection
from django.db.models.functions import Now

from mailboxes.models import Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_delivery, make_mailbox
from tests.webhooks import answers
from tests.webhooks.answers import Received
from tests.webhooks.rows import again, make_own_webhook
from webhooks import signing
from webhooks.models import Attempt, Delivery, Webhook
from webhooks.services import dispatch, queue, webhooks
from webhooks.transport import MAX_EXCERPT_BYTES, MAX_HEADERS_BYTES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

TOKEN, TENANT = "Bearer a-token-nobody-may-read", "support-team-7"
OWN = {"Authorization": TOKEN, "X_Tenant": TENANT}
TABLES = ("webhooks_webhook", "webhooks_event", "webhooks_eventbody", "webhooks_delivery", "webhooks_attempt")


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def send(webhook: Webhook) -> Delivery:
    delivery = make_delivery(webhook, content=b'{"type":"email.received"}')
    dispatch.run_until_idle(idle_for=timedelta(milliseconds=100))
    delivery.refresh_from_db()
    return delivery


def stored() -> bytes:
    """Every value of every row of ours."""
    with connection.cursor() as cursor:
        rows: list[Any] = []
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table}")
            rows += cursor.fetchall()
    values = (value for row in rows for value in row)
    return b"\n".join(bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in values)


def verifies(request: Received, secret: str) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(request.body, request.headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def test_own_headers_arrive_beside_ours(mailbox: Mailbox) -> None:
    with answers.receiver() as there:
        webhook, secret = make_own_webhook(url=there.url, mailbox=mailbox, headers=OWN)
        assert send(webhook).state == "delivered"
    (request,) = there.received
    assert (request.headers["authorization"], request.headers["x_tenant"]) == (TOKEN, TENANT)
    assert verifies(request, secret)
    assert set(request.headers) == {
        "host", "content-length", "content-type", "webhook-id", "webhook-timestamp", "webhook-signature",
        "x-webhook-signature", "webhook-attempt", "user-agent", "accept-encoding", "authorization", "x_tenant",
    }  # fmt: skip


def test_one_webhooks_headers_reach_no_other_receiver(mailbox: Mailbox) -> None:
    with answers.receiver() as there, answers.receiver() as elsewhere:
        make_own_webhook(url=there.url, mailbox=mailbox, headers=OWN)
        other, _ = make_own_webhook(url=elsewhere.url, mailbox=mailbox, headers={"X-Other": "theirs"})
        for webhook in Webhook.objects.all():
            make_delivery(webhook)
        dispatch.run_until_idle(idle_for=timedelta(milliseconds=100))
        assert webhooks.update_webhook(other, url=there.url, headers={"X-Other": None})
        send(other)
    assert [request.headers.get("x-other") for request in elsewhere.received] == ["theirs"]
    assert all("authorization" not in request.headers for request in elsewhere.received)
    assert [request.headers.get("x-other") for request in there.received] == [None, None]


def test_both_secrets_sign_while_a_rotation_overlaps_and_then_the_new_one_alone(mailbox: Mailbox) -> None:
    with answers.receiver() as there:
        webhook, old = make_own_webhook(url=there.url, mailbox=mailbox)
        send(webhook)
        new = webhooks.rotate_secret(webhook, overlap=timedelta(hours=1))
        send(webhook)
        Webhook.objects.update(previous_secret_until=Now())
        send(webhook)
        assert again(webhook).sealed_previous_secret is None
    before, during, after = there.received
    assert (verifies(before, old), verifies(before, new)) == (True, False)
    assert (verifies(during, old), verifies(during, new)) == (True, True)
    assert (verifies(after, old), verifies(after, new)) == (False, True)
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    # the documented snippet knows one header and one secret: its own goes on verifying until the end
    plain = [request.headers["x-webhook-signature"] for request in there.received]
    assert plain == [signing.hex_signature(request.body, secret) for request, secret in
                     zip(there.received, (old, old, new), strict=True)]  # fmt: skip
    following = [request.headers.get("x-webhook-signature-next") for request in there.received]
    assert following == [None, signing.hex_signature(during.body, new), None]


def test_no_value_and_no_secret_stays_behind_anywhere(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the receiver answers with the whole request, and fails."""
    caplog.set_level("DEBUG")
    nudges: list[str] = []
    monkeypatch.setattr(webhooks, "nudge", nudges.append)

    async def echo(request: Received, writer: Any) -> None:
        body = json.dumps(request.headers).encode()
        head = f"HTTP/1.1 307 See\r\nlocation: /{TENANT}/x\r\nx-seen: {TOKEN}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    client = make_client()
    with answers.receiver(echo) as there:
        body = {"mailbox_id": mailbox.public_id, "url": there.url, "headers": OWN}
        made = client.post("/v1/webhooks", body, content_type="application/json")
        webhook = Webhook.objects.get()
        path = f"/v1/webhooks/{webhook.public_id}"
        rotated = client.post(f"{path}/rotate-secret", {"overlap_hours": 1}, content_type="application/json")
        delivery = send(webhook)
        assert there.received[0].headers["authorization"] == TOKEN
        refused = client.patch(path, {"headers": {"Host": TOKEN}}, content_type="application/json")
        webhooks.resume_webhook(again(webhook))
    assert (made.status_code, rotated.status_code, refused.status_code) == (201, 200, 400)
    assert (delivery.state, delivery.last_status) == ("pending", 307)
    attempt = Attempt.objects.get()
    assert b"***" in bytes(attempt.response_excerpt)
    assert attempt.detail.endswith(f"it leads to http://127.0.0.1:{there.port}")
    told = [client.get(where).content for where in (path, "/v1/webhooks", f"{path}/deliveries",
                                                     f"/v1/deliveries/{delivery.public_id}")]  # fmt: skip
    logged = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert "webhook.attempt_failed" in logged
    everywhere = stored() + b"".join(told) + logged.encode() + repr(nudges).encode() + refused.content
    secrets = [answer.json()["secret"].removeprefix("whsec_") for answer in (made, rotated)]
    for value in (TOKEN, "a-token-nobody-may-read", TENANT, *secrets):
        assert value.encode() not in everywhere
        assert value not in repr(webhooks_claimed(webhook))
    for value in OWN.values():
        assert value.encode() not in made.content


@pytest.mark.parametrize("shown", [9, 20, 27])
def test_a_value_across_the_end_of_what_is_kept_is_not_readable(mailbox: Mailbox, shown: int) -> None:
    async def echo(_: Received, writer: Any) -> None:
        body = b"x" * (MAX_EXCERPT_BYTES - shown) + TOKEN.encode() + b"more" * 10
        head = b"HTTP/1.1 307 See\r\nlocation: /%b\r\ncontent-length: %d\r\n" % (
            b"y" * 8 + b"/" + TENANT.encode() * 30, len(body),
        )  # fmt: skip
        for n in (1, 2):  # the second is cut, a few octets before the end of the value
            filled = MAX_HEADERS_BYTES - len(b"content-length: %d\r\nx-1: \r\nx-2: " % len(body)) - shown
            head += b"x-%d: %b\r\n" % (n, b"z" * 4000 if n == 1 else b"z" * (filled - 4000 - 292) + TOKEN.encode())
        writer.write(head + b"\r\n" + body)
        await writer.drain()

    with answers.receiver(echo) as there:
        webhook, _ = make_own_webhook(url=there.url, mailbox=mailbox, headers=OWN)
        send(webhook)
    attempt = Attempt.objects.get()
    assert attempt.status == 307
    assert bytes(attempt.response_excerpt).endswith(b"x***")
    kept = bytes(attempt.response_headers) + bytes(attempt.response_excerpt) + attempt.detail.encode()
    for value in (TOKEN, "a-token-nobody-may-read", TENANT):
        assert value[:8].encode() not in kept


def webhooks_claimed(webhook: Webhook) -> list[Any]:
    from emailgistics.common import leases

    Delivery.objects.update(due_at=Now(), lease_losses=0)
    with leases.held("dispatch") as lease:
        claimed = queue.claim(lease.id, in_flight={})
    queue.take_over()
    assert len(claimed) == 1
    assert claimed[0].webhook_id == webhook.pk
    return claimed


FORGED = [
    {"Host": "evil.example"}, {"webhook-signature": "v1,forged"}, {"Content-Length": "0"}, {"X-A": "1\r\nX-B: 2"},
    {"Transfer-Encoding": "chunked"}, {"X-A": "nul\0"}, {"bad name": "x"}, {"X-A": "1", "x-a": "2"},
]  # fmt: skip


@pytest.mark.parametrize("forged", FORGED)
def test_what_an_old_or_forged_row_holds_is_not_sent(forged: dict[str, str], mailbox: Mailbox) -> None:
    with answers.receiver() as there:
        webhook, _ = make_own_webhook(url=there.url, mailbox=mailbox)
        Webhook.objects.update(**webhooks._sealed_headers(webhook.pk, forged))
        other, _ = make_own_webhook(url=there.url, mailbox=mailbox)
        fine = make_delivery(other)
        delivery = send(webhook)
        fine.refresh_from_db()
    assert [request.headers["webhook-id"] for request in there.received] == [fine.event.public_id]
    attempt = delivery.attempt_log.get()
    assert (delivery.state, attempt.error, attempt.status) == ("pending", "invalid_headers", None)
    assert "header" in attempt.detail
    assert "forged" not in attempt.detail
    assert fine.state == "delivered"


def test_headers_that_do_not_open_are_no_attempt_and_no_failure_and_say_so(mailbox: Mailbox) -> None:
    with answers.receiver() as there:
        webhook, _ = make_own_webhook(url=there.url, mailbox=mailbox, headers=OWN)
        Webhook.objects.update(sealed_headers=b"\x01\x00\x01" + b"0" * 60)
        delivery = send(webhook)
        assert there.connections == 0
        assert (delivery.state, delivery.last_error, delivery.attempts) == ("pending", "headers_unreadable", 0)
        assert delivery.deferred_since is not None
        assert "give all of them again" in delivery.reason
        assert not delivery.attempt_log.exists()
        webhooks.update_webhook(webhook, headers={"Authorization": "anew"})
        Delivery.objects.update(due_at=Now())
        dispatch.run_until_idle(idle_for=timedelta(milliseconds=100))
    assert [request.headers["authorization"] for request in there.received] == ["anew"]


def test_what_cannot_be_made_again_as_metadata_is_not_sent(mailbox: Mailbox) -> None:
    with answers.receiver() as there:
        webhook, _ = make_own_webhook(url=there.url, mailbox=mailbox)
        delivery = make_delivery(webhook, content=b"not json")
        webhooks.update_webhook(webhook, payload="metadata")
        dispatch.run_until_idle(idle_for=timedelta(milliseconds=100))
        assert there.connections == 0
    delivery.refresh_from_db()
    assert (delivery.state, delivery.last_error, delivery.attempts) == ("pending", "body_unreadable", 0)
