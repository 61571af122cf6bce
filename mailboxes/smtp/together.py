"""Calls that come at the same time, made in one go.

While little comes, a call is made at once. What comes while one runs is collected, and made after it as one. Where that
happens it is busy, and a call waits a little for more company: two milliseconds are nothing to a sender, and the more
go together, the less each costs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Item, Answer]):
    """Calls `call`, in threads of `pool`, with up to `at_most` items; `at_once` such calls may run.

    It answers with as many answers, in the order of the items; an exception among them is that one item's.
    """

    def __init__(
        self,
        pool: Executor,
        call: Callable[[Sequence[Item]], Sequence[Answer | Exception]],
        *,
        at_most: int,
        at_once: int = 1,
        linger_s: float = 0,
    ) -> None:
        """linger_s: for how long it waits for more while it is busy."""
        self._pool = pool
        self._call = call
        self._at_most = at_most
        self._at_once = at_once
        self._linger_s = linger_s
        self._last = 0  # items of the call before
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._running = 0

    @property
    def is_busy(self) -> bool:
        return self._running > 0

    async def ask(self, item: Item) -> Answer:
        """Whoever is cancelled meanwhile takes nothing along: the call is made all the same."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((item, answer))
        if self._running < self._at_once:
            self._running += 1
            self._begin_soon()
        return await answer

    def _begin_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._last > 1 and len(self._waiting) < self._at_most:
            loop.call_later(self._linger_s, self._begin)
        else:
            loop.call_soon(self._begin)  # what comes in the same turn of the loop goes along

    def _begin(self) -> None:
        group = [self._waiting.popleft() for _ in range(min(self._at_most, len(self._waiting)))]
        if not group:
            self._running -= 1
            return
        self._last = len(group)
        loop = asyncio.get_running_loop()
        call = loop.run_in_executor(self._pool, self._call, [item for item, _ in group])
        call.add_done_callback(lambda done: self._end([answer for _, answer in group], done))

    def _end(
        self, waiting: Sequence["asyncio.Future[Answer]"], done: "asyncio.Future[Sequence[Answer | Exception]]"
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        answers = [error] * len(waiting) if error else done.result()
        for future, answer in zip(waiting, answers, strict=True):
            if future.done():  # cancelled: nobody waits for it any more
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        if self._waiting:
            self._begin_soon()
        else:
            self._running -= 1
