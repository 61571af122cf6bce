"""How long from a mail's 250 to its webhook at the receiver (P3), and from a cold start (P10).

    python -m benchmarks.latency [--on sqlite|postgres] [--rate 10] [--seconds 20] [--runs 5]

On the embedded default, or on PostgreSQL and a Redis of its own, where 50 mails a second are offered. Prints medians
over the runs as JSON and writes them to docs/benchmarks/latency-<on>.json. Loopback only.
"""

import argparse
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from benchmarks.rig import report, spread
from tests.installation import Installation, send_octets, simple_mail

PERCENTILES = (50, 95, 99)
RATES = {"sqlite": 10.0, "postgres": 50.0}  # mails a second, if nothing else is said


def run_once(installation: Installation, *, run: int, rate: float, seconds: float) -> dict[int, float]:
    """Milliseconds from each 250 to the moment its webhook was verified and written down, as percentiles."""
    accepted: dict[str, float] = {}
    started = time.monotonic()
    with installation.smtp() as client:
        for number in range(int(rate * seconds)):
            time.sleep(max(0, started + number / rate - time.monotonic()))
            subject = f"Latency {run} {number}"
            send_octets(client, simple_mail(subject, body="x" * 4000), to=["help@example.com"])
            accepted[subject] = time.time()
    installation.wait_until_received(set(accepted), within_s=60)
    arrived = {entry["subject"]: datetime.fromisoformat(entry["at"]).timestamp() for entry in installation.received()}
    waits = sorted((arrived[subject] - at) * 1000 for subject, at in accepted.items())
    return {percent: waits[min(len(waits) - 1, len(waits) * percent // 100)] for percent in PERCENTILES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=RATES, default="sqlite")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    rate, on_postgres = options.rate or RATES[options.on], options.on == "postgres"
    with tempfile.TemporaryDirectory() as folder, Installation(Path(folder), on_postgres=on_postgres) as installation:
        started = time.monotonic()
        installation.start()
        installation.send(simple_mail("First"))
        installation.wait_until_received({"First"}, within_s=60)
        first_webhook_s = time.monotonic() - started
        runs = [run_once(installation, run=run, rate=rate, seconds=options.seconds) for run in range(options.runs)]
    report(
        f"latency-{options.on}",
        {
            "offered_mails_per_s": rate,
            "runs": options.runs,
            "start_to_first_webhook_s": round(first_webhook_s, 2),
            "spread_ms": {f"p{percent}": spread([run[percent] for run in runs], 1) for percent in PERCENTILES},
            "ms": {f"p{percent}": round(statistics.median(run[percent] for run in runs), 1) for percent in PERCENTILES},
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
