"""What a claim costs with a thousand and with a million deliveries due: it should not matter (P8).

    python -m benchmarks.claims [--most 1000000] [--runs 20]

PostgreSQL. Two ways to have a million waiting: spread over 100 webhooks, and all for one whose circuit is open while 99
others have a little.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, database, environment, report

LITTLE = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    found: dict[str, Any] = {"runs": options.runs}
    with tempfile.TemporaryDirectory() as folder, database() as url:
        env = environment(Path(folder), url)
        os.environ.update(env)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        import django

        django.setup()
        from benchmarks.rig import rows

        hooks = rows.make_webhooks(["http://127.0.0.1:9/"] * 1000)
        for name, used, due in (
            ("due_1000_for_100_webhooks", hooks[:100], LITTLE),
            ("due_most_for_100_webhooks", hooks[:100], options.most),
            ("due_1000_for_1000_webhooks", hooks, LITTLE),
        ):
            rows.make_many_due(used, due)
            found[name] = timed(options.runs) | {"due": due}
        rows.make_many_due(hooks[:1], options.most)
        rows.make_many_due(hooks[1:100], LITTLE, keep=True)
        open_circuit(hooks[0])
        found["due_most_behind_an_open_circuit"] = timed(options.runs) | {"due": options.most + LITTLE}
    report("claims", found)
    return 0


def open_circuit(webhook: Any) -> None:
    from datetime import timedelta

    from django.utils import timezone

    from webhooks.models import WebhookHealth

    WebhookHealth.objects.filter(webhook=webhook).update(open_until=timezone.now() + timedelta(hours=1), open_for_s=900)


def timed(runs: int) -> dict[str, float]:
    """Median and longest milliseconds of the statement that finds what is due, and of a whole claim."""
    from emailgistics.common import leases
    from webhooks.models import Delivery
    from webhooks.services import queue
    from webhooks.services.queue.candidates import Rotation, candidates

    finds, claims = [], []
    claimed_at_all = 0
    rotation = Rotation()
    for _ in range(runs):
        started = time.perf_counter()
        candidates(Rotation(rotation.after))
        finds.append((time.perf_counter() - started) * 1000)
        with leases.held("dispatch") as lease:
            started = time.perf_counter()
            claimed = queue.claim(lease.id, in_flight={}, rotation=rotation)
            claims.append((time.perf_counter() - started) * 1000)
            claimed_at_all += len(claimed)
            Delivery.objects.filter(lease_id=lease.id).update(lease_id=None, attempts=0)
    return {
        "find_ms": round(statistics.median(finds), 2),
        "claim_ms": round(statistics.median(claims), 2),
        "longest_claim_ms": round(max(claims), 2),
        "deliveries_per_claim": round(claimed_at_all / runs),
    }


if __name__ == "__main__":
    sys.exit(main())
