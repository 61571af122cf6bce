import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from emailgistics.common import nudge
from emailgistics.common.nudge import ENOUGH, Nudger, Publisher
from tests import environment
from tests.installation import RedisServer, wait_for

pytestmark = pytest.mark.on_both

TASKS = {"mailboxes.tasks.process": "mail", "webhooks.tasks.dispatch": "webhooks"}


class RecordingPublisher(Publisher):
    def __init__(self) -> None:
        super().__init__()
        self.published: list[str] = []
        self.refuse = threading.Event()
        self.hang = threading.Event()
        self.is_hanging = threading.Event()

    def publish(self, task: str) -> None:
        while self.hang.is_set():
            self.is_hanging.set()
            time.sleep(0.01)
        if self.refuse.is_set():
            raise ConnectionError
        self.published.append(task)

    def has_published(self, *tasks: str, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while sorted(self.published) != sorted(tasks):
            if time.monotonic() > until:
                return False
            time.sleep(0.005)
        return True


class AppWithBroker:
    """The app, with a broker that no other test nudges."""

    def __init__(self, url: str, **options: object) -> None:
        self.url = url
        self.options = options

    def connection(self, transport_options: dict[str, Any]) -> kombu.Connection:
        options = transport_options | self.options
        connection: kombu.Connection = current_app.connection(self.url, transport_options=options)
        return connection

    def __getattr__(self, name: str) -> object:
        return getattr(current_app, name)


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[kombu.Connection]:
    """A connection to the broker that `Publisher` publishes to, without nudges so far."""
    redis = RedisServer(tmp_path)
    if environment.ON_POSTGRES:
        redis.start()
        app = AppWithBroker(redis.url)
    else:
        app = AppWithBroker("embedded://localhost", folder=str(tmp_path))
    monkeypatch.setattr(nudge, "current_app", app)
    with app.connection({}) as connection:
        yield connection
    redis.stop()


def read(connection: kombu.Connection, queue: str) -> list[str]:
    """Names of the tasks that the queue's messages ask for."""
    names = []
    bound = kombu.Queue(queue)(connection.default_channel)
    while message := bound.get(no_ack=True):
        names.append(message.headers["task"])
    return names


@pytest.mark.parametrize("task", TASKS)
def test_a_nudge_comes_to_the_queue_of_its_worker(waiting: kombu.Connection, task: str) -> None:
    publisher = Publisher()
    publisher.publish(task)
    publisher.close()
    assert {queue: read(waiting, queue) for queue in TASKS.values()} == {
        queue: [task] if queue == TASKS[task] else [] for queue in TASKS.values()
    }


def test_a_queue_that_nobody_reads_does_not_grow(waiting: kombu.Connection) -> None:
    publisher = Publisher()
    for _ in range(ENOUGH + 10):
        publisher.publish("mailboxes.tasks.process")
    publisher.close()
    assert len(read(waiting, "mail")) == ENOUGH


def test_the_first_nudge_goes_out_at_once() -> None:
    publisher = RecordingPublisher()
    Nudger(publisher).nudge("a")
    assert publisher.has_published("a", within_s=60)


def test_many_nudges_at_once_are_few_messages() -> None:
    publisher = RecordingPublisher()
    nudger = Nudger(publisher)
    for _ in range(1000):
        nudger.nudge("a")
        nudger.nudge("b")
    wait_for(lambda: set(publisher.published) == {"a", "b"}, within_s=60, what="both")
    time.sleep(0.5)
    assert len(publisher.published) <= 4


def test_who_nudges_does_not_wait_for_a_broker_that_hangs() -> None:
    publisher = RecordingPublisher()
    publisher.hang.set()
    nudger = Nudger(publisher)
    nudger.nudge("a")
    assert publisher.is_hanging.wait(60)
    for _ in range(1000):
        nudger.nudge("a")  # would never return, if it waited
    assert publisher.published == []
    publisher.hang.clear()
    assert publisher.has_published("a", "a", within_s=60)  # the one it hung on, and one for all that came meanwhile


def test_a_nudge_that_was_refused_is_sent_again() -> None:
    publisher = RecordingPublisher()
    publisher.refuse.set()
    Nudger(publisher).nudge("a")
    time.sleep(0.2)
    publisher.refuse.clear()
    assert publisher.has_published("a", within_s=60)


def test_a_forked_child_nudges_by_itself() -> None:
    publisher = RecordingPublisher()
    nudger = Nudger(publisher)
    nudger.nudge("parent")
    assert publisher.has_published("parent", within_s=60)
    pid = os.fork()
    if pid == 0:
        # whatever happens here, this process must not become a second test run
        os._exit(_nudge_in_child(nudger))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _nudge_in_child(nudger: Nudger) -> int:
    publisher = RecordingPublisher()
    nudger._publisher = publisher
    nudger.nudge("child")
    return 0 if publisher.has_published("child", within_s=60) else 1


@pytest.mark.on_postgres
def test_publishing_to_a_redis_that_hangs_gives_up_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setattr(nudge, "current_app", AppWithBroker(url))
        publisher = Publisher()
        for _ in range(2):
            started = time.monotonic()
            with pytest.raises(OperationalError, match="Timeout"):
                publisher.publish("mailboxes.tasks.process")
            assert time.monotonic() - started < 10
