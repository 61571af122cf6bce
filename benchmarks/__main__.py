"""Every benchmark, one after the other, and the table of docs/benchmarks.md.

    python -m benchmarks [--only P1,P7] [--rows 10000000] [--keep NAME] [--list]

`make bench` does the same. Nothing else should run on the machine meanwhile. All of it takes about an hour and a half,
most of it for ten million emails (35 GB of disk); --rows 1000000 takes a tenth of that.
"""

import argparse
import subprocess
import sys
import time

from benchmarks.rig import ROOT

# by number: what is started, in the form that docs/benchmarks.md shows
SECTIONS: dict[str, list[str]] = {
    "P1": ["authenticate --count 600 --runs 5"],
    "P2": ["throughput --count 3000 --runs 5"],
    "P3": ["latency --on postgres", "latency --on sqlite --seconds 10"],
    "P4": ["isolation --rate 60 --seconds 20 --runs 5"],
    "P5": ["intake --mails 2000 --large 4 --runs 5"],  # and P6
    "P7": ["end_to_end"],
    "P8": ["claims", "growth --rows {rows}{keep}", "console --rows {few}"],
    "P9": ["memory --settle 15"],
    "P10": ["first_webhook"],
    "scaling": ["scaling"],
    "retention": ["retention --rows {few}"],
}
FEW = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SECTIONS))
    parser.add_argument("--rows", type=int, default=10_000_000, help="emails of P8")
    parser.add_argument("--keep", metavar="NAME", help="of the databases of P8: see benchmarks.growth")
    parser.add_argument("--list", action="store_true", help="only say what would be started")
    options = parser.parse_args()
    if unknown := sorted(set(options.only) - set(SECTIONS)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(SECTIONS)} (P6 is with P5)")
    failed = []
    for number in options.only:
        for section in SECTIONS[number]:
            keep = f" --keep {options.keep}" if options.keep else ""
            command = section.format(rows=options.rows, few=min(options.rows, FEW), keep=keep)
            print(f"== {number}: python -m benchmarks.{command}", flush=True)
            if options.list:
                continue
            started = time.monotonic()
            done = subprocess.run([sys.executable, "-m", *f"benchmarks.{command}".split()], cwd=ROOT, check=False)
            print(f"== {number}: {time.monotonic() - started:.0f} s, exit status {done.returncode}", flush=True)
            if done.returncode:
                failed.append(command)
    if not options.list:
        subprocess.run([sys.executable, "-m", "benchmarks.table"], cwd=ROOT, check=True)
    if failed:
        print(f"These failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
