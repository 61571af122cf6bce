import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emailgistics import forkserver
from tests.installation import wait_for

# a supervisor in a process of its own, whose parts are given as {name: code}
DRIVER = """
import json, os, sys
from contextlib import nullcontext
from pathlib import Path
from emailgistics import forkserver, supervisor
parts = []
for name, code in json.loads(sys.argv[1]).items():
    Path(f"{name}.py").write_text(code)
    answers = Path(name).exists if name == "ready" else None
    parts.append(supervisor.Part(name, [sys.executable, f"{name}.py"], answers=answers))
where = {"folder": Path.cwd(), "environment": dict(os.environ)}
forks = forkserver.ForkServer("emailgistics.lifeline", **where) if sys.argv[3] == "forks" else nullcontext()
output = supervisor.Output(1)
supervising = supervisor.Supervisor(output, stop_within_s=float(sys.argv[2]))
with supervising.stopped_by_signals(), forks:
    output.open()
    start = forks.start if sys.argv[3] == "forks" else supervisor.start_interpreter
    supervising.run(parts, **where, start=start)
output.close()
"""
STARTED_AS = ["interpreters", *(["forks"] if forkserver.IS_POSSIBLE else [])]
SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
# leaves a child that nobody asked it to end
PARENT = "import os, time; os.fork(); os.write(1, b'pid %d\\n' % os.getpid()); time.sleep(60)"


class Supervised:
    def __init__(self, folder: Path, parts: dict[str, str], *, started_as: str, stop_within_s: float) -> None:
        self._path = folder / "output"
        with self._path.open("wb") as output:
            self.process = start(folder, parts, output.fileno(), started_as=started_as, stop_within_s=stop_within_s)

    def output(self) -> list[str]:
        return self._path.read_text().splitlines()

    def wait_for_lines(self, start: str, *, count: int = 1, within_s: float = 10) -> list[str]:
        def found() -> list[str]:
            return [line for line in self.output() if line.startswith(start)]

        wait_for(lambda: len(found()) >= count, within_s=within_s, what=f"{count} x {start!r} in {self.output()}")
        return found()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=20)


def start(
    folder: Path,
    parts: dict[str, str],
    output: int,
    errors: int | None = None,
    *,
    started_as: str,
    stop_within_s: float = 2,
) -> "subprocess.Popen[bytes]":
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(parts), str(stop_within_s), started_as],
        cwd=folder,
        env=environment,
        stdout=output,
        stderr=errors,
    )


@pytest.fixture(params=STARTED_AS)
def supervise(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[type[Supervised]]:
    running: list[Supervised] = []

    class Here(Supervised):
        def __init__(self, *, stop_within_s: float = 2, **parts: str) -> None:
            super().__init__(tmp_path, parts, started_as=request.param, stop_within_s=stop_within_s)
            running.append(self)

    yield Here
    for one in running:
        if one.process.poll() is None:
            one.end()


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def pids_of(name: str, lines: list[str]) -> list[int]:
    return [int(line.split()[-1]) for line in lines if line.startswith(name) and "| pid" in line]


def test_lines_come_whole_with_the_name_of_their_part(supervise: type[Supervised]) -> None:
    chatter = "import sys; [sys.stdout.write(f'{i} ' + 'x' * 3000 + chr(10)) for i in range(500)]; sys.stdout.flush();"
    supervised = supervise(one=chatter + SLEEP, two=chatter + SLEEP)  # type: ignore[call-arg]
    for name in ("one", "two"):
        lines = supervised.wait_for_lines(f"{name:<10} |", count=500)
        assert lines == [f"{name:<10} | {number} " + "x" * 3000 for number in range(500)]


def test_nothing_that_a_part_prints_is_acted_on_by_the_terminal(supervise: type[Supervised]) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'a\x1b[2Jb\rc\x07\td\xff\xc3\xa9' + b'\n'); sys.stdout.flush();"
    (line,) = supervise(noisy=code + SLEEP).wait_for_lines("noisy")  # type: ignore[call-arg]
    assert line == "noisy      | a\\x1b[2Jb\\rc\\x07\td\\xffé"


def test_what_dies_is_started_again_after_longer_and_longer_pauses(supervise: type[Supervised]) -> None:
    supervised = supervise(short="import sys; sys.exit(3)", steady="print('up once', flush=True);" + SLEEP)  # type: ignore[call-arg]
    said = supervised.wait_for_lines("up         | short", count=3)
    assert [line.partition("short ")[2] for line in said[:3]] == [
        f"exited with code 3 after 0 s; starting it again in {pause} s" for pause in ("0.5", "1", "2")
    ]
    assert len(supervised.wait_for_lines("steady")) == 1


def test_what_is_killed_is_started_again_and_its_children_go_with_it(supervise: type[Supervised]) -> None:
    supervised = supervise(part=PARENT)  # type: ignore[call-arg]
    before = pids_of("part", supervised.wait_for_lines("part", count=2))
    (leader,) = (pid for pid in before if os.getpgid(pid) == pid)
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, before)), within_s=30, what="the end of the child")
    after = pids_of("part", supervised.wait_for_lines("part", count=4))
    assert len(set(after)) == 4
    (said,) = supervised.wait_for_lines("up         | part")
    assert "was killed by SIGKILL after" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_and_then_the_supervisor(supervise: type[Supervised], number: int) -> None:
    supervised = supervise(one=PARENT, two=PARENT)  # type: ignore[call-arg]
    pids = [
        *pids_of("one", supervised.wait_for_lines("one", count=2)),
        *pids_of("two", supervised.wait_for_lines("two", count=2)),
    ]
    assert supervised.end(number) == 0
    assert [pid for pid in pids if is_alive(pid)] == []
    assert supervised.output()[-2:] == ["up         | stopping", "up         | stopped"]


def test_a_part_that_does_not_listen_is_killed_in_the_end(supervise: type[Supervised]) -> None:
    supervised = supervise(stubborn=STUBBORN)  # type: ignore[call-arg]
    supervised.wait_for_lines("stubborn")
    started = time.monotonic()
    assert supervised.end() == 0
    assert 2 < time.monotonic() - started < 30


def test_asked_twice_it_does_not_wait(supervise: type[Supervised]) -> None:
    supervised = supervise(stop_within_s=40, stubborn=STUBBORN)  # type: ignore[call-arg]
    supervised.wait_for_lines("stubborn")
    supervised.process.send_signal(signal.SIGINT)
    supervised.wait_for_lines("up         | stopping")
    assert supervised.end(signal.SIGINT) == 0  # within the 20 s that it waits for that


def test_it_stops_while_a_part_waits_for_its_next_start(supervise: type[Supervised]) -> None:
    supervised = supervise(short="import sys; sys.exit(3)")  # type: ignore[call-arg]
    supervised.wait_for_lines("up         | short", count=4)
    started = time.monotonic()
    assert supervised.end() == 0
    assert time.monotonic() - started < 3  # of the four until then


def test_it_says_when_all_parts_answer(supervise: type[Supervised]) -> None:
    code = "import time; print('soon', flush=True); time.sleep(1); open('ready', 'w').close();"
    supervised = supervise(ready=code + SLEEP, other=SLEEP)  # type: ignore[call-arg]
    (line,) = supervised.wait_for_lines("up         | ready in")
    assert float(line.split()[-2]) >= 1


@pytest.mark.parametrize("started_as", STARTED_AS)
@pytest.mark.parametrize("reader", ["is gone", "does not read"])
def test_parts_go_on_when_the_reader_of_the_output(tmp_path: Path, reader: str, started_as: str) -> None:
    code = (
        "import time\nfor i in range(3000): print('x' * 1000, flush=True)\n"
        "open('done', 'w').close()\nprint('more', flush=True)\ntime.sleep(60)"
    )
    read_end, write_end = os.pipe()
    process = start(tmp_path, {"part": code}, write_end, errors=subprocess.PIPE, started_as=started_as)
    os.close(write_end)
    if reader == "is gone":
        os.close(read_end)
    wait_for((tmp_path / "done").exists, within_s=60, what="the end of its output")
    process.terminate()
    assert process.communicate(timeout=10)[1] == b""
    assert process.returncode == 0
    if reader != "is gone":
        os.close(read_end)
