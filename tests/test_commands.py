"""What holds for every command of ours: it explains itself, and the page about it is as it is."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands, load_command_class

from emailgistics.docs import commands
from tests.shell import ROOT

pytestmark = pytest.mark.on_sqlite

OURS = sorted(name for name, app in get_commands().items() if app in commands.APPS)
# what is promised to operators, with what each can do
PROMISED = {
    "domains": "create list show delete",
    "mailboxes": "create list show delete",
    "aliases": "create list show delete",
    "webhooks": "list create show test pause resume rotate-secret replay delete stop-all start-all",
    "deliveries": "list show retry cancel",
    "apikeys": "create list show revoke rotate identify scan set-plan purge",
    "emails": "list show raw reparse replay delete erase export",
    "users": "create list reset-password reset-2fa promote",
    "refusals": "list show",
    **dict.fromkeys(("up", "quickstart", "doctor", "find", "health", "receive_mail", "smtpd", "webhook_sink"), ""),
    **dict.fromkeys(("route", "stats", "ledger"), ""),
}


@pytest.mark.parametrize("name", OURS)
def test_a_command_says_what_it_is_for_and_shows_an_example(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    about, _, example = command.help.partition(commands.EXAMPLE)
    assert about.strip().endswith((".", ")"))
    assert f"manage.py {name}" in example


@pytest.mark.parametrize("arguments", [("find", "x"), ("prune",)])
def test_a_database_without_tables_is_said_to_be_one(arguments: Sequence[str], tmp_path: Path) -> None:
    done = manage(*arguments, DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "manage.py migrate" in done.stderr


def test_who_reads_no_more_of_what_is_printed_is_shown_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = manage("help", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def manage(*arguments: str, stdout: int = subprocess.DEVNULL, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=os.environ | env, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip


def test_what_operators_are_promised_is_there() -> None:
    for name, verbs in PROMISED.items():
        command = load_command_class(get_commands()[name], name)
        there = {verb for verb, _, _ in commands._verbs(command.create_parser("manage.py", name))}
        assert set(verbs.split()) <= there, name


def test_the_page_of_all_commands_is_as_they_are(tmp_path: Path) -> None:
    # if not: manage.py command_reference
    written = tmp_path / "commands.md"
    call_command("command_reference", file=written, stdout=StringIO())
    assert written.read_text() == (ROOT / "docs" / "operations" / "commands.md").read_text()
