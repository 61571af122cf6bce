"""What the benchmarks stand on: a receiver, a database of their own, and how a report is written."""

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "docs" / "benchmarks"
POSTGRES_URL = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/test")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")


def machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def commit() -> str:
    """What was measured; with a + if it was not committed as it was."""
    name = _git("rev-parse", "--short", "HEAD")
    is_changed = bool(_git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs"))
    return f"{name}{'+' if is_changed else ''}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def spread(values: Sequence[float], digits: int = 2) -> list[float]:
    """The least and the most."""
    return [round(min(values), digits), round(max(values), digits)]


def report(name: str, found: dict[str, Any]) -> None:
    """Prints it, and writes docs/benchmarks/<name>.json."""
    measured = {"machine": machine(), "commit": commit(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    text = json.dumps({**measured, **found}, indent=2)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


@contextlib.contextmanager
def database(kind: str = "bench", *, keep: str | None = None) -> Iterator[str]:
    """The URL of a PostgreSQL database that is dropped at the end; with `keep`, part of its name, it stays."""
    name = f"{keep}_{kind}" if keep else f"emailgistics_{kind}_{os.getpid()}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(POSTGRES_URL)._replace(path=f"/{name}"))
    finally:
        if not keep:
            with psycopg.connect(POSTGRES_URL, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def environment(folder: Path, database_url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DATA_DIR": str(folder / "data"),
        "DATABASE_URL": database_url,
        "REDIS_URL": REDIS_URL,
        "SECRET_KEY": "only-for-benchmarks-only-for-benchmarks-0123456789",
        "API_KEY_PEPPERS": "1:cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLTEyMzQ=",
        "ENCRYPTION_KEYS": "1:ZW5jcnlwdGlvbi1lbmNyeXB0aW9uLWVuY3J5cHQtMTI=",
        "WEBHOOK_ALLOW_NETWORKS": "127.0.0.1/32",
        "LOG_LEVEL": "ERROR",
        "MAIL_AUTHENTICATION": "0",  # what the DNS takes is not ours to measure
        "DJANGO_SETTINGS_MODULE": "emailgistics.settings",
        **more,
    }


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


class Sink:
    """A receiver in a process of its own: `with Sink() as sink: … sink.arrivals()`.

    kind: sink, as lean as can be, or aiohttp_sink, as people write them; that one tells nothing of what arrived.
    """

    def __init__(self, kind: str = "sink") -> None:
        self._kind = kind
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", f"benchmarks.rig.{self._kind}", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def count(self) -> int:
        return int(self._ask("/count"))

    def arrivals(self) -> dict[str, float]:
        """webhook-id to when it arrived first, Unix seconds; empties the record."""
        return dict(json.loads(self._ask("/arrivals")))

    def _ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            octets: bytes = answer.read()
        return octets
