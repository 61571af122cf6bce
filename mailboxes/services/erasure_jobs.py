"""Jobs that erase the mail of what was deleted: beginning and canceling. `webhooks.services.erasures` works them off.

What stands on emails goes first, and that is above us.
"""

from datetime import datetime

from django.db.models.functions import Now

from emailgistics.common.access import Actor
from emailgistics.common.errors import ConflictError
from emailgistics.common.logs import get_logger
from mailboxes.models import Domain, ErasureJob, Mailbox

log = get_logger(__name__)

BY_LENGTH = 200


def begin(*, of: Domain | Mailbox, deleted_at: datetime, by: Actor) -> ErasureJob:
    """In the transaction that deletes it."""
    owner = {"domain": of} if isinstance(of, Domain) else {"mailbox": of}
    job = ErasureJob(
        **owner,
        deleted_at=deleted_at,
        key_id=by.key_id,
        created_by=by.name[:BY_LENGTH],
        created_at=deleted_at,
        due_at=deleted_at,
        total=0,
    )
    job.total = job.emails().count()
    job.save(force_insert=True)
    return job


def cancel(job: ErasureJob, *, by: str) -> None:
    """What is erased stays erased; the rest stays until its retention ends. job then shows what is stored.

    Raises ConflictError if it is done.
    """
    if ErasureJob.objects.running().filter(pk=job.pk).update(state=ErasureJob.State.CANCELED, ended_at=Now()):
        log.info("erasure.canceled", job=job.public_id, by=by)
    job.refresh_from_db()
    if job.state == ErasureJob.State.DONE:
        raise ConflictError("The mail is erased; there is nothing left to cancel.")
    if job.state == ErasureJob.State.FAILED_IN_PART:
        raise ConflictError("It has ended; there is nothing left to cancel.")


def try_again(job: ErasureJob, *, by: str) -> None:
    """What could not be erased is tried again. job then shows what is stored. Raises ConflictError for another one."""
    rows = ErasureJob.objects.filter(pk=job.pk, state=ErasureJob.State.FAILED_IN_PART)
    begun: dict[str, object] = {
        "state": ErasureJob.State.RUNNING,
        "position": None,
        "rounds": 0,
        "failed": 0,
        "failures": [],
    }
    if rows.update(**begun, ended_at=None, due_at=Now()):
        log.info("erasure.again", job=job.public_id, by=by)
    job.refresh_from_db()
    if job.state != ErasureJob.State.RUNNING:
        raise ConflictError("It did not fail, so there is nothing to try again.")
