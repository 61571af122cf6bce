"""What is counted of mail and deliveries, and what of it one is told."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emailgistics.common import leases, series
from emailgistics.common.access import Principal, Scope
from emailgistics.common.ids import uuid7
from emailgistics.common.models import SeriesEntry, SeriesSum
from emailgistics.common.series import EVERYTHING, HOWEVER, Counts, Kind, Selection
from emailgistics.common.series_of_each import members_of, totals_of_each
from emailgistics.reports.backfill import backfill
from emailgistics.reports.breakdown import By, breakdown
from emailgistics.reports.periods import Interval, periods
from emailgistics.reports.statistics import Figures, of_webhook, statistics, whose
from mailboxes.models import Email, Mailbox, Reparse
from mailboxes.services import counted, erase, process, provision, quarantine, reparse, rule_book, tidy
from mailboxes.services.opened import Opened, store
from tests.apikeys.factories import make_client
from tests.factories import RAW, make_alias, make_delivery, make_email, make_mailbox, make_message, make_webhook
from tests.worlds.standing import Clock, clock_stopped
from webhooks import retry
from webhooks.models import Delivery, Webhook
from webhooks.services import pull, queue, replay, webhooks
from webhooks.services.queue import Result, upkeep
from webhooks.transport import Answer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

NOTHING = Figures(
    received=0, bytes=0, processed=0, parked=0, quarantined=0, delivered=0, failed=0, held=0, retries=0,
    latency_p50_ms=None, latency_p95_ms=None, api_calls=0,
)  # fmt: skip


@pytest.fixture
def clock() -> Iterator[Clock]:
    with clock_stopped(datetime(2030, 3, 5, 10, 7, tzinfo=UTC)) as clock:
        yield clock


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def key_for(*mailboxes: Mailbox) -> Principal:
    ids = frozenset(mailbox.pk for mailbox in mailboxes if mailbox.deleted_at is None)
    domains = frozenset(mailbox.domain_id for mailbox in mailboxes)
    return Principal(
        uuid7(),
        "emgk_AbC123xYz9",
        frozenset(Scope),
        all_mailboxes=not mailboxes,
        mailbox_ids=ids,
        domain_ids=domains,
    )


def told(caller: Principal | None = None, **what: Any) -> dict[str, Any]:
    """Of the last 30 days, what is not zero; the same before and after what was counted is folded."""
    before = statistics(whose(caller, **what))
    counted.fold()
    assert statistics(whose(caller, **what)) == before
    assert not SeriesEntry.objects.exists()
    return {
        name: getattr(before.totals, name)
        for name in Figures.__slots__
        if getattr(before.totals, name) != getattr(NOTHING, name)
    }


def attempt(status: int | None = 204, **fields: Any) -> None:
    """Of all that is due."""
    with leases.held("dispatch") as lease:
        claimed = queue.claim(lease.id, in_flight={})
        assert claimed
        answer = Answer(started_at=timezone.now(), status=status, **fields)
        queue.record([Result(one, answer) for one in claimed], lease.id)


def deliver_mail(to: str = "support@example.com") -> Email:
    email = make_email(to=to)
    attempt()
    return email


# --- mail


def test_a_mail_counts_for_its_mailbox_and_there_for_each_alias_by_which_it_came(mailbox: Mailbox) -> None:
    team = make_mailbox(address="team@example.com")
    one, other = make_alias(mailbox=mailbox), make_alias(address="ask@example.com", mailbox=mailbox)
    unused = make_alias(address="unused@example.com", mailbox=mailbox)
    make_message(to=(one.address, other.address, "help+tag@example.com", team.address))
    process.drain(linger=timedelta(0))
    once = {"received": 1, "bytes": len(RAW), "processed": 1}
    assert told(mailbox=mailbox) == told(mailbox=team) == told(alias=one) == told(alias=other) == once
    assert told(mailbox=mailbox, alias=one) == once
    assert told(mailbox=team, alias=one) == told(alias=unused) == {}
    assert told() == told(domain=mailbox.domain) == {"received": 2, "bytes": 2 * len(RAW), "processed": 2}


def test_a_mail_that_comes_again_after_its_250_got_lost_counts_once(mailbox: Mailbox) -> None:
    from mailboxes.services.admit import admit
    from mailboxes.services.receive import receive_message
    from tests.mailboxes.test_receive import ENVELOPE

    for _ in range(2):
        receive_message(envelope=ENVELOPE, admissions=[admit(mailbox.address, envelope=ENVELOPE)], raw=RAW)
    assert told() == {"received": 1, "bytes": len(RAW)}


def test_what_could_not_be_stored_is_not_counted_and_what_is_not_counted_is_not_stored(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Counts, "entries", fails)
        with pytest.raises(OperationalError, match="power"):
            make_message()
    assert not Email.objects.exists()
    assert told() == {}


def test_what_is_rolled_back_was_not_counted(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    make_webhook(mailbox=mailbox)
    make_email()
    before = told()
    with monkeypatch.context() as patch:
        patch.setattr("webhooks.services.queue.recording._judge", fails)
        with pytest.raises(OperationalError, match="power"):
            attempt()
    assert Delivery.objects.get().delivered_at is None
    assert told() == before


def fails(*_: Any) -> None:
    raise OperationalError("the power went")


def test_what_was_counted_stays_so_when_the_mail_is_erased(mailbox: Mailbox) -> None:
    email = make_email()
    before = told()
    with transaction.atomic():
        held = erase.hold_email(email.pk)
        assert held is not None
        erase.erase_held(held, by="a test")
    assert not Email.objects.exists()
    assert told() == before == {"received": 1, "bytes": len(RAW), "processed": 1}


def test_mail_in_quarantine_counts_as_such_and_once_more_when_it_is_let_go(mailbox: Mailbox) -> None:
    alias = make_alias(mailbox=mailbox)
    rule_book.create_rule(action="quarantine", criterion="sender", value="ada@example.net", mailbox=mailbox)
    email = make_email(to=alias.address)
    assert told(alias=alias) == {"received": 1, "bytes": len(RAW), "quarantined": 1}
    for _ in range(2):
        quarantine.release_email(email, by="a test")
    assert told(alias=alias) == {"received": 1, "bytes": len(RAW), "quarantined": 1, "processed": 1}


def test_parked_mail_counts_as_such_and_once_more_when_it_is_opened_after_all(mailbox: Mailbox) -> None:
    message = make_message()
    with leases.held("mail") as lease:
        (claimed,) = process.claim(lease.id)
        message.refresh_from_db()
        assert claimed == message.pk
        opened = Opened(message, process.unparsed("processing_lost"), None, message.State.PARKED)
        store([opened], lease_id=lease.id)
    assert told() == {"received": 1, "bytes": len(RAW), "parked": 1}
    for _ in range(2):  # the second time it is processed mail that is opened again, which is nothing new
        Reparse.objects.create(message=message, is_dry_run=False, asked_at=timezone.now())
        reparse.drain(until=float("inf"))
    assert Email.objects.get().status == Email.Status.PROCESSED
    assert told() == {"received": 1, "bytes": len(RAW), "parked": 1, "processed": 1}


# --- deliveries


def test_a_delivery_counts_when_its_receiver_has_it_with_how_long_that_took(mailbox: Mailbox, clock: Clock) -> None:
    alias = make_alias(mailbox=mailbox)
    make_webhook(mailbox=mailbox)
    make_email(to=alias.address)
    clock.now += timedelta(milliseconds=100)
    attempt()
    found = told(mailbox=mailbox, alias=alias)
    assert found.pop("latency_p50_ms") == found.pop("latency_p95_ms") == pytest.approx(100, rel=0.19)
    assert found == {"received": 1, "bytes": len(RAW), "processed": 1, "delivered": 1}


def test_what_is_tried_again_counts_as_a_retry_however_it_ends(mailbox: Mailbox, clock: Clock) -> None:
    make_webhook(mailbox=mailbox)
    make_email()
    for status in (500, 503, 204):
        attempt(status)
        clock.now += timedelta(minutes=10)
    found = told()
    assert (found["retries"], found["delivered"]) == (2, 1)
    assert "failed" not in found


def test_what_never_reached_the_receiver_by_a_fault_of_ours_is_no_retry(mailbox: Mailbox, clock: Clock) -> None:
    make_delivery(make_webhook(mailbox=mailbox), failures=1)
    attempt(None, error="egress")
    assert Delivery.objects.get().attempts == 0
    assert told() == {"received": 1, "bytes": len(RAW)}


def test_what_is_given_up_counts_as_failed(mailbox: Mailbox) -> None:
    make_delivery(make_webhook(mailbox=mailbox), failures=len(retry.DELAYS), attempts=len(retry.DELAYS))
    attempt(500)
    assert Delivery.objects.get().state == Delivery.State.FAILED
    assert told() == {"received": 1, "bytes": len(RAW), "failed": 1, "retries": 1}


def test_so_does_what_takes_its_dispatchers_along(mailbox: Mailbox) -> None:
    delivery = make_delivery(make_webhook(mailbox=mailbox))
    Delivery.objects.filter(pk=delivery.pk).update(
        lease_id=uuid7(), lease_losses=upkeep.QUARANTINED_FROM_LOSSES - 1, attempts=4
    )
    assert queue.take_over() == 1
    assert told() == {"received": 1, "bytes": len(RAW), "failed": 1}


@pytest.mark.parametrize(
    "way", ["at once", "once it is paused", "while it is claimed", "410", "replayed", "replayed new"]
)
def test_a_delivery_that_begins_to_wait_for_its_webhook_counts_as_held_once(mailbox: Mailbox, way: str) -> None:
    webhook = make_webhook(mailbox=mailbox)
    match way:
        case "at once":
            webhooks.pause_webhook(webhook)
            make_email()
        case "once it is paused":
            make_email()
            webhooks.pause_webhook(webhook)
            queue.settle()
            queue.settle()
        case "while it is claimed":
            make_email()
            pause_when_claimed(webhook)
        case "410":
            make_email()
            attempt(410)
        case "replayed":
            deliver_mail()
            webhooks.pause_webhook(webhook)
            replay.replay_delivery(Delivery.objects.get(), by="a test")
        case "replayed new":
            Webhook.objects.update(events=["webhook.disabled"])
            email = make_email()
            Webhook.objects.update(events=["email.received"])
            webhooks.pause_webhook(webhook)
            replay.replay_email(email, by="a test", webhooks=Webhook.objects.all())
    assert Delivery.objects.get().state == Delivery.State.HELD
    found = told()
    assert (found["held"], found["processed"]) == (1, 1)


def pause_when_claimed(webhook: Webhook) -> None:
    """Between choosing a delivery and claiming it."""
    from webhooks.services.queue import taking

    ids = list(Delivery.objects.values_list("pk", flat=True))
    webhooks.pause_webhook(webhook)
    Delivery.objects.update(state="pending", reason="")
    with leases.held("dispatch") as lease, transaction.atomic():
        assert taking.take(lease.id, ids) == []


def test_what_is_pulled_counts_as_delivered_once_it_is_acknowledged(mailbox: Mailbox) -> None:
    webhook = make_webhook(url="", mailbox=mailbox)
    make_email()
    (pulled,) = pull.pull(webhook, after=0, limit=10)
    assert "delivered" not in told()
    for _ in range(2):
        pull.acknowledge(webhook, [pulled.delivery_id], by="a test")
    assert told()["delivered"] == 1


def test_tests_and_news_that_are_about_no_mail_are_not_counted(mailbox: Mailbox) -> None:
    webhook = make_webhook(mailbox=mailbox)
    make_delivery(webhook, is_test=True)
    attempt()
    make_delivery(webhook, is_test=True)
    attempt(500)
    assert told() == {"received": 2, "bytes": 2 * len(RAW)}


def test_what_came_too_late_to_be_written_down_is_not_counted(mailbox: Mailbox) -> None:
    make_delivery(make_webhook(mailbox=mailbox))
    with leases.held("dispatch") as lease:
        (claimed,) = queue.claim(lease.id, in_flight={})
        answer = Answer(started_at=timezone.now(), status=204)
        Delivery.objects.update(attempts=2)  # somebody has taken it over meanwhile
        queue.record([Result(claimed, answer)], lease.id)
        queue.record([Result(claimed, answer)], uuid7())
    assert told() == {"received": 1, "bytes": len(RAW)}


def test_many_results_of_two_mailboxes_count_for_each(mailbox: Mailbox) -> None:
    sales = make_mailbox(address="sales@example.com")
    for where, times in ((mailbox, 3), (sales, 5)):
        webhook = make_webhook(mailbox=where)
        for _ in range(times):
            make_delivery(webhook)
    attempt()
    assert [told(mailbox=where)["delivered"] for where in (mailbox, sales)] == [3, 5]
    assert told()["delivered"] == 8


# --- who is told


def test_a_key_is_told_of_its_mailboxes_and_of_nothing_else(mailbox: Mailbox) -> None:
    sales = make_mailbox(address="sales@example.com")
    for address in (mailbox.address, sales.address, sales.address):
        make_email(to=address)
    assert [told(key_for(one))["received"] for one in (mailbox, sales)] == [1, 2]
    assert told(key_for(mailbox, sales))["received"] == told(key_for())["received"] == told()["received"] == 3
    assert told(key_for(mailbox), domain=mailbox.domain)["received"] == 1
    assert told(key_for(), domain=mailbox.domain)["received"] == 3
    assert told(key_for(mailbox), domain=make_mailbox(address="box@example.org").domain) == {}


def test_webhooks_of_a_domain_are_told_of_only_to_who_sees_all_mailboxes(mailbox: Mailbox) -> None:
    alias = make_alias(mailbox=mailbox)
    make_webhook(domain=mailbox.domain)
    make_webhook(mailbox=mailbox)
    deliver_mail(to=alias.address)
    assert [told(key_for(mailbox), alias=one)["delivered"] for one in (None, alias)] == [1, 1]
    assert [told(key_for(), **how)["delivered"] for how in ({}, {"mailbox": mailbox}, {"alias": alias})] == [2, 2, 2]
    paused = Webhook.objects.get(domain=mailbox.domain)
    webhooks.pause_webhook(paused)
    make_email()
    assert "held" not in told(key_for(mailbox))
    assert told(key_for())["held"] == 1


def test_a_webhook_whose_alias_leads_elsewhere_is_told_of_only_to_who_sees_all_mailboxes(mailbox: Mailbox) -> None:
    """The key for the mailbox does not see it any more: neither that it sends old mail again, nor that there is one."""
    team, alias = make_mailbox(address="team@example.com"), make_alias(mailbox=mailbox)
    webhook = make_webhook(alias=alias)
    deliver_mail(alias.address)
    provision.update_alias(alias, mailbox=team)
    webhooks.resume_webhook(Webhook.objects.get(pk=webhook.pk))
    delivery = webhook.deliveries.get()
    assert not Delivery.objects.visible_to(key_for(mailbox)).exists()
    Delivery.objects.update(state="pending", due_at=timezone.now())
    attempt(500)
    Delivery.objects.update(due_at=timezone.now())
    attempt()
    assert delivery.attempt_log.count() == 3
    of_mail = {"received": 1, "bytes": len(RAW), "processed": 1}
    seen, all_of_it = told(key_for(mailbox)), told(key_for())
    assert {name: seen[name] for name in (*of_mail, "delivered")} == of_mail | {"delivered": 1}
    assert "retries" not in seen
    assert told(key_for(team)) == {}
    assert (all_of_it["delivered"], all_of_it["retries"]) == (2, 1)


def test_what_deliveries_count_they_count_for_their_webhook_as_well_with_attempts_that_failed(mailbox: Mailbox) -> None:
    webhook, other = make_webhook(mailbox=mailbox), make_webhook(domain=mailbox.domain, url="http://127.0.0.1:9/2")
    idle = make_webhook(mailbox=make_mailbox(address="idle@example.com"))
    make_email()
    attempt(500)
    Delivery.objects.update(due_at=timezone.now())
    attempt()
    today = statistics(whose(None))
    assert (today.totals.delivered, today.totals.retries) == (2, 2)
    for _ in ("entries", "sums"):
        for one, times in ((webhook, 1), (other, 1), (idle, 0)):
            found = statistics(of_webhook(one)).totals
            assert (found.delivered, found.retries, found.received, found.failed) == (times, times, 0, 0)
        period = series.quarter_of(today.since), series.quarter_of(today.until)
        of_each = totals_of_each(members_of(Webhook.objects.all()), [period])
        assert {pk: kinds[0][Kind.FAILURES].times for pk, kinds in of_each.items()} == {webhook.pk: 1, other.pk: 1}
        counted.fold()
    restricted = SeriesSum.objects.filter(subject__in=[webhook.pk, other.pk]).values_list("is_restricted", flat=True)
    assert set(restricted) == {True}


def test_what_came_by_an_alias_counts_for_the_mailbox_that_it_went_to(mailbox: Mailbox) -> None:
    team = make_mailbox(address="team@example.com")
    alias = make_alias(mailbox=mailbox)
    make_email(to=alias.address)
    provision.update_alias(alias, mailbox=team)
    make_email(to=alias.address)
    make_email(to=alias.address)
    assert told(key_for(mailbox))["received"] == 1
    assert told(key_for(team), alias=alias)["received"] == 2
    assert told(key_for(), alias=alias)["received"] == 3


def test_a_mailbox_that_was_deleted_is_part_of_the_past_for_who_sees_all_mailboxes(mailbox: Mailbox) -> None:
    make_email()
    team = make_mailbox(address="team@example.com")
    provision.delete_mailbox(mailbox, with_mail=True)
    mailbox.refresh_from_db()
    assert told(key_for(team)) == told(key_for(mailbox, team)) == {}
    assert told(key_for())["received"] == told(key_for(), domain=mailbox.domain)["received"] == 1


def test_a_key_whose_mailboxes_are_all_gone_is_told_of_none(mailbox: Mailbox) -> None:
    make_email()
    nothing: frozenset[UUID] = frozenset()
    nobody = Principal(
        uuid7(), "emgk_AbC123xYz9", frozenset(Scope), all_mailboxes=False, mailbox_ids=nothing, domain_ids=nothing
    )
    assert told(nobody) == {}


def test_a_key_is_told_of_its_own_calls_whatever_it_asks_for(mailbox: Mailbox) -> None:
    key, other = key_for(mailbox), key_for()
    counts = Counts()
    for caller, times in ((key, 3), (other, 4)):
        counts.add(Kind.API_CALLS, subject=caller.key_id, at=timezone.now(), times=times)
    counts.write()
    alias = make_alias(mailbox=mailbox)
    assert told(key) == told(key, mailbox=mailbox) == told(key, alias=alias) == {"api_calls": 3}
    assert told(other) == told(other, domain=mailbox.domain) == {"api_calls": 4}
    assert told() == {}


# --- sums


def test_sums_are_what_the_entries_are_for_any_time_and_zone(mailbox: Mailbox) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        found=st.lists(
            st.tuples(st.integers(0, 5000), st.sampled_from([Kind.RECEIVED, Kind.DELIVERED + 9]), st.booleans()),
            min_size=1,
            max_size=30,
        ),
        folded=st.integers(0, 30),
        bounds=st.tuples(st.integers(-10, 5010), st.integers(1, 5000)),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"]),
        interval=st.sampled_from(Interval),
    )
    def check(
        found: Sequence[tuple[int, int, bool]], folded: int, bounds: tuple[int, int], zone: str, interval: Interval
    ) -> None:
        SeriesEntry.objects.all().delete()
        SeriesSum.objects.all().delete()
        first = series.quarter_of(datetime(2030, 3, 1, tzinfo=UTC))
        since, until = first + bounds[0], first + bounds[0] + min(bounds[1], 900 if interval == "hour" else 5000)
        for number, (quarter, kind, is_restricted) in enumerate(found):
            counts = Counts()
            at = series.begins(first + quarter) + timedelta(minutes=14, seconds=59)
            counts.add(kind, subject=mailbox.pk, at=at, amount=quarter, is_restricted=is_restricted)
            counts.write()
            if number == folded:
                counted.fold()
        cut = periods(since, until, interval, ZoneInfo(zone))
        for knows_all, subject in ((True, EVERYTHING), (True, mailbox.pk), (False, mailbox.pk)):
            members = Mailbox.objects.filter(pk=mailbox.pk).values("pk")
            of = Selection([subject], members, HOWEVER, None, knows_all)
            expected: dict[int, dict[int, tuple[int, int]]] = {}
            for quarter, kind, is_restricted in found:
                for n, (start, end) in enumerate(cut):
                    if start <= first + quarter < end and (knows_all or not is_restricted):
                        times, amount = expected.setdefault(n, {}).get(kind, (0, 0))
                        expected[n][kind] = (times + 1, amount + quarter)
            assert series.totals(of, cut) == expected

    check()


@pytest.mark.parametrize("is_folded", [False, True])
def test_the_numbers_of_each_are_what_it_counted_alone_and_the_busiest_come_first(
    is_folded: bool, mailbox: Mailbox
) -> None:
    elsewhere = make_mailbox(address="desk@example.org")
    boxes = [mailbox, *(make_mailbox(address=f"m{n}@example.com") for n in range(3)), elsewhere]
    webhook = make_webhook(mailbox=boxes[2])
    for box, times in zip(boxes, (1, 3, 2, 0, 2), strict=True):
        for _ in range(times):
            make_message(to=(box.address,))
    process.drain(linger=timedelta(0))
    attempt()
    if is_folded:
        counted.fold()
    found = statistics(whose(None))
    time = {"since": found.since, "until": found.until}
    by_mailbox = breakdown(By.MAILBOX, **time, at_most=3)
    assert [line.figures.received for line in by_mailbox] == [3, 2, 2]
    assert by_mailbox[0].of == boxes[1]
    for line in by_mailbox:
        assert line.figures == statistics(whose(None, mailbox=line.of)).totals  # type: ignore[arg-type]
    by_domain = breakdown(By.DOMAIN, **time, at_most=10)
    assert [(str(line.of), line.figures.received) for line in by_domain] == [("example.com", 6), ("example.org", 2)]
    for line in by_domain:
        assert line.figures == statistics(whose(None, domain=line.of)).totals  # type: ignore[arg-type]
    (by_webhook,) = breakdown(By.WEBHOOK, **time, at_most=10)
    assert (by_webhook.of, by_webhook.figures) == (webhook, statistics(of_webhook(webhook)).totals)
    assert by_webhook.figures.delivered == 2
    of_domain = breakdown(By.MAILBOX, **time, at_most=10, domain=elsewhere.domain)
    assert [line.of for line in of_domain] == [elsewhere]
    assert [line.of for line in breakdown(By.MAILBOX, **time, at_most=10, mailbox=boxes[0])] == [boxes[0]]
    assert breakdown(By.MAILBOX, **time, at_most=10, mailbox=boxes[3]) == []
    hour = timedelta(hours=1)
    assert breakdown(By.MAILBOX, since=found.since - hour, until=found.since, at_most=10) == []


def test_of_a_thousand_mailboxes_the_numbers_take_the_same_queries(
    mailbox: Mailbox, django_assert_num_queries: Any
) -> None:
    counts, at = Counts(), timezone.now()
    for n in range(1000):
        counts.add(Kind.RECEIVED, subject=UUID(int=n + 2), at=at)
    counts.add(Kind.RECEIVED, subject=mailbox.pk, at=at, times=5)
    counts.write()
    counted.fold()
    found = statistics(whose(None))
    with django_assert_num_queries(3):  # who is busiest, their numbers, their names
        (line,) = breakdown(By.MAILBOX, since=found.since, until=found.until, at_most=10)
    assert (line.of, line.figures.received) == (mailbox, 5)


def test_days_are_those_of_the_time_zone_that_is_asked_for(mailbox: Mailbox, clock: Clock) -> None:
    clock.now = datetime(2030, 3, 31, 21, 59, 59, tzinfo=UTC)  # 23:59 in Berlin, on a day of 23 hours
    make_message()
    clock.now += timedelta(seconds=1)
    make_message()
    by_day = {
        zone: [
            (period.start.isoformat(), period.figures.received)
            for period in statistics(whose(None), time_zone=zone).data
            if period.figures != NOTHING
        ]
        for zone in ("Europe/Berlin", "UTC", "Asia/Kathmandu")
    }
    assert by_day == {
        "Europe/Berlin": [("2030-03-30T23:00:00+00:00", 1), ("2030-03-31T22:00:00+00:00", 1)],
        "UTC": [("2030-03-31T00:00:00+00:00", 2)],
        "Asia/Kathmandu": [("2030-03-31T18:15:00+00:00", 2)],
    }


def test_half_and_nearly_all_deliveries_took_no_longer(mailbox: Mailbox) -> None:
    counts = Counts()
    for ms in range(1, 101):
        kind = series.delivered_within(timedelta(milliseconds=ms))
        counts.add(kind, subject=mailbox.pk, at=timezone.now())
    counts.write()
    found = told(mailbox=mailbox)
    assert found["delivered"] == 100
    assert found["latency_p50_ms"] == pytest.approx(50, rel=0.19)
    assert found["latency_p95_ms"] == pytest.approx(95, rel=0.19)


def test_what_is_old_is_pruned(mailbox: Mailbox, settings: Any) -> None:
    now, counts = timezone.now(), Counts()
    for days in (settings.STATISTICS_DAYS + 2, 1):
        counts.add(Kind.RECEIVED, subject=mailbox.pk, at=now - timedelta(days=days))
    counts.write()
    tidy.tidy()
    ages = {(now - series.begins(start)).days for start in SeriesSum.objects.values_list("start", flat=True)}
    assert ages <= {1, 2}
    assert SeriesSum.objects.filter(subject=mailbox.pk, span=1).count() == 1


def test_threads_that_take_mail_in_and_fold_at_the_same_time_lose_and_double_nothing(mailbox: Mailbox) -> None:
    senders, each, done, wrong = 8, 12, threading.Event(), []

    def send(number: int) -> None:
        try:
            for one in range(each):
                make_raw(b"%d.%d" % (number, one))
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            wrong.append(error)
        finally:
            connection.close()

    def fold() -> None:
        try:
            while not done.is_set():
                counted.fold()
        except Exception as error:  # noqa: BLE001 - told in the test's own thread
            wrong.append(error)
        finally:
            connection.close()

    sending = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
    folding = [threading.Thread(target=fold) for _ in range(2)]
    for thread in [*sending, *folding]:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in sending):
        seen.append(statistics(whose(None)).totals.received)
    done.set()
    for thread in [*sending, *folding]:
        thread.join()
    assert wrong == []
    assert seen == sorted(seen), "a fold was seen half done"
    assert Email.objects.count() == senders * each
    assert told()["received"] == told(mailbox=mailbox)["received"] == senders * each


def make_raw(mark: bytes) -> None:
    from mailboxes.services.admit import admit
    from mailboxes.services.receive import receive_message
    from tests.mailboxes.test_receive import ENVELOPE

    admissions = [admit("support@example.com", envelope=ENVELOPE)]
    receive_message(envelope=ENVELOPE, admissions=admissions, raw=b"Message-ID: <%b@example.net>\r\n\r\n" % mark)


def test_however_much_was_counted_it_takes_the_same_queries(mailbox: Mailbox, django_assert_num_queries: Any) -> None:
    key, alias = key_for(mailbox), make_alias(mailbox=mailbox)
    for _ in range(2):
        with django_assert_num_queries(2):
            statistics(whose(key, alias=alias), interval=Interval.HOUR)
        with django_assert_num_queries(1):
            statistics(whose(key_for()))
        make_email(to=alias.address)
        counted.fold()


def test_sums_are_read_by_index_from_the_beginning_of_each_stretch_to_its_end(mailbox: Mailbox) -> None:
    now = series.quarter_of(timezone.now())
    for subject in (mailbox.pk, *(uuid7() for _ in range(20))):  # of few, any index would do
        SeriesSum.objects.bulk_create(
            SeriesSum(
                subject=subject, part=HOWEVER, is_restricted=False, kind=1, span=4, start=4 * n, times=1, amount=1
            )
            for n in range(now // 4 - 1500, now // 4)
        )
    statements: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, *rest)

    with connection.execute_wrapper(note):
        assert told_of_hours(key_for(mailbox)) > 300
    with connection.cursor() as cursor:
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE common_seriessum")
        cursor.execute(f"{explain} {statements[-1][0]}", statements[-1][1])
        plan = " ".join(str(row[-1]) for row in cursor.fetchall())
    index = {
        "postgresql": r"series_sum_once.{,120}Index Cond: \(\(subject = [^)]*\) AND \(part = .*\(span = .*\(start < ",
        "sqlite": r"SEARCH s USING INDEX \S+ \(subject=\? AND part=\? AND span=\? AND start>\? AND start<\?\)",
    }
    assert re.search(index[connection.vendor], plan), plan


def told_of_hours(caller: Principal) -> int:
    return statistics(whose(caller), interval=Interval.HOUR).totals.received


# --- what happened before there were statistics


def test_what_an_earlier_release_took_in_is_counted_once_and_afterwards(mailbox: Mailbox) -> None:
    alias = make_alias(mailbox=mailbox)
    make_webhook(mailbox=mailbox)
    make_webhook(domain=mailbox.domain)
    with clock_stopped(timezone.now() - timedelta(days=2)) as clock:
        make_email(to=alias.address)
        attempt(500)
        clock.now += timedelta(minutes=10)
        attempt()
        before = [told(key_for(*whom), alias=alias) for whom in ([mailbox], [])]
    SeriesSum.objects.all().delete()
    make_email()  # of this release
    assert told() == {"received": 1, "bytes": len(RAW), "processed": 1}
    assert [backfill(), backfill()] == [1, 0]
    assert [told(key_for(*whom), alias=alias) for whom in ([mailbox], [])] == before
    assert before[1]["retries"] == before[1]["delivered"] == 2
    assert told()["received"] == 2


def test_a_command_says_the_same_as_the_api(mailbox: Mailbox, capsys: pytest.CaptureFixture[str]) -> None:
    make_email()
    call_command("stats", "--json", "--mailbox", mailbox.address)
    assert json.loads(capsys.readouterr().out)["totals"] == make_client().get("/v1/statistics").json()["totals"]
    call_command("stats", "--backfill", "--interval", "week", "--from", "2026-01-01")
    printed = capsys.readouterr()
    assert printed.err.startswith("Counted 0 emails")
    assert printed.out.splitlines()[-1].split()[:3] == ["all", "1", "1"]
    for wrong in (["--from", "soon"], ["--time-zone", "Mars"], ["--mailbox", "nobody@example.com"]):
        with pytest.raises(CommandError, match=r"2030-01-31|Europe/Berlin|no mailbox"):
            call_command("stats", *wrong)
