import json
import re
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from apikeys import words
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key, schedule_revocation
from emailgistics.common.access import Scope
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_ended_key, make_expired_key, make_key
from tests.factories import in_days, make_mailbox

MINIMAL = ("create", "--name", "CI", "--expires", "30d", "--all-mailboxes")


def run(*args: str, stderr: StringIO | None = None) -> str:
    out = StringIO()
    call_command("apikeys", *args, stdout=out, stderr=stderr)
    return out.getvalue()


def run_json(*args: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*args, "--json"))
    return answer


@pytest.mark.django_db
def test_create_prints_what_the_api_answers_and_the_key_this_once() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    made = run_json(
        "create", "--name", "CI", "--expires", "30d", "--mailbox", "SUPPORT@example.com", "--mailbox", other.public_id,
        "--scope", "emails:read", "--scope", "aliases:write", "--plan", "pro",
    )  # fmt: skip
    assert next(iter(made)) == "id"
    plaintext = made.pop("key")
    answered = client_of(plaintext).get("/v1/me").json()
    assert answered.pop("server_time") >= made.pop("server_time")
    assert made == answered
    assert made["scopes"] == ["aliases:write", "emails:read"]
    assert [entry["id"] for entry in made["mailboxes"]] == [mailbox.public_id, other.public_id]
    assert made["plan"] == "pro"
    for again in (run("show", made["id"]), run("show", made["id"], "--json"), run("list"), run("list", "--json")):
        assert plaintext not in again
        assert made["id"] in again


@pytest.mark.django_db
def test_all_scopes_are_the_default() -> None:
    assert run_json(*MINIMAL)["scopes"] == sorted(Scope.values)
    assert run_json(*MINIMAL, "--scope", "full", "--scope", "emails:read")["scopes"] == sorted(Scope.values)


@pytest.mark.django_db
def test_people_get_the_key_and_a_warning() -> None:
    out = run(*MINIMAL)
    key = ApiKey.objects.get()
    assert f"id          {key.identifier}\n" in out
    assert f"key         {key.identifier}_" in out
    assert "status      active\n" in out
    assert "mailboxes   all, also future ones\n" in out
    assert out.endswith("\nCopy the key now: it is not shown again.\n")


@pytest.mark.django_db
def test_a_revoked_key_ends_leaves_the_list_and_can_still_be_shown() -> None:
    kept, _ = make_key(name="kept")
    key, plaintext = make_key()
    assert [entry["id"] for entry in run_json("list")["data"]] == [kept.identifier, key.identifier]
    assert run_json("revoke", key.identifier)["id"] == key.identifier
    assert client_of(plaintext).get("/v1/me").json()["code"] == "key_revoked"
    assert [entry["id"] for entry in run_json("list")["data"]] == [kept.identifier]
    assert run_json("show", key.identifier)["name"] == "CI"
    assert run("revoke", key.identifier).startswith(f"revoked {key.identifier} before, at 20")


@pytest.mark.django_db
def test_the_list_is_of_keys_in_force_and_with_all_also_of_those_that_ended() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    networks = ["192.0.2.0/24", "2001:db8::/32"]
    active, _ = make_key(name="Zapier", mailboxes=[support, sales], scopes=[Scope.EMAILS_READ], networks=networks)
    soon, _ = make_key(name="CI", expires_at=in_days(13.9), scopes=[Scope.EMAILS_READ, Scope.STATISTICS_READ])
    emptied, _ = make_key(name="Old", mailboxes=[make_mailbox(address="gone@example.com")], scopes=[Scope.EMAILS_READ])
    provision.delete_mailbox(emptied.mailboxes.get())
    expired, _ = make_expired_key()
    revoked, _ = make_key(name="Leaked")
    revoke_api_key(revoked)

    schedule_revocation(soon, at=in_days(7))
    ApiKey.objects.filter(pk=soon.pk).update(last_used_at="2030-01-31T18:00:00Z")
    assert soon.revoke_at is not None
    at = words.instant(soon.revoke_at)
    shown = [re.split(r"  +", line) for line in run("list").splitlines()]
    ends = {key: words.instant(key.expires_at) for key in (active, soon, emptied)}
    assert shown == [
        ["id", "name", "status", "expires_at", "revoked", "last_used", "networks", "mailboxes", "scopes"],
        [
            active.identifier,
            "Zapier",
            "active",
            ends[active],
            "-",
            "never",
            "192.0.2.0/24, 2001:db8::/32",
            "support@example.com, sales@example.com",
            "emails:read",
        ],
        [
            soon.identifier,
            "CI",
            "expires soon",
            ends[soon],
            f"from {at} on",
            "2030-01-31 18:00 UTC",
            "any",
            "all, also future ones",
            "emails:read and statistics:read",
        ],
        [
            emptied.identifier,
            "Old",
            "active",
            ends[emptied],
            "-",
            "never",
            "any",
            "none any more: all of them were deleted",
            "emails:read",
        ],
    ]
    further = [line.split("  ") for line in run("list", "--all").splitlines() if line.split("  ")[0] not in str(shown)]
    assert [[cell.strip() for cell in row if cell][:3] for row in further] == [
        [expired.identifier, "CI", "expired"],
        [revoked.identifier, "Leaked", "revoked"],
    ]
    assert [row["id"] for row in run_json("list")["data"]] == [active.identifier, soon.identifier, emptied.identifier]
    assert {row[-1].strip() for row in further} == {"full"}
    everything = run_json("list", "--all")["data"]
    assert [row["id"] for row in everything[3:]] == [expired.identifier, revoked.identifier]
    assert {tuple(row) for row in everything} == {tuple(run_json("show", active.identifier))}


@pytest.mark.django_db
def test_a_revocation_says_why_when_and_by_whom() -> None:
    key, plaintext = make_key()
    assert "revoked     -\n" in run("show", key.identifier)
    assert run("revoke", key.identifier, "--reason", "left in a chat") == f"revoked {key.identifier}\n"
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert (key.revoke_reason, key.revoked_by) == ("left in a chat", None)
    out = run("show", key.identifier)
    at = words.instant(key.revoked_at)
    assert f"revoked     {at} by a command: left in a chat\n" in out
    assert "status      revoked\n" in out
    # the first time counts
    assert run_json("revoke", key.identifier, "--reason", "another")["id"] == key.identifier
    key.refresh_from_db()
    assert key.revoke_reason == "left in a chat"
    by_a_person, _ = make_key()
    revoke_api_key(by_a_person, by=User.objects.create_user("ada"), reason="")
    assert " by ada\n" in run("show", by_a_person.identifier)
    assert client_of(plaintext).get("/v1/me").json()["code"] == "key_revoked"


@pytest.mark.django_db
def test_a_reason_that_is_too_long_or_quotes_a_key_is_refused_and_nothing_is_revoked() -> None:
    key, plaintext = make_key()
    with pytest.raises(CommandError, match="200"):
        run("revoke", key.identifier, "--reason", "x" * 201)
    with pytest.raises(CommandError, match=f"write {key.identifier} alone"):
        run("revoke", key.identifier, "--reason", f"found {plaintext} in a chat")
    assert client_of(plaintext).get("/v1/me").status_code == 200


@pytest.mark.django_db
@pytest.mark.usefixtures("real_limits")
def test_plan_gives_a_key_another_plan_and_numbers_of_its_own() -> None:
    key, _ = make_key()
    changed = run_json("set-plan", key.identifier, "--plan", "enterprise", "--minute", "500", "--day", "200000")
    assert (changed["plan"], changed["limits"]) == ("enterprise", {"minute": 500, "hour": 10_000, "day": 200_000})
    assert run_json("show", key.identifier)["limits"] == changed["limits"]
    assert run_json("set-plan", key.identifier, "--plan", "pro")["limits"]["minute"] == 200
    with pytest.raises(CommandError, match="enterprise"):
        run("set-plan", key.identifier, "--plan", "standard", "--hour", "5")


@pytest.mark.django_db
def test_a_whole_key_names_its_row_and_is_not_printed_again() -> None:
    key, plaintext = make_key()
    errors = StringIO()
    assert json.loads(run("show", plaintext, "--json", stderr=errors))["id"] == key.identifier
    run("revoke", plaintext, stderr=errors)
    told = errors.getvalue().splitlines()
    assert len(told) == 2
    assert all("this shell's history" in line and key.identifier in line and plaintext not in line for line in told)
    run("show", key.identifier, stderr=(silent := StringIO()))
    assert silent.getvalue() == ""
    unknown = "emgk_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1GIO1e"
    with pytest.raises(CommandError) as refusal:
        run("show", unknown)
    assert "emgk_0123456789" in str(refusal.value)
    assert unknown not in str(refusal.value)


@pytest.mark.django_db
@pytest.mark.parametrize(("args", "message"), [
    (("show", "emgk_unknown000"), "no API key"),
    (("revoke", "nothing"), "no API key"),
    ((*MINIMAL, "--scope", "emails:all"), "no scope 'emails:all'"),
    (("create", "--name", "CI", "--expires", "soon", "--all-mailboxes"), "12h, 30d"),
    ((*MINIMAL, "--network", "192.0.2.7/24"), "is no network"),
    (("rotate", "emgk_unknown000", "--expires", "30d", "--old-ends", "now"), "no API key"),
    (("create", "--name", "CI", "--expires", "367d", "--all-mailboxes"), "at most 366 days"),
    (("create", "--name", " ", "--expires", "30d", "--all-mailboxes"), "needs a name"),
    (("create", "--name", "CI", "--expires", "30d", "--mailbox", "nobody@example.com"), "no mailbox"),
])  # fmt: skip
def test_what_is_refused_says_why_and_exits_with_1(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message) as refusal:
        run(*args)
    assert refusal.value.returncode == 1
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("args", [
    (), ("rename",), ("show",), ("create", "--name", "CI", "--expires", "30d"),
    (*MINIMAL, "--mailbox", "support@example.com"), (*MINIMAL, "--plan", "gold"),
    ("rotate", "emgk_unknown000", "--expires", "30d"),
])  # fmt: skip
def test_wrong_usage_exits_with_2_and_prints_nothing_on_stdout(args: tuple[str, ...]) -> None:
    # a process: within one, Django turns a usage error into an exception
    done = subprocess.run(
        [sys.executable, "manage.py", "apikeys", *args],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: manage.py apikeys")


@pytest.mark.django_db
def test_rotate_prints_the_new_key_once_and_says_when_the_old_one_ends() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    old, _ = make_key(name="Zapier", mailboxes=[support], scopes=[Scope.EMAILS_READ], networks=["192.0.2.0/24"])
    made = run_json("rotate", old.identifier, "--expires", "90d", "--old-ends", "24h")
    plaintext = made.pop("key")
    assert plaintext.startswith(made["id"])
    assert (made["name"], made["scopes"]) == ("Zapier", ["emails:read"])
    assert [mailbox["address"] for mailbox in made["mailboxes"]] == ["support@example.com"]
    old.refresh_from_db()
    assert old.revoke_at is not None
    new = ApiKey.objects.get(identifier=made["id"])
    assert (new.rotated_from, new.networks) == (old, ["192.0.2.0/24"])
    out = run("show", made["id"])
    assert f"replaces    {old.identifier}\n" in out
    assert plaintext not in out
    at = words.instant(old.revoke_at)
    assert f"revoked     from {at} on by a command: replaced by {made['id']}\n" in run("show", old.identifier)

    further = run(
        "rotate", made["id"], "--expires", "90d", "--old-ends", "now", "--name", "Make", "--scope", "statistics:read",
        "--mailbox", "sales@example.com", "--all-networks",
    )  # fmt: skip
    newest = ApiKey.objects.get(name="Make")
    assert (newest.scopes, newest.networks, list(newest.mailboxes.all())) == (["statistics:read"], [], [sales])
    assert further.count(f"{newest.identifier}_") == 1
    assert further.endswith(f"\nThe old one, {made['id']}, is revoked.\n")
    assert run("rotate", newest.identifier, "--expires", "90d", "--old-ends", "1h").splitlines()[-1].startswith(
        f"The old one, {newest.identifier}, ends 20"
    )  # fmt: skip
    with pytest.raises(CommandError, match="has ended"):
        run("rotate", made["id"], "--expires", "90d", "--old-ends", "now")


@pytest.mark.django_db
def test_who_rotates_twice_is_told_of_all_that_are_in_force() -> None:
    old, _ = make_key()
    first = run_json("rotate", old.identifier, "--expires", "90d", "--old-ends", "24h")["id"]
    errors = StringIO()
    run("rotate", old.identifier, "--expires", "90d", "--old-ends", "24h", stderr=errors)
    second = ApiKey.objects.exclude(identifier__in=[old.identifier, first]).get().identifier
    told = f"2 keys in its place are in force: {second} and {first}. Revoke what nothing uses.\n"
    assert errors.getvalue() == told
    run("revoke", first)
    run("rotate", old.identifier, "--expires", "90d", "--old-ends", "24h", stderr=(errors := StringIO()))
    assert first not in errors.getvalue()


@pytest.mark.django_db
def test_a_revocation_is_scheduled_moved_and_called_off() -> None:
    key, plaintext = make_key()
    assert run("revoke", key.identifier, "--at", "2h", "--reason", "leaves").startswith(f"{key.identifier} ends 20")
    key.refresh_from_db()
    assert key.revoke_at is not None
    at = words.instant(key.revoke_at)
    assert f"revoked     from {at} on by a command: leaves\n" in run("show", key.identifier)
    assert "stays until it expires" in run("revoke", key.identifier, "--at", "never")
    assert client_of(plaintext).get("/v1/me").status_code == 200
    for when, message in (("soon", "An end is written"), ("2020-01-01", "not ahead")):
        with pytest.raises(CommandError, match=message):
            run("revoke", key.identifier, "--at", when)
    assert run_json("revoke", key.identifier, "--at", "2h")["id"] == key.identifier
    assert run("revoke", key.identifier) == f"revoked {key.identifier}\n"
    with pytest.raises(CommandError, match="has ended"):
        run("revoke", key.identifier, "--at", "never")


@pytest.mark.django_db
def test_purge_says_what_went() -> None:
    assert run("purge") == "No key ended 30 days ago or earlier.\n"
    old, _ = make_ended_key(revoked_at=in_days(-31))
    older, _ = make_ended_key(expires_at=in_days(-90))
    assert run("purge") == f"purged {old.identifier}\npurged {older.identifier}\n"
    last, _ = make_ended_key(revoke_at=in_days(-40))
    assert run_json("purge") == {"purged": [last.identifier], "kept": []}
