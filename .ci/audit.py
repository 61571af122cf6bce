"""Known vulnerabilities of what requirements/*.txt name: `make audit`. Needs nothing but requirements/audit.txt.

Exit status: 0 none, or nobody could be asked, which is said plainly; 1 one that .ci/audit-ignored.toml does not name.
"""

import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IGNORED = ROOT / ".ci" / "audit-ignored.toml"
WITHIN_S = 60  # for all files together: a gate must not hang on somebody else's server
TIMEOUT_S = 5  # of one socket
# Known to have one, CVE-2024-3651. A service that says it has none cannot be believed about anything: a mirror without
# advisories answers so.
CANARY = "idna==3.6"


@dataclass(slots=True)
class Report:
    """found: lines about vulnerabilities that nobody has judged. ignored: ids that were found and are on the list."""

    found: list[str] = field(default_factory=list)
    ignored: set[str] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)  # packages that the service does not know


class UnaskedError(Exception):
    """The service was not reached, did not answer in time, or has no advisories."""


def judge(dependencies: Iterable[Mapping[str, Any]], *, ignored: Mapping[str, str], report: Report) -> None:
    """Adds to the report what is said of these, which are as pip-audit's JSON has them."""
    for dependency in dependencies:
        if "skip_reason" in dependency:
            report.unknown.append(dependency["name"])
        for vulnerability in dependency.get("vulns", ()):
            names = {vulnerability["id"], *vulnerability.get("aliases", ())}
            if known := names & ignored.keys():
                report.ignored |= known
                continue
            fixed = ", ".join(vulnerability["fix_versions"]) or "no release yet"
            report.found.append(
                f"{dependency['name']} {dependency['version']}: {', '.join(sorted(names))}; fixed in: {fixed}"
            )


def ignored_with_reasons(text: str) -> dict[str, str]:
    """Raises ValueError for an entry without a reason."""
    entries = {entry["id"]: entry.get("reason", "").strip() for entry in tomllib.loads(text).get("ignored", [])}
    if unexplained := [name for name, reason in entries.items() if not reason]:
        raise ValueError(f"{IGNORED.name}: say why for {', '.join(unexplained)}.")
    return entries


def ask(requirements: Path, *, until: float) -> list[dict[str, Any]]:
    """What is known of each package in the file, whose versions are exact. Raises UnaskedError."""
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(requirements), "--no-deps", "--disable-pip",
        "--timeout", str(TIMEOUT_S), "--progress-spinner", "off", "--format", "json", "--desc", "off",
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - no part of it is from outside
            command, capture_output=True, text=True, check=False, timeout=max(until - time.monotonic(), 1)
        )
        dependencies: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        raise UnaskedError(f"no answer within {WITHIN_S} s") from None
    except (ValueError, KeyError):
        raise UnaskedError((done.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    return dependencies


def ask_about_the_canary(*, until: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "canary.txt"
        path.write_text(f"{CANARY}\n")
        if not any(dependency.get("vulns") for dependency in ask(path, until=until)):
            raise UnaskedError(f"who answers knows nothing of {CANARY}, which has a known vulnerability")


def main() -> int:
    ignored = ignored_with_reasons(IGNORED.read_text())
    until = time.monotonic() + WITHIN_S
    report = Report()
    try:
        ask_about_the_canary(until=until)
        for path in sorted((ROOT / "requirements").glob("*.txt")):
            judge(ask(path, until=until), ignored=ignored, report=report)
    except UnaskedError as reason:
        if not report.found:
            print(f"Known vulnerabilities could not be asked for, so nothing is said about them: {reason}.")
            return 0
    if report.unknown:
        print(f"Not known to the service: {', '.join(sorted(set(report.unknown)))}.")
    for name in sorted(ignored.keys() - report.ignored):
        print(f"{IGNORED.name} names {name}, which was not found: it can go.")
    for line in sorted(set(report.found)):
        print(line, file=sys.stderr)
    if report.found:
        print(f"Upgrade (make lock), or say in {IGNORED.name} why it does not matter here.", file=sys.stderr)
        return 1
    print("No known vulnerability.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
