"""Requests sent again over real sockets: of many at once, and when what answers is killed on the way."""

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import pytest

from tests.installation import Installation, wait_for

KILLS = 20
ALIASES = "/v1/aliases"
BATCH = "/v1/aliases/batch"


def post(installation: Installation, path: str, body: Any, name: str = "") -> tuple[int, bool, bytes] | None:
    """Status, whether it was answered before, and the answer; None if there was none."""
    headers = {"Authorization": f"Bearer {installation.key}", "Content-Type": "application/json"}
    headers |= {"Idempotency-Key": name} if name else {}
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=60)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Idempotency-Replayed"] == "true", answer.read()
    return None


def until_answered(installation: Installation, path: str, body: Any, name: str) -> tuple[int, bool, bytes]:
    """As a client does that has got no answer, or one that it is to come again."""
    answers: list[tuple[int, bool, bytes]] = []

    def is_answered() -> bool:
        answer = post(installation, path, body, name)
        if answer and answer[0] not in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT):
            answers.append(answer)
        return bool(answers)

    wait_for(is_answered, within_s=60, what=f"an answer to {name}; {installation.tail()}")
    return answers[0]


def names(installation: Installation, prefix: str) -> list[str]:
    """Of all aliases that there are with that beginning, each as often as it is there."""
    page: Any = {"pagination": {"next_cursor": ""}}
    found = []
    query = "?limit=100"
    while query:
        page = installation.get_json(f"{ALIASES}{query}")
        found += [alias["name"] for alias in page["data"] if alias["name"].startswith(prefix)]
        cursor = page["pagination"]["next_cursor"]
        query = f"?limit=100&starting_after={cursor}" if cursor else ""
    return sorted(found)


def domain_id(installation: Installation) -> str:
    (domain,) = installation.get_json("/v1/domains")["data"]
    return str(domain["id"])


def the_web_server(installation: Installation) -> list[int]:
    return installation.pids().get("web", [])


def kill_soon(installation: Installation, delay_s: float) -> None:
    """All processes of the web server, in the middle of whatever they are at."""
    pids = the_web_server(installation)
    time.sleep(delay_s)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_of_fifty_who_create_the_same_alias_at_once_one_does(installation: Installation) -> None:
    body = {"domain_id": domain_id(installation), "name": "wanted"}
    barrier = threading.Barrier(50)

    def create(_: int) -> tuple[int, bytes]:
        barrier.wait(60)
        answer = post(installation, ALIASES, body)
        assert answer is not None
        return answer[0], answer[2]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(50)))
    statuses = sorted(status for status, _ in answers)
    assert statuses == [201] + [409] * 49
    assert {json.loads(content)["code"] for status, content in answers if status == 409} == {"address_unavailable"}
    assert names(installation, "wanted") == ["wanted"]


def test_of_fifty_that_are_the_same_request_one_does_it(installation: Installation) -> None:
    body = {"domain_id": domain_id(installation), "name": "shared"}
    barrier = threading.Barrier(50)

    def create(_: int) -> tuple[int, bool, bytes]:
        barrier.wait(60)
        answer = post(installation, ALIASES, body, "fifty")
        assert answer is not None
        return answer

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(50)))
    (first,) = [answer for answer in answers if answer[:2] == (201, False)]
    for status, is_replay, content in answers:
        if status == 201:
            assert content == first[2]
        else:
            assert (status, is_replay, json.loads(content)["code"]) == (409, False, "idempotency_in_progress")
    assert names(installation, "shared") == ["shared"]


@pytest.mark.timeout(600)
def test_who_asks_again_after_a_kill_finds_it_done_once(installation: Installation) -> None:
    """Killed at random moments between request and answer; batches of creations that fail in part, and all or none."""
    domain, seed = domain_id(installation), random.randrange(2**32)
    chance = random.Random(seed)
    unanswered = replayed = 0
    takes_s = 0.1  # a batch that nobody kills; two of three kills are to come sooner
    for kill in range(KILLS):
        is_atomic = kill % 2 == 1
        made = [f"kill{kill}-{n}" for n in range(20)]
        operations: list[Any] = [{"action": "create", "data": {"domain_id": domain, "name": name}} for name in made]
        if not is_atomic:
            operations += operations[:3]  # of these each has been made just before
        body, name = {"operations": operations, "atomic": is_atomic}, f"kill-{seed}-{kill}"
        killer = threading.Thread(target=kill_soon, args=(installation, chance.uniform(0, 1.5 * takes_s)))
        killer.start()
        first = post(installation, BATCH, body, name)
        killer.join()
        unanswered += first is None
        wait_for(lambda: post(installation, BATCH, {}) is not None, within_s=60, what="the web server")
        started = time.monotonic()
        again = until_answered(installation, BATCH, body, name)
        replayed += again[1]
        if not again[1]:
            takes_s = time.monotonic() - started
        what = f"kill {kill}, seed {seed}: {first} {again}"
        assert again[0] == (200 if is_atomic else 207), what
        if first is not None:
            assert (again[1], again[2]) == (True, first[2]), what
        answer = json.loads(again[2])
        assert answer["summary"]["succeeded"] == 20, what
        assert [result["status"] for result in answer["results"][20:]] == ([] if is_atomic else [409] * 3), what
        assert names(installation, f"kill{kill}-") == sorted(made), what
        assert until_answered(installation, BATCH, body, name)[1:] == (True, again[2]), what
    # some were killed on the way, and of some the answer alone was lost or came
    assert unanswered > 0, f"seed {seed}"
    assert replayed > 0, f"seed {seed}"
