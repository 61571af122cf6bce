"""What a list of the console may ask of the database, however much mail there is.

At most so many queries, no total of a whole table, and no walk by rows that are not shown.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from emailgistics.common.admin import MAX_COUNTED
from mailboxes.admin import counting, email_log, history, rules
from tests.explained import SETTINGS, Asked, rows_touched

QUERIES = 10
PAGE = 50
MOST = 40 * PAGE
# what no index finds is looked for among so many of the newest: fewer here than there are, so that it shows
SEARCHED = MAX_COUNTED
MOST_SEARCHED = 3 * SEARCHED
# a total stops there, and so does the last page that can be turned to; each with what hangs on a row
MOST_COUNTED = 5 * MAX_COUNTED

SEARCHING = re.compile(r'LIKE UPPER|HOST\(|"quarantine_rule_id" = ')
LIMITS = "|".join(str(limit) for limit in (MAX_COUNTED, counting.MAX_COUNTED + 1, email_log.MAX_COUNTED + 1))
COUNTING = re.compile(rf"LIMIT (?:{LIMITS})\b|OFFSET [1-9]|@@|common_seriessum")


class Counted(Asked):
    """With how many statements there were, also such as are not explained."""

    queries = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(SETTINGS):
            self.queries += 1
        return super().__call__(execute, sql, params, many, context)


def look_less_far(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (history, rules):
        monkeypatch.setattr(module, "SEARCHED", SEARCHED)
    monkeypatch.setattr(email_log, "OF_A_RULE_AMONG", SEARCHED)


def faults_of(asked: Counted) -> Iterator[str]:
    if asked.queries > QUERIES:
        yield f"{asked.queries} queries:\n" + "\n".join(sql for sql, _ in asked.plans)
    for sql, plan in asked.plans:
        shown = f"{sql}\n{json.dumps(plan, indent=1)[:6000]}"
        is_counting, is_searching = COUNTING.search(sql), SEARCHING.search(sql)
        most = MOST_SEARCHED if is_searching else MOST_COUNTED if is_counting else MOST
        # of what people set up there are some thousands, and lists may sort them
        for of_mail, bound in ((True, most), (False, MOST_COUNTED)):
            if (touched := rows_touched(plan, of_mail=of_mail)) > bound:
                yield f"{touched} rows are looked at, of {bound}: {shown}"
