"""What a receiver can cost at most: time and memory."""

import asyncio
import gzip
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.webhooks.answers import Mode, answer, drip, endless, full_port, never, receiver, silent_port
from tests.webhooks.posting import HERE, outgoing
from webhooks import lookups
from webhooks.lookups import Lookup
from webhooks.transport import Answer, Transport

pytestmark = pytest.mark.usefixtures("loopback_allowed")

TOTAL_S = 0.8
LATE_S = 1.1  # on a busy machine
MIB = 1024 * 1024
BEGUN = b"HTTP/1.1 200 OK\r\n"


def post(url: str, *, connect_s: float = 5, lookup: Lookup = HERE) -> tuple[Answer, float]:
    """The answer, and how many seconds it took."""

    async def run() -> tuple[Answer, float]:
        async with Transport(total_s=TOTAL_S, connect_s=connect_s, lookup=lookup) as transport:
            began = time.monotonic()
            told = await transport.post(outgoing(url))
            return told, time.monotonic() - began

    return asyncio.run(run())


STALLS = {
    "no answer": never(),
    "a header drip": drip(BEGUN + b"X-A: ", b"a"),
    "a drip of interim answers": drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a body drip": drip(BEGUN + b"Content-Length: 99999\r\n\r\n", b"x"),
    "a chunk drip": drip(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "an endless body": endless(BEGUN + b"\r\n", b"x" * 100_000),
    "endless headers": endless(BEGUN, b"X-A: b\r\n" * 1000),
}


@pytest.mark.parametrize("mode", STALLS.values(), ids=STALLS)
def test_no_receiver_makes_an_attempt_longer_than_its_deadline(mode: Mode) -> None:
    with receiver(mode) as there:
        _, took_s = post(there.url)
    assert took_s < TOTAL_S + LATE_S


@pytest.mark.parametrize("connect_s", [0.3, 5])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nor_does_one_that_lets_no_connection_come_about(scheme: str, connect_s: float) -> None:
    with full_port() as full, silent_port() as silent:
        for port in (full, silent):
            told, took_s = post(f"{scheme}://127.0.0.1:{port}/", connect_s=connect_s)
            assert told.error == "timeout"
            assert took_s < TOTAL_S + LATE_S


@pytest.mark.parametrize("dns_s", [0.3, 5])
def test_nor_do_name_servers(dns_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", dns_s)

    def slow(host: str, port: int) -> list[str]:
        time.sleep(2)
        return ["127.0.0.1"]

    told, took_s = post("https://slow.example/", lookup=slow)
    assert told.error == ("dns" if dns_s < TOTAL_S else "timeout")
    assert took_s < TOTAL_S + LATE_S


def test_the_deadline_is_one_for_all_phases_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(host: str, port: int) -> list[str]:
        time.sleep(0.5)
        return ["127.0.0.1"]

    with receiver(drip(BEGUN + b"Content-Length: 99999\r\n\r\n", b"x")) as there:
        told, took_s = post(f"http://slow.example:{there.port}/", lookup=slow)
    assert told.status == 200
    assert TOTAL_S - 0.1 < took_s < TOTAL_S + LATE_S


# a process of its own, because only so is it known what the requests cost
IN_A_PROCESS = """
import asyncio, sys
from pathlib import Path
import django
django.setup()
from django.conf import settings
from tests.webhooks.posting import outgoing
from webhooks.transport import Transport

settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]

def highest_kib():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

async def run(url, count):
    async with Transport(total_s=15) as transport:
        await asyncio.gather(*(transport.post(outgoing(url)) for _ in range(5)))  # what everything needs once
        before = highest_kib()
        answers = await asyncio.gather(*(transport.post(outgoing(url)) for _ in range(count)))
        assert {told.status for told in answers} == {200}, answers
        assert {len(told.response_excerpt) for told in answers} <= {16384, int(sys.argv[2])}
        print(highest_kib() - before)

asyncio.run(run(sys.argv[1], 200))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is measured as Linux tells it")
@pytest.mark.parametrize("unpacked", [8 * MIB, 64 * MIB])
def test_200_gzip_bombs_at_once_cost_at_most_32_mib(unpacked: int, settings: Settings) -> None:
    bomb = gzip.compress(bytes(unpacked))
    with receiver(answer(200, bomb, {"Content-Encoding": "gzip"})) as there:
        ran = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, there.url, str(len(bomb))],
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) <= 32 * 1024, f"{ran.stdout} KiB"
