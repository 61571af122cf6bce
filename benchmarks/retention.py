"""What removing mail costs, and the mail that comes meanwhile: pruning by retention, and erasing an address.

    python -m benchmarks.retention [--rows 1000000] [--of-address 20000] [--rate 10] [--seconds 30]

A whole installation on PostgreSQL, with that much mail of the last 100 days, made by the database itself. A quarter of
it goes with all that belongs to it (log_days), another one keeps its log (content_days), and then all of one address is
erased; each while mails of 4 kB come at a steady rate, and before that they come alone. Prints medians as JSON and
writes them to docs/benchmarks/retention.json. A million emails take 6 GB of disk.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks.rig import ROOT, report
from tests.installation import Installation, send_octets, simple_mail

LOG_DAYS, CONTENT_DAYS = 75, 50  # of 100: the oldest quarter, and the next one
OLD_ADDRESS = "old@example.com"
MAILS_OF_A_CONNECTION = 500  # a listener takes a thousand


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--of-address", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=10, help="mails a second")
    parser.add_argument("--seconds", type=float, default=30, help="how long they come alone, before and after")
    options = parser.parse_args()
    of_address = min(options.of_address, options.rows // 10)
    with (
        tempfile.TemporaryDirectory() as folder,
        Installation(Path(folder), on_postgres=True) as installation,
        filled(installation, rows=options.rows, of_address=of_address) as filled_in_s,
    ):
        found = measured(installation, rate=options.rate, seconds=options.seconds)
        installation.stop()
        from benchmarks.rig.old_mail import left_of_address

        found["left_of_the_address"] = left_of_address()
    common = {"emails": options.rows, "of_the_address": of_address, "filled_in_s": filled_in_s}
    report("retention", {**common, "offered_mails_per_s": options.rate, **found})
    return 0


@contextmanager
def filled(installation: Installation, *, rows: int, of_address: int) -> Iterator[int]:
    """Started, with so much old mail. Yields the seconds that making it took."""
    installation.start()
    installation.manage("mailboxes", "create", OLD_ADDRESS)
    hook = f"http://127.0.0.1:{installation.sink_port}/"
    installation.manage("webhooks", "create", "--url", hook, "--mailbox", OLD_ADDRESS)
    installation.stop()
    os.environ.update(installation.env)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
    import django

    django.setup()
    from django.db import connection

    from benchmarks.rig.old_mail import OldMail, fill
    from mailboxes.models import Mailbox
    from webhooks.models import Webhook

    begun = time.monotonic()
    mailbox = Mailbox.objects.get(local_part="old")
    fill(OldMail(mailbox, Webhook.objects.get(mailbox=mailbox)), rows=rows, of_address=of_address)
    took = round(time.monotonic() - begun)
    installation.start()
    try:
        yield took
    finally:
        connection.close()


def measured(installation: Installation, *, rate: float, seconds: float) -> dict[str, Any]:
    from benchmarks.rig.old_mail import ADDRESS

    flow = Flow(installation, rate)
    flow.during(lambda: time.sleep(5))  # everybody has his connections, and the first plans
    found: dict[str, Any] = {"mail_alone": flow.during(lambda: time.sleep(seconds))[0]}
    for name, option, days in (("log", "--log-days", LOG_DAYS), ("content", "--content-days", CONTENT_DAYS)):
        installation.manage("mailboxes", "update", OLD_ADDRESS, option, str(days))
        mail, removal = flow.during(lambda: remove(installation, "prune"))
        found[f"pruning_{name}"] = {**removal, "mail_beside": mail}
    mail, removal = flow.during(lambda: remove(installation, "erase", ADDRESS))
    found["erasing_an_address"] = {**removal, "mail_beside": mail}
    found["mail_alone_after"] = flow.during(lambda: time.sleep(seconds))[0]
    return found


def remove(installation: Installation, *what: str) -> dict[str, Any]:
    env = {**installation.env, "DJANGO_SETTINGS_MODULE": "emailgistics.settings", "LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "benchmarks.rig.removal", *what]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Flow:
    """Mails at a steady rate, and how long each took until its 250 and until its webhook was verified."""

    def __init__(self, installation: Installation, rate: float) -> None:
        self._installation = installation
        self._rate = rate
        self._number = count()

    def during(self, work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
        """(of the mails that were sent while work went on, what that returned)."""
        over, results = threading.Event(), []

        def run() -> None:
            try:
                results.append(work())
            finally:
                over.set()

        thread = threading.Thread(target=run)
        thread.start()
        accepted, replies = self._send_until(over)
        thread.join()
        if not results:
            raise SystemExit("what was to be done beside the mail has failed")
        self._installation.wait_until_received(set(accepted), within_s=120)
        arrived = {
            one["subject"]: datetime.fromisoformat(one["at"]).timestamp() for one in self._installation.received()
        }
        waits = [arrived[subject] - at for subject, (at, _) in accepted.items()]
        lasted = max(end for end, _ in accepted.values()) - min(begun for _, begun in accepted.values())
        return {
            "mails_per_s": round(len(accepted) / lasted, 1),
            "until_250_ms_p50": _percentile(replies, 50),
            "until_250_ms_p95": _percentile(replies, 95),
            "until_webhook_ms_p50": _percentile(waits, 50),
            "until_webhook_ms_p95": _percentile(waits, 95),
        }, results[0]

    def _send_until(self, over: threading.Event) -> tuple[dict[str, tuple[float, float]], list[float]]:
        """By subject when its 250 came and when it was begun; and the time between."""
        accepted, replies, started, numbers = {}, [], time.time(), count()
        while True:
            with self._installation.smtp() as client:
                for number in islice(numbers, MAILS_OF_A_CONNECTION):
                    time.sleep(max(0, started + number / self._rate - time.time()))
                    subject, begun = f"Retention {next(self._number)}", time.time()
                    send_octets(client, simple_mail(subject, body="x" * 4000), to=["help@example.com"])
                    accepted[subject] = (time.time(), begun)
                    replies.append(time.time() - begun)
                    if over.is_set() and len(replies) > 1:
                        return accepted, replies


def _percentile(seconds: list[float], percent: int) -> float:
    if len(seconds) < 2:  # noqa: PLR2004
        return round(seconds[0] * 1000, 1)
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000, 1)


if __name__ == "__main__":
    sys.exit(main())
