"""The pipe as mail servers use it: a process in a running installation, with whatever can happen to one."""

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.factories import RAW
from tests.installation import ROOT, SAMPLE_ALIAS, Installation, simple_mail, wait_for

OUR_FAULT = "4.3.0 Temporary failure here, please try again later"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", "receive_mail", *arguments]


def piped(installation: Installation, *arguments: str, raw: bytes, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        command(*arguments), cwd=ROOT, env=installation.env | env, input=raw, capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def count(installation: Installation) -> int:
    total: int = installation.get_json("/v1/emails?limit=1")["pagination"]["total"]
    return total


def newest(installation: Installation) -> dict[str, Any]:
    email: dict[str, Any] = installation.get_json("/v1/emails?limit=1")["data"][0]
    return email


OCTETS = {
    "CRLF": simple_mail("Piped CRLF"),
    "LF, as mail servers pipe": simple_mail("Piped LF").replace(b"\r\n", b"\n"),
    "no line end at the end": b"Subject: Piped cut\n\nno end",
    "CR and dots": b"Subject: Piped dots\r\n\r\n.\r\n..\r\n\r.\n.\n",
    "every octet": b"Subject: Piped octets\r\n\r\n" + bytes(range(256)) * 2,
    "no header": b"\n",
    "From line": b"From ada@example.net Mon Jun  1 10:00:00 2026\nSubject: Piped From\n\nx\n",
}


@pytest.mark.parametrize("raw", OCTETS.values(), ids=OCTETS.keys())
def test_octets_are_stored_exactly_as_they_come(installation: Installation, raw: bytes) -> None:
    before = count(installation)
    status, out, err = piped(installation, "--sender=ada@example.net", "--", SAMPLE_ALIAS, raw=raw)
    assert (status, err) == (0, "")
    assert re.fullmatch(r"accepted as msg_[0-9a-z]{26}\n", out)
    assert count(installation) == before + 1
    email = newest(installation)
    assert installation.get(f"/v1/emails/{email['id']}/raw") == raw


def test_a_piped_mail_is_processed_and_its_webhook_goes_out(installation: Installation) -> None:
    raw = simple_mail("Through the pipe").replace(b"\r\n", b"\n")
    status, out, _ = piped(installation, "--json", "-f", "", SAMPLE_ALIAS, raw=raw)
    assert status == 0
    assert installation.wait_until_received({"Through the pipe"}, within_s=60) < 10
    (entry,) = [entry for entry in installation.received() if entry["subject"] == "Through the pipe"]
    email = installation.get_json(f"/v1/emails/{entry['email_id']}")
    assert (email["source"], email["mail_from"], email["status"]) == ("pipe", "", "processed")
    assert email["accepted_as"] == json.loads(out)["id"]


def test_a_mail_of_25_mb_is_taken_and_one_over_the_limit_is_not(installation: Installation) -> None:
    large = b"Subject: Large\n\n" + os.urandom(25_000_000)
    assert piped(installation, SAMPLE_ALIAS, raw=large)[0] == 0
    assert newest(installation)["size"] == len(large)
    before = count(installation)
    over = b"x" * (40 * 1024 * 1024 + 1)
    status, _, err = piped(installation, SAMPLE_ALIAS, raw=over)
    assert (status, err) == (65, "5.3.4 The message is larger than this host accepts (41943040 octets)\n")
    assert count(installation) == before


@pytest.mark.parametrize(
    "arguments, raw, status",
    [
        ([SAMPLE_ALIAS], b"", 65),
        (["nobody@example.com"], RAW, 67),
        ([SAMPLE_ALIAS, "nobody@example.com"], RAW, 67),
        (["--", "-x@example.com"], RAW, 67),
        ([], RAW, 75),
        (["--frm=ada@example.net", SAMPLE_ALIAS], RAW, 75),
        (["--client-ip=nonsense", SAMPLE_ALIAS], RAW, 75),
    ],
)
def test_the_process_ends_with_the_status(
    installation: Installation, arguments: list[str], raw: bytes, status: int
) -> None:
    before = count(installation)
    ended, out, err = piped(installation, *arguments, raw=raw)
    assert (ended, out, "Traceback" in err) == (status, "", False)
    assert err.count("\n") == 1 or "usage: " in err
    assert count(installation) == before


SERVER = {
    "DATABASE_URL": "postgresql://postgres@127.0.0.1:9/nowhere",
    "SECRET_KEY": "only-for-tests-only-for-tests-only-for-tests-0123456789",
    "API_KEY_PEPPERS": "1:cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLTEyMzQ=",
    "ENCRYPTION_KEYS": "1:ZW5jcnlwdGlvbi1lbmNyeXB0aW9uLWVuY3J5cHQtMTI=",
}


def test_a_database_that_is_away_is_75(installation: Installation) -> None:
    status, out, err = piped(installation, SAMPLE_ALIAS, raw=RAW, **SERVER)
    assert (status, out, err) == (75, "", f"{OUR_FAULT} (OperationalError)\n")


def test_a_database_without_tables_is_75(installation: Installation, tmp_path: Path) -> None:
    status, out, err = piped(installation, SAMPLE_ALIAS, raw=RAW, DATABASE_URL="", DATA_DIR=str(tmp_path))
    assert (status, out, err) == (75, "", f"{OUR_FAULT} (OperationalError)\n")


@pytest.mark.parametrize(
    "env",
    [
        pytest.param(SERVER | {"SECRET_KEY": ""}, id="a secret is missing"),
        pytest.param({"MAX_MESSAGE_BYTES": "plenty"}, id="a wrong value"),
        pytest.param({"TEST_NETWORKS": "10.0.0.1/8"}, id="a wrong network"),
        pytest.param({"DATABASE_URL": "", "DATA_DIR": "/dev/null/x"}, id="a data folder that cannot be"),
    ],
)
def test_a_wrong_setting_is_75(installation: Installation, env: dict[str, str]) -> None:
    status, out, err = piped(installation, SAMPLE_ALIAS, raw=RAW, **env)
    assert (status, out) == (75, "")
    assert "Traceback" not in err


def test_closed_descriptors_are_no_mistake_of_the_sender(installation: Installation) -> None:
    before = count(installation)
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *command(SAMPLE_ALIAS)]
    assert subprocess.run(shell, cwd=ROOT, env=installation.env, capture_output=True, check=False).returncode == 75
    assert count(installation) == before
    # nobody listens any more; the mail is stored all the same, so it must not come again
    shell = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command(SAMPLE_ALIAS)]
    raws = [simple_mail("Nobody listens"), simple_mail("Nobody reads")]  # two mails: the same again would be a resend
    assert subprocess.run(shell, cwd=ROOT, env=installation.env, input=raws[0], check=False).returncode == 0
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            command(SAMPLE_ALIAS),
            cwd=ROOT,
            env=installation.env,
            input=raws[1],
            stdout=nobody,
            stderr=nobody,
            check=False,
        )
    assert done.returncode == 0
    assert count(installation) == before + 2


@contextlib.contextmanager
def started(installation: Installation, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(*arguments), cwd=ROOT, env=installation.env, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def locked(installation: Installation) -> Iterator[Callable[[], None]]:
    """Nobody can store a mail until the function that this gives is called."""
    with contextlib.ExitStack() as stack:
        if installation.on_postgres:
            server = stack.enter_context(contextlib.closing(psycopg.connect(installation.env["DATABASE_URL"])))
            server.execute("LOCK TABLE mailboxes_message IN EXCLUSIVE MODE")
            yield server.rollback
        else:
            path = installation.data_dir / "emailgistics.sqlite3"
            file = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=10)))
            file.execute("BEGIN IMMEDIATE")
            yield file.rollback


def has_opened_the_database(pid: int) -> bool:
    """Which it does once the mail is read."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if re.search(r"^socket:|emailgistics\.sqlite3$", str(entry.readlink())):
                return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE])
def test_a_signal_while_the_mail_comes_in_leaves_nothing_and_is_75(installation: Installation, number: int) -> None:
    before = count(installation)
    with started(installation, SAMPLE_ALIAS) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"x" * 500_000)  # more than a pipe holds: once that is written, somebody reads
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(60) == 75
        assert process.stderr.read().decode() == f"{OUR_FAULT} ({signal.Signals(number).name})\n"
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    assert count(installation) == before


def test_a_signal_once_the_mail_is_read_does_not_make_it_come_twice(installation: Installation) -> None:
    before = count(installation)
    with started(installation, SAMPLE_ALIAS) as process, locked(installation) as let_go:
        assert process.stdin is not None
        process.stdin.write(simple_mail("Once"))
        process.stdin.close()
        wait_for(lambda: has_opened_the_database(process.pid), within_s=60, what="the end of reading")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it waits for the lock
        let_go()
        assert process.wait(60) == 0
    assert count(installation) == before + 1


def test_a_killed_process_stored_all_of_its_mail_or_nothing(installation: Installation) -> None:
    installation.manage("mailboxes", "create", "second@example.com")
    before, stored = count(installation), 0
    for number in range(8):
        raw = simple_mail(f"Killed {number}")
        with started(installation, SAMPLE_ALIAS, "second@example.com") as process:
            assert process.stdin is not None
            process.stdin.write(raw)
            process.stdin.close()
            wait_for(
                lambda process=process: process.poll() is not None or has_opened_the_database(process.pid),
                within_s=60,
                what="the end of reading",
            )
            time.sleep(random.uniform(0, 0.06))
            process.kill()
            process.wait(60)
        added = count(installation) - before - stored
        assert added in ((2,) if process.returncode == 0 else (0, 2))
        stored += added
        if added:
            assert installation.get(f"/v1/emails/{newest(installation)['id']}/raw") == raw
