"""Starts Python commands as forks of one process that has loaded what all of them need: the fork server.

A fresh interpreter takes most of a second to import what the parts of an installation share, and keeps it in memory of
its own. The fork server has imported it once; a fork has it at once, and shares the memory until it writes to it.

It has one thread, no connection, and of descriptors only a socket to the process that it forks for, the supervisor.
Who gets a fork sees what `subprocess.Popen` would have given: the same command, variables and folder, a session of its
own, output to a pipe, and a child of the supervisor. For the last, the fork server forks twice, and the supervisor
adopts whatever below it has lost its parent. So it learns itself how each fork ends, and the fork server may die at any
time: no fork needs it any more, and for the next one there is another, in a fresh interpreter.

For Linux alone: nobody adopts elsewhere, and on macOS the system's libraries do not survive a fork.
"""

import atexit
import ctypes
import errno
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Never, Self, TextIO

from emailgistics.lifeline import watch_supervisor
from emailgistics.supervisor import Part

IS_POSSIBLE = sys.platform == "linux" and Path("/proc/self/fd").exists()
NAME = "forkserver"
ANSWER_WITHIN_S = 30  # one that was just started imports first, on a machine that may be busy
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What a fork is to become."""

    name: str  # `ps -o comm` and `top` show it; the command line stays that of the first process
    command: Sequence[str]  # the interpreter; a script, or -m and a module; arguments
    folder: str
    environment: Mapping[str, str]


# --- in the supervisor


class Fork:
    """A child that was forked: of a Popen, what a supervisor uses."""

    def __init__(self, pid: int, stdout: IO[bytes] | None = None) -> None:
        self.pid = pid
        self.stdout = stdout
        self._code: int | None = None
        self._reaping = threading.Lock()  # the number may be somebody else's after that, and is not signalled

    def wait(self) -> int:
        while (code := self.poll()) is None:
            with suppress(ChildProcessError):  # another thread was faster
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return code

    def poll(self) -> int | None:
        with self._reaping:
            if self._code is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self._code = os.waitstatus_to_exitcode(status) if pid else None
            return self._code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        with self._reaping:
            if self._code is None:
                os.kill(self.pid, number)


class ForkServer:
    """As a context manager: for the block there is a fork server, whatever becomes of the first one."""

    def __init__(self, preload: str, *, folder: Path, environment: Mapping[str, str]) -> None:
        """preload: the module whose import loads what the commands share.

        The first fork server is a fork of this process; folder and environment are for those that replace it.
        """
        self._preload = preload
        self._folder = folder
        self._environment = environment
        self._asking = threading.Lock()

    def __enter__(self) -> Self:
        """Forks this process, which has to be fit for that: with one thread, and with nothing open that is shared by
        a fork and must not be, as a connection to a database.
        """
        if threading.active_count() > 1:
            raise RuntimeError(
                f"A fork has none of these threads, and the locks that they held: {threading.enumerate()}"
            )
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever ignores it is not told how children end
        _adopt_orphans()
        gc.collect()
        gc.freeze()  # collections would write to all that is shared, and so end the sharing
        self._socket, theirs = _connected()
        self._server: Fork | subprocess.Popen[bytes] = Fork(os.fork())
        if not self._server.pid:
            _end_after(lambda: _serve(theirs.detach(), self._preload))
        theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        with self._asking:
            self._end()

    def start(self, part: Part, folder: Path, environment: Mapping[str, str]) -> Fork:
        """Raises OSError."""
        request = Request(part.name, part.command, str(folder), dict(environment))
        reading, writing = os.pipe()
        output = os.fdopen(reading, "rb")
        try:
            with self._asking:
                return Fork(self._ask(request, writing), output)
        except BaseException:
            output.close()
            raise
        finally:
            os.close(writing)

    def _ask(self, request: Request, output: int) -> int:
        if self._server.poll() is not None:
            self._start_another()
        try:
            socket.send_fds(self._socket, [_line_of(asdict(request))], [output])
            answer = json.loads(_line_from(self._socket))
        except OSError:
            self._end()  # or a late answer would be taken for that to the next question
            raise
        if "error" in answer:
            raise OSError(answer["error"])
        return int(answer["pid"])

    def _start_another(self) -> None:
        self._socket.close()
        self._socket, theirs = _connected()
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - this very module
                [sys.executable, "-m", "emailgistics.forkserver", str(theirs.fileno()), self._preload],
                cwd=self._folder,
                env=self._environment,
                pass_fds=[theirs.fileno()],
            )

    def _end(self) -> None:
        self._socket.close()
        self._server.kill()  # there is nothing in it to be lost
        self._server.wait()


def _connected() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.settimeout(ANSWER_WITHIN_S)
    return ours, theirs


def _adopt_orphans() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


# --- in the fork server


def _serve(descriptor: int, preload: str) -> None:
    """Answers at this socket for as long as the supervisor lives, and ends the process then."""
    os.setsid()  # Ctrl-C is not for us
    _call_it(NAME)
    _let_go_of_what_was_inherited(descriptor)
    importlib.import_module(preload)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as connection, suppress(ConnectionError):  # it died with an answer unread
        while _is_answered(connection):
            pass
    os._exit(0)  # without what its parent wanted to have done at the end


def _let_go_of_what_was_inherited(descriptor: int) -> None:
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):  # not what is ignored: nohup means the parts, too
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    sys.stdout.flush()  # what the supervisor has yet to print, it prints
    os.dup2(2, 1)
    os.set_inheritable(descriptor, False)
    # above all the lock that is the lifeline: who inherits it holds it
    for other in {int(path.name) for path in Path("/proc/self/fd").iterdir()} - {0, 1, 2, descriptor}:
        with suppress(OSError):  # the one that was open to list them
            os.close(other)


def _is_answered(connection: socket.socket) -> bool:
    """The next request; False when there is nobody any more who would have one."""
    line, outputs, _, _ = socket.recv_fds(connection, READ_BYTES, 1)
    if not line:
        return False
    with os.fdopen(outputs[0], "wb") as output:
        request = Request(**json.loads(_line_from(connection, line)))
        try:
            pid, waiting = _fork(connection, request, output)
        except OSError as error:
            connection.sendall(_line_of({"error": str(error)}))
            return True
    with waiting:
        # it begins when the supervisor is told: one that it does not know of would live on beside a successor
        connection.sendall(_line_of({"pid": pid}))
        with suppress(BrokenPipeError):  # it was killed at once
            waiting.send(b"!")
    return True


def _fork(connection: socket.socket, request: Request, output: IO[bytes]) -> tuple[int, socket.socket]:
    """The fork's pid, and where it waits for a word to begin. Raises OSError."""
    ours, theirs = socket.socketpair()
    between = os.fork()
    if not between:
        connection.close()
        ours.close()
        _end_after(lambda: _fork_again(request, output, theirs))
    theirs.close()
    number = os.waitstatus_to_exitcode(os.waitpid(between, 0)[1])
    # now it is the supervisor's child
    pid = ours.recv(16)
    if not pid:
        ours.close()
        raise OSError(number, os.strerror(number))
    return int(pid), ours


def _fork_again(request: Request, output: IO[bytes], word: socket.socket) -> None:
    """In the process between, which ends at once, so that the one that it forks is an orphan."""
    try:
        is_between = os.fork() > 0
    except OSError as error:
        os._exit(error.errno or 1)
    if is_between:
        os._exit(0)
    os.setsid()
    with word, output:
        word.send(str(os.getpid()).encode())
        if not word.recv(1):
            os._exit(1)  # the fork server has died
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    _become(request)


# --- in a fork


def _become(request: Request) -> None:
    """Runs the command as its interpreter would."""
    _call_it(request.name)
    _open_output_anew()
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    watch_supervisor()
    match request.command[1:]:
        case ["-m", module, *arguments]:
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *arguments]:
            sys.argv = [script, *arguments]
            runpy.run_path(script, run_name="__main__")


def _open_output_anew() -> None:
    """What is there was made for what the supervisor prints to, a terminal or a file, and may hold words of its."""
    before = sys.stderr
    sys.stdout = _text_to(1, like=sys.stdout)
    sys.stderr = _text_to(2, like=before, buffering=1)
    vars(sys).update(__stdout__=sys.stdout, __stderr__=sys.stderr)
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is before:
            handler.setStream(sys.stderr)


def _text_to(descriptor: int, *, like: TextIO, buffering: int = -1) -> TextIO:
    return open(descriptor, "w", buffering, like.encoding, like.errors, closefd=False)


def _end_after(run: Callable[[], None]) -> Never:
    """Runs it and ends this fork as an interpreter ends, without a way back into what its parent was about to do."""
    code = 1
    try:
        code = _code_of(run)
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing ends its forks
        atexit._run_exitfuncs()  # noqa: SLF001 - likewise
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code_of(run: Callable[[], None]) -> int:
    try:
        run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)  # noqa: T201 - as sys.exit says
        return 1
    except BaseException:  # noqa: BLE001 - there is nobody above
        traceback.print_exc()
        return 1
    return 0


# --- in all of them


def _line_of(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _line_from(connection: socket.socket, begun: bytes = b"") -> bytes:
    """Raises ConnectionError when the other end is gone."""
    while not begun.endswith(b"\n"):
        more = connection.recv(READ_BYTES)
        if not more:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        begun += more
    return begun


def _call_it(name: str) -> None:
    Path("/proc/self/comm").write_text(name)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), sys.argv[2])
