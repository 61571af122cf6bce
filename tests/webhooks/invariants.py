"""What holds of the delivery tables whoever did what to them in which order, and dispatchers without HTTP to do it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from emailgistics.common import tombstones
from emailgistics.common.models import Lease, Tombstone
from mailboxes.models import Email, Message, Recipient
from mailboxes.services import erase as mailboxes_erase
from mailboxes.services import process
from webhooks.models import Attempt, Delivery, ReplayJob, Webhook, WebhookHealth
from webhooks.services import erase, queue, replay_jobs, stop, webhooks
from webhooks.services.queue import Claimed, Result
from webhooks.services.queue.upkeep import CONFIRMED, KEPT_BACK
from webhooks.transport import Answer

State = Delivery.State
UNFINISHED = (State.PENDING, State.HELD)
LONGEST_WAIT = timedelta(hours=24, minutes=16)  # of the retry schedule, with its jitter
ENOUGH = 60  # rounds, in which everything that can go out does

Accepted = tuple[UUID, str]  # a message, and a recipient that got 250 for it


class Count(NamedTuple):
    """What is counted of a delivery."""

    webhook: UUID
    generation: int
    attempts: int


Counts = dict[UUID, Count]


def answer(status: int | None = 204, **fields: Any) -> Answer:
    return Answer(started_at=datetime.now(UTC), status=status, total_ms=3, **fields)


def live_lease(kind: str = queue.LEASE_KIND) -> UUID:
    """As a dispatcher holds it that renews it in time."""
    lease = Lease(kind=kind, host="here", pid=1)
    lease.seen_at = Now() + timedelta(days=1)  # type: ignore[assignment]  # an expression, written by save
    lease.save(force_insert=True)
    return lease.pk


def process_waiting() -> None:
    """What `process.drain` does with mail that nothing is wrong with, without a thread that renews a lease."""
    lease = live_lease(process.LEASE_KIND)
    while claimed := process.claim_some(lease):
        process.process_messages(claimed, lease)
    Lease.objects.filter(pk=lease).delete()


@dataclass(slots=True)
class Dispatcher:
    """Claims and records; its requests are under way until somebody says how they ended."""

    lease: UUID = field(default_factory=live_lease)
    under_way: list[Claimed] = field(default_factory=list)

    def claim(self) -> list[Claimed]:
        in_flight = Counter(one.webhook_id for one in self.under_way)
        claimed = queue.claim(self.lease, in_flight=in_flight, rotation=queue.Rotation())
        assert_may_be_sent(claimed)
        self.under_way += claimed
        return claimed

    def record(self, ended: Sequence[Claimed], said: Answer) -> None:
        queue.record([Result(one, said) for one in ended], self.lease)
        self.under_way = [one for one in self.under_way if one not in ended]

    def die(self) -> None:
        Lease.objects.filter(pk=self.lease).delete()


def assert_may_be_sent(claimed: Iterable[Claimed]) -> None:
    """Nothing goes out for a webhook that is off, moved or deleted but a test, and no mail that is not confirmed."""
    claimed = list(claimed)
    assert not claimed or stop.outgoing_stop() is None
    rows = Delivery.objects.select_related("webhook__alias", "event__email").in_bulk(one.delivery_id for one in claimed)
    for one in claimed:
        delivery = rows[one.delivery_id]
        webhook, email = delivery.webhook, delivery.event.email
        assert webhook.deleted_at is None
        assert webhook.url == one.url != ""
        if not delivery.is_test:
            assert webhook.obstacle(email.mailbox_id if email else None) == ""


def check(*, forgotten: Iterable[tuple[UUID, int]] = ()) -> None:
    """Holds at any moment. forgotten: attempts whose dispatcher died after their delivery was taken from it."""
    assert not Recipient.objects.exclude(email__message=F("message")).exists()
    assert not Message.objects.filter(emails=None).exists()
    assert not Email.objects.filter(recipients=None).exists()
    assert not Delivery.objects.filter(body__isnull=False).exclude(body__event=F("event")).exists()
    leased = Delivery.objects.filter(lease_id__isnull=False)
    assert not leased.exclude(state=State.PENDING).exists()
    assert not Delivery.objects.filter(state=State.DELIVERED, delivered_at=None).exists()
    assert not Delivery.objects.exclude(state=State.DELIVERED).exclude(delivered_at=None).exists()
    waiting = Delivery.objects.filter(state__in=UNFINISHED, lease_id=None)
    assert not waiting.filter(due_at__gt=Now() + LONGEST_WAIT).exists()
    assert not Delivery.objects.filter(state=State.HELD, reason="").exists()
    _check_attempts(set(forgotten))
    _check_jobs()


def _check_attempts(forgotten: set[tuple[UUID, int]]) -> None:
    """One for each number that was spent and is not under way, and none for one that was not spent."""
    written: dict[UUID, set[int]] = defaultdict(set)
    for pk, n in chain(Attempt.objects.values_list("delivery", "n"), forgotten):
        written[pk].add(n)
    for pk, attempts, lease in Delivery.objects.values_list("pk", "attempts", "lease_id"):
        spent = set(range(1, attempts + 1 - bool(lease)))
        assert written[pk] >= spent, f"of {pk} {attempts} attempts are spent, and {written[pk]} on record"
    beyond = Attempt.objects.filter(n__gt=F("delivery__attempts"))
    assert not beyond.exists()


def _check_jobs() -> None:
    for job in ReplayJob.objects.all():
        done = job.replayed + job.skipped + job.content_expired
        assert done == job.total if job.state == ReplayJob.State.DONE else done <= job.total


def check_accepted(accepted: Collection[Accepted]) -> None:
    """Each recipient that got a 250 has one row, or one tombstone."""
    rows = Counter(Recipient.objects.values_list("message", "address"))
    names = {one: mailboxes_erase.recipient_name(*one) for one in accepted if not rows[one]}
    buried = tombstones.buried(mailboxes_erase.RECIPIENT, set(names.values()))
    assert set(names.values()) == buried, "a recipient is lost"
    assert Tombstone.objects.filter(of=mailboxes_erase.RECIPIENT).count() == len(names)
    assert max(rows.values(), default=1) == 1


def check_told(expected: Iterable[tuple[UUID, UUID]]) -> None:
    """Each of these emails has one delivery for that webhook, and one event; or it was erased, with all of them."""
    found = Counter(Delivery.objects.exclude(event__email=None).values_list("event__email", "webhook"))
    wrong = {pair: found[pair] for pair in expected if found[pair] != 1}
    left = {pair: count for pair, count in wrong.items() if count or not mailboxes_erase.was_erased(pair[0])}
    assert not left, f"not one delivery: {left}"


def counts() -> Counts:
    return {pk: Count(*rest) for pk, *rest in Delivery.objects.values_list("pk", "webhook", "generation", "attempts")}


def check_counts(before: Counts, now: Counts) -> None:
    """No delivery disappears unless it is erased, and no number goes down but by the one that a deferral hands back."""
    for pk, count in before.items():
        if pk not in now:
            assert erase.are_erased([pk], of=count.webhook), f"{pk} is lost"
            continue
        assert now[pk].generation >= count.generation
        assert now[pk].attempts >= count.attempts - 1


def let_time_pass(span: timedelta) -> None:
    """There is no clock to set: everything that is compared with it moves back."""
    Delivery.objects.filter(state__in=UNFINISHED).update(due_at=F("due_at") - span)
    Delivery.objects.exclude(deferred_since=None).update(deferred_since=F("deferred_since") - span)
    ReplayJob.objects.update(due_at=F("due_at") - span)
    for name in ("failing_since", "window_started_at", "open_until", "tokens_at"):
        WebhookHealth.objects.exclude(**{name: None}).update(**{name: F(name) - span})


def finish() -> None:
    """Everything is resumed, every receiver answers yes, every dispatcher but one is dead: nothing waits for nobody."""
    stop.start_outgoing(by="the test")
    Lease.objects.all().delete()
    process_waiting()
    for webhook in Webhook.objects.live().select_related("alias"):
        if not webhook.url:
            webhooks.update_webhook(webhook, url="http://127.0.0.1:9/")
        webhooks.resume_webhook(webhook)
    last = Dispatcher()
    for _ in range(ENOUGH):
        queue.take_over()
        queue.settle()
        replay_jobs.work_replays()
        if claimed := last.claim():
            last.record(claimed, answer())
        elif not can_go_out().exists() and not ReplayJob.objects.filter(state=ReplayJob.State.RUNNING).exists():
            break
        let_time_pass(timedelta(hours=25))
    left = can_go_out().values_list("state", "reason", "is_test", "lease_losses", "due_at", "webhook__state")
    assert not left, f"waits for nobody: {list(left)}"
    assert not Delivery.objects.filter(lease_id__isnull=False).exists()
    last.die()


def can_go_out() -> QuerySet[Delivery]:
    """Unfinished, and nobody has to confirm anything first; or nothing was ever there to send them to."""
    unfinished = Delivery.objects.filter(state__in=UNFINISHED)
    return unfinished.filter(Q(webhook__in=Webhook.objects.gone()) | CONFIRMED | Q(reason=KEPT_BACK))


def expected_of(email: Email) -> set[tuple[UUID, UUID]]:
    """The email and each webhook that has to hear of it now, reckoned from its recipients one by one."""
    wanted: set[UUID] = set()
    for webhook in Webhook.objects.filter(deleted_at=None):
        if Webhook.EventType.EMAIL_RECEIVED in webhook.events and _is_for(webhook, email):
            wanted.add(webhook.pk)
    return {(email.pk, webhook) for webhook in wanted}


def _is_for(webhook: Webhook, email: Email) -> bool:
    if webhook.mailbox_id:
        return webhook.mailbox_id == email.mailbox_id
    recipients = list(email.recipients.select_related("alias"))
    if webhook.alias_id:
        return any(recipient.alias_id == webhook.alias_id for recipient in recipients)
    named = {recipient.alias.domain_id if recipient.alias else email.mailbox.domain_id for recipient in recipients}
    return webhook.domain_id in named


def empty_tables() -> None:
    """For tests that need many empty databases: sooner than a flush, which also takes the keys' triggers away."""
    names = connection.introspection.django_table_names(only_existing=True, include_views=False)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA synchronous=OFF")  # no test here cuts the power
        with transaction.atomic():
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA defer_foreign_keys=ON")
            for name in names:
                if name.startswith(("webhooks_", "mailboxes_", "common_lease", "common_tombstone")):
                    cursor.execute(f"DELETE FROM {connection.ops.quote_name(name)}")
