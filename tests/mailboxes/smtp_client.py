"""A listener in a thread of its own, and a client that sends exactly the octets it is told to.

smtplib would stuff dots and turn bare LF and CR into CRLF, which are the things to be tested.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from mailboxes.smtp.handler import Handler
from mailboxes.smtp.limits import Limits
from mailboxes.smtp.server import Listener

Result = TypeVar("Result")
SENDER = "ada@example.net"


class Client:
    def __init__(self, where: int | Path) -> None:
        """`where` is a port of this host or a socket file."""
        if isinstance(where, Path):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(30)
            self.socket.connect(str(where))
        else:
            self.socket = socket.create_connection(("127.0.0.1", where), timeout=30)
        self._replies = self.socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._replies.close()
        self.socket.close()

    def reply(self) -> str:
        """The next reply, its lines joined by LF; empty once the server has closed."""
        lines: list[str] = []
        while True:
            line = self._replies.readline().decode()
            lines.append(line.removesuffix("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def start_tls(self, context: ssl.SSLContext | None = None) -> None:
        """The handshake, once STARTTLS was answered."""
        if context is None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._replies.close()
        self.socket = context.wrap_socket(self.socket)
        self._replies = self.socket.makefile("rb")

    def send(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def command(self, text: str) -> str:
        self.send(text.encode(errors="surrogateescape") + b"\r\n")
        return self.reply()

    def exchange(self, said: str | bytes) -> str:
        """The reply to a command, or to octets that are sent as they are."""
        if isinstance(said, str):
            return self.command(said)
        self.send(said)
        return self.reply()

    def open(self, *recipients: str, sender: str = SENDER) -> str:
        """Up to the 354, which it returns; everything before has to be accepted."""
        for text in ("EHLO client.example.net", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{to}>" for to in recipients)):
            reply = self.command(text)
            assert reply.startswith("250"), (text, reply)
        return self.command("DATA")

    def deliver(self, raw: bytes, *recipients: str, sender: str = SENDER) -> str:
        """The reply to the final dot."""
        assert self.open(*recipients, sender=sender).startswith("354")
        self.send(on_the_wire(raw))
        return self.reply()

    def is_silent(self) -> bool:
        """No reply is under way: the next one is the reply to this NOOP."""
        return self.command("NOOP") == "250 2.0.0 OK"


def on_the_wire(raw: bytes) -> bytes:
    """Dots stuffed after CRLF only (RFC 5321 section 4.5.2), and the terminator. `raw` is empty or ends with CRLF."""
    assert not raw or raw.endswith(b"\r\n")
    return (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


class Running:
    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._is_stopped = False
        self._thread.start()

    @property
    def port(self) -> int:
        return self.listener.port

    def run(self, call: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(timeout=60)

    def stop(self, *, within_s: float = 5) -> bool:
        self._is_stopped = True
        return self.run(self.listener.stop(within_s=within_s))

    def end(self) -> None:
        if not self._is_stopped:
            assert self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def listening(handler: Handler | None = None, *, limits: Limits | None = None, **options: Any) -> Iterator[Running]:
    options.setdefault("host", "127.0.0.1")
    running = Running(Listener(handler=handler, limits=limits, **options))
    try:
        running.run(running.listener.start())
        yield running
    finally:
        running.end()
