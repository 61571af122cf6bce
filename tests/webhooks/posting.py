"""One transport, and requests with it, from tests that are not asynchronous."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TypeVar

from webhooks.lookups import Lookup
from webhooks.transport import Answer, Outgoing, Transport

T = TypeVar("T")

BODY = b'{"type":"email.received"}'


def outgoing(url: str, **headers: str) -> Outgoing:
    return Outgoing(url=url, headers={"content-type": "application/json", **headers}, body=BODY)


def with_transport(
    work: Callable[[Transport], Coroutine[None, None, T]], *, total_s: float = 10, connect_s: float = 5
) -> T:
    async def run() -> T:
        async with Transport(total_s=total_s, connect_s=connect_s) as transport:
            return await work(transport)

    return asyncio.run(run())


def post(url: str, *, total_s: float = 10, connect_s: float = 5) -> Answer:
    return with_transport(lambda transport: transport.post(outgoing(url)), total_s=total_s, connect_s=connect_s)


def post_twice(url: str) -> list[Answer]:
    async def twice(transport: Transport) -> list[Answer]:
        answers = []
        for _ in range(2):
            answers.append(await transport.post(outgoing(url)))
            await asyncio.sleep(0.05)  # the loop has seen what became of the connection
        return answers

    return with_transport(twice)


def resolving_to(*ips: str) -> Lookup:
    return lambda host, port: list(ips)


HERE = resolving_to("127.0.0.1")


def unresolvable(host: str, port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
