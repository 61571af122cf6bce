"""What usage says about a key: who calls with it, what it never uses, whether anybody still needs the old one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Q, Sum
from django.utils import timezone

from apikeys.authentication import widen
from apikeys.models import ApiKey, KeyRefusals
from apikeys.rotation import successors_in_force
from mailboxes.models import Mailbox

LOOKED_AT = timedelta(days=30)
QUIET_FOR = timedelta(hours=24)
ENDED = ("key_revoked", "key_expired")  # reasons of refusals that come of its end


@dataclass(frozen=True, slots=True)
class Refusal:
    """Calls that were refused for one reason, and from where. `network` may be "elsewhere", or empty."""

    reason: str
    network: str
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Unused:
    """What a narrower successor would do without. False when there is nothing to advise."""

    scopes: Sequence[str] = ()  # of the key's own that it did not use
    mailboxes: Sequence[Mailbox] = ()
    # what the successor would have
    kept_scopes: Sequence[str] = ()
    kept_mailboxes: Sequence[Mailbox] | None = None  # None: all mailboxes, as the key

    def __bool__(self) -> bool:
        return bool(self.scopes or self.mailboxes)


@dataclass(frozen=True, slots=True)
class CutOver:
    """Who still calls with a key that has a successor."""

    successor: ApiKey
    last_call: datetime | None  # of the old key
    last_address: str | None
    last_agent: str
    calls_by_family: Sequence[tuple[str, int]]  # of today and yesterday, in UTC; the most first
    is_quiet: bool  # no call for 24 hours, and the successor was there all that time

    @property
    def is_safe_to_delete(self) -> bool:
        return self.is_quiet and self.successor.last_used_at is not None


def refusals_of(key: ApiKey, *, now: datetime | None = None) -> list[Refusal]:
    """By reason and network, the most recent first: those of 30 days, and all that came of its end."""
    since = ((now or timezone.now()) - LOOKED_AT).date()
    rows = KeyRefusals.objects.filter(Q(day__gte=since) | Q(reason__in=ENDED), api_key=key).values("reason", "network")
    found = rows.annotate(calls=Sum("count"), last=Max("last_at")).order_by("-last")
    return [Refusal(row["reason"], row["network"], row["calls"], row["last"]) for row in found]


def unused_parts(key: ApiKey, *, now: datetime | None = None) -> Unused:
    """Scopes and mailboxes that it did not use in the last 30 days, once it has been in use for longer.

    Nothing for a key that did nothing at all: what it needs is no successor. Write includes read, so a read that comes
    with a used write is not unused; and whose reads alone were used needs the reads alone.
    """
    since = ((now or timezone.now()) - LOOKED_AT).date()
    if not key.calls.filter(day__lte=since).exists():
        return Unused()
    used = set(key.scope_uses.filter(last_on__gt=since).values_list("scope", flat=True))
    kept = used & {str(scope) for scope in widen(key.scopes)}
    if not kept:
        return Unused()
    covered = {str(scope) for scope in widen(kept)}
    scopes = [scope for scope in key.scopes if scope not in covered]
    if key.all_mailboxes:
        return Unused(scopes=scopes, kept_scopes=sorted(kept))
    allowed = list(key.mailboxes.live().select_related("domain").order_by("pk"))
    in_use = set(key.mailbox_uses.filter(last_on__gt=since).values_list("mailbox", flat=True))
    kept_mailboxes = [mailbox for mailbox in allowed if mailbox.pk in in_use]
    if not kept_mailboxes:  # an allowlist is never empty
        return Unused(scopes=scopes, kept_scopes=sorted(kept), kept_mailboxes=allowed)
    unused = [mailbox for mailbox in allowed if mailbox.pk not in in_use]
    return Unused(scopes=scopes, mailboxes=unused, kept_scopes=sorted(kept), kept_mailboxes=kept_mailboxes)


def cut_over(key: ApiKey, *, now: datetime | None = None) -> CutOver | None:
    """How far a rotation is: None for a key without a successor in force. Of several the newest counts."""
    now = now or timezone.now()
    successors = successors_in_force(key)
    if not successors:
        return None
    successor = successors[0]
    yesterday = (now - timedelta(days=1)).date()
    rows = key.calls.filter(day__gte=yesterday).values_list("family")
    is_silent = key.last_used_at is None or key.last_used_at <= now - QUIET_FOR
    return CutOver(
        successor=successor,
        last_call=key.last_used_at,
        last_address=key.last_used_address,
        last_agent=key.last_used_agent,
        calls_by_family=list(rows.annotate(calls=Sum("count")).order_by("-calls", "family")),
        is_quiet=is_silent and successor.created_at <= now - QUIET_FOR,
    )
