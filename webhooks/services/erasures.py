"""Erasing the mail of mailboxes that were deleted with it: little by little, beside the sending.

Each email goes in a transaction of its own, in which its job counts it: whatever ends a dispatcher, each counts once,
and what is left is what there still is. Two dispatchers may work on one job: its row says whose turn it is.

One that cannot be erased does not keep the others: it is passed over, and tried again in a further round.
"""

import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Now

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes.models import Email, ErasureJob
from mailboxes.services import erase
from webhooks.services.erase import erase_news

log = get_logger(__name__)

SLICE = timedelta(milliseconds=200)  # of each second, in the thread that claims and records
JOBS_AT_ONCE = 5
AFTER_FAULT = timedelta(minutes=1)  # of the database, or of some emails: until the next round
ROUNDS = 3
NAMED = 100  # of what failed


def work_erasures() -> None:
    """One slice, of the jobs that have waited longest. The engine calls it about once a second."""
    due = ErasureJob.objects.running().filter(due_at__lte=Now()).order_by("due_at")
    until = time.monotonic() + SLICE.total_seconds()
    # a plain read: no write lock on SQLite while nothing is to do
    for pk in list(due.values_list("pk", flat=True)[:JOBS_AT_ONCE]):
        try:
            while _erase_one(pk) and time.monotonic() < until:
                pass
        except Exception:
            # others go on, and so does this one, later
            log.exception("erasure.failed", job=str(pk))
            ErasureJob.objects.running().filter(pk=pk).update(due_at=Now() + AFTER_FAULT)
        else:
            # others have waited longer now
            ErasureJob.objects.running().filter(pk=pk, due_at__lte=Now()).update(due_at=Now())


@dataclass(frozen=True, slots=True)
class _Failure:
    email: UUID
    before: UUID | None  # the job's position
    kind: str


class _PassedOverError(Exception):
    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


def _erase_one(pk: UUID) -> bool:
    """False: there is nothing more to do of it now. One email a transaction, as `erase_email` locks."""
    try:
        return _erase_next(pk)
    except _PassedOverError as error:
        log.exception("erasure.email_failed", job=str(pk), email=encode_id(Email.ID_PREFIX, error.failure.email))
        _pass_over(pk, error.failure)
        return True


def _erase_next(pk: UUID) -> bool:
    with transaction.atomic(durable=True):
        rows = ErasureJob.objects.running().filter(pk=pk)
        job = rows.select_for_update(skip_locked=True, of=("self",), no_key=True).first()
        if job is None:
            return False
        left = job.emails().order_by("pk").values_list("pk", flat=True)
        if job.position is not None:
            left = left.filter(pk__gt=job.position)
        following = left.first()
        if following is None:
            _end_round(job)
            return False
        try:
            email = erase.hold_email(following)
            if email is not None:  # else somebody else has erased it this moment
                erase_news(email, by=job.created_by)
                erase.erase_held(email, by=job.created_by)
                rows.update(erased=F("erased") + 1, position=following)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            raise _PassedOverError(_Failure(following, job.position, type(error).__name__)) from error
    return True


def _pass_over(pk: UUID, failure: _Failure) -> None:
    """After what was begun of it is undone. Of two dispatchers that failed with it, one counts it."""
    with transaction.atomic(durable=True):
        rows = ErasureJob.objects.running().filter(pk=pk, position=failure.before)
        job = rows.select_for_update(of=("self",), no_key=True).first()
        if job is None:
            return
        named = [encode_id(Email.ID_PREFIX, failure.email), failure.kind]
        failures = [*job.failures, named] if len(job.failures) < NAMED else job.failures
        rows.update(position=failure.email, failed=F("failed") + 1, failures=failures)


def _end_round(job: ErasureJob) -> None:
    """What is left is tried again, but not for ever. Its row is held."""
    rows = ErasureJob.objects.running().filter(pk=job.pk)
    left = job.emails().count() if job.failed else 0
    if job.failed == 0 and job.emails().exists():  # it came meanwhile, with an id of before
        rows.update(position=None)
    elif not left:
        rows.update(state=ErasureJob.State.DONE, ended_at=Now(), total=F("erased"), failed=0, failures=[])
        log.info("erasure.done", job=job.public_id, emails=job.erased)
    elif job.rounds + 1 < ROUNDS:
        later = {"due_at": Now() + AFTER_FAULT}
        rows.update(position=None, rounds=F("rounds") + 1, failed=0, failures=[], **later)
    else:
        ended = {"state": ErasureJob.State.FAILED_IN_PART, "ended_at": Now(), "total": F("erased") + left}
        rows.update(failed=left, **ended)
        log.error("erasure.failed_in_part", job=job.public_id, emails=job.erased, failed=left)
