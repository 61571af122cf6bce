"""What memory the embedded system takes, idle, and how much more for one mail of 40 MiB (P9).

    python -m benchmarks.memory [--settle 20]

Idle: the PSS of all processes of `manage.py up`, beside that of eight that have loaded Django and nothing else.
The mail: the most that all of them together held at one moment over what they held before, looked at every 10 ms from
the first octet until its webhook is delivered; and for each process its own peak (VmHWM, reset before).
"""

import argparse
import base64
import contextlib
import os
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from benchmarks.rig import ROOT, free_port, report
from benchmarks.rig.processes import descendants, forget_peak, peak_kib, pss_kib, resident_kib

MAIL_OCTETS = 40 * 1024 * 1024 - 4096
BARE_PROCESSES = 8
GIVE_UP_AFTER_S = 120
BARE = (
    "import django, sys, time; from django.conf import settings; settings.configure(INSTALLED_APPS=["
    "'django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.sessions', 'django.contrib.admin', "
    "'django.contrib.messages']); django.setup(); import django.core.handlers.wsgi, django.contrib.admin.sites; "
    "print('ready', flush=True); time.sleep(600)"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settle", type=float, default=20, help="seconds before anything is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with bare() as pids:
            found: dict[str, Any] = {"eight_bare_django_pss_mib": mib(sum(map(pss_kib, pids)))}
        with embedded(Path(folder)) as (supervisor, env):
            time.sleep(options.settle)
            processes = descendants(supervisor)
            idle = {f"{name} {pid}": pss_kib(pid) for pid, name in processes.items()}
            found["idle_pss_mib"] = mib(sum(idle.values()))
            found["idle_pss_mib_of"] = {name: mib(kib) for name, kib in sorted(idle.items(), key=lambda one: -one[1])}
            found["idle_processes"] = len(processes)
            found["mail"] = one_large_mail(processes, env)
    report("memory", found)
    return 0


def one_large_mail(processes: dict[int, str], env: dict[str, str]) -> dict[str, Any]:
    before = {pid: resident_kib(pid) for pid in processes}
    for pid in processes:
        forget_peak(pid)
    head = b"From: ada@example.net\r\nSubject: large\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
    head += b"Content-Disposition: attachment; filename=large.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    # base64 of what cannot be compressed
    line = base64.b64encode(os.urandom(3 * MAIL_OCTETS // 4 - 2 * 2**20))
    raw = head + b"".join(line[at : at + 76] + b"\r\n" for at in range(0, len(line), 76))
    watch = Watch(list(processes))
    with watch, smtplib.SMTP("127.0.0.1", int(env["SMTP_PORT"])) as client:
        started = time.perf_counter()
        client.sendmail("ada@example.net", ["help@example.com"], raw)
        accepted_s = time.perf_counter() - started
        received = Path(env["DATA_DIR"]) / "received.jsonl"
        while not (received.exists() and b"large" in received.read_bytes()):
            if time.perf_counter() - started > GIVE_UP_AFTER_S:
                raise SystemExit("The webhook of the large mail did not arrive.")
            time.sleep(0.2)
    extra = {f"{name} {pid}": peak_kib(pid) - before[pid] for pid, name in processes.items()}
    return {
        "octets": len(raw),
        "accepted_after_s": round(accepted_s, 2),
        "delivered_after_s": round(time.perf_counter() - started, 2),
        "extra_mib": {name: mib(kib) for name, kib in sorted(extra.items(), key=lambda one: -one[1]) if kib > 1024},  # noqa: PLR2004
        "most_of_one_process_in_mails": round(max(extra.values()) * 1024 / len(raw), 2),
        "all_at_one_moment_in_mails": round(watch.most_kib * 1024 / len(raw), 2),
    }


class Watch:
    """Looks at what processes hold together, in a thread: `most_kib` more than at the beginning."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._before = self._held()
        self.most_kib = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.most_kib = max(self.most_kib, self._held() - self._before)

    def _held(self) -> int:
        return sum(map(resident_kib, self._pids))


def mib(kib: int) -> float:
    return round(kib / 1024, 1)


@contextlib.contextmanager
def bare() -> Iterator[list[int]]:
    started = [
        subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, cwd=ROOT) for _ in range(BARE_PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    ports = {name: str(free_port()) for name in ("HTTP_PORT", "SMTP_PORT", "SINK_PORT")}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "DATA_DIR": str(folder / "data"), **ports}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            time.sleep(0.2)
            with contextlib.suppress(OSError), smtplib.SMTP("127.0.0.1", int(ports["SMTP_PORT"])):
                break
        yield process.pid, env
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
