import asyncio
import gzip
import time
from datetime import UTC, datetime

import pytest
from pytest_django.fixtures import Settings

from tests.webhooks.answers import (
    Mode,
    answer,
    in_turn,
    raw,
    receiver,
    reset,
)
from tests.webhooks.posting import BODY, outgoing, post, post_twice, with_transport
from webhooks.transport import MAX_DETAIL, MAX_EXCERPT_BYTES, OWN_FAULTS, Answer, Outgoing, Transport

KIB = 1024


@pytest.fixture(autouse=True)
def loopback_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


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
        f"update the webhook's URL; it leads to http://127.0.0.1:{target.port}"
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
    ("size", "connections"), [(0, 1), (MAX_EXCERPT_BYTES, 1), (10 * MAX_EXCERPT_BYTES, 2), (10**6, 2)]
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


# --- who may begin


@pytest.mark.parametrize("is_late_at", [1, 2])
def test_what_may_not_begin_any_more_is_not_sent_and_is_a_fault_of_ours(is_late_at: int) -> None:
    """Asked at the last moment, on a new connection as well as when a kept one turns out dead."""
    asked: list[int] = []

    def may_begin() -> bool:
        asked.append(len(asked))
        return len(asked) < is_late_at

    async def work(transport: Transport) -> Answer:
        if is_late_at > 1:
            await transport.post(outgoing(there.url))
            await asyncio.sleep(0.05)
        told = await transport.post(outgoing(there.url), may_begin=may_begin)
        await asyncio.sleep(0.05)  # the receiver sees the last connection come and go
        return told

    with receiver(in_turn(answer(), reset())) as there:
        told = with_transport(work)
        assert len(there.received) == 2 * (is_late_at - 1)
    assert (told.status, told.error, len(asked)) == (None, "late", is_late_at)
    assert told.error in OWN_FAULTS


def test_name_servers_that_stall_for_others_are_no_fault_of_a_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.lookups.MAX_STALLED", 0)
    told = post("https://hooks.example.com/")
    assert (told.error, told.detail) == ("egress", "A fault of ours: too many name servers do not answer.")
