"""Replays of a span of time: each delivery counts once, whatever happens, and never faster than was asked."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.factories import make_mailbox
from tests.webhooks.browsing import make_event_about, page, token_in
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks.models import Delivery, EventBody, ReplayJob, Webhook
from webhooks.services import replay_jobs, testing, webhooks
from webhooks.services.replay_jobs import cancel_replay, start_replay, work_replays

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

NOW = timezone.now()
DAY = timedelta(days=1)


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture
def webhook(mailbox: Mailbox) -> Webhook:
    return make_own_webhook(mailbox=mailbox)[0]


def start(webhook: Webhook, **how: Any) -> ReplayJob:
    values = {"since": NOW - DAY, "until": NOW + DAY, "of_state": "failed", "by": "Ada"} | how
    return start_replay(webhook, **values)


def work(job: ReplayJob) -> ReplayJob:
    """One slice more, as soon as it could be."""
    ReplayJob.objects.filter(pk=job.pk).update(due_at=NOW - DAY)
    work_replays()
    job.refresh_from_db()
    return job


def counts(job: ReplayJob) -> tuple[str, int, int, int, int]:
    return job.state, job.total, job.replayed, job.skipped, job.content_expired


def generations() -> Counter[int]:
    return Counter(Delivery.objects.values_list("generation", flat=True))


def test_a_job_sends_again_what_had_ended_so(mailbox: Mailbox, webhook: Webhook) -> None:
    rows = {
        state: make_delivery_in(mailbox, webhook, state=state)
        for state in ("failed", "delivered", "canceled", "expired", "pending", "held")
    }
    make_delivery_in(mailbox, make_own_webhook(mailbox=mailbox)[0], state="failed")
    job = start(webhook)
    assert counts(job) == ("running", 1, 0, 0, 0)
    assert job.due_at <= timezone.now()
    assert counts(work(job)) == ("done", 1, 1, 0, 0)
    assert job.ended_at is not None
    failed = rows["failed"]
    failed.refresh_from_db()
    assert (failed.state, failed.generation, failed.reason) == ("pending", 2, "replayed by Ada")
    assert generations() == {1: 6, 2: 1}
    for state in ("delivered", "canceled", "expired"):
        assert counts(work(start(webhook, of_state=state))) == ("done", 1, 1, 0, 0)
    assert generations() == {1: 3, 2: 4}


def test_all_is_all_that_had_ended_but_tests(mailbox: Mailbox, webhook: Webhook) -> None:
    for state in ("failed", "delivered", "canceled", "expired", "pending", "held"):
        make_delivery_in(mailbox, webhook, state=state)
    testing.send_test(webhook, by="Ada")
    Delivery.objects.filter(is_test=True).update(state="failed")
    assert counts(work(start(webhook, of_state="all"))) == ("done", 4, 4, 0, 0)
    assert Delivery.objects.get(is_test=True).state == "failed"


def test_a_span_begins_with_since_and_ends_before_until(mailbox: Mailbox, webhook: Webhook) -> None:
    rows = [make_delivery_in(mailbox, webhook, state="failed") for _ in range(4)]
    for row, hours in zip(rows, (-3, -2, -1, 0), strict=True):
        Delivery.objects.filter(pk=row.pk).update(created_at=NOW + timedelta(hours=hours))
    job = start(webhook, since=NOW - timedelta(hours=2), until=NOW)
    assert counts(work(job)) == ("done", 2, 2, 0, 0)
    again = set(Delivery.objects.filter(generation=2).values_list("pk", flat=True))
    assert again == {rows[1].pk, rows[2].pk}


def test_nothing_to_do_is_done_at_once(webhook: Webhook) -> None:
    assert counts(work(start(webhook))) == ("done", 0, 0, 0, 0)


def test_only_mail_on_the_allowlist_of_who_asked(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    webhook, _ = make_own_webhook(domain=mailbox.domain)
    mine = make_delivery_in(mailbox, webhook, state="failed")
    make_delivery_in(other, webhook, state="failed")
    job = start(webhook, mailbox_ids=frozenset({mailbox.pk}))
    assert job.mailbox_ids == [str(mailbox.pk)]
    assert counts(work(job)) == ("done", 1, 1, 0, 0)
    assert Delivery.objects.get(generation=2).pk == mine.pk


def test_it_goes_in_slices_no_faster_than_asked(mailbox: Mailbox, webhook: Webhook) -> None:
    for _ in range(5):
        make_delivery_in(mailbox, webhook, state="failed")
    job = start(webhook, rate_per_minute=24)
    work_replays()
    job.refresh_from_db()
    assert counts(job) == ("running", 5, 2, 0, 0)
    assert timedelta(seconds=4) < job.due_at - timezone.now() < timedelta(seconds=6)
    work_replays()  # it is not due
    job.refresh_from_db()
    assert job.replayed == 2
    assert counts(work(job)) == ("running", 5, 4, 0, 0)
    assert counts(work(job)) == ("done", 5, 5, 0, 0)
    slow = start(webhook, of_state="all", rate_per_minute=1)
    Delivery.objects.update(state="failed")
    assert counts(slow)[1] == 0
    assert counts(start(webhook, rate_per_minute=1))[1] == 5


def test_one_a_minute_is_one_a_minute(mailbox: Mailbox, webhook: Webhook) -> None:
    for _ in range(2):
        make_delivery_in(mailbox, webhook, state="failed")
    job = work(start(webhook, rate_per_minute=1))
    assert counts(job) == ("running", 2, 1, 0, 0)
    assert timedelta(seconds=58) < job.due_at - timezone.now() < timedelta(seconds=61)


def test_what_is_no_longer_kept_is_counted(mailbox: Mailbox, webhook: Webhook) -> None:
    gone, _ = (make_delivery_in(mailbox, webhook, state="failed") for _ in range(2))
    Delivery.objects.filter(pk=gone.pk).update(body=None)
    EventBody.objects.filter(event=gone.event).delete()
    assert counts(work(start(webhook))) == ("done", 2, 1, 0, 1)
    gone.refresh_from_db()
    assert (gone.state, gone.generation) == ("failed", 1)


def test_what_is_on_its_way_by_then_is_counted_and_left_alone(mailbox: Mailbox, webhook: Webhook) -> None:
    first, second = (make_delivery_in(mailbox, webhook, state="failed") for _ in range(2))
    job = start(webhook)
    Delivery.objects.filter(pk=first.pk).update(state="pending")
    assert counts(work(job)) == ("done", 2, 1, 1, 0)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.generation, second.generation) == (1, 2)


def test_what_ends_after_it_was_made_is_none_of_it(mailbox: Mailbox, webhook: Webhook) -> None:
    make_delivery_in(mailbox, webhook, state="failed", last_attempt_at=NOW - DAY)
    waiting = make_delivery_in(mailbox, webhook)
    job = start(webhook)
    Delivery.objects.filter(pk=waiting.pk).update(state="failed", last_attempt_at=timezone.now() + timedelta(seconds=1))
    assert counts(work(job)) == ("done", 1, 1, 0, 0)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.generation) == ("failed", 1)


def test_a_canceled_job_goes_no_further(mailbox: Mailbox, webhook: Webhook) -> None:
    for _ in range(3):
        make_delivery_in(mailbox, webhook, state="failed")
    job = work(start(webhook, rate_per_minute=12))
    for _ in range(2):
        cancel_replay(job, by="Ada")
        assert counts(job) == ("canceled", 3, 1, 0, 0)
    assert counts(work(job)) == ("canceled", 3, 1, 0, 0)
    done = work(start(webhook))
    with pytest.raises(ConflictError, match="done"):
        cancel_replay(done, by="Ada")
    done.refresh_from_db()
    assert done.state == "done"


def test_a_job_ends_with_its_webhook(mailbox: Mailbox, webhook: Webhook) -> None:
    make_delivery_in(mailbox, webhook, state="failed")
    job = start(webhook)
    webhooks.delete_webhook(webhook)
    assert counts(work(job)) == ("canceled", 1, 0, 0, 0)
    with pytest.raises(NotFoundError):
        start(webhook)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"of_state": "pending"}, "status"), ({"since": NOW, "until": NOW}, "until"),
        ({"rate_per_minute": 0}, "rate_per_minute"), ({"rate_per_minute": 6001}, "rate_per_minute"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], field: str, webhook: Webhook) -> None:
    with pytest.raises(RefusedError) as refused:
        start(webhook, **wrong)
    assert refused.value.field == field
    assert not ReplayJob.objects.exists()


WEST, EAST = timezone.get_fixed_timezone(-600), timezone.get_fixed_timezone(600)
OUT_OF_REACH = [
    ({"until": datetime(9999, 12, 31, 23, 59, 59, tzinfo=WEST)}, "until"),
    ({"until": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}, "until"),
    ({"until": NOW + DAY + timedelta(hours=1)}, "until"),
    ({"since": NOW + 2 * DAY, "until": NOW + 3 * DAY}, "since"),
    ({"since": datetime(1, 1, 1, tzinfo=UTC)}, "since"),
    ({"since": datetime(1, 1, 1, tzinfo=EAST)}, "since"),
    ({"since": datetime(2000, 1, 1, tzinfo=EAST)}, "since"),
]


@pytest.mark.parametrize(("wrong", "field"), OUT_OF_REACH)
def test_a_span_is_of_this_world(wrong: dict[str, Any], field: str, webhook: Webhook) -> None:
    with pytest.raises(RefusedError) as refused:
        start(webhook, **wrong)
    assert refused.value.field == field
    assert not ReplayJob.objects.exists()
    assert counts(start(webhook, since=datetime(2000, 1, 1, tzinfo=UTC))) == ("running", 0, 0, 0, 0)


@pytest.mark.parametrize(("field", "value"), [("since", "0001-01-01T00:00"), ("until", "9999-12-31T23:59")])
def test_the_console_refuses_such_a_span_too(field: str, value: str, webhook: Webhook, admin: Client) -> None:
    url = page(webhook, "replay")
    asked = admin.get(url)
    initial = asked.context["form"]
    span = {name: initial[name].value() for name in ("since", "until", "of_state", "rate_per_minute")}
    answer = admin.post(url, {"form_token": token_in(asked), **span, field: value})
    assert answer.status_code == 200
    assert field in answer.context["form"].errors
    assert not ReplayJob.objects.exists()


def test_mail_of_a_deleted_mailbox_is_none_of_it(mailbox: Mailbox) -> None:
    webhook, _ = make_own_webhook(domain=mailbox.domain)
    sales, press = make_mailbox(address="sales@example.com"), make_mailbox(address="press@example.com")
    rows = [make_delivery_in(box, webhook, state="failed") for box in (mailbox, sales, press)]
    about = make_event_about(webhook, "webhook.disabled", state="failed")
    provision.delete_mailbox(sales, with_mail=True)
    job = start(webhook)
    assert counts(job) == ("running", 3, 0, 0, 0)
    provision.delete_mailbox(press, with_mail=True)
    assert counts(work(job)) == ("done", 3, 2, 1, 0)
    again = set(Delivery.objects.filter(generation=2).values_list("pk", flat=True))
    assert again == {rows[0].pk, about.pk}


def test_a_mailbox_that_is_deleted_in_a_slice_stops_no_job(
    mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        make_delivery_in(mailbox, webhook, state="failed")
    real, refused = replay_jobs.begin_again, list[Delivery]()

    def begin(delivery: Delivery, *, by: str) -> bool:
        if not refused:
            refused.append(delivery)
            raise ConflictError("deleted this moment")
        return real(delivery, by=by)

    monkeypatch.setattr(replay_jobs, "begin_again", begin)
    assert counts(work(start(webhook))) == ("done", 2, 1, 1, 0)


def test_what_it_is_for_is_counted_before_the_webhook_is_locked_and_within_the_span(
    mailbox: Mailbox, webhook: Webhook
) -> None:
    make_delivery_in(mailbox, webhook, state="failed", last_attempt_at=NOW)
    with CaptureQueriesContext(connection) as queries:
        job = start(webhook)
    assert job.total == 1
    said = [query["sql"] for query in queries]
    (counted,) = [n for n, sql in enumerate(said) if "COUNT(" in sql and "webhooks_delivery" in sql]
    (locked,) = [n for n, sql in enumerate(said) if 'FROM "webhooks_webhook"' in sql]
    assert counted < locked
    assert '"webhooks_delivery"."id" >= ' in said[counted]
    assert '"webhooks_delivery"."id" < ' in said[counted]


def test_what_ends_between_counting_and_locking_is_none_of_it(
    mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_delivery_in(mailbox, webhook, state="failed")
    waiting = make_delivery_in(mailbox, webhook)
    real, calls = replay_jobs._refuse_one_more, list[Webhook]()

    def end_meanwhile(webhook: Webhook) -> None:
        calls.append(webhook)
        if len(calls) == 2:
            Delivery.objects.filter(pk=waiting.pk).update(state="failed", last_attempt_at=timezone.now())
        real(webhook)

    monkeypatch.setattr(replay_jobs, "_refuse_one_more", end_meanwhile)
    assert counts(work(start(webhook))) == ("done", 1, 1, 0, 0)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.generation, len(calls)) == ("failed", 1, 2)


def test_not_more_than_a_few_of_one_webhook_are_under_way(webhook: Webhook) -> None:
    jobs = [start(webhook) for _ in range(replay_jobs.MAX_RUNNING)]
    with pytest.raises(ConflictError, match="under way"):
        start(webhook)
    cancel_replay(jobs[0], by="Ada")
    start(webhook)


def test_a_slice_that_breaks_off_counts_nothing_and_holds_no_other_job_up(
    mailbox: Mailbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = make_own_webhook(mailbox=mailbox)
    rows = [make_delivery_in(mailbox, webhook, state="failed") for _ in range(3)]
    make_delivery_in(mailbox, other, state="failed")
    broken, fine = start(webhook), start(other)
    real, failing = replay_jobs.begin_again, rows[1].pk

    def begin(delivery: Delivery, *, by: str) -> bool:
        if delivery.pk == failing:
            raise OperationalError("gone")
        return real(delivery, by=by)

    with monkeypatch.context() as patch:
        patch.setattr(replay_jobs, "begin_again", begin)
        work_replays()
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert counts(broken) == ("running", 3, 0, 0, 0)
    assert broken.due_at > timezone.now() + timedelta(seconds=30)
    assert counts(fine) == ("done", 1, 1, 0, 0)
    assert generations() == {1: 3, 2: 1}
    assert counts(work(broken)) == ("done", 3, 3, 0, 0)
    assert generations() == {2: 4}


def test_it_costs_one_small_query_while_there_is_nothing_to_do(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        work_replays()


@pytest.mark.django_db(transaction=True)
def test_two_engines_never_send_one_delivery_twice() -> None:
    mailbox = make_mailbox()
    webhook, _ = make_own_webhook(mailbox=mailbox)
    for _ in range(40):
        make_delivery_in(mailbox, webhook, state="failed")
    job = start(webhook, rate_per_minute=120)
    failures: list[Exception] = []

    def work_for_a_while() -> None:
        try:
            for _ in range(60):
                ReplayJob.objects.filter(pk=job.pk, state="running").update(due_at=NOW - DAY)
                work_replays()
        except Exception as error:  # noqa: BLE001 - told to the test
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work_for_a_while) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    job.refresh_from_db()
    assert failures == []
    assert counts(job) == ("done", 40, 40, 0, 0)
    assert generations() == {2: 40}
