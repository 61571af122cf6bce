"""What the page of a key says about its use."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apikeys import advice
from apikeys.models import ApiKey, KeyCalls, KeyMailboxUse, KeyRefusals, KeyScopeUse
from apikeys.services import create_api_key, revoke_api_key
from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from tests.apikeys.factories import make_key
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


def called(key: ApiKey, *, days_ago: int, family: str = "emails", status_class: int = 2, count: int = 1) -> None:
    day = in_days(-days_ago).date()
    KeyCalls.objects.create(api_key=key, day=day, family=family, status_class=status_class, count=count)


def used(key: ApiKey, *things: Scope | Mailbox, days_ago: int = 1) -> None:
    day = in_days(-days_ago).date()
    for thing in things:
        if isinstance(thing, Mailbox):
            KeyMailboxUse.objects.create(api_key=key, mailbox=thing, last_on=day)
        else:
            KeyScopeUse.objects.create(api_key=key, scope=thing, last_on=day)


def key_of(*scopes: Scope, mailboxes: list[Mailbox] | None = None, days: int = 40) -> ApiKey:
    """One that is in use for so many days."""
    key, _ = make_key(scopes=scopes, mailboxes=mailboxes)
    called(key, days_ago=days)
    return key


# --- what it never uses


def test_a_successor_needs_no_more_than_was_used_in_30_days() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    key = key_of(Scope.EMAILS_READ, Scope.EMAILS_CONTENT, Scope.DOMAINS_READ, mailboxes=[support, sales])
    used(key, Scope.EMAILS_READ, support)
    used(key, Scope.DOMAINS_READ, sales, days_ago=31)
    unused = advice.unused_parts(key)
    assert unused == advice.Unused(
        scopes=["domains:read", "emails:content"],
        mailboxes=[sales],
        kept_scopes=["emails:read"],
        kept_mailboxes=[support],
    )
    assert unused


def test_whose_reads_alone_were_used_needs_the_reads_alone() -> None:
    key = key_of(Scope.WEBHOOKS_WRITE)
    used(key, Scope.WEBHOOKS_READ)
    assert advice.unused_parts(key) == advice.Unused(scopes=["webhooks:write"], kept_scopes=["webhooks:read"])


def test_a_read_that_comes_with_a_write_is_not_unused() -> None:
    key = key_of(Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE)
    used(key, Scope.WEBHOOKS_WRITE)
    assert not advice.unused_parts(key)


def test_nothing_is_advised_before_30_days_of_use_or_of_a_key_that_does_nothing() -> None:
    fresh, idle = key_of(Scope.EMAILS_READ, Scope.DOMAINS_READ, days=29), key_of(Scope.EMAILS_READ)
    used(fresh, Scope.EMAILS_READ)
    assert (advice.unused_parts(fresh), advice.unused_parts(idle)) == (advice.Unused(), advice.Unused())


def test_a_key_that_never_asked_for_a_mailbox_keeps_its_allowlist() -> None:
    support = make_mailbox()
    key = key_of(Scope.DOMAINS_READ, mailboxes=[support])
    used(key, Scope.DOMAINS_READ)
    assert not advice.unused_parts(key)


# --- who calls


def test_refusals_are_told_by_reason_and_network_of_30_days() -> None:
    key, _ = make_key()
    now = timezone.now()
    for days_ago, reason, count in (
        (0, "key_revoked", 20),
        (1, "key_revoked", 7),
        (3, "rate_limited", 5),
        (40, "rate_limited", 9),
    ):
        KeyRefusals.objects.create(
            api_key=key,
            day=in_days(-days_ago).date(),
            reason=reason,
            network="192.0.2.0/24",
            count=count,
            last_at=now - timedelta(days=days_ago),
        )
    revoked = advice.Refusal("key_revoked", "192.0.2.0/24", 27, now)
    assert advice.refusals_of(key)[0] == revoked
    assert [refusal.calls for refusal in advice.refusals_of(key)] == [27, 5]


# --- a rotation


def test_the_meter_of_a_rotation_says_who_still_calls_with_the_old_key_and_when_nobody_does() -> None:
    old, _ = make_key()
    assert advice.cut_over(old) is None
    new, _ = create_api_key(
        name="CI", expires_at=in_days(30), scopes=[Scope.EMAILS_READ], mailboxes=None, rotated_from=old
    )
    called(old, days_ago=0, count=3)
    called(old, days_ago=1, family="webhooks", count=9)
    called(old, days_ago=2, count=100)
    ApiKey.objects.filter(pk=old.pk).update(
        last_used_at=timezone.now(), last_used_address="192.0.2.7", last_used_agent="curl/8"
    )
    meter = advice.cut_over(ApiKey.objects.get(pk=old.pk))
    assert meter is not None
    assert (meter.successor, meter.last_address, meter.last_agent) == (new, "192.0.2.7", "curl/8")
    assert meter.calls_by_family == [("webhooks", 9), ("emails", 3)]
    assert not meter.is_quiet

    newest, _ = create_api_key(
        name="CI", expires_at=in_days(30), scopes=[Scope.EMAILS_READ], mailboxes=None, rotated_from=old
    )
    meter = advice.cut_over(ApiKey.objects.get(pk=old.pk))
    assert meter
    assert meter.successor == newest
    revoke_api_key(newest)  # nobody is to move there any more

    later = in_days(1.01)
    meter = advice.cut_over(ApiKey.objects.get(pk=old.pk), now=later)
    assert meter is not None
    assert (meter.is_quiet, meter.is_safe_to_delete) == (True, False)  # nobody uses the new one either
    ApiKey.objects.filter(pk=new.pk).update(last_used_at=timezone.now())
    meter = advice.cut_over(ApiKey.objects.get(pk=old.pk), now=later)
    assert meter is not None
    assert meter.is_safe_to_delete
