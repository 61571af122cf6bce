"""Sends mails over SMTP as fast as the server takes them, a command at a time, and says how long that took.

    python -m benchmarks.rig.smtp_load PORT MAILS CONNECTIONS OCTETS

Prints JSON: seconds, mails, refused. Every mail is another one; lines are 76 characters, as base64 has them.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator

LINE = b"x" * 76 + b"\r\n"


class Sender:
    def __init__(self, port: int, octets: int, *, recipient: str = "support@example.com") -> None:
        self._port = port
        self._recipient = recipient
        self._body = LINE * max(1, octets // len(LINE))
        self.left = 0
        self.accepted = 0
        self.refused = 0
        self._moments: Iterator[float] | None = None

    async def run(self, mails: int, connections: int, *, per_second: float | None = None) -> float:
        """Seconds that it took. per_second: each has its moment; otherwise as fast as they are taken."""
        self.left = mails
        begun = time.perf_counter()
        self._moments = (begun + number / per_second for number in range(mails)) if per_second else None
        await asyncio.gather(*(self._connection(number) for number in range(connections)))
        return time.perf_counter() - begun

    async def _connection(self, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        await reader.readline()
        await self._ask(reader, writer, b"EHLO load.example.net\r\n")
        mail = 0
        while self.left > 0:
            self.left -= 1
            mail += 1
            if self._moments is not None:
                await asyncio.sleep(next(self._moments) - time.perf_counter())
            await self._ask(reader, writer, b"MAIL FROM:<ada@example.net>\r\n")
            await self._ask(reader, writer, f"RCPT TO:<{self._recipient}>\r\n".encode())
            await self._ask(reader, writer, b"DATA\r\n")
            head = (
                f"From: Ada <ada@example.net>\r\nTo: {self._recipient}\r\nSubject: {number}.{mail}\r\n"
                f"Message-ID: <{time.time_ns()}.{number}.{mail}@example.net>\r\n\r\n"
            )
            writer.write(head.encode())
            writer.write(self._body)
            reply = await self._ask(reader, writer, b".\r\n")
            if reply.startswith(b"250"):
                self.accepted += 1
            else:
                self.refused += 1
        writer.write(b"QUIT\r\n")
        writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes) -> bytes:
        writer.write(command)
        await writer.drain()
        while True:
            line = await reader.readline()
            if line[3:4] != b"-":
                return line


def main(port: int, mails: int, connections: int, octets: int) -> None:
    sender = Sender(port, octets)
    seconds = asyncio.run(sender.run(mails, connections))
    print(json.dumps({"seconds": seconds, "mails": sender.accepted, "refused": sender.refused}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:5]))
