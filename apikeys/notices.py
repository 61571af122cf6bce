"""What system administrators are told of keys: that one is about to expire, is old, or is not used.

Each kind is told once for each key: its row is what the console shows, and what an e-mail tells of. Who sends holds
the rows for a while, and nothing is locked meanwhile. An e-mail that could not be sent is tried again; one whose
sender was killed between sending it and writing that down comes twice.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apikeys.models import IDLE, ApiKey, KeyNotice
from apikeys.words import day, instant
from emailgistics.common.access import system_administrators
from emailgistics.common.ids import uuid7
from emailgistics.common.logs import get_logger

log = get_logger(__name__)

Kind = KeyNotice.Kind

EXPIRY = {Kind.EXPIRES_IN_1: 1, Kind.EXPIRES_IN_7: 7, Kind.EXPIRES_IN_14: 14, Kind.EXPIRES_IN_30: 30}  # days, rising
OLD = timedelta(days=90)
NEWS_FOR = timedelta(days=7)  # after that a notice is no news, and no e-mail tells of it any more
CLAIM_FOR = timedelta(minutes=10)  # longer than a task can take; so long it also waits after a failure
AT_MOST = 200  # notices in one e-mail
COUNTING = "0004_usage_networks_schedule"  # the migration since which use is counted


def notice(*, now: datetime | None = None) -> int:
    """Writes down what is to be told by now; returns how many notices are new. Twice is as good as once."""
    now = now or timezone.now()
    keys = list(ApiKey.objects.in_force().filter(_may_be_due(now)).order_by("pk"))
    if not keys:
        return 0
    counted = counted_since()
    due = [
        KeyNotice(api_key=key, kind=kind, told_at=now)
        for key in keys
        for kind in kinds_of(key, now=now, counted=counted)
    ]
    known = set(KeyNotice.objects.filter(api_key__in={row.api_key for row in due}).values_list("api_key", "kind"))
    new = _without_those_that_a_nearer_one_tells(row for row in due if (row.api_key_id, row.kind) not in known)
    # somebody else may be at it: what is there already stays
    KeyNotice.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def kinds_of(key: ApiKey, *, now: datetime, counted: datetime) -> list[Kind]:
    """What holds of a key in force, the most urgent first; of its expiry, only what its life is longer than.

    counted is `counted_since`.
    """
    kinds = []
    if key.revoke_at is None:  # one that ends sooner on purpose is awaited by nobody
        lifetime, left = key.expires_at - key.created_at, key.expires_at - now
        kinds = [kind for kind, days in EXPIRY.items() if left <= timedelta(days=days) < lifetime]
    if key.created_at <= now - OLD:
        kinds.append(Kind.AGED_90)
    if is_idle(key, now=now, counted=counted):
        kinds.append(Kind.UNUSED_60)
    return kinds


def is_idle(key: ApiKey, *, now: datetime, counted: datetime) -> bool:
    """Not used for a while, as far as it was counted then."""
    since = key.last_used_at or key.created_at
    return since <= now - IDLE and (key.last_used_at is not None or counted <= now - IDLE)


def counted_since() -> datetime:
    """When this installation began to count what keys are used for."""
    applied: datetime = MigrationRecorder.Migration.objects.get(app="apikeys", name=COUNTING).applied
    return applied


def _may_be_due(now: datetime) -> Q:
    """Most keys are neither; the rest is looked at one by one."""
    furthest = timedelta(days=max(EXPIRY.values()))
    return Q(expires_at__lte=now + furthest) | Q(created_at__lte=now - min(OLD, IDLE))


def _without_those_that_a_nearer_one_tells(notices: Iterable[KeyNotice]) -> list[KeyNotice]:
    """Of a key's notices about its expiry only the nearest is news; the others count as told, and as mailed."""
    told, kept = set(), []
    for row in notices:
        if row.kind in EXPIRY:
            if row.api_key_id in told:
                row.mailed_at = row.told_at
            told.add(row.api_key_id)
        kept.append(row)
    return kept


# --- what the console shows


def shown_for(key: ApiKey, *, now: datetime) -> list[str]:
    """What is to be said of the key on its page, for as long as it holds; nothing of one that has ended."""
    if key.standing(now) in (ApiKey.Standing.EXPIRED, ApiKey.Standing.REVOKED):
        return []
    kinds = kinds_of(key, now=now, counted=counted_since())
    expiry = [kind for kind in kinds if kind in EXPIRY][:1]
    return [text_of(kind, key) for kind in (*expiry, *(kind for kind in kinds if kind not in EXPIRY))]


def text_of(kind: str, key: ApiKey) -> str:
    if kind in EXPIRY:
        return _("It ends at %(instant)s. Rotate it before, and change what uses it.") % {
            "instant": instant(key.expires_at)
        }
    if kind == Kind.AGED_90:
        return _("It was made on %(day)s. Rotate keys every 90 days, so that an old copy of one is worth nothing.") % {
            "day": day(key.created_at)
        }
    if key.last_used_at is None:
        return _("It was made on %(day)s and never used. If nothing needs it, delete it.") % {
            "day": day(key.created_at)
        }
    return _("It was last used on %(day)s. If nothing needs it any more, delete it.") % {"day": day(key.last_used_at)}


# --- e-mail


def mail(*, now: datetime | None = None) -> int:
    """One e-mail to all system administrators that have an address; returns how many notices it told of."""
    now = now or timezone.now()
    to = sorted(set(system_administrators().exclude(email="").values_list("email", flat=True)))
    if not (settings.EMAIL_URL and to):
        return 0
    claim = uuid7()
    notices = _claimed(claim, now=now)
    if not notices:
        return 0
    try:
        EmailMessage(subject_of(notices), body_of(notices), to=to).send()
    except OSError as error:  # of a socket, or what the mail server refused
        log.warning("apikeys.notices_not_mailed", count=len(notices), error=type(error).__name__)
        return 0
    KeyNotice.objects.filter(claim=claim).update(mailed_at=now)
    log.info("apikeys.notices_mailed", count=len(notices), people=len(to))
    return len(notices)


def _claimed(claim: UUID, *, now: datetime) -> Sequence[KeyNotice]:
    """What is to be mailed, held by one UPDATE: somebody else who is at it gets nothing of it."""
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    waiting = KeyNotice.objects.standing(now=now).filter(free, mailed_at=None, told_at__gt=now - NEWS_FOR)
    ids = list(waiting.order_by("pk").values_list("pk", flat=True)[:AT_MOST])
    if not ids:
        return ()
    KeyNotice.objects.filter(free, pk__in=ids, mailed_at=None).update(claim=claim, claimed_until=now + CLAIM_FOR)
    claimed = KeyNotice.objects.filter(claim=claim).select_related("api_key")
    return list(claimed.order_by("api_key__expires_at", "pk"))


def subject_of(notices: Sequence[KeyNotice]) -> str:
    count = len({notice.api_key_id for notice in notices})
    told = ngettext("Emailgistics: an API key needs a look", "Emailgistics: %(count)s API keys need a look", count)
    return told % {"count": count}


def body_of(notices: Sequence[KeyNotice]) -> str:
    """Names and identifiers of keys, dates, and where they are looked at: no secrets, no mailboxes."""
    told = [
        f"{notice.api_key.name} ({notice.api_key.identifier}) {notice.get_kind_display()}.\n"
        f"{text_of(notice.kind, notice.api_key)}\n"
        f"{settings.BASE_URL}{reverse('admin:apikeys_apikey_change', args=[notice.api_key_id])}\n"
        for notice in notices
    ]
    return "\n".join([*told, _("Each of these is told once.")]) + "\n"
