import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailboxes.smtp.together import Together

Call = Callable[[Sequence[int]], Sequence[int | Exception]]


def run(
    call: Call,
    body: Callable[[Together[int, int]], Awaitable[None]],
    *,
    at_most: int = 3,
    at_once: int = 1,
    linger_s: float = 0,
) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(4) as pool:
            await body(Together(pool, call, at_most=at_most, at_once=at_once, linger_s=linger_s))

    asyncio.run(main())


def test_one_alone_waits_for_nobody_and_what_comes_meanwhile_goes_together_up_to_the_limit() -> None:
    calls: list[list[int]] = []
    go = threading.Event()

    def call(items: Sequence[int]) -> Sequence[int]:
        calls.append(list(items))
        assert go.wait(10)
        return [item * 10 for item in items]

    async def body(together: Together[int, int]) -> None:
        first = asyncio.create_task(together.ask(0))
        while not calls:  # noqa: ASYNC110 - a thread fills it
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(together.ask(n)) for n in range(1, 6)]
        await asyncio.sleep(0.01)
        assert calls == [[0]]
        go.set()
        assert await asyncio.gather(first, *others) == [0, 10, 20, 30, 40, 50]
        assert calls == [[0], [1, 2, 3], [4, 5]]
        assert not together.is_busy

    run(call, body)


def test_while_it_is_busy_a_call_waits_a_little_for_company() -> None:
    calls: list[int] = []

    def call(items: Sequence[int]) -> Sequence[int]:
        calls.append(len(items))
        return items

    async def body(together: Together[int, int]) -> None:
        async def later(after_s: float) -> None:
            await asyncio.sleep(after_s)
            await together.ask(1)

        await asyncio.gather(together.ask(1), together.ask(1))  # two at once: it is busy
        await asyncio.gather(later(0), later(0.05))
        await together.ask(1)  # the last that waits for somebody, who does not come
        await asyncio.gather(later(0), later(0.05))
        assert calls == [2, 2, 1, 1, 1]

    run(call, body, linger_s=0.2)


def test_an_exception_among_the_answers_is_of_that_item_alone() -> None:
    def call(items: Sequence[int]) -> Sequence[int | Exception]:
        return [ValueError(item) if item == 1 else item for item in items]

    async def body(together: Together[int, int]) -> None:
        answers = await asyncio.gather(*(together.ask(n) for n in range(3)), return_exceptions=True)
        assert (answers[0], answers[2]) == (0, 2)
        assert isinstance(answers[1], ValueError)

    run(call, body)


def test_a_call_that_fails_is_everybodys_exception_and_the_next_call_is_made() -> None:
    def call(items: Sequence[int]) -> Sequence[int]:
        if 0 in items:
            raise MemoryError
        return items

    async def body(together: Together[int, int]) -> None:
        assert [type(answer) for answer in await asyncio.gather(
            together.ask(0), together.ask(1), return_exceptions=True
        )] == [MemoryError, MemoryError]  # fmt: skip
        assert await together.ask(2) == 2

    run(call, body)


def test_who_is_cancelled_takes_nobody_along_and_the_call_is_made_all_the_same() -> None:
    done: list[int] = []

    def call(items: Sequence[int]) -> Sequence[int]:
        time.sleep(0.05)
        done.extend(items)
        return items

    async def body(together: Together[int, int]) -> None:
        gone = asyncio.create_task(together.ask(1))
        other = asyncio.create_task(together.ask(2))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert await other == 2
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert done == [1, 2]

    run(call, body)


def test_no_more_calls_run_at_once_than_said() -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def call(items: Sequence[int]) -> Sequence[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return items

    async def body(together: Together[int, int]) -> None:
        async def later(n: int) -> int:
            await asyncio.sleep(n / 1000)
            return await together.ask(n)

        assert await asyncio.gather(*map(later, range(30))) == list(range(30))
        assert most == 2

    run(call, body, at_most=2, at_once=2)
