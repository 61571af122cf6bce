"""What mail in leaves behind and nobody needs any longer: guards of long ago, old refusals, single counts.

Little by little, in transactions of their own: mail comes in meanwhile.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils import timezone

from emailgistics.common import tallies
from mailboxes.models import Refusal, RefusalCount, ResendGuard
from mailboxes.services.receive import RESEND_WINDOW

AT_ONCE = 1000


def tidy(*, now: datetime | None = None) -> int:
    """Once over everything; returns how many rows went."""
    now = now or timezone.now()
    kept_from = now - timedelta(days=settings.REFUSAL_DAYS)
    tallies.fold()
    return (
        _delete(ResendGuard.objects.filter(accepted_at__lte=now - RESEND_WINDOW))
        + _delete(Refusal.objects.filter(at__lt=kept_from))
        + _delete(RefusalCount.objects.filter(hour__lt=kept_from))
    )


def _delete(rows: QuerySet[Model]) -> int:
    gone = 0
    while some := list(rows.order_by().values_list("pk", flat=True)[:AT_ONCE]):
        rows.filter(pk__in=some).delete()
        gone += len(some)
    return gone
