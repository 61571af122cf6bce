"""`manage.py users`: whoever is at the shell lets people in again."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import Role, role_of
from emailgistics.console import sessions
from emailgistics.management.commands import users as command
from tests.console.conftest import PASSWORD, make_person

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("users", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def signs_in(name: str, password: str) -> Client | None:
    client = Client()
    answer = client.post("/admin/login/", {"username": name, "password": password})
    return client if answer.status_code == 302 else None


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


@pytest.mark.parametrize(
    ("role", "is_then"),
    [
        ("administrator", Role.SYSTEM_ADMINISTRATOR),
        ("auditor", Role.AUDITOR),
        ("mail-auditor", Role.MAIL_AUDITOR),
    ],
)
def test_somebody_is_made_who_signs_in_as_what_was_said(role: str, is_then: Role, password_file: str) -> None:
    made = run("create", "grace", "--role", role, "--email", "grace@example.com", "--password-file", password_file)
    assert (made["username"], made["email"], made["role"]) == ("grace", "grace@example.com", is_then.value)
    assert "password" not in made
    assert role_of(User.objects.get()) == is_then
    assert signs_in("grace", PASSWORD)
    on_record = [(entry.action, entry.of, entry.by) for entry in AuditEntry.objects.order_by("id")]
    assert on_record[:2] == [("person.created", "grace", "command"), ("person.roles_changed", "grace", "command")]


def test_a_generated_password_is_shown_this_once_and_works() -> None:
    password = run("create", "grace", "--role", "auditor", "--generate")["password"]
    assert signs_in("grace", password)
    assert "password" not in run("show", "grace")


def test_a_password_is_asked_for_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="no terminal") as refused:
        run("create", "grace", "--role", "auditor")
    assert refused.value.returncode == 2
    monkeypatch.setattr(command.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.getpass, "getpass", lambda prompt: prompt)
    with pytest.raises(CommandError, match="two different"):
        run("create", "grace", "--role", "auditor")
    assert not User.objects.exists()
    monkeypatch.setattr(command.getpass, "getpass", lambda prompt: PASSWORD)
    run("create", "grace", "--role", "auditor")
    assert signs_in("grace", PASSWORD)


def test_what_will_not_do_is_refused_and_nobody_is_made(tmp_path: Path, password_file: str) -> None:
    make_person("grace")
    weak = tmp_path / "weak"
    weak.write_text("password")
    for name, file, why in (
        ("ada", str(weak), "too common"),
        ("ada lovelace", password_file, "valid username"),
        ("grace", password_file, "already exists"),
        ("ada", str(tmp_path / "none"), "--password-file: cannot read"),
    ):
        with pytest.raises(CommandError, match=why):
            run("create", name, "--role", "administrator", "--password-file", file)
    assert list(User.objects.values_list("username", flat=True)) == ["grace"]


def test_a_new_password_ends_all_sessions_and_is_on_record() -> None:
    grace = make_person("grace")
    assert signs_in("grace", PASSWORD)
    assert len(sessions.of(grace)) == 1
    told = run("reset-password", "grace", "--generate")
    assert told["sessions"] == 0
    assert not sessions.of(grace)
    assert not signs_in("grace", PASSWORD)
    assert signs_in("grace", told["password"])
    actions = set(AuditEntry.objects.filter(by="command").values_list("action", flat=True))
    assert actions == {"person.password_set", "person.sessions_ended"}


def test_somebody_is_promoted_once_if_he_can_sign_in() -> None:
    make_person("grace")
    assert run("promote", "grace")["role"] == Role.SYSTEM_ADMINISTRATOR.value
    with pytest.raises(CommandError, match="already"):
        run("promote", "grace")
    User.objects.update(is_active=False)
    with pytest.raises(CommandError, match="deactivated"):
        run("promote", "grace")
    with pytest.raises(CommandError, match="no user 'nobody'"):
        run("promote", "nobody")
