import asyncio
import threading

import pytest

from webhooks import lookups
from webhooks.lookups import BusyError, Lookups


class Directory:
    """A name server that answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        assert self.may_answer.wait(60)
        return ["192.0.2.1"]


def test_localhost_is_found_by_the_system() -> None:
    assert set(lookups.system_lookup("localhost", 80)) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("sockaddr", "text"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("2001:db8::1", 80, 0, 0), "2001:db8::1"),
        (("fe80::1", 80, 0, 2), "fe80::1%2"),
        (("fe80::1%eth0", 80, 0, 2), "fe80::1%eth0"),
    ],
)
def test_a_scope_is_part_of_an_address(sockaddr: tuple[object, ...], text: str) -> None:
    assert lookups.address_text(sockaddr) == text


def test_a_name_is_looked_up_once_for_all_who_wait() -> None:
    directory = Directory()

    async def ask() -> list[list[str]]:
        names = Lookups(directory)
        asking = [asyncio.create_task(names.addresses("hooks.example.com", 443)) for _ in range(20)]
        await asyncio.sleep(0.05)
        directory.may_answer.set()
        return await asyncio.gather(*asking)

    assert asyncio.run(ask()) == [["192.0.2.1"]] * 20
    assert directory.asked == ["hooks.example.com"]


def test_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    directory = Directory()

    async def ask() -> list[str]:
        names = Lookups(directory)
        impatient = asyncio.create_task(names.addresses("hooks.example.com", 443))
        patient = asyncio.create_task(names.addresses("hooks.example.com", 443))
        await asyncio.sleep(0.05)
        impatient.cancel()
        await asyncio.sleep(0.05)
        directory.may_answer.set()
        return await patient

    assert asyncio.run(ask()) == ["192.0.2.1"]


def test_silence_is_an_error_in_time_and_costs_one_thread_however_often_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.1)
    directory = Directory()

    async def ask() -> list[str]:
        names = Lookups(directory)
        for _ in range(3):
            with pytest.raises(OSError, match="did not answer in time"):
                await names.addresses("hooks.example.com", 443)
        directory.may_answer.set()
        return await names.addresses("hooks.example.com", 443)

    assert asyncio.run(ask()) == ["192.0.2.1"]
    assert directory.asked in (["hooks.example.com"], ["hooks.example.com"] * 2)


def test_silent_names_hold_a_bounded_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.2)
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 3)
    monkeypatch.setattr(lookups, "MAX_STALLED", 4)
    directory = Directory()

    async def ask() -> None:
        names = Lookups(directory)
        for start in range(0, 40, 10):
            asking = [names.addresses(f"{start + number}.example", 443) for number in range(10)]
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(result, OSError) for result in results)
        assert 4 <= len(directory.asked) <= 3 + 4
        directory.may_answer.set()
        await asyncio.sleep(0.2)
        assert await names.addresses("late.example", 443) == ["192.0.2.1"]

    asyncio.run(ask())


def test_a_loop_may_end_while_a_lookup_runs() -> None:
    directory = Directory()

    async def give_up() -> None:
        names = Lookups(directory)
        asking = asyncio.create_task(names.addresses("hooks.example.com", 443))
        await asyncio.sleep(0.05)
        asking.cancel()
        names.close()

    asyncio.run(give_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "dns"]
    directory.may_answer.set()
    thread.join(5)
    assert not thread.is_alive()


def test_stalled_name_servers_of_many_names_take_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 3)
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.3)
    directory = Directory()

    def by_name(host: str, port: int) -> list[str]:
        return directory(host, port) if host.startswith("stalled") else ["192.0.2.2"]

    async def ask() -> list[str]:
        names = Lookups(by_name)
        stalled = [names.addresses(f"stalled{number}.example", 443) for number in range(3)]
        assert {type(error) for error in await asyncio.gather(*stalled, return_exceptions=True)} == {TimeoutError}
        found = await names.addresses("healthy.example", 443)  # while their threads still wait
        directory.may_answer.set()
        return found

    assert asyncio.run(ask()) == ["192.0.2.2"]


def test_who_is_not_even_asked_for_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 1)
    monkeypatch.setattr(lookups, "MAX_STALLED", 1)
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.3)
    directory = Directory()

    async def ask() -> None:
        names = Lookups(directory)
        first = asyncio.create_task(names.addresses("one.example", 443))
        await asyncio.sleep(0.1)
        with pytest.raises(OSError, match="did not answer"):
            await first
        waiting = asyncio.create_task(names.addresses("two.example", 443))
        with pytest.raises(BusyError, match="too many name servers do not answer"):
            await waiting
        directory.may_answer.set()

    asyncio.run(ask())
    assert directory.asked == ["one.example"]


def test_a_thread_that_cannot_be_started_takes_no_place_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 1)
    start = threading.Thread.start

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def ask() -> list[str]:
        names = Lookups(lambda host, port: ["192.0.2.1"])
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            with pytest.raises(BusyError, match="no thread can be started"):
                await names.addresses("hooks.example.com", 443)
        monkeypatch.setattr(threading.Thread, "start", start)
        return await names.addresses("hooks.example.com", 443)

    assert asyncio.run(ask()) == ["192.0.2.1"]
