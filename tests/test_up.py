"""`manage.py up` as a newcomer and a service manager meet it: real parts, real signals."""

import contextlib
import itertools
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emailgistics import forkserver
from emailgistics.common import env
from emailgistics.management.commands.up import COMMANDS, _parts
from tests.installation import PARTS, Installation, found_in, free_ports, processes_of, simple_mail, wait_for
from tests.shell import ROOT

pytestmark = pytest.mark.on_sqlite

FORKED = pytest.mark.skipif(not forkserver.IS_POSSIBLE, reason="parts are interpreters of their own here")
GONE_WITHIN_S = 30  # of processes that would go on for ever
BACK_WITHIN_S = 60
STOPPED_WITHIN_S = 20


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Installation]:
    """Before its first start, but for the migrations: they would take most of that."""
    with Installation(tmp_path, is_migrated=True) as one:
        yield one


@pytest.fixture
def nothing(tmp_path: Path) -> Iterator[Installation]:
    with Installation(tmp_path) as one:
        yield one


def refused(installation: Installation, **variables: str) -> str:
    """What `up` says when it does not start."""
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=installation.env | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, (done.stdout, done.stderr)
    return done.stderr


def secrets_of(installation: Installation) -> list[str]:
    text = installation.first_run()
    password = found_in(r"password +\S+", text).split()[1]
    return [password, found_in(r"emgk_\w+", text), found_in(r"whsec_\S+", text)]


def test_from_nothing_to_a_delivered_mail_and_the_same_again_after_a_stop(nothing: Installation) -> None:
    nothing.start()
    wait_for(lambda: "ready in" in nothing.log(), within_s=60, what="the line that says so")
    assert set(nothing.pids()) == set(PARTS)
    assert stat.S_IMODE((nothing.data_dir / "first-run.txt").stat().st_mode) == 0o600
    nothing.send(simple_mail("First start"))
    nothing.wait_until_received({"First start"}, within_s=60)
    first_run, secrets = nothing.first_run(), secrets_of(nothing)

    started = time.monotonic()
    assert nothing.stop(number=signal.SIGINT) == 0
    assert time.monotonic() - started < STOPPED_WITHIN_S
    assert list(processes_of(nothing.data_dir)) == []

    nothing.start()
    nothing.send(simple_mail("Second start"))
    nothing.wait_until_received({"Second start"}, within_s=60)
    assert nothing.first_run() == first_run
    assert [mail["subject"] for mail in nothing.get_json("/v1/emails")["data"]] == ["Second start", "First start"]
    assert nothing.stop(number=signal.SIGTERM) == 0
    assert [secret for secret in secrets if secret in nothing.log()] == []


def test_the_lines_of_first_run_txt_work_as_they_are(installation: Installation) -> None:
    send = found_in(r"(?m)^python3 -c .*$", installation.first_run())
    read = found_in(r"(?m)^curl .*$", installation.first_run())
    subprocess.run(["sh", "-c", send], check=True, timeout=20)
    installation.wait_until_received({"Hello"}, within_s=60)
    if subprocess.run(["sh", "-c", "command -v curl"], check=False, capture_output=True).returncode == 0:
        done = subprocess.run(["sh", "-c", f"{read} --silent"], check=True, timeout=20, capture_output=True)
        assert b'"Hello"' in done.stdout


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_replaced_with_all_of_its_processes(installation: Installation, part: str) -> None:
    wait_for(lambda: set(installation.pids()) == set(PARTS), within_s=BACK_WITHIN_S, what="all parts")
    before, all_before = first_processes(installation), installation.pids()[part]
    kill_and_wait(installation, part)
    assert f"{part} was killed by SIGKILL" in installation.log()
    assert [pid for pid in all_before if pid in processes_of(installation.data_dir)] == []
    assert first_processes(installation) | {part: 0} == before | {part: 0}
    subject = f"After the death of {part}"
    wait_for(lambda: accepts(installation, subject), within_s=BACK_WITHIN_S, what="mail taken")
    installation.wait_until_received({subject}, within_s=BACK_WITHIN_S)


@FORKED
def test_nobody_misses_a_killed_fork_server(installation: Installation) -> None:
    wait_for(lambda: set(installation.pids()) == set(PARTS), within_s=BACK_WITHIN_S, what="all parts")
    parts, first = first_processes(installation), installation.fork_server()
    assert first
    os.kill(first, signal.SIGKILL)
    installation.send(simple_mail("Without a fork server"))
    installation.wait_until_received({"Without a fork server"}, within_s=60)
    assert first_processes(installation) == parts

    kill_and_wait(installation, "smtp")
    wait_for(lambda: accepts(installation, "By the next"), within_s=BACK_WITHIN_S, what="mail taken")
    installation.wait_until_received({"By the next"}, within_s=60)
    second = installation.fork_server()
    assert second not in (None, first)
    kill_and_wait(installation, "sink")
    assert installation.fork_server() == second


@FORKED
def test_parts_inherit_nothing_that_is_open(installation: Installation) -> None:
    wait_for(lambda: set(installation.pids()) == set(PARTS), within_s=BACK_WITHIN_S, what="all parts")
    server = installation.fork_server()
    assert server
    assert threads_of(server) == 1  # or its forks would inherit locks that nobody opens
    firsts = {"forkserver": server} | first_processes(installation)
    for one, another in itertools.combinations(firsts, 2):
        assert connections_of(firsts[one]) & connections_of(firsts[another]) == set(), (one, another)
    # who inherited that lock would hold it on when the supervisor is gone
    assert {name: writes_to(pid, "up.lock") for name, pid in firsts.items()} == dict.fromkeys(firsts, False)
    assert {name: writes_to(pid, "up.log") for name, pid in firsts.items() if name != "forkserver"} == dict.fromkeys(
        PARTS, False
    )
    others = {target for _, target in descriptors_of(server) if not target.startswith("socket:")}
    assert others == {"/dev/null", str(installation.log_path)}


def connections_of(pid: int) -> set[str]:
    """Its sockets and pipes, each by its number."""
    return {target for _, target in descriptors_of(pid) if target.startswith(("socket:", "pipe:"))}


def writes_to(pid: int, name: str) -> bool:
    return any(
        target.endswith(f"/{name}") and int(found_in(r"(?m)^flags:\s+(\d+)", info).split()[1], 8) & os.O_ACCMODE
        for info, target in descriptors_of(pid)
    )


def descriptors_of(pid: int) -> Iterator[tuple[str, str]]:
    """Of each: what /proc tells about it, and what it is open on."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield Path(f"/proc/{pid}/fdinfo/{path.name}").read_text(), str(path.readlink())


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def first_processes(installation: Installation) -> dict[str, int]:
    return {name: pids[0] for name, pids in installation.pids().items()}


def kill_and_wait(installation: Installation, part: str) -> None:
    """Until there is another one."""
    before = installation.pids()[part]
    os.kill(before[0], signal.SIGKILL)

    def is_back() -> bool:
        now = installation.pids()
        return set(now) == set(PARTS) and not set(now[part]) & set(before)

    wait_for(is_back, within_s=BACK_WITHIN_S, what=f"another {part}")


def accepts(installation: Installation, subject: str) -> bool:
    with contextlib.suppress(OSError):
        installation.send(simple_mail(subject))
        return True
    return False


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts_at_once(fresh: Installation) -> None:
    fresh.start()
    wait_for(lambda: len(fresh.pids().get("worker", [])) == 3, within_s=60, what="worker children")
    assert fresh.supervisor
    orphans = set(processes_of(fresh.data_dir)) - {fresh.supervisor.pid}
    fresh.supervisor.kill()
    fresh.supervisor.wait()
    fresh.start()
    wait_for(
        lambda: not orphans & set(processes_of(fresh.data_dir)),
        within_s=GONE_WITHIN_S,
        what="the end of the orphans",
    )
    wait_for(lambda: accepts(fresh, "Started over"), within_s=BACK_WITHIN_S, what="mail taken")
    fresh.wait_until_received({"Started over"}, within_s=60)
    fresh.supervisor.kill()
    fresh.supervisor.wait()
    wait_for(lambda: not list(processes_of(fresh.data_dir)), within_s=GONE_WITHIN_S, what="the end of all")


@pytest.mark.parametrize("variable", ["HTTP_PORT", "SMTP_PORT", "SINK_PORT"])
def test_a_taken_port_is_refused_by_its_name(fresh: Installation, variable: str) -> None:
    with socket.create_server(("127.0.0.1", int(fresh.env[variable]))):
        said = refused(fresh)
    assert re.search(rf"{variable}.*\b{fresh.env[variable]}\b.*is taken", said), said
    assert not (fresh.data_dir / "first-run.txt").exists()
    assert list(processes_of(fresh.data_dir)) == []


def test_listeners_are_started_as_many_as_are_wanted(settings: Any) -> None:
    settings.SMTP_PROCESSES, settings.LMTP_PORT = 3, 2424
    commands = {part.name: part.command[2:] for part in _parts()}
    assert {name: command for name, command in commands.items() if command[0] == "smtpd"} == {
        "smtp": ["smtpd", "--reuse-port"],
        "smtp-2": ["smtpd", "--reuse-port"],
        "smtp-3": ["smtpd", "--reuse-port"],
        "lmtp": ["smtpd", "--lmtp"],
    }


def test_two_variables_with_one_port_are_refused(fresh: Installation) -> None:
    assert "SMTP_PORT" in refused(fresh, SMTP_PORT=fresh.env["HTTP_PORT"])


def test_a_second_one_on_the_same_data_is_refused(installation: Installation) -> None:
    http, smtp, sink = map(str, free_ports(3))
    said = refused(installation, HTTP_PORT=http, SMTP_PORT=smtp, SINK_PORT=sink)
    assert "Another `up` is running" in said
    assert str(installation.data_dir) in said


def test_samples_are_made_once_and_by_nobody_who_finds_something(installation: Installation) -> None:
    before = installation.first_run()
    done = subprocess.run(
        [sys.executable, "manage.py", "quickstart"], cwd=ROOT, env=installation.env, capture_output=True, check=True
    )
    assert b"nothing made" in done.stdout
    assert installation.first_run() == before
    assert [secret for secret in secrets_of(installation) if secret.encode() in done.stdout] == []


def test_a_given_password_is_taken_and_not_repeated(fresh: Installation) -> None:
    fresh.env["EMAILGISTICS_ADMIN_PASSWORD"] = "a horse of course"
    command = [sys.executable, "manage.py", "quickstart"]
    subprocess.run(command, cwd=ROOT, env=fresh.env, check=True, capture_output=True)
    assert "a horse of course" not in fresh.first_run()
    code = "from django.contrib.auth import authenticate as a; print(a(username='admin', password='a horse of course'))"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT,
        env=fresh.env,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "admin"


def test_what_an_interrupted_first_start_wrote_is_replaced(fresh: Installation) -> None:
    (fresh.data_dir / "first-run.txt").write_text("from a start that was killed before its commit")
    command = [sys.executable, "manage.py", "quickstart"]
    subprocess.run(command, cwd=ROOT, env=fresh.env, check=True, capture_output=True)
    assert len(secrets_of(fresh)) == 3


def test_webhooks_may_reach_the_receiver_of_this_start_and_what_was_given(fresh: Installation) -> None:
    ours = f"127.0.0.1/32:{fresh.sink_port}"
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        fresh.env["WEBHOOK_ALLOW_NETWORKS"] = f"127.0.0.1/32:{port}"
        fresh.start()
        fresh.manage("webhooks", "create", "--url", f"http://127.0.0.1:{port}/", "--alias", "help@example.com")
        fresh.send(simple_mail("To both"))
        fresh.wait_until_received({"To both"}, within_s=60)
        given.settimeout(60)
        given.accept()[0].close()
    assert env.generated(fresh.data_dir)["WEBHOOK_ALLOW_NETWORKS"] == ours
    del fresh.env["WEBHOOK_ALLOW_NETWORKS"]
    fresh.manage(
        "webhooks", "create", "--url", f"http://127.0.0.1:{fresh.sink_port}/again", "--alias", "help@example.com"
    )
    fresh.stop()

    env.set_generated(fresh.data_dir, "WEBHOOK_ALLOW_NETWORKS", f"198.51.100.0/24,{ours}")
    with socket.create_server(("127.0.0.1", 0)) as other:
        fresh.sink_port = other.getsockname()[1]
    fresh.env["SINK_PORT"] = str(fresh.sink_port)
    fresh.start()
    assert env.generated(fresh.data_dir)["WEBHOOK_ALLOW_NETWORKS"] == f"198.51.100.0/24,127.0.0.1/32:{fresh.sink_port}"
    # the sample webhook went along with its receiver
    fresh.send(simple_mail("To the other port"))
    fresh.wait_until_received({"To the other port"}, within_s=60)


def test_the_procfile_runs_what_up_runs() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    assert dict(line.split(": ", 1) for line in lines) == COMMANDS
