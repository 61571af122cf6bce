"""A receiver with moods for the campaign, and one line for each request that any receiver got.

It verifies with the library that receivers use, not with the code that signed.
"""

import asyncio
import hashlib
import json
import os
import random
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import standardwebhooks
from aiohttp import web

from tests.installation import Installation, free_ports

HANGS_FOR_S = 20  # longer than an attempt may take
# of a delivery's first requests; afterwards it is answered, so that no schedule is exhausted and the end can be awaited
MOODS = {"500": 0.04, "503": 0.02, "hangs": 0.02, "resets": 0.04}
MOODY_REQUESTS = 2
SHOT_AT_UP_TO_ATTEMPT = 2  # who shoots at what has cost dispatchers already shows nothing but that it is put aside
BEFORE_THE_ANSWER, AFTER_THE_ANSWER = "before the answer", "after the answer"


@dataclass(frozen=True, slots=True)
class Arrival:
    webhook: str
    event: str
    sha256: str
    is_verified: bool
    is_answered: bool  # with yes: the sender has nothing more to do, if it hears of it
    subject: str
    at: float


@dataclass(frozen=True, slots=True)
class Aim:
    """At the first of these processes whose conversation with the receiver comes to that moment."""

    moment: str
    pids: frozenset[int]
    is_taken: threading.Event = field(default_factory=threading.Event)  # the shot follows at once


class Receiver:
    """Listens on loopback in a thread of its own. Use as a context manager.

    `/moody/…` answers some first requests with 500, with 503 and Retry-After: 1, late, or with a reset; any other path
    with 204. Its ledger is in memory and written before the answer.
    """

    def __init__(self, *, chance: random.Random, moods: dict[str, float]) -> None:
        (self.port,) = free_ports(1)
        self.arrivals: list[Arrival] = []
        self.moods: Counter[str] = Counter()
        self.webhooks: dict[str, tuple[str, str]] = {}  # by path: its id and its secret
        self._chance = chance
        self._moods = moods
        self._seen: Counter[tuple[str, str]] = Counter()
        self._aim: Aim | None = None
        self._lock = threading.Lock()
        self._shot_over: set[str] = set()  # once an event: an unlucky one is put aside, as it should be
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(timeout=10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def take_aim(self, aim: Aim | None) -> None:
        """Instead of the last one, whose shot has been fired by now or never will be."""
        with self._lock:
            self._aim = aim

    def _run(self) -> None:
        asyncio.run(self._serve())  # and whatever hangs is canceled at its end

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_post("/{path}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self._ready.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.match_info["path"]
        webhook, secret = self.webhooks[path]
        event = request.headers.get("webhook-id", "")
        mood = self._mood(path, event)
        if mood == "hangs":
            self._note(webhook, secret, request, body, is_answered=False)
            await asyncio.sleep(HANGS_FOR_S)
            return web.Response(status=204)
        moment, pid = self._target(request, event) if not mood else ("", 0)
        self._note(webhook, secret, request, body, is_answered=not mood and moment != BEFORE_THE_ANSWER)
        if pid:
            return await shoot(request, pid, is_answered=moment == AFTER_THE_ANSWER)
        if mood == "resets":
            reset(request)
        if mood == "503":
            return web.Response(status=503, headers={"Retry-After": "1"})
        return web.Response(status=int(mood) if mood == "500" else 204)

    def _mood(self, path: str, event: str) -> str:
        self._seen[path, event] += 1
        if path != "moody" or self._seen[path, event] > MOODY_REQUESTS:
            return ""
        dice = self._chance.random()
        for mood, share in self._moods.items():
            if (dice := dice - share) < 0:
                self.moods[mood] += 1
                return mood
        return ""

    def _target(self, request: web.Request, event: str) -> tuple[str, int]:
        """The moment to wait for and whom to kill then; 0 is nobody."""
        with self._lock:
            aim = self._aim
            if aim is None or event in self._shot_over or request.transport is None:
                return "", 0
            if int(request.headers.get("webhook-attempt", "1")) > SHOT_AT_UP_TO_ATTEMPT:
                return "", 0
            pid = owner_of(request.transport.get_extra_info("peername")[1], aim.pids)
            if not pid:
                return "", 0
            self._aim = None
            self._shot_over.add(event)
            aim.is_taken.set()
            return aim.moment, pid

    def _note(self, webhook: str, secret: str, request: web.Request, body: bytes, *, is_answered: bool) -> None:
        try:
            standardwebhooks.Webhook(secret).verify(body, dict(request.headers))
            is_verified = True
        except standardwebhooks.WebhookVerificationError:
            is_verified = False
        self.arrivals.append(
            Arrival(
                webhook=webhook,
                event=request.headers.get("webhook-id", ""),
                sha256=hashlib.sha256(body).hexdigest(),
                is_verified=is_verified,
                is_answered=is_answered,
                subject=str(json.loads(body)["data"].get("subject", "")),
                at=time.monotonic(),
            )
        )


async def shoot(request: web.Request, pid: int, *, is_answered: bool) -> web.StreamResponse:
    """What is answered, if at all, has been written to the socket before the kill."""
    answer = web.Response(status=204)
    try:
        if is_answered:
            await answer.prepare(request)
            await answer.write_eof()
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return answer


def owner_of(port: int, pids: frozenset[int]) -> int:
    """Which of these processes has a connection from this port of loopback; 0 if none."""
    local = f"0100007F:{port:04X}"  # as the kernel writes 127.0.0.1, on machines whose low byte comes first
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
    sockets = {f"socket:[{fields[9]}]" for fields in lines if fields[1] == local}
    for pid in pids:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # closed meanwhile
                    if str(descriptor.readlink()) in sockets:
                        return pid
    return 0


def reset(request: web.Request) -> None:
    """Ends the connection with a RST instead of an answer."""
    assert request.transport is not None
    raw: Any = request.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


class Record:
    """The built-in receiver's file, read on from where the last look ended."""

    def __init__(self, installation: Installation, webhook: str) -> None:
        self.arrivals: list[Arrival] = []
        self.subjects: set[str] = set()  # of those that verified
        self._path = installation.data_dir / "received.jsonl"
        self._webhook = webhook
        self._offset = 0

    def look(self) -> list[Arrival]:
        """All that is there by now; the new ones count as having arrived when they were seen."""
        for arrival in self._new():
            self.arrivals.append(arrival)
            if arrival.is_verified:
                self.subjects.add(arrival.subject)
        return self.arrivals

    def _new(self) -> Iterator[Arrival]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                entry = json.loads(line)
                yield Arrival(
                    webhook=self._webhook,
                    event=entry["webhook_id"],
                    sha256=entry["sha256"],
                    is_verified=entry["verified"],
                    is_answered=entry["verified"],
                    subject=entry["subject"],
                    at=time.monotonic(),
                )
