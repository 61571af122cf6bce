"""A part ends when its supervisor is gone, however it went.

`manage.py up` holds an exclusive lock on a file for as long as it lives; the kernel lets go of it even after kill -9.
Each part (and each worker process that a part forks or spawns) asks twice a second for the same lock. Getting it
means that nobody supervises any more, and the part kills its whole process group. So does finding that the file names
another supervisor: one that was started before the orphans of a killed one had looked. Works wherever flock does,
needs no signal that a library could swallow, and no descriptor that has to survive spawn and exec.
"""

import fcntl
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

VARIABLE = "EMAILGISTICS_LIFELINE"  # path of the lock file; set by the supervisor for its parts only
HOLDER = "EMAILGISTICS_LIFELINE_HOLDER"  # what the supervisor wrote into it
ASK_EVERY_S = 0.5

_watched_in: list[int] = []  # the process that runs the thread: a forked child inherits the list, not the thread


class AlreadyHeldError(Exception):
    """Another supervisor lives on this lock file."""


@contextmanager
def held(path: Path, *, wait_s: float) -> Iterator[dict[str, str]]:
    """Holds the lifeline for the block. Gives the environment variables with which parts find it.

    Waits a moment for the lock, which a part may have for an instant while it asks. Raises AlreadyHeldError.
    """
    holder = f"{os.getpid()} {secrets.token_hex(8)}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, until=time.monotonic() + wait_s)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        yield {VARIABLE: str(path), HOLDER: holder}
    finally:
        os.close(descriptor)


def watch_supervisor() -> None:
    """Starts the watch in this process if it is a part of `up`; does nothing otherwise, or the second time."""
    path = os.environ.get(VARIABLE)
    if not path or _watched_in == [os.getpid()]:
        return
    _watched_in[:] = [os.getpid()]
    threading.Thread(target=_watch, args=(path, os.environ.get(HOLDER, "")), name="lifeline", daemon=True).start()


def _lock(descriptor: int, *, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise AlreadyHeldError from error
            time.sleep(0.05)
        else:
            return


def _watch(path: str, holder: str) -> None:
    # opened once: a process that runs out of descriptors later, or a file that somebody deletes, is no reason to die
    with _opened(path) as file:
        while _is_held(file.fileno(), holder.encode()):
            time.sleep(ASK_EVERY_S)
    # every part leads a process group of its own (supervisor.py), so nothing else is in it
    os.killpg(0, signal.SIGKILL)


def _opened(path: str) -> FileIO:
    while True:
        try:
            return Path(path).open("rb", buffering=0)
        except OSError:
            # also when somebody deleted it: better unwatched than dead, and `up` makes it anew
            time.sleep(ASK_EVERY_S)


def _is_held(descriptor: int, holder: bytes) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return not holder or os.pread(descriptor, len(holder) + 1, 0) == holder
    return False
