"""What a request makes the database do: the plan of each of its queries, and how much of which tables that reads."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from tests.many_emails import TABLES

READING = re.compile(r"\s*(?:SELECT|WITH)\b")
OTHERWISE = re.compile(r"\bset_config\b|\bFOR (?:NO KEY )?UPDATE\b|\b(?:INSERT|UPDATE|DELETE)\b")
# no query of its own: settings for the next one, and the transaction that they end with
SETTINGS = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT", "SET ", "SELECT set_config(")


@dataclass(slots=True)
class Asked:
    """What a request made the database do."""

    plans: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if READING.match(sql) and not OTHERWISE.search(sql):
            # in the same transaction, under the same settings
            explained = connection.connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
            self.plans.append((sql, explained.fetchone()[0][0]["Plan"]))
        return execute(sql, params, many, context)

    @property
    def buffers(self) -> int:
        return sum(buffers(plan) for _, plan in self.plans)


def scans(plan: dict[str, Any], table: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each with its table; a bitmap is of the table that is read by it."""
    table = plan.get("Relation Name", table)
    # where a word stands is one entry of a GIN index, however many emails it is; reading those is what takes time
    is_of_words = plan.get("Index Name", "").startswith("search_") and plan["Index Name"].endswith("_words")
    if ("Relation Name" in plan or "Index Name" in plan) and not is_of_words:
        yield table, plan
    for inner in plan.get("Plans", ()):
        yield from scans(inner, table)


def rows_touched(plan: dict[str, Any], *, of_mail: bool) -> int:
    """By its scans of what grows with the mail, or of all else: what they gave, and what they threw away."""
    names = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    chosen = [scan for table, scan in scans(plan) if (table in TABLES) is of_mail]
    return sum(int(sum(scan.get(name, 0) for name in names) * scan["Actual Loops"]) for scan in chosen)


def probes(plan: dict[str, Any]) -> list[int]:
    """How often each of its scans begins anew."""
    return [scan["Actual Loops"] for _, scan in scans(plan)]


def buffers(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
