"""Requests a second of one worker thread for a list of 20 domains, with a key and all that it entails (P1).

    python -m benchmarks.authenticate [--count 2000] [--runs 5]

The key has an allowlist of 20 mailboxes; each request finds it, looks at its standing, spends of three limits in Redis,
checks its scope, counts its use. Beside it, in turns and behind the same server with one thread as well: a DRF view
that anybody may ask, which reads and shows the same rows, and one that shows them without reading; and on the first of
them the permission of djangorestframework-api-key, django-rest-knox, and three windows of django-ratelimit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, database, environment, report
from benchmarks.rig.key_peers import one_worker, served

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
        with one_worker(sys.executable, "emailgistics.wsgi:application", cwd=ROOT, env=env) as port:
            body = shown(port, header)
            with served(Path(folder), body) as (peer_port, peers):
                targets = {"ours": (port, PATH, header)}
                targets |= {name: (peer_port, f"/{name}", opens) for name, opens in peers.items()}
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


def compared(targets: dict[str, tuple[int, str, str]], count: int, runs: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in targets}
    octets: dict[str, int] = {}
    for target in targets.values():
        load(*target, WARM_UP)
    for _ in range(runs):
        for name, target in targets.items():
            done = load(*target, count)
            rates[name].append(count / done["seconds"])
            octets[name] = done["octets"]
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "requests": count,
        "runs": runs,
        "load_average": os.getloadavg()[0],
        "per_second": {name: round(found) for name, found in medians.items()},
        "ours_is_times": {name: round(medians["ours"] / found, 2) for name, found in medians.items() if name != "ours"},
        "octets": octets,
        "all_runs": {name: [round(rate) for rate in found] for name, found in rates.items()},
    }


def load(port: int, path: str, header: str, count: int) -> dict[str, Any]:
    arguments = [str(port), str(count), str(CONNECTIONS), path, header]
    command = [sys.executable, "-m", "benchmarks.rig.http_load", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
