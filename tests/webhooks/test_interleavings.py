"""Two transactions at once, one stopped in its middle, the other run against it: nothing is lost, stuck or deadlocked.

On PostgreSQL an operation can be stopped before each statement that locks or writes, beside the first of its
transaction, and before each commit; on SQLite, where one writer excludes the other, before each BEGIN and each commit.
Each operation is stopped once for each other one, at its places in turn, in an order that is drawn once and for all:
so every place has its turn as long as there are no more of them than operations. With INTERLEAVINGS=all in the
environment every pair is stopped at every place, which takes many times as long:

    INTERLEAVINGS=all .venv/bin/python -m pytest tests/webhooks/test_interleavings.py
"""

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import cycle, product
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Q
from django.utils import timezone

from emailgistics.common.errors import DomainError
from emailgistics.common.ids import uuid7
from mailboxes.models import Alias, Email, EmailContent, Mailbox, Message, Recipient
from mailboxes.services import process, provision
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Accepted, Dispatcher, answer
from tests.webhooks.rows import again, move
from webhooks.models import Attempt, Delivery, Event, EventBody, Notice, ReplayJob, Webhook, WebhookHealth
from webhooks.services import erase, prune, pull, queue, replay, replay_jobs, retention, webhooks
from webhooks.services.claimed import Claimed
from webhooks.services.queue import Result
from webhooks.services.queue.taking import take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed"), pytest.mark.long]

HANGS_AFTER_S = 60  # a deadlock is noticed by the database long before
SEEN_TO_WAIT_S = 0.05  # longer than most of these take if nothing stands in their way
WAS_OFF = "the webhook was off"  # until a moment ago
AT_EVERY_PLACE = os.environ.get("INTERLEAVINGS") == "all"
WRITES = ("INSERT", "UPDATE", "DELETE")


@dataclass(slots=True)
class Stage:
    """A mailbox, a mail that was processed long ago, and all recipients that got 250."""

    two: Mailbox
    email: Email
    accepted: set[Accepted]
    scenes: int = 0


@dataclass(slots=True)
class Scene:
    """A webhook with mail in every state, its dispatcher dead but coming back, and one mail that is being processed."""

    one: Mailbox
    two: Mailbox
    alias: Alias
    webhook: Webhook
    lease: UUID
    mail_lease: UUID
    message: Message
    waiting: Email
    claimed: list[Claimed]
    failed: list[Delivery]
    emails: list[UUID]  # of the deliveries


def make_stage() -> Stage:
    invariants.empty_tables()
    two = make_mailbox(address="two@example.com")
    message = make_message(to=("two@example.com",))
    invariants.process_waiting()
    email = Email.objects.select_related("message").get(message=message)
    return Stage(two, email, {(message.pk, "two@example.com")})


def make_scene(stage: Stage) -> Scene:
    stage.scenes += 1
    dead, mail_lease = uuid7(), invariants.live_lease(process.LEASE_KIND)
    with transaction.atomic():  # many commits would take most of the time
        one = make_mailbox(address=f"one@{stage.scenes}.example.com")
        alias = make_alias(address=f"alias@{stage.scenes}.example.com", mailbox=one)
        webhook, beside, _ = make_webhook(alias=alias), make_webhook(alias=alias), make_webhook(mailbox=one)
        rows = make_history(stage, webhook, beside)
        claims = take(dead, [row.pk for row in rows[:6]])
    message = make_message(to=(alias.address,))
    stage.accepted.add((message.pk, alias.address))
    Message.objects.filter(pk=message.pk).update(lease_id=mail_lease, losses=1)
    emails = [row.event.email_id for row in rows if row.event.email_id]
    waiting = Email.objects.get(message=message)
    return Scene(one, stage.two, alias, again(webhook), dead, mail_lease, message, waiting, claims, rows[8:11], emails)


def make_history(stage: Stage, webhook: Webhook, beside: Webhook) -> list[Delivery]:
    """What came before: six deliveries that are being sent, two that are due, three that have failed, one that is held.

    The first that is due and the last that failed have to be rendered again; the other one that is due and the first
    that failed are old enough to go. The last that failed went to the webhook beside as well.
    """
    now, long_ago = timezone.now(), timezone.now() - timedelta(days=1000)
    ended = {"state": "failed", "attempts": 1, "failures": 1, "last_attempt_at": now}
    without, held = {"body": None}, {"state": "held", "reason": WAS_OFF}
    fields = [{}] * 6 + [without, {}] + [ended] * 2 + [ended | without, held]
    rows = make_deliveries(stage, webhook, fields)
    EmailContent.objects.bulk_create(EmailContent(email_id=rows[number].event.email_id) for number in (6, 10))
    Attempt.objects.bulk_create(Attempt(delivery=row, n=1, started_at=now, status=500) for row in rows[8:11])
    Delivery.objects.create(event=rows[10].event, webhook=beside, state="delivered", delivered_at=now, due_at=now)
    Recipient.objects.filter(email=rows[10].event.email_id).update(alias=webhook.alias)
    Delivery.objects.filter(pk=rows[7].pk).update(created_at=long_ago)
    Delivery.objects.filter(pk=rows[8].pk).update(created_at=long_ago, last_attempt_at=long_ago)
    Event.objects.filter(deliveries=rows[8]).update(created_at=long_ago)
    Notice.objects.create(webhook=webhook, kind=Notice.Kind.EXPIRING, at=now - timedelta(days=8))
    # one more failure disables it
    health = {"failing_since": now - timedelta(days=6), "failures": 30, "alerted_percent": 90}
    WebhookHealth.objects.filter(pk=webhook.pk).update(**health)
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    replay_jobs.start_replay(webhook, of_state="failed", by="ada", rate_per_minute=24, **span)
    return rows


def make_deliveries(stage: Stage, webhook: Webhook, fields: list[dict[str, Any]]) -> list[Delivery]:
    """Each of an email of its own, due now."""
    mailbox = webhook.alias.mailbox if webhook.alias else stage.two
    messages, emails = [], []
    for _ in fields:
        message, email = copy(stage.email.message), copy(stage.email)
        message.pk, email.pk, email.message, email.mailbox = uuid7(), uuid7(), message, mailbox
        messages.append(message)
        emails.append(email)
    now = timezone.now()
    kind = Event.Type.EMAIL_RECEIVED
    Message.objects.bulk_create(messages)
    Email.objects.bulk_create(emails)
    Recipient.objects.bulk_create(
        Recipient(message=email.message, email=email, address=mailbox.address, kind="exact") for email in emails
    )
    stage.accepted |= {(message.pk, mailbox.address) for message in messages}
    events = Event.objects.bulk_create(Event(type=kind, email=email, created_at=now) for email in emails)
    kept = [event for event, values in zip(events, fields, strict=True) if "body" not in values]
    bodies = EventBody.objects.bulk_create(EventBody(event=event, form="full", body=b"{}", size=2) for event in kept)
    of_event = {body.event: body for body in bodies}
    return Delivery.objects.bulk_create(
        Delivery(
            event=event, webhook=webhook, **{"state": "pending", "due_at": now, "body": of_event.get(event)} | values
        )
        for event, values in zip(events, fields, strict=True)
    )


def fan_out(scene: Scene) -> None:
    process.process_messages([scene.message.pk], scene.mail_lease)


def record(scene: Scene, *, first: int, **said: Any) -> None:
    """Two of the six results, the later one first."""
    results = [Result(one, answer(**said)) for one in reversed(scene.claimed[first : first + 2])]
    queue.record(results, scene.lease)


def cancel(scene: Scene) -> None:
    for number in (0, 2, 4):
        for delivery in Delivery.objects.filter(pk=scene.claimed[number].delivery_id):
            with suppress(DomainError):
                replay.cancel_delivery(delivery, by="ada")


def acknowledge(scene: Scene) -> None:
    ids = [one.delivery_id for one in scene.claimed]
    pull.acknowledge(scene.webhook, [*ids, scene.failed[1].pk], by="ada")


def erase_emails(scene: Scene, *, of: Sequence[int]) -> None:
    """By the numbers of their deliveries."""
    for number in of:
        erase.erase_email(scene.emails[number], by="grace")


def prune_mail(scene: Scene) -> None:
    """What it says of all that nothing needs any more."""
    Mailbox.objects.filter(pk=scene.one.pk).update(content_days=1)
    prune.prune_mail(for_at_most=timedelta(0), now=timezone.now() + timedelta(days=2))


def replay_email(scene: Scene) -> None:
    for email in Email.objects.filter(pk=scene.emails[10]).select_related("mailbox"):
        replay.replay_email(email, by="ada", webhooks=Webhook.objects.all())


def claim(_scene: Scene) -> None:
    dispatcher = Dispatcher()
    queue.claim(dispatcher.lease, in_flight={}, rotation=queue.Rotation())
    dispatcher.die()


OPERATIONS: dict[str, Callable[[Scene], object]] = {
    "fan out": fan_out,
    "pause": lambda scene: webhooks.pause_webhook(scene.webhook),
    "resume": lambda scene: webhooks.resume_webhook(scene.webhook),
    "record 410": partial(record, first=0, status=410),
    "delete webhook": lambda scene: webhooks.delete_webhook(scene.webhook),
    "delete alias": lambda scene: provision.delete_alias(scene.alias),
    "delete mailbox": lambda scene: provision.delete_mailbox(scene.one, with_mail=True),
    "delete domain": lambda scene: provision.delete_domain(scene.one.domain, with_mail=True),
    "move alias": lambda scene: move(scene.alias, scene.two),
    "erase what waits": lambda scene: erase.erase_email(scene.waiting.pk, by="grace"),
    "erase what is sent": partial(erase_emails, of=[11, 6, 2, 1]),
    "erase what failed": partial(erase_emails, of=[10, 8]),
    "replay one": lambda scene: replay.replay_delivery(scene.failed[0], by="ada"),
    "replay email": replay_email,
    "slice of a range": lambda _: replay_jobs.work_replays(),
    "cancel": cancel,
    "acknowledge": acknowledge,
    "pull": lambda scene: pull.pull(scene.webhook, after=0, limit=pull.MAX_PULLED),
    "claim": claim,
    "record success": partial(record, first=2, status=204),
    "record failures until disabled": partial(record, first=4, status=500),
    "take over": lambda _: queue.take_over(),
    "rotate": lambda scene: webhooks.rotate_secret(scene.webhook),
    "prune": lambda _: retention.prune(),
    "prune mail": prune_mail,
    "settle": lambda _: queue.settle(),
}


class Gate:
    """Stops the thread that goes through it, once, at the nth place where it may be stopped."""

    def __init__(self, stops_at: int) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._stops_at = stops_at
        self.places = 0
        self._is_dirty = False  # something of the transaction that is open is locked or written

    @contextmanager
    def in_the_way(self) -> Iterator[None]:
        commit = connection.commit

        def commit_later() -> None:
            self._stop()
            self._is_dirty = False
            commit()

        with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(self._statement):
            patch.setattr(connection, "commit", commit_later)
            yield

    def _statement(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        is_write = sql.lstrip().startswith(WRITES) or "FOR UPDATE" in sql or "FOR NO KEY UPDATE" in sql
        if connection.vendor == "sqlite":
            is_place = sql.startswith("BEGIN") or (is_write and not connection.in_atomic_block)
        else:
            is_place = is_write and (self._is_dirty or not connection.in_atomic_block)
        if is_place:
            self._stop()
        self._is_dirty = (self._is_dirty or is_write) and connection.in_atomic_block
        return execute(sql, *rest)

    def _stop(self) -> None:
        if self.places == self._stops_at:
            self.reached.set()
            assert self.open.wait(2 * HANGS_AFTER_S)
        self.places += 1


def act(name: str, scene: Scene, gate: Gate) -> None:
    connection.ensure_connection()
    # an answer for people is no fault: the other one was first
    with gate.in_the_way(), suppress(DomainError):
        OPERATIONS[name](scene)


def stops(stage: Stage, name: str, actor: ThreadPoolExecutor) -> Iterator[tuple[str, int]]:
    """(the other operation, where to stop this one for it)."""
    gate = Gate(-1)
    actor.submit(act, name, make_scene(stage), gate).result(HANGS_AFTER_S)
    assert gate.places, f"{name} does nothing"
    if AT_EVERY_PLACE:
        return product(OPERATIONS, range(gate.places))
    places = list(range(gate.places))
    random.Random(name).shuffle(places)
    return zip(OPERATIONS, cycle(places), strict=False)


def interleave(stage: Stage, stopped: str, other: str, *, at: int, actors: Sequence[ThreadPoolExecutor]) -> None:
    """Both happen, the one after the other was stopped. Raises what one of them raised."""
    scene = make_scene(stage)
    gate = Gate(at)
    first = actors[0].submit(act, stopped, scene, gate)
    first.add_done_callback(lambda _: gate.reached.set())
    assert gate.reached.wait(HANGS_AFTER_S), f"{stopped} hangs"
    second = actors[1].submit(act, other, scene, Gate(-1))
    wait([second], SEEN_TO_WAIT_S)
    gate.open.set()
    first.result(HANGS_AFTER_S)
    second.result(HANGS_AFTER_S)
    let_rest(scene)


def let_rest(scene: Scene) -> None:
    """What comes next is not about this scene, until the end."""
    tomorrow = timezone.now() + timedelta(days=1)
    of_scene = Delivery.objects.filter(Q(webhook__alias=scene.alias) | Q(webhook__mailbox=scene.one))
    of_scene.filter(state="pending").update(due_at=tomorrow, lease_losses=0)
    # else one settling would have to do it for all scenes before
    of_scene.filter(state="held", reason=WAS_OFF).update(state="pending", reason="", due_at=tomorrow)
    ReplayJob.objects.update(due_at=tomorrow)


def check_end(stage: Stage) -> None:
    before = invariants.counts()
    # of dispatchers that need not come back
    forgotten = {(pk, n) for pk, count in before.items() for n in range(1, count.attempts + 1)}
    for _ in range(3):
        queue.settle()
    invariants.check_counts(before, invariants.counts())
    invariants.finish()
    invariants.check(forgotten=forgotten)
    invariants.check_accepted(stage.accepted)
    bound = Recipient.objects.filter(alias__webhooks__deleted_at=None, alias__webhooks__isnull=False)
    invariants.check_told(bound.values_list("email", "alias__webhooks"))
    assert not ReplayJob.objects.filter(state=ReplayJob.State.RUNNING).exists()
    assert not Message.objects.filter(state=Message.State.WAITING).exists()


@pytest.fixture
def actors() -> Iterator[list[ThreadPoolExecutor]]:
    """Two threads, each with a connection of its own."""
    both = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]
    yield both
    for one in both:
        one.submit(connections.close_all).result()
        one.shutdown()


@pytest.mark.parametrize("stopped", list(OPERATIONS))
def test_one_operation_in_the_middle_of_another_loses_nothing_and_hangs_nothing(
    stopped: str, actors: list[ThreadPoolExecutor]
) -> None:
    stage, failures = make_stage(), []
    for other, at in stops(stage, stopped, actors[0]):
        try:
            interleave(stage, stopped, other, at=at, actors=actors)
        except (DatabaseError, TimeoutError) as error:
            failures.append(f"{other} while it is stopped at {at}: {error!r}")
    assert not failures, "\n".join(failures)
    check_end(stage)
