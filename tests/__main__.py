# ruff: noqa: T201 - this is a command
"""`python -m tests`: the whole suite on SQLite, and again on PostgreSQL and Redis where they answer.

In the second run are all tests that may use a database (pytest-django keeps the others from it), and those that are
marked `on_both` or `on_postgres`. What has to do with neither is tested once, and so is what is marked `on_sqlite`.
Arguments go to pytest. The last line sums up both runs.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = dict(os.environ)  # before tests.environment changes it, for its own process only
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)  # compiling all tests takes longer than collecting them

from tests import migrated  # noqa: E402
from tests.conftest import missing_services  # noqa: E402

# Two processes more than there are cores, because many tests wait. A file stays in one process: installations and
# browsers are started once for each. Files are begun in the order of tests/conftest.py, not by their number of tests:
# one with few may take longest, and what comes last is waited for by the other processes.
PARALLEL = ["-n", str(min(6, (os.cpu_count() or 1) + 2)), "--dist", "loadfile", "--no-loadscope-reorder"]
NOTHING_COLLECTED = 5  # pytest's exit code: what the arguments select may be in the other run


@dataclass(slots=True)
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def main(arguments: list[str]) -> int:
    tally = Tally()
    run("SQLite and the broker of files", arguments, on_postgres=False, tally=tally)
    missing = missing_services()
    if not missing:
        run("PostgreSQL and Redis", arguments, on_postgres=True, tally=tally)
    else:
        print(f"\nSkipped: the second run, on PostgreSQL and Redis: {', '.join(missing)}.")
        if ENVIRONMENT.get("REQUIRE_SERVICES") == "1":
            print("REQUIRE_SERVICES=1, so this is a failure.")
            tally.failed += 1
    print(tally)
    return 0 if tally.passed and not tally.failed else 1


def run(title: str, arguments: list[str], *, on_postgres: bool, tally: Tally) -> None:
    print(f"\n=== on {title}", flush=True)
    variables = {
        "TEST_ON": "postgres" if on_postgres else "sqlite",
        migrated.GIVEN: migrated.template(on_postgres=on_postgres),
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", f"--junit-xml={report}", *PARALLEL, *arguments]
        code = subprocess.run(command, env=ENVIRONMENT | variables, check=False).returncode
        failed_before = tally.failed
        if report.exists():
            count(report, tally)
    if code not in (0, NOTHING_COLLECTED) and tally.failed == failed_before:
        tally.failed += 1  # pytest itself: it was interrupted, or could not begin


def count(report: Path, tally: Tally) -> None:
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        skipped = int(suite.attrib["skipped"])
        tally.failed += failed
        tally.skipped += skipped
        tally.passed += max(0, int(suite.attrib["tests"]) - failed - skipped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
