"""Pulling: positions in commit order, the same signed octets, and acknowledgement that no late result takes back."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emailgistics.common.errors import NotFoundError, RefusedError, UnavailableError
from emailgistics.common.ids import uuid7
from mailboxes.models import Mailbox
from tests.factories import make_alias, make_email, make_mailbox, make_message
from tests.webhooks.rows import again, make_delivery_in, make_own_webhook, move
from webhooks import signing
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import pull as service
from webhooks.services import webhooks
from webhooks.services.pull import Pulled, acknowledge, pull
from webhooks.services.replay import replay_delivery

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox, url="")[0]


def ids(pulled: list[Pulled]) -> list[Any]:
    return [one.delivery_id for one in pulled]


def test_what_waits_is_pulled_in_order_and_again_until_it_is_acknowledged(mailbox: Mailbox, webhook: Webhook) -> None:
    rows = [make_delivery_in(mailbox, webhook, state=state) for state in ("held", "pending", "held")]
    for state in ("delivered", "failed", "canceled", "expired"):
        make_delivery_in(mailbox, webhook, state=state)
    make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox)[0])
    first = pull(webhook, after=0, limit=2)
    assert ids(first) == [rows[0].pk, rows[1].pk]
    assert first[0].position < first[1].position < 2**53
    second = pull(webhook, after=first[-1].position, limit=2)
    assert ids(second) == [rows[2].pk]
    assert pull(webhook, after=second[-1].position, limit=2) == []
    assert [one.position for one in pull(webhook, after=0, limit=100)] == [one.position for one in (*first, *second)]
    assert acknowledge(webhook, [rows[0].pk, rows[2].pk], by="Ada") == 2
    assert ids(pull(webhook, after=0, limit=100)) == [rows[1].pk]


def test_what_is_pulled_verifies_as_if_it_had_been_sent(mailbox: Mailbox) -> None:
    webhook, secret = make_own_webhook(mailbox=mailbox, url="", headers={"Authorization": "Bearer nobody-reads-it"})
    body = '{"text":"Grüße \u2028"}'.encode()
    delivery = make_delivery_in(mailbox, webhook, content=body, attempts=2)
    (pulled,) = pull(webhook, after=0, limit=10)
    assert (pulled.event_id, pulled.event_type) == (delivery.event.public_id, "email.received")
    assert pulled.body.encode() == body
    now = timezone.now().timestamp()
    signing.verify(pulled.headers, body, secret, now=int(now))
    assert pulled.headers["webhook-id"] == pulled.event_id
    assert pulled.headers["webhook-attempt"] == "3"
    assert "authorization" not in {name.lower() for name in pulled.headers}
    webhooks.rotate_secret(webhook)
    (rotated,) = pull(webhook, after=0, limit=10)
    signing.verify(rotated.headers, body, secret, now=int(now))
    assert "x-webhook-signature-next" in rotated.headers


def test_a_webhook_that_is_paused_or_has_a_url_is_pulled_as_well(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(mailbox=mailbox)
    delivery = make_delivery_in(mailbox, webhook, lease_id=uuid7())
    webhooks.pause_webhook(webhook)
    assert ids(pull(webhook, after=0, limit=10)) == [delivery.pk]


def test_nothing_is_pulled_from_a_deleted_webhook(mailbox: Mailbox, webhook: Webhook) -> None:
    make_delivery_in(mailbox, webhook)
    webhooks.delete_webhook(webhook)
    with pytest.raises(NotFoundError):
        pull(webhook, after=0, limit=10)


def test_mail_of_a_mailbox_that_is_not_confirmed_stays_until_it_is(mailbox: Mailbox) -> None:
    alias, other = make_alias(mailbox=mailbox), make_mailbox(address="sales@example.com")
    webhook, _ = make_own_webhook(alias=alias, url="")
    move(alias, other)
    old, new = make_delivery_in(mailbox, webhook), make_delivery_in(other, webhook)
    first = pull(again(webhook), after=0, limit=10)
    assert ids(first) == [old.pk]
    webhooks.resume_webhook(again(webhook))
    # it was not numbered while it was kept back, so nobody has passed it by
    assert ids(pull(again(webhook), after=first[-1].position, limit=10)) == [new.pk]
    assert ids(pull(webhook, after=0, limit=10, mailbox_ids=[other.pk])) == [new.pk]


def test_an_allowlist_passes_nothing_by_for_those_who_may_see_more(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    webhook, _ = make_own_webhook(domain=mailbox.domain, url="")
    hidden, visible = make_delivery_in(other, webhook), make_delivery_in(mailbox, webhook)
    some = pull(webhook, after=0, limit=10, mailbox_ids=[mailbox.pk])
    assert ids(some) == [visible.pk]
    assert ids(pull(webhook, after=some[-1].position, limit=10)) == [hidden.pk]


def test_only_what_is_shown_gets_a_position(mailbox: Mailbox, webhook: Webhook) -> None:
    for _ in range(3):
        make_delivery_in(mailbox, webhook)
    pull(webhook, after=0, limit=2)
    assert Delivery.objects.filter(position=None).count() == 1


def test_a_replayed_delivery_is_something_new(mailbox: Mailbox, webhook: Webhook) -> None:
    first, second = make_delivery_in(mailbox, webhook), make_delivery_in(mailbox, webhook)
    seen = pull(webhook, after=0, limit=10)
    acknowledge(webhook, [first.pk, second.pk], by="Ada")
    replay_delivery(first, by="Ada")
    (fresh,) = pull(webhook, after=seen[-1].position, limit=10)
    assert fresh.delivery_id == first.pk
    assert fresh.position > seen[-1].position


def test_positions_go_on_beyond_the_highest_that_was_given(mailbox: Mailbox, webhook: Webhook) -> None:
    ahead = int((timezone.now() + timedelta(hours=1)).timestamp() * 1_000_000)
    Webhook.objects.update(last_position=ahead)
    delivery = make_delivery_in(mailbox, webhook)
    (pulled,) = pull(webhook, after=ahead, limit=10)
    assert (pulled.delivery_id, pulled.position) == (delivery.pk, ahead + 1)
    acknowledge(webhook, list(Delivery.objects.values_list("pk", flat=True)), by="Ada")
    late = make_delivery_in(mailbox, webhook)
    assert ids(pull(webhook, after=ahead + 1, limit=10)) == [late.pk]


def test_a_cursor_that_no_clock_reached_spoils_nothing_for_others(mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook)
    assert pull(webhook, after=2**53 - 1, limit=10) == []
    (pulled,) = pull(webhook, after=0, limit=10)
    assert pulled.delivery_id == delivery.pk
    assert pulled.position < int((timezone.now() + timedelta(hours=1)).timestamp() * 1_000_000)


@pytest.mark.django_db(transaction=True)
def test_a_webhook_that_may_be_told_less_by_now_is_told_less() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), url="")
    make_email()
    assert "It does not turn" in pull(webhook, after=0, limit=10)[0].body
    webhooks.update_webhook(webhook, payload="metadata")
    (pulled,) = pull(webhook, after=0, limit=10)
    assert "It does not turn" not in pulled.body
    delivery = Delivery.objects.get()
    assert delivery.body is not None
    assert delivery.body.form == "metadata"


def test_what_is_no_longer_kept_is_passed_over(mailbox: Mailbox, webhook: Webhook) -> None:
    gone, kept = make_delivery_in(mailbox, webhook), make_delivery_in(mailbox, webhook)
    Delivery.objects.filter(pk=gone.pk).update(body=None)
    EventBody.objects.filter(event=gone.event).delete()
    assert ids(pull(webhook, after=0, limit=10)) == [kept.pk]


def test_an_answer_is_not_empty_while_anything_is_left(mailbox: Mailbox, webhook: Webhook) -> None:
    rows = [make_delivery_in(mailbox, webhook) for _ in range(3)]
    Delivery.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(body=None)
    EventBody.objects.exclude(event=rows[2].event).delete()
    assert ids(pull(webhook, after=0, limit=1)) == [rows[2].pk]


@pytest.mark.parametrize("is_of_older_release", [False, True])
def test_large_bodies_come_a_few_at_a_time_and_each_comes(
    is_of_older_release: bool, mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_PULLED_BYTES", 100)
    sizes = [150, 10, 90, 1, 100, 101, 30]
    rows = [make_delivery_in(mailbox, webhook, content=b"x" * size) for size in sizes]
    if is_of_older_release:
        EventBody.objects.update(size=None)
    pages: list[list[Any]] = []
    after = 0
    while pulled := pull(webhook, after=after, limit=10):
        # what is numbered and not shown could be passed by
        assert Delivery.objects.exclude(position=None).count() == sum(map(len, pages)) + len(pulled)
        pages.append(ids(pulled))
        after = pulled[-1].position
    assert [pk for some in pages for pk in some] == [row.pk for row in rows]
    assert [len(some) for some in pages] == [1, 2, 1, 1, 1, 1]
    again_ = pull(webhook, after=0, limit=10)
    assert ids(again_) == pages[0]


def test_no_more_octets_are_read_than_are_given(mailbox: Mailbox, webhook: Webhook) -> None:
    one = b"x" * (service.MAX_PULLED_BYTES // 2)
    rows = [make_delivery_in(mailbox, webhook, content=one) for _ in range(3)]
    with CaptureQueriesContext(connection) as queries:
        assert ids(pull(webhook, after=0, limit=100)) == [row.pk for row in rows[:2]]
    whole = [query["sql"] for query in queries if '"webhooks_eventbody"."body",' in query["sql"]]
    assert len(whole) == 1
    assert f"{rows[2].pk}" not in whole[0]
    assert rows[2].pk.hex not in whole[0]


def test_a_secret_that_does_not_open_is_a_fault_of_ours(mailbox: Mailbox, webhook: Webhook) -> None:
    make_delivery_in(mailbox, webhook)
    Webhook.objects.update(sealed_secret=b"x")
    with pytest.raises(UnavailableError):
        pull(webhook, after=0, limit=10)


# --- acknowledging


def test_an_acknowledged_delivery_has_arrived_and_is_let_go_of(mailbox: Mailbox, webhook: Webhook) -> None:
    lease = uuid7()
    delivery = make_delivery_in(mailbox, webhook, lease_id=lease, attempts=1)
    assert acknowledge(webhook, [delivery.pk, delivery.pk], by="Ada") == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.lease_id, delivery.reason) == ("delivered", None, "acknowledged by Ada")
    at = delivery.delivered_at
    assert at is not None
    assert acknowledge(webhook, [delivery.pk], by="Bob") == 0
    # as every dispatcher writes: by its lease
    assert Delivery.objects.filter(pk=delivery.pk, lease_id=lease).update(state="pending") == 0
    delivery.refresh_from_db()
    assert (delivery.delivered_at, delivery.reason) == (at, "acknowledged by Ada")


@pytest.mark.parametrize(
    ("state", "after"),
    [("pending", "delivered"), ("held", "delivered"), ("failed", "delivered"), ("canceled", "canceled"),
     ("expired", "expired"), ("delivered", "delivered")],
)  # fmt: skip
def test_what_was_ended_on_purpose_stays_so(state: str, after: str, mailbox: Mailbox, webhook: Webhook) -> None:
    delivery = make_delivery_in(mailbox, webhook, state=state)
    assert acknowledge(webhook, [delivery.pk], by="Ada") == int(state != after)
    delivery.refresh_from_db()
    assert delivery.state == after


def test_one_unknown_id_acknowledges_nothing(mailbox: Mailbox, webhook: Webhook) -> None:
    own, hidden = make_delivery_in(mailbox, webhook), make_mailbox(address="sales@example.com")
    foreign = make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox)[0])
    for other in (uuid7(), foreign.pk):
        with pytest.raises(NotFoundError):
            acknowledge(webhook, [own.pk, other], by="Ada")
    with pytest.raises(NotFoundError):
        acknowledge(webhook, [own.pk], by="Ada", mailbox_ids=[hidden.pk])
    with pytest.raises(RefusedError):
        acknowledge(webhook, [uuid7() for _ in range(101)], by="Ada")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"pending"}


# --- real transactions


def prepared(mailbox: Mailbox, webhook: Webhook) -> Callable[[], Delivery]:
    """A mail that is there already, and what stores its delivery in the caller's transaction."""
    email = make_message(to=(mailbox.address,)).emails.get()
    event = Event.objects.create(type=Event.Type.EMAIL_RECEIVED, email=email, created_at=timezone.now())
    body = EventBody.objects.create(event=event, form="full", body=b"{}")
    return lambda: Delivery.objects.create(
        event=event, webhook=webhook, body=body, state="pending", due_at=timezone.now()
    )


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_mail_that_commits_late_gets_a_later_position() -> None:
    """PostgreSQL alone: SQLite has one writer at a time, so there nothing is overtaken."""
    mailbox = make_mailbox()
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    stored, pulled_once = threading.Event(), threading.Event()
    store, slow = prepared(mailbox, webhook), []

    def store_slowly() -> None:
        try:
            with transaction.atomic():
                # locks what a mail that is being stored locks: the webhook's key
                slow.append(store())
                stored.set()
                assert pulled_once.wait(60)
        finally:
            connection.close()

    thread = threading.Thread(target=store_slowly)
    thread.start()
    assert stored.wait(60)
    quick = make_delivery_in(mailbox, webhook)
    assert quick.pk > slow[0].pk
    first = pull(webhook, after=0, limit=10)
    pulled_once.set()
    thread.join(20)
    assert ids(first) == [quick.pk]
    second = pull(webhook, after=first[-1].position, limit=10)
    assert ids(second) == [slow[0].pk]


@pytest.mark.django_db(transaction=True)
def test_those_who_pull_while_mail_is_stored_miss_nothing_and_share_positions() -> None:
    mailbox = make_mailbox()
    webhook, _ = make_own_webhook(mailbox=mailbox, url="")
    total, seen, failures = 30, [[], []], []  # type: ignore[var-annotated]
    stop_at = timezone.now() + timedelta(seconds=60)

    mails = [prepared(mailbox, webhook) for _ in range(total)]

    def store(mails: list[Callable[[], Delivery]]) -> None:
        try:
            for mail in mails:
                with transaction.atomic():
                    mail()
        except Exception as error:  # noqa: BLE001 - told to the test
            failures.append(error)
        finally:
            connection.close()

    def drain(into: list[Pulled]) -> None:
        after = 0
        try:
            while len(into) < total and timezone.now() < stop_at:
                for one in pull(webhook, after=after, limit=3):
                    assert one.position > after
                    after = one.position
                    into.append(one)
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=store, args=(mails[half::2],)) for half in range(2)]
    threads += [threading.Thread(target=drain, args=(into,)) for into in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert failures == []
    expected = set(Delivery.objects.values_list("pk", "position"))
    for into in seen:
        assert len(into) == total
        assert {(one.delivery_id, one.position) for one in into} == expected
