"""A campaign's results for people: a section of Markdown."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def section(facts: Mapping[str, Any]) -> str:
    """facts: a report as a dictionary."""
    kills = sum(facts["kills"].values())
    run = f"{kills} kills in one run of {facts['seconds'] / 60:.0f} minutes"
    lines = [
        f"On {facts['on']}: {run} ({machine()}, seed {facts['seed']}).",
        "",
        *table("What was done", "times", {f"kill -9 {name}": count for name, count in most_first(facts["kills"])}),
        *rows(dict(most_first(facts["faults"]))),
        *rows({f"receiver: {mood}": count for mood, count in most_first(facts["moods"])}),
        "",
        *table("What came of it", "", outcome(facts)),
    ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """And the day."""
    of = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{datetime.now(UTC):%Y-%m-%d}, {of}"


def outcome(facts: Mapping[str, Any]) -> dict[str, object]:
    broken = {name.replace("_", " "): len(found) for name, found in facts["broken"].items()}
    refused = facts["refused_for_now"]
    measured = {
        "mails accepted (250)": facts["accepted"],
        "refused for now, or cut off before the answer": sum(refused.values()),
        "of these, by answer": ", ".join(f"{reply}: {count}" for reply, count in most_first(refused)) or "none",
        "sent again after an answer that got lost, recognised, and not stored again": facts["resent"],
        "deliveries owed for what was accepted": facts["owed"],
        "of these arrived, verified": facts["delivered"],
        "arrived once more, under the same webhook-id and with the same octets": facts["duplicates"],
        "attempts that were lost with their dispatcher, and made again": facts["lost_attempts"],
        "of these, most of one delivery (of which four are lost, fails)": facts["most_lost_of_one"],
        "mails whose workers were killed three times, delivered unopened": facts["parked"],
        "left unfinished at the end": sum(facts["unfinished"].values()),
        "nothing was to be done any more after the last kill, after": f"{facts['settled_after_s']:.0f} s",
        "longest without a process": longest(facts["longest_without_process_s"]),
        "longest without an answer": longest(facts["longest_without_answer_s"]),
    }
    for what, back in facts["back_after_s"].items():
        times = ", ".join(f"{s:.1f}" for s in back)
        measured[f"all that waited for {what} delivered after it was back, after"] = f"{times} s"
    return broken | measured


def longest(by_name: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {s:.1f} s" for name, s in sorted(by_name.items(), key=lambda one: -one[1]))


def most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: -one[1])


def table(head: str, other: str, values: Mapping[str, object]) -> list[str]:
    return [f"| {head} | {other} |", "|---|---|", *rows(values)]


def rows(values: Mapping[str, object]) -> list[str]:
    return [f"| {name} | {value} |" for name, value in values.items()]


def write_into(document: Path, facts: Mapping[str, Any], *, key: str) -> None:
    write_between(document, section(facts), key=key)


def write_between(document: Path, text: str, *, key: str) -> None:
    """Replaces what stands between the key's two marks."""
    begin, end = f"<!-- campaign on {key} -->", f"<!-- end of campaign on {key} -->"
    before, rest = document.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    document.write_text(f"{before}{begin}\n{text}{end}{after}", encoding="utf-8")
