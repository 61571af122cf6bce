"""The corpus at the socket: whatever a URL, a name server or a receiver says, nobody comes where nobody may come."""

import asyncio
import errno
import selectors
import socket
import ssl
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.webhooks.answers import answer, in_turn, receiver
from tests.webhooks.corpus import ANSWERS, FORBIDDEN_ADDRESSES, LOCATIONS, PUBLIC, SPELLINGS, TRICKS
from tests.webhooks.posting import HERE, outgoing, resolving_to
from tests.webhooks.proxying import proxy
from webhooks import guard
from webhooks.lookups import Lookup
from webhooks.transport import Answer, Transport

LOOPBACK = {"127.0.0.1", "::1"}
REFUSED = ("forbidden_address", "invalid_url")


class Trap:
    """Listens on every address of this machine, and knows whether anybody came."""

    def __init__(self) -> None:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        address = "::" if family == socket.AF_INET6 else "0.0.0.0"  # to see who comes
        self.listener = socket.create_server(
            (address, 0), family=family, backlog=128, dualstack_ipv6=family == socket.AF_INET6
        )
        self.port = self.listener.getsockname()[1]

    def came(self) -> int:
        count = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            while selector.select(0):
                self.listener.accept()[0].close()
                count += 1
        return count


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.listener.close()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that any socket was connected to; those of other machines are not, in a test."""
    seen: list[str] = []
    connect = socket.socket.connect

    def recording(self: socket.socket, address: Any) -> None:
        seen.append(address[0])
        if address[0] not in LOOPBACK:
            raise OSError(errno.EHOSTUNREACH, "not in a test")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recording)
    monkeypatch.setattr(socket.socket, "connect_ex", recording)
    return seen


@pytest.fixture(autouse=True)
def nothing_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []


def post(*urls: str, lookup: Lookup = HERE, total_s: float = 5) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Transport(total_s=total_s, lookup=lookup) as transport:
            return [await transport.post(outgoing(url)) for url in urls]

    return asyncio.run(run())


def is_refused_when_saved(url: str, lookup: Lookup = HERE) -> bool:
    try:
        guard.check_url(url, lookup=lookup)
    except guard.RefusedUrlError:
        return True
    return False


def in_url(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


def came_through(urls: Iterable[str], *, trap: Trap, lookup: Lookup = HERE) -> set[str]:
    """The URLs that may be saved, or that are not refused when something is sent to them."""
    said = [url.replace("PORT", str(trap.port)) for url in urls]
    sent = {url for url, told in zip(said, post(*said, lookup=lookup), strict=True) if told.error not in REFUSED}
    return sent | {url for url in said if not is_refused_when_saved(url, lookup)}


def test_who_may_be_reached_is_seen_to_be(trap: Trap, dialled: list[str], settings: Settings) -> None:
    """Else nothing below would say anything."""
    settings.WEBHOOK_ALLOW_NETWORKS = [f"127.0.0.1/32:{trap.port}", "::1/128"]
    urls = [f"http://127.0.0.1:{trap.port}/", f"http://[::1]:{trap.port}/"]
    assert [told.error for told in post(*urls, total_s=0.3)] == ["timeout", "timeout"]
    assert (dialled, trap.came()) == (["127.0.0.1", "::1"], 2)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_no_spelling_of_an_inner_address_is_dialled(scheme: str, trap: Trap, dialled: list[str]) -> None:
    assert came_through((f"{scheme}://{host}:PORT/" for host in SPELLINGS), trap=trap) == set()
    assert (dialled, trap.came()) == ([], 0)


def test_no_trick_with_a_url_is_dialled(trap: Trap, dialled: list[str]) -> None:
    assert came_through(TRICKS, trap=trap) == set()
    assert (dialled, trap.came()) == ([], 0)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_no_forbidden_literal_is_dialled(scheme: str, trap: Trap, dialled: list[str]) -> None:
    assert came_through((f"{scheme}://{in_url(ip)}:PORT/" for ip in FORBIDDEN_ADDRESSES), trap=trap) == set()
    assert (dialled, trap.came()) == ([], 0)


ANSWERED = {f"{number}.example": ips for number, ips in enumerate(ANSWERS)}


def test_no_name_with_a_forbidden_address_is_dialled_at_any_of_its_addresses(trap: Trap, dialled: list[str]) -> None:
    urls = [f"https://{name}:PORT/" for name in ANSWERED]
    assert came_through(urls, trap=trap, lookup=lambda host, _port: ANSWERED[host]) == set()
    assert (dialled, trap.came()) == ([], 0)


def test_a_name_that_was_public_when_it_was_saved_is_judged_again(trap: Trap, dialled: list[str]) -> None:
    urls = [f"https://{name}:{trap.port}/" for name in ANSWERED]
    assert not any(is_refused_when_saved(url, resolving_to("1.1.1.1")) for url in urls)
    answers = post(*urls, lookup=lambda host, _port: ANSWERED[host])
    assert {told.error for told in answers} == {"forbidden_address"}
    assert (dialled, trap.came()) == ([], 0)


def test_a_proxy_is_asked_for_nothing_that_is_forbidden(settings: Settings) -> None:
    names = ANSWERED
    literals = [f"https://{in_url(ip)}:8443/" for ip in FORBIDDEN_ADDRESSES]
    spellings = [f"https://{host}:8443/" for host in SPELLINGS]
    named = [f"https://{name}:8443/" for name in ANSWERED]
    with proxy(reply=b"HTTP/1.1 503 Away\r\n\r\n") as between:
        settings.WEBHOOK_PROXY = between.url
        answers = post(*literals, *spellings, *named, lookup=lambda host, _port: names.get(host, ["127.0.0.1"]))
        assert {told.error for told in answers} <= set(REFUSED)
        assert between.asked == []
        assert [told.error for told in post("https://public.example/", lookup=lambda *_: ["1.1.1.1"])] == ["connect"]
        assert len(between.asked) == 1  # it would have been asked


def test_a_name_that_changes_between_two_connections_is_judged_each_time(
    trap: Trap, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.dialling.DNS_CACHE_S", 0)
    said = iter([["1.1.1.1"], ["127.0.0.1"], ["1.1.1.1"], ["::1"]])
    answers = post(*[f"https://flux.example:{trap.port}/"] * 4, lookup=lambda _host, _port: next(said))
    assert [told.error for told in answers] == ["connect", "forbidden_address"] * 2
    assert (dialled, trap.came()) == (["1.1.1.1"] * 2, 0)


def test_saving_and_sending_agree_on_what_is_public_too(dialled: list[str]) -> None:
    names = {f"{number}.example": ip for number, ip in enumerate(PUBLIC)}
    urls = [*(f"https://{in_url(ip)}/" for ip in PUBLIC), *(f"https://{name}/" for name in names)]

    def lookup(host: str, _port: int) -> list[str]:
        return [names[host]]

    assert not any(is_refused_when_saved(url, lookup) for url in urls)
    assert {told.error for told in post(*urls, lookup=lookup)} == {"connect"}
    assert list(map(ip_address, dialled)) == list(map(ip_address, PUBLIC)) * 2


STATUSES = [200, 201, 300, 301, 302, 303, 305, 307, 308, 401, 503]
LEADING = {
    "Location": "{}",
    "Content-Location": "{}",
    "Refresh": "0; url={}",
    "Link": "<{}>; rel=preload",
    "Alt-Svc": 'h2="{}"',
    "X-Accel-Redirect": "{}",
}


def test_no_answer_leads_to_another_listener(trap: Trap, dialled: list[str], settings: Settings) -> None:
    locations = [location.replace("PORT", str(trap.port)) for location in LOCATIONS]
    cases = list(product(STATUSES, LEADING.items(), locations))
    modes = [answer(status, b"", {header: value.format(to)}) for status, (header, value), to in cases]
    with receiver(in_turn(*modes)) as there:
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        answers = post(*[there.url] * len(cases))
        assert [told.status for told in answers] == [status for status, *_ in cases]
        assert (there.connections, len(there.received)) == (1, len(cases))
    assert (dialled, trap.came()) == (["127.0.0.1"], 0)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"])
def test_a_proxy_variable_set_by_accident_leads_nowhere(
    name: str, trap: Trap, dialled: list[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    with receiver() as there:
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        answers = post(there.url, "https://1.1.1.1/", "http://127.0.0.1:9/")
    assert [(told.status, told.error) for told in answers] == [
        (200, ""),
        (None, "connect"),
        (None, "forbidden_address"),
    ]
    assert (dialled, trap.came()) == (["127.0.0.1", "1.1.1.1"], 0)


def test_an_open_connection_to_one_name_is_not_used_for_another(settings: Settings) -> None:
    with receiver() as there:
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        names = {"mine.example": ["127.0.0.1"], "yours.example": ["10.0.0.1"], "ours.example": ["127.0.0.1"]}
        urls = [f"http://{name}:{there.port}/" for name in ("mine.example", "yours.example", "ours.example")]
        answers = post(*urls, lookup=lambda host, _port: names[host])
        assert [told.error for told in answers] == ["", "forbidden_address", ""]
        assert [request.connection for request in there.received] == [1, 2]


def test_nor_is_one_with_tls_whose_certificate_is_for_the_first_name_only(
    tls: ssl.SSLContext, authority: Path, settings: Settings
) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)
    with receiver(tls=tls) as there:
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        urls = [f"https://{name}:{there.port}/" for name in ("hooks.example.com", "other.example.com")]
        assert [told.error for told in post(*urls)] == ["", "tls"]
        assert len(there.received) == 1


def test_an_allowance_that_is_taken_away_holds_for_the_next_connection(settings: Settings, dialled: list[str]) -> None:
    with receiver() as there:
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        assert [told.status for told in post(there.url)] == [200]
        settings.WEBHOOK_ALLOW_NETWORKS = []
        assert [told.error for told in post(there.url)] == ["forbidden_address"]
    assert dialled == ["127.0.0.1"]
