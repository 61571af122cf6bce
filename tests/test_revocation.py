"""Keys against real web servers: two processes on the same data, warm connections, and requests as odd as can be."""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from tests.installation import FINISH_WITHIN_S, ROOT, Installation, answers, free_ports, wait_for

CALLERS = 20  # more than either process has threads
REQUESTS = 1000  # that race a revocation
Answer = tuple[int, str, str]  # status, code, challenge


@pytest.fixture(scope="module")
def ports(installation: Installation) -> Iterator[tuple[int, int]]:
    """Of the installation's web process and of a further one."""
    (port,) = free_ports(1)
    further = subprocess.Popen(
        [sys.executable, "manage.py", "web"],
        cwd=ROOT,
        env=installation.env | {"HTTP_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answers(port), within_s=60, what="a further web process")
        yield installation.http_port, port
    finally:
        further.terminate()
        further.wait(timeout=FINISH_WITHIN_S)


def make_key(installation: Installation, *, expires: str = "30d") -> tuple[str, str]:
    """Its identifier, and the whole of it."""
    made = installation.manage("apikeys", "create", "--name", "CI", "--expires", expires, "--all-mailboxes")
    return made["id"], made["key"]


def ask(connection: http.client.HTTPConnection, key: str) -> Answer:
    connection.request("GET", "/v1/me", headers={"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    return answer.status, body.get("code", ""), answer.getheader("WWW-Authenticate", "")


def ask_everywhere(ports: tuple[int, int], key: str) -> set[Answer]:
    """What each of many callers at once is told, on every process."""

    def call(port: int) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            return ask(connection, key)

    with ThreadPoolExecutor(2 * CALLERS) as pool:
        return set(pool.map(call, ports * CALLERS))


def refused(code: str, description: str) -> set[Answer]:
    challenge = f'Bearer realm="Emailgistics API", error="invalid_token", error_description="{description}"'
    return {(401, code, challenge)}


REVOKED = refused("key_revoked", "This API key was revoked.")
EXPIRED = refused("key_expired", "This API key has expired.")


def test_a_revoked_key_is_refused_by_the_next_request_to_any_process(
    installation: Installation, ports: tuple[int, int]
) -> None:
    identifier, key = make_key(installation)
    _, other = make_key(installation)
    assert ask_everywhere(ports, key) == ask_everywhere(ports, other) == {(200, "", "")}
    installation.manage("apikeys", "revoke", identifier, "--reason", "left in a chat")
    assert ask_everywhere(ports, key) == REVOKED
    assert ask_everywhere(ports, other) == {(200, "", "")}


def race(ports: tuple[int, int], key: str, *, end: Callable[[], float]) -> list[tuple[float, Answer]]:
    """When each of a thousand requests to two processes began, and what it was told; `end` ends the key meanwhile.

    Of twenty callers each has a connection of its own, kept alive, as clients do. They go on until half of the requests
    have begun after the instant that `end` answers.
    """
    seen: list[tuple[float, Answer]] = []
    enough = threading.Event()

    def keep_asking(port: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while not enough.is_set():
                began = time.monotonic()
                seen.append((began, ask(connection, key)))

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(keep_asking, port) for port in ports * (CALLERS // 2)]
        try:
            wait_for(lambda: len(seen) >= REQUESTS // 2, within_s=60, what="calls")
            ended = end()
            wait_for(lambda: sum(began > ended for began, _ in seen) >= REQUESTS // 2, within_s=60, what="later calls")
        finally:
            enough.set()
        for caller in callers:
            caller.result()
    assert {answer for began, answer in seen if began > ended} == REVOKED
    assert {answer for began, answer in seen} == {(200, "", "")} | REVOKED
    return seen


def test_no_request_that_begins_after_the_revocation_succeeds_however_many_there_are(
    installation: Installation, ports: tuple[int, int]
) -> None:
    identifier, key = make_key(installation)

    def revoke() -> float:
        installation.manage("apikeys", "revoke", identifier)
        return time.monotonic()

    assert len(race(ports, key, end=revoke)) >= REQUESTS


def test_nor_one_that_begins_after_a_scheduled_revocation_has_come(
    installation: Installation, ports: tuple[int, int]
) -> None:
    identifier, key = make_key(installation)

    def schedule() -> float:
        at = datetime.now(UTC) + timedelta(seconds=1)
        installation.manage("apikeys", "revoke", identifier, "--at", at.isoformat())
        # the database runs on this machine, by the same clock; SQLite's has milliseconds
        return time.monotonic() + max(0.0, (at - datetime.now(UTC)).total_seconds()) + 0.001

    race(ports, key, end=schedule)


def test_an_expired_key_is_refused_by_every_process(installation: Installation, ports: tuple[int, int]) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=10)
    _, key = make_key(installation, expires=ends.isoformat())
    assert ask_everywhere(ports, key) == {(200, "", "")}
    time.sleep(max(0, (ends - datetime.now(UTC)).total_seconds()))
    assert ask_everywhere(ports, key) == EXPIRED


# --- headers as nobody should send them


def raw_request(port: int, *lines: bytes, path: bytes = b"/v1/me") -> tuple[int, bytes]:
    """The status and all that was answered to a request of these header lines."""
    head = [b"GET " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *lines, b"", b""]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"\r\n".join(head))
        answered = b""
        while piece := connection.recv(65536):
            answered += piece
    match = re.match(rb"HTTP/1\.1 (\d{3})", answered)
    assert match, answered[:200]
    return int(match[1]), answered


@pytest.mark.parametrize("lines", [
    [b"Authorization: Bearer {other}", b"Authorization: Bearer {key}"],
    [b"Authorization: Bearer {key}", b"Authorization: Bearer {other}"],
    [b"Authorization: Bearer {key}", b"X-API-KEY: {other}"],
    [b"X-API-KEY: {key}", b"X-API-KEY: {other}"],
    [b"X-API-KEY: {key}, {other}"],
    [b"Authorization: Bearer {key}", b"X-API-KEY:"],
    [b"Authorization: Bearer {key}, Bearer {key}"],
    [b"Authorization: Bearer \xe9{key}"],
    [b"Authorization: Bearer \xff\xfe\xfd"],
    [b"Authorization: Bearer {key}\xa0"],
    [b"Authorization: Bearer \t{key}x"],
    [b"Authorization: {key}"],
    [b"Authorization: Basic {key}"],
    [b"Authorization:"],
    [b"Authorization: Bearer " + b"x" * 30_000],
    [b"X-API-KEY: " + b"\xc3\xa9" * 10_000],
])  # fmt: skip
def test_odd_headers_are_a_401_and_open_nothing(
    installation: Installation, ports: tuple[int, int], lines: list[bytes]
) -> None:
    key, other = installation.key.encode(), OTHER
    sent = [line.replace(b"{key}", key).replace(b"{other}", other) for line in lines]
    status, answered = raw_request(ports[0], *sent)
    assert status == 401, answered[:500]
    assert b'www-authenticate: bearer realm="emailgistics api"' in answered.lower()
    assert key[16:] not in answered


OTHER = b"emgk_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1GIO1e"  # well formed, and nobody's


@pytest.mark.parametrize("lines", [
    [b"Authorization : Bearer {key}"], [b"Authorization: Bearer\r\n {key}"], [b"Authorization: Bearer {key}\x00"],
    [b"Authorization: Bearer " + b"x" * 1_000_000], [b"X-Filler: y" for _ in range(2000)],
    [b"Authorization: Bearer \x01{key}"], [b"authorization\xe9: Bearer {key}"],
])  # fmt: skip
def test_what_is_no_http_is_refused_and_the_process_goes_on(
    installation: Installation, ports: tuple[int, int], lines: list[bytes]
) -> None:
    try:
        status, answered = raw_request(ports[0], *(line.replace(b"{key}", installation.key.encode()) for line in lines))
    except (ConnectionError, AssertionError):
        status, answered = 0, b""  # hung up on
    assert status in (0, 400, 401, 431)
    assert installation.key[16:].encode() not in answered
    assert raw_request(ports[0], b"X-Api-Key: " + installation.key.encode())[0] == 200


def test_no_key_is_in_any_log_of_the_installation(installation: Installation, ports: tuple[int, int]) -> None:
    key = installation.key.encode()
    assert raw_request(ports[0], path=b"/v1/emails?access_token=" + key + b"&key=" + key)[0] == 401
    assert raw_request(ports[0], b"Authorization: " + key, path=b"/v1/nowhere")[0] == 404
    assert raw_request(ports[0], b"Authorization: Bearer " + key, path=b"/v1/emails?api_key=" + key)[0] == 400
    log = installation.log()
    assert "Unauthorized: /v1/emails" in log
    assert key.decode()[16:] not in log
