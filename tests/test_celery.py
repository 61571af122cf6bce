import socket
import threading
import time
from pathlib import Path

import pytest
from celery.beat import Service
from kombu.exceptions import OperationalError

from emailgistics.beat import Sweeper
from emailgistics.celery import app
from tests.installation import Installation, free_ports, wait_for

pytestmark = pytest.mark.on_both


def test_a_lost_broker_is_asked_for_every_second_however_long_it_is_away() -> None:
    (port,) = free_ports(1)
    waits: list[float] = []
    connection = app.connection(f"redis://127.0.0.1:{port}/0")
    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda _error, wait: waits.append(wait), max_retries=4)
    assert waits == [0.5, 1, 1, 1]


def test_beat_outlives_a_broker_that_refuses_and_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(app.conf, "broker_url", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        sweeper = Sweeper(app=app)
        for _ in range(2):  # as many as there are entries
            started = time.monotonic()
            sweeper.tick()
            assert time.monotonic() - started < 10  # it would hang for ever
    started = time.monotonic()
    sweeper.tick()  # refused by now
    assert time.monotonic() - started < 10
    sweeper.close()


def test_both_kinds_of_workers_are_woken_every_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "broker_url", "embedded://localhost")
    monkeypatch.setitem(app.conf, "broker_transport_options", {"folder": str(tmp_path)})
    service = Service(app=app, scheduler_cls=Sweeper)
    beat = threading.Thread(target=service.start)
    beat.start()
    time.sleep(5)
    service.stop()
    beat.join()
    counts = {queue.name: len(list(queue.glob("*.msg"))) for queue in tmp_path.iterdir()}
    assert set(counts) == {"mail", "webhooks"}
    assert all(1 <= count <= 4 for count in counts.values()), counts  # a busy machine wakes late
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []  # no schedule on disk


@pytest.mark.on_sqlite
def test_what_opens_mail_has_a_memory_limit_and_nothing_else_has(installation: Installation) -> None:
    wait_for(lambda: len(installation.pids().get("worker", [])) == 3, within_s=60, what="worker children")
    pids = installation.pids()
    first, *children = pids["worker"]
    wait_for(lambda: {memory_limit(pid) for pid in children} == {str(2 * 1024**3)}, within_s=60, what="their limit")
    assert {memory_limit(pid) for pid in (first, *pids["dispatcher"], *pids["smtp"])} == {"unlimited"}


def memory_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[3] for line in lines if line.startswith("Max address space"))
