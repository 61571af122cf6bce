"""Healthy deliveries while 1 of 10 webhooks hangs for 10 s, against the same run with none hanging (P4).

    python -m benchmarks.isolation [--rate 100] [--seconds 20] [--runs 5]

Rows become due at a steady rate; what counts is the time from there to the request's arrival. PostgreSQL, one
dispatcher process.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rig import ROOT, Sink, database, environment, report, spread

WEBHOOKS = 10
PERCENTILES = (50, 95, 99)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=100, help="deliveries a second, over all webhooks")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database() as url, Sink() as sink:
        env = environment(Path(folder), url)
        os.environ.update(env)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        waits: dict[str, list[dict[int, float]]] = {"none": [], "one": []}
        for _ in range(options.runs):
            for hanging, so_far in waits.items():
                so_far.append(run(sink, env, hanging == "one", options.rate, options.seconds))
    medians = {
        hanging: {f"p{percent}": round(statistics.median(run[percent] for run in runs), 1) for percent in PERCENTILES}
        for hanging, runs in waits.items()
    }
    ratios = [one[99] / none[99] for one, none in zip(waits["one"], waits["none"], strict=True)]
    report(
        "isolation",
        {
            "offered_per_second": options.rate,
            "seconds": options.seconds,
            "runs": options.runs,
            "none_hanging_ms": medians["none"],
            "one_of_ten_hanging_ms": medians["one"],
            "p99_ratio": round(statistics.median(ratios), 2),
            "spread_of_ratio": spread(ratios),
        },
    )
    return 0


def run(sink: Sink, env: dict[str, str], is_one_hanging: bool, rate: int, seconds: int) -> dict[int, float]:
    """Milliseconds from due to arrival of what healthy webhooks got, as percentiles."""
    import django

    django.setup()
    from django.utils import timezone

    from benchmarks.rig import rows
    from webhooks.models import Delivery, WebhookHealth

    paths = ["hang" if n == 0 and is_one_hanging else f"ok{n}" for n in range(WEBHOOKS)]
    hooks = rows.make_webhooks([f"{sink.url}/{path}" for path in paths])
    made = rows.make_due(hooks, rate * seconds, spread_over_s=seconds, after_s=2)
    healthy = {one.event.public_id: one.due_at for one in made if one.webhook_id != hooks[0].pk}
    dispatcher = subprocess.Popen([sys.executable, "-m", "benchmarks.rig.engine"], cwd=ROOT, env=env)
    try:
        until = timezone.now().timestamp() + seconds + 30
        waiting = Delivery.objects.filter(webhook__in=hooks[1:], state="pending")
        while waiting.exists() and time.time() < until:
            time.sleep(0.5)
    finally:
        dispatcher.terminate()
        dispatcher.wait(30)
    arrived = sink.arrivals()
    Delivery.objects.filter(state="pending").update(state="canceled")
    WebhookHealth.objects.update(open_until=None, open_for_s=0, cap=None)
    waits = sorted((arrived[event] - due.timestamp()) * 1000 for event, due in healthy.items())
    return {percent: waits[min(len(waits) - 1, len(waits) * percent // 100)] for percent in PERCENTILES}


if __name__ == "__main__":
    sys.exit(main())
