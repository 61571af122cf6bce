"""docs/how-to/postgresql.md, step by step: an embedded installation goes on on PostgreSQL."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import migrated
from tests.shell import ROOT, Shell

pytestmark = [pytest.mark.on_postgres, pytest.mark.long]

PAGE = (ROOT / "docs" / "how-to" / "postgresql.md").read_text()
MAIL = "Subject: Moved\r\nMessage-ID: <1@example.net>\r\n\r\n\xe4\0\r\n".encode("latin-1")
MAKING = (
    "migrate -v 0",
    "domains create example.com",
    "mailboxes create support@example.com",
    "apikeys create --name CI --expires 30d --mailbox support@example.com",
    "webhooks create --pull --mailbox support@example.com",
)
LISTING = tuple(f"{noun} list --json" for noun in ("domains", "mailboxes", "emails", "apikeys", "webhooks"))
# the last makes a row, which takes the place of none that came along
AFTERWARDS = ("check --database default", "ledger", "rotate_keys", "domains create example.org")


@pytest.fixture
def database() -> Iterator[str]:
    name = f"emailgistics_moved_{os.getpid()}"
    migrated.create_postgres(name, is_migrated=True)
    yield name
    migrated.drop_postgres(name)


def documented(command: str, *, env: Mapping[str, str], folder: Path) -> None:
    """Runs the line of the page with this command."""
    (line,) = re.findall(rf"^    ((?:PGOPTIONS=.* )?manage\.py {command} (?:.*\\\n)*.*)$", PAGE, re.MULTILINE)
    line = line.replace("manage.py", f"'{sys.executable}' '{ROOT / 'manage.py'}'")
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def listed(shell: Shell, command: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(shell.run(*shlex.split(command)).stdout)["data"]
    return [{name: value for name, value in row.items() if name != "server_time"} for row in rows]


def test_all_goes_along_and_is_guarded_as_before(tmp_path: Path, database: str) -> None:
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), **migrated.SECRETS}
    with contextlib.closing(Shell(env)) as here:
        assert [here.run(*shlex.split(command)).code for command in MAKING] == [0] * len(MAKING)
        receiving = [sys.executable, "manage.py", "receive_mail", "support@example.com"]
        subprocess.run(receiving, cwd=ROOT, env=env, input=MAIL, capture_output=True, check=True)
        before = [listed(here, command) for command in LISTING]
    assert all(before)
    documented("dumpdata", env=env, folder=tmp_path)

    env |= {"DATA_DIR": str(tmp_path / "new"), "DATABASE_URL": migrated.url_of(database)}
    documented("loaddata", env=env, folder=tmp_path)
    with contextlib.closing(Shell(env)) as there:
        for command, was in zip(LISTING, before, strict=True):
            assert listed(there, command) == was
        assert [there.run(*shlex.split(command)).code for command in AFTERWARDS] == [0] * len(AFTERWARDS)
    with migrated.admin_connection(migrated.url_of(database)) as connection:
        for change in ("UPDATE apikeys_apikey SET name = 'x'", "DELETE FROM common_auditentry"):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(change)
