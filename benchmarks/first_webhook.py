"""From `make run` in a fresh clone to the first delivered, signed webhook, with a warm package cache (P10).

    python -m benchmarks.first_webhook [--runs 3]

What is committed is cloned into an empty folder; one run more, at first, fills the cache of packages. The mail is sent
as soon as the listener answers, and the built-in receiver has verified its webhook.
"""

import argparse
import json
import os
import shutil
import signal
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rig import ROOT, free_port, report, spread

WITHIN_S = 600
MAIL = b"From: ada@example.net\r\nTo: help@example.com\r\nSubject: The first\r\n\r\nHello.\r\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        first = from_nothing(Path(folder), cache)
        took = [from_nothing(Path(folder), cache) for _ in range(options.runs)]
    report(
        "first_webhook",
        {
            "runs": options.runs,
            "seconds": round(statistics.median(took), 1),
            "spread": spread(took, 1),
            "with_a_cold_cache_s": round(first, 1),
        },
    )
    return 0


def from_nothing(folder: Path, cache: Path) -> float:
    """Seconds. Everything is gone afterwards but the cache."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    ports = {name: free_port() for name in ("HTTP_PORT", "SMTP_PORT", "SINK_PORT")}
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PIP_CACHE_DIR": str(cache)}
    env |= {name: str(port) for name, port in ports.items()}
    # where this machine's packages come from, if that is not pip's own place
    env |= {name: value for name, value in os.environ.items() if name.startswith("PIP_") and name not in env}
    with (folder / "run.log").open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(["make", "run"], cwd=clone, env=env, stdout=log, stderr=log, start_new_session=True)
        try:
            send(ports["SMTP_PORT"], until=started + WITHIN_S)
            record = clone / "var" / "received.jsonl"
            while not is_verified(record):
                if time.monotonic() > started + WITHIN_S:
                    raise SystemExit(f"no webhook: {(folder / 'run.log').read_text()[-3000:]}")
                time.sleep(0.05)
            return time.monotonic() - started
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
            shutil.rmtree(clone)


def is_verified(record: Path) -> bool:
    """Whether it is in what the receiver has written down, which is also what it has refused."""
    lines = record.read_bytes().splitlines(keepends=True) if record.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return any(entry["verified"] and entry["subject"] == "The first" for entry in entries)


def send(port: int, *, until: float) -> None:
    while True:
        try:
            with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
                client.sendmail("ada@example.net", ["help@example.com"], MAIL)
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
