"""What the campaign does to an installation: kills, and trouble with what it stands on."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.installation import Installation, wait_for

# how often each is the next to be killed; the children are those that open mail, where most can go wrong
BAG = {
    "smtp": 3,
    "worker": 2,
    "worker child": 8,
    "dispatcher": 3,
    "beat": 2,
    "web": 2,
    "web child": 2,
    "sink": 1,
}
# how long a part has run when it may be killed: some in the middle of starting, most at work
KILLED_STARTING = 0.15
STARTING_S, WORKING_S, CHILDREN_FROM_S = (0, 3), (10, 30), (6, 12)
SINK_RESTS_FOR_S = 35  # so that its retries reach it, and its circuit stays closed
STANDING_FOR_S = 4
ALL_STAND_WITHIN_S = 180
AWAY_FOR_S = (5, 20)


class Killer:
    """kill -9, and a count of what was really killed: a part that its supervisor holds back cannot be killed."""

    def __init__(self, one: Installation, chance: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self._one = one
        self._chance = chance
        self._next: list[str] = []
        self._sink_from = time.monotonic()
        self._spared_until: dict[tuple[int, str], float] = {}  # by first process and what to kill, once seen

    @property
    def total(self) -> int:
        return self.kills.total()

    def kill_one(self) -> bool:
        """The next in the bag that is running. False if none of them is."""
        self._next = self._next or self._chance.sample(list(BAG), sum(BAG.values()), counts=list(BAG.values()))
        for index, name in enumerate(self._next):
            if self.kill(name):
                del self._next[index]
                return True
        self._next = []
        return False

    def kill(self, name: str) -> bool:
        part, _, child = name.partition(" ")
        pids = (self._one.pids() | self._one.others()).get(part, [])
        living = [pid for pid in (pids[1:] if child else pids[:1]) if is_running(pid)]
        # a worker whose child dies before it is ready gives up, and is started again: children are spared as long
        if not living or not self._is_ripe(pids[0], child) or (name == "sink" and time.monotonic() < self._sink_from):
            return False
        try:
            os.kill(self._chance.choice(living), signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.kills[name] += 1
        if name == "sink":
            self._sink_from = time.monotonic() + SINK_RESTS_FOR_S
        return True

    def _is_ripe(self, first: int, child: str) -> bool:
        """Otherwise whatever its supervisor starts would be dead before it has done anything."""
        key = (first, child)
        if key not in self._spared_until:
            is_starting = self._chance.random() < KILLED_STARTING
            working = CHILDREN_FROM_S if child else WORKING_S
            lives_for_s = self._chance.uniform(*(STARTING_S if is_starting else working))
            self._spared_until[key] = time.monotonic() + lives_for_s
        return time.monotonic() >= self._spared_until[key]


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_stand(one: Installation) -> None:
    """Waits until each part has the same first process for a while, and that one has had time to start."""
    since = dict.fromkeys(("web", "smtp", "worker", "dispatcher", "beat"), (0, 0.0))

    def stand() -> bool:
        now, running = time.monotonic(), one.pids()
        for name, (pid, _) in since.items():
            first = running.get(name, [0])[0]
            if not first or first != pid:
                since[name] = (first, now)
        return all(pid and now - at > STANDING_FOR_S for pid, at in since.values())

    wait_for(stand, within_s=ALL_STAND_WITHIN_S, what=f"all parts; {one.tail()}")


def quick_faults(one: Installation) -> dict[str, Callable[[], object]]:
    """Those that are over at once; kills go on beside them."""
    if one.redis is not None:
        return {"Redis wiped": one.redis.wipe, "PostgreSQL connections cut": one.cut_database_connections}
    broker = one.data_dir / "broker"
    return {
        "empty broker file": lambda: drop_file(broker, b""),
        "half-written broker file": lambda: drop_file(broker, b'{"body": "W1td'),
        "broker folder deleted": lambda: shutil.rmtree(broker, ignore_errors=True),
    }


def drop_file(broker: Path, content: bytes) -> None:
    """As a publisher that wrote in place would leave it behind if it died: first in line in each queue."""
    for queue in ("mail", "webhooks"):
        with contextlib.suppress(FileNotFoundError):  # the folder was just deleted
            (broker / queue / f"{time.time_ns():020}-broken.msg").write_bytes(content)


def take_redis_away(one: Installation, how: str) -> None:
    assert one.redis is not None
    if how == "stopped":
        one.redis.stop()
    else:
        one.redis.hang()


def bring_redis_back(one: Installation, how: str) -> None:
    assert one.redis is not None
    if how == "stopped":
        one.redis.start()
    else:
        one.redis.go_on()


def manage_until_done(one: Installation, *arguments: str) -> None:
    """A command whose database connection may be cut under it."""
    for _ in range(5):
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            one.manage(*arguments)
            return
        time.sleep(1)
    one.manage(*arguments)
