"""Stopping all outgoing webhooks at once, for whoever has to find out what is going on first.

Nothing is lost by it: what is due stays due, and dispatchers ask before every claim.
"""

from django.db import transaction
from django.utils import timezone

from emailgistics.common.errors import ConflictError
from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import nudge
from emailgistics.common.text import within
from webhooks.models import OutgoingStop
from webhooks.services.fan_out import DISPATCH

log = get_logger(__name__)

RESUME_FIRST = (
    "The database was restored: an operator says with `manage.py resume` what is to become of what was on its way then."
)


def stop_outgoing(*, by: str, reason: str = "") -> OutgoingStop:
    """From now on no attempt starts; those under way end as they end. Who stopped first stays on record."""
    reason = within(reason, limit=200, field="reason")
    values = {"stopped_at": timezone.now(), "stopped_by": by[:200], "reason": reason}
    stop, is_new = OutgoingStop.objects.get_or_create(pk=1, defaults=values)
    if is_new:
        log.warning("webhooks.stopped", by=by, reason=reason)
    return stop


def start_outgoing(*, by: str) -> bool:
    """Lets attempts start again; False if nothing was stopped. Raises ConflictError after a restore: `restored.resume`
    comes first, or what was sent since the backup would go out once more.
    """
    if OutgoingStop.objects.filter(is_restore=True).exists():
        raise ConflictError(RESUME_FIRST)
    started = bool(OutgoingStop.objects.filter(is_restore=False).delete()[0])
    if started:
        log.warning("webhooks.started", by=by)
        transaction.on_commit(lambda: nudge(DISPATCH), robust=True)
    return started


def outgoing_stop() -> OutgoingStop | None:
    return OutgoingStop.objects.first()
