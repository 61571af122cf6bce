"""How much, how many and how long a listener puts up with."""

from dataclasses import dataclass
from typing import Self

from django.conf import settings

MIB = 1024 * 1024
PER_ADDRESS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts, octets and seconds. Those of a process hold for each process: they know nothing of each other."""

    max_connections: int = 200
    max_connections_per_client: int = PER_ADDRESS
    counts_loopback: bool = False  # as a client like others; it is often the mail server in front of us
    max_octets_in_flight: int = 512 * MIB
    messages_per_minute: int = 0  # of one client; 0: as many as it likes

    max_messages: int = 1000  # on one connection
    max_recipients: int = 100  # of one message
    max_bad_commands: int = 10
    max_idle_commands: int = 100  # without a mail that is accepted in between; as Postfix has it
    max_unknown_recipients: int = 20  # on one connection: more is a search for addresses

    command_timeout_s: float = 300  # RFC 5321 section 4.5.3.2.7: at least five minutes
    store_timeout_s: float = 600  # section 4.5.3.2.6: as long as the client waits for the answer to the final dot
    handshake_timeout_s: float = 30
    data_timeout_s: float = 1800  # for all of DATA: 40 MiB need 23 KiB/s
    rate_window_s: float = 60  # a slow start is made good within it
    min_octets_per_s: int = 1024

    # Of a mail that comes, so many are held without asking: there is room for that on every connection. Once it has
    # come, and may outlive its connection, all of it is asked for.
    unreserved_octets: int = MIB

    @classmethod
    def from_settings(cls) -> Self:
        per_address = settings.SMTP_MAX_CONNECTIONS_PER_ADDRESS
        return cls(
            max_connections=settings.SMTP_MAX_CONNECTIONS,
            max_connections_per_client=per_address or PER_ADDRESS,
            counts_loopback=per_address > 0,
            max_recipients=settings.SMTP_MAX_RECIPIENTS,
            max_octets_in_flight=settings.SMTP_MAX_BYTES_IN_FLIGHT,
            messages_per_minute=settings.SMTP_MESSAGES_PER_MINUTE,
        )
