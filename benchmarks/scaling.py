"""What a second, a third and a fourth dispatcher or worker bring, on one database.

    python -m benchmarks.scaling [--processes 1,2,4] [--deliveries 3000] [--mails 1500] [--runs 3]

PostgreSQL. Dispatchers send what is due to ten webhooks, each answered after 50 ms, as over the internet; workers open
mail that waits. All begin at once, and what counts is when the last of it is done. Beside the rate stands the time of
the processor that all of them took for one: where that stays the same, they do not get in each other's way, and what
they do not bring on this machine is cores that it does not have.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, Sink, database, environment, report, spread

WEBHOOKS = 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=lambda text: [int(one) for one in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--deliveries", type=int, default=3000)
    parser.add_argument("--mails", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, Any] = {"runs": options.runs, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder, database() as url, Sink() as sink:
        env = environment(Path(folder), url)
        os.environ.update(env)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        import django

        django.setup()
        from benchmarks.rig import rows

        hooks = rows.make_webhooks([f"{sink.url}/slow{n}" for n in range(WEBHOOKS)])
        kinds: dict[str, tuple[int, Callable[[], object]]] = {
            "dispatcher": (options.deliveries, lambda: rows.make_due(hooks, options.deliveries)),
            "worker": (options.mails, lambda: rows.make_waiting(options.mails)),
        }
        for kind, (count, make) in kinds.items():
            found[kind] = {"count": count}
            for processes in options.processes:
                runs = [together(kind, processes, make, env) for _ in range(options.runs)]
                found[kind][str(processes)] = summed_up(runs, count)
    report("scaling", found)
    return 0


def together(kind: str, processes: int, make: Callable[[], object], env: dict[str, str]) -> dict[str, float]:
    """Seconds until the last is done, and of the processor for all of them together."""
    make()
    command = [sys.executable, "-m", f"benchmarks.rig.{kind}"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()
    begun = time.perf_counter()
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    told = [json.loads(process.stdout.readline()) for process in started if process.stdout is not None]
    for process in started:
        process.wait(30)
    return {"seconds": max(one["ended_at"] for one in told) - begun, "cpu_s": sum(one["cpu_s"] for one in told)}


def summed_up(runs: list[dict[str, float]], count: int) -> dict[str, Any]:
    rates = sorted(count / run["seconds"] for run in runs)
    return {
        "per_second": round(statistics.median(rates)),
        "spread": spread(rates, 0),
        "cpu_us_for_one": round(statistics.median(run["cpu_s"] for run in runs) / count * 1e6),
    }


if __name__ == "__main__":
    sys.exit(main())
