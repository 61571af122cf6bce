import asyncio
import errno
import socket
import time
from ipaddress import IPv4Address, IPv6Address

import pytest
from aiohappyeyeballs import AddrInfoType
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from emailgistics.common.errors import RefusedError
from tests.webhooks.answers import receiver
from tests.webhooks.corpus import MALFORMED, NEVER, NOT_PUBLIC, PUBLIC, WRONG_ENTRIES
from tests.webhooks.posting import resolving_to, unresolvable
from webhooks import guard
from webhooks.lookups import Lookup, system_lookup
from webhooks.transport import Outgoing, Transport

EVERYTHING = [f"{first}.0.0.0/8" for first in range(256)] + [f"{first:x}00::/8" for first in range(256)]


@pytest.fixture(autouse=True)
def nothing_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []


def reason(ip: str, port: int = 443) -> str | None:
    try:
        guard.judge(ip, port)
    except guard.ForbiddenAddressError as error:
        return error.reason
    return None


def refusal(url: str, lookup: Lookup | None = None) -> str | None:
    try:
        guard.check_url(url, lookup=lookup)
    except guard.RefusedUrlError as error:
        return error.message
    return None


def test_a_refusal_names_its_code_and_field() -> None:
    with pytest.raises(RefusedError) as caught:
        guard.check_url("http://127.0.0.1/")
    assert (caught.value.code, caught.value.field) == ("url_refused", "url")


# --- addresses


@pytest.mark.parametrize("ip", PUBLIC)
def test_a_public_address_may_be_dialled(ip: str) -> None:
    assert reason(ip) is None


@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_refused_until_an_operator_lists_it(ip: str, settings: Settings) -> None:
    assert reason(ip) is not None
    settings.WEBHOOK_ALLOW_NETWORKS = EVERYTHING
    assert reason(ip) is None


@pytest.mark.parametrize("ip", [*NEVER, "", "1.1.1.1 "])
def test_link_local_metadata_multicast_unspecified_and_no_addresses_are_refused_even_when_listed(
    ip: str, settings: Settings
) -> None:
    assert reason(ip) is not None
    settings.WEBHOOK_ALLOW_NETWORKS = EVERYTHING
    assert reason(ip) is not None


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_what_python_knows_to_be_private_is_never_public_here(address: IPv4Address | IPv6Address) -> None:
    translated = isinstance(address, IPv6Address) and (address in guard.MAPPED or address in guard.NAT64)
    if not translated and (not address.is_global or address.is_multicast or address.is_reserved):
        assert reason(str(address)) is not None


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_its_mapped_and_nat64_forms(address: IPv4Address) -> None:
    assert reason(f"::ffff:{address}") == reason(f"64:ff9b::{address}") == reason(str(address))


def test_an_entry_with_a_port_opens_that_port_only(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32:8025", "[fd00::/8]:8080"]
    assert reason("127.0.0.1", 8025) is None
    assert reason("::ffff:127.0.0.1", 8025) is None
    assert reason("fd00::1", 8080) is None
    assert None not in [
        reason("127.0.0.1", 6379),
        reason("127.0.0.2", 8025),
        reason("::1", 8025),
        reason("fd00::1", 8025),
    ]


def test_the_allowance_is_read_at_every_call(settings: Settings) -> None:
    seen = []
    for entries in ([], ["10.0.0.0/8"], ["192.168.0.0/16"], []):
        settings.WEBHOOK_ALLOW_NETWORKS = entries
        seen.append(reason("10.0.0.1"))
    assert seen == ["a private address", None, "a private address", "a private address"]


@pytest.mark.parametrize("ip", ["127.0.0.1", "1.1.1.1", "::ffff:127.0.0.1"])
def test_plain_http_is_for_listed_networks_only(ip: str, settings: Settings) -> None:
    with pytest.raises(guard.ForbiddenAddressError):
        guard.judge_plain(ip, 80)
    assert not guard.is_listed(ip, 80)
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32", "1.1.1.1/32:80"]
    guard.judge_plain(ip, 80)
    assert guard.is_listed(ip, 80)


# --- the variable


@pytest.mark.parametrize(
    ("entry", "network", "port"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", None),
        (" 127.0.0.1/32:8025 ", "127.0.0.1/32", 8025),
        ("127.0.0.1", "127.0.0.1/32", None),
        ("127.0.0.1:1", "127.0.0.1/32", 1),
        ("fd00::/8", "fd00::/8", None),
        ("::1", "::1/128", None),
        ("[fd00::/8]", "fd00::/8", None),
        ("[fd00::/8]:65535", "fd00::/8", 65535),
    ],
)
def test_an_entry_is_a_network_and_perhaps_a_port(entry: str, network: str, port: int | None) -> None:
    (allowed,) = guard.parse_allowed((entry, ""))
    assert (str(allowed.network), allowed.port) == (network, port)


@pytest.mark.parametrize(
    "entry",
    WRONG_ENTRIES,
)
def test_a_wrong_entry_stops_everything_and_names_the_variable(entry: str, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32", entry]
    with pytest.raises(ImproperlyConfigured, match="WEBHOOK_ALLOW_NETWORKS: "):
        guard.judge("1.1.1.1", 443) if reason("127.0.0.9") else None


# --- saving a URL


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a", "HTTPS://Hooks.Example.COM:8443/a?b=c%20d&e=%2F", "https://hooks.example.com.", "https://bücher.example/ä",
        "https://xn--bcher-kva.example/", "https://a_b.example/x;y=1", "https://hooks.example.com:65535/?q", "https://intranet/hook",
        "https://hooks.example.com/" + "a" * 1900,
    ],
)  # fmt: skip
def test_an_https_url_to_a_public_address_is_accepted(url: str) -> None:
    assert refusal(url, resolving_to("1.1.1.1", "2606:4700::1111")) is None


@pytest.mark.parametrize("url", ["https://1.1.1.1/", "https://[2606:4700::1111]:8443/", "https://[::ffff:1.1.1.1]/"])
def test_a_public_literal_is_accepted_and_nobody_is_asked(url: str) -> None:
    def asked(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    assert refusal(url, asked) is None


@pytest.mark.parametrize(
    "url",
    [
        *MALFORMED,
        "", " https://example.com/", "https://example.com/ ", "https://exam ple.com/", "https://example.com/a b",
        "https://exa\tmple.com/", "https://example.com/\n", "https://example.com/\r\nx: y",
        "https://example.com/\x00", "https://example.com/\x7f", "https://example.com/\u2028",
        "https://example.com/\xa0", "https://example.com/\ud800", "https://example.com/a\\b",
        "https://a\\@127.0.0.1/", "https:\\\\example.com\\",
        "https://" + "a" * 64 + ".example/", "https://" + "a." * 130 + "example/", "https://example.com/" + "a" * 2000,
    ],
)  # fmt: skip
def test_a_url_that_can_be_read_in_two_ways_or_is_none_is_refused(url: str, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.0/8"]  # whatever is allowed: it is the spelling
    assert refusal(url, resolving_to("1.1.1.1")) is not None


def test_a_password_in_a_url_is_not_repeated() -> None:
    assert "secret" not in str(refusal("https://user:secret@example.com/"))


@pytest.mark.parametrize(
    ("url", "meaning", "entry"),
    [
        ("http://127.0.0.1:6379", "127.0.0.1 is a loopback", "127.0.0.1/32:6379"),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1 is a loopback", "127.0.0.1/32:80"),
        ("https://[fd00::1]/", "fd00::1 is a private", "[fd00::1/128]:443"),
        ("https://１２７。0.0.1/", "127.0.0.1 is a loopback", "127.0.0.1/32:443"),
        ("https://①0.1.1.1/", "10.1.1.1 is a private", "10.1.1.1/32:443"),
    ],
)
def test_the_refusal_of_a_literal_says_what_to_do(url: str, meaning: str, entry: str, settings: Settings) -> None:
    assert refusal(url) == f"{meaning} address; an operator can allow it with WEBHOOK_ALLOW_NETWORKS={entry}."
    settings.WEBHOOK_ALLOW_NETWORKS = [entry]
    assert refusal(url) is None


def test_the_refusal_of_what_cannot_be_allowed_promises_nothing() -> None:
    assert refusal("http://169.254.169.254/") == "169.254.169.254 is a link-local address, which is never called."


def test_http_is_refused_for_its_scheme_at_a_public_address() -> None:
    https_only = "The URL has to begin with https://; http is only for networks listed in WEBHOOK_ALLOW_NETWORKS."
    assert refusal("http://1.1.1.1/") == https_only


@pytest.mark.parametrize("ips", [["10.1.2.3"], ["1.1.1.1", "10.1.2.3"], ["1.1.1.1", "fe80::1%2"], ["169.254.169.254"]])
def test_a_name_with_one_private_address_is_refused_without_telling_it(ips: list[str]) -> None:
    said = str(refusal("https://inside.example/", resolving_to(*ips)))
    assert said.startswith("inside.example resolves to a private address; an operator can allow private networks")
    assert not any(ip in said for ip in ips)


def test_the_systems_resolver_is_asked_by_default() -> None:
    assert "localhost resolves to a private address" in str(refusal("https://localhost/"))


def test_a_name_that_does_not_resolve_is_accepted_with_https_only() -> None:
    assert refusal("https://soon.example/", unresolvable) is None
    assert "has to begin with https://" in str(refusal("http://soon.example/", unresolvable))


def test_http_to_a_name_needs_all_its_addresses_listed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["10.0.0.0/8"]
    assert refusal("http://inside.example/", resolving_to("10.0.0.1", "10.0.0.2")) is None
    assert "has to begin with https://" in str(refusal("http://inside.example/", resolving_to("10.0.0.1", "1.1.1.1")))


def test_a_name_server_that_does_not_answer_holds_a_save_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "DNS_TIMEOUT_S", 0.2)

    def slow(host: str, port: int) -> list[str]:
        time.sleep(3)
        return ["127.0.0.1"]

    began = time.monotonic()
    assert refusal("https://slow.example/", slow) is None
    assert time.monotonic() - began < 2.5


@given(st.text(max_size=40) | st.from_regex(r"https?://[^\s]{0,40}", fullmatch=True))
def test_no_text_makes_the_check_raise_anything_else(text: str) -> None:
    refusal(text, resolving_to("1.1.1.1"))


# --- at the socket: a listener counts who comes


def post(url: str, *, lookup: Lookup = system_lookup) -> str:
    async def once() -> str:
        async with Transport(total_s=5, lookup=lookup) as transport:
            return (await transport.post(Outgoing(url=url, headers={}, body=b"{}"))).error

    return asyncio.run(once())


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.1:{port}", "forbidden_address"),
        ("https://127.0.0.1:{port}", "forbidden_address"),
        ("http://[::ffff:127.0.0.1]:{port}", "forbidden_address"),
        ("http://[::127.0.0.1]:{port}", "forbidden_address"),
        ("http://[64:ff9b::7f00:1]:{port}", "forbidden_address"),
        ("http://0.0.0.0:{port}", "forbidden_address"),
        ("http://[::]:{port}", "forbidden_address"),
        ("http://localhost:{port}", "forbidden_address"),
        ("http://LOCALHOST:{port}", "forbidden_address"),
        ("http://１２７.0.0.1:{port}", "forbidden_address"),
        ("http://2130706433:{port}", "invalid_url"),
        ("http://0x7f000001:{port}", "invalid_url"),
        ("http://0x7f.1:{port}", "invalid_url"),
        ("http://0177.0.0.1:{port}", "invalid_url"),
        ("http://127.1:{port}", "invalid_url"),
        ("http://127.0.0.1.:{port}", "invalid_url"),
        ("http://user:secret@127.0.0.1:{port}", "invalid_url"),
        ("http://a\\@127.0.0.1:{port}", "invalid_url"),
    ],
)
def test_nobody_comes_to_a_listener_that_is_not_allowed(url: str, error: str, settings: Settings) -> None:
    with receiver() as there:
        assert post(url.format(port=there.port)) == error
        assert there.connections == 0
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        assert post(there.url) == ""  # and it would have been there
        assert there.connections == 1


def test_a_name_that_is_public_when_saved_and_private_when_dialled_is_refused() -> None:
    answers = [["1.1.1.1"], ["127.0.0.1"]]

    def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    with receiver() as there:
        url = f"https://rebinding.example:{there.port}/"
        assert refusal(url, rebinding) is None
        assert post(url, lookup=rebinding) == "forbidden_address"
        assert (answers, there.connections) == ([], 0)


@pytest.mark.parametrize("host", ["1.1.1.1", "public.example"])
def test_plain_http_is_not_sent_to_a_public_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged_only(info: AddrInfoType, *, judged_by: guard.Judge) -> socket.socket:
        judged_by(str(info[4][0]), 9)
        raise OSError(errno.ENETUNREACH, "would have been dialled")

    monkeypatch.setattr(guard, "guarded_socket", judged_only)
    assert post(f"http://{host}:9/", lookup=resolving_to("1.1.1.1")) == "forbidden_address"


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with receiver() as there:
        both = resolving_to("127.0.0.1", "1.1.1.1")
        assert post(f"https://both.example:{there.port}/", lookup=both) == "forbidden_address"
        assert there.connections == 0


def test_the_socket_is_judged_though_the_list_of_addresses_was_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a name had led elsewhere when it was judged."""
    monkeypatch.setattr(guard, "judged_addresses", lambda ips, port, **_: [guard._addr_info(ip, port) for ip in ips])
    with receiver() as there:
        url = f"http://rebinding.example:{there.port}/"
        assert post(url, lookup=resolving_to("127.0.0.1")) == "forbidden_address"
        assert there.connections == 0
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        assert post(url, lookup=resolving_to("127.0.0.1")) == ""


def test_plain_http_to_a_public_address_makes_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[object] = []
    monkeypatch.setattr(socket, "socket", lambda *args, **kwargs: dialled.append(kwargs))
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("1.1.1.1", 80))
    with pytest.raises(guard.ForbiddenAddressError, match="only https"):
        guard.guarded_socket(info, judged_by=guard.judge_plain)
    assert dialled == []
    guard.guarded_socket(info)
    assert len(dialled) == 1


def test_a_scoped_socket_address_is_link_local() -> None:
    with pytest.raises(guard.ForbiddenAddressError, match="link-local"):
        guard.guarded_socket((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("2606:4700::1111", 443, 0, 3)))


def test_what_may_be_dialled_keeps_its_order_and_has_a_family_each() -> None:
    infos = guard.judged_addresses(["2606:4700::1111", "1.1.1.1"], 443)
    assert [(info[0], info[4]) for info in infos] == [
        (socket.AF_INET6, ("2606:4700::1111", 443, 0, 0)),
        (socket.AF_INET, ("1.1.1.1", 443)),
    ]


@pytest.mark.parametrize("lookup", [resolving_to(), unresolvable])
def test_a_name_without_addresses_is_told_as_that(lookup: Lookup) -> None:
    assert post("https://hooks.example.com/", lookup=lookup) == "dns"
