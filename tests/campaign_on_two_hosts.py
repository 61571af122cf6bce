"""Two of everything, and each of it killed, restarted or taken away in turn, under load.

    python -m tests.campaign_on_two_hosts [--minutes 15] [--rate 25] [--seed 1] [--record docs/reliability.md]

Two web, two SMTP, three workers, two dispatchers and two beats on two hosts, one PostgreSQL, one Redis: see fleet.py.
After each turn nothing else is done for as long as it may take until mail is as quick as before. Bounded, on loopback,
with servers of its own. Exit 1 if a promise was broken.
"""

import argparse
import itertools
import json
import math
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests import campaign_report
from tests.campaign import SENDERS, SETTLE_WITHIN_S, Campaign, Report
from tests.campaign_faults import outages
from tests.campaign_ledger import HELP
from tests.campaign_receiver import MOODS, Receiver
from tests.fleet import Fleet, Process, kill
from tests.installation import descendants_of
from tests.postgres_server import PostgresServer

PROMPT, STEADY = "prompt", "steady"  # webhooks whose receiver always answers: all mail goes to one of them
UNDISTURBED_FOR_S = 30
RECOVERS_WITHIN_S = 20
TURN_LASTS_S = RECOVERS_WITHIN_S + 3
AWAY_FOR_S = 8
WINDOW_S = 3  # of what was accepted in it the p99 is taken
AS_BEFORE, AT_LEAST_S = 3.0, 1.0  # the p99 is as before: at most so many times, or so long
ASK_EVERY_S = 0.25
FAULTS_OF_OURS = (500, 502)
KEY = "two hosts"


@dataclass(frozen=True, slots=True)
class Turn:
    what: str
    begun: float
    ended: float  # when what was away is there again, or was killed
    until: float


@dataclass
class OnTwoHosts(Report):
    undisturbed: dict[str, float] = field(default_factory=dict)  # seconds from 250 to the receiver
    limit_s: float = 0  # up to which mail is as quick as before
    slower: int = 0  # mails beyond it, in the whole run
    slowest_s: float = 0
    turns: Counter[str] = field(default_factory=Counter)
    recovered_after_s: dict[str, float] = field(default_factory=dict)  # the longest of each kind of turn
    answers_of_the_api: Counter[str] = field(default_factory=Counter)
    ledger: str = "not asked"

    @property
    def is_in_time(self) -> bool:
        return super().is_in_time and max(self.recovered_after_s.values(), default=0) <= RECOVERS_WITHIN_S

    @property
    def is_kept(self) -> bool:
        faults = sum(self.answers_of_the_api[str(code)] for code in FAULTS_OF_OURS)
        return super().is_kept and self.ledger == "agrees" and not faults


class CampaignOnTwoHosts(Campaign):
    one: Fleet

    def __init__(self, fleet: Fleet, receiver: Receiver, server: PostgresServer, *, rate: float, seed: int) -> None:
        super().__init__(fleet, receiver, server, rate=rate, chance=random.Random(seed))
        self.report: OnTwoHosts = OnTwoHosts(on="PostgreSQL and Redis, two hosts", seed=seed)
        made = fleet.manage("webhooks", "create", "--url", receiver.url(PROMPT), "--alias", HELP)
        receiver.webhooks[PROMPT] = (made["id"], made["secret"])
        self.webhooks_of[HELP].add(made["id"])
        self._turns: list[Turn] = []

    def ask_the_api(self) -> None:
        """As an integrator behind a load balancer: one host, then the other."""
        for host in itertools.cycle(self.one.hosts):
            if self.over.wait(ASK_EVERY_S):
                return
            request = urllib.request.Request(f"http://127.0.0.1:{host.http_port}/v1/emails?limit=5")
            request.add_header("Authorization", f"Bearer {self.one.key}")
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    answer.read()
                    self.report.answers_of_the_api[str(answer.status)] += 1
            except urllib.error.HTTPError as error:
                self.report.answers_of_the_api[str(error.code)] += 1
            except OSError:
                self.report.answers_of_the_api["no answer"] += 1

    def take_turns(self, *, until: float, undisturbed_for_s: float, turn_lasts_s: float) -> None:
        time.sleep(undisturbed_for_s)
        for what, begin, end in self._all_in_turn():
            if time.monotonic() > until:
                return
            begun = time.monotonic()
            begin()
            if end is not None:
                time.sleep(AWAY_FOR_S)
                end()
            ended = time.monotonic()
            time.sleep(turn_lasts_s)
            self.report.turns[what] += 1
            self._turns.append(Turn(what, begun, ended, time.monotonic()))

    def _all_in_turn(self) -> Iterator[tuple[str, Callable[[], object], Callable[[], object] | None]]:
        """Every process is killed, then every process restarted, and between them what they stand on goes away."""
        redis, server = self.one.redis, self.server
        assert redis is not None
        kinds = outages(self.one, server)
        for is_killed in itertools.cycle((True, False)):
            for process in self.one.all:
                if is_killed:
                    yield f"kill -9 {process.part}", partial(kill_first, process), None
                else:
                    yield f"restart of {process.part}", partial(self.one.restart, process), None
            for process in self.one.all:
                if process.part in ("worker", "web"):
                    yield f"kill -9 {process.part} child", partial(kill_child, process, self.chance), None
            for kind in kinds:
                yield f"{kind.what} {kind.how}", kind.begin, kind.end
            yield "Redis wiped", redis.wipe, None
            yield "PostgreSQL connections cut", self.one.cut_database_connections, None

    def look_back(self) -> None:
        """When mail was as quick as before, after each turn."""
        delays = self._delays()
        first = self._turns[0].begun if self._turns else time.monotonic()
        calm = sorted(delay for at, delay in delays if at < first)
        self.report.undisturbed = {f"p{share}": round(quantile(calm, share), 3) for share in (50, 95, 99)}
        limit = max(AT_LEAST_S, AS_BEFORE * quantile(calm, 99))
        self.report.limit_s = round(limit, 2)
        self.report.slower = sum(delay > limit for _, delay in delays)
        self.report.slowest_s = round(max((delay for _, delay in delays), default=0), 2)
        for turn in self._turns:
            after = self._recovered_after(turn, delays, limit)
            self.report.recovered_after_s[turn.what] = max(after, self.report.recovered_after_s.get(turn.what, 0))

    def _delays(self) -> list[tuple[float, float]]:
        """(accepted at, seconds until it was first at a receiver that always answers), in order of the first."""
        prompt = {self.receiver.webhooks[path][0] for path in (PROMPT, STEADY)}
        arrived: dict[str, float] = {}
        for arrival in self.receiver.arrivals:
            if arrival.webhook in prompt and arrival.is_verified:
                arrived.setdefault(arrival.subject, arrival.at)
        never = time.monotonic()
        return sorted((mail.at, max(0, arrived.get(mail.subject, never) - mail.at)) for mail in self.ledger.accepted)

    @staticmethod
    def _recovered_after(turn: Turn, delays: list[tuple[float, float]], limit: float) -> float:
        """Seconds after its end, whole ones, from which on each window's p99 is within the limit.

        A window without mail is not quick: it is as if it had been slow. What was accepted less than the limit before
        the next turn began is that one's: it had no time to be late before.
        """
        recovered, last = turn.until, turn.until - limit - WINDOW_S
        for start in reversed([turn.ended + step for step in range(math.floor(last - turn.ended) + 1)]):
            window = sorted(delay for at, delay in delays if start <= at < start + WINDOW_S)
            if not window or quantile(window, 99) > limit:
                break
            recovered = start
        return round(recovered - turn.ended, 1)

    def ask_the_ledger(self) -> None:
        try:
            self.one.manage("ledger", "--all")
        except AssertionError as error:
            self.report.ledger = f"differs: {error}"
        else:
            self.report.ledger = "agrees"


def quantile(values: list[float], share: int) -> float:
    """Values in order; 0 for none."""
    return values[min(len(values) - 1, len(values) * share // 100)] if values else 0


def kill_first(process: Process) -> None:
    if process.popen is not None:
        kill(process.popen.pid)


def kill_child(process: Process, chance: random.Random) -> None:
    children = descendants_of(process.popen.pid) if process.popen is not None else []
    if children:
        kill(chance.choice(children))


def run(
    *,
    minutes: float,
    rate: float,
    folder: Path,
    seed: int = 1,
    undisturbed_for_s: float = UNDISTURBED_FOR_S,
    turn_lasts_s: float = TURN_LASTS_S,
    moods: dict[str, float] = MOODS,
) -> OnTwoHosts:
    with (
        Receiver(chance=random.Random(seed), moods=moods) as receiver,
        PostgresServer() as server,
        Fleet(folder, postgres_url=server.url, also_ports=(receiver.port,)) as fleet,
    ):
        fleet.keeps_database = True  # it goes with its server
        fleet.start()
        campaign = CampaignOnTwoHosts(fleet, receiver, server, rate=rate, seed=seed)
        jobs: list[Callable[[], None]] = [campaign.ask_the_api]
        jobs += [partial(campaign.send_steadily, number) for number in range(SENDERS)]
        threads = [threading.Thread(target=job) for job in jobs]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            campaign.take_turns(
                until=started + minutes * 60, undisturbed_for_s=undisturbed_for_s, turn_lasts_s=turn_lasts_s
            )
        finally:
            campaign.over.set()
            for thread in threads:
                thread.join()
        report = campaign.report
        report.seconds = round(time.monotonic() - started, 1)
        campaign.settle(within_s=SETTLE_WITHIN_S)
        campaign.look_back()
        campaign.ask_the_ledger()
        if not report.is_clean:
            server.keeps_folder = True
            campaign.keep_evidence(folder)
    return report


def section(facts: dict[str, Any]) -> str:
    """For people, in Markdown."""
    turns = {
        what: f"{count}, {facts['recovered_after_s'].get(what, 0):.1f} s" for what, count in facts["turns"].items()
    }
    calm = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in facts["undisturbed"].items())
    asked = ", ".join(f"{answer}: {count}" for answer, count in campaign_report.most_first(facts["answers_of_the_api"]))
    outcome = campaign_report.outcome(facts)
    outcome = {name: value for name, value in outcome.items() if not name.startswith("longest without")}
    lines = [
        (
            f"{facts['on']}: {sum(facts['turns'].values())} turns in {facts['seconds'] / 60:.0f} minutes "
            f"({campaign_report.machine()}, seed {facts['seed']})."
        ),
        "",
        *campaign_report.table("What was done", "times, and at the most until mail was as quick as before", turns),
        "",
        *campaign_report.table("What came of it", "", outcome),
        *campaign_report.rows(
            {
                "from 250 to the receiver, undisturbed": calm,
                f"mails that took longer than {facts['limit_s']} s, in all": facts["slower"],
                "the slowest": f"{facts['slowest_s']} s",
                "the API was asked four times a second, and answered": asked,
                "the ledger": facts["ledger"],
            }
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=25, help="mails a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a document to write the results into")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what it has started goes with it
    folder = Path(tempfile.mkdtemp(prefix="emailgistics-two-hosts-"))
    is_clean = False
    try:
        report = run(minutes=options.minutes, rate=options.rate, folder=folder, seed=options.seed)
        is_clean = report.is_clean
    finally:
        if is_clean:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"Kept to be looked into: {folder}", file=sys.stderr)  # noqa: T201
    facts = vars(report) | {"broken": vars(report.broken)}
    print(section(facts), json.dumps(facts, indent=2), sep="\n")  # noqa: T201
    if options.record and is_clean:
        campaign_report.write_between(options.record, section(facts), key=KEY)
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
