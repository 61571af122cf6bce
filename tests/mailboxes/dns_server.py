"""A DNS server on 127.0.0.1, over UDP and TCP, that answers out of a zone or misbehaves as told."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

Zone = Mapping[str, Iterable[tuple[str, Any]]]
TTL = 300
SILENCE = "TIMEOUT"  # in place of a type: no answer to questions that nothing before it answers


class DnsServer:
    """zone: name -> (type, value) of each record; TXT values are octets, or text, or lists of strings of either.

    `answering` may be set to something else that turns a question's octets into an answer's, or into silence.
    """

    def __init__(self, zone: Zone | None = None, *, port: int = 0) -> None:
        self.set_zone(zone or {})
        self.asked: list[tuple[str, str]] = []
        self.answering: Callable[[bytes, bool], bytes | None] = self.answer
        self.drips = False
        self._wanted_port = port
        self._stopping = threading.Event()

    def set_zone(self, zone: Zone) -> None:
        self.zone = {name.lower().rstrip("."): list(records) for name, records in zone.items()}

    def __enter__(self) -> Self:
        while True:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", self._wanted_port))
            self.port = self._udp.getsockname()[1]
            self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._tcp.bind(("127.0.0.1", self.port))
                break
            except OSError:  # taken over TCP alone
                self._udp.close()
                self._tcp.close()
        self._tcp.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
        self._udp.close()
        self._tcp.close()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.asked)

    # --- serving

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._udp, selectors.EVENT_READ)
            selector.register(self._tcp, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(timeout=0.02):
                    if key.fileobj is self._udp:
                        question, self.peer = self._udp.recvfrom(65535)
                        if (answer := self.answering(question, False)) is not None:
                            self._udp.sendto(answer, self.peer)
                    else:
                        connection, _ = self._tcp.accept()
                        threading.Thread(target=self._serve_tcp, args=[connection], daemon=True).start()

    def _serve_tcp(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            try:
                (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
                answer = self.answering(connection.recv(length, socket.MSG_WAITALL), True)
                if answer is None:
                    return
                octets = struct.pack("!H", len(answer)) + answer
                if not self.drips:
                    connection.sendall(octets)
                    return
                for octet in octets:
                    connection.sendall(bytes([octet]))
                    if self._stopping.wait(0.05):
                        return
            except (OSError, struct.error):
                return

    # --- answering

    def answer(self, octets: bytes, is_tcp: bool) -> bytes | None:
        question = dns.message.from_wire(octets)
        (asked,) = question.question
        name, kind = plain(asked.name), dns.rdatatype.to_text(asked.rdtype)
        if not is_tcp:
            self.asked.append((name, kind))
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        response.use_edns(-1)
        owner = asked.name
        for _ in range(20):
            found = self._records(name, kind)
            if found is None:
                return None
            if found:
                rrset = dns.rrset.from_rdata_list(owner, TTL, found)
                response.answer.append(rrset)
            aliases = [value for entry, value in self.zone.get(name, []) if entry == "CNAME"]
            if found or not aliases:
                break
            target = dns.name.from_text(aliases[0])
            response.answer.append(dns.rrset.from_text(owner, TTL, "IN", "CNAME", target.to_text()))
            owner, name = target, plain(target)
        if name not in self.zone and not response.answer:
            response.set_rcode(dns.rcode.NXDOMAIN)
        wire = response.to_wire(max_size=65535)
        if not is_tcp and len(wire) > (question.payload or 512):
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire

    def _records(self, name: str, kind: str) -> list[Any] | None:
        """None for silence."""
        found = []
        for entry, value in self.zone.get(name, []):
            if entry == kind and value == SILENCE:
                return None
            if entry == SILENCE and not found:
                return None
            if entry == kind and kind != "CNAME":
                found.append(_rdata(kind, value))
        return found


def plain(name: dns.name.Name) -> str:
    return b".".join(name.labels[:-1]).decode().lower()


def _rdata(kind: str, value: Any) -> Any:
    if kind == "TXT":
        parts = [value] if isinstance(value, (str, bytes)) else value
        strings = [part if isinstance(part, bytes) else part.encode() for part in parts] or [b""]
        pieces = [string[at : at + 255] for string in strings for at in range(0, max(len(string), 1), 255)]
        return dns.rdtypes.ANY.TXT.TXT(dns.rdataclass.IN, dns.rdatatype.TXT, pieces)
    if kind == "MX":
        preference, host = value
        value = f"{preference} {dns.name.from_text(host).to_text()}"
    if kind == "PTR":
        value = dns.name.from_text(value).to_text()
    return dns.rdata.from_text(dns.rdataclass.IN, kind, str(value))


def wait_until(condition: Callable[[], bool], *, within_s: float = 5) -> None:
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)
