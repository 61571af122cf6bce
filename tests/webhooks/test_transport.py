import asyncio
import gzip
import ssl
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from tests.webhooks.answers import (
    Mode,
    Receiver,
    answer,
    closed_port,
    drip,
    endless,
    in_turn,
    never,
    raw,
    receiver,
    reset,
    silent_port,
)
from webhooks import lookups
from webhooks.transport import MAX_DETAIL, MAX_EXCERPT_BYTES, MAX_HEADERS_BYTES, Answer, Outgoing, Transport

T = TypeVar("T")

BODY = b'{"type":"email.received"}'
DEADLINE_S = 0.6
AT_ONCE_S = 0.5  # well within the deadline, on a busy machine
KIB = 1024


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


def outgoing(url: str, **headers: str) -> Outgoing:
    return Outgoing(url=url, headers={"content-type": "application/json", **headers}, body=BODY)


def with_transport(
    work: Callable[[Transport], Coroutine[None, None, T]], *, total_s: float = 10, connect_s: float = 5
) -> T:
    async def run() -> T:
        async with Transport(total_s=total_s, connect_s=connect_s) as transport:
            return await work(transport)

    return asyncio.run(run())


def post(url: str, *, total_s: float = 10, connect_s: float = 5) -> Answer:
    return with_transport(lambda transport: transport.post(outgoing(url)), total_s=total_s, connect_s=connect_s)


def post_twice(url: str) -> list[Answer]:
    async def twice(transport: Transport) -> list[Answer]:
        answers = []
        for _ in range(2):
            answers.append(await transport.post(outgoing(url)))
            await asyncio.sleep(0.05)  # the loop has seen what became of the connection
        return answers

    return with_transport(twice)


# --- what is sent, what is known


def test_the_request_is_these_headers_this_target_and_these_octets() -> None:
    with receiver() as there:
        with_transport(
            lambda transport: transport.post(
                Outgoing(
                    url=there.url + "/a%2Fb;c?x=1+2%20%2B&y",
                    headers={"webhook-id": "evt_1", "user-agent": "Emailgistics/0", "accept-encoding": "identity"},
                    body=BODY,
                )
            )
        )
        (request,) = there.received
    assert (request.method, request.target, request.body) == ("POST", "/hook/a%2Fb;c?x=1+2%20%2B&y", BODY)
    assert request.headers == {
        "host": f"127.0.0.1:{there.port}",
        "webhook-id": "evt_1",
        "user-agent": "Emailgistics/0",
        "accept-encoding": "identity",
        "content-length": str(len(BODY)),
    }


def test_an_answer_is_told_whole() -> None:
    before = datetime.now(UTC)
    with receiver(answer(503, b"later", {"Retry-After": "120", "X-Two": "b"})) as there:
        told = post(there.url)
    assert (told.status, told.error, told.detail) == (503, "", "The receiver answered 503.")
    assert (told.retry_after, told.peer_ip, told.response_excerpt) == ("120", "127.0.0.1", b"later")
    assert told.response_headers == b"content-length: 5\r\nRetry-After: 120\r\nX-Two: b"
    assert before <= told.started_at <= datetime.now(UTC)
    assert told.dns_ms is None  # a literal
    assert told.connect_ms is not None
    assert told.first_byte_ms is not None
    assert told.total_ms is not None
    assert 0 <= told.connect_ms <= told.first_byte_ms <= told.total_ms <= 5000


def test_times_are_those_of_each_phase(settings: Settings) -> None:
    def lookup(host: str, port: int) -> list[str]:
        time.sleep(0.1)
        return ["127.0.0.1"]

    async def slow_answer(request: object, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"ok")

    async def run(port: int) -> list[Answer]:
        async with Transport(lookup=lookup) as transport:
            return [await transport.post(outgoing(f"http://hooks.example.com:{port}/")) for _ in range(2)]

    with receiver(slow_answer) as there:
        first, second = asyncio.run(run(there.port))
    assert first.dns_ms is not None
    assert first.connect_ms is not None
    assert first.first_byte_ms is not None
    assert first.total_ms is not None
    assert 95 <= first.dns_ms <= 300
    assert first.connect_ms < 95  # without the name's share
    assert 295 <= first.first_byte_ms <= first.total_ms - 95
    # on the same connection
    assert (second.dns_ms, second.connect_ms, second.peer_ip, there.connections) == (None, None, "127.0.0.1", 1)


def test_a_success_has_no_remark_also_without_a_body() -> None:
    with receiver(answer(204, b"")) as there:
        told = post(there.url)
    assert (told.status, told.error, told.detail, told.peer_ip) == (204, "", "", "127.0.0.1")


def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20 * KIB
    with receiver() as there:
        told = with_transport(lambda transport: transport.post(Outgoing(url=there.url, headers={}, body=body)))
        assert there.received[0].body == body
    assert told.status == 200


def test_an_answer_before_the_body_was_read_counts_and_ends_the_connection() -> None:
    body = bytes(30 * KIB * KIB)

    async def twice(transport: Transport) -> list[Answer]:
        return [await transport.post(Outgoing(url=there.url, headers={}, body=body)) for _ in range(2)]

    with receiver(raw(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), reads_bodies=False) as there:
        assert [told.status for told in with_transport(twice)] == [413, 413]
        assert there.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_tells_where_to(status: int) -> None:
    with receiver() as target:
        location = f"http://user:secret@127.0.0.1:{target.port}/new?token=secret#f"
        with receiver(answer(status, b"", {"Location": location})) as there:
            told = post(there.url)
        assert (target.connections, len(there.received)) == (0, 1)
    assert (told.status, told.error) == (status, "")
    assert told.detail == (
        f"The receiver answered {status}. Redirects are not followed: "
        f"update the webhook's URL to http://127.0.0.1:{target.port}/new"
    )


@pytest.mark.parametrize("location", ["/new", "http://[", "\x1b[31m" + "x" * 5000, "//", "é"])
def test_any_location_makes_one_short_line(location: str) -> None:
    with receiver(
        raw(b"HTTP/1.1 301 Moved\r\nContent-Length: 0\r\nLocation: " + location.encode() + b"\r\n\r\n")
    ) as there:
        told = post(there.url)
    assert told.detail.isprintable()
    assert len(told.detail) <= MAX_DETAIL


def test_cookies_do_not_come_back() -> None:
    with receiver(answer(200, b"ok", {"Set-Cookie": "a=b; Path=/"})) as there:
        post_twice(there.url)
        assert ["cookie" in request.headers for request in there.received] == [False, False]


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as there:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert post(there.url).status == 200
        assert (proxy.connections, there.connections) == (0, 1)


def test_a_compressed_answer_is_kept_as_it_came() -> None:
    bomb = gzip.compress(bytes(10 * KIB * KIB))
    assert len(bomb) < MAX_EXCERPT_BYTES
    with receiver(answer(200, bomb, {"Content-Encoding": "gzip"})) as there:
        told = post(there.url)
    assert (told.status, told.response_excerpt) == (200, bomb)


# --- connections


@pytest.mark.parametrize(
    ("size", "connections"), [(0, 1), (MAX_EXCERPT_BYTES, 1), (MAX_EXCERPT_BYTES + 1, 2), (10**6, 2)]
)
def test_a_short_answer_leaves_its_connection_to_the_next_and_a_long_one_closes_it(size: int, connections: int) -> None:
    with receiver(answer(200, b"x" * size)) as there:
        answers = post_twice(there.url)
        assert there.connections == connections
    assert [told.status for told in answers] == [200, 200]
    assert [len(told.response_excerpt) for told in answers] == [min(size, MAX_EXCERPT_BYTES)] * 2


@pytest.mark.parametrize("dead", [raw(b"", close=True), reset()])
def test_a_kept_connection_that_turns_out_dead_is_replaced_once(dead: Mode) -> None:
    with receiver(in_turn(answer(), dead, answer(202))) as there:
        first, second = post_twice(there.url)
        assert [request.connection for request in there.received] == [1, 1, 2]
    assert (first.status, second.status, second.error) == (200, 202, "")
    assert second.connect_ms is not None


def test_it_is_replaced_once_only() -> None:
    with receiver(in_turn(answer(), raw(b"", close=True))) as there:
        assert post_twice(there.url)[1].error == "closed"
        assert [request.connection for request in there.received] == [1, 1, 2]


@pytest.mark.parametrize("dead", [raw(b"", close=True), reset()])
def test_a_new_connection_that_is_closed_without_an_answer_is_a_failure(dead: Mode) -> None:
    with receiver(in_turn(dead, answer())) as there:
        told = post(there.url)
        assert len(there.received) == 1
    assert (told.status, told.error, told.peer_ip) == (None, "closed", "127.0.0.1")
    assert told.detail == "The receiver closed the connection without an answer."


def test_an_answer_that_began_is_not_asked_for_again() -> None:
    with receiver(in_turn(answer(), raw(b"HTTP/1.1 200 OK\r\nContent-Le", close=True), answer())) as there:
        assert post_twice(there.url)[1].error in ("closed", "protocol")
        assert len(there.received) == 2


# --- receivers that are slow, broken or hostile

BEGUN = b"HTTP/1.1 200 OK\r\n"
NO_ANSWER_IN_TIME = {
    "says nothing": never(),
    "drips a header": drip(BEGUN + b"X-A: ", b"a"),
    "drips headers": drip(BEGUN, b"X-A: b\r\n"),
    "drips the status line": drip(b"", b"HTTP/1.1"),
    "continues for ever": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}


@pytest.mark.parametrize("mode", NO_ANSWER_IN_TIME.values(), ids=NO_ANSWER_IN_TIME)
def test_no_answer_within_the_deadline_is_a_timeout_at_the_deadline(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=DEADLINE_S)
    assert (told.status, told.error, told.detail) == (None, "timeout", f"No answer within {DEADLINE_S} s.")
    assert told.peer_ip == "127.0.0.1"
    assert told.total_ms is not None
    assert DEADLINE_S * 1000 - 5 <= told.total_ms <= (DEADLINE_S + AT_ONCE_S) * 1000


WITHOUT_LENGTH = BEGUN + b"\r\n"
ENDS_BY_US = {
    "a body without end": (endless(WITHOUT_LENGTH, b"x" * 100_000), b"x" * MAX_EXCERPT_BYTES),
    "chunks without end": (
        endless(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b"y" * 10_000 + b"\r\n"),
        b"y" * MAX_EXCERPT_BYTES,
    ),
    "tiny chunks without end": (
        endless(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n" * 1000),
        b"z" * MAX_EXCERPT_BYTES,
    ),
}


@pytest.mark.parametrize(("mode", "excerpt"), ENDS_BY_US.values(), ids=ENDS_BY_US)
def test_an_endless_body_is_cut_and_its_status_counts(mode: Mode, excerpt: bytes) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error, told.response_excerpt) == (200, "", excerpt)
    assert told.total_ms is not None
    assert told.total_ms < 4000


BROKEN_OFF = {
    "a drip": drip(BEGUN + b"Content-Length: 1000\r\n\r\n", b"x"),
    "less than promised": raw(BEGUN + b"Content-Length: 1000\r\n\r\nx", close=True),
    "a reset": reset(BEGUN + b"Content-Length: 1000\r\n\r\nx"),
    "a broken chunk": raw(BEGUN + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\nZZ\r\n"),
}


@pytest.mark.parametrize("mode", BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_a_status_counts_though_the_body_broke_off(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=DEADLINE_S)
    assert (told.status, told.error) == (200, "")
    assert told.detail.startswith("The answer's body broke off")
    assert told.total_ms is not None
    assert told.total_ms <= (DEADLINE_S + AT_ONCE_S) * 1000


NOT_HTTP = {
    "another protocol": raw(b"220 mail.example.com ESMTP\r\n", close=True),
    "octets": raw(bytes(range(256)), close=True),
    "a bad length": raw(BEGUN + b"Content-Length: -1\r\n\r\n", close=True),
    "two lengths": raw(BEGUN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", close=True),
    "a header line without end": endless(BEGUN + b"X-A: ", b"a" * 10_000),
    "a header name without end": endless(BEGUN, b"a" * 10_000),
    "headers without end": endless(BEGUN, b"X-A: b\r\n" * 1000),
    "a reason without end": endless(b"HTTP/1.1 200 ", b"a" * 10_000),
    "octets without end": endless(b"", b"a" * 10_000),
}


@pytest.mark.parametrize("mode", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_not_http_is_a_protocol_error_at_once(mode: Mode) -> None:
    with receiver(mode) as there:
        told = post(there.url, total_s=5)
    assert (told.status, told.error) == (None, "protocol")
    assert told.detail.startswith("What the receiver answered is not HTTP")
    assert told.detail.isprintable()
    assert told.total_ms is not None
    assert told.total_ms < 4000


def test_kept_headers_are_capped() -> None:
    many = {f"X-{number}": "v" * 1000 for number in range(20)}
    with receiver(answer(200, b"ok", many)) as there:
        told = post(there.url)
    assert (told.status, len(told.response_headers)) == (200, MAX_HEADERS_BYTES)


def test_switching_protocols_is_no_success_and_ends_the_connection() -> None:
    with receiver(raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")) as there:
        answers = [post(there.url, total_s=DEADLINE_S), post(there.url, total_s=DEADLINE_S)]
        assert there.connections == 2
    assert 200 not in [told.status for told in answers]


def test_one_that_hangs_does_not_hold_the_others() -> None:
    async def both(transport: Transport) -> tuple[float, Answer]:
        hanging = asyncio.create_task(transport.post(outgoing(slow.url)))
        began = time.monotonic()
        for _ in range(10):
            assert (await transport.post(outgoing(quick.url))).status == 200
        return time.monotonic() - began, await hanging

    with receiver(never()) as slow, receiver() as quick:
        took_s, told = with_transport(both, total_s=2)
    assert took_s < 1.5
    assert told.error == "timeout"


def test_nobody_listens() -> None:
    with closed_port() as port:
        told = post(f"http://127.0.0.1:{port}/")
    assert (told.status, told.error, told.detail) == (
        None,
        "connect",
        "No connection to 127.0.0.1: Connection refused.",
    )
    assert told.total_ms is not None


def test_a_name_that_does_not_resolve(settings: Settings) -> None:
    def lookup(host: str, port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async def run() -> Answer:
        async with Transport(lookup=lookup) as transport:
            return await transport.post(outgoing("https://gone.example/"))

    told = asyncio.run(run())
    assert (told.error, told.detail) == ("dns", "gone.example could not be resolved: Name or service not known.")


def test_name_servers_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "DNS_TIMEOUT_S", 0.2)

    def lookup(host: str, port: int) -> list[str]:
        time.sleep(1)
        return ["127.0.0.1"]

    async def run() -> Answer:
        async with Transport(lookup=lookup) as transport:
            return await transport.post(outgoing("https://slow.example/"))

    told = asyncio.run(run())
    assert (told.error, told.peer_ip) == ("dns", None)
    assert "did not answer in time" in told.detail
    assert told.total_ms is not None
    assert told.total_ms < 900


def test_a_forbidden_address_is_told_without_the_address(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = []

    async def run() -> Answer:
        async with Transport(lookup=lambda host, port: ["10.1.2.3"]) as transport:
            return await transport.post(outgoing("https://inside.example/"))

    told = asyncio.run(run())
    assert told.error == "forbidden_address"
    assert "WEBHOOK_ALLOW_NETWORKS" in told.detail
    assert "10.1.2.3" not in repr(told)


@pytest.mark.parametrize("name", ["x\r\ny", "x y", ""])
@pytest.mark.parametrize("value", ["a\r\nb: c", "a\x00"])
def test_headers_that_would_be_two_are_not_sent(name: str, value: str) -> None:
    with receiver() as there:
        for headers in ({name: "a"}, {"x-a": value}):
            told = with_transport(lambda transport, sent=headers: transport.post(Outgoing(there.url, sent, b"")))
            assert (told.status, told.error) == (None, "internal")
        assert there.received == []


def test_a_canceled_request_is_canceled() -> None:
    async def cancel(transport: Transport) -> None:
        sending = asyncio.create_task(transport.post(outgoing(there.url)))
        await asyncio.sleep(0.1)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    with receiver(never()) as there:
        with_transport(cancel)


def test_an_answer_of_our_own_fault_is_one_short_line() -> None:
    told = Answer.of_fault("internal", "a\nb" * 200)
    assert (told.status, told.error) == (None, "internal")
    assert told.detail.isprintable()
    assert len(told.detail) == MAX_DETAIL


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and hooks.example.com that is its own authority: certificate and key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    names = x509.SubjectAlternativeName([x509.DNSName("hooks.example.com"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(authority: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority)
    return context


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: ssl.SSLContext) -> None:
    with receiver(tls=tls) as there:
        told = post(there.url)
        assert there.received == []
    assert (told.status, told.error) == (None, "tls")
    assert told.detail == "The certificate of 127.0.0.1 is not valid: self-signed certificate."


def test_an_authority_in_the_bundle_vouches(tls: ssl.SSLContext, authority: Path, settings: Settings) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)
    with receiver(tls=tls) as there:
        answers = post_twice(there.url)
        assert there.connections == 1
    assert [(told.status, told.error, told.peer_ip) for told in answers] == [(200, "", "127.0.0.1")] * 2


def test_a_certificate_of_another_name_is_refused(tls: ssl.SSLContext, authority: Path, settings: Settings) -> None:
    settings.WEBHOOK_CA_BUNDLE = str(authority)

    async def to(name: str, there: Receiver) -> Answer:
        async with Transport(lookup=lambda host, port: ["127.0.0.1"]) as transport:
            return await transport.post(outgoing(f"https://{name}:{there.port}/"))

    with receiver(tls=tls) as there:
        assert asyncio.run(to("hooks.example.com", there)).status == 200
        assert asyncio.run(to("hooks.example.com.", there)).status == 200
        other = asyncio.run(to("other.example.com", there))
    assert other.error == "tls"
    assert "Hostname mismatch" in other.detail


def test_a_listener_that_speaks_no_tls() -> None:
    with receiver() as there:
        assert post(there.url.replace("http:", "https:"), total_s=5).error in ("tls", "connect")
        assert there.received == []


def test_a_handshake_that_never_ends_is_a_timeout() -> None:
    with silent_port() as port:
        told = post(f"https://127.0.0.1:{port}/", connect_s=0.3)
    assert (told.status, told.error, told.detail) == (None, "timeout", "No connection within 0.3 s.")


@pytest.mark.parametrize("content", [None, "not a certificate"])
def test_a_bundle_that_is_none_stops_everything_and_names_the_variable(
    content: str | None, tmp_path: Path, settings: Settings
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    settings.WEBHOOK_CA_BUNDLE = str(bundle)
    with pytest.raises(ImproperlyConfigured, match="WEBHOOK_CA_BUNDLE"):
        Transport()
