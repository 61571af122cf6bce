"""Deliveries over HTTP: what is in the answers, and who sees them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emailgistics.common.access import Scope
from emailgistics.common.ids import uuid7
from emailgistics.common.planning import IN_ORDER, ONE_BY_ONE, planned
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox
from tests.webhooks.asking import NOT_FOUND, pointers, problem, seen_as
from tests.webhooks.rows import again, make_delivery_in, make_own_webhook, move
from webhooks.models import Attempt, Delivery, Webhook
from webhooks.services import webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

READ = [Scope.WEBHOOKS_READ]
CONTENT = [Scope.WEBHOOKS_READ, Scope.EMAILS_CONTENT]
AT = datetime(2030, 6, 1, 10, 0, 0, 123_456, tzinfo=UTC)
SAID = {
    "status": 500, "detail": "The receiver answered 500.", "dns_ms": 1, "connect_ms": 2, "first_byte_ms": 3,
    "total_ms": 4, "response_headers": b"content-type: text/plain\r\nx-odd: \xff: \x1b[2J",
    "response_excerpt": b"It does not turn.\x00\x1b[31m \xff\xfe\xe2\x80\xa8",
}  # fmt: skip


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox)[0]


def attempted(delivery: Delivery, *, n: int = 1, **fields: Any) -> Attempt:
    return Attempt.objects.create(delivery=delivery, n=n, started_at=AT, **({"peer_ip": "127.0.0.1"} | SAID | fields))


def read(client: Client, delivery: Delivery | str) -> Any:
    public_id = delivery if isinstance(delivery, str) else delivery.public_id
    return client.get(f"/v1/deliveries/{public_id}")


def of(client: Client, webhook: Webhook, query: str = "") -> Any:
    return client.get(f"/v1/webhooks/{webhook.public_id}/deliveries{query}")


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["id"] for entry in answer.json()["data"]]


def test_a_delivery_says_where_it_stands_and_what_was_tried(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(
        mailbox, webhook, attempts=2, due_at=AT, reason="The receiver answered 500.", last_status=500
    )
    attempted(delivery, n=2)
    attempted(delivery, n=1, status=None, error="dns", detail="no such name", peer_ip=None, response_excerpt=b"")
    client = make_client(mailboxes=[mailbox], scopes=READ)
    answer = read(client, delivery)
    assert answer["Cache-Control"] == "no-store"
    told = answer.json()
    log = told.pop("attempt_log")
    assert told == {
        "id": delivery.public_id,
        "created_at": told["created_at"],
        "webhook_id": webhook.public_id,
        "email_id": delivery.event.email.public_id,
        "event_id": delivery.event.public_id,
        "event_type": "email.received",
        "is_test": False,
        "generation": 1,
        "state": "pending",
        "reason": "The receiver answered 500.",
        "attempts": 2,
        "next_attempt_at": "2030-06-01T10:00:00.123Z",
        "last_status": 500,
        "last_error": "",
        "delivered_at": None,
    }
    assert log == [
        {
            "n": 1, "started_at": "2030-06-01T10:00:00.123Z", "status": None, "error": "dns", "detail": "no such name",
            "dns_ms": 1, "connect_ms": 2, "first_byte_ms": 3, "total_ms": 4, "peer": None, "response": None,
        },
        {
            "n": 2, "started_at": "2030-06-01T10:00:00.123Z", "status": 500, "error": "",
            "detail": "The receiver answered 500.", "dns_ms": 1, "connect_ms": 2, "first_byte_ms": 3, "total_ms": 4,
            "peer": None, "response": None,
        },
    ]  # fmt: skip
    assert of(client, webhook).json()["data"] == [told]
    assert of(client, webhook)["Cache-Control"] == "no-store"


def test_what_a_receiver_answered_is_for_keys_with_content(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook)
    attempted(delivery)
    attempted(delivery, n=2, response_headers=b"", response_excerpt=b"")
    attempted(delivery, n=3, status=None, error="timeout")
    answer = read(make_client(mailboxes=[mailbox], scopes=CONTENT), delivery)
    responses = [attempt["response"] for attempt in answer.json()["attempt_log"]]
    assert responses == [
        {
            "headers": [["content-type", "text/plain"], ["x-odd", "\ufffd: \x1b[2J"]],
            "body": "It does not turn.\x00\x1b[31m \ufffd\ufffd\u2028",
        },
        {"headers": [], "body": ""},
        None,
    ]
    assert b"\\u0000\\u001b[31m" in answer.content
    assert not {0x00, 0x1B} & set(answer.content)
    without = read(make_client(mailboxes=[mailbox], scopes=READ), delivery)
    assert b"It does not turn" not in without.content
    assert [attempt["response"] for attempt in without.json()["attempt_log"]] == [None] * 3


@pytest.mark.parametrize(
    ("ip", "told"),
    [
        ("93.184.215.14", "93.184.215.14"), ("2606:4700::1111", "2606:4700::1111"),
        ("10.1.2.3", None), ("192.168.0.9", None), ("127.0.0.1", None), ("169.254.169.254", None), ("100.64.0.1", None),
        ("::1", None), ("fd00::1", None), ("::ffff:10.0.0.1", None), ("64:ff9b::a00:1", None), ("2002:a00:1::", None),
    ],
)  # fmt: skip
def test_the_address_of_an_inner_network_is_nobodys_with_a_key(
    ip: str, told: str | None, mailbox: Mailbox, webhook: Webhook
) -> None:
    delivery = make_delivery_in(mailbox, webhook)
    attempted(delivery, peer_ip=ip)
    for scopes in (READ, CONTENT):
        (attempt,) = read(make_client(scopes=scopes), delivery).json()["attempt_log"]
        assert attempt["peer"] == told


def test_only_what_is_pending_has_a_next_attempt(mailbox: Mailbox, webhook: Webhook) -> None:
    client = make_client()
    for state in Delivery.State.values:
        told = read(client, make_delivery_in(mailbox, webhook, state=state)).json()
        assert (told["state"], told["next_attempt_at"] is not None) == (state, state == "pending")


def test_a_list_is_of_one_webhook_newest_first_and_by_state(mailbox: Mailbox, webhook: Webhook) -> None:
    other, _ = make_own_webhook(mailbox=mailbox)
    make_delivery_in(mailbox, other)
    made = [make_delivery_in(mailbox, webhook, state=state).public_id for state in ("failed", "held", "failed")]
    client = make_client(mailboxes=[mailbox], scopes=READ)
    assert ids(of(client, webhook)) == made[::-1]
    assert ids(of(client, webhook, "?state=failed")) == [made[2], made[0]]
    assert ids(of(client, webhook, "?state=delivered")) == []
    assert ids(of(client, webhook, f"?limit=1&starting_after={made[2]}")) == [made[1]]
    for state in ("", "broken", "FAILED", "failed%00"):
        assert pointers(of(client, webhook, f"?state={state}")) == ["/state"]
    assert pointers(of(client, webhook, "?limit=0")) == ["/limit"]
    assert pointers(of(client, webhook, "?starting_after=dlv_x")) == ["/starting_after"]


def test_paging_through_a_state_goes_on_though_the_last_row_has_left_it(mailbox: Mailbox, webhook: Webhook) -> None:
    client = make_client(mailboxes=[mailbox], scopes=READ)
    first, second = (make_delivery_in(mailbox, webhook) for _ in range(2))
    page = of(client, webhook, "?state=pending&limit=1").json()
    assert [entry["id"] for entry in page["data"]] == [second.public_id]
    Delivery.objects.filter(pk=second.pk).update(state=Delivery.State.DELIVERED)
    cursor = page["pagination"]["next_cursor"]
    assert ids(of(client, webhook, f"?state=pending&starting_after={cursor}")) == [first.public_id]


def test_a_delivery_is_for_who_may_see_both_its_email_and_its_webhook(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=mailbox)
    webhook, _ = make_own_webhook(alias=alias)
    of_domain, _ = make_own_webhook(domain=mailbox.domain)
    before = make_delivery_in(mailbox, webhook)
    wide = make_delivery_in(mailbox, of_domain)
    keys = {
        "old": make_client(mailboxes=[mailbox]),
        "new": make_client(mailboxes=[other]),
        "both": make_client(mailboxes=[mailbox, other]),
        "all": make_client(),
    }

    def who_sees(delivery: Delivery) -> set[str]:
        seeing = {name for name, client in keys.items() if read(client, delivery).status_code == 200}
        for name, client in keys.items():
            listed = of(client, delivery.webhook)
            assert (listed.status_code == 200 and delivery.public_id in ids(listed)) == (name in seeing)
        return seeing

    assert who_sees(before) == {"old", "both", "all"}
    assert who_sees(wide) == {"all"}
    move(alias, other)
    after = make_delivery_in(other, webhook)
    for _ in range(2):
        assert who_sees(before) == {"both", "all"}
        assert who_sees(after) == {"new", "both", "all"}
        webhooks.resume_webhook(again(webhook))


def test_what_is_not_for_the_key_is_one_constant_404(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=mailbox)
    moved, _ = make_own_webhook(alias=alias)
    hidden = [
        make_delivery_in(mailbox, moved),
        make_delivery_in(other, make_own_webhook(mailbox=other)[0]),
        make_delivery_in(mailbox, make_own_webhook(domain=mailbox.domain)[0]),
    ]
    move(alias, other)
    deleted, _ = make_own_webhook(mailbox=mailbox)
    hidden.append(make_delivery_in(mailbox, deleted))
    webhooks.delete_webhook(deleted)
    orphaned = make_alias(address="gone@example.com", mailbox=mailbox)
    hidden.append(make_delivery_in(mailbox, make_own_webhook(alias=orphaned)[0]))
    provision.delete_alias(orphaned)
    client = make_client(mailboxes=[mailbox])
    shown = []
    for public_id in [*(one.public_id for one in hidden), Delivery(pk=uuid7()).public_id, "dlv_", "x", moved.public_id]:
        with CaptureQueriesContext(connection) as queries:
            answer = read(client, public_id)
        shown.append((seen_as(answer), len(queries)))
    assert problem(answer) == NOT_FOUND
    assert all(entry == shown[0] for entry in shown)


def test_a_deleted_mailbox_takes_its_deliveries_along(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(domain=mailbox.domain)
    delivery = make_delivery_in(mailbox, webhook)
    client = make_client()
    assert read(client, delivery).status_code == 200
    provision.delete_mailbox(mailbox, with_mail=True)
    assert problem(read(client, delivery)) == NOT_FOUND
    assert ids(of(client, webhook)) == []


def test_many_deliveries_and_attempts_ask_as_often_as_one(mailbox: Mailbox, webhook: Webhook) -> None:
    client = make_client(mailboxes=[mailbox])
    delivery = make_delivery_in(mailbox, webhook)
    attempted(delivery)

    def queries() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as listing:
            assert of(client, webhook).status_code == 200
        with CaptureQueriesContext(connection) as reading:
            assert read(client, delivery).status_code == 200
        return len(listing), len(reading)

    few = queries()
    for n in range(2, 6):
        attempted(delivery, n=n)
        make_delivery_in(mailbox, webhook)
    assert queries() == few
    # the key; the webhook and the rows; the delivery and its attempts. In a transaction PostgreSQL is told how to plan
    assert few == (7 if connection.vendor == "postgresql" else 3, 3)


def test_a_key_without_content_makes_nobody_read_the_answers(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook)
    attempted(delivery)
    with CaptureQueriesContext(connection) as queries:
        read(make_client(mailboxes=[mailbox], scopes=READ), delivery)
    assert not any("response_excerpt" in query["sql"] for query in queries if "SELECT" in query["sql"])


@pytest.mark.parametrize("path", ["deliveries/{delivery}", "webhooks/{webhook}/deliveries"])
def test_deliveries_want_their_scope(path: str, mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook)
    url = "/v1/" + path.format(delivery=delivery.public_id, webhook=webhook.public_id)
    refused = make_client(scopes=[scope for scope in Scope if not scope.startswith("webhooks:")]).get(url)
    assert problem(refused) == (403, "insufficient_scope")
    assert refused.json()["required_scopes"] == ["webhooks:read"]
    assert make_client(scopes=[Scope.WEBHOOKS_WRITE]).get(url).status_code == 200
    assert problem(Client().get(url)) == (401, "missing_credentials")


QUERIES = {"all": "", "failed": "?state=failed", "held": "?state=held"}


@pytest.mark.on_postgres
@pytest.mark.parametrize("which", QUERIES)
def test_a_list_does_not_walk_the_deliveries_of_others(which: str, mailbox: Mailbox, webhook: Webhook) -> None:
    """The plan of PostgreSQL for a table that has many rows: ours by their index, in their order."""
    busy, _ = make_own_webhook(mailbox=mailbox)
    first = make_delivery_in(mailbox, busy, state="delivered")
    with connection.cursor() as cursor:
        for owner, states in (
            (busy, "array['delivered']"),
            (webhook, "array['delivered','delivered','failed','held']"),
        ):
            cursor.execute(
                """
                INSERT INTO webhooks_event (id, type, email_id, created_at)
                SELECT gen_random_uuid(), 'x', %s, now() FROM generate_series(1, 4000);
                """,
                [first.event.email_id],
            )
            cursor.execute(
                f"""
                INSERT INTO webhooks_delivery (id, event_id, webhook_id, body_id, state, reason, due_at, attempts,
                    failures, lease_losses, last_error, created_at)
                SELECT gen_random_uuid(), e.id, %s, %s, ({states})[1 + (row_number() over ()) %% cardinality({states})],
                    '', now(), 0, 0, 0, '', now()
                FROM webhooks_event e WHERE NOT EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.event_id = e.id)
                """,
                [owner.pk, first.body_id],
            )
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        assert len(ids(of(make_client(), webhook, QUERIES[which]))) == 25
    (listing,) = [
        query["sql"] for query in queries if "webhooks_delivery" in query["sql"] and "LIMIT 26" in query["sql"]
    ]
    with planned(without=(*IN_ORDER, *ONE_BY_ONE)), connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + listing.rstrip(";"))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on webhooks_delivery" not in plan, plan
    assert "Index Scan" in plan
    expected = {"all": "delivery_of_webhook", "failed": "delivery_not_delivered", "held": "delivery_held"}[which]
    assert expected in plan, plan
