"""Rows that are deleted and made again with the same id, bound to what others have: they give a key no right."""

from collections.abc import Mapping
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Model
from django.test import Client

from mailboxes.models import Email, Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox, make_message
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks.models import Delivery, Event, Webhook
from webhooks.services import replay_jobs

pytestmark = pytest.mark.django_db

NOT_FOUND = 404
REPLAY = {"since": "2020-01-01T00:00:00Z", "status": "all"}
WAYS = ["DELETE", "INSERT OR REPLACE"]


@pytest.fixture
def support() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def sales() -> Mailbox:
    return make_mailbox(address="sales@example.com")


@pytest.fixture(autouse=True)
def _names_lead_nowhere(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


def make_again(row: Model, way: str, **changes: Any) -> None:
    """As somebody would with a shell on the database; PostgreSQL knows the first way only."""
    fields = row._meta.concrete_fields
    values = {field.column: field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields}
    values |= {name: value.hex if connection.vendor == "sqlite" and value else value for name, value in changes.items()}
    table = row._meta.db_table
    with transaction.atomic(), connection.cursor() as cursor:
        verb = way if way != "DELETE" and connection.vendor == "sqlite" else "INSERT"
        if verb == "INSERT":
            cursor.execute(f"DELETE FROM {table} WHERE id = %s", [values["id"]])
        places = ", ".join("%s" for _ in values)
        cursor.execute(f"{verb} INTO {table} ({', '.join(values)}) VALUES ({places})", list(values.values()))


def ask(client: Client, webhook: Webhook, delivery: Delivery) -> Mapping[str, int]:
    """Statuses of all that a key may ask about a webhook and a delivery of it."""
    hook, sent = f"/v1/webhooks/{webhook.public_id}", f"/v1/deliveries/{delivery.public_id}"
    reading = [hook, f"{hook}/deliveries", f"{hook}/pull", sent]
    doing: list[tuple[str, Any]] = [
        (f"{hook}/replay", REPLAY), (f"{hook}/resume", None), (f"{hook}/rotate-secret", {}), (f"{hook}/pause", None),
        (f"{hook}/ack", {"ids": [delivery.public_id]}), (f"{sent}/replay", None), (f"{sent}/cancel", None),
    ]  # fmt: skip
    answers = {f"GET {path}": client.get(path).status_code for path in reading}
    for path, body in doing:
        answers[f"POST {path}"] = client.post(path, body, content_type="application/json").status_code
    return answers


@pytest.mark.parametrize("way", WAYS)
def test_a_webhook_that_is_made_again_for_another_mailbox_is_gone_for_the_key(
    way: str, support: Mailbox, sales: Mailbox
) -> None:
    webhook, _ = make_own_webhook(mailbox=support)
    delivery = make_delivery_in(support, webhook)
    client = make_client(mailboxes=[support])
    job = client.post(f"/v1/webhooks/{webhook.public_id}/replay", REPLAY, content_type="application/json").json()["id"]
    assert client.get(f"/v1/webhooks/{webhook.public_id}").status_code == 200
    make_again(webhook, way, mailbox_id=sales.pk)
    assert set(ask(client, webhook, delivery).values()) == {NOT_FOUND}
    assert client.get(f"/v1/jobs/{job}").status_code == NOT_FOUND
    assert client.get("/v1/webhooks").json()["data"] == []


@pytest.mark.parametrize("way", WAYS)
def test_nor_does_one_that_is_made_again_for_an_alias_of_others_stay(
    way: str, support: Mailbox, sales: Mailbox
) -> None:
    webhook, _ = make_own_webhook(alias=make_alias(mailbox=support))
    delivery = make_delivery_in(support, webhook)
    offers = make_alias(address="offers@example.com", mailbox=sales)
    client = make_client(mailboxes=[support])
    make_again(webhook, way, alias_id=offers.pk)
    assert set(ask(client, webhook, delivery).values()) == {NOT_FOUND}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["delivery", "event", "email"])
def test_what_is_made_again_of_anothers_mail_is_neither_shown_nor_pulled_nor_sent_again(
    way: str, what: str, support: Mailbox, sales: Mailbox
) -> None:
    webhook, _ = make_own_webhook(mailbox=support)
    delivery = make_delivery_in(support, webhook, content=b'{"secret":1}')
    other = make_message(to=("sales@example.com",)).emails.get()
    of_other = Event.objects.create(type=Event.Type.EMAIL_RECEIVED, email=other, created_at=delivery.created_at)
    client = make_client(mailboxes=[support])
    hook = f"/v1/webhooks/{webhook.public_id}"
    assert len(client.get(f"{hook}/pull").json()["data"]) == 1
    if what == "delivery":
        make_again(delivery, way, event_id=of_other.pk)
    elif what == "event":
        of_other.delete()
        make_again(delivery.event, way, email_id=other.pk)
    else:
        make_again(Email.objects.get(events=delivery.event), way, mailbox_id=sales.pk)
    sent = f"/v1/deliveries/{delivery.public_id}"
    assert [client.get(path).status_code for path in (sent, f"{hook}/deliveries")] == [NOT_FOUND, 200]
    assert [client.get(f"{hook}/{path}").json()["data"] for path in ("deliveries", "pull")] == [[], []]
    acknowledged = client.post(f"{hook}/ack", {"ids": [delivery.public_id]}, content_type="application/json")
    assert [client.post(f"{sent}/replay").status_code, acknowledged.status_code] == [NOT_FOUND, NOT_FOUND]
    Delivery.objects.update(state="failed")
    job = client.post(f"{hook}/replay", REPLAY, content_type="application/json").json()
    replay_jobs.work_replays()
    assert (job["total"], Delivery.objects.get(pk=delivery.pk).generation) == (0, 1)
