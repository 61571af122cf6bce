import json
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apikeys.models import ApiKey
from emailgistics.common.access import Scope
from tests.apikeys.factories import client_of, make_key
from tests.factories import make_mailbox

MINIMAL = ("create", "--name", "CI", "--expires", "30d", "--all-mailboxes")


def run(*args: str) -> str:
    out = StringIO()
    call_command("apikeys", *args, stdout=out)
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
    assert f"id             {key.identifier}\n" in out
    assert f"key            {key.identifier}_" in out
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
    assert run("revoke", key.identifier) == f"revoked {key.identifier}\n"


@pytest.mark.django_db
def test_a_whole_key_names_its_row_and_is_not_printed_again() -> None:
    key, plaintext = make_key()
    assert run_json("show", plaintext)["id"] == key.identifier
    run("revoke", plaintext)
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
