"""The database is the queue: while it is away no mail is accepted and none refused for good. What was accepted before
goes on at its return, with nobody's hand.
"""

import os
import smtplib
import threading
import time
from collections.abc import Iterator
from typing import Self

import pytest

from tests import postgres_server
from tests.installation import Installation, NotAcceptedError, simple_mail, wait_for
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.on_postgres,
    pytest.mark.skipif(
        postgres_server.binaries() is None and os.environ.get("REQUIRE_SERVICES") != "1",
        reason="PostgreSQL's initdb is not installed here",
    ),
]

BEFORE_S, AWAY_FOR_S = 2, 6
DELIVERED_WITHIN_S = 5
NO_ANSWER = 0


class Sender:
    """Sends all the time, and notes when which reply came."""

    def __init__(self, installation: Installation, prefix: str) -> None:
        self.accepted: list[tuple[float, str]] = []
        self.replies: list[tuple[float, int]] = []
        self._installation, self._prefix = installation, prefix
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def codes(self, *, since: float, until: float) -> set[int]:
        return {code for at, code in self.replies if since < at < until}

    def _run(self) -> None:
        while not self._over.wait(0.05):
            subject = f"{self._prefix} {len(self.replies)}"
            try:
                self._installation.send(simple_mail(subject))
            except NotAcceptedError as error:
                self.replies.append((time.monotonic(), error.code))
            except (OSError, smtplib.SMTPException):
                self.replies.append((time.monotonic(), NO_ANSWER))
            else:
                self.replies.append((time.monotonic(), 250))
                self.accepted.append((time.monotonic(), subject))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture(scope="module")
def installation(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, on_postgres=True, postgres_url=server.url) as running:
        running.start()
        yield running


@pytest.mark.parametrize("how", ["stopped", "crashed"])
def test_mail_is_put_off_meanwhile_and_what_was_accepted_arrives_within_five_seconds_of_the_return(
    installation: Installation, server: PostgresServer, how: str
) -> None:
    installation.send(simple_mail(f"Before {how}"))
    installation.wait_until_received({f"Before {how}"}, within_s=20)
    with Sender(installation, how) as sender:
        time.sleep(BEFORE_S)
        server.end(how)
        gone_at = time.monotonic()
        time.sleep(AWAY_FOR_S)
        returning_at = time.monotonic()
        server.start()
        back_at = time.monotonic()
        wait_for(lambda: any(at > back_at for at, _ in sender.accepted), within_s=60, what=installation.tail())

    installation.wait_until_received({subject for _, subject in sender.accepted}, within_s=60)
    assert time.monotonic() - back_at < DELIVERED_WITHIN_S
    assert sender.codes(since=gone_at, until=returning_at) == {451}
    assert sender.codes(since=0, until=time.monotonic()) <= {NO_ANSWER, 250, 421, 451}
