"""What processes cost, as /proc tells it, and the sender of mail that loads them."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.rig import ROOT


def load(port: int, *, mails: int, connections: int, octets: int) -> float:
    """Seconds for that many mails; whoever refuses one ends the benchmark."""
    numbers = map(str, (port, mails, connections, octets))
    command = [sys.executable, "-m", "benchmarks.rig.smtp_load", *numbers]
    done = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    if done["mails"] != mails:
        raise SystemExit(f"{done['refused']} of {mails} mails were refused")
    return float(done["seconds"])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
