"""That a process without a port lives and gets round its loop, for whoever looks from the same machine.

Each such process has a file of its own, DATA_DIR/pulse/<role>-<host>-<pid>. It holds a lock on it for as long as it
lives, which the kernel lets go of however it ends, and touches it from the loop that does its work: what hangs stops
doing so. Nothing is asked of the broker or of the database.
"""

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

BEAT_EVERY_S = 1
STALE_AFTER_S = 30  # loops go round every second or two, and wait a few seconds for a broker or a database that is away
LONG_GONE_AFTER_S = 24 * 60 * 60  # whoever lives touches his every second, and makes it again should it be gone


def folder() -> Path:
    return Path(settings.DATA_DIR) / "pulse"


class Pulse:
    """Of this process in one role. `beat` is called from its loop, as often as it goes round."""

    def __init__(self, role: str, *, trouble: Callable[[], str] = lambda: "") -> None:
        """trouble: what another thread of the process is stuck in, if it is; empty otherwise."""
        self._role = role
        self._trouble = trouble
        self._descriptor: int | None = None
        self._pid = os.getpid()
        self._thread = threading.get_ident()
        self._beaten_at = float("-inf")
        self._said = ""
        self._is_told = False
        # a child of the process holds nothing of this, or the lock would outlive the process
        os.register_at_fork(after_in_child=self._close)

    def beat(self) -> None:
        """Never raises. A call from another thread or process than the one that made it tells nothing, and counts for
        nothing.
        """
        now = time.monotonic()
        is_ours = self._pid == os.getpid() and self._thread == threading.get_ident()
        if not is_ours or now - self._beaten_at < BEAT_EVERY_S:
            return
        self._beaten_at = now
        try:
            self._write(self._trouble())
        except OSError as error:
            if not self._is_told:
                self._is_told = True
                log.warning("pulse.not_written", role=self._role, folder=str(folder()), error=type(error).__name__)

    def _write(self, trouble: str) -> None:
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:  # somebody deleted it
            self._close()
        if self._descriptor is None:
            self._descriptor = self._open()
            self._said = ""
        if trouble != self._said:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, trouble.encode(), 0)
            self._said = trouble
        os.utime(self._descriptor)

    def _open(self) -> int:
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear_away(self._role)  # what those before left behind, if nobody has looked since
        name = f"{self._role}-{socket.gethostname()}-{self._pid}"
        draft = folder() / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # locked before it can be found: one that is not is taken for a dead process's, and cleared away
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        draft.rename(folder() / name)
        return descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True, slots=True)
class Sign:
    """A process that lives on this machine. trouble: why it does not do its work; empty: it does."""

    pid: int
    trouble: str


def signs_of(role: str) -> list[Sign]:
    """Of every process on this machine in that role; what dead ones have left behind is cleared away."""
    found = [_sign(path) for path in sorted(folder().glob(f"{role}-{socket.gethostname()}-*"))]
    return [sign for sign in found if sign is not None]


def _clear_away(role: str) -> None:
    """What dead ones have left behind, in time also those of other hosts: each new container is one."""
    signs_of(role)
    for path in folder().glob(f"{role}-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > LONG_GONE_AFTER_S:
                _sign(path)


def _sign(path: Path) -> Sign | None:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                silent_s = time.time() - os.fstat(file.fileno()).st_mtime
                trouble = file.read().decode(errors="replace")
            else:
                path.unlink()  # nobody holds it: its process is gone
                return None
    except FileNotFoundError:
        return None
    if silent_s > STALE_AFTER_S:
        trouble = f"it hangs: it has not gone round its loop for {silent_s:.0f} s"
    return Sign(int(path.name.rpartition("-")[2]), trouble)
