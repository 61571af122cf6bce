"""Whether a process lives and gets round its loop, as it is seen from beside it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from emailgistics.common import pulse
from emailgistics.common.pulse import Pulse, signs_of
from tests.installation import free_ports
from webhooks.services import dispatch

pytestmark = pytest.mark.on_sqlite

# beats once, says so, and waits for the end of its input
BEATING = """
import sys
from emailgistics.common.pulse import Pulse
one = Pulse("worker")
one.beat()
print("beaten", flush=True)
sys.stdin.read()
"""


def run(role: str) -> str:
    """Why not; empty: it is healthy."""
    out, refused = StringIO(), None
    try:
        call_command("health", "--role", role, "--json", stdout=out)
    except CommandError as error:
        refused = error
    told = json.loads(out.getvalue())
    assert told == {"role": role, "healthy": refused is None, "reason": str(refused or "")}
    assert refused is None or refused.returncode == 1
    return str(refused or "")


@pytest.fixture(autouse=True)
def folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "pulse"


@pytest.fixture
def process(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "emailgistics.settings"}
    started = subprocess.Popen(
        [sys.executable, "-c", BEATING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with started:
        assert started.stdout
        assert started.stdout.readline() == "beaten\n"
        yield started
        started.kill()


def grown_old(path: Path, *, by_s: float) -> None:
    at = path.stat().st_mtime - by_s
    os.utime(path, (at, at))


def test_what_a_container_that_is_no_more_left_behind_goes_in_time(folder: Path) -> None:
    folder.mkdir()
    for name, age_s in (("worker-0a1b2c-7", pulse.LONG_GONE_AFTER_S), ("worker-3d4e5f-7", 60), ("beat-0a1b2c-7", 1e9)):
        (folder / name).touch()
        grown_old(folder / name, by_s=age_s + 1)
    own = Pulse("worker")
    own.beat()
    own._close()
    left = {path.name for path in folder.iterdir()} - {f"worker-{socket.gethostname()}-{os.getpid()}"}
    assert left == {"worker-3d4e5f-7", "beat-0a1b2c-7"}


def test_a_process_that_beats_is_well_until_it_stops_beating_or_is_killed(
    process: "subprocess.Popen[str]", folder: Path
) -> None:
    assert run("worker") == ""
    assert "no dispatcher lives on this machine" in run("dispatcher")
    [path] = folder.iterdir()
    assert path.name == f"worker-{socket.gethostname()}-{process.pid}"
    grown_old(path, by_s=pulse.STALE_AFTER_S - 5)
    assert run("worker") == ""
    grown_old(path, by_s=10)
    assert f"worker {process.pid}: it hangs" in run("worker")
    process.send_signal(signal.SIGKILL)
    process.wait()
    own = Pulse("worker")
    own.beat()
    assert [one.name for one in folder.iterdir()] == [path.name.replace(str(process.pid), str(os.getpid()))]
    own._close()
    assert "no worker lives on this machine" in run("worker")
    assert not list(folder.iterdir()), "what a dead one left behind is cleared away"


def test_what_another_thread_is_stuck_in_is_trouble_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_EVERY_S", 0)
    stuck = ["it is stuck"]
    own = Pulse("dispatcher", trouble=lambda: stuck[0])
    own.beat()
    assert run("dispatcher") == f"dispatcher {os.getpid()}: it is stuck"
    stuck[0] = ""
    own.beat()
    assert run("dispatcher") == ""
    own._close()


def test_a_beat_of_another_thread_or_of_a_child_is_none(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(pulse, "BEAT_EVERY_S", 0)
    own = Pulse("worker")
    other = threading.Thread(target=own.beat)
    other.start()
    other.join()
    assert not signs_of("worker")
    own.beat()
    [path] = folder.iterdir()
    child = os.fork()
    if not child:
        own.beat()
        # it has let go of the lock, or the parent would seem to live for as long as it does
        os._exit(0 if own._descriptor is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [sign.trouble for sign in signs_of("worker")] == [""]
    path.unlink()
    own.beat()
    assert signs_of("worker"), "it is made again"
    own._close()
    assert not signs_of("worker")


def test_a_run_of_the_dispatcher_that_stands_still_is_trouble_and_an_idle_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(dispatch, "run_until_idle", lambda **_: goes_on.wait(30))
    engine = dispatch.Engine()
    long = dispatch.HANGS_AFTER.total_seconds() + 1
    engine._course.gone_round_at -= long
    assert engine.trouble() == "", "it has nothing to do"
    engine.wake()
    assert engine.trouble() == ""
    engine._course.gone_round_at -= long
    assert engine.trouble() == "the run that sends has not gone round for 3 min"
    goes_on.set()
    engine.join()
    assert engine.trouble() == ""


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pulse").write_text("in the way")
    own = Pulse("worker")
    own.beat()
    assert "no worker lives" in run("worker")


def test_a_port_on_which_nothing_or_somebody_else_answers_is_unhealthy(settings: Settings) -> None:
    settings.HTTP_PORT, settings.SMTP_PORT = free_ports(2)
    for role in ("web", "smtp"):
        assert "nothing answers" in run(role)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.HTTP_PORT = settings.SMTP_PORT = server.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                one, _address = server.accept()
                with one:
                    one.sendall(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        assert "answers 503" in run("web")
        assert "greets with" in run("smtp")
        answering.join()
