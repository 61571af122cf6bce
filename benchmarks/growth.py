"""What lists, filters, searches and statistics take with ten thousand emails and with ten million (P8).

    python -m benchmarks.growth [--rows 10000000] [--few 10000] [--rounds 20] [--each 10] [--keep NAME]

PostgreSQL. Two databases, filled by the database itself (tests/many_emails.py), and each operation in turns on both, in
process, with all that a request passes. Ten million emails take about 35 GB of disk, and filling them and asking half
an hour. With --keep they are named NAME_few and NAME_many, filled where they are not there yet, migrated, and left
there for the next time; with --rounds 0 as well nothing is asked.
"""

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

from benchmarks.rig import ROOT, database, environment, report

OCTETS_OF_AN_EMAIL = 3500  # with all that belongs to it, and its indexes
LIMITS = dict.fromkeys(("RATE_LIMIT_MINUTE", "RATE_LIMIT_HOUR", "RATE_LIMIT_DAY"), "1000000")

# what is asked, by whom (see `Side.clients`); <name> is the id of that one of ManyEmails
OPERATIONS: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("list, all mailboxes", "all", "/v1/emails", {}),
    ("list, a busy mailbox", "busy", "/v1/emails", {}),
    ("list, five idle mailboxes", "idle", "/v1/emails", {}),
    ("page 40", "busy", "/v1/emails", {"page": "40"}),
    ("by alias, frequent", "busy", "/v1/emails", {"alias_id": "<alias>"}),
    ("by alias, rare", "busy", "/v1/emails", {"alias_id": "<rare_alias>"}),
    ("by author, frequent", "busy", "/v1/emails", {"from": "@sender5.example"}),
    ("by author, rare", "busy", "/v1/emails", {"from": "rare@quiet.example"}),
    ("by recipient", "busy", "/v1/emails", {"to": "help@example.com"}),
    ("by Message-ID", "all", "/v1/emails", {"message_id": "101@example.net"}),
    ("with attachment, rare", "busy", "/v1/emails", {"has_attachment": "true"}),
    ("by status, rare", "busy", "/v1/emails", {"status": "parked"}),
    ("by time", "busy", "/v1/emails", {"received_before": "2100-01-01"}),
    ("search, a rare word", "busy", "/v1/emails", {"q": "rare"}),
    ("search, one in a hundred", "busy", "/v1/emails", {"q": "engine5"}),
    ("search, a word of every mail", "busy", "/v1/emails", {"q": "order"}),
    ("deliveries of a webhook", "busy", "/v1/webhooks/<hook>/deliveries", {}),
    ("deliveries that failed", "busy", "/v1/webhooks/<hook>/deliveries", {"state": "failed"}),
    ("pull", "busy", "/v1/webhooks/<hook>/pull", {"after": "0"}),
    ("refusals", "all", "/v1/refusals", {}),
    ("refusals of a network", "all", "/v1/refusals", {"network": "192.0.2.0/24"}),
    ("statistics, 30 days by day", "all", "/v1/statistics", {}),
    ("statistics of a mailbox", "busy", "/v1/statistics", {"mailbox_id": "<busy>"}),
    ("console, list of emails", "console", "/admin/mailboxes/email/", {}),
    ("console, list of deliveries", "console", "/admin/webhooks/delivery/", {}),
)


class Side:
    """One of the two databases: `use` it, then ask."""

    def __init__(self, url: str, rows: int) -> None:
        from django.contrib.auth.models import User
        from django.test import Client

        from tests.apikeys.factories import make_client
        from tests.many_emails import fill, filled

        self._name = url.rpartition("/")[2]
        self.use()
        begun = time.monotonic()
        is_filled = User.objects.exists()  # who asks the console is the last that is made
        many = filled() if is_filled else fill(rows, others=20)
        self.filled_in_s = None if is_filled else round(time.monotonic() - begun)
        console = Client()
        console.force_login(User.objects.create_superuser(f"ada{time.time_ns()}", password="only-for-benchmarks"))
        self._clients = {
            "all": make_client(),
            "busy": make_client(mailboxes=[many.busy]),
            "idle": make_client(mailboxes=many.idle),
            "console": console,
        }
        named = {"alias": many.alias, "rare_alias": many.rare_alias, "hook": many.hook, "busy": many.busy}
        self._ids = {f"<{name}>": thing.public_id for name, thing in named.items()}

    def use(self) -> None:
        from django.db import connection

        if connection.settings_dict["NAME"] != self._name:
            connection.close()
            connection.settings_dict["NAME"] = self._name

    def size_gb(self) -> float:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return round(int(cursor.fetchone()[0]) / 1e9, 2)

    def ask(self, who: str, path: str, query: Mapping[str, str]) -> float:
        """Milliseconds."""
        for name, id_ in self._ids.items():
            path = path.replace(name, id_)
        filled = {name: self._ids.get(value, value) for name, value in query.items()}
        begun = time.perf_counter()
        answer = self._clients[who].get(path, filled)
        took = (time.perf_counter() - begun) * 1000
        assert answer.status_code == HTTPStatus.OK, (path, filled, answer.status_code, answer.content[:300])
        return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--each", type=int, default=10, help="times in a round")
    parser.add_argument("--keep", metavar="NAME", help="of the databases, which are used again if they are there")
    options = parser.parse_args()
    # of this machine's disk, which need not be the database's
    if (free := shutil.disk_usage(ROOT).free) < options.rows * OCTETS_OF_AN_EMAIL:
        print(f"{options.rows} emails may not fit: {free / 1e9:.0f} GB are free", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        few_url, many_url = (stack.enter_context(database(kind, keep=options.keep)) for kind in ("few", "many"))
        prepare(Path(folder), few_url, many_url)
        few, many = Side(few_url, options.few), Side(many_url, options.rows)
        if not options.rounds:
            print(f"filled in {many.filled_in_s} s")
            return 0
        found = {
            "emails": [options.few, options.rows],
            "database_gb": many.size_gb(),
            "filled_in_s": many.filled_in_s,
            "rounds": options.rounds,
            "times_in_a_round": options.each,
            "operations": dict(measured(few, many, rounds=options.rounds, each=options.each)),
        }
        from django.db import connection

        connection.close()
    report("growth", found)
    return 0


def prepare(folder: Path, *urls: str) -> None:
    for url in urls:
        env = environment(folder, url, **LIMITS, ALLOWED_HOSTS="testserver")
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=env, check=True)
    os.environ.update(env)
    import django

    django.setup()


def measured(few: Side, many: Side, *, rounds: int, each: int) -> Iterator[tuple[str, dict[str, float]]]:
    gc.collect()
    gc.freeze()
    gc.disable()  # it runs between the rounds: it takes longer than many an operation, and meets either side by chance
    for name, who, path, query in OPERATIONS:
        times: dict[str, list[float]] = {"few": [], "many": []}
        for _ in range(rounds):
            for side, taken in ((few, times["few"]), (many, times["many"])):
                side.use()
                side.ask(who, path, query)  # a new connection, and statements that it does not know
                taken += [side.ask(who, path, query) for _ in range(each)]
                gc.collect()
        cut = {side: statistics.quantiles(taken, n=100) for side, taken in times.items()}
        yield (
            name,
            {
                **{f"{side}_{label}_ms": round(cut[side][at - 1], 2) for side in cut for label, at in PERCENTILES},
                "p99_ratio": round(cut["many"][98] / cut["few"][98], 2),
                "p50_ratio": round(cut["many"][49] / cut["few"][49], 2),
            },
        )


PERCENTILES = (("p50", 50), ("p99", 99))

if __name__ == "__main__":
    sys.exit(main())
