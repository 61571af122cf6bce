"""A revocation that is scheduled, and a key that takes another's place."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from apikeys.authentication import lookup
from apikeys.models import ApiKey
from apikeys.rotation import OldEnds, rotate_api_key
from apikeys.services import KeyEndedError, revoke_api_key, schedule_revocation
from emailgistics.common.access import Scope
from emailgistics.common.errors import RefusedError
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_expired_key, make_key
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


def status_of(plaintext: str) -> int:
    return client_of(plaintext).get("/v1/me").status_code


def make_person() -> User:
    return User.objects.create_user("ada")


# --- scheduled


def test_a_revocation_is_scheduled_moved_and_called_off_while_it_is_ahead() -> None:
    key, plaintext = make_key()
    ada = make_person()
    for at in (in_days(2), in_days(1), in_days(3)):
        schedule_revocation(key, at=at, by=ada, reason="leaves")
        assert (key.revoke_at, key.revoked_at, key.revoked_by, key.revoke_reason) == (at, None, ada, "leaves")
    assert status_of(plaintext) == 200
    schedule_revocation(key, at=None, by=ada)
    stored = ApiKey.objects.get(pk=key.pk)
    assert (stored.revoke_at, stored.revoked_by, stored.revoke_reason) == (None, None, "")


@pytest.mark.parametrize("days", [-1, -0.0001])
def test_what_is_not_ahead_is_no_schedule(days: float) -> None:
    key, _ = make_key()
    schedule_revocation(key, at=in_days(1))
    with pytest.raises(RefusedError, match="revoke it") as refusal:
        schedule_revocation(key, at=in_days(days))
    assert refusal.value.field == "revoke_at"
    assert ApiKey.objects.get().revoke_at == key.revoke_at


def make_ended(how: str) -> tuple[ApiKey, str]:
    key, plaintext = make_expired_key() if how == "expired" else make_key()
    if how == "revoked":
        revoke_api_key(ApiKey.objects.get(pk=key.pk))  # behind the back of whoever holds `key`
    elif how == "scheduled":
        ApiKey.objects.filter(pk=key.pk).update(revoke_at=in_days(-1))
    return key, plaintext


ENDED = pytest.mark.parametrize("how", ["revoked", "expired", "scheduled"])


@ENDED
@pytest.mark.parametrize("days", [1, None])
def test_an_end_that_has_come_is_neither_moved_nor_called_off(how: str, days: int | None) -> None:
    key, _ = make_ended(how)
    before = list(ApiKey.objects.values())
    with pytest.raises(KeyEndedError, match="has ended"):
        schedule_revocation(key, at=None if days is None else in_days(days))
    assert list(ApiKey.objects.values()) == before


def test_revoking_a_scheduled_key_ends_it_now() -> None:
    key, plaintext = make_key()
    schedule_revocation(key, at=in_days(7), reason="leaves")
    revoke_api_key(key, by=make_person(), reason="left in a chat")
    assert status_of(plaintext) == 401
    assert (key.revoke_reason, key.standing(in_days(0))) == ("left in a chat", ApiKey.Standing.REVOKED)
    assert key.revoked_at is not None
    assert key.revoked_at <= in_days(0)


# --- rotated


def test_the_new_key_is_as_the_old_one_but_for_what_is_said() -> None:
    support, gone = make_mailbox(), make_mailbox(address="gone@example.com")
    scopes = [Scope.EMAILS_READ, Scope.EMAILS_CONTENT]
    old, old_plaintext = make_key(
        name="Zapier", mailboxes=[support, gone], scopes=scopes, networks=["127.0.0.0/8"], plan="enterprise"
    )
    limits = {"minute": 5, "hour": 50, "day": 500}
    ApiKey.objects.update(own_limits=limits)
    provision.delete_mailbox(gone)
    ends, ada = in_days(90), make_person()
    new, plaintext = rotate_api_key(old, expires_at=ends, old_ends="stays", by=ada)
    new.refresh_from_db()
    assert (new.name, new.scopes, new.networks) == ("Zapier", ["emails:content", "emails:read"], ["127.0.0.0/8"])
    assert (new.rate_plan, new.own_limits, new.expires_at) == ("enterprise", limits, ends)
    assert (new.rotated_from, new.created_by, list(new.mailboxes.all())) == (old, ada, [support])
    assert (old.revoke_at, old.revoked_at) == (None, None)
    assert new.identifier != old.identifier
    assert lookup(new.identifier, plaintext).principal.mailbox_ids == {support.pk}
    assert status_of(plaintext) == status_of(old_plaintext) == 200

    narrower, _ = rotate_api_key(
        new, expires_at=ends, old_ends="stays", name="Make", scopes=[Scope.EMAILS_READ], mailboxes=None, networks=[]
    )
    assert (narrower.name, narrower.scopes, narrower.networks) == ("Make", ["emails:read"], [])
    assert narrower.all_mailboxes
    assert rotate_api_key(narrower, expires_at=ends, old_ends="stays")[0].all_mailboxes


def test_the_old_key_ends_at_once_if_that_is_said() -> None:
    old, old_plaintext = make_key()
    new, plaintext = rotate_api_key(old, expires_at=in_days(90), old_ends="now", by=make_person())
    assert (status_of(old_plaintext), status_of(plaintext)) == (401, 200)
    assert old.revoked_by is not None
    assert old.revoke_reason == f"replaced by {new.identifier}"


@pytest.mark.parametrize(("when", "overlap"), [
    ("1h", timedelta(hours=1)), ("24h", timedelta(hours=24)), ("7d", timedelta(days=7)),
])  # fmt: skip
def test_the_old_key_goes_on_for_as_long_as_is_said(when: str, overlap: timedelta) -> None:
    old, plaintext = make_key()
    before = in_days(0)
    new, _ = rotate_api_key(old, expires_at=in_days(90), old_ends=when)
    assert old.revoke_at is not None
    assert before + overlap <= old.revoke_at <= in_days(0) + overlap
    assert (old.revoked_at, old.revoke_reason) == (None, f"replaced by {new.identifier}")
    assert status_of(plaintext) == 200


@pytest.mark.parametrize("scheduled", [True, False])
def test_rotation_never_lengthens_the_life_of_the_old_key(scheduled: bool) -> None:
    soon = in_days(0.5)
    old, _ = make_key(expires_at=in_days(30) if scheduled else soon)
    if scheduled:
        schedule_revocation(old, at=soon, reason="leaves")
    for when in ("7d", "24h", "stays"):
        rotate_api_key(old, expires_at=in_days(90), old_ends=when)
        assert (old.revoke_at, old.revoke_reason) == ((soon, "leaves") if scheduled else (None, ""))
    rotate_api_key(old, expires_at=in_days(90), old_ends="1h")
    assert old.revoke_at is not None
    assert old.revoke_at < soon


@ENDED
@pytest.mark.parametrize("when", OldEnds.values)
def test_an_ended_key_is_not_rotated(how: str, when: str) -> None:
    key, _ = make_ended(how)
    before = list(ApiKey.objects.values())
    with pytest.raises(KeyEndedError, match="make a new one"):
        rotate_api_key(key, expires_at=in_days(90), old_ends=when)
    assert list(ApiKey.objects.values()) == before


@pytest.mark.parametrize(("change", "field"), [
    ({"old_ends": "later"}, "old_ends"), ({"expires_at": in_days(-1)}, "expires_at"), ({"name": " "}, "name"),
    ({"scopes": []}, "scopes"), ({"mailboxes": []}, "mailboxes"), ({"networks": ["office"]}, "networks"),
])  # fmt: skip
def test_what_makes_no_key_leaves_the_old_one_as_it_was(change: dict[str, Any], field: str) -> None:
    old, _ = make_key()
    before = list(ApiKey.objects.values())
    with pytest.raises(RefusedError) as refusal:
        rotate_api_key(old, **{"expires_at": in_days(90), "old_ends": "now"} | change)
    assert refusal.value.field == field
    assert list(ApiKey.objects.values()) == before


def test_a_key_whose_mailboxes_are_all_deleted_wants_others() -> None:
    old, _ = make_key(mailboxes=[make_mailbox()])
    provision.delete_mailbox(old.mailboxes.get())
    with pytest.raises(RefusedError, match="at least one mailbox") as refusal:
        rotate_api_key(old, expires_at=in_days(90), old_ends="now")
    assert refusal.value.field == "mailboxes"


@pytest.mark.django_db(transaction=True)
def test_of_two_rotations_at_once_that_end_the_old_key_one_is_refused() -> None:
    old, _ = make_key()
    held, refusals = threading.Event(), []

    def rotate_behind() -> None:
        try:
            held.wait(30)
            rotate_api_key(ApiKey.objects.get(pk=old.pk), expires_at=in_days(90), old_ends="now")
        except KeyEndedError as error:
            refusals.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=rotate_behind)
    other.start()
    with transaction.atomic():
        rotate_api_key(old, expires_at=in_days(90), old_ends="now")
        held.set()
        other.join(0.3)  # it waits for this transaction
        assert other.is_alive()
    other.join(30)
    assert len(refusals) == 1
    assert ApiKey.objects.filter(rotated_from=old).count() == 1


def test_a_rotation_that_fails_at_its_end_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    old, plaintext = make_key()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("apikeys.rotation.schedule_revocation", fail)
    with pytest.raises(ZeroDivisionError):
        rotate_api_key(old, expires_at=in_days(90), old_ends="24h")
    assert ApiKey.objects.count() == 1
    assert status_of(plaintext) == 200


def test_a_key_is_not_to_be_revoked_after_it_has_expired() -> None:
    key, _ = make_key(expires_at=in_days(1))
    with pytest.raises(RefusedError, match="expires before that") as refusal:
        schedule_revocation(key, at=in_days(2))
    assert refusal.value.field == "revoke_at"


def test_a_key_whose_end_is_near_is_shown_as_one_that_ends_soon() -> None:
    key, _ = make_key(expires_at=in_days(300))
    schedule_revocation(key, at=in_days(1))
    now = timezone.now()
    assert key.standing(now) == ApiKey.Standing.EXPIRES_SOON
    assert ApiKey.objects.of_standing(ApiKey.Standing.EXPIRES_SOON, now=now).get() == key
    assert not ApiKey.objects.of_standing(ApiKey.Standing.ACTIVE, now=now).exists()
