"""All that was measured, in one table: goals.md's rows with what came of them.

    python -m benchmarks.table

Reads docs/benchmarks/*.json and writes the table of docs/benchmarks.md.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.rig import RESULTS, ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    number: str
    what: str
    ours: str
    beside: str
    ratio: str
    goal: str
    is_reached: bool


def main() -> int:
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    DOCUMENT.write_text(before + BEGIN + "\n".join(lines()) + "\n" + END + after, encoding="utf-8")
    return 0


def lines() -> Iterator[str]:
    yield "| # | what | ours | beside it | ratio (of single runs) | goal | | measured |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, rows_of in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        when = " ".join(str(found[key]) for key in ("date", "commit") if key in found)
        for row in rows_of(found):
            verdict = "reached" if row.is_reached else "**missed**"
            cells = (row.number, row.what, row.ours, row.beside, row.ratio, row.goal, verdict, when)
            yield "| " + " | ".join(cells) + " |"


def authenticate(found: Found) -> Iterator[Row]:
    rates, runs, times = found["per_second"], found["all_runs_per_second"], found["ours_is_times"]
    names = {
        "anonymous": "anonymous",
        "drf_api_key": "djangorestframework-api-key",
        "knox": "django-rest-knox",
        "three_ratelimits": "three windows of django-ratelimit",
    }
    for view, what in (("rows", "reading the same rows"), ("constant", "constant JSON")):
        for peer, called in names.items():
            key = f"{peer}/{view}"
            single = [ours / other for ours, other in zip(runs["ours"], runs[key], strict=True)]
            least = 0.5 if peer == "anonymous" else 1
            goal = f"at least {least}" if peer == "anonymous" else "ahead"
            yield Row(
                "P1", "`GET /v1/domains` with a key", f"{rates['ours']}/s", f"{called}, {what}: {rates[key]}/s",
                f"{times[key]} ({min(single):.2f} to {max(single):.2f})", goal, times[key] >= least,
            )  # fmt: skip


def throughput(found: Found) -> Iterator[Row]:
    for key, called in (("aiohttp_receiver", "an aiohttp receiver"), ("lean_receiver", "a lean receiver")):
        one = found[key]
        yield Row(
            "P2", f"deliveries, one dispatcher, to {called}", f"{one['per_second']}/s",
            f"bare aiohttp loop: {one['bare_per_second']}/s", with_spread(one["ratio_to_bare"], one),
            "at least 0.5", one["ratio_to_bare"] >= 0.5,  # noqa: PLR2004
        )  # fmt: skip
    if "django_webhook_per_second" in found:
        ratio = found["ratio_to_django_webhook"]
        yield Row(
            "P2", "the same", f"{found['lean_receiver']['per_second']}/s",
            f"django-webhook on Celery, two workers: {found['django_webhook_per_second']:.0f}/s", str(ratio),
            "at least 30", ratio >= 30,  # noqa: PLR2004
        )  # fmt: skip
    statements = found["lean_receiver"]["statements_per_delivery"]
    yield Row("P2", "SQL statements for a delivery", str(statements), "", "", "at most 0.05", statements <= 0.05)  # noqa: PLR2004


def latency(goals: dict[str, int]) -> Callable[[Found], Iterator[Row]]:
    def rows(found: Found) -> Iterator[Row]:
        ms, runs = found["ms"], found.get("spread_ms", {})
        shown = ", ".join(f"{name} {value} ms{between(runs.get(name))}" for name, value in ms.items())
        goal = ", ".join(f"{name} {most} ms" for name, most in goals.items())
        yield Row(
            "P3", f"250 to receiver, {found['offered_mails_per_s']:g} mails/s", shown, "", "", f"at most {goal}",
            all(ms[name] <= most for name, most in goals.items()),
        )  # fmt: skip

    return rows


def isolation(found: Found) -> Iterator[Row]:
    ours, beside = found["one_of_ten_hanging_ms"], found["none_hanging_ms"]
    yield Row(
        "P4", "p99 of healthy deliveries while one of ten hangs", f"{ours['p99']} ms",
        f"none hangs: {beside['p99']} ms", with_spread(found["p99_ratio"], found), "at most 1.2",
        found["p99_ratio"] <= 1.2,  # noqa: PLR2004
    )  # fmt: skip


def intake(found: Found) -> Iterator[Row]:
    for number, key, what, least in (("P5", "small", "4 kB", 0.6), ("P6", "large", "25 MiB", 4)):
        one = found[key]
        unit, rates = ("/s", one["per_second"]) if key == "small" else (" MiB/s", one["mib_per_second"])
        npm = f"; npm smtp-server: {rates['npm']}{unit}" if "npm" in rates else ""
        yield Row(
            number, f"mail in, {what}, durable", f"{rates['ours']}{unit}",
            f"aiosmtpd, storing nothing: {rates['stock']}{unit}{npm}", with_spread(one["ratio_to_stock"], one),
            f"at least {least}", one["ratio_to_stock"] >= least,
        )  # fmt: skip


def end_to_end(found: Found) -> Iterator[Row]:
    # in each run
    rate = max((float(rate) for rate, one in found["rates"].items() if one["sustained"] == found["runs"]), default=0)
    tried = "; ".join(f"{rate}/s: {one['sustained']} of {found['runs']}" for rate, one in found["rates"].items())
    yield Row(
        "P7", "SMTP to opened to delivered, backlog flat", f"{rate:g}/s", f"sustained in runs: {tried}", "",
        "at least 150/s", rate >= 150,  # noqa: PLR2004
    )  # fmt: skip


def claims(found: Found) -> Iterator[Row]:
    few, most = found["due_1000_for_100_webhooks"], found["due_most_for_100_webhooks"]
    yield Row(
        "P8", f"finding what of {most['due']:,} due deliveries may go", f"{most['find_ms']} ms",
        f"1,000 due: {few['find_ms']} ms", f"{most['find_ms'] / few['find_ms']:.2f}", "at most 10 ms",
        most["find_ms"] <= 10,  # noqa: PLR2004
    )  # fmt: skip
    yield Row(
        "P8", f"the same, and {most['deliveries_per_claim']} of them made ours, with what is sent",
        f"{most['claim_ms']} ms", f"1,000 due: {few['claim_ms']} ms", f"{most['claim_ms'] / few['claim_ms']:.2f}",
        "at most 10 ms", most["claim_ms"] <= 10,  # noqa: PLR2004
    )  # fmt: skip


def growth(found: Found) -> Iterator[Row]:
    few, many = found["emails"]
    operations = found["operations"]
    late = {name: one["p99_ratio"] for name, one in operations.items() if one["p99_ratio"] > 1.5}  # noqa: PLR2004
    named = ", ".join(f"{name} {ratio}" for name, ratio in sorted(late.items(), key=lambda one: -one[1]))
    yield Row(
        "P8", f"lists, filters, statistics and console at {many:,} emails",
        f"{len(operations) - len(late)} of {len(operations)} within 1.5", f"at {few:,}",
        f"beyond: {named}" if late else "all within", "p99 at most 1.5", not late,
    )  # fmt: skip


def memory(found: Found) -> Iterator[Row]:
    idle, mail = found["idle_pss_mib"], found["mail"]["all_at_one_moment_in_mails"]
    bare = found["eight_bare_django_pss_mib"]
    yield Row(
        "P9", "idle memory, embedded", f"{idle} MiB", f"eight bare Django processes: {bare} MiB",
        f"{idle / bare:.2f}", "at most 400 MB", idle * 1.048576 <= 400,  # noqa: PLR2004
    )  # fmt: skip
    yield Row("P9", "one mail of 38 MiB, all processes", f"{mail} mails", "", "", "at most 4", mail <= 4)  # noqa: PLR2004


def first_webhook(found: Found) -> Iterator[Row]:
    yield Row(
        "P10", "`make run` to the first webhook", f"{found['seconds']} s{between(found['spread'])}",
        f"with a cold cache: {found['with_a_cold_cache_s']} s", "", "at most 60 s",
        found["seconds"] <= 60,  # noqa: PLR2004
    )  # fmt: skip


def with_spread(ratio: float, found: Found) -> str:
    return f"{ratio}{between(found.get('spread_of_ratio'))}"


def between(least_and_most: list[float] | None) -> str:
    return f" ({least_and_most[0]} to {least_and_most[1]})" if least_and_most else ""


SECTIONS: dict[str, Callable[[Found], Iterator[Row]]] = {
    "authenticate": authenticate,
    "throughput": throughput,
    "latency-postgres": latency({"p95": 100, "p99": 250}),
    "latency-sqlite": latency({"p95": 300}),
    "isolation": isolation,
    "intake": intake,
    "end_to_end": end_to_end,
    "claims": claims,
    "growth": growth,
    "memory": memory,
    "first_webhook": first_webhook,
}

if __name__ == "__main__":
    sys.exit(main())
