"""Over HTTP: trying a webhook out, sending again, pulling, and what a webhook says of itself besides."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from emailgistics.common.access import Scope
from emailgistics.common.ids import uuid7
from mailboxes.models import Email, Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_email, make_mailbox
from tests.webhooks.asking import LACKS_CONTENT, NOT_FOUND, call, one, pointers, post, problem
from tests.webhooks.rows import URL, again, make_delivery_in, make_own_webhook
from webhooks import signing
from webhooks.api.views import trying
from webhooks.models import Attempt, Delivery, EventBody, ReplayJob, Webhook, WebhookHealth
from webhooks.services import replay_jobs, stop
from webhooks.services.webhooks import secrets_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

CONFLICT = (409, "conflict")


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox)[0]


@pytest.fixture
def client() -> Client:
    return make_client()


@pytest.fixture
def without_content() -> Client:
    return make_client(scopes=set(Scope) - {Scope.EMAILS_CONTENT})


def reload(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


def delivery_url(delivery: Delivery, verb: str = "") -> str:
    return f"/deliveries/{delivery.public_id}{verb and '/'}{verb}"


# --- what a webhook says of itself


def test_a_webhook_without_url_is_pulled(mailbox: Mailbox, client: Client) -> None:
    body = {"mailbox_id": mailbox.public_id, "url": None, "attachments": "inline", "events": ["email.received"]}
    made = post(client, body | {"max_in_flight": 3, "rate_per_minute": 60})
    assert made.status_code == 201
    told = made.json()
    assert {name: told[name] for name in ("url", "attachments", "events", "max_in_flight", "rate_per_minute")} == {
        "url": None, "attachments": "inline", "events": ["email.received"], "max_in_flight": 3, "rate_per_minute": 60,
    }  # fmt: skip
    assert Webhook.objects.get().url == ""
    shown = one(client, "GET", told["id"]).json()
    assert one(client, "PUT", told["id"], shown).json() == shown
    changed = one(client, "PATCH", told["id"], {"url": URL, "rate_per_minute": None, "events": ["webhook.disabled"]})
    assert changed.status_code == 200
    assert "secret" in changed.json()
    assert one(client, "GET", told["id"]).json() == shown | {
        "url": URL, "rate_per_minute": None, "events": ["webhook.disabled"]
    }  # fmt: skip
    assert one(client, "PATCH", told["id"], {"url": None}).json()["url"] is None


def test_octets_of_attachments_are_for_keys_with_content(mailbox: Mailbox, without_content: Client) -> None:
    body = {"mailbox_id": mailbox.public_id, "url": URL, "attachments": "inline"}
    assert problem(post(without_content, body)) == LACKS_CONTENT
    made = post(without_content, body | {"attachments": "links"}).json()
    assert problem(one(without_content, "PATCH", made["id"], {"attachments": "inline"})) == LACKS_CONTENT
    assert Webhook.objects.get().attachments == "links"


def test_a_webhook_says_how_well_it_is_taken(webhook: Webhook, client: Client) -> None:
    at = timezone.now() + timedelta(minutes=5)
    WebhookHealth.objects.filter(webhook=webhook).update(failing_since=at, failures=12, open_until=at, open_for_s=30)
    health = one(client, "GET", webhook).json()["health"]
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert health == {"failing_since": stamp, "failures": 12, "circuit": "open", "open_until": stamp}
    WebhookHealth.objects.all().delete()
    assert one(client, "GET", webhook).json()["health"]["circuit"] == "closed"


def test_attempts_that_cannot_be_taken_back_are_counted(mailbox: Mailbox, webhook: Webhook, client: Client) -> None:
    for _ in range(2):
        make_delivery_in(mailbox, webhook, lease_id=uuid7())
    make_delivery_in(mailbox, webhook)
    assert one(client, "POST", webhook, verb="pause").json()["attempts_in_flight"] == 2
    rotated = one(client, "POST", webhook, {"overlap_hours": 0}, verb="rotate-secret").json()
    assert rotated["attempts_in_flight"] == 2
    assert [entry["attempts_in_flight"] for entry in call(client, "GET", "/webhooks").json()["data"]] == [2]
    deleted = one(client, "DELETE", webhook)
    assert (deleted.status_code, deleted["Attempts-In-Flight"]) == (204, "2")


def test_a_rotation_within_an_overlap_is_refused_unless_it_ends_both(webhook: Webhook, client: Client) -> None:
    first = one(client, "POST", webhook, verb="rotate-secret").json()
    before = Webhook.objects.values().get()
    for body in (None, {"overlap_hours": 1}):
        assert problem(one(client, "POST", webhook, body, verb="rotate-secret")) == (409, "rotation_overlaps")
    assert Webhook.objects.values().get() == before
    last = one(client, "POST", webhook, {"overlap_hours": 0}, verb="rotate-secret").json()
    assert secrets_of(again(webhook), now=timezone.now()) == [last["secret"]] != [first["secret"]]


# --- trying it out


def test_a_test_is_told_with_every_attempt_once_it_ended(
    webhook: Webhook, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(delivery: Delivery, *, at_most: timedelta) -> Delivery:
        assert at_most == timedelta(seconds=5)
        Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now(), error="dns", detail="no such name")
        Delivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=1, reason="no such name")
        delivery.refresh_from_db()
        return delivery

    monkeypatch.setattr(trying.testing, "wait_for_end", end)
    answer = one(client, "POST", webhook, verb="test")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["state"], told["is_test"], told["email_id"], told["event_type"]) == (
        "failed", True, None, "webhook.test"
    )  # fmt: skip
    assert [attempt["detail"] for attempt in told["attempt_log"]] == ["no such name"]
    assert call(client, "GET", f"/deliveries/{told['id']}").json() == told
    assert told["id"] in [entry["id"] for entry in one(client, "GET", webhook, verb="deliveries").json()["data"]]


def test_a_test_that_is_not_over_in_time_is_a_202(
    webhook: Webhook, mailbox: Mailbox, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "WAIT_AT_MOST", timedelta(0))
    answer = one(client, "POST", webhook, verb="test")
    assert (answer.status_code, answer.json()["state"], answer.json()["attempt_log"]) == (202, "pending", [])
    pulled, _ = make_own_webhook(mailbox=mailbox, url="")
    assert one(client, "POST", pulled, verb="test").json()["state"] == "held"
    before = Delivery.objects.count()
    assert pointers(one(client, "POST", webhook, {"x": 1}, verb="test")) == ["/x"]
    assert Delivery.objects.count() == before


def test_a_request_that_does_not_verify_is_explained(mailbox: Mailbox, client: Client) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox)
    body = b'{"a":1,"b":"x"}'
    delivery = make_delivery_in(mailbox, webhook, content=body)
    headers = signing.headers(
        event_id=delivery.event.public_id, timestamp=int(timezone.now().timestamp()), attempt=1, body=body,
        secrets=[secret], version="1",
    )  # fmt: skip

    def check(pasted: Any, text: str) -> Any:
        answer = one(client, "POST", webhook, {"headers": pasted, "body": text}, verb="check-signature")
        assert answer.status_code == 200
        assert secret not in answer.content.decode()
        return answer.json()

    assert check(headers, body.decode())["is_valid"] is True
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    assert check(lines, body.decode())["code"] == "valid"
    swapped = check(headers, '{"b":"x","a":1}')
    assert swapped.keys() == {"is_valid", "code", "reason", "remedy"}
    assert (swapped["is_valid"], swapped["code"]) == (False, "body_reserialized")
    for wrong, field in (({"headers": 5, "body": ""}, "/headers"), ({"headers": {}, "body": 5}, "/body")):
        assert pointers(one(client, "POST", webhook, wrong, verb="check-signature")) == [field]
    assert pointers(one(client, "POST", webhook, {}, verb="check-signature")) == ["/headers"]


# --- deliveries


def test_a_delivery_says_what_keeps_it_back(mailbox: Mailbox, webhook: Webhook, client: Client) -> None:
    delivery = make_delivery_in(mailbox, webhook, due_at=timezone.now() - timedelta(hours=1), reason="answered 500")

    def told() -> tuple[str, str | None]:
        shown = call(client, "GET", delivery_url(delivery)).json()
        (listed,) = one(client, "GET", webhook, verb="deliveries").json()["data"]
        assert (listed["reason"], listed["next_attempt_at"]) == (shown["reason"], shown["next_attempt_at"])
        return shown["reason"], shown["next_attempt_at"]

    due = told()[1]
    assert told()[0] == "answered 500"
    opened = timezone.now() + timedelta(minutes=10)
    WebhookHealth.objects.update(open_until=opened, open_for_s=30)
    reason, at = told()
    assert reason.startswith("answered 500; so much failed")
    assert at == opened.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stop.stop_outgoing(by="Ada")
    assert told() == ("answered 500; all outgoing webhooks are stopped", None)
    stop.start_outgoing(by="Ada")
    WebhookHealth.objects.update(open_until=None, open_for_s=0, tokens=0, tokens_at=timezone.now())
    Webhook.objects.update(rate_per_minute=1)
    reason, at = told()
    assert reason == "answered 500; the webhook's limit of 1 requests a minute keeps it back"
    assert at is not None
    assert due is not None
    assert at > due
    Delivery.objects.update(is_test=True)
    assert told() == ("answered 500", due)
    Delivery.objects.update(is_test=False, lease_id=uuid7())
    assert told() == ("answered 500; an attempt is under way", due)


def test_a_delivery_is_replayed_and_canceled(mailbox: Mailbox, webhook: Webhook, client: Client) -> None:
    delivery = make_delivery_in(mailbox, webhook, state="failed")
    told = call(client, "POST", delivery_url(delivery, "replay")).json()
    assert (told["state"], told["generation"], told["attempt_log"]) == ("pending", 2, [])
    assert told["reason"].startswith("replayed by the key emgk_")
    assert problem(call(client, "POST", delivery_url(delivery, "replay"))) == CONFLICT
    told = call(client, "POST", delivery_url(delivery, "cancel")).json()
    assert (told["state"], told["next_attempt_at"]) == ("canceled", None)
    assert told["reason"].startswith("canceled by the key emgk_")
    assert problem(call(client, "POST", delivery_url(delivery, "cancel"))) == CONFLICT
    for verb in ("replay", "cancel"):
        assert pointers(call(client, "POST", delivery_url(delivery, verb), {"x": 1})) == ["/x"]
    Delivery.objects.update(body=None)
    EventBody.objects.all().delete()
    assert problem(call(client, "POST", delivery_url(delivery, "replay"))) == (409, "content_expired")
    assert reload(delivery).state == "canceled"


def test_only_keys_with_content_send_what_mails_say_again(
    mailbox: Mailbox, webhook: Webhook, client: Client, without_content: Client
) -> None:
    full = make_delivery_in(mailbox, webhook, state="failed")
    lean = make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox, payload="metadata")[0], state="failed")
    Email.objects.update(status="processed")
    body = {"since": "2020-01-01T00:00:00Z"}
    assert full.event.email is not None
    asked = [
        ("POST", delivery_url(full, "replay"), None), ("POST", f"/webhooks/{webhook.public_id}/replay", body),
    ]  # fmt: skip
    for method, path, sent in asked:
        assert problem(call(without_content, method, path, sent)) == LACKS_CONTENT
    assert reload(full).state == "failed"
    assert not ReplayJob.objects.exists()
    assert call(without_content, "POST", delivery_url(lean, "replay")).status_code == 200
    assert call(without_content, "POST", delivery_url(full, "cancel")).status_code == 409
    for method, path, sent in asked:
        assert call(client, method, path, sent).status_code in (200, 202), path


# --- emails and spans of time


@pytest.mark.django_db(transaction=True)
def test_without_content_an_email_goes_again_to_webhooks_for_metadata_alone(
    mailbox: Mailbox, webhook: Webhook, client: Client, without_content: Client
) -> None:
    lean, _ = make_own_webhook(mailbox=mailbox, payload="metadata")
    path = f"/emails/{make_email(to=mailbox.address).public_id}/replay"
    Delivery.objects.update(state="failed")
    told = {"replayed": 1, "made": 0, "on_their_way": 0, "content_expired": 0}
    assert call(without_content, "POST", path).json() == told
    assert dict(Delivery.objects.values_list("webhook", "generation")) == {webhook.pk: 1, lean.pk: 2}
    assert call(client, "POST", path).json() == told | {"on_their_way": 1}
    assert dict(Delivery.objects.values_list("webhook", "generation")) == {webhook.pk: 2, lean.pk: 2}


@pytest.mark.django_db(transaction=True)
def test_an_email_is_sent_to_its_webhooks_again(mailbox: Mailbox, webhook: Webhook, client: Client) -> None:
    email = make_email(to=mailbox.address)
    Delivery.objects.update(state="failed")
    other = make_mailbox(address="sales@example.com")
    make_own_webhook(domain=mailbox.domain)
    mine = make_client(mailboxes=[mailbox])
    path = f"/emails/{email.public_id}"
    assert call(mine, "POST", f"{path}/replay").json() == {
        "replayed": 1, "made": 0, "on_their_way": 0, "content_expired": 0
    }  # fmt: skip
    assert call(client, "POST", f"{path}/replay").json() == {
        "replayed": 0, "made": 1, "on_their_way": 1, "content_expired": 0
    }  # fmt: skip
    assert len(call(client, "GET", f"{path}/deliveries").json()["data"]) == 2
    (seen,) = call(mine, "GET", f"{path}/deliveries").json()["data"]
    assert (seen["webhook_id"], seen["email_id"], seen["generation"]) == (webhook.public_id, email.public_id, 2)
    for verb, method in (("replay", "POST"), ("deliveries", "GET")):
        assert problem(call(make_client(mailboxes=[other]), method, f"{path}/{verb}")) == NOT_FOUND
    Email.objects.update(status="waiting")
    assert problem(call(client, "POST", f"{path}/replay")) == CONFLICT


def test_a_span_of_time_is_a_job(mailbox: Mailbox, webhook: Webhook, client: Client) -> None:
    for _ in range(2):
        make_delivery_in(mailbox, webhook, state="failed")
    since = (timezone.now() - timedelta(hours=1)).isoformat()
    answer = one(client, "POST", webhook, {"since": since, "rate_per_minute": 12}, verb="replay")
    assert answer.status_code == 202
    job = answer.json()
    assert answer["Location"].endswith(f"/v1/jobs/{job['id']}")
    assert (job["state"], job["status"], job["total"], job["replayed"]) == ("running", "failed", 2, 0)
    replay_jobs.work_replays()
    read = call(client, "GET", f"/jobs/{job['id']}").json()
    assert read == job | {"replayed": 1}
    for _ in range(2):
        assert call(client, "DELETE", f"/jobs/{job['id']}").status_code == 204
    read = call(client, "GET", f"/jobs/{job['id']}").json()
    assert (read["state"], read["ended_at"] is not None) == ("canceled", True)
    done = one(client, "POST", webhook, {"since": since, "status": "delivered"}, verb="replay").json()
    replay_jobs.work_replays()
    assert problem(call(client, "DELETE", f"/jobs/{done['id']}")) == CONFLICT


def test_a_job_goes_by_the_allowlist_of_its_key(mailbox: Mailbox, webhook: Webhook) -> None:
    one(make_client(mailboxes=[mailbox]), "POST", webhook, {"since": "2020-01-01T00:00:00Z"}, verb="replay")
    one(make_client(), "POST", webhook, {"since": "2020-01-01T00:00:00Z"}, verb="replay")
    assert list(ReplayJob.objects.order_by("id").values_list("mailbox_ids", flat=True)) == [[str(mailbox.pk)], None]
    job = ReplayJob.objects.latest("id")
    other = make_client(mailboxes=[make_mailbox(address="sales@example.com")])
    for method in ("GET", "DELETE"):
        assert problem(call(other, method, f"/jobs/{job.public_id}")) == NOT_FOUND


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "/since"), ({"since": "soon"}, "/since"), ({"since": 5}, "/since"), ({"since": "2030-01-01"}, "/since"),
        ({"since": "2030-01-01T00:00:00"}, "/since"), ({"until": "2010-01-01T00:00:00Z"}, "/until"),
        ({"until": "9999-12-31T23:59:59-10:00"}, "/until"), ({"until": "9999-12-31T23:59:59Z"}, "/until"),
        ({"since": "0001-01-01T00:00:00Z"}, "/since"), ({"since": "0001-01-01T00:00:00+10:00"}, "/since"),
        ({"status": "pending"}, "/status"), ({"rate_per_minute": 0}, "/rate_per_minute"), ({"x": 1}, "/x"),
    ],
)  # fmt: skip
def test_a_span_that_makes_no_sense_is_refused(
    wrong: dict[str, Any], field: str, webhook: Webhook, client: Client
) -> None:
    body = wrong if field == "/since" else {"since": "2020-01-01T00:00:00Z"} | wrong
    assert pointers(one(client, "POST", webhook, body, verb="replay")) == [field]
    assert not ReplayJob.objects.exists()


# --- pulling


def test_what_waits_is_pulled_and_acknowledged(mailbox: Mailbox, client: Client) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox, url="")
    rows = [make_delivery_in(mailbox, webhook, content=b'{"n":%d}' % n) for n in range(3)]
    answer = one(client, "GET", webhook, verb="pull?limit=2")
    assert answer["Cache-Control"] == "no-store"
    first, second = answer.json()["data"]
    assert first.keys() == {"position", "delivery_id", "event_id", "event_type", "headers", "body"}
    assert [first["delivery_id"], second["delivery_id"]] == [row.public_id for row in rows[:2]]
    signing.verify(first["headers"], first["body"].encode(), secret, now=int(timezone.now().timestamp()))
    (third,) = one(client, "GET", webhook, verb=f"pull?after={second['position']}").json()["data"]
    assert json.loads(third["body"]) == {"n": 2}
    body = {"ids": [first["delivery_id"], third["delivery_id"]]}
    for expected in (2, 0):
        assert one(client, "POST", webhook, body, verb="ack").json() == {"acknowledged": expected}
    assert reload(rows[0]).state == "delivered"
    assert [entry["delivery_id"] for entry in one(client, "GET", webhook, verb="pull").json()["data"]] == [
        second["delivery_id"]
    ]


@pytest.mark.parametrize("payload", ["full", "metadata"])
def test_pulling_reads_mail_so_it_needs_content_whatever_the_webhook_is_told(payload: str, mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox, payload=payload, url="")
    delivery = make_delivery_in(mailbox, webhook)
    body, read, write = {"ids": [delivery.public_id]}, Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE
    for method, verb, sent, scope in (("GET", "pull", None, read), ("POST", "ack", body, write)):
        for public_id in (webhook.public_id, Webhook(pk=uuid7()).public_id):
            lacking = one(make_client(mailboxes=[mailbox], scopes=[write]), method, public_id, sent, verb=verb)
            assert problem(lacking) == LACKS_CONTENT
            assert lacking.json()["required_scopes"] == [Scope.EMAILS_CONTENT, scope]
            assert f'scope="emails:content {scope}"' in lacking["WWW-Authenticate"]
        may = [scope, Scope.EMAILS_CONTENT]
        elsewhere = make_client(mailboxes=[make_mailbox(address=f"{verb}@example.com")], scopes=may)
        assert problem(one(elsewhere, method, webhook, sent, verb=verb)) == NOT_FOUND
        assert reload(delivery).state == "pending"
        assert one(make_client(mailboxes=[mailbox], scopes=may), method, webhook, sent, verb=verb).status_code == 200
    assert reload(delivery).state == "delivered"


def test_what_a_key_may_not_see_is_neither_pulled_nor_acknowledged(mailbox: Mailbox, webhook: Webhook) -> None:
    client = make_client(mailboxes=[mailbox])
    own, foreign = make_delivery_in(mailbox, webhook), make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox)[0])
    for other in (foreign.public_id, Delivery(pk=uuid7()).public_id, "x", webhook.public_id):
        assert problem(one(client, "POST", webhook, {"ids": [own.public_id, other]}, verb="ack")) == NOT_FOUND
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=", f"after={2**53}", "limit=0", "limit=101", "limit=1.5"]
)
def test_numbers_that_are_none_are_told(query: str, webhook: Webhook, client: Client) -> None:
    assert pointers(one(client, "GET", webhook, verb=f"pull?{query}")) == [f"/{query.partition('=')[0]}"]


@pytest.mark.parametrize("ids", [None, [], "dlv_1", ["x"] * 101, {}])
def test_ids_are_a_list_of_some(ids: Any, webhook: Webhook, client: Client) -> None:
    answer = one(client, "POST", webhook, {"ids": ids}, verb="ack")
    assert pointers(answer)[0].startswith("/ids")
