"""The pipe: first what each argument and each fault comes to, then the real process in a running installation."""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.test import override_settings

from emailgistics.common.errors import LimitReachedError, RefusedError, UnavailableError
from mailboxes.management.commands import receive_mail
from mailboxes.models import Email, Message, RawMessage, Recipient
from mailboxes.raw import read_raw
from mailboxes.services import provision, receive
from tests.factories import RAW, make_alias, make_mailbox
from tests.installation import ROOT, SAMPLE_ALIAS, Installation, simple_mail, wait_for

TO = "support@example.com"
OUR_FAULT = "4.3.0 Temporary failure here, please try again later"


# --- in this process


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is outside; what would go to it is listed instead."""
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, nudges: list[str], transactional_db: None) -> Run:
    def run_it(*arguments: str, raw: bytes = RAW) -> tuple[int, str, str]:
        """Exit status, stdout, stderr."""
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        try:
            call_command("receive_mail", *arguments, stdout=out, stderr=err)
        except SystemExit as end:
            return int(str(end.code)), out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    return run_it


def stored_counts() -> list[int]:
    return [model.objects.count() for model in (Message, RawMessage, Email, Recipient)]


def test_a_mail_is_stored_as_over_smtp_and_says_where_it_came_from(run: Run, nudges: list[str]) -> None:
    alias = make_alias()
    status, out, err = run("--sender=ada@example.net", "help+7@example.com")
    message = Message.objects.get()
    assert (status, out, err) == (0, f"accepted as {message.public_id}\n", "")
    assert (message.source, message.mail_from, message.client_ip, message.helo, message.state) == (
        Message.Source.PIPE, "ada@example.net", None, "", Message.State.WAITING,
    )  # fmt: skip
    assert read_raw(message) == RAW
    recipient = Recipient.objects.get()
    assert (recipient.address, recipient.alias, recipient.tag) == ("help+7@example.com", alias, "7")
    assert nudges == ["mailboxes.tasks.process"]


def test_json_is_the_message(run: Run) -> None:
    make_mailbox()
    status, out, _ = run("--json", TO)
    message = Message.objects.get()
    assert status == 0
    assert json.loads(out) == {
        "id": message.public_id,
        "received_at": message.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "size": len(RAW),
        "sha256": hashlib.sha256(RAW).hexdigest(),
    }


@pytest.mark.parametrize(
    "arguments, mail_from",
    [
        ([], ""),
        (["--sender="], ""),
        (["--sender", ""], ""),
        (["-f", "<>"], ""),
        (["-f", "ada@example.net"], "ada@example.net"),
        (["-f", "<ada@example.net>"], "ada@example.net"),
        (["--sender=-ada@example.net"], "-ada@example.net"),
        (["--sender=root"], "root"),
        (['--sender="a b"@example.net'], '"a b"@example.net'),
        (['--sender=<"a> b\\"@c"@example.net>'], '"a> b\\"@c"@example.net'),
        (["--sender=jürgen@bücher.example"], "jürgen@bücher.example"),
        (["--sender=@relay.example:ada@example.net"], "ada@example.net"),
    ],
)
def test_the_envelope_sender(run: Run, arguments: list[str], mail_from: str) -> None:
    make_mailbox()
    assert run(*arguments, TO)[0] == 0
    assert Message.objects.get().mail_from == mail_from


@pytest.mark.parametrize("sender", ["a\x00b@example.net", "\udcff@example.net", "x" * 321, "a>b", "a> SIZE=1", "a\nb"])
def test_a_sender_that_smtp_would_refuse_is_65(run: Run, sender: str) -> None:
    make_mailbox()
    status, out, err = run(f"--sender={sender}", TO)
    assert (status, out) == (65, "")
    assert re.fullmatch(r"5\.1\.7 Not a sender address: “.*”\n", err)
    assert "\x00" not in err
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "recipient, status, text",
    [
        ("nobody@example.com", 67, "5.1.1 No such recipient here: “nobody@example.com”"),
        ("gone@example.com", 67, "5.1.1 No such recipient here: “gone@example.com”"),
        ("support@example.org", 67, "5.7.1 This domain is not hosted here: “support@example.org”"),
        ("off@example.com", 67, "5.2.1 This address is disabled: “off@example.com”"),
        ("a..b@example.com", 65, "5.1.3 Not a recipient address: “a..b@example.com”"),
        ("support", 65, "5.1.3 Not a recipient address: “support”"),
        ("", 65, "5.1.3 Not a recipient address: “”"),
        ("<>", 65, "5.1.3 Not a recipient address: “<>”"),
        ("a\x00b@example.com", 65, "5.1.3 Not a recipient address: “a\N{REPLACEMENT CHARACTER}b@example.com”"),
        ("\udcff@example.com", 65, "5.1.3 Not a recipient address: “\N{REPLACEMENT CHARACTER}@example.com”"),
        ("support@example.com> NOTIFY=NEVER", 65, "5.1.3 Not a recipient address: “support@example.com> NOTIFY=NEVER”"),
        ("x" * 99 + "@example.com", 65, "5.1.3 Not a recipient address: “" + "x" * 80 + "…”"),
    ],
)
@pytest.mark.parametrize("others", [(), (TO,)])
def test_one_recipient_that_cannot_be_and_nobody_gets_it(
    run: Run, recipient: str, status: int, text: str, others: Sequence[str]
) -> None:
    mailbox = make_mailbox()
    provision.delete_alias(make_alias(address="gone@example.com", mailbox=mailbox))
    off = make_alias(address="off@example.com", mailbox=mailbox)
    off.is_active = False
    off.save()
    assert run(*others, recipient) == (status, "", text + "\n")
    assert stored_counts() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "recipient", ["<support@example.com>", "@relay.example:support@example.com", "SUPPORT+x@Example.com."]
)
def test_recipients_are_read_as_over_smtp(run: Run, recipient: str) -> None:
    mailbox = make_mailbox()
    assert run(recipient)[0] == 0
    assert Email.objects.get().mailbox == mailbox


def test_several_recipients_are_one_message_and_an_email_for_each_mailbox(run: Run) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_alias(mailbox=support)
    assert run(TO, "sales@example.com", SAMPLE_ALIAS)[0] == 0
    assert stored_counts() == [1, 1, 2, 3]
    assert {email.mailbox for email in Email.objects.all()} == {support, sales}


def test_a_test_domain_takes_mail_from_the_pipe(run: Run) -> None:
    provision.create_domain(name="trial.example", is_test=True)
    with override_settings(TEST_NETWORKS=[]):
        assert run("inbox@trial.example")[0] == 0
    assert Recipient.objects.get().explanation[0] == "trial.example is hosted, for tests"


def test_nothing_on_standard_input_is_65(run: Run) -> None:
    make_mailbox()
    assert run(TO, raw=b"") == (65, "", "5.6.0 There is no mail on standard input\n")
    assert stored_counts() == [0, 0, 0, 0]


def test_the_limit_is_the_one_of_smtp_to_the_octet(run: Run) -> None:
    make_mailbox()
    with override_settings(MAX_MESSAGE_BYTES=1000):
        too_big = "5.3.4 The message is larger than this host accepts (1000 octets)\n"
        assert run(TO, raw=b"x" * 1001) == (65, "", too_big)
        assert stored_counts() == [0, 0, 0, 0]
        assert run(TO, raw=b"x" * 1000)[0] == 0
    assert Message.objects.get().size == 1000


@pytest.mark.parametrize(
    "error, status, text",
    [
        (OperationalError("secret"), 75, f"{OUR_FAULT} (OperationalError)"),
        (MemoryError("secret"), 75, f"{OUR_FAULT} (MemoryError)"),
        (RuntimeError("secret"), 75, f"{OUR_FAULT} (RuntimeError)"),
        (UnavailableError("secret"), 75, f"{OUR_FAULT}: “{TO}”"),
        (LimitReachedError("secret"), 75, f"4.3.1 Too much for now, please try again later: “{TO}”"),
        (RefusedError("secret"), 77, f"5.7.1 Refused: “{TO}”"),
    ],
)
def test_each_kind_of_fault_has_its_status_and_nothing_of_its_words(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, text: str
) -> None:
    def find(address: str) -> None:
        raise error

    make_mailbox()
    monkeypatch.setattr(receive_mail, "route", find)
    assert run(TO) == (status, "", text + "\n")


def test_a_traceback_is_there_for_who_asks(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find(address: str) -> None:
        raise OperationalError("no route to host")

    monkeypatch.setattr(receive_mail, "route", find)
    assert run("--traceback", TO)[0] == 75
    assert "OperationalError: no route to host" in capsys.readouterr().err


def test_what_cannot_be_stored_whole_is_not_stored_at_all_and_75(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()

    def broken(**arguments: Any) -> Message:
        (found,) = arguments["routes"]
        # a mailbox that is not there: the foreign key objects at the commit
        return receive.receive_message(**arguments | {"routes": [found, replace(found, mailbox_id=uuid4())]})

    monkeypatch.setattr(receive_mail, "receive_message", broken)
    assert run(TO)[0] == 75
    assert stored_counts() == [0, 0, 0, 0]


# --- the real thing


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
    assert installation.wait_until_received({"Through the pipe"}, within_s=20) < 10
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
    assert subprocess.run(shell, cwd=ROOT, env=installation.env, input=RAW, check=False).returncode == 0
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            command(SAMPLE_ALIAS), cwd=ROOT, env=installation.env, input=RAW, stdout=nobody, stderr=nobody, check=False
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
        assert process.wait(20) == 75
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
        wait_for(lambda: has_opened_the_database(process.pid), within_s=20, what="the end of reading")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it waits for the lock
        let_go()
        assert process.wait(20) == 0
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
                within_s=20,
                what="the end of reading",
            )
            time.sleep(random.uniform(0, 0.06))
            process.kill()
            process.wait(20)
        added = count(installation) - before - stored
        assert added in ((2,) if process.returncode == 0 else (0, 2))
        stored += added
        if added:
            assert installation.get(f"/v1/emails/{newest(installation)['id']}/raw") == raw
