"""A whole installation of its own for a test: real processes, real sockets, a data folder, ports and (on PostgreSQL) a
database and a Redis that nobody else uses.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from emailgistics import forkserver
from tests import environment, migrated
from tests.shell import ROOT, Shell

SAMPLE_ALIAS = "help@example.com"
FINISH_WITHIN_S = 30

# how a part is told that somebody else than the supervisor started, from its command line
PARTS = {
    "web": r"manage\.py\0web\0",
    "smtp": r"manage\.py\0smtpd\0",
    "worker": r"celery.*\0worker\0.*\0mail\0",
    "dispatcher": r"celery.*\0worker\0.*\0webhooks\0",
    "beat": r"celery.*\0beat\0",
    "sink": r"manage\.py\0webhook_sink\0",
}


class Installation:
    """`make run` without make. Use as a context manager; leaving it ends every process and takes the database along."""

    def __init__(
        self, folder: Path, *, on_postgres: bool = False, is_migrated: bool = False, postgres_url: str | None = None
    ) -> None:
        """is_migrated: it begins with empty tables. Sooner, where a first start is not the point.

        postgres_url: the server where it makes its database; otherwise where all tests do.
        """
        self.data_dir = folder / "data"
        self.http_port, self.smtp_port, self.sink_port = free_ports(3)
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "DATA_DIR": str(self.data_dir),
            "HTTP_PORT": str(self.http_port),
            "SMTP_PORT": str(self.smtp_port),
            "SINK_PORT": str(self.sink_port),
            "LOG_FORMAT": "json",
            "MAIL_AUTHENTICATION": "0",
            **environment.NO_THROTTLES,
            **environment.GENEROUS_LIMITS,
        }
        self.on_postgres = on_postgres
        self._server = postgres_url or environment.POSTGRES_URL
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.redis: RedisServer | None = None
        self._folder = folder
        self.log_path, self._log_of_others = folder / "up.log", folder / "others.log"
        self._is_migrated = is_migrated
        self._others: list[subprocess.Popen[bytes]] = []
        self._shell = Shell(self.env)
        self._starts = 0
        self.keeps_database = False  # set to look into it later

    def __enter__(self) -> Self:
        if self.on_postgres:
            self._database = f"emailgistics_{os.getpid()}_{self.http_port}"
            is_migrated = self._is_migrated and self._server == environment.POSTGRES_URL
            migrated.create_postgres(self._database, is_migrated=is_migrated, server=self._server)
            self.redis = RedisServer(self._folder)
            self.redis.start()
            self.env |= {
                "DATABASE_URL": migrated.url_of(self._database, server=self._server),
                "REDIS_URL": self.redis.url,
                "WEBHOOK_ALLOW_NETWORKS": f"127.0.0.1/32:{self.sink_port}",
                **migrated.SECRETS,
            }
        elif self._is_migrated:
            migrated.copy_sqlite(self.data_dir)
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.close()
        self._kill()
        if self.redis is not None:
            self.redis.stop()
        if self.on_postgres and not self.keeps_database:
            migrated.drop_postgres(self._database, server=self._server)

    # --- running

    def start(self) -> None:
        """`manage.py up`, until mail and web answer; on PostgreSQL with a sample like quickstart's, and a sink."""
        self._shell.close()  # it may have to know another DATA_DIR/env
        with self.log_path.open("ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.env, stdout=log, stderr=log
            )
        wait_for(lambda: answers(self.smtp_port) and answers(self.http_port), within_s=90, what=f"up: {self.tail()}")
        if self.on_postgres and not self._starts:
            self._provide_sample()
        if self.env.get("QUICKSTART_SAMPLES") != "0":
            wait_for(lambda: answers(self.sink_port), within_s=60, what="the receiver")
        self._starts += 1

    def stop(self, *, number: int = signal.SIGTERM) -> int | None:
        self._shell.close()
        if self.supervisor is None:
            return None
        self.supervisor.send_signal(number)
        code = self.supervisor.wait(timeout=FINISH_WITHIN_S)
        self.supervisor = None
        return code

    def _kill(self) -> None:
        """Not `stop`, which takes its time: nobody needs what a part still had in hand."""
        started = [process for process in (self.supervisor, *self._others) if process is not None]
        for pid in [one for process in started for one in (process.pid, *descendants_of(process.pid))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in started:
            process.wait(timeout=FINISH_WITHIN_S)
        wait_for(lambda: not list(processes_of(self.data_dir)), within_s=FINISH_WITHIN_S, what="the end of all")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def tail(self) -> str:
        return self.log()[-3000:]

    def manage(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        if self._shell.env != self.env:
            self._shell.close()
            self._shell = Shell(self.env)
        done = self._shell.run(*arguments, "--json")
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    def pids(self) -> dict[str, list[int]]:
        """Running parts, by name: the process that the supervisor started first, then its children."""
        assert self.supervisor is not None
        found: dict[str, list[int]] = {}
        for pid in children_of(self.supervisor.pid):
            name = part_of(pid)
            if name and leads_session(pid):  # and is not what a killed one has left behind
                found[name] = [pid, *descendants_of(pid)]
        return found

    def fork_server(self) -> int | None:
        assert self.supervisor is not None
        return next((pid for pid in children_of(self.supervisor.pid) if name_of(pid) == forkserver.NAME), None)

    def processes(self, name: str) -> list[list[int]]:
        """As `pids`, every one of that name: also what runs beside the supervisor."""
        running = [process.pid for process in self._others if process.poll() is None]
        return [*filter(None, [self.pids().get(name)]), *([pid] for pid in running if part_of(pid) == name)]

    def start_other(self, *command: str) -> None:
        """Python with these arguments, beside the supervisor, which does not start it again."""
        self._others.append(self._popen_other([sys.executable, *command]))

    def start_others_again(self) -> None:
        for index, process in enumerate(self._others):
            if process.poll() is not None:
                self._others[index] = self._popen_other(process.args)

    def log_of_others(self) -> str:
        """Of all that `start_other` has started."""
        return self._log_of_others.read_text(errors="replace")

    def _popen_other(self, command: Any) -> subprocess.Popen[bytes]:
        with self._log_of_others.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)

    def cut_database_connections(self) -> int:
        """Ends every connection to this installation's database, as a restart of PostgreSQL does; says how many."""
        with migrated.admin_connection(self._server) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._database]
            )
            return len(ended.fetchall())

    @property
    def database_name(self) -> str:
        return self._database if self.on_postgres else str(self.data_dir / "emailgistics.sqlite3")

    # --- using

    @property
    def key(self) -> str:
        return self._sample("key") if self.on_postgres else found_in(r"emgk_\w+", self.first_run())

    @property
    def webhook_secret(self) -> str:
        return self._sample("secret") if self.on_postgres else found_in(r"whsec_[\w+/=]+", self.first_run())

    def first_run(self) -> str:
        return (self.data_dir / "first-run.txt").read_text()

    def get(self, path: str, *, key: str | None = None) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}")
        request.add_header("Authorization", f"Bearer {key or self.key}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: bytes = answer.read()
        return body

    def get_json(self, path: str, *, key: str | None = None) -> Any:
        return json.loads(self.get(path, key=key))

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=60)

    def send(self, raw: bytes, *, to: str = SAMPLE_ALIAS) -> str:
        """Hands a mail in, octet for octet, and returns the id it was accepted as."""
        with self.smtp() as client:
            return send_octets(client, raw, to=[to])

    def received(self) -> list[dict[str, Any]]:
        """What the receiver has written down, in order."""
        path = self._record
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_until_received(self, subjects: set[str], *, within_s: float) -> float:
        """Returns how many seconds it took until all of them had arrived, verified."""
        started = time.monotonic()

        def all_there() -> bool:
            return subjects <= {entry["subject"] for entry in self.received() if entry["verified"]}

        wait_for(all_there, within_s=within_s, what=f"{len(subjects)} webhooks; {self.tail()}")
        return time.monotonic() - started

    @property
    def _record(self) -> Path:
        return self.data_dir / "received.jsonl"

    def _sample(self, name: str) -> str:
        values: dict[str, str] = json.loads((self._folder / "sample.json").read_text())
        return values[name]

    def _provide_sample(self) -> None:
        self.manage("domains", "create", "example.com")
        self.manage("mailboxes", "create", "support@example.com")
        self.manage("aliases", "create", SAMPLE_ALIAS, "--mailbox", "support@example.com")
        url = f"http://127.0.0.1:{self.sink_port}/"
        webhook = self.manage(
            "webhooks", "create", "--url", url, "--alias", SAMPLE_ALIAS, "--description", "The built-in receiver"
        )
        secret = webhook["secret"]
        key = self.manage("apikeys", "create", "--name", "Sample", "--expires", "30d", "--all-mailboxes")["key"]
        (self._folder / "sample.json").write_text(json.dumps({"key": key, "secret": secret}))
        self.data_dir.mkdir(exist_ok=True)
        self.start_other("manage.py", "webhook_sink", "--secret", secret, "--record", str(self._record))


class NotAcceptedError(AssertionError):
    """A reply other than the one that was wanted."""

    def __init__(self, code: int, answer: bytes) -> None:
        super().__init__(code, answer)
        self.code, self.answer = code, answer


class RedisServer:
    """A Redis to be stopped and hung at will."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = shutil.which("redis-server")
        assert binary, "redis-server is not installed"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [binary, *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: answers(self.port), within_s=60, what="redis-server")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(64) == b"+OK\r\n"


def send_octets(client: smtplib.SMTP, raw: bytes, *, to: list[str], sender: str = "ada@example.net") -> str:
    """One mail over an open connection; returns the message's id. smtplib's own sender would rewrite line ends.

    Raises NotAcceptedError with the first reply that does not take it.
    """
    client.ehlo_or_helo_if_needed()
    _expect(250, client.mail(sender))
    for address in to:
        _expect(250, client.rcpt(address))
    _expect(354, client.docmd("DATA"))
    if not raw.endswith(b"\r\n"):
        raw += b"\r\n"
    stuffed = (b"." if raw.startswith(b".") else b"") + raw.replace(b"\r\n.", b"\r\n..")
    client.send(stuffed + b".\r\n")
    return found_in(r"msg_\w+", _expect(250, client.getreply()).decode())


def _expect(code: int, reply: tuple[int, bytes]) -> bytes:
    if reply[0] != code:
        raise NotAcceptedError(*reply)
    return reply[1]


def simple_mail(subject: str, *, body: str = "Hello.") -> bytes:
    lines = (
        "From: Ada Lovelace <ada@example.net>",
        f"To: {SAMPLE_ALIAS}",
        f"Subject: {subject}",
        f"Message-ID: <{subject.replace(' ', '.')}@example.net>",
        "",
        body,
        "",
    )
    return "\r\n".join(lines).encode()


def wait_for(true: Callable[[], bool], *, within_s: float, what: str) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, f"not within {within_s} s: {what}"
        time.sleep(0.02)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def found_in(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"no {pattern} in {text!r}"
    return match[0]


def part_of(pid: int) -> str | None:
    if (name := name_of(pid)) in PARTS:
        return name
    command = _read(pid, "cmdline")
    return next((name for name, pattern in PARTS.items() if re.search(pattern, command + "\0")), None)


def name_of(pid: int) -> str:
    return _read(pid, "comm").strip()


def leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def children_of(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task")
    with contextlib.suppress(OSError):
        return [int(child) for thread in threads.iterdir() for child in (thread / "children").read_text().split()]
    return []


def descendants_of(pid: int) -> list[int]:
    return [one for child in children_of(pid) for one in (child, *descendants_of(child))]


def processes_of(data_dir: Path) -> Iterator[int]:
    """Every living process that was started for an installation, whoever its parent is now."""
    needle = f"DATA_DIR={data_dir}\0"
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and needle in _read(int(entry.name), "environ"):
            yield int(entry.name)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""
