"""What is known of one HTTP exchange while it goes on: filled in by whoever dials, sends and reads."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

MAX_RECEIVED_BYTES = 1024 * 1024  # headers, interim answers, framing: what a body's excerpt does not bound


@dataclass(slots=True)
class Exchange:
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    is_reused: bool = False
    received_bytes: int = 0
    status: int | None = None
    error: str = ""
    detail: str = ""
    dns_ms: int | None = None
    connect_ms: int | None = None
    first_byte_ms: int | None = None
    peer_ip: str | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    excerpt: bytearray = field(default_factory=bytearray)

    @property
    def is_flooded(self) -> bool:
        return self.received_bytes > MAX_RECEIVED_BYTES

    def ms(self, since: float) -> int:
        return round((time.monotonic() - since) * 1000)

    def header(self, name: bytes) -> str | None:
        """The first of that name, given in lower case."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), None)

    def fail(self, error: str, detail: str) -> None:
        """After an answer it is a remark on the answer: the receiver has said what it makes of the request."""
        if self.status is None:
            self.error, self.detail = error, detail
        elif not self.detail:
            self.detail = f"The answer's body broke off ({error})."
