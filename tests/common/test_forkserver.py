"""What a fork is given, and what not; how it ends; what becomes of it without the fork server."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from emailgistics import forkserver
from tests.campaign_faults import is_running
from tests.installation import wait_for
from tests.shell import ROOT

pytestmark = pytest.mark.skipif(not forkserver.IS_POSSIBLE, reason="nobody adopts orphans here")

# a supervisor: the code that is given runs in it, and what it gives to `tell` is what the test learns
SUPERVISOR = """
import json, os, signal, sys, time
from pathlib import Path
from emailgistics import forkserver
from emailgistics.supervisor import Part

forks = forkserver.ForkServer("uuid_utils.compat", folder=Path.cwd(), environment=dict(os.environ))

def start(code, **variables):
    Path("part.py").write_text(code)
    return forks.start(Part("part", [sys.executable, "part.py", "argument"], None), Path.cwd(), os.environ | variables)

def ended(process):
    with process.stdout:
        output = process.stdout.read().decode()
    return process.wait(), output

def server():
    while not (found := [pid for pid in children() if Path(f"/proc/{pid}/comm").read_text() == "forkserver\\n"]):
        time.sleep(.01)  # it has yet to give itself that name
    return found[0]

def children():
    return [int(pid) for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()]

def tell(what):
    Path("told").write_text(json.dumps(what))
"""


def told(folder: Path, code: str, *, in_block: bool = True) -> Any:
    """What the code tells, run where there is a fork server."""
    block = f"with forks:\n{_indented(code)}" if in_block else dedent(code)
    run(folder, block)
    return json.loads((folder / "told").read_text())


def run(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR + code],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in dedent(code).splitlines())


def test_a_fork_is_what_was_asked_for(tmp_path: Path) -> None:
    code = """
        process = start(
            "import json, os, sys; print(json.dumps([sys.argv, os.getcwd(), os.environ['ONE'], __name__, "
            "os.getpid() == os.getsid(0) == os.getpgid(0), os.getppid(), sys.stdin.read()]))", ONE="1"
        )
        code, output = ended(process)
        tell([code, json.loads(output), os.getpid()])
    """
    ended_with, found, supervisor = told(tmp_path, code)
    assert ended_with == 0
    assert found == [["part.py", "argument"], str(tmp_path), "1", "__main__", True, supervisor, ""]


def test_a_fork_has_nothing_that_is_open_but_its_output(tmp_path: Path) -> None:
    code = """
        import os, socket
        kept, connection = open("kept", "w"), socket.create_server(("127.0.0.1", 0))
        with forks:
            # the directory that is listed is open meanwhile
            tell(ended(start("import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])")))
    """
    assert told(tmp_path, code, in_block=False) == [0, "[0, 1, 2]\n"]


def test_signals_mean_to_a_fork_what_they_mean_to_a_program(tmp_path: Path) -> None:
    code = """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by nohup
        asked = (
            "from signal import *; print([getsignal(number) for number in (SIGTERM, SIGUSR1, SIGHUP)] "
            "== [SIG_DFL, SIG_DFL, SIG_IGN], getsignal(SIGINT) is default_int_handler)"
        )
        with forks:
            tell(ended(start(asked)))
    """
    assert told(tmp_path, code, in_block=False) == [0, "True True\n"]


@pytest.mark.parametrize(
    ("code", "ends_with", "says"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import sys; sys.exit()", 0, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
        ("import atexit; atexit.register(print, 'goodbye')", 0, "goodbye\n"),
        (
            "import threading, time; threading.Thread(target=lambda: time.sleep(.5) or print('late')).start()",
            0,
            "late\n",
        ),
    ],
)
def test_a_fork_ends_as_a_program_does(tmp_path: Path, code: str, ends_with: int, says: str) -> None:
    assert told(tmp_path, f"tell(ended(start({code!r})))") == [ends_with, says]


def test_an_exception_is_shown_and_ends_a_fork(tmp_path: Path) -> None:
    code, output = told(tmp_path, "tell(ended(start('1 / 0')))")
    assert code == 1
    assert output.startswith("Traceback")
    assert output.endswith("ZeroDivisionError: division by zero\n")


def test_what_the_supervisor_has_yet_to_print_is_not_printed_by_a_fork(tmp_path: Path) -> None:
    code = """
        sys.stdout.write("of the supervisor")  # not flushed: it goes to a pipe
        with forks:
            tell(ended(start("print('of the fork')")))
    """
    assert told(tmp_path, code, in_block=False) == [0, "of the fork\n"]


def test_no_two_forks_draw_the_same_numbers_and_ids(tmp_path: Path) -> None:
    code = """
        import random, secrets
        from uuid_utils.compat import uuid7  # as ids.py makes them
        random.random(), uuid7()  # whatever these keep is there before the fork
        drawn = "import random, secrets; from uuid_utils.compat import uuid7 as i; print(*(f() for f in "
        drawn += "(random.random, secrets.token_hex, lambda: i().hex[13:], lambda: i().hex[13:])))"
        with forks:
            tell([ended(start(drawn))[1].split() for _ in range(3)])
    """
    drawn = told(tmp_path, code, in_block=False)
    assert [len(set(values)) for values in zip(*drawn, strict=True)] == [3, 3, 3, 3]


def test_forks_go_on_without_the_fork_server_and_there_is_another_for_the_next(tmp_path: Path) -> None:
    code = """
        first, before = start("import time; time.sleep(1); print('on')"), server()
        until = time.monotonic() + 20
        while open(f"/proc/{first.pid}/comm").read() == "forkserver\\n" and time.monotonic() < until:
            time.sleep(.01)  # it waits for the word to begin
        os.kill(before, signal.SIGKILL)
        time.sleep(.2)
        second = start("import os; print(os.getppid())")
        tell([ended(second), ended(first), server() != before, children() == [server()], os.getpid()])
    """
    second, first, is_another, is_alone, supervisor = told(tmp_path, code)
    assert (second, first) == ([0, f"{supervisor}\n"], [0, "on\n"])
    assert is_another
    assert is_alone


def test_a_fork_server_that_does_not_answer_is_replaced(tmp_path: Path) -> None:
    code = """
        before = server()
        os.kill(before, signal.SIGSTOP)
        forks._socket.settimeout(1)
        try:
            start("")
        except OSError as error:
            tell([type(error).__name__, ended(start("print('on')")), Path(f"/proc/{before}").exists()])
    """
    assert told(tmp_path, code) == ["TimeoutError", [0, "on\n"], False]


def test_it_ends_with_its_block_and_with_its_supervisor(tmp_path: Path) -> None:
    code = """
        with forks:
            before = server()
        tell([children(), Path(f"/proc/{before}").exists()])
    """
    assert told(tmp_path, code, in_block=False) == [[], False]
    killed = run(tmp_path, "forks.__enter__(); tell(server()); os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.returncode == -9
    orphan = int((tmp_path / "told").read_text())
    wait_for(lambda: not is_running(orphan), within_s=10, what="the end of the fork server")


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    code = """
        import threading
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        try:
            forks.__enter__()
        except RuntimeError as error:
            tell([str(error), children()])
    """
    error, children = told(tmp_path, code, in_block=False)
    assert error.startswith("A fork has none of these threads")
    assert children == []
