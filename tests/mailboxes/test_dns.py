"""Asking the DNS: over real sockets, with servers that answer, do not, or answer what nobody asked."""

import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from mailboxes.authentication import dns as ours
from mailboxes.authentication.dns import Lookups, Patience, Resolver, system_servers
from mailboxes.authentication.results import TemporaryError
from tests.mailboxes.dns_server import SILENCE, DnsServer, wait_until

FAST = Patience(mail=0.8, question=0.4, prompt=0.15, hurried_mail=0.2, hurried_question=0.1, probe_every=0.1)
NET = "example.net"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer({NET: [("TXT", "one"), ("A", "192.0.2.1")]}) as running:
        yield running


@pytest.fixture
def resolver(server: DnsServer) -> Iterator[Resolver]:
    made = Resolver(lambda: [server.address], patience=FAST)
    yield made
    made.close()


def seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    with pytest.raises(TemporaryError):
        call()
    return time.monotonic() - begun


def silent(_: bytes, __: bool) -> None:
    return None


def test_each_kind_of_record(server: DnsServer) -> None:
    server.set_zone({
        NET: [
            ("TXT", ["v=spf1 ", "-all"]), ("TXT", b"\xff"), ("A", "192.0.2.1"), ("AAAA", "2001:db8::1"),
            ("MX", (20, "B.example.net")), ("MX", (10, "a.example.net")),
        ],
        "alias.example.net": [("CNAME", NET)],
        "1.2.0.192.in-addr.arpa": [("PTR", NET)],
    })  # fmt: skip
    lookups = Resolver(lambda: [server.address]).for_mail()
    assert sorted(lookups.txt(f"{NET}.")) == [b"v=spf1 -all", b"\xff"]
    assert lookups.addresses("EXAMPLE.net", version=4) == [ip_address("192.0.2.1")]
    assert lookups.addresses("alias.example.net", version=6) == [ip_address("2001:db8::1")]
    assert lookups.exchangers(NET) == ["a.example.net", "b.example.net"]
    assert lookups.names(ip_address("192.0.2.1")) == [NET]
    assert lookups.txt("none.example.net") == []
    assert lookups.addresses("alias.example.net", version=4) == [ip_address("192.0.2.1")]


def test_answers_are_kept_as_long_as_they_say(server: DnsServer, resolver: Resolver) -> None:
    for _ in range(3):
        assert resolver.for_mail().txt(NET) == [b"one"]
        assert resolver.for_mail().addresses(NET, version=6) == []
    assert server.asked == [(NET, "TXT"), (NET, "AAAA")]


def test_nothing_is_kept_beyond_its_ttl(server: DnsServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mailboxes.dns_server.TTL", 0)
    for _ in range(2):
        assert resolver.for_mail().txt(NET) == [b"one"]
        time.sleep(0.01)
    assert server.count(NET) == 2


def test_the_cache_is_bounded_in_entries_and_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ours._Cache()
    for number in range(20_000):
        cache.put((f"{number}.example", "TXT"), (b"x",), 60)
    assert len(cache._entries) == ours.MAX_CACHED
    assert cache.get(("19999.example", "TXT")) == (b"x",)
    assert cache.get(("0.example", "TXT")) is None
    for number in range(1000):
        cache.put((f"{number}.big", "TXT"), (b"x" * 60_000,), 60)
    assert 0 < cache._octets <= ours.MAX_CACHED_OCTETS
    for number in range(1000):
        cache._drop((f"{number}.big", "TXT"))
    for key in list(cache._entries):
        cache._drop(key)
    assert cache._octets == 0


@pytest.mark.parametrize("name", ["a.test", "invalid", "x.invalid", "a.b.localhost", "mail.example", "A.TEST."])
def test_reserved_names_are_nobodys_without_asking(server: DnsServer, resolver: Resolver, name: str) -> None:
    assert resolver.for_mail().txt(name) == []
    assert server.asked == []


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".net", "a." * 126 + "net", "é" * 32 + ".net"])
def test_what_can_be_no_name_is_not_asked_for(server: DnsServer, resolver: Resolver, name: str) -> None:
    assert resolver.for_mail().txt(name) == []
    assert server.asked == []


def test_names_go_out_as_they_are(server: DnsServer, resolver: Resolver) -> None:
    server.set_zone({"a b\\.ü.net": [("TXT", "odd")]})
    assert resolver.for_mail().txt("A b\\.ü.net") == [b"odd"]


@pytest.mark.parametrize("octets", [1500, 60_000])
def test_what_does_not_fit_comes_over_tcp(server: DnsServer, resolver: Resolver, octets: int) -> None:
    server.set_zone({NET: [("TXT", "x" * octets)]})
    assert resolver.for_mail().txt(NET) == [b"x" * octets]


def test_aliases_in_a_circle_lead_nowhere(server: DnsServer, resolver: Resolver) -> None:
    server.set_zone({"a.net": [("CNAME", "b.net")], "b.net": [("CNAME", "a.net")]})
    assert seconds(lambda: resolver.for_mail().txt("a.net")) < 1
    assert resolver.for_mail().txt("none.net") == []


def test_a_server_that_says_no_is_a_fault_at_once_and_for_a_while(server: DnsServer, resolver: Resolver) -> None:
    def refuse(octets: bytes, _: bool) -> bytes:
        response = dns.message.make_response(dns.message.from_wire(octets))
        response.set_rcode(dns.rcode.SERVFAIL)
        server.asked.append(("", ""))
        return response.to_wire()

    server.answering = refuse
    for _ in range(3):
        with pytest.raises(TemporaryError, match="SERVFAIL"):
            resolver.for_mail().txt(NET)
    assert len(server.asked) == 1
    assert not resolver.is_away


def test_a_server_that_does_not_know_edns_is_asked_without(server: DnsServer, resolver: Resolver) -> None:
    def old(octets: bytes, is_tcp: bool) -> bytes | None:
        question = dns.message.from_wire(octets)
        if question.edns < 0:
            return server.answer(octets, is_tcp)
        response = dns.message.make_response(question)
        response.use_edns(-1)
        response.set_rcode(dns.rcode.FORMERR)
        return response.to_wire()

    server.answering = old
    assert resolver.for_mail().txt(NET) == [b"one"]


def test_after_one_mail_a_silent_dns_costs_nothing_until_it_is_back(server: DnsServer, resolver: Resolver) -> None:
    server.answering = silent
    assert seconds(lambda: resolver.for_mail().txt(NET)) < FAST.question + 0.3
    assert resolver.is_away
    for number in range(50):
        assert seconds(lambda number=number: resolver.for_mail().txt(f"{number}.net")) < 0.05
    server.answering = server.answer
    wait_until(lambda: not resolver.is_away)
    assert resolver.for_mail().addresses(NET, version=4) == [ip_address("192.0.2.1")]


def test_what_was_known_before_is_known_while_it_is_away(server: DnsServer, resolver: Resolver) -> None:
    assert resolver.for_mail().txt(NET) == [b"one"]
    server.answering = silent
    seconds(lambda: resolver.for_mail().txt("a.net"))
    assert resolver.is_away
    assert resolver.for_mail().txt(NET) == [b"one"]


def test_a_slow_domain_takes_the_dns_from_nobody(server: DnsServer, resolver: Resolver) -> None:
    server.set_zone({"slow.net": [(SILENCE, None)], NET: [("TXT", "one")]})
    lookups = resolver.for_mail()
    assert seconds(lambda: lookups.txt("slow.net")) < FAST.question + 0.3
    assert lookups.txt(NET) == [b"one"]
    # it is not asked again at once
    assert seconds(lambda: resolver.for_mail().txt("slow.net")) < 0.05


def test_many_slow_domains_make_mails_wait_less(server: DnsServer) -> None:
    server.set_zone({f"{number}.slow.net": [(SILENCE, None)] for number in range(10)} | {NET: [("TXT", "one")]})
    impatient = Patience(question=0.4, prompt=0.2, lost=0.3, hurried_mail=0.2, hurried_question=0.1, probe_every=0.05)
    resolver = Resolver(lambda: [server.address], patience=impatient)
    took = []
    for number in range(10):
        took.append(seconds(lambda number=number: resolver.for_mail().txt(f"{number}.slow.net")))
        time.sleep(0.05)  # until the probe has its answer
    assert max(took[4:]) < 0.25
    wait_until(lambda: not resolver.is_away)
    assert resolver.for_mail().txt(NET) == [b"one"]
    resolver.close()


def test_a_mail_has_one_budget_and_each_part_a_share_of_it(server: DnsServer) -> None:
    server.set_zone({f"{number}.slow.net": [(SILENCE, None)] for number in range(10)})
    resolver = Resolver(lambda: [server.address], patience=Patience(mail=1, question=0.4, lost=100))
    lookups = resolver.for_mail()

    def ask_all(some: Lookups) -> None:
        for number in range(10):
            with pytest.raises(TemporaryError):
                some.txt(f"{number}.slow.net")
            time.sleep(0.02)

    begun = time.monotonic()
    ask_all(lookups.share(0.3))
    assert time.monotonic() - begun < 0.8
    ask_all(lookups)
    assert time.monotonic() - begun < 1.6
    resolver.close()


def test_another_server_is_asked_where_one_is_dead_and_stays_the_first(server: DnsServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        resolver = Resolver(lambda: [dead.getsockname(), server.address], patience=FAST)
        assert resolver.for_mail().txt(NET) == [b"one"]
        wait_until(lambda: not resolver.is_away)
        begun = time.monotonic()
        for number in range(20):
            assert resolver.for_mail().txt(f"{number}.net") == []
        assert time.monotonic() - begun < 1
        resolver.close()


def test_without_any_server_everything_is_a_fault_at_once(server: DnsServer) -> None:
    servers: list[ours.Server] = []
    resolver = Resolver(lambda: servers, patience=FAST)
    for number in range(10):
        assert seconds(lambda number=number: resolver.for_mail().txt(f"{number}.net")) < 0.05
    servers.append(server.address)  # as when the network comes up
    wait_until(lambda: not resolver.is_away)
    assert resolver.for_mail().txt(NET) == [b"one"]
    resolver.close()


def other_id(octets: bytes) -> bytes:
    return bytes([octets[0] ^ 1]) + octets[1:]


@pytest.mark.parametrize("answer", [
    pytest.param(lambda octets: b"", id="nothing"),
    pytest.param(lambda octets: b"\x00" * 512, id="zeros"),
    pytest.param(lambda octets: octets[:2] + b"\xff" * 500, id="garbage"),
    pytest.param(lambda octets: octets, id="the question"),
    pytest.param(lambda octets: octets[:2] + b"\x84\x00\x00\x01\xff\xff\xff\xff\xff\xff" + octets[12:], id="counts"),
    pytest.param(lambda octets: octets[:12] + b"\xc0\x0c" * 20, id="pointers in a circle"),
])  # fmt: skip
def test_garbage_is_no_answer(server: DnsServer, resolver: Resolver, answer: Callable[[bytes], bytes]) -> None:
    server.answering = lambda octets, _: answer(octets)
    assert seconds(lambda: resolver.for_mail().txt(NET)) < FAST.mail + 0.3
    assert seconds(lambda: resolver.for_mail().txt("b.net")) < 0.05


def test_answers_to_other_questions_are_passed_over(server: DnsServer, resolver: Resolver) -> None:
    def twice(octets: bytes, is_tcp: bool) -> bytes | None:
        right = server.answer(octets, is_tcp)
        assert right is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(right, server.peer)  # from nobody it asked
        server._udp.sendto(other_id(right), server.peer)
        return right

    server.answering = twice
    assert resolver.for_mail().txt(NET) == [b"one"]


@pytest.mark.parametrize("how", ["drips", "closes", "hangs"])
def test_tcp_has_the_same_deadline(server: DnsServer, resolver: Resolver, how: str) -> None:
    server.set_zone({NET: [("TXT", "x" * 5000)]})
    server.drips = how == "drips"

    def answering(octets: bytes, is_tcp: bool) -> bytes | None:
        if is_tcp and how == "hangs":
            time.sleep(1)
        return None if is_tcp and how == "closes" else server.answer(octets, is_tcp)

    server.answering = answering
    assert seconds(lambda: resolver.for_mail().txt(NET)) < FAST.mail + 0.3


def test_servers_of_the_system(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# x\nsearch a.net\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver junk\nnameserver\n")
    assert system_servers(str(path)) == [("192.0.2.53", 53), ("2001:db8::53", 53)]
    assert system_servers(str(tmp_path / "none")) == []
    path.write_bytes(b"\xff\x00" * 100_000)
    assert system_servers(str(path)) == []
