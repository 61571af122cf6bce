"""Kills and breaks the embedded default under load, and compares what was accepted with what arrived.

    python -m tests.campaign --seconds 600 --rate 30

Bounded, on loopback, in a folder of its own. Prints a report as JSON; exit 1 if a promise was broken.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import smtplib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.installation import PARTS, Installation, send_octets, simple_mail

DOWN_AT_MOST_S = 15
SENDERS = 4
CALM_BEFORE_THE_END = 0.15  # of the time: the last faults must heal in the open


@dataclass
class Report:
    seconds: float = 0
    accepted: int = 0
    delivered: int = 0
    refused_for_now: int = 0
    duplicates: int = 0
    missing: list[str] = field(default_factory=list)
    duplicates_with_another_id: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    longest_down_s: dict[str, float] = field(default_factory=dict)
    last_arrival_after_s: float = 0
    neighbour_received: int = 0
    neighbour_foreign: int = 0

    @property
    def is_clean(self) -> bool:
        return not (
            self.missing
            or self.duplicates_with_another_id
            or self.neighbour_foreign
            or max(self.longest_down_s.values(), default=0) > DOWN_AT_MOST_S
        )


class Ledger:
    """What we hold a 250 for. Several threads write."""

    def __init__(self) -> None:
        self.accepted: set[str] = set()
        self.refused = 0
        self.lock = threading.Lock()


def run(*, seconds: float, rate: float, folder: Path, seed: int = 1) -> Report:
    """The campaign proper: rate is in mails a second over all senders."""
    report, ledger, over = Report(), Ledger(), threading.Event()
    with Installation(folder / "one") as one, Installation(folder / "two") as two:
        for installation in (one, two):
            installation.data_dir.parent.mkdir(parents=True)
            installation.start()
        threads = [
            threading.Thread(target=send_steadily, args=(one, ledger, over, rate / SENDERS, number))
            for number in range(SENDERS)
        ]
        threads += [
            threading.Thread(target=watch_parts, args=(one, report, over)),
            threading.Thread(target=send_to_neighbour, args=(two, over)),
            threading.Thread(target=break_things, args=(one, report, over, seconds, random.Random(seed))),
        ]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for thread in threads:
            thread.join()
        report.seconds = time.monotonic() - started
        settle(one, ledger, report)
        report.neighbour_received = len(two.received())
        report.neighbour_foreign = sum(not entry["subject"].startswith("Neighbour") for entry in two.received())
    return report


def send_steadily(one: Installation, ledger: Ledger, over: threading.Event, rate: float, number: int) -> None:
    client: smtplib.SMTP | None = None
    sent = 0
    due = time.monotonic()
    while not over.is_set():
        due += 1 / rate
        over.wait(max(0, due - time.monotonic()))
        subject = f"Campaign {number} {sent}"
        sent += 1
        try:
            client = client or one.smtp()
            send_octets(client, simple_mail(subject), to=["help@example.com"])
        except (OSError, AssertionError, smtplib.SMTPException):
            with ledger.lock:
                ledger.refused += 1  # perhaps stored, but no 250: we may claim nothing
            close(client)
            client = None
        else:
            with ledger.lock:
                ledger.accepted.add(subject)
    close(client)


def close(client: smtplib.SMTP | None) -> None:
    if client is not None:
        client.close()


def send_to_neighbour(two: Installation, over: threading.Event) -> None:
    number = 0
    while not over.wait(1):
        two.send(simple_mail(f"Neighbour {number}"))
        number += 1


def watch_parts(one: Installation, report: Report, over: threading.Event) -> None:
    """How long was each part without a process?"""
    seen = dict.fromkeys(PARTS, time.monotonic())
    while not over.wait(0.1):
        running = one.pids()
        now = time.monotonic()
        for name, last in seen.items():
            if name in running:
                report.longest_down_s[name] = round(max(report.longest_down_s.get(name, 0), now - last), 2)
                seen[name] = now


def break_things(
    one: Installation, report: Report, over: threading.Event, seconds: float, chance: random.Random
) -> None:
    broker = one.data_dir / "broker"
    faults: dict[str, Callable[[], object]] = {
        "kill smtp": lambda: kill(one, "smtp"),
        "kill worker": lambda: kill(one, "worker"),
        "kill worker child": lambda: kill(one, "worker", which=chance.choice((1, 2))),
        "kill dispatcher": lambda: kill(one, "dispatcher"),
        "kill beat": lambda: kill(one, "beat"),
        "kill web": lambda: kill(one, "web"),
        "kill sink": lambda: kill(one, "sink"),
        "empty broker file": lambda: drop_file(broker, b""),
        "half-written broker file": lambda: drop_file(broker, b'{"body": "W1td'),
        "broker folder deleted": lambda: shutil.rmtree(broker, ignore_errors=True),
    }
    until = time.monotonic() + seconds * (1 - CALM_BEFORE_THE_END)
    order: list[str] = []
    while not over.wait(chance.uniform(1, 4)) and time.monotonic() < until:
        order = order or chance.sample(sorted(faults), len(faults))
        name = order.pop()
        faults[name]()
        report.faults[name] += 1


def kill(one: Installation, name: str, *, which: int = 0) -> None:
    """The part's first process, or one that it forked; nothing, if it is not there at the moment."""
    for pid in one.pids().get(name, [])[which : which + 1]:
        os.kill(pid, signal.SIGKILL)


def drop_file(broker: Path, content: bytes) -> None:
    """As a publisher that wrote in place would leave it behind if it died: first in line in each queue."""
    for queue in ("mail", "webhooks"):
        with contextlib.suppress(FileNotFoundError):  # the folder was just deleted
            (broker / queue / f"{time.time_ns():020}-broken.msg").write_bytes(content)


def settle(one: Installation, ledger: Ledger, report: Report) -> None:
    """Waits for the last of the accepted, and compares the ledgers."""
    report.accepted, report.refused_for_now = len(ledger.accepted), ledger.refused
    started = time.monotonic()
    missing = ledger.accepted
    while missing and time.monotonic() - started < 90:
        time.sleep(0.2)
        missing = ledger.accepted - {entry["subject"] for entry in one.received() if entry["verified"]}
    report.last_arrival_after_s = round(time.monotonic() - started, 2)
    ids: dict[str, list[str]] = {}
    for entry in one.received():
        ids.setdefault(entry["subject"], []).append(entry["webhook_id"])
    report.missing = sorted(missing)
    report.delivered = len(ledger.accepted & set(ids))
    report.duplicates = sum(len(arrived) - 1 for arrived in ids.values())
    report.duplicates_with_another_id = sorted(subject for subject, arrived in ids.items() if len(set(arrived)) > 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="emailgistics-campaign-"))
    try:
        report = run(seconds=options.seconds, rate=options.rate, folder=folder, seed=options.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(vars(report), indent=2))  # noqa: T201
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
