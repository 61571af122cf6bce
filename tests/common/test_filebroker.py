import contextlib
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty

import kombu
import pytest
from kombu.exceptions import OperationalError
from kombu.transport.virtual import Channel

from emailgistics.common import filebroker

QUEUE = "mail"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def connect(folder: Path) -> Iterator[Callable[[], kombu.Connection]]:
    opened = []

    def connect() -> kombu.Connection:
        connection = kombu.Connection("embedded://localhost", transport_options={"folder": str(folder)})
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.release()


Connect = Callable[[], kombu.Connection]


def publish(connection: kombu.Connection, text: str) -> None:
    kombu.Producer(connection).publish({"text": text}, exchange="", routing_key=QUEUE)


def read_all(connection: kombu.Connection) -> list[str]:
    """What a consumer is given until nothing comes any more."""
    texts = []
    with kombu.Consumer(connection, [kombu.Queue(QUEUE)], callbacks=[lambda body, _: texts.append(body["text"])]):
        while True:
            try:
                connection.drain_events(timeout=0.1)
            except TimeoutError:
                return texts


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_messages_arrive_once_and_in_the_order_of_publishing(connect: Connect, folder: Path) -> None:
    for number in range(20):
        publish(connect(), str(number))
    assert read_all(connect()) == [str(number) for number in range(20)]
    assert read_all(connect()) == []
    assert files(folder) == []


def test_each_message_goes_to_one_of_several_consumers(connect: Connect) -> None:
    for number in range(200):
        publish(connect(), str(number))
    read: list[list[str]] = []
    readers = [threading.Thread(target=lambda: read.append(read_all(connect()))) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sorted(int(text) for texts in read for text in texts) == list(range(200))


def test_a_message_is_never_read_before_it_is_whole(connect: Connect) -> None:
    def publish_all() -> None:
        connection = connect()
        for number in range(500):
            publish(connection, str(number))

    publishing = threading.Thread(target=publish_all)
    publishing.start()
    texts: list[str] = []
    while publishing.is_alive():
        texts += read_all(connect())
    publishing.join()
    assert texts + read_all(connect()) == [str(number) for number in range(500)]


def test_a_consumer_that_waits_is_given_a_message_within_a_few_polls(connect: Connect) -> None:
    arrived = threading.Event()
    waiting = connect()

    def wait() -> None:
        with kombu.Consumer(waiting, [kombu.Queue(QUEUE)], callbacks=[lambda *_: arrived.set()]):
            waiting.drain_events(timeout=10)

    consumer = threading.Thread(target=wait)
    consumer.start()
    time.sleep(0.3)
    started = time.monotonic()
    publish(connect(), "hello")
    assert arrived.wait(60)
    assert time.monotonic() - started < 1  # kombu's own would take up to that long to look again
    consumer.join()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"body": "aGVsbG8=", "propert',
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'{"properties": 3}',
        b'{"properties": {}, "body": 5}',
        b'{"properties": {"body_encoding": "base64", "delivery_tag": "x", "delivery_info": {}}, "body": "a"}',
        b'{"properties": {"body_encoding": "rot13", "delivery_tag": "x", "delivery_info": {}}, "body": "a"}',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b" " * (filebroker.MAX_MESSAGE_BYTES + 1),
    ],
    ids=lambda content: ascii(content[:30]),
)
def test_what_is_no_message_is_removed_and_the_next_one_is_read(connect: Connect, folder: Path, content: bytes) -> None:
    publish(connect(), "good")
    (folder / QUEUE / f"0000{filebroker.SUFFIX}").write_bytes(content)
    assert read_all(connect()) == ["good"]
    assert files(folder) == []


def test_what_is_no_file_is_left_alone(connect: Connect, folder: Path) -> None:
    publish(connect(), "good")
    (folder / QUEUE / "a.msg").mkdir()
    os.mkfifo(folder / QUEUE / "b.msg")
    (folder / QUEUE / "c.msg").symlink_to("/dev/zero")
    assert read_all(connect()) == ["good"]


def test_a_draft_is_not_read(connect: Connect, folder: Path) -> None:
    publish(connect(), "good")
    (folder / QUEUE / ".0000.msg").write_bytes(b"{")
    assert read_all(connect()) == ["good"]
    assert files(folder) == [".0000.msg"]


def test_what_a_killed_process_left_is_tidied_away(connect: Connect, folder: Path) -> None:
    publish(connect(), "good")
    old, young = folder / QUEUE / ".old", folder / QUEUE / ".young"
    for path in (old, young):
        path.write_bytes(b"{")
    os.utime(old, (0, time.time() - filebroker.ABANDONED_AFTER_S - 1))
    assert read_all(connect()) == ["good"]
    assert files(folder) == [".young"]


@pytest.mark.parametrize("gone", ["broker", f"broker/{QUEUE}"])
def test_a_deleted_folder_is_made_again_by_whoever_needs_it(connect: Connect, tmp_path: Path, gone: str) -> None:
    publisher, consumer = connect(), connect()
    publish(publisher, "lost")
    assert read_all(consumer) == ["lost"]
    for publishes_first in (True, False):
        remove(tmp_path / gone)
        if not publishes_first:
            assert read_all(consumer) == []
        publish(publisher, "after")
        assert read_all(consumer) == ["after"]


def test_publishing_survives_a_folder_that_is_deleted_all_the_time(connect: Connect, folder: Path) -> None:
    stop = threading.Event()

    def delete() -> None:
        while not stop.wait(0.001):
            remove(folder)

    deleting = threading.Thread(target=delete)
    deleting.start()
    try:
        connection = connect()
        for number in range(200):
            publish(connection, str(number))
            read_all_at_once(channel_of(connection))
    finally:
        stop.set()
        deleting.join()
    publish(connection, "last")
    assert "last" in read_all(connect())


def test_a_folder_that_cannot_be_is_a_lost_connection_to_the_worker(connect: Connect, folder: Path) -> None:
    connection = connect()
    publish(connection, "lost")
    remove(folder)
    folder.write_text("a file in its place")
    with pytest.raises(connection.connection_errors):
        publish(connection, "x")
    with pytest.raises(connection.connection_errors):
        read_all(connection)
    with pytest.raises(OperationalError):
        connect().ensure_connection(max_retries=1, interval_start=0, interval_step=0)
    folder.unlink()
    publish(connection, "good")
    assert read_all(connection) == ["good"]


def test_a_backlog_is_counted_and_purged(connect: Connect, folder: Path) -> None:
    for number in range(3):
        publish(connect(), str(number))
    channel = channel_of(connect())
    assert channel.queue_declare(QUEUE).message_count == 3
    assert channel.queue_declare("webhooks").message_count == 0
    channel.queue_purge(QUEUE)
    assert files(folder) == []


def test_nobody_else_can_put_messages_there(connect: Connect, folder: Path) -> None:
    publish(connect(), "x")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / QUEUE)} == {0o700}


def test_nothing_is_left_in_the_system_s_temporary_folder(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    publish(connect(), "x")
    assert read_all(connect()) == ["x"]
    assert list(temporary.iterdir()) == []


def channel_of(connection: kombu.Connection) -> Channel:
    channel = connection.default_channel
    assert isinstance(channel, Channel)
    return channel


def read_all_at_once(channel: Channel) -> None:
    with contextlib.suppress(Empty):
        while True:
            channel._get(QUEUE)


def remove(folder: Path) -> None:
    """Like rm -r, whatever others do in there meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
