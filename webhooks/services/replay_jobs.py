"""Replays of a span of time, worked off in slices.

A job goes by the ids of the deliveries, and writes how far it is in the transaction that replays: whatever ends a
dispatcher, each delivery counts once. Two engines never work on one job at the same time, because its row is locked for
the length of a slice.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.errors import ConflictError, InvalidChoiceError, NotFoundError, OutOfRangeError
from emailgistics.common.logs import get_logger
from webhooks.models import Delivery, ReplayJob, Webhook
from webhooks.services.bodies import ContentExpiredError
from webhooks.services.replay import ENDED, MAILBOX_ALIVE, begin_again, nudge_after_commit, with_all

log = get_logger(__name__)

OF_STATES = ("failed", "delivered", "canceled", "expired", "all")
RATE_PER_MINUTE = 600
MAX_RATE_PER_MINUTE = 6000
MAX_RUNNING = 5  # of one webhook
AT_ONCE = 100  # deliveries of a slice: a transaction that nobody notices
EVERY = timedelta(seconds=5)  # a slow job goes on so often, unless one delivery takes longer
JOBS_AT_ONCE = 2  # slices at a time, in the thread that claims and records
AFTER_FAULT = timedelta(minutes=1)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)  # no delivery is older
AHEAD = timedelta(days=1)  # of now: what may still be chosen as an end
CLOCKS_DIFFER_BY = timedelta(days=1)  # of the hosts that made the ids, at most

State = ReplayJob.State


def start_replay(
    webhook: Webhook,
    *,
    since: datetime,
    until: datetime,
    of_state: str,
    by: str,
    mailbox_ids: Collection[UUID] | None = None,
    rate_per_minute: int = RATE_PER_MINUTE,
) -> ReplayJob:
    """Sends again what the webhook was sent, or was not, of deliveries made from since on and before until.

    of_state is one of OF_STATES: how they had ended. mailbox_ids: only mail of these, the allowlist of who asks; None
    is no limit. Tests are not sent again, nor is mail of a mailbox that was deleted. Raises RefusedError, with a field;
    ConflictError if too many are under way; NotFoundError for a deleted webhook.
    """
    now = timezone.now()
    since, until = _within_reach(since, now=now, field="since"), _within_reach(until, now=now, field="until")
    if of_state not in OF_STATES:
        raise InvalidChoiceError(f"status is one of {', '.join(OF_STATES)}.", field="status")
    if since >= until:
        raise OutOfRangeError(
            "until has to be later than since: make it later, or leave it out, which stands for now.", field="until"
        )
    if not 1 <= rate_per_minute <= MAX_RATE_PER_MINUTE:
        raise OutOfRangeError(f"rate_per_minute is from 1 to {MAX_RATE_PER_MINUTE}.", field="rate_per_minute")
    _refuse_one_more(webhook)
    job = ReplayJob(
        webhook=webhook,
        since=since,
        until=until,
        of_state=of_state,
        mailbox_ids=None if mailbox_ids is None else sorted(map(str, mailbox_ids)),
        rate_per_minute=rate_per_minute,
        due_at=now,
        created_by=by[:200],
        created_at=now,
    )
    # before the row is locked: a long history takes its time, and nobody is to wait for that
    job.total = _chosen(job).count()
    with transaction.atomic():
        # the row is locked so that of several that start at once not more than may be are under way
        rows = Webhook.objects.live().filter(pk=webhook.pk).select_for_update(of=("self",), no_key=True)
        if not rows:
            raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
        _refuse_one_more(webhook)
        job.save(force_insert=True)
        # the date by which it was counted decides about what ended meanwhile; saving gave it a later one
        ReplayJob.objects.filter(pk=job.pk).update(created_at=now, due_at=Now())
        nudge_after_commit()
    job.refresh_from_db()
    return job


def cancel_replay(job: ReplayJob, *, by: str) -> None:
    """What it has sent stays sent. job then shows what is stored. Raises ConflictError if it is done."""
    running = ReplayJob.objects.filter(pk=job.pk, state=State.RUNNING)
    if running.update(state=State.CANCELED, ended_at=Now()):
        log.info("replay.canceled", job=job.public_id, by=by)
    job.refresh_from_db()
    if job.state == State.DONE:
        raise ConflictError("This replay is done; there is nothing left to cancel.")


def work_replays() -> None:
    """One slice of each job that is due. The engine calls it about once a second."""
    due = ReplayJob.objects.filter(state=State.RUNNING, due_at__lte=Now()).order_by("due_at")
    # a plain read: no write lock on SQLite while nothing is to do
    for pk in list(due.values_list("pk", flat=True)[:JOBS_AT_ONCE]):
        try:
            with transaction.atomic():
                job = due.filter(pk=pk).select_for_update(skip_locked=True, of=("self",), no_key=True).first()
                if job is not None:
                    _work(job)
        except Exception:
            # others go on, and so does this one, later: what it had done in this slice is undone as a whole
            log.exception("replay.failed", job=str(pk))
            ReplayJob.objects.filter(pk=pk, state=State.RUNNING).update(due_at=Now() + AFTER_FAULT)


def _within_reach(at: datetime, *, now: datetime, field: str) -> datetime:
    """The same moment in UTC, in which databases keep it. Raises RefusedError."""
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # at the end of what a date can be, in another offset
        at = datetime.max.replace(tzinfo=UTC)
    if not EARLIEST <= at <= now + AHEAD:
        raise OutOfRangeError(f"{field} is from the year {EARLIEST.year} on, and not after tomorrow.", field=field)
    return at


def _refuse_one_more(webhook: Webhook) -> None:
    if ReplayJob.objects.filter(webhook=webhook, state=State.RUNNING).count() >= MAX_RUNNING:
        raise ConflictError(f"{MAX_RUNNING} replays of this webhook are under way; wait for one, or cancel it.")


def _work(job: ReplayJob) -> None:
    if not Webhook.objects.live().filter(pk=job.webhook_id).exists():
        ReplayJob.objects.filter(pk=job.pk).update(state=State.CANCELED, ended_at=Now())
        return
    size = max(1, min(AT_ONCE, int(job.rate_per_minute * EVERY / timedelta(minutes=1))))
    # what somebody else changes is waited for, not passed over: no other slice would come back to it
    slice_ = list(with_all(_left(job)).order_by("id").select_for_update(of=("self",), no_key=True)[:size])
    for delivery in slice_:
        try:
            if begin_again(delivery, by=job.created_by):
                job.replayed += 1
            else:
                job.skipped += 1
        except ContentExpiredError:
            job.content_expired += 1
        except ConflictError:  # its mailbox was deleted this moment
            job.skipped += 1
    if slice_:
        job.last_delivery_id = slice_[-1].pk
        nudge_after_commit()
    _write(job, is_done=not _left(job).exists(), pause=timedelta(minutes=1) * len(slice_) / job.rate_per_minute)


def _write(job: ReplayJob, *, is_done: bool, pause: timedelta) -> None:
    if is_done:
        # what was on its way again by the time it came to it is no longer among those that had ended so
        job.skipped = max(job.skipped, job.total - job.replayed - job.content_expired)
        job.total = job.replayed + job.skipped + job.content_expired
    ReplayJob.objects.filter(pk=job.pk).update(
        replayed=job.replayed,
        skipped=job.skipped,
        content_expired=job.content_expired,
        total=job.total,
        last_delivery_id=job.last_delivery_id,
        due_at=Now() + pause,
        **({"state": State.DONE, "ended_at": Now()} if is_done else {}),
    )


def _left(job: ReplayJob) -> QuerySet[Delivery]:
    rows = _chosen(job)
    return rows if job.last_delivery_id is None else rows.filter(pk__gt=job.last_delivery_id)


def _chosen(job: ReplayJob) -> QuerySet[Delivery]:
    """What had ended so when the job was made."""
    rows = Delivery.objects.filter(
        MAILBOX_ALIVE,
        webhook_id=job.webhook_id,
        is_test=False,
        created_at__gte=job.since,
        created_at__lt=job.until,
        # so that the index leads there, and no further
        pk__gte=_earliest_id(job.since - CLOCKS_DIFFER_BY),
        pk__lt=_earliest_id(job.until + CLOCKS_DIFFER_BY),
        state__in=ENDED if job.of_state == "all" else [job.of_state],
    )
    # what has failed or arrived since then is none of it: it was not counted
    rows = rows.filter(Q(last_attempt_at=None) | Q(last_attempt_at__lte=job.created_at))
    if job.mailbox_ids is not None:
        rows = rows.filter(Q(event__email=None) | Q(event__email__mailbox__in=job.mailbox_ids))
    return rows


def _earliest_id(at: datetime) -> UUID:
    """Sorts before every UUIDv7 that was made from then on (RFC 9562 section 5.7)."""
    return UUID(int=max(0, int(at.timestamp() * 1000)) << 80)
