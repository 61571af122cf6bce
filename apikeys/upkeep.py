"""What is done about keys now and then: ends that came by themselves go on record, people are told, and old counts go,
as do answers that were kept for who asks again.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from apikeys import notices, usage_store
from apikeys.models import ApiKey, KeyNotice
from emailgistics.common import audit, idempotency
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

AT_ONCE = 1000


def look_after(*, now: datetime | None = None) -> None:
    now = now or timezone.now()
    for step in (record_ends, notices.notice, notices.mail, usage_store.prune, idempotency.prune):
        try:
            step(now=now)
        except Exception:  # what one of them meets does not keep the others
            log.exception("apikeys.not_looked_after", step=step.__name__)


def record_ends(*, now: datetime) -> int:
    """Keys that have expired, or whose scheduled revocation has come: each once. Returns how many they were."""
    ended = Q(expires_at__lte=Now()) | Q(revoke_at__lte=Now())
    on_record = KeyNotice.objects.filter(api_key=OuterRef("pk"), kind=KeyNotice.Kind.ENDED)
    # one that somebody revoked is on record by that
    keys = ApiKey.objects.filter(ended, ~Exists(on_record), revoked_at=None).order_by("pk")
    return sum(_record_end(key, now=now) for key in keys[:AT_ONCE])


@transaction.atomic
def _record_end(key: ApiKey, *, now: datetime) -> bool:
    _, is_new = KeyNotice.objects.get_or_create(
        api_key=key, kind=KeyNotice.Kind.ENDED, defaults={"told_at": now, "mailed_at": now}
    )
    if is_new:
        is_by_plan = key.revoke_at is not None and key.revoke_at <= key.expires_at
        action, at = ("apikey.revoked", key.revoke_at) if is_by_plan else ("apikey.expired", key.expires_at)
        audit.record(action, of=key.identifier, by=audit.SYSTEM, at=at)
    return is_new
