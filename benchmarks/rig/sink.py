"""A receiver that costs as little as it can, so that what is measured is the sender.

Answers POST with 204, under /slow after SLOW_S, and under /hang only after HANG_S. GET /count and GET /arrivals tell
what came.
"""

import asyncio
import json
import sys
import time

HANG_S = 10.0
SLOW_S = 0.05
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    arrived: dict[str, float] = {}
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._octets = b""

    def data_received(self, data: bytes) -> None:
        self._octets += data
        while (end := self._octets.find(b"\r\n\r\n")) >= 0:
            head = self._octets[:end].decode("latin-1")
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:])
            whole = end + 4 + int(headers.get("content-length", "0"))
            if len(self._octets) < whole:
                return
            self._octets = self._octets[whole:]
            self._answer(head.split(" ", 2), headers)

    def _answer(self, request: list[str], headers: dict[str, str]) -> None:
        method, path = request[:2]
        if method == "GET":
            told = str(Receiver.count) if path == "/count" else json.dumps(Receiver.arrived)
            if path == "/arrivals":
                Receiver.arrived, Receiver.count = {}, 0
            self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n{told}".encode())
            return
        Receiver.count += 1
        Receiver.arrived.setdefault(headers.get("webhook-id", str(Receiver.count)), time.time())
        for begin, after_s in (("/hang", HANG_S), ("/slow", SLOW_S)):
            if path.startswith(begin):
                asyncio.get_running_loop().call_later(after_s, self._transport.write, ANSWER)
                return
        self._transport.write(ANSWER)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
