import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emailgistics import lifeline

# a part that forks, as a worker does: both watch; neither would ever end by itself
PART = """
import os, time
from emailgistics.lifeline import watch_supervisor
watch_supervisor()
child = os.fork()
watch_supervisor()
os.write(1, b"child\\n" if child == 0 else b"part\\n")  # at once: both write to the same pipe
time.sleep(60)
"""
SUPERVISOR = """
import sys, time
from pathlib import Path
from emailgistics import lifeline
with lifeline.held(Path(sys.argv[1]), wait_s=0) as variables:
    print("\\n".join(variables.values()), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "up.lock"


def start(code: str, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
        start_new_session=True,
    )


def start_supervisor(lock: Path) -> tuple["subprocess.Popen[str]", dict[str, str]]:
    supervisor = start(SUPERVISOR, str(lock))
    assert supervisor.stdout
    path, holder = (supervisor.stdout.readline().strip() for _ in range(2))
    return supervisor, {lifeline.VARIABLE: path, lifeline.HOLDER: holder}


def start_part(variables: dict[str, str]) -> "subprocess.Popen[str]":
    part = start(PART, **variables)
    assert part.stdout
    assert {part.stdout.readline(), part.stdout.readline()} == {"part\n", "child\n"}
    return part


def ended_within(part: "subprocess.Popen[str]", seconds: float) -> bool:
    """The part and its child: the pipe that both hold is closed, and the part was killed."""
    try:
        part.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return part.returncode == -signal.SIGKILL


def end(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_part_and_its_child_live_as_long_as_their_supervisor(lock: Path) -> None:
    supervisor, variables = start_supervisor(lock)
    part = start_part(variables)
    assert not ended_within(part, 3 * lifeline.ASK_EVERY_S)
    supervisor.kill()
    assert ended_within(part, 30)
    end(supervisor)


def test_a_part_ends_though_another_supervisor_was_faster_than_it(lock: Path) -> None:
    first, variables = start_supervisor(lock)
    part = start_part(variables)
    first.kill()
    first.wait()
    second, _ = start_supervisor(lock)
    assert ended_within(part, 30)
    end(first, second)


def test_a_part_lives_on_when_the_lock_file_is_deleted(lock: Path) -> None:
    supervisor, variables = start_supervisor(lock)
    part = start_part(variables)
    lock.unlink()
    assert not ended_within(part, 3 * lifeline.ASK_EVERY_S)
    end(part, supervisor)


def test_a_part_that_starts_while_the_lock_file_is_gone_does_not_die_of_it(lock: Path) -> None:
    supervisor, variables = start_supervisor(lock)
    lock.unlink()
    part = start_part(variables)
    assert not ended_within(part, 3 * lifeline.ASK_EVERY_S)
    end(part, supervisor)


def test_a_child_that_outlives_its_part_ends_with_the_supervisor_too(lock: Path) -> None:
    supervisor, variables = start_supervisor(lock)
    part = start_part(variables)
    part.kill()
    part.wait()
    supervisor.kill()
    assert part.stdout
    started = time.monotonic()
    assert part.stdout.read() == ""  # the pipe is closed when the child is gone
    assert time.monotonic() - started < 30
    end(part, supervisor)


def test_what_is_no_part_is_left_alone() -> None:
    alone = start(PART)
    assert not ended_within(alone, 3 * lifeline.ASK_EVERY_S)
    end(alone)


def test_the_lifeline_is_held_by_one(lock: Path) -> None:
    with lifeline.held(lock, wait_s=0), pytest.raises(lifeline.AlreadyHeldError), lifeline.held(lock, wait_s=0.2):
        pass
    with lifeline.held(lock, wait_s=0) as variables:
        assert lock.read_text() == variables[lifeline.HOLDER]
