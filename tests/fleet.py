"""An installation on two hosts, as `Procfile` has its parts: two or three of each, none of them under `manage.py up`.

Whatever ends is started again a second later, as systemd and container engines do. The hosts share PostgreSQL and Redis
and nothing else; each has a DATA_DIR and ports of its own.
"""

import os
import random
import shlex
import signal
import smtplib
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.installation import (
    FINISH_WITHIN_S,
    ROOT,
    Installation,
    answers,
    descendants_of,
    free_ports,
    processes_of,
    wait_for,
)

HOSTS = ("a", "b")
OF_EACH = {"web": (1, 1), "smtp": (1, 1), "worker": (2, 1), "dispatcher": (1, 1), "beat": (1, 1)}  # on host a, on b
RESTART_AFTER_S = 1
LOOK_EVERY_S = 0.1


@dataclass
class Process:
    name: str  # "web a 1"
    part: str
    command: list[str]
    env: dict[str, str]
    popen: subprocess.Popen[bytes] | None = None
    ended_at: float = 0
    starts: int = 0

    @property
    def is_running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None


@dataclass
class Host:
    data_dir: Path
    http_port: int
    smtp_port: int
    processes: list[Process] = field(default_factory=list)


class Fleet(Installation):
    """Use as a context manager, on PostgreSQL."""

    def __init__(self, folder: Path, *, postgres_url: str, also_ports: tuple[int, ...] = ()) -> None:
        """also_ports: of receivers on loopback."""
        super().__init__(folder, on_postgres=True, postgres_url=postgres_url)
        http, smtp = free_ports(len(HOSTS)), free_ports(len(HOSTS))
        self.hosts = [
            Host(folder / f"host-{name}", http_port, smtp_port)
            for name, http_port, smtp_port in zip(HOSTS, http, smtp, strict=True)
        ]
        self.http_port, self.smtp_port = http[0], smtp[0]
        self._also_ports = also_ports
        self._chance = random.Random(1)
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    @property
    def all(self) -> list[Process]:
        return [process for host in self.hosts for process in host.processes]

    def start(self) -> None:
        """Migrates, makes a sample, starts every process, and waits until each door answers."""
        ports = (self.sink_port, *self._also_ports)
        self.env["WEBHOOK_ALLOW_NETWORKS"] = ",".join(f"127.0.0.1/32:{port}" for port in ports)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "0"],
            cwd=ROOT, env=self.env, check=True, capture_output=True,
        )  # fmt: skip
        self._provide_sample()
        for host, name, index in zip(self.hosts, HOSTS, range(len(HOSTS)), strict=True):
            host.processes = self._processes_of(host, name, index)
        self._keeper.start()
        doors = [port for host in self.hosts for port in (host.http_port, host.smtp_port)]
        wait_for(lambda: all(map(answers, doors)), within_s=120, what=f"the doors; {self.tail()}")

    def smtp(self) -> smtplib.SMTP:
        """At one of the hosts, or at the other if that does not answer, as MX records are tried."""
        first, second = self._chance.sample(self.hosts, 2)
        try:
            return smtplib.SMTP("127.0.0.1", first.smtp_port, timeout=60)
        except (OSError, smtplib.SMTPException):
            return smtplib.SMTP("127.0.0.1", second.smtp_port, timeout=60)

    def restart(self, process: Process) -> None:
        """As an upgrade does: it finishes what it has in hand; the keeper starts it again."""
        if process.popen is not None:
            process.popen.send_signal(signal.SIGTERM)

    def _processes_of(self, host: Host, name: str, index: int) -> list[Process]:
        host.data_dir.mkdir(mode=0o700)
        env = self.env | {
            "DATA_DIR": str(host.data_dir),
            "HTTP_PORT": str(host.http_port),
            "SMTP_PORT": str(host.smtp_port),
        }
        found = []
        for part, command in procfile().items():
            for number in range(1, OF_EACH[part][index] + 1):
                arguments = [one.replace("@%h", f"-{name}{number}@%h") for one in command]
                found.append(Process(f"{part} {name}{number}", part, [sys.executable, *arguments], env))
        return found

    def _keep(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            now = time.monotonic()
            for process in self.all:
                if process.is_running:
                    process.ended_at = 0
                elif process.popen is not None and not process.ended_at:
                    process.ended_at = now
                elif now - process.ended_at >= RESTART_AFTER_S:
                    process.starts += 1
                    process.popen = self._popen(process)

    def _popen(self, process: Process) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(process.command, cwd=ROOT, env=process.env, stdout=log, stderr=log)

    def _kill(self) -> None:
        self._over.set()
        if self._keeper.is_alive():
            self._keeper.join()
        for process in self.all:
            if process.popen is not None:
                for pid in (*descendants_of(process.popen.pid), process.popen.pid):
                    kill(pid)
                process.popen.wait(timeout=FINISH_WITHIN_S)
        for host in self.hosts:
            for pid in processes_of(host.data_dir):  # children of one that was killed before
                kill(pid)
        super()._kill()


def kill(pid: int) -> bool:
    """False if it was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def procfile() -> dict[str, list[str]]:
    """The arguments of Python for each part."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    commands: dict[str, list[str]] = {}
    for line in lines:
        name, _, command = line.partition(": ")
        program, *arguments = shlex.split(command)
        assert program == "python", line
        commands[name] = arguments
    return commands
