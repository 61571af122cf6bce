"""Receivers that are broken or mean: each ends in time, as one failure, and holds nobody up."""

import asyncio
import bz2
import gzip
import subprocess
import zlib
from contextlib import ExitStack
from datetime import timedelta

import pytest
import zstandard

from tests.webhooks.answers import (
    Mode,
    answer,
    by_host,
    closed_port,
    drip,
    endless,
    full_port,
    in_pieces,
    never,
    raw,
    receiver,
    reset,
    silent_port,
    then,
)
from tests.webhooks.conformance.engine import CONTENT, DELIVERED, FAILED, Outcome, deliver, deliver_to_modes, urls_of
from webhooks.transport import MAX_EXCERPT_BYTES, MAX_HEADERS_BYTES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

MIB = 1024 * 1024
TOTAL_S = 1.5
CONNECT_S = 0.7
LATE_S = 2  # on a busy machine
BEGUN = b"HTTP/1.1 200 OK\r\n"
OK = BEGUN + b"Content-Length: 2\r\n\r\nok"
CHUNKED = BEGUN + b"Transfer-Encoding: chunked\r\n\r\n"

TIMEOUT, PROTOCOL, CLOSED = (FAILED, None, "timeout"), (FAILED, None, "protocol"), (FAILED, None, "closed")
SUCCESS = (DELIVERED, 200, "")


def garbage(size: int) -> bytes:
    return bytes((7 * n * n + 3 * n) % 256 for n in range(size))


async def early(request: object, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


NO_ANSWER: dict[str, tuple[Mode, tuple[str, int | None, str]]] = {
    "accepts-and-says-nothing": (never(), TIMEOUT),
    "drips-a-header": (drip(BEGUN + b"X-A: ", b"a"), TIMEOUT),
    "drips-headers": (drip(BEGUN, b"X-A: b\r\n"), TIMEOUT),
    "drips-a-status-line": (drip(b"HTTP/1.1 200 ", b"O"), TIMEOUT),
    "drips-empty-lines": (drip(b"", b"\r\n"), TIMEOUT),
    "says-100-and-no-more": (then(raw(b"HTTP/1.1 100 Continue\r\n\r\n"), never()), TIMEOUT),
    "drips-103": (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), TIMEOUT),
    "switches-protocols": (raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n"), (FAILED, 101, "")),
    "endless-100": (endless(b"", b"HTTP/1.1 100 Continue\r\nX-A: " + b"b" * 8000 + b"\r\n\r\n"), PROTOCOL),
    "endless-headers": (endless(BEGUN, b"X-A: b\r\n" * 1000), PROTOCOL),
    "endless-header-line": (endless(BEGUN + b"X-A: ", b"a" * 10_000), PROTOCOL),
    "endless-reason": (endless(b"HTTP/1.1 200 ", b"a" * 10_000), PROTOCOL),
    "endless-garbage": (endless(b"", garbage(10_000)), PROTOCOL),
    "1000-headers": (raw(BEGUN + b"".join(b"X-%d: v\r\n" % n for n in range(1000)) + b"\r\n"), PROTOCOL),
    "header-line-of-1-mib": (raw(BEGUN + b"X-A: " + b"a" * MIB + b"\r\n\r\n"), PROTOCOL),
    "garbage": (raw(garbage(2000), close=True), PROTOCOL),
    "nul": (raw(bytes(1000), close=True), PROTOCOL),
    "http-09": (raw(b"<html>hello</html>\r\n", close=True), PROTOCOL),
    "http-2": (raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", close=True), PROTOCOL),
    "http-2-frames": (raw(b"\0\0\0\4\0\0\0\0\0", close=True), PROTOCOL),
    "http-30": (raw(b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n", close=True), PROTOCOL),
    "tls-alert": (raw(b"\x15\3\3\0\2\2\x28", close=True), PROTOCOL),
    "smtp": (raw(b"220 mail.example.com ESMTP\r\n", close=True), PROTOCOL),
    "negative-length": (raw(BEGUN + b"Content-Length: -1\r\n\r\n", close=True), PROTOCOL),
    "two-lengths": (raw(BEGUN + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", close=True), PROTOCOL),
    "length-no-number": (raw(BEGUN + b"Content-Length: 1_0\r\n\r\n", close=True), PROTOCOL),
    "length-and-chunks": (raw(BEGUN + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), PROTOCOL),
    "nul-in-a-header": (raw(BEGUN + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n"), PROTOCOL),
    "header-without-colon": (raw(BEGUN + b"Nonsense\r\n\r\n", close=True), PROTOCOL),
    "closes": (raw(b"", close=True), CLOSED),
    "resets": (reset(), CLOSED),
    "resets-in-headers": (reset(BEGUN + b"X-A"), (FAILED, None, "closed")),
    "closes-in-headers": (raw(BEGUN + b"X-A", close=True), (FAILED, None, "closed")),
}


def within(outcome: Outcome, total_s: float) -> bool:
    assert outcome.attempt.total_ms is not None
    return outcome.attempt.total_ms <= (total_s + LATE_S) * 1000


def test_without_an_answer_each_is_one_failure_in_time() -> None:
    modes = {name: mode for name, (mode, _) in NO_ANSWER.items()}
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes, total_s=TOTAL_S, connect_s=CONNECT_S)
        # none is asked twice in one attempt
        assert sorted(request.headers["host"].partition(".")[0] for request in there.received) == sorted(modes)
        assert {request.body for request in there.received} == {CONTENT}
    assert {name: outcome.brief for name, outcome in outcomes.items()} == {
        name: expected for name, (_, expected) in NO_ANSWER.items()
    }
    assert [name for name, outcome in outcomes.items() if not within(outcome, TOTAL_S)] == []
    for outcome in outcomes.values():
        assert timedelta(seconds=5) <= outcome.waits <= timedelta(seconds=6)
        assert outcome.attempt.peer_ip == "127.0.0.1"
        assert outcome.attempt.detail.isprintable()
        assert outcome.attempt.detail


BROKEN_OFF = {
    "drips-a-body": drip(BEGUN + b"Content-Length: 1000\r\n\r\n", b"x"),
    "drips-chunks": drip(CHUNKED, b"1\r\nx\r\n"),
    "promises-more": raw(BEGUN + b"Content-Length: 1000\r\n\r\nx", close=True),
    "promises-more-and-waits": raw(BEGUN + b"Content-Length: 1000\r\n\r\nx"),
    "resets-after-200": reset(BEGUN + b"Content-Length: 1000\r\n\r\nx"),
    "ends-in-a-chunk": raw(CHUNKED + b"5\r\nx", close=True),
    "breaks-a-chunk": in_pieces(CHUNKED + b"1\r\nx\r\n", b"ZZ\r\n"),
}
WHOLE = {
    "sends-more-than-promised": raw(BEGUN + b"Content-Length: 2\r\n\r\nok and more"),
    "sends-two-answers": raw(OK + b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
    "in-two-packets": in_pieces(BEGUN + b"Content-Length: 2\r\n\r\no", b"k"),
    "octet-by-octet": in_pieces(*(bytes([octet]) for octet in OK), every_s=0.001),
    "http-10": raw(b"HTTP/1.0 200 OK\r\n\r\nok", close=True),
    "http-10-keep-alive": raw(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
    "closes-after": raw(BEGUN + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", close=True),
    "resets-after-the-answer": reset(OK),
    "until-it-closes": raw(BEGUN + b"\r\nok", close=True),
    "in-chunks": raw(CHUNKED + b"1\r\no\r\n1;x=y\r\nk\r\n0\r\nTrailer: x\r\n\r\n"),
}
ENDLESS = {
    "a-body-without-end": endless(BEGUN + b"\r\n", b"x" * 100_000),
    "a-body-of-a-terabyte": endless(BEGUN + b"Content-Length: 1099511627776\r\n\r\n", b"x" * 100_000),
    "chunks-without-end": endless(CHUNKED, b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
    "tiny-chunks-without-end": endless(CHUNKED, b"1\r\nx\r\n" * 1000),
}


def test_a_success_counts_whatever_becomes_of_the_body() -> None:
    modes = BROKEN_OFF | WHOLE | ENDLESS
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes, total_s=TOTAL_S)
        assert len(there.received) == len(modes)
    assert {name: outcome.brief for name, outcome in outcomes.items()} == dict.fromkeys(modes, SUCCESS)
    assert [name for name, outcome in outcomes.items() if not within(outcome, TOTAL_S)] == []
    broken = {
        name for name, outcome in outcomes.items() if outcome.attempt.detail.startswith("The answer's body broke")
    }
    assert broken == set(BROKEN_OFF)
    assert {bytes(outcomes[name].attempt.response_excerpt) for name in WHOLE} == {b"ok"}
    assert {bytes(outcomes[name].attempt.response_excerpt) for name in ENDLESS} == {b"x" * MAX_EXCERPT_BYTES}


BOMB = bytes(4 * MIB)
PACKED = {
    "gzip": ("gzip", gzip.compress(BOMB)),
    "deflate": ("deflate", zlib.compress(BOMB)),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress(BOMB)),
    "bzip2": ("bzip2", bz2.compress(BOMB)),
    "br": ("br", bytes.fromhex("9bffff3ff82700e2b14020f7fe07")),  # by zlib.brotliCompressSync of Node.js
    "gzip-twice": ("gzip, gzip", gzip.compress(gzip.compress(BOMB))),
    "gzip-that-is-none": ("gzip", b"plain"),
    "unknown": ("x-none", b"plain"),
}


def test_no_body_is_ever_unpacked() -> None:
    modes = {name: answer(200, octets, {"Content-Encoding": coding}) for name, (coding, octets) in PACKED.items()}
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes)
        assert {request.headers["accept-encoding"] for request in there.received} == {"identity"}
    assert {name: outcome.brief for name, outcome in outcomes.items()} == dict.fromkeys(modes, SUCCESS)
    assert {name: bytes(outcome.attempt.response_excerpt) for name, outcome in outcomes.items()} == {
        name: octets[:MAX_EXCERPT_BYTES] for name, (_, octets) in PACKED.items()
    }


def test_the_brotli_bomb_is_one(node: str) -> None:
    """Nothing here unpacks brotli but Node.js; what is no brotli would prove nothing."""
    unpack = "process.stdout.write(zlib.brotliDecompressSync(fs.readFileSync(0)))"
    done = subprocess.run([node, "-e", unpack], input=PACKED["br"][1], capture_output=True, check=True)
    assert done.stdout == BOMB


def test_what_is_no_text_is_kept_octet_by_octet() -> None:
    bodies = {"nul": b"a\0b", "latin": b"\xe9\xff\xfe", "surrogates": b"\xed\xa0\x80", "all": bytes(range(256))}
    modes = {
        name: raw(b"HTTP/1.1 500 No\r\nX-A: \xe9\xff\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        for name, body in bodies.items()
    }
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes)
    assert {name: outcome.brief for name, outcome in outcomes.items()} == dict.fromkeys(modes, (FAILED, 500, ""))
    assert {name: bytes(outcome.attempt.response_excerpt) for name, outcome in outcomes.items()} == bodies
    assert {bytes(outcome.attempt.response_headers)[:9] for outcome in outcomes.values()} == {b"X-A: \xe9\xff\r\n"}


def test_kept_headers_are_capped() -> None:
    many = {f"X-{number}": "v" * 1000 for number in range(50)}
    with receiver(answer(200, b"", many)) as there:
        outcome = deliver_to_modes(there, {"many": never()})["many"]
    assert outcome.brief == SUCCESS
    assert len(outcome.attempt.response_headers) == MAX_HEADERS_BYTES


def test_where_no_connection_comes_about() -> None:
    with ExitStack() as ports, receiver(early, reads_bodies=False) as there:
        silent, full = ports.enter_context(silent_port()), ports.enter_context(full_port())
        closed = ports.enter_context(closed_port())
        urls = {
            "accepted by the kernel and never read": f"http://black.example:{silent}/",
            "no room in the backlog": f"http://full.example:{full}/",
            "nobody listens": f"http://closed.example:{closed}/",
            "a handshake that stalls": f"https://slow.example:{silent}/",
            "no room for a handshake": f"https://full.example:{full}/",
            "plain http where tls was meant": urls_of(there, {"tls": 0})["tls"].replace("http:", "https:"),
            "an early answer": urls_of(there, {"early": 0})["early"],
        }
        outcomes = deliver(urls, total_s=TOTAL_S, connect_s=CONNECT_S)
    assert {name: outcome.brief for name, outcome in outcomes.items()} == {
        "accepted by the kernel and never read": TIMEOUT,
        "no room in the backlog": TIMEOUT,
        "nobody listens": (FAILED, None, "connect"),
        "a handshake that stalls": TIMEOUT,
        "no room for a handshake": TIMEOUT,
        "plain http where tls was meant": (FAILED, None, "timeout"),
        "an early answer": SUCCESS,
    }
    assert [name for name, outcome in outcomes.items() if not within(outcome, TOTAL_S)] == []
    connected = {name for name, outcome in outcomes.items() if outcome.attempt.connect_ms is not None}
    assert connected == {"accepted by the kernel and never read", "an early answer"}
    assert {name for name, outcome in outcomes.items() if outcome.attempt.peer_ip} == connected
