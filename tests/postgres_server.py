"""A PostgreSQL to be stopped, crashed and started again at will."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.installation import free_ports, wait_for

DEBIAN_FOLDERS = Path("/usr/lib/postgresql")
USERS = ("postgres", "nobody")  # who runs it where we are root, which it refuses
STARTED_WITHIN_S = STOPPED_WITHIN_S = 60
# what each way to end it is to its first process; crashed: the next start recovers from the log
HOW = {"stopped": signal.SIGINT, "crashed": signal.SIGQUIT}


class PostgresServer:
    """Listens on a free port of 127.0.0.1, with a folder of its own. Use as a context manager."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.keeps_folder = False  # set to look into it later
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # not in a folder of ours, which another user may not enter
        self.folder = Path(tempfile.mkdtemp(prefix="emailgistics-postgres-"))
        with contextlib.ExitStack() as stack:
            stack.callback(self.__exit__)
            if user := _other_user():
                os.chown(self.folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
            options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]
            self._spawn(["initdb", f"--pgdata={self.folder / 'data'}", *options], name="initdb.log").wait()
            self.start()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.end("stopped")
        if not self.keeps_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it takes connections."""
        places = ["-D", str(self.folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        self._process = self._spawn(["postgres", *places], name="server.log")
        wait_for(self._answers, within_s=STARTED_WITHIN_S, what=f"PostgreSQL: {self.log()}")

    def end(self, how: str) -> None:
        """stopped: a fast stop, as of a restart; crashed: without a word to anybody, as if killed."""
        if self._process is not None:
            self._process.send_signal(HOW[how])
            self._process.wait(timeout=STOPPED_WITHIN_S)
            self._process = None

    def log(self) -> str:
        return "".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log")))

    def _spawn(self, command: Sequence[str], *, name: str) -> subprocess.Popen[bytes]:
        folder = binaries()
        assert folder, "PostgreSQL is not installed"
        program, *arguments = command
        as_user: dict[str, Any] = {}
        if user := _other_user():
            as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
        with (self.folder / name).open("ab") as log:
            return subprocess.Popen(
                [str(folder / program), *arguments],
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us
                **as_user,
            )

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.url, connect_timeout=2).close()
            return True
        return False


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version where there are several. None: not installed."""
    folders = [path / "bin" for path in sorted(DEBIAN_FOLDERS.glob("*"), key=lambda path: path.name.zfill(3))]
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(asked.stdout.strip()))
    return next(
        (one for one in reversed(folders) if all((one / name).exists() for name in ("initdb", "postgres"))), None
    )


def _other_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)
