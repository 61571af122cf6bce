"""Runs the parts of an installation as child processes: starts again what dies, stops all of them together.

Knows nothing of what the parts are; `manage.py up` says that.
"""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, Protocol

AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 5.0)  # the last for all further ones
STEADY_AFTER_S = 30  # a part that ran so long begins again at the first delay
LINE_BYTES = 16 * 1024  # a longer one is printed in pieces
LINES_WAITING = 10_000

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Part:
    """A command to keep running; `answers` says whether it can be used by now, where that can be asked."""

    name: str
    command: Sequence[str]
    answers: Callable[[], bool] | None = None


class Process(Protocol):
    """The first process of a part, a child of ours that leads a session of its own. As subprocess.Popen has it."""

    @property
    def pid(self) -> int: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def wait(self) -> int: ...

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...


# the part, its folder and its variables; raises OSError
Start = Callable[[Part, Path, Mapping[str, str]], Process]


def start_interpreter(part: Part, folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - the commands of `up`
        part.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=environment,
        # a group of its own: Ctrl-C reaches the supervisor only, and the group can be killed as one
        start_new_session=True,
    )


class Output:
    """Whole lines to a descriptor, from a thread of its own.

    A terminal that somebody paused, or a pipe that nobody reads, must not stop a part: lines wait in a bounded queue,
    and are dropped when it is full. Once the descriptor is broken it is left alone. They are written from `open` on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(LINES_WAITING)
        self._thread = threading.Thread(target=self._write_lines, name="output", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def line(self, name: str, text: str) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(f"{name:<10} | {_printable(text)}\n".encode())

    def close(self) -> None:
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._lines.put(None, timeout=1)
            self._thread.join(timeout=1)

    def _write_lines(self) -> None:
        is_broken = False
        while (line := self._lines.get()) is not None:
            try:
                while line and not is_broken:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                is_broken = True


class Supervisor:
    def __init__(self, output: Output, *, stop_within_s: float) -> None:
        """stop_within_s: from asking the parts to stop until what is left of them is killed."""
        self._output = output
        self._stop_within_s = stop_within_s
        self._running: dict[str, Process] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked = 0

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM or a closed terminal ask `run` to stop; asked twice, it kills at once."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            # and no more: an event's lock may be held by the very code that a signal interrupts
            self._asked += 1

        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            # nohup means it; the SIGINT that a shell takes from its background jobs is wanted all the same
            if number != signal.SIGHUP or before[number] != signal.SIG_IGN:
                signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def say(self, text: str) -> None:
        self._output.line("up", text)

    def run(
        self,
        parts: Sequence[Part],
        *,
        folder: Path,
        environment: Mapping[str, str],
        start: Start = start_interpreter,
    ) -> None:
        """Keeps all parts running until asked to stop, and returns when every process of theirs is gone."""
        started_at = time.monotonic()
        starts = [partial(start, part, folder, environment) for part in parts]
        keepers = [threading.Thread(target=self._keep, args=pair) for pair in zip(parts, starts, strict=True)]
        for keeper in keepers:
            keeper.start()
        threading.Thread(target=self._tell_when_ready, args=(parts, started_at), daemon=True).start()
        while not self._asked:
            time.sleep(0.1)
        self._stop.set()
        self.say("stopping")
        self._signal_all(lambda process: process.terminate())
        deadline = time.monotonic() + self._stop_within_s
        while any(keeper.is_alive() for keeper in keepers):
            if self._asked > 1 or time.monotonic() > deadline:
                self._signal_all(lambda process: _kill_group(process.pid))
            time.sleep(0.05)
        self.say("stopped")

    def _keep(self, part: Part, start: Callable[[], Process]) -> None:
        deaths = 0
        while not self._stop.is_set():
            started_at = time.monotonic()
            end = self._run_once(part.name, start)
            lived_s = time.monotonic() - started_at
            deaths = 0 if lived_s >= STEADY_AFTER_S else deaths
            pause_s = AGAIN_AFTER_S[min(deaths, len(AGAIN_AFTER_S) - 1)]
            deaths += 1
            if not self._stop.is_set():
                self.say(f"{part.name} {end} after {lived_s:.0f} s; starting it again in {pause_s:g} s")
                self._stop.wait(pause_s)

    def _run_once(self, name: str, start: Callable[[], Process]) -> str:
        """Until the part has ended, and says how."""
        try:
            process = start()
        except OSError as error:  # no memory, no more processes, no such program (any more)
            return f"could not be started ({error})"
        with self._lock:
            self._running[name] = process
            is_late = self._stop.is_set()
        if is_late:  # the others were asked to stop before this one was there to be asked
            _kill_group(process.pid)
        reader = threading.Thread(target=self._print_lines, args=(name, process.stdout), daemon=True)
        reader.start()
        code = process.wait()
        # what it forked would hold its port, or work on beside its successor
        _end_group(process.pid)
        reader.join(timeout=1)
        return _how_it_ended(code)

    def _signal_all(self, send: Callable[[Process], None]) -> None:
        """To each part's first process, which knows how to stop the others of its group."""
        with self._lock:
            for process in self._running.values():
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        send(process)

    def _print_lines(self, name: str, stream: IO[bytes]) -> None:
        with suppress(ValueError), stream:
            for line in iter(lambda: stream.readline(LINE_BYTES), b""):
                if text := line.decode(errors="backslashreplace").rstrip("\r\n"):
                    self._output.line(name, text)

    def _tell_when_ready(self, parts: Sequence[Part], started_at: float) -> None:
        waiting = [part.answers for part in parts if part.answers]
        while waiting and not self._stop.wait(0.1):
            waiting = [answers for answers in waiting if not answers()]
        if not self._stop.is_set():
            self.say(f"ready in {time.monotonic() - started_at:.1f} s")


def _end_group(group: int) -> None:
    _kill_group(group)
    # those that the death of their parents has made children of ours, see forkserver.py
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-group, 0)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says EPERM for zombies
        os.killpg(group, signal.SIGKILL)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def _printable(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would act on."""
    return "".join(
        character if character.isprintable() or character == "\t" else repr(character)[1:-1] for character in text
    )
