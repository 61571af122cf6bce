"""How fast mail is taken in, durable on PostgreSQL: small mails (P5) and large ones (P6).

    python -m benchmarks.intake [--mails 4000] [--large 8] [--runs 5] [--no-npm]

Beside it, in turns, from one sender: aiosmtpd as it comes with a handler that stores nothing, and npm's smtp-server
that reads and keeps nothing. Ours looks up every recipient and answers 250 after the commit.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, database, environment, free_port, report, spread
from benchmarks.rig.processes import cpu_seconds, load, wait_for

CONNECTIONS = 20
SMALL = 4_000
LARGE = 25 * 1024 * 1024
LARGE_CONNECTIONS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=4000, help="small ones in a run")
    parser.add_argument("--large", type=int, default=8, help="large ones in a run")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-npm", action="store_true", help="leave npm's smtp-server out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database() as url, contextlib.ExitStack() as servers:
        env = environment(Path(folder), url)
        prepare(env)
        peers = {"ours": ours(env), "stock": python_module("stock_smtpd")}
        if not options.no_npm and (peer := npm(Path(folder))):
            peers["npm"] = peer
        ports = {name: servers.enter_context(server) for name, server in peers.items()}
        found: dict[str, Any] = {"runs": options.runs, "connections": CONNECTIONS, "storing": "PostgreSQL"}
        found["small"] = compared(ports, mails=options.mails, connections=CONNECTIONS, octets=SMALL, runs=options.runs)
        found["large"] = compared(
            ports, mails=options.large, connections=LARGE_CONNECTIONS, octets=LARGE, runs=options.runs
        )
    report("intake", found)
    return 0


def compared(
    ports: dict[str, tuple[int, int]], *, mails: int, connections: int, octets: int, runs: int
) -> dict[str, Any]:
    """Medians of runs in turns, so that what else the machine does hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ports}
    cpu: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(runs):
        for name, (port, pid) in ports.items():
            before = cpu_seconds(pid)
            seconds[name].append(load(port, mails=mails, connections=connections, octets=octets))
            cpu[name].append(cpu_seconds(pid) - before)
    rates = {name: mails / statistics.median(took) for name, took in seconds.items()}
    return {
        "octets": octets,
        "mails": mails,
        "per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "mib_per_second": {name: round(rate * octets / 2**20, 1) for name, rate in rates.items()},
        "cpu_ms_per_mail": {name: round(statistics.median(used) / mails * 1e3, 2) for name, used in cpu.items()},
        "ratio_to_stock": round(rates["ours"] / rates["stock"], 2),
        "spread_of_ratio": spread([b / a for a, b in zip(seconds["ours"], seconds["stock"], strict=True)]),
        "ratio_to_npm": round(rates["ours"] / rates["npm"], 2) if "npm" in rates else None,
    }


def prepare(env: dict[str, str]) -> None:
    for command in (
        ["migrate", "--verbosity", "0"],
        ["domains", "create", "example.com"],
        ["mailboxes", "create", "support@example.com"],
    ):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL
        )


@contextlib.contextmanager
def ours(env: dict[str, str]) -> Iterator[tuple[int, int]]:
    port = free_port()
    with running([sys.executable, "manage.py", "smtpd"], env=env | {"SMTP_PORT": str(port)}, port=port) as process:
        yield port, process.pid


@contextlib.contextmanager
def python_module(name: str) -> Iterator[tuple[int, int]]:
    port = free_port()
    with running(
        [sys.executable, "-m", f"benchmarks.rig.{name}", str(port)], env=dict(os.environ), port=port
    ) as process:
        yield port, process.pid


def npm(folder: Path) -> "contextlib.AbstractContextManager[tuple[int, int]] | None":
    """None where there is no Node, or the package cannot be had."""
    if not shutil.which("npm"):
        return None
    install = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", "smtp-server"]
    if subprocess.run(install, check=False).returncode:
        return None
    return _node(folder)


@contextlib.contextmanager
def _node(folder: Path) -> Iterator[tuple[int, int]]:
    port = free_port()
    env = os.environ | {"NODE_PATH": str(folder / "node_modules")}
    with running(["node", str(ROOT / "benchmarks/rig/smtp_server.js"), str(port)], env=env, port=port) as process:
        yield port, process.pid


@contextlib.contextmanager
def running(command: list[str], *, env: dict[str, str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield process
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    sys.exit(main())
