"""Questions to the DNS, for checks that must not wait for it.

Each question has a deadline, and all of a mail together have one. Whatever comes back is bounded, and kept as long as
it says, in a cache that is bounded too. As soon as a packet gets no answer, a thread in the background asks for
something that every server knows; unless that is answered promptly, the DNS counts as away, and questions fail at once
until it is. A domain that is made to be slow takes the DNS from nobody; but when much was waited for, mails wait less.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emailgistics.common.logs import get_logger
from mailboxes.authentication.results import TemporaryError

if TYPE_CHECKING:
    import dns.message

log = get_logger(__name__)

Server = tuple[str, int]  # address, port
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Values = tuple[Any, ...]

PORT = 53
RESOLV_CONF = "/etc/resolv.conf"
RESERVED = frozenset({"test", "invalid", "localhost", "example"})  # RFC 6761: nobody has them
UDP_OCTETS = 1232  # what passes everywhere in one piece
MAX_CACHED = 10_000
MAX_CACHED_OCTETS = 8 << 20
MAX_TTL_S = 3600
FAULT_TTL_S = 30  # RFC 2308 section 7: at most five minutes
MAX_LABEL_OCTETS, MAX_NAME_OCTETS = 63, 253
MIN_LEFT_S = 0.02  # less is not worth a packet
PROBE_AT_MOST_EVERY_S = 30


@dataclass(frozen=True, slots=True)
class Patience:
    """How long things may take, in seconds."""

    mail: float = 5
    question: float = 2  # half of it for one packet: then another server, or the same again, is asked
    prompt: float = 0.3  # an answer within this costs nothing
    lost: float = 5  # once so much was waited for beyond that, mails wait only
    hurried_mail: float = 0.6
    hurried_question: float = 0.3
    forgiven: float = 0.1  # of each second that passes, from what was lost
    probe_every: float = 1  # at first


class Resolver:
    """What a process knows of the DNS. For one thread that asks, and its own that probes.

    servers: asked for anew each time that nothing answered, so that a new resolv.conf counts.
    """

    def __init__(self, servers: Callable[[], Sequence[Server]], *, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._find_servers = servers
        self._servers = list(servers())
        self._cache = _Cache()
        self._lost = 0.0
        self._counted_at = time.monotonic()
        self._prober: threading.Thread | None = None
        self._closed = threading.Event()

    def for_mail(self) -> "Lookups":
        """Its time begins now."""
        within_s = self.patience.hurried_mail if self._is_hurried() else self.patience.mail
        return Lookups(self, until=time.monotonic() + within_s)

    @property
    def is_away(self) -> bool:
        return self._prober is not None

    def close(self) -> None:
        self._closed.set()
        if prober := self._prober:
            prober.join()

    def ask(self, name: str, kind: str, *, until: float) -> Values:
        """The values there are. Raises TemporaryError."""
        if (known := self._cache.get((name, kind))) is not None:
            return _values(known)
        if self.is_away or not self._servers:
            self._suspect()
            raise TemporaryError("the DNS does not answer")
        now = time.monotonic()
        question_s = self.patience.hurried_question if self._is_hurried() else self.patience.question
        if until - now < MIN_LEFT_S:
            raise TemporaryError("the DNS took too long")
        found: Values | TemporaryError
        try:
            found, ttl_s = self._exchange(name, kind, until=min(until, now + question_s), packet_s=question_s / 2)
        except TemporaryError as error:
            found, ttl_s = error, FAULT_TTL_S
        self._lost += max(0.0, time.monotonic() - now - self.patience.prompt)
        self._cache.put((name, kind), found, ttl_s)
        return _values(found)

    def _exchange(self, name: str, kind: str, *, until: float, packet_s: float) -> tuple[Values, float]:
        """From the first server that has an answer; it stays the first. Raises TemporaryError."""
        refused: dict[Server, str] = {}
        for server in [*self._servers, *self._servers]:
            left_s = until - time.monotonic()
            if left_s < MIN_LEFT_S:
                break
            if server in refused:
                continue
            try:
                answer = exchange(name, kind, server, timeout_s=min(left_s, packet_s), until=until)
            except NoAnswerError:
                self._servers = [*(other for other in self._servers if other != server), server]
                if left_s >= packet_s:  # less time says nothing of the server
                    self._suspect()
                continue
            if not isinstance(answer, str):
                return answer
            refused[server] = answer
        says = " and ".join(dict.fromkeys(refused.values()))
        raise TemporaryError(f"the DNS answers {says}" if says else "the DNS does not answer")

    def _is_hurried(self) -> bool:
        now = time.monotonic()
        self._lost = max(0.0, self._lost - (now - self._counted_at) * self.patience.forgiven)
        self._counted_at = now
        return self._lost > self.patience.lost

    def _suspect(self) -> None:
        if self._prober is None and not self._closed.is_set():
            self._prober = threading.Thread(target=self._probe, name="dns-probe", daemon=True)
            self._prober.start()

    def _probe(self) -> None:
        """Until one server answers promptly, whatever it says."""
        wait_s = self.patience.probe_every
        is_told = False
        while not self._closed.is_set():
            servers = list(self._find_servers())
            for server in servers:
                timeout_s = self.patience.prompt
                try:
                    exchange("", "NS", server, timeout_s=timeout_s, until=time.monotonic() + timeout_s)
                except NoAnswerError:
                    continue
                self._servers = [server, *(other for other in servers if other != server)]
                if is_told:
                    log.info("dns.back")
                self._prober = None
                return
            if not is_told:
                log.warning("dns.away", servers=len(servers))
                is_told = True
            self._closed.wait(wait_s)
            wait_s = min(wait_s * 2, PROBE_AT_MOST_EVERY_S)


class Lookups:
    """The questions of one mail. Each raises TemporaryError; where there is nothing, or can be nothing, it is empty."""

    def __init__(self, resolver: Resolver, *, until: float) -> None:
        self._resolver = resolver
        self._until = until

    def share(self, part: float) -> "Lookups":
        """With a part of the time that is left, so that what comes after has some, too."""
        now = time.monotonic()
        return Lookups(self._resolver, until=now + (self._until - now) * part)

    def txt(self, name: str) -> list[bytes]:
        """The strings of each record joined."""
        return list(self._ask(name, "TXT"))

    def addresses(self, name: str, *, version: int) -> list[Address]:
        return list(self._ask(name, "A" if version == 4 else "AAAA"))  # noqa: PLR2004

    def exchangers(self, name: str) -> list[str]:
        """The hosts of MX records, most preferred first."""
        return list(self._ask(name, "MX"))

    def names(self, address: Address) -> list[str]:
        return list(self._ask(address.reverse_pointer, "PTR"))

    def _ask(self, name: str, kind: str) -> Values:
        name = name.lower().removesuffix(".")
        if not is_name(name) or name.rpartition(".")[2] in RESERVED:
            return ()
        return self._resolver.ask(name, kind, until=self._until)


def is_name(name: str) -> bool:
    """Whether the DNS could have it; the root's dot at its end is not counted."""
    labels = name.removesuffix(".").encode().split(b".")
    return sum(map(len, labels)) + len(labels) - 1 <= MAX_NAME_OCTETS and all(
        0 < len(label) <= MAX_LABEL_OCTETS for label in labels
    )


class NoAnswerError(Exception):
    """Nothing came in time that is an answer to what was asked."""


def exchange(name: str, kind: str, server: Server, *, timeout_s: float, until: float) -> tuple[Values, float] | str:
    """Asks one server: values and their TTL, or its error's name. Over TCP, until `until`, if UDP has no room for them.

    Raises NoAnswerError.
    """
    import dns.exception  # noqa: PLC0415 - a fifth of a second, for a process that may never ask
    import dns.message  # noqa: PLC0415
    import dns.name  # noqa: PLC0415
    import dns.rcode  # noqa: PLC0415

    labels = [*name.encode().split(b"."), b""] if name else [b""]
    try:
        question = dns.message.make_query(dns.name.Name(labels), kind, use_edns=0, payload=UDP_OCTETS)
        answer = _asked(question, server, timeout_s=timeout_s, until=until)
        if answer.rcode() == dns.rcode.FORMERR:  # it does not know EDNS (RFC 6891 section 7)
            question.use_edns(-1)
            answer = _asked(question, server, timeout_s=timeout_s, until=until)
        if not isinstance(answer, dns.message.QueryMessage):
            raise NoAnswerError("another kind of message")
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return dns.rcode.to_text(answer.rcode())
        found = answer.resolve_chaining()
    except dns.message.ChainTooLong:
        return "with aliases in a circle"
    except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
        raise NoAnswerError(type(error).__name__) from error
    return tuple(_value(record) for record in _ordered(found.answer, kind)), float(found.minimum_ttl)


def _asked(question: "dns.message.Message", server: Server, *, timeout_s: float, until: float) -> "dns.message.Message":
    import dns.message  # noqa: PLC0415 - as above
    import dns.query  # noqa: PLC0415

    host, port = server
    try:
        # garbage, and answers to other questions, are no answers: it goes on listening
        return dns.query.udp(
            question,
            host,
            timeout=timeout_s,
            port=port,
            ignore_unexpected=True,
            ignore_trailing=True,
            raise_on_truncation=True,
            ignore_errors=True,
        )
    except dns.message.Truncated:
        return dns.query.tcp(question, host, timeout=max(until - time.monotonic(), MIN_LEFT_S), port=port)


def _ordered(records: Any, kind: str) -> Sequence[Any]:
    if records is None:
        return ()
    return sorted(records, key=lambda record: record.preference) if kind == "MX" else list(records)


def _value(record: Any) -> bytes | Address | str:
    if hasattr(record, "strings"):
        return b"".join(record.strings)
    if hasattr(record, "address"):
        return ipaddress.ip_address(record.address)
    name = record.exchange if hasattr(record, "exchange") else record.target
    return b".".join(name.labels[:-1]).decode("utf-8", errors="replace").lower()


def _values(found: Values | TemporaryError) -> Values:
    if isinstance(found, TemporaryError):
        raise TemporaryError(str(found))
    return found


class _Cache:
    """Answers, and faults, as long as they hold; what was not asked for longest goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], tuple[Values | TemporaryError, float, int]] = OrderedDict()
        self._octets = 0

    def get(self, key: tuple[str, str]) -> Values | TemporaryError | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] < time.monotonic():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: tuple[str, str], found: Values | TemporaryError, ttl_s: float) -> None:
        self._drop(key)
        octets = 200 + (sum(100 + len(str(value)) for value in found) if isinstance(found, tuple) else 0)
        self._entries[key] = (found, time.monotonic() + min(ttl_s, MAX_TTL_S), octets)
        self._octets += octets
        while len(self._entries) > MAX_CACHED or self._octets > MAX_CACHED_OCTETS:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[str, str]) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._octets -= entry[2]


def system_servers(path: str = RESOLV_CONF) -> list[Server]:
    """Those of resolv.conf; none where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - a device would do, too
            words = [line.split() for line in file.read(64 << 10).splitlines()]
    except OSError:
        return []
    return [(line[1], PORT) for line in words if len(line) > 1 and line[0] == "nameserver" and _is_address(line[1])]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
