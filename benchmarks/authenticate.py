"""Requests a second of one worker thread for a list of 20 domains, with a key and all that it entails (P1).

    python -m benchmarks.authenticate [--count 2000] [--runs 5]

The key has an allowlist of 20 mailboxes; each request finds it, looks at its standing, spends of three limits in Redis
and checks its scope. Beside it, in turns and behind the same server with one thread as well: a DRF view that anybody
may ask, the same with the permission of djangorestframework-api-key, with django-rest-knox, and with three windows of
django-ratelimit. Each of these twice: as a view that reads and shows the same 20 rows, as ours does, and as one that
shows the same JSON and reads nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, database, environment, report
from benchmarks.rig.key_peers import Server, one_worker, served

DOMAINS = 20
CONNECTIONS = 4
WARM_UP = 300
PATH = "/v1/domains"
LIMITS = {"RATE_LIMIT_MINUTE": "1000000", "RATE_LIMIT_HOUR": "10000000", "RATE_LIMIT_DAY": "100000000"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="requests of one run")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database() as url:
        env = environment(Path(folder), url, **LIMITS)
        os.environ.update(env)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
        header = f"Authorization: Bearer {make_key()}"
        ours = one_worker(sys.executable, "emailgistics.wsgi:application", cwd=ROOT, env=env)
        with ours as server, served(Path(folder), shown(server.port, header)) as (peer_server, peers):
            targets = {"ours": Target(server, PATH, header)}
            for view in ("rows", "constant"):
                targets |= {f"{name}/{view}": Target(peer_server, f"/{name}/{view}", peers[name]) for name in peers}
            report("authenticate", compared(targets, options.count, options.runs))
    return 0


def make_key() -> str:
    """20 domains with a mailbox each, and a key for these mailboxes with one scope."""
    import django

    django.setup()
    from django.utils import timezone

    from apikeys.services import create_api_key, parse_expiry
    from emailgistics.common.access import Scope
    from mailboxes.models import Mailbox
    from mailboxes.services.provision import create_domain

    for number in range(DOMAINS):
        create_domain(name=f"d{number}.example.com")
    _, plaintext = create_api_key(
        name="bench",
        expires_at=parse_expiry("30d", now=timezone.now()),
        scopes=[Scope.DOMAINS_READ],
        mailboxes=list(Mailbox.objects.all()),
    )
    return plaintext


def shown(port: int, header: str) -> dict[str, Any]:
    """What is answered, for peers to answer the same."""
    name, _, value = header.partition(": ")
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", headers={name: value})
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: dict[str, Any] = json.load(answer)
    if len(body["data"]) != DOMAINS:
        raise SystemExit(f"{len(body['data'])} domains instead of {DOMAINS}")
    return body


@dataclass(frozen=True, slots=True)
class Target:
    server: Server
    path: str
    header: str

    def load(self, count: int) -> tuple[float, float]:
        """Requests a second, and the server's seconds of the processor for one."""
        before = self.server.cpu_seconds()
        arguments = [str(self.server.port), str(count), str(CONNECTIONS), self.path, self.header]
        command = [sys.executable, "-m", "benchmarks.rig.http_load", *arguments]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        return count / json.loads(done.stdout)["seconds"], (self.server.cpu_seconds() - before) / count


def compared(targets: dict[str, Target], count: int, runs: int) -> dict[str, Any]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
    for target in targets.values():
        target.load(WARM_UP)
    for _ in range(runs):
        for name, target in targets.items():
            found[name].append(target.load(count))
    rates = {name: statistics.median(rate for rate, _ in each) for name, each in found.items()}
    return {
        "requests": count,
        "runs": runs,
        "load_average": round(os.getloadavg()[0], 1),
        "per_second": {name: round(rate) for name, rate in rates.items()},
        "ours_is_times": {name: round(rates["ours"] / rate, 2) for name, rate in rates.items() if name != "ours"},
        "cpu_us_of_the_server": {
            name: round(statistics.median(cpu for _, cpu in each) * 1e6) for name, each in found.items()
        },
        "all_runs_per_second": {name: [round(rate) for rate, _ in each] for name, each in found.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
