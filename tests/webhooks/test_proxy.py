import asyncio
import base64
import ssl
import time
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from tests.webhooks.answers import answer, closed_port, receiver, silent_port
from tests.webhooks.posting import BODY, outgoing, resolving_to, unresolvable
from tests.webhooks.proxying import ESTABLISHED, proxy
from webhooks.lookups import Lookup
from webhooks.transport import OWN_FAULTS, Answer, Transport
from webhooks.tunnel import Proxy, parse_proxy

NAME = "hooks.example.com"
PUBLIC_IP = "93.184.215.14"
PUBLIC = resolving_to(PUBLIC_IP)
URL = f"https://{NAME}/hook"


@pytest.fixture(autouse=True)
def the_receiver_is_vouched_for(settings: Settings, authority: Path) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)


def post(url: str = URL, *, lookup: Lookup = PUBLIC, times: int = 1, connect_s: float = 2) -> list[Answer]:
    async def run() -> list[Answer]:
        async with Transport(total_s=4, connect_s=connect_s, lookup=lookup) as transport:
            return [await transport.post(outgoing(url)) for _ in range(times)]

    return asyncio.run(run())


def test_the_proxy_is_asked_for_the_judged_address_and_the_receiver_for_the_name(
    tls: ssl.SSLContext, settings: Settings
) -> None:
    names: list[str] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    with receiver(answer(202), tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post()
        (request,) = there.received
    assert (told.status, told.error, told.peer_ip) == (202, "", PUBLIC_IP)
    assert between.asked == [[f"CONNECT {PUBLIC_IP}:443 HTTP/1.1", f"Host: {PUBLIC_IP}:443"]]
    assert names == [NAME]
    assert (request.headers["host"], request.target, request.body) == (NAME, "/hook", BODY)
    assert "proxy-authorization" not in request.headers


def test_an_ipv6_address_is_asked_for_in_brackets(tls: ssl.SSLContext, settings: Settings) -> None:
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post(f"https://{NAME}:8443/", lookup=resolving_to("2606:4700::1111"))
        assert there.received[0].headers["host"] == f"{NAME}:8443"
    assert (told.status, told.peer_ip) == (200, "2606:4700::1111")
    assert between.targets == ["CONNECT [2606:4700::1111]:8443 HTTP/1.1"]


def test_a_tunnel_serves_many_requests_and_each_tells_the_receivers_address(
    tls: ssl.SSLContext, settings: Settings
) -> None:
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = between.url
        answers = post(times=3)
    assert [(told.status, told.peer_ip) for told in answers] == [(200, PUBLIC_IP)] * 3
    assert len(between.asked) == 1


def test_the_certificate_is_checked_against_the_name_through_a_proxy_too(
    tls: ssl.SSLContext, settings: Settings
) -> None:
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post("https://other.example.com/")
        assert there.received == []
    assert told.error == "tls"
    assert told.detail.startswith("The certificate of other.example.com is not valid: Hostname mismatch")


def test_user_and_password_go_to_the_proxy_and_nowhere_else(tls: ssl.SSLContext, settings: Settings) -> None:
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = f"http://user:p%40ss@127.0.0.1:{between.port}"
        assert post()[0].status == 200
        assert "proxy-authorization" not in there.received[0].headers
    assert between.asked[0][2:] == [f"Proxy-Authorization: Basic {base64.b64encode(b'user:p@ss').decode()}"]


@pytest.mark.parametrize("ips", [["10.1.2.3"], ["127.0.0.1"], [PUBLIC_IP, "10.1.2.3"], ["169.254.169.254"]])
def test_the_guard_judges_before_the_proxy_is_asked(ips: list[str], settings: Settings) -> None:
    with proxy(reply=ESTABLISHED) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post(lookup=resolving_to(*ips))
        assert between.asked == []
    assert told.error == "forbidden_address"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "10.0.0.1", "169.254.169.254"])
def test_a_forbidden_literal_does_not_come_to_the_proxy(host: str, settings: Settings) -> None:
    with proxy(reply=ESTABLISHED) as between:
        settings.WEBHOOK_PROXY = between.url
        assert post(f"https://{host}/")[0].error == "forbidden_address"
        assert between.asked == []


def test_the_proxys_own_address_is_no_receiver(settings: Settings) -> None:
    with proxy(reply=ESTABLISHED) as between:
        settings.WEBHOOK_PROXY = between.url
        assert post(f"https://127.0.0.1:{between.port}/")[0].error == "forbidden_address"
        assert post(f"http://127.0.0.1:{between.port}/")[0].error == "forbidden_address"
        assert between.asked == []


def test_what_an_operator_listed_is_reached_directly(tls: ssl.SSLContext, settings: Settings) -> None:
    with receiver() as plain, receiver(tls=tls) as private, proxy(reply=ESTABLISHED) as between:
        settings.WEBHOOK_PROXY = between.url
        settings.WEBHOOK_ALLOW_NETWORKS = [plain.network, private.network]
        assert [told.status for told in (*post(plain.url), *post(private.url))] == [200, 200]
        assert between.asked == []


def test_plain_http_to_a_public_address_is_not_sent_by_a_proxy_either(settings: Settings) -> None:
    with proxy(reply=ESTABLISHED) as between:
        settings.WEBHOOK_PROXY = between.url
        assert post("http://hooks.example.com/")[0].error == "forbidden_address"
        assert between.asked == []


REFUSALS = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n": "the proxy refused with 407.",
    b"HTTP/1.0 403 Forbidden\r\n\r\n": "the proxy refused with 403.",
    b"HTTP/1.1 500 Oops\r\n\r\n": "the proxy refused with 500.",
    b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n": "the proxy refused with 302.",
    b"220 mail.example.com ESMTP\r\n\r\n": "what answers there is no proxy.",
    b"HTTP/1.1 200 OK\r\nX-A: b": "what answers there is no proxy.",
    b"HTTP/1.1 200 OK\r\n\r\nwelcome": "the proxy sent more than its answer.",
    b"x" * 100_000: "what answers there is no proxy.",
}


@pytest.mark.parametrize(("reply", "detail"), REFUSALS.items())
def test_what_the_proxy_does_wrong_is_our_own_fault(reply: bytes, detail: str, settings: Settings) -> None:
    with proxy(reply=reply) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post()
        assert between.targets == [f"CONNECT {PUBLIC_IP}:443 HTTP/1.1"]
    assert (told.status, told.error, told.detail) == (None, "proxy", f"WEBHOOK_PROXY: {detail}")
    assert told.error in OWN_FAULTS
    assert told.peer_ip is None


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_receiver_that_the_proxy_cannot_reach_is_tried_at_all_its_addresses_and_is_its_own_fault(
    status: int, settings: Settings
) -> None:
    with proxy(reply=f"HTTP/1.1 {status} Away\r\n\r\n".encode()) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post(lookup=resolving_to(PUBLIC_IP, "1.1.1.1"))
    assert between.targets == [f"CONNECT {PUBLIC_IP}:443 HTTP/1.1", "CONNECT 1.1.1.1:443 HTTP/1.1"]
    assert (told.error, told.detail) == ("connect", f"No connection to {NAME}: the proxy answered {status}.")
    assert told.error not in OWN_FAULTS


def test_a_proxy_where_nobody_listens_is_our_own_fault(settings: Settings) -> None:
    with closed_port() as port:
        settings.WEBHOOK_PROXY = f"http://127.0.0.1:{port}"
        (told,) = post()
    assert (told.error, told.detail) == ("proxy", "WEBHOOK_PROXY: no connection to the proxy: Connection refused.")


def test_a_proxy_whose_name_leads_nowhere_is_our_own_fault(settings: Settings) -> None:
    def lookup(host: str, port: int) -> list[str]:
        return [PUBLIC_IP] if host == NAME else unresolvable(host, port)

    settings.WEBHOOK_PROXY = "http://proxy.example:3128"
    (told,) = post(lookup=lookup)
    assert (told.error, told.detail) == (
        "proxy",
        "WEBHOOK_PROXY: no connection to the proxy: Name or service not known.",
    )


def test_a_proxy_may_have_a_name_and_a_private_address(tls: ssl.SSLContext, settings: Settings) -> None:
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        settings.WEBHOOK_PROXY = f"http://proxy.example:{between.port}"
        (told,) = post(lookup=lambda host, _port: [PUBLIC_IP] if host == NAME else ["127.0.0.1"])
    assert told.status == 200


def test_a_proxy_that_asks_on_and_on_ends_in_time(settings: Settings) -> None:
    with proxy(reply=b"") as between:  # the receiver may be what it waits for
        settings.WEBHOOK_PROXY = between.url
        began = time.monotonic()
        (told,) = post(connect_s=0.3)
    assert (told.error, told.detail) == ("timeout", "No connection within 0.3 s.")
    assert time.monotonic() - began < 3


def test_a_handshake_that_stalls_behind_the_proxy_ends_in_time(settings: Settings) -> None:
    with silent_port() as port, proxy(to=port) as between:
        settings.WEBHOOK_PROXY = between.url
        (told,) = post(connect_s=0.3)
    assert (told.error, told.detail) == ("timeout", "No connection within 0.3 s.")


def test_proxies_of_the_environment_and_netrc_count_for_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with receiver(tls=tls) as there, proxy(to=there.port) as between:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, between.url)
            monkeypatch.setenv(name.lower(), between.url)
        monkeypatch.setenv("NO_PROXY", "*")
        settings.WEBHOOK_ALLOW_NETWORKS = [there.network]
        assert post(there.url)[0].status == 200
        assert between.asked == []
        assert not {"authorization", "proxy-authorization"} & there.received[0].headers.keys()
        # nor do they turn off the one that is meant
        settings.WEBHOOK_PROXY = between.url
        assert post()[0].status == 200
        assert len(between.asked) == 1


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", None),
        ("http://proxy.example.com:3128", Proxy("proxy.example.com", 3128)),
        ("http://[::1]:3128/", Proxy("::1", 3128)),
        ("http://u:p%3A@10.0.0.1:80", Proxy("10.0.0.1", 80, "Basic " + base64.b64encode(b"u:p:").decode())),
    ],
)
def test_the_variable_is_a_host_a_port_and_perhaps_a_password(text: str, read: Proxy | None) -> None:
    assert parse_proxy(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "proxy.example.com:3128", "https://proxy.example.com:3128", "socks5://geheim:geheim@proxy.example.com:1080",
        "http://proxy.example.com", "http://:3128", "http://u:geheim@proxy.example.com:x", "http://proxy:0",
        "http://proxy.example.com:3128/path", "http://proxy.example.com:3128?q", "http://[::1:3128", "http://",
    ],
)  # fmt: skip
def test_a_wrong_proxy_stops_the_start_without_its_password(text: str, settings: Settings) -> None:
    with pytest.raises(ImproperlyConfigured, match="WEBHOOK_PROXY: write it like"):
        parse_proxy(text)
    settings.WEBHOOK_PROXY = text
    (found,) = [message for message in run_checks() if message.id == "webhooks.E004"]
    assert "geheim" not in str(found)


def test_the_password_is_not_in_what_is_printed_of_a_proxy() -> None:
    assert "Basic" not in repr(parse_proxy("http://u:geheim@10.0.0.1:80"))
