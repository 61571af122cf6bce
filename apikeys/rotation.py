"""A new key in the place of another: nothing about a key ever changes, so what uses it moves to the next one."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum

from django.contrib.auth.models import User
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy

from apikeys.models import ApiKey
from apikeys.services import create_api_key, lock_in_force, revoke_api_key, schedule_revocation
from emailgistics.common.access import Scope
from emailgistics.common.errors import RefusedError
from mailboxes.models import Mailbox


class OldEnds(models.TextChoices):
    """What becomes of the key that is replaced."""

    NOW = "now", gettext_lazy("now")
    IN_1_HOUR = "1h", gettext_lazy("in 1 hour")
    IN_24_HOURS = "24h", gettext_lazy("in 24 hours")
    IN_7_DAYS = "7d", gettext_lazy("in 7 days")
    STAYS = "stays", gettext_lazy("when it expires")


OVERLAPS = {
    OldEnds.IN_1_HOUR: timedelta(hours=1),
    OldEnds.IN_24_HOURS: timedelta(hours=24),
    OldEnds.IN_7_DAYS: timedelta(days=7),
}


class Same(Enum):
    """The mailboxes of the old key: its list, without those that are deleted; or all of them, also future ones."""

    AS_BEFORE = "as before"


def rotate_api_key(
    old: ApiKey,
    *,
    expires_at: datetime,
    old_ends: str,
    name: str | None = None,
    scopes: Iterable[Scope] | None = None,
    mailboxes: Sequence[Mailbox] | Same | None = Same.AS_BEFORE,
    networks: Iterable[str] | None = None,
    by: User | None = None,
    address: str | None = None,
) -> tuple[ApiKey, str]:
    """The new key and its plaintext. What is not given is the old one's, its plan and own limits too.

    The old one is made to end, as one of OldEnds says, in the same transaction, never later than it would have ended
    anyway. Raises RefusedError, with the field; KeyEndedError if the old one ended, even while this was on its way.
    """
    when = parse_old_ends(old_ends)
    with transaction.atomic():
        locked = lock_in_force(old)
        new, plaintext = create_api_key(
            name=locked.name if name is None else name,
            expires_at=expires_at,
            scopes=_known(locked.scopes) if scopes is None else scopes,
            mailboxes=_mailboxes_of(locked) if isinstance(mailboxes, Same) else mailboxes,
            networks=locked.networks if networks is None else networks,
            plan=locked.rate_plan,
            rotated_from=locked,
            created_by=by,
            address=address,
        )
        if locked.own_limits is not None:
            new.own_limits = locked.own_limits
            new.save(update_fields=["own_limits"])
        _end(locked, when, now=timezone.now(), by=by, address=address, reason=f"replaced by {new.identifier}")
    old.refresh_from_db()
    return new, plaintext


def successors_in_force(key: ApiKey) -> list[ApiKey]:
    """The newest first. More than one if it was rotated again: each opens what it opens until it is ended itself."""
    return list(key.successors.in_force().order_by("-pk"))


def parse_old_ends(text: str) -> OldEnds:
    """Raises RefusedError, with field old_ends."""
    try:
        return OldEnds(text)
    except ValueError as error:
        raise RefusedError(f"The old key ends {', '.join(OldEnds.values)}.", field="old_ends") from error


def _end(key: ApiKey, when: OldEnds, *, now: datetime, by: User | None, address: str | None, reason: str) -> None:
    if when is OldEnds.NOW:
        revoke_api_key(key, by=by, reason=reason, address=address)
    elif when in OVERLAPS:
        at = now + OVERLAPS[when]
        # it ends sooner as it is: nothing lengthens that
        if at < key.expires_at and (key.revoke_at is None or at < key.revoke_at):
            schedule_revocation(key, at=at, by=by, reason=reason, address=address)


def _known(names: Iterable[str]) -> list[Scope]:
    # one that was taken out of the registry opened nothing any more
    return [Scope(name) for name in names if name in Scope.values]


def _mailboxes_of(key: ApiKey) -> list[Mailbox] | None:
    return None if key.all_mailboxes else list(key.mailboxes.live().order_by("pk"))
