"""Sends due deliveries: many at once, none waiting for another, each one written down as soon as it ends.

One engine a process. A nudge or a sweep wakes it; it runs in a thread of its own until it has found nothing to do for a
second. Celery's worker stays free meanwhile: further nudges find the engine awake and cost nothing, and a slow endpoint
never stands between the end of one Celery task and the start of the next.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.logs import get_logger
from mailboxes.services import retain
from webhooks import headers as own_headers
from webhooks import signing
from webhooks.checks import TAKE_OVER_EVERY
from webhooks.services import queue, restored, retention
from webhooks.services.claimed import Claimed
from webhooks.services.erasures import work_erasures
from webhooks.services.prune import prune_mail
from webhooks.services.queue import Result
from webhooks.services.replay_jobs import work_replays
from webhooks.transport import CUT, TOTAL_S, Answer, Outgoing, Transport

log = get_logger(__name__)

CLAIM_EVERY = timedelta(milliseconds=50)
CLAIM_AGAIN_AFTER = timedelta(milliseconds=10)  # at the soonest: what ends or becomes due meanwhile goes together
FEW = queue.MAX_IN_FLIGHT // 16  # begun at once: what becomes due now need not wait so that more can go together
MANY = queue.MAX_IN_FLIGHT // 2  # ended: they are not kept waiting for the next claim
IDLE_FOR = timedelta(seconds=1)
SETTLE_EVERY = timedelta(seconds=1)  # a paused webhook starts nothing later than this
PRUNE_EVERY = timedelta(minutes=10)
LOOK_BACK_EVERY = timedelta(minutes=1)
BETWEEN_LONE_ONES = timedelta(seconds=30)  # for everybody else
DATABASE_AWAY_FOR = timedelta(seconds=1)
JOIN_WITHIN = timedelta(seconds=TOTAL_S + 3)
# nothing that a run waits for takes as long: no attempt, no lock, no slice of upkeep
HANGS_AFTER = timedelta(minutes=3)

T = TypeVar("T")


class Course:
    """What goes on from run to run: where the next look begins, and what is done besides sending, and when."""

    def __init__(self) -> None:
        self.rotation = queue.Rotation()
        self._settled = queue.FIRST
        self.gone_round_at = now = time.monotonic()
        self._at: dict[Callable[[], timedelta], float] = dict.fromkeys(
            (
                self._look_back,
                self._settle,
                self._replay,
                self._erase,
                self._take_over,
                self._prune,
                self._set_clocks,
                self._prune_mail,
            ),
            now,
        )

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= min(self._at.values())

    def keep_up(self, *, all_of_it: bool = False) -> None:
        """Does what is due of it. A fault in one of these stops neither the others nor the sending."""
        for work, at in self._at.items():
            self.gone_round_at = time.monotonic()
            if not all_of_it and time.monotonic() < at:
                continue
            again_after = SETTLE_EVERY
            try:
                again_after = work()
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                log.exception("dispatch.upkeep_failed", work=work.__name__)
            self._at[work] = time.monotonic() + again_after.total_seconds()

    def look_back(self) -> None:
        """Before a run: between two of them the database may have been set back, under a process that goes on."""
        self._at[self._look_back] = time.monotonic()
        self.keep_up()

    def _look_back(self) -> timedelta:
        """First of all: a database that was set back takes for unsent what was sent."""
        restored.stop_if_set_back()
        return LOOK_BACK_EVERY

    def _settle(self) -> timedelta:
        self._settled = queue.settle(self._settled)
        return SETTLE_EVERY

    def _replay(self) -> timedelta:
        work_replays()
        return SETTLE_EVERY

    def _erase(self) -> timedelta:
        work_erasures()
        return SETTLE_EVERY

    def _take_over(self) -> timedelta:
        queue.take_over()
        return TAKE_OVER_EVERY

    def _prune(self) -> timedelta:
        """One slice; a backlog is worked off a slice a second, beside the sending."""
        return SETTLE_EVERY if retention.prune() else PRUNE_EVERY

    def _set_clocks(self) -> timedelta:
        """As mailboxes say by now how long their mail is kept."""
        retain.set_clocks(now=timezone.now())
        return PRUNE_EVERY

    def _prune_mail(self) -> timedelta:
        _, is_all = prune_mail(sets_clocks=False)
        return PRUNE_EVERY if is_all else SETTLE_EVERY


class Engine:
    """Starts a run when woken, and knows whether one is going on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._woken = False
        self._stopping = False
        self._course = Course()

    def wake(self) -> None:
        """Returns at once. If a run is just ending, it looks once more."""
        with self._lock:
            if self._stopping:
                return
            self._woken = True
            if self._thread is None:
                self._course.gone_round_at = time.monotonic()  # before it can be seen, as a run that hangs would be
                thread = threading.Thread(target=self._run, name="dispatch", daemon=True)
                thread.start()  # may fail; then the next wake tries again
                self._thread = thread

    def trouble(self) -> str:
        """That a run hangs, if it does; empty otherwise. From any thread."""
        silent_s = time.monotonic() - self._course.gone_round_at
        if self._thread is None or silent_s < HANGS_AFTER.total_seconds():
            return ""
        return f"the run that sends has not gone round for {silent_s // 60:.0f} min"

    def stop(self) -> None:
        """Nothing is claimed from now on; what is in flight has until its deadline."""
        self._stopping = True

    def join(self, timeout: timedelta = JOIN_WITHIN) -> None:
        thread = self._thread
        if thread is not None:
            thread.join(timeout.total_seconds())

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._woken or self._stopping:
                    self._thread = None
                    return
                self._woken = False
            self._course.gone_round_at = time.monotonic()
            try:
                run_until_idle(should_stop=lambda: self._stopping, course=self._course)
            except (OperationalError, InterfaceError) as error:
                log.warning("dispatch.database_away", error=type(error).__name__)
            except Exception:
                # the next nudge or sweep starts it again; what was claimed is taken over
                log.exception("dispatch.failed")
            finally:
                connections.close_all()


engine = Engine()


def run_until_idle(
    *,
    idle_for: timedelta = IDLE_FOR,
    should_stop: Callable[[], bool] = lambda: False,
    make_transport: Callable[[], Transport] | None = None,
    course: Course | None = None,
) -> None:
    """Sends what is due, and what becomes due meanwhile, until nothing was for `idle_for`.

    course is kept by the caller from run to run; without, all upkeep is done at the start.
    """
    is_first = course is None
    course = course or Course()
    course.keep_up(all_of_it=is_first)
    if not queue.is_anything_due():
        return
    if not is_first:
        course.look_back()
    with leases.held(queue.LEASE_KIND) as lease:
        run = Run(lease, idle_for=idle_for, should_stop=should_stop, course=course)
        asyncio.run(run.until_idle(make_transport or Transport))


class Run:
    """The state of one run: what is in flight, and what has ended and is not written down yet."""

    def __init__(
        self,
        lease: leases.HeldLease,
        *,
        idle_for: timedelta,
        should_stop: Callable[[], bool],
        course: Course,
    ) -> None:
        self._lease = lease
        self._idle_for = idle_for.total_seconds()
        self._should_stop = should_stop
        self._in_flight: set[asyncio.Task[None]] = set()
        self._per_webhook: Counter[UUID] = Counter()
        self._octets = 0  # of the bodies in flight, and of those that have ended and are not written down yet
        self._course = course
        self._alone = False  # one that runs alone is in flight
        self._make_way = False  # one that has to run alone has waited long enough
        self._no_way_before = self._looked_at = time.monotonic()
        self._ended: list[Result] = []
        self._enough = MANY  # ended: others can begin
        self._enough_ended = asyncio.Event()
        # one thread for the database: the loop never waits for it, and its statements keep their order
        self._database = ThreadPoolExecutor(1, thread_name_prefix="dispatch-db")

    async def until_idle(self, make_transport: Callable[[], Transport]) -> None:
        try:
            async with make_transport() as transport:
                await self._claim_and_send(transport)
                await self._finish()
                log.debug("dispatch.connections", opened=transport.opened, reused=transport.reused)
        finally:
            await self._in_database(connections.close_all)
            self._database.shutdown(wait=False)

    async def _claim_and_send(self, transport: Transport) -> None:
        worked_at = time.monotonic()
        while not (self._should_stop() or self._lease.is_lost):
            self._course.gone_round_at = began_at = time.monotonic()
            try:
                # others first: they are under way while it is written down what came of those before
                claimed = await self._claim()
                for one in claimed:
                    self._start(one, transport)
                is_busy = bool(self._in_flight or self._ended)
                await self._record()
                if self._course.is_due:
                    await self._in_database(self._keep_up)
            except (OperationalError, InterfaceError) as error:
                # Nothing more is begun; what has ended is still in self._ended, and is written down in _finish. A claim
                # may have been committed without our hearing of it: the end of this run, and its lease, frees it.
                log.warning("dispatch.database_away", error=type(error).__name__)
                await self._in_database(connections.close_all)
                return
            except Exception:
                # a fault of ours: what is in flight is written down all the same, in _finish
                log.exception("dispatch.failed")
                return
            if is_busy:
                worked_at = time.monotonic()
            elif time.monotonic() - worked_at > self._idle_for:
                return
            now = time.monotonic()
            soon_s = next_claim_in_s(len(claimed), quiet_s=now - worked_at, took_s=now - began_at)
            await self._enough_have_ended(within_s=soon_s)

    async def _claim(self) -> list[Claimed]:
        if self._alone:
            return []
        claim = partial(
            queue.claim,
            self._lease.id,
            in_flight=dict(self._per_webhook),
            ended=Counter(result.claimed.webhook_id for result in self._ended),
            octets_in_flight=self._octets,
            alone_first=self._make_way,
            rotation=self._course.rotation,
        )
        claimed = await self._in_database(claim)
        # where some were due, more may be
        self._enough = min(MANY, (len(self._in_flight) + len(claimed)) // 2) if claimed else MANY
        # if we were stopped while we claimed, it is somebody else's by now, or soon
        return [] if self._lease.is_lost else claimed

    def _keep_up(self) -> None:
        self._course.keep_up()
        if time.monotonic() > max(self._no_way_before, self._looked_at + SETTLE_EVERY.total_seconds()):
            self._looked_at = time.monotonic()
            self._make_way = queue.must_make_way()

    def _start(self, claimed: Claimed, transport: Transport) -> None:
        self._per_webhook[claimed.webhook_id] += 1
        self._octets += len(claimed.body or b"")
        if claimed.is_suspicious:
            self._alone, self._make_way = True, False
            self._no_way_before = time.monotonic() + BETWEEN_LONE_ONES.total_seconds()
        task = asyncio.create_task(self._attempt(claimed, transport))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _attempt(self, claimed: Claimed, transport: Transport) -> None:
        try:
            answer = await attempt(claimed, transport, may_begin=lambda: not self._lease.is_lost)
        except Exception as error:
            log.exception("attempt.failed", delivery=str(claimed.delivery_id))
            answer = Answer.of_fault("internal", f"a fault of ours: {type(error).__name__}")
        self._ended.append(Result(claimed, answer))
        self._per_webhook[claimed.webhook_id] -= 1
        if not self._per_webhook[claimed.webhook_id]:
            del self._per_webhook[claimed.webhook_id]
        self._alone = False
        if len(self._ended) >= self._enough:
            self._enough_ended.set()

    async def _enough_have_ended(self, *, within_s: float) -> None:
        """So that they are written down, and others claimed, together: that is what a delivery costs the database."""
        until = asyncio.get_running_loop().time() + within_s
        self._enough_ended.clear()  # those for whom it was set may be written down by now
        await asyncio.sleep(CLAIM_AGAIN_AFTER.total_seconds())
        if len(self._ended) < self._enough:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._enough_ended.wait()

    async def _record(self) -> None:
        if batch := list(self._ended):
            await self._in_database(lambda: queue.record(batch, self._lease.id))
            del self._ended[: len(batch)]
            self._octets -= sum(len(result.claimed.body or b"") for result in batch)

    async def _finish(self) -> None:
        """Waits for what is in flight, each up to its own deadline, and writes it down."""
        give_up_at = time.monotonic() + JOIN_WITHIN.total_seconds()
        while self._in_flight or self._ended:
            self._course.gone_round_at = time.monotonic()
            if self._in_flight:
                await asyncio.wait(set(self._in_flight), return_when=asyncio.FIRST_COMPLETED)
            try:
                await self._record()
            except (OperationalError, InterfaceError):
                if time.monotonic() > give_up_at:
                    raise  # our lease runs out, and these are taken over as lost
                await self._in_database(connections.close_all)
                await asyncio.sleep(DATABASE_AWAY_FOR.total_seconds())

    async def _in_database(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._database, work)


def next_claim_in_s(begun: int, *, quiet_s: float, took_s: float) -> float:
    """At most so long, if not enough ends before. Soon while little is going on but something was a moment ago: mail
    comes in swarms, and a look is cheap while nothing is due. Where many were begun, more goes together. What hangs in
    flight makes nobody wait.

    took_s: how long the last claim took, with what was written down after it. On a busy machine claims are fewer: they
    take half of the time at most.
    """
    latest_s = CLAIM_EVERY.total_seconds()
    if begun > FEW:
        return latest_s
    return min(latest_s, max(CLAIM_AGAIN_AFTER.total_seconds(), quiet_s / 4, took_s))


async def attempt(claimed: Claimed, transport: Transport, *, may_begin: Callable[[], bool] = lambda: True) -> Answer:
    """One signed request. Never raises for what the receiver does, nor for what the row holds.

    may_begin: whether the delivery is still ours, as far as we know; asked just before the request is written.
    """
    if claimed.secrets is None:
        return Answer.of_fault("secret_unreadable", "the webhook's secret does not decrypt: check ENCRYPTION_KEYS")
    if claimed.headers is None:
        return Answer.of_fault(
            "headers_unreadable",
            "the webhook's own headers do not decrypt: check ENCRYPTION_KEYS, or give all of them again",
        )
    if claimed.body is None:
        return Answer.of_fault("body_unreadable", "the stored event cannot be read, and the webhook gets metadata only")
    if claimed.headers_refused:
        return Answer.of_fault("invalid_headers", claimed.headers_refused)
    ours = signing.headers(
        event_id=claimed.event_id,
        timestamp=int(time.time()),
        attempt=claimed.n,
        body=claimed.body,
        secrets=claimed.secrets,
        version=settings.VERSION,
    )
    # ours last; none of theirs has the name of one of ours in any case, or the check would have refused it
    outgoing = Outgoing(url=claimed.url, headers={**claimed.headers, **ours}, body=claimed.body)
    answer = await transport.post(outgoing, may_begin=may_begin)
    return without_values(answer, claimed.headers) if claimed.headers else answer


def without_values(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """What is put on record of an answer shows nobody the values that only the receiver may know."""
    said = answer.detail.removesuffix(CUT)
    return replace(
        answer,
        detail=own_headers.redacted(said.encode(), headers).decode() + answer.detail[len(said) :],
        response_headers=own_headers.redacted(answer.response_headers, headers),
        response_excerpt=own_headers.redacted(answer.response_excerpt, headers),
    )
