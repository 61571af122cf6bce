"""What was revoked, erased or withdrawn after a backup is so again, once, however often the journals are applied."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from apikeys.models import ApiKey, IssuedKey
from apikeys.services import revoke_api_key, schedule_revocation
from emailgistics.common import journal
from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.crypto import KeyRing
from emailgistics.common.models import JournalEntry
from emailgistics.console import people, two_factor
from emailgistics.console.models import Authenticator, RecoveryCode
from emailgistics.recovery import reapply
from emailgistics.recovery.reapply import Outcome
from mailboxes.models import Email, Refusal, Rule, Transcript
from mailboxes.services import mentions, rule_book
from tests.apikeys.factories import client_of, make_key
from tests.factories import in_days, make_alias, make_email, make_mailbox, make_webhook
from tests.webhooks.events import make_event
from webhooks.files.links import revoke_links
from webhooks.models import Attempt, Webhook
from webhooks.services import erase, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]
Later = Callable[[Callable[[], object]], None]


@pytest.fixture
def file(tmp_path: Path, settings: Settings) -> Path:
    settings.JOURNAL_FILE = tmp_path / "new.jsonl"
    return tmp_path / "old.jsonl"


@pytest.fixture
def after_backup(file: Path) -> Later:
    """Does it, writes the journal, and sets the database back to before."""

    def do(work: Callable[[], object]) -> None:
        before = set(JournalEntry.objects.values_list("pk", flat=True))
        backup = transaction.savepoint()
        work()
        entries = JournalEntry.objects.exclude(pk__in=before).order_by("at", "id")
        journal.append(file, [journal._line(entry) for entry in entries])
        transaction.savepoint_rollback(backup)

    return do


def apply(file: Path, *flags: str) -> Any:
    out = StringIO()
    call_command("journal", "apply", str(file), *flags, "--json", stdout=out)
    return json.loads(out.getvalue())


def changed(file: Path) -> dict[str, int]:
    return dict(apply(file)["changed"])


def status_of(plaintext: str) -> int:
    return client_of(plaintext).get("/v1/me").status_code


def test_a_key_that_was_revoked_is_revoked_again_and_the_others_are_not(file: Path, after_backup: Later) -> None:
    (revoked, first), (_, second) = make_key(), make_key()
    after_backup(lambda: revoke_api_key(revoked))
    assert [status_of(first), status_of(second)] == [200, 200]
    assert apply(file, "--dry-run")["applied"] == {"apikey.revoked": 1}
    assert status_of(first) == 200
    assert changed(file) == {"apikey.revoked": 1}
    assert [status_of(first), status_of(second)] == [401, 200]
    assert apply(file) == apply(file) | {"known": 1, "applied": {}, "changed": {}}


def test_a_revocation_ahead_is_scheduled_one_that_has_come_is_done_and_one_that_was_called_off_is_not(
    file: Path, after_backup: Later
) -> None:
    ahead, called_off, come = (make_key()[0] for _ in range(3))

    def work() -> None:
        for key in (ahead, called_off, come):
            schedule_revocation(key, at=in_days(3))
        schedule_revocation(called_off, at=None)

    after_backup(work)
    text = file.read_text().splitlines()
    entry = next(line for line in text if come.identifier in line)
    moved = json.dumps(json.loads(entry) | {"revoke_at": in_days(-0.5).isoformat()})
    file.write_text("\n".join([*(line for line in text if line != entry), moved]) + "\n")
    apply(file)
    standing = {
        key.pk: (key.revoke_at is not None, key.revoked_at is not None) for key in ApiKey.objects.order_by("pk")
    }
    assert standing == {ahead.pk: (True, False), called_off.pk: (False, False), come.pk: (False, True)}


def test_the_identifier_of_a_key_that_was_lost_is_never_given_away_again(file: Path, after_backup: Later) -> None:
    made: list[ApiKey] = []
    after_backup(lambda: made.append(make_key()[0]))
    assert not IssuedKey.objects.exists()
    assert changed(file) == {"apikey.created": 1}
    issued = IssuedKey.objects.get()
    assert (issued.pk, issued.identifier) == (made[0].pk, made[0].identifier)
    values = {field.attname: getattr(made[0], field.attname) for field in ApiKey._meta.concrete_fields}
    with pytest.raises(IntegrityError, match="issued once"), transaction.atomic():
        ApiKey.objects.create(**values)


@pytest.mark.parametrize("primary", [1, 2])
def test_mail_that_was_erased_goes_again_and_the_line_tells_nobody_whose_it_was(
    file: Path, after_backup: Later, settings: Settings, primary: int
) -> None:
    mailbox = make_mailbox()
    erased, kept = make_email(to=mailbox.address), make_email(to=mailbox.address)
    keys = {1: settings.ENCRYPTION_KEYS.keys[1], 2: b"2" * 32}
    settings.ENCRYPTION_KEYS = KeyRing(primary=primary, keys=keys)
    after_backup(lambda: erase.erase_address("ada@example.net", by="grace"))
    lines = file.read_text()
    # with its @: a mark is hexadecimal, and may well have ada in it
    assert [word for word in ("ada@", "example", erased.public_id, kept.public_id) if word in lines] == []
    file.write_text(lines.splitlines()[0] + "\n")
    assert Email.objects.count() == 2
    assert changed(file) == {"email.erased": 1}
    assert list(Email.objects.all()) == [kept]


def test_mail_whose_mark_needs_an_encryption_key_that_is_not_there_is_said_and_goes_once_it_is(
    file: Path, after_backup: Later, settings: Settings
) -> None:
    email, of_the_backup = make_email(to=make_mailbox().address), settings.ENCRYPTION_KEYS
    rotated_since = KeyRing(primary=2, keys={**of_the_backup.keys, 2: b"2" * 32})
    settings.ENCRYPTION_KEYS = rotated_since
    after_backup(lambda: erase.erase_email(email.pk, by="grace"))
    for another in (of_the_backup, KeyRing(primary=1, keys={**of_the_backup.keys, 2: b"3" * 32})):
        settings.ENCRYPTION_KEYS = another
        done = reapply.apply([file])
        assert (done.unreadable, done.applied, "put it into ENCRYPTION_KEYS" in done.what_is_left) == (1, {}, True)
    settings.ENCRYPTION_KEYS = rotated_since
    assert changed(file) == {"email.erased": 1}
    assert not Email.objects.exists()


def test_refusals_that_were_erased_and_links_that_were_revoked_are_so_again(file: Path, after_backup: Later) -> None:
    event = make_event()
    refusal = Refusal.objects.create(at=timezone.now(), mail_from="ada@example.org", recipient="support@example.com")

    def work() -> None:
        assert event.email
        revoke_links(event.email)
        erase.erase_address("ada@example.org", by="grace")

    after_backup(work)
    assert changed(file) == {"email.links_revoked": 1, "refusal.erased": 1}
    event.refresh_from_db()
    assert event.links_revoked_at is not None
    assert not Refusal.objects.filter(pk=refusal.pk).exists()


def test_what_others_mail_rules_and_receivers_said_of_an_erased_address_goes_again(
    file: Path, after_backup: Later
) -> None:
    event = make_event()
    assert event.email
    no = {"n": 1, "started_at": timezone.now(), "response_excerpt": b"no ada@example.org here"}
    attempt = Attempt.objects.create(delivery=event.deliveries.get(), **no)
    said = [[1, "C", "RCPT TO:<ada@example.org>"]]
    Transcript.objects.update_or_create(message=event.email.message, defaults={"lines": said})
    refusal = Refusal.objects.create(at=timezone.now(), recipient="support@example.com", transcript=said)
    rule, _ = rule_book.block_sender("ada@example.org", mailbox=None)

    def work() -> None:
        rule_book.delete_rule(rule)
        erase.erase_address("ada@example.org", by="grace", with_mentions=True)

    after_backup(work)
    assert Rule.objects.live().get().value == "ada@example.org"
    assert set(changed(file)) == {
        "attempt.answer_erased", "refusal.transcript_erased", "rule.erased", "transcript.erased"
    }  # fmt: skip
    attempt.refresh_from_db()
    refusal.refresh_from_db()
    rule = Rule.objects.get()
    assert (bytes(attempt.response_excerpt), refusal.transcript, rule.value) == (b"", [], mentions.ERASED)
    assert rule.deleted_at is not None
    assert not Transcript.objects.exists()


def test_a_webhook_is_deleted_again_or_pauses_where_what_it_had_then_is_not_to_be_used(
    file: Path, after_backup: Later
) -> None:
    mailbox = make_mailbox()
    there = [make_webhook(alias=make_alias(address=f"a{n}@example.com", mailbox=mailbox)) for n in range(5)]
    deleted, rotated, moved, paused, resumed = there

    def work() -> None:
        webhooks.delete_webhook(deleted)
        webhooks.rotate_secret(rotated)
        webhooks.update_webhook(moved, url="http://127.0.0.1:10/elsewhere")
        webhooks.pause_webhook(paused)
        webhooks.pause_webhook(resumed)
        webhooks.resume_webhook(resumed)

    after_backup(work)
    apply(file)
    live = {webhook.pk: (webhook.state, webhook.state_reason) for webhook in Webhook.objects.live()}
    assert deleted.pk not in live
    assert live[resumed.pk] == ("active", "")
    assert {live[one.pk][0] for one in (rotated, moved, paused)} == {"paused"}
    assert "rotate it again" in live[rotated.pk][1]
    assert "URL was changed" in live[moved.pk][1]


@pytest.fixture
def grace() -> User:
    """A system administrator with a second factor, as she was in the backup."""
    user = User.objects.create_user("grace", password="as it was then")
    user.groups.add(Group.objects.get(name=SYSTEM_ADMINISTRATORS))
    two_factor.prepare(user)
    Authenticator.objects.update(confirmed=True)
    RecoveryCode.objects.create(user=user, digest=b"1" * 32)
    return user


def note(action: str, user: User, **details: object) -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.get_or_create(username="root")[0]
    people.note(request, action, user, **details)


def test_who_was_deactivated_cannot_sign_in_and_who_came_back_can(file: Path, after_backup: Later, grace: User) -> None:
    back = User.objects.create_user("back")

    def work() -> None:
        note("person.deactivated", grace)
        note("person.deactivated", back)
        note("person.activated", back)

    after_backup(work)
    apply(file)
    assert [User.objects.get(pk=one.pk).is_active for one in (grace, back)] == [False, True]


def test_who_was_deleted_has_no_rights_and_no_password(file: Path, after_backup: Later, grace: User) -> None:
    after_backup(lambda: note("person.deleted", grace))
    assert changed(file) == {"person.deleted": 1}
    grace.refresh_from_db()
    assert (grace.is_active, grace.has_usable_password(), grace.groups.count()) == (False, False, 0)


def test_rights_that_were_taken_are_taken_again_and_none_are_given(
    file: Path, after_backup: Later, grace: User
) -> None:
    after_backup(lambda: note("person.roles_changed", grace, given=["Auditors"], taken=[SYSTEM_ADMINISTRATORS]))
    apply(file)
    assert list(grace.groups.all()) == []


def test_a_password_that_was_replaced_opens_nothing_until_another_one_is_set(
    file: Path, after_backup: Later, grace: User
) -> None:
    def work() -> None:
        grace.set_password("a new one of hers")
        grace.save()

    after_backup(work)
    apply(file)
    grace = User.objects.get()
    assert not grace.has_usable_password()
    grace.set_password("and one more")
    grace.save()
    apply(file)  # it knows that line, and this one is none of its
    assert User.objects.get().check_password("and one more")


def test_a_second_factor_that_was_reset_is_gone_and_codes_that_were_replaced_are_too(
    file: Path, after_backup: Later, grace: User
) -> None:
    after_backup(lambda: two_factor.renew_codes(grace, address="192.0.2.1"))
    assert changed(file) == {"person.recovery_codes_changed": 1}
    assert (Authenticator.objects.count(), RecoveryCode.objects.count()) == (1, 0)
    after_backup(lambda: two_factor.switch_off(grace, by=None))
    assert changed(file) == {"person.two_factor_off": 1}
    assert Authenticator.objects.count() == 0


@pytest.mark.parametrize("days", [1, -1], ids=["new since", "of another installation"])
def test_the_number_of_somebody_else_is_nobody_elses(file: Path, after_backup: Later, grace: User, days: int) -> None:
    after_backup(lambda: note("person.deactivated", grace))
    User.objects.filter(pk=grace.pk).update(date_joined=in_days(days))
    assert changed(file) == {}
    assert User.objects.get(pk=grace.pk).is_active


def person_line(what: str, person: User, *, seconds: int, **more: str) -> str:
    at = timezone.now() + timedelta(seconds=seconds)
    return json.dumps({"id": str(uuid4()), "at": at.isoformat(), "what": what, "of": person.pk, **more}) + "\n"


def test_that_somebody_else_of_that_number_may_sign_in_again_takes_nothing_back(file: Path, grace: User) -> None:
    file.write_text(
        person_line("person.deactivated", grace, seconds=1, joined=grace.date_joined.isoformat())
        + person_line("person.activated", grace, seconds=2, joined=in_days(-9).isoformat())
    )
    assert changed(file) == {"person.deactivated": 1}


def test_who_came_back_after_an_upgrade_can_sign_in(file: Path, grace: User) -> None:
    file.write_text(
        person_line("person.deactivated", grace, seconds=1)
        + person_line("person.activated", grace, seconds=2, joined=grace.date_joined.isoformat())
    )
    assert changed(file) == {}


def test_lines_of_an_older_release_which_say_less_of_people_hold_as_well(file: Path, grace: User) -> None:
    line = {"id": str(uuid4()), "at": timezone.now().isoformat(), "what": "person.deactivated", "of": grace.pk}
    file.write_text(json.dumps(line) + "\n")
    assert changed(file) == {"person.deactivated": 1}


def test_torn_lines_are_passed_over_and_several_files_are_one(file: Path, after_backup: Later, tmp_path: Path) -> None:
    key, _ = make_key()
    after_backup(lambda: revoke_api_key(key))
    other = tmp_path / "another_host.jsonl"
    other.write_bytes(b'\xff{"id"\n\n[]\n' + file.read_bytes() + file.read_bytes()[:20])
    done = reapply.apply([file, other])
    assert done == Outcome(read=2, torn=3, applied={"apikey.revoked": 1}, changed={"apikey.revoked": 1})


def test_lines_of_a_later_release_are_named_and_stay_to_be_applied(file: Path) -> None:
    line = {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "at": "2030-01-31T12:00:00+00:00", "what": "moon.landed"}
    journal.append(file, [json.dumps(line).encode()])
    for _ in range(2):
        with pytest.raises(CommandError, match="later release"):
            apply(file)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere\.jsonl: No such file"):
        apply(tmp_path / "nowhere.jsonl")
