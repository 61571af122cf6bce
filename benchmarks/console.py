"""What the database has to do for each list of the console, with a million emails.

    python -m benchmarks.console [--rows 1000000] [--rounds 3]

PostgreSQL. A database of its own, filled by the database itself (tests/many_emails.py); then every list with every
filter, order, page and search that it offers (tests/console/list_pages.py), in process. Of each the middle of the
rounds: how many queries, and how long the database took for all of them. A million emails take about 3 GB of disk.
"""

import argparse
import statistics
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.growth import prepare
from benchmarks.rig import database, report

if TYPE_CHECKING:
    from django.test import Client

    from tests.many_emails import ManyEmails

MOST_QUERIES = 10
MOST_MS = 300


class Clock:
    """How many queries a request made, and how long the database took for everything."""

    def __init__(self, settings: tuple[str, ...]) -> None:
        """settings: what such statements begin with, that are no queries."""
        self.queries, self.ms, self._settings = 0, 0.0, settings

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.queries += not sql.startswith(self._settings)
            self.ms += (time.perf_counter() - begun) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database("console") as url:
        prepare(Path(folder), url)
        from django.contrib.auth.models import User
        from django.db import connection
        from django.test import Client

        from tests.many_emails import fill

        many = fill(options.rows, others=2000)
        client = Client()
        client.force_login(User.objects.create_superuser("ada", password="only-for-benchmarks"))
        asked = measured(client, many, rounds=options.rounds)
        connection.close()
    report("console", {"emails": options.rows, "rounds": options.rounds, **summed(asked)})
    return 0 if all(one["queries"] <= MOST_QUERIES and one["ms"] <= MOST_MS for one in asked) else 1


def measured(client: "Client", many: "ManyEmails", *, rounds: int) -> list[dict[str, Any]]:
    from tests.console import list_pages

    return [
        {"list": name, "asked": query, **times(client, list_pages.address_of(name), query, rounds=rounds)}
        for name in list_pages.names()
        for query in list_pages.queries_of(client, name, many)
    ]


def times(client: "Client", address: str, query: dict[str, str], *, rounds: int) -> dict[str, Any]:
    from django.db import connection

    from tests.explained import SETTINGS

    clocks = []
    for _ in range(rounds):
        clock = Clock(SETTINGS)
        with connection.execute_wrapper(clock):
            answer = client.get(address, query, follow=True)
        if answer.status_code != HTTPStatus.OK:
            raise AssertionError((address, query, answer.status_code))
        clocks.append(clock)
    return {
        "queries": max(clock.queries for clock in clocks),
        "ms": round(statistics.median(clock.ms for clock in clocks), 1),
    }


def summed(asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each list as it opens, and what was asked of it that took longest."""
    lists = {}
    for name in sorted({one["list"] for one in asked}):
        of_it = [one for one in asked if one["list"] == name]
        lists[name] = {
            "queries": of_it[0]["queries"],
            "ms": of_it[0]["ms"],
            "ways_to_ask": len(of_it),
            "most_queries": max(one["queries"] for one in of_it),
            "slowest": max(of_it, key=lambda one: one["ms"]),
        }
    return {"lists": lists}


if __name__ == "__main__":
    sys.exit(main())
