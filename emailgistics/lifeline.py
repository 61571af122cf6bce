"""A part ends when its supervisor is gone, however it went.

`manage.py up` holds an exclusive lock on a file for as long as it lives; the kernel lets go of it even after kill -9.
Each part (and each worker process that a part forks or spawns) asks twice a second for the same lock. Getting it
means that nobody supervises any more, and the part kills its whole process group. Works wherever flock does, needs no
signal that a library could swallow, and no descriptor that has to survive fork, spawn and exec.
"""

import fcntl
import os
import signal
import threading
import time

VARIABLE = "EMAILGISTICS_LIFELINE"  # path of the lock file; set by the supervisor for its parts only
ASK_EVERY_S = 0.5

_watched_in: list[int] = []  # the process that runs the thread: a forked child inherits the list, not the thread


def watch_supervisor() -> None:
    """Starts the watch in this process if it is a part of `up`; does nothing otherwise, or the second time."""
    path = os.environ.get(VARIABLE)
    if not path or _watched_in == [os.getpid()]:
        return
    _watched_in[:] = [os.getpid()]
    threading.Thread(target=_watch, args=(path,), name="lifeline", daemon=True).start()


def _watch(path: str) -> None:
    while not _is_free(path):
        time.sleep(ASK_EVERY_S)
    # every part leads a process group of its own (supervisor.py), so nothing else is in it
    os.killpg(0, signal.SIGKILL)


def _is_free(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - no pathlib here: this runs in every process, twice a second
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
