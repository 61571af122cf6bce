"""How many mails a second go all the way, SMTP to opened to delivered, without a backlog that grows (P7).

    python -m benchmarks.end_to_end [--rates 100,150,200,250] [--seconds 20] [--runs 3]

A whole installation on PostgreSQL and a Redis of its own, mails of 4 kB, one webhook, a receiver that costs as little
as it can; the sender and the receiver share the machine. Each rate is offered for that long, and whatever is left is
worked off before the next. It is sustained if all of it was taken and what was on its way at the end is not more than
what was on its way in the middle, but for half a second's worth.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rig import Sink, report
from benchmarks.rig.processes import cpu_seconds, named
from benchmarks.rig.smtp_load import Sender
from tests.installation import SAMPLE_ALIAS, Installation, wait_for

CONNECTIONS = 10
OCTETS = 4_000
LOOK_EVERY_S = 0.5
WORKED_OFF_WITHIN_S = 300
SLACK_S = 0.5
BELOW = ("postgres", "redis-server")
TAKEN = 0.98  # of what was offered


@dataclass
class Run:
    rate: float
    seconds: float
    accepted: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)  # by part
    backlog: list[tuple[float, int]] = field(default_factory=list)  # seconds since the begin, mails on their way

    @property
    def is_sustained(self) -> bool:
        return self.accepted >= TAKEN * self.rate * self.seconds and self.at_end <= self.in_the_middle + (
            SLACK_S * self.rate
        )

    @property
    def in_the_middle(self) -> float:
        return self._about(0.4, 0.6)

    @property
    def at_end(self) -> float:
        return self._about(0.8, 1.0)

    def _about(self, begin: float, end: float) -> float:
        """Of a fifth of the time, because what is on its way goes up and down with each group."""
        span = [count for at, count in self.backlog if begin * self.seconds <= at <= end * self.seconds]
        return statistics.median(span) if span else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rates", type=lambda text: [float(one) for one in text.split(",")], default=[100, 150, 200, 250]
    )
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sink() as sink, installed(Path(folder), sink) as installation:
        offer(installation, sink, rate=20, seconds=5)  # plans, pools and caches are there
        runs = [
            [offer(installation, sink, rate=rate, seconds=options.seconds) for _ in range(options.runs)]
            for rate in options.rates
        ]
    report(
        "end_to_end",
        {
            "octets": OCTETS,
            "seconds": options.seconds,
            "runs": options.runs,
            "rates": {f"{one[0].rate:g}": shown(one) for one in runs},
        },
    )
    return 0


def shown(runs: list[Run]) -> dict[str, Any]:
    return {
        "accepted_per_second": [round(run.accepted / run.seconds, 1) for run in runs],
        "on_their_way_in_the_middle": [round(run.in_the_middle) for run in runs],
        "on_their_way_at_the_end": [round(run.at_end) for run in runs],
        "cpu_ms_per_mail": {
            part: round(statistics.median(run.cpu_s[part] / run.accepted for run in runs) * 1000, 2)
            for part in sorted(runs[0].cpu_s)
        },
        "sustained": sum(run.is_sustained for run in runs),
    }


@contextlib.contextmanager
def installed(folder: Path, sink: Sink) -> Iterator[Installation]:
    """Its sample's webhook is told to ask our receiver in place of its own, which writes everything down."""
    with Installation(folder, on_postgres=True) as installation:
        networks = (f"127.0.0.1/32:{installation.sink_port}", f"127.0.0.1/32:{sink.port}")
        installation.env |= {"WEBHOOK_ALLOW_NETWORKS": ",".join(networks), "LOG_LEVEL": "WARNING"}
        installation.start()
        (webhook,) = installation.manage("webhooks", "list")["data"]
        installation.manage("webhooks", "update", webhook["id"], "--url", f"{sink.url}/ok")
        yield installation


def offer(installation: Installation, sink: Sink, *, rate: float, seconds: float) -> Run:
    run = Run(rate, seconds)
    sender = Sender(installation.smtp_port, OCTETS, recipient=SAMPLE_ALIAS)
    before, cpu = sink.count(), used(installation)
    sending = threading.Thread(
        target=lambda: asyncio.run(sender.run(int(rate * seconds), CONNECTIONS, per_second=rate))
    )
    started = time.monotonic()
    sending.start()
    while time.monotonic() - started < seconds:
        time.sleep(LOOK_EVERY_S)
        run.accepted = sender.accepted
        run.backlog.append((time.monotonic() - started, sender.accepted - (sink.count() - before)))
    sending.join()
    wait_for(
        lambda: sink.count() - before >= sender.accepted,
        within_s=WORKED_OFF_WITHIN_S, what=f"the rest of {sender.accepted} mails; {installation.tail()}",
    )  # fmt: skip
    run.cpu_s = {part: seconds - cpu.get(part, 0) for part, seconds in used(installation).items()}
    return run


def used(installation: Installation) -> dict[str, float]:
    """Seconds of the processor by part, children included, and of all of PostgreSQL and Redis on this machine."""
    parts = {part: sum(map(cpu_seconds, pids)) for part, pids in installation.pids().items()}
    return parts | {name: sum(map(cpu_seconds, named(name))) for name in BELOW}


if __name__ == "__main__":
    sys.exit(main())
