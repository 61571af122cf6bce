"""What processes cost, as /proc tells it, and the sender of mail that loads them."""

import json
import os
import socket
import subprocess
import sys
import time
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


def wait_for(port: int) -> None:
    """Until somebody listens there; half a minute at most."""
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"Nothing listens on port {port}.")


def cpu_seconds(pid: int) -> float:
    """0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> dict[int, str]:
    """A process and all below it, each with the name that it gave itself or a word or two of its command."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            parent = int(_status(int(entry.name)).get("PPid", "0"))
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = {}, [pid]
    while todo:
        one = todo.pop()
        found[one] = _name(one)
        todo += children.get(one, [])
    return found


def named(name: str) -> list[int]:
    """Every process of the machine that is called so."""
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(entry.name) for entry in entries if _status(int(entry.name)).get("Name") == name]


def _name(pid: int) -> str:
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if name not in Path(command[0]).name:  # the parts of `up` are forks, with its command
        return name
    return " ".join(word for word in command[1:] if word and not word.startswith("-"))[:40]


def pss_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def resident_kib(pid: int) -> int:
    return int(_status(pid)["VmRSS"].split()[0])


def peak_kib(pid: int) -> int:
    return int(_status(pid)["VmHWM"].split()[0])


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
