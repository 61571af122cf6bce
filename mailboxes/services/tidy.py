"""What mail in leaves behind and nobody needs any longer: guards of long ago, old refusals, single counts.

Little by little, in transactions of their own: mail comes in meanwhile.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from emailgistics.common import series, tallies
from emailgistics.common.bulk import delete_little_by_little
from mailboxes.models import Refusal, RefusalCount, ResendGuard
from mailboxes.services import alias_imports, counted
from mailboxes.services.receive import RESEND_WINDOW


def tidy(*, now: datetime | None = None) -> int:
    """Once over everything; returns how many rows went."""
    now = now or timezone.now()
    kept_from = now - timedelta(days=settings.REFUSAL_DAYS)
    tallies.fold()
    counted.fold()
    return (
        delete_little_by_little(ResendGuard.objects.filter(accepted_at__lte=now - RESEND_WINDOW))
        + delete_little_by_little(Refusal.objects.filter(at__lt=kept_from))
        + delete_little_by_little(RefusalCount.objects.filter(hour__lt=kept_from))
        + alias_imports.forget_old()
        + series.prune(now - timedelta(days=settings.STATISTICS_DAYS))
    )
