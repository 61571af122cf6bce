"""Deliveries a second of one dispatcher process on PostgreSQL, every attempt recorded (P2).

    python -m benchmarks.throughput [--count 5000] [--runs 5] [--no-peer]

Beside it, in turns: a bare aiohttp loop that posts the same, to a receiver as people write them and to one that costs
as little as it can; and django-webhook on Celery with two workers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, Sink, database, environment, report, spread

WEBHOOKS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true", help="leave django-webhook out")
    options = parser.parse_args()
    found: dict[str, Any] = {"deliveries": options.count, "runs": options.runs, "webhooks": WEBHOOKS}
    with tempfile.TemporaryDirectory() as folder, database() as url:
        env = environment(Path(folder), url)
        os.environ.update(env)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        for kind, receiver in (("aiohttp_sink", "aiohttp_receiver"), ("sink", "lean_receiver")):
            with Sink(kind) as sink:
                found[receiver] = compared(*measure(options.count, options.runs, sink, env))
        if not options.no_peer:
            from benchmarks.rig.django_webhook import deliveries_per_second

            with Sink() as sink:
                peer = deliveries_per_second(Path(folder), sink)
            found["django_webhook_per_second"] = peer
            found["ratio_to_django_webhook"] = round(found["lean_receiver"]["per_second"] / peer, 1)
    report("throughput", found)
    return 0


def compared(ours: list[dict[str, Any]], bare: list[dict[str, Any]]) -> dict[str, Any]:
    count = ours[0]["attempts"]
    per_second = statistics.median(count / run["seconds"] for run in ours)
    of_bare = statistics.median(count / run["seconds"] for run in bare)
    return {
        "per_second": round(per_second),
        "bare_per_second": round(of_bare),
        "ratio_to_bare": round(per_second / of_bare, 2),
        "spread_of_ratio": spread([b["seconds"] / o["seconds"] for o, b in zip(ours, bare, strict=True)]),
        "statements_per_delivery": round(statistics.median(run["statements"] for run in ours) / count, 3),
        "cpu_us_per_delivery": round(statistics.median(run["cpu_s"] for run in ours) / count * 1e6),
        "bare_cpu_us_per_delivery": round(statistics.median(run["cpu_s"] for run in bare) / count * 1e6),
    }


def measure(
    count: int, runs: int, sink: Sink, env: dict[str, str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    import django

    django.setup()
    from benchmarks.rig import rows

    hooks = rows.make_webhooks([f"{sink.url}/{n}" for n in range(WEBHOOKS)])
    ours, bare = [], []
    dispatcher = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.rig.dispatcher"],
        cwd=ROOT,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert dispatcher.stdin is not None
    assert dispatcher.stdout is not None
    dispatcher.stdout.readline()
    for _ in range(runs):
        rows.make_due(hooks, count)
        dispatcher.stdin.write("go\n")
        dispatcher.stdin.flush()
        ours.append(json.loads(dispatcher.stdout.readline()))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.rig.bare", sink.url, str(count)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            check=True,
            text=True,
        )
        bare.append(json.loads(done.stdout))
    dispatcher.stdin.close()
    dispatcher.wait(30)
    return ours, bare


if __name__ == "__main__":
    sys.exit(main())
