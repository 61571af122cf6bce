"""Kills and breaks an installation under load, and compares what was accepted with what arrived.

    python -m tests.campaign [--kills 1000] [--rate 30] [--on postgres] [--seed 1] [--record docs/reliability.md]

Bounded, on loopback, in a folder, with a PostgreSQL and a Redis of its own. Prints a report, and the same as JSON; exit
1 if a promise was broken, and then everything is kept to be looked into. docs/reliability.md says what is promised.
"""

import argparse
import dataclasses
import json
import random
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import campaign_report, postgres_server
from tests.campaign_faults import (
    AWAY_FOR_S,
    BAG,
    DISPATCHER,
    DISPATCHERS_BESIDE,
    Killer,
    Outage,
    all_stand,
    manage_until_done,
    outages,
    quick_faults,
)
from tests.campaign_ledger import HELP, ORDERS, Broken, Ledger, compare, unequal
from tests.campaign_receiver import MOODS, Receiver, Record
from tests.installation import (
    ROOT,
    Installation,
    NotAcceptedError,
    answers,
    send_octets,
    simple_mail,
    wait_for,
)
from tests.postgres_server import PostgresServer

KILL_EVERY_S = (0.2, 1.0)
FAULT_EVERY_KILLS = 10
OUTAGES, OUTAGE_EVERY_KILLS = 16, 10  # so many in a run, and at the most every so many kills
PAUSE_EVERY_S = 25
PAUSED_FOR_S = 8
SENDERS = 4
RECIPIENTS, RECIPIENT_WEIGHTS = ((HELP,), (ORDERS,), (HELP, ORDERS)), (6, 3, 1)
NEW_RATHER_THAN_AGAIN = 0.5  # while something is to be sent again
# Mails a second while one is away by itself: it is the delay that is measured, not how fast a backlog is worked off. A
# backlog grows without Redis only: without PostgreSQL nothing is accepted.
RATE_WITHOUT = {"Redis": 2, "PostgreSQL": 10}
FLOWS_FOR_S = 3
DOWN_AT_MOST_S = 15
BACK_WITHIN_S = 5  # R2: after it is back
AT_ONCE_S, RECENT = 1.5, 50
WORKED_OFF_WITHIN_S = 600
SETTLE_WITHIN_S = 600  # most of the retry schedule's first hour would be too long, its first steps are not


@dataclass
class Report:
    on: str = ""
    seed: int = 0
    seconds: float = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    moods: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    refused_for_now: Counter[str] = field(default_factory=Counter)
    owed: int = 0
    delivered: int = 0
    duplicates: int = 0
    lost_attempts: int = 0
    most_lost_of_one: int = 0  # deliveries of which four are lost fail: see QUARANTINED_FROM_LOSSES
    parked: int = 0
    resent: int = 0  # mails that were stored when their sender, who had no 250 for them, sent them again
    unfinished: dict[str, int] = field(default_factory=dict)
    settled_after_s: float = 0
    longest_without_process_s: dict[str, float] = field(default_factory=dict)
    longest_without_answer_s: dict[str, float] = field(default_factory=dict)
    back_after_s: dict[str, list[float]] = field(default_factory=dict)
    neighbour_received: int = 0
    neighbour_foreign: int = 0
    broken: Broken = field(default_factory=Broken)

    @property
    def is_kept(self) -> bool:
        """Nothing lost, nothing twice under another name, nothing left over: whatever the machine has to do besides."""
        return not (
            self.broken or any(self.unfinished.values()) or self.delivered != self.owed or self.neighbour_foreign
        )

    @property
    def is_in_time(self) -> bool:
        """Of a machine that has time for it."""
        return all(max(after_s) <= BACK_WITHIN_S for after_s in self.back_after_s.values()) and (
            max(self.longest_without_process_s.values(), default=0) <= DOWN_AT_MOST_S
        )

    @property
    def is_clean(self) -> bool:
        return self.is_kept and self.is_in_time


class Campaign:
    """One installation, its senders and receivers, and what is done to it."""

    def __init__(
        self,
        one: Installation,
        receiver: Receiver,
        server: PostgresServer | None,
        *,
        rate: float,
        chance: random.Random,
        only: Collection[str] = (),
    ) -> None:
        self.one, self.receiver, self.server = one, receiver, server
        self.report, self.ledger, self.over = Report(), Ledger(), threading.Event()
        self.killer = Killer(one, receiver, chance, only=only)
        self.rate = self.full_rate = rate
        self.chance = chance
        self.webhooks_of, self.pausable = provide_webhooks(one, receiver)
        (sink,) = self.webhooks_of[HELP]
        self.record = Record(one, sink)
        self._quick: list[str] = []
        self._kinds_of_outage = outages(one, server)
        self._outages: list[tuple[Outage, bool]] = []

    # --- what is done

    def send_steadily(self, number: int) -> None:
        """As a mail host does: what got no 250 is sent again, the same octets, until it gets one."""
        client: smtplib.SMTP | None = None
        sent, due = 0, time.monotonic()
        chance = random.Random(number)
        unsent: deque[tuple[str, tuple[str, ...]]] = deque()
        while not self.over.is_set():
            due = max(due + SENDERS / self.rate, time.monotonic() - 1)  # no flood for what could not be sent
            self.over.wait(max(0, due - time.monotonic()))
            if not unsent or chance.random() < NEW_RATHER_THAN_AGAIN:
                unsent.append((f"Campaign {number} {sent}", *chance.choices(RECIPIENTS, RECIPIENT_WEIGHTS)))
                sent += 1
            subject, to = unsent[0]
            try:
                client = client or self.one.smtp()
                message = send_octets(client, simple_mail(subject), to=list(to))
            except (OSError, AssertionError, smtplib.SMTPException) as error:
                self._note_refusal(error)
                close(client)
                client = None
                unsent.rotate(-1)
            else:
                self.ledger.accept(message, subject, to)
                unsent.popleft()
        close(client)

    def _note_refusal(self, error: Exception) -> None:
        if isinstance(error, NotAcceptedError):
            self.ledger.refuse(error.code, error.answer)
        elif isinstance(error, smtplib.SMTPResponseException):  # to the connection, or to EHLO
            self.ledger.refuse(error.smtp_code, str(error.smtp_error).encode())
        else:
            self.ledger.refuse()

    def watch(self) -> None:
        """How long was each part without a process, and each door without an answer?"""
        start = time.monotonic()
        parts = dict.fromkeys(("web", "smtp", "worker", "dispatcher", "beat"), start)
        doors = {"web": self.one.http_port, "smtp": self.one.smtp_port}
        answered = dict.fromkeys(doors, start)
        while not self.over.wait(0.25):
            running, now = self.one.pids(), time.monotonic()
            self._note(parts, [name for name in parts if name in running], self.report.longest_without_process_s, now)
            open_ = [name for name, port in doors.items() if answers(port)]
            self._note(answered, open_, self.report.longest_without_answer_s, now)
        self._note(parts, list(parts), self.report.longest_without_process_s, time.monotonic())
        self._note(answered, list(doors), self.report.longest_without_answer_s, time.monotonic())

    @staticmethod
    def _note(last: dict[str, float], there: list[str], longest: dict[str, float], now: float) -> None:
        for name in there:
            longest[name] = round(max(longest.get(name, 0), now - last[name]), 2)
            last[name] = now

    def pause_and_resume(self) -> None:
        while not self.over.wait(PAUSE_EVERY_S):
            manage_until_done(self.one, "webhooks", "pause", self.pausable)
            self.over.wait(PAUSED_FOR_S)
            manage_until_done(self.one, "webhooks", "resume", self.pausable)
            self.report.faults["webhook paused and resumed"] += 1

    def kill_and_break(self, *, kills: int, outage_every: int) -> None:
        """Returns after so many kills. On PostgreSQL, that or Redis goes away after every `outage_every` of them."""
        quick = quick_faults(self.one)
        fault_at, outage_at = FAULT_EVERY_KILLS, outage_every
        while self.killer.total < kills:
            self._kill_one()
            if self.killer.total >= fault_at:
                fault_at += FAULT_EVERY_KILLS
                self._quick = self._quick or self.chance.sample(sorted(quick), len(quick))
                name = self._quick.pop()
                quick[name]()
                self.report.faults[name] += 1
            if self._kinds_of_outage and self.killer.total >= outage_at:
                outage_at += outage_every
                self._outage(kills=kills)
        self.killer.hold_fire()

    def _kill_one(self) -> None:
        time.sleep(self.chance.uniform(*KILL_EVERY_S))
        self.killer.kill_one()
        self.one.start_others_again()

    def _outage(self, *, kills: int) -> None:
        """Each kind in turn: by itself, to measure the delay afterwards, and later among kills."""
        self._outages = self._outages or [
            (kind, is_among_kills) for is_among_kills in (True, False) for kind in self._kinds_of_outage
        ]
        kind, is_among_kills = self._outages.pop()
        self.report.faults[f"{kind.what} {kind.how}{', parts killed meanwhile' if is_among_kills else ''}"] += 1
        if is_among_kills:
            kind.begin()
            until = time.monotonic() + self.chance.uniform(*AWAY_FOR_S)
            while time.monotonic() < until and self.killer.total < kills:
                self._kill_one()
            kind.end()
        else:
            self.rate = min(self.full_rate, RATE_WITHOUT[kind.what])
            try:
                self.report.back_after_s.setdefault(kind.what, []).append(self._measure_return(kind))
            finally:
                self.rate = self.full_rate

    def _measure_return(self, kind: Outage) -> float:
        """Seconds from the return until all mail accepted before it, and some accepted after it, has arrived.

        At the receiver that is always there.
        """
        self.killer.hold_fire()
        self.one.start_others_again()
        all_stand(self.one)
        # what the kills have piled up is worked off first, however long that takes on a busy machine
        wait_for(self._flows, within_s=WORKED_OFF_WITHIN_S, what=f"mail; {self.one.tail()}")
        flowing = time.monotonic()
        time.sleep(FLOWS_FOR_S)
        kind.begin()
        time.sleep(self.chance.uniform(*AWAY_FOR_S))
        kind.end()
        back = time.monotonic()

        def is_all_there() -> bool:
            arrived = self._arrived()
            ours = [mail for mail in list(self.ledger.accepted) if mail.at > flowing and HELP in mail.to]
            before, after = ({mail.subject for mail in ours if (mail.at < back) is is_} for is_ in (True, False))
            return before <= arrived and not after.isdisjoint(arrived)

        wait_for(is_all_there, within_s=120, what=f"mail after {kind.what} was {kind.how}; {self.one.tail()}")
        return round(time.monotonic() - back, 2)

    def _flows(self) -> bool:
        """Mail that was accepted a moment ago has arrived: nothing that waits is in its way."""
        self.one.start_others_again()  # the receiver may have been killed last
        since, arrived = time.monotonic() - AT_ONCE_S, self._arrived()
        return any(mail.at > since and mail.subject in arrived for mail in self.ledger.accepted[-RECENT:])

    def _arrived(self) -> set[str]:
        """The subjects at the receiver that is always there."""
        self.record.look()
        return self.record.subjects

    # --- what came of it

    def settle(self, *, within_s: float) -> None:
        """Heals what is broken, waits until nothing is to be done any more, and compares the ledgers."""
        self.one.start_others_again()
        manage_until_done(self.one, "webhooks", "resume", self.pausable)
        started = time.monotonic()
        while any((self.report.unfinished or self._rows("--unfinished")).values()):
            if time.monotonic() - started > within_s:
                break
            time.sleep(1)
            self.report.unfinished = self._rows("--unfinished")
        self.report.settled_after_s = round(time.monotonic() - started, 1)
        rows = self._rows()
        arrivals = [*self.receiver.arrivals, *self.record.look()]
        found = compare(self.ledger.accepted, arrivals, rows["deliveries"], self.webhooks_of)
        report = self.report
        report.kills, report.moods = self.killer.kills, self.receiver.moods
        report.accepted, report.refused_for_now = len(self.ledger.accepted), self.ledger.refused
        report.owed, report.delivered, report.duplicates = found.owed, found.delivered, found.duplicates
        report.unfinished, report.broken = rows["unfinished"], found.broken
        report.broken.refused_for_good = self.ledger.refused_for_good
        report.lost_attempts, report.most_lost_of_one = rows["lost_attempts"], rows["most_lost_of_one"]
        report.parked, report.resent = rows["parked"], rows["counts"].get("mail_resent", 0)
        report.broken.stored_twice = rows["stored_twice"]
        report.broken.counts_that_do_not_add_up = unequal(rows["counts"], rows["messages"])

    def keep_evidence(self, folder: Path) -> None:
        """Ledgers and rows, beside the logs and the database."""
        evidence = {
            "database": str(self.server.folder) if self.server else self.one.database_name,
            "accepted": [dataclasses.asdict(mail) for mail in self.ledger.accepted],
            "arrivals": [dataclasses.asdict(one) for one in (*self.receiver.arrivals, *self.record.look())],
            "rows": self._rows(),
        }
        (folder / "evidence.json").write_text(json.dumps(evidence))

    def _rows(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.campaign_rows", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.one.env, capture_output=True, check=True)
        rows: dict[str, Any] = json.loads(done.stdout)
        return rows


def provide_webhooks(one: Installation, receiver: Receiver) -> tuple[dict[str, set[str]], str]:
    """Two webhooks for a second alias, beside the sample's one. Returns those of each alias, and one to be paused."""
    (sample,) = one.manage("webhooks", "list")["data"]
    one.manage("aliases", "create", ORDERS, "--mailbox", "support@example.com")
    for path in ("moody", "steady"):
        made = one.manage("webhooks", "create", "--url", receiver.url(path), "--alias", ORDERS)
        receiver.webhooks[path] = (made["id"], made["secret"])
    moody, steady = (receiver.webhooks[path][0] for path in ("moody", "steady"))
    return {HELP: {sample["id"]}, ORDERS: {moody, steady}}, steady


def close(client: smtplib.SMTP | None) -> None:
    if client is not None:
        client.close()


def send_to_neighbour(two: Installation, over: threading.Event) -> None:
    number = 0
    while not over.wait(1):
        two.send(simple_mail(f"Neighbour {number}"))
        number += 1


def run(
    *,
    kills: int,
    rate: float,
    folder: Path,
    on_postgres: bool,
    seed: int = 1,
    outage_every: int | None = None,
    moods: dict[str, float] = MOODS,
    settle_within_s: float = SETTLE_WITHIN_S,
    keeps_database: bool = False,
    only: Collection[str] = (),
) -> Report:
    """The campaign proper: rate is in mails a second over all senders.

    outage_every: how many kills apart; otherwise OUTAGES of them in the whole run. If a promise was broken it leaves
    evidence.json in the folder, and on PostgreSQL, if asked to, the database.
    """
    chance = random.Random(seed)
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(chance=random.Random(seed), moods=moods))
        server = own_server(stack) if on_postgres else None
        one = start(stack, folder / "one", on_postgres=on_postgres, server=server, also_port=receiver.port)
        for number in range(DISPATCHERS_BESIDE):
            one.start_other(*DISPATCHER, "-n", f"beside{number}@%h")
        # an installation beside it that nobody breaks: on SQLite they share the machine's folders for temporary files
        two = None if on_postgres else start(stack, folder / "two")
        one.keeps_database = keeps_database  # until all is well
        if server is not None:
            one.keeps_database, server.keeps_folder = True, keeps_database  # it goes with its server
        campaign = Campaign(one, receiver, server, rate=rate, chance=chance, only=only)
        jobs: list[Callable[[], None]] = [campaign.watch, campaign.pause_and_resume]
        jobs += [lambda number=number: campaign.send_steadily(number) for number in range(SENDERS)]  # type: ignore[misc]
        if two is not None:
            jobs.append(lambda: send_to_neighbour(two, campaign.over))
        started = time.monotonic()
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            every = outage_every or max(OUTAGE_EVERY_KILLS, kills // OUTAGES)
            campaign.kill_and_break(kills=kills, outage_every=every)
        finally:
            campaign.over.set()
            for thread in threads:
                thread.join()
        report = campaign.report
        report.on, report.seed = database(server, on_postgres=on_postgres), seed
        report.seconds = round(time.monotonic() - started, 1)
        campaign.settle(within_s=settle_within_s)
        if two is not None:
            report.neighbour_received = len(two.received())
            report.neighbour_foreign = sum(not entry["subject"].startswith("Neighbour") for entry in two.received())
        if not report.is_clean:
            campaign.keep_evidence(folder)
        elif server is not None:
            server.keeps_folder = False
        else:
            one.keeps_database = False
    return report


def own_server(stack: ExitStack) -> PostgresServer | None:
    """None, and says so, where PostgreSQL's programs are not installed."""
    if postgres_server.binaries() is None:
        print("No initdb here: PostgreSQL is the one at TEST_DATABASE_URL, and is not stopped.", file=sys.stderr)  # noqa: T201
        return None
    return stack.enter_context(PostgresServer())


def database(server: PostgresServer | None, *, on_postgres: bool) -> str:
    """As the report names it."""
    if not on_postgres:
        return "SQLite, embedded"
    return "PostgreSQL and Redis" if server else "PostgreSQL (somebody else's server, so never stopped) and Redis"


def start(
    stack: ExitStack,
    folder: Path,
    *,
    on_postgres: bool = False,
    server: PostgresServer | None = None,
    also_port: int | None = None,
) -> Installation:
    folder.mkdir(parents=True)
    url = server.url if server else None
    installation = stack.enter_context(Installation(folder, on_postgres=on_postgres, postgres_url=url))
    if also_port is not None:
        ports = (installation.sink_port, also_port)
        installation.env["WEBHOOK_ALLOW_NETWORKS"] = ",".join(f"127.0.0.1/32:{port}" for port in ports)
    installation.start()
    return installation


def parts(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    known = sorted({name.split(" ")[0] for name in BAG})
    if unknown := set(names) - set(known):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; the parts are {', '.join(known)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=30, help="mails a second")
    parser.add_argument("--on", choices=["sqlite", "postgres"], default="sqlite", help="postgres: needs redis-server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=parts, default=(), help="parts to be killed, as in smtp,worker; default: all")
    parser.add_argument("--record", type=Path, help="a document to write the results into")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what it has started goes with it
    folder = Path(tempfile.mkdtemp(prefix="emailgistics-campaign-"))
    is_clean = False
    try:
        report = run(
            kills=options.kills,
            rate=options.rate,
            only=options.only,
            folder=folder,
            on_postgres=options.on == "postgres",
            seed=options.seed,
            keeps_database=True,
        )
        is_clean = report.is_clean
    finally:
        if is_clean:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"Kept to be looked into: {folder}", file=sys.stderr)  # noqa: T201
    facts = vars(report) | {"broken": vars(report.broken)}
    print(campaign_report.section(facts), json.dumps(facts, indent=2), sep="\n")  # noqa: T201
    if options.record and is_clean:
        campaign_report.write_into(options.record, facts, key=" and ".join((options.on, *options.only)))
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
