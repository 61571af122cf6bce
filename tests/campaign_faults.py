"""What the campaign does to an installation: kills, and trouble with what it stands on."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import postgres_server
from tests.campaign_receiver import AFTER_THE_ANSWER, BEFORE_THE_ANSWER, Aim, Receiver
from tests.installation import Installation, wait_for
from tests.postgres_server import PostgresServer

# How often each is the next to be killed: most where most can go wrong, in the children that open mail and in the
# dispatcher, which is also shot in the middle of a conversation.
AIMED = {f"dispatcher {moment}": moment for moment in (BEFORE_THE_ANSWER, AFTER_THE_ANSWER)}
BAG = {
    "smtp": 3,
    "worker": 2,
    "worker child": 11,
    "dispatcher": 3,
    **dict.fromkeys(AIMED, 4),
    "beat": 3,
    "web": 2,
    "web child": 4,
    "sink": 1,
}
# A supervisor keeps what dies often away for 5 s, which is fewer kills than the dispatcher is to have. So others run
# beside the supervised one, as they do on a larger machine, and these are started again at once.
DISPATCHERS_BESIDE = 2
DISPATCHER = (
    *("-m", "celery", "-q", "-A", "emailgistics", "worker", "-Q", "webhooks", "--pool", "solo"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
AIM_EVERY_S = 2  # so that some is delivered between
BAG_AT_LEAST = 20  # then the next bag is emptied into it: what cannot be killed now holds nothing up, and has its turn
# how long a part has run when it may be killed: some in the middle of starting, most at work
KILLED_STARTING = 0.15
STARTING_S, WORKING_S, CHILDREN_FROM_S = (0, 3), (4, 12), (4, 8)
SINK_RESTS_FOR_S = 35  # so that its retries reach it, and its circuit stays closed
STANDING_FOR_S = 4
ALL_STAND_WITHIN_S = 180
AWAY_FOR_S = (5, 20)
DONE_WITHIN_S = 60


class Killer:
    """kill -9, and a count of what was really killed: a part that its supervisor holds back cannot be killed."""

    def __init__(
        self, one: Installation, receiver: Receiver, chance: random.Random, *, only: Collection[str] = ()
    ) -> None:
        """only: the parts that are killed, children included; empty for all."""
        self.kills: Counter[str] = Counter()
        self._bag = {name: times for name, times in BAG.items() if not only or name.split(" ")[0] in only}
        self._one = one
        self._receiver = receiver
        self._chance = chance
        self._next: list[str] = []
        self._aim: Aim | None = None
        self._aim_from = 0.0
        self._sink_from = time.monotonic()
        self._spared_until: dict[tuple[int, str], float] = {}  # by first process and what to kill, once seen

    @property
    def total(self) -> int:
        return self.kills.total()

    def kill_one(self) -> bool:
        """The next in the bag that may be killed, or what was shot since the last time. False if there was neither."""
        if len(self._next) < BAG_AT_LEAST:
            self._next += self._chance.sample(list(self._bag), sum(self._bag.values()), counts=list(self._bag.values()))
        total = self.total
        self.hold_fire()
        if self.total == total:
            name = next((name for name in self._next if name not in AIMED and self._kill(*name.split(" "))), None)
            if name is not None:
                self._note(name)
        self._take_aim()
        return self.total > total

    def hold_fire(self) -> None:
        """From now on nothing is shot."""
        self._receiver.take_aim(None)
        if self._aim is not None and self._aim.is_taken.is_set():
            self._note(f"dispatcher {self._aim.moment}")
            self._aim_from = time.monotonic() + AIM_EVERY_S
        self._aim = None

    def _take_aim(self) -> None:
        """At whatever dispatcher comes first, for the next in the bag: who sends is at work, and may be killed."""
        moment = next((AIMED[name] for name in self._next if name in AIMED), None)
        if moment is not None and time.monotonic() > self._aim_from:
            self._aim = Aim(moment, frozenset(pids[0] for pids in self._one.processes("dispatcher")))
            self._receiver.take_aim(self._aim)

    def _note(self, name: str) -> None:
        self._next.remove(name)
        self.kills[name] += 1

    def _kill(self, part: str, child: str = "") -> bool:
        if part == "sink" and time.monotonic() < self._sink_from:
            return False
        # a worker whose child dies before it is ready gives up, and is started again: children are spared as long
        ripe = [pids for pids in self._one.processes(part) if self._is_ripe(pids[0], child)]
        living = [pid for pids in ripe for pid in (pids[1:] if child else pids[:1]) if is_running(pid)]
        if not living:
            return False
        try:
            os.kill(self._chance.choice(living), signal.SIGKILL)
        except ProcessLookupError:
            return False
        if part == "sink":
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


@dataclass(frozen=True, slots=True)
class Outage:
    """Something that the installation stands on goes away, and comes back."""

    what: str
    how: str
    begin: Callable[[], object]
    end: Callable[[], object]


def outages(one: Installation, server: PostgresServer | None) -> list[Outage]:
    """Those that can be had here: a PostgreSQL that is not ours is never stopped."""
    found = []
    if one.redis is not None:
        found += [
            Outage("Redis", "stopped", one.redis.stop, one.redis.start),
            Outage("Redis", "hanging", one.redis.hang, one.redis.go_on),
        ]
    if server is not None:
        found += [Outage("PostgreSQL", how, partial(server.end, how), server.start) for how in postgres_server.HOW]
    return found


def manage_until_done(one: Installation, *arguments: str) -> None:
    """A command whose database connection may be cut under it, or whose database may be away for a while."""
    until = time.monotonic() + DONE_WITHIN_S
    while time.monotonic() < until:
        with contextlib.suppress(AssertionError, subprocess.SubprocessError):
            one.manage(*arguments)
            return
        time.sleep(1)
    one.manage(*arguments)
