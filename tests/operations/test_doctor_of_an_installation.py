"""The doctor and the health of each kind of process, in a whole installation: real processes, one of them stopped."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from emailgistics.common import pulse
from tests import environment
from tests.installation import Installation, free_ports, wait_for

ROLES = ("web", "smtp", "worker", "dispatcher", "beat")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """On PostgreSQL webhooks may go to loopback, and a receiver of the doctor's own is the way back."""
    with Installation(
        tmp_path_factory.mktemp("installation"), on_postgres=environment.ON_POSTGRES, is_migrated=True
    ) as running:
        if environment.ON_POSTGRES:
            running.env["WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.1/32"
        running.env["LMTP_PORT"] = str(free_ports(1)[0])
        running.start()
        wait_for(lambda: not any(health(running, role)[0] for role in ROLES), within_s=60, what=running.tail())
        yield running


def health(installation: Installation, role: str) -> tuple[int, str]:
    done = installation._shell.run("health", "--role", role)
    return done.code, done.stderr


def doctor(installation: Installation, *arguments: str) -> dict[str, Any]:
    done = installation._shell.run("doctor", "--no-dns", "--json", *arguments)
    found = {one["name"]: one for one in json.loads(done.stdout)["data"]}
    assert done.code == any(one["state"] == "failed" for one in found.values())
    return found


@contextmanager
def stopped(installation: Installation, role: str) -> Iterator[int]:
    """As a process that hangs; a signal of its own for each process of the part. Gives the first one's id."""
    pids = installation.pids()[role]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield pids[0]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_all_is_well_and_the_canary_leaves_nothing_in_any_list(installation: Installation) -> None:
    before = [installation.manage(what, "list") for what in ("domains", "mailboxes", "webhooks", "emails")]
    found = doctor(installation)
    assert {one["state"] for one in found.values()} <= {"ok", "skipped", *allowed(found)}, found
    assert found["canary"]["state"] == "ok"
    way = "a receiver of its own" if environment.ON_POSTGRES else "the built-in receiver"
    assert way in found["canary"]["seen"]
    assert [installation.manage(what, "list") for what in ("domains", "mailboxes", "webhooks", "emails")] == before
    assert installation._shell.run("ledger").code == 0


def test_a_listener_that_speaks_lmtp_alone_is_as_good(installation: Installation) -> None:
    found = doctor(installation, "--smtp", f"127.0.0.1:{installation.env['LMTP_PORT']}")
    assert (found["listener"]["state"], found["canary"]["state"]) == ("ok", "ok"), found


def allowed(found: dict[str, Any]) -> set[str]:
    """With a server the settings are those of tests: warnings about them are right."""
    return {found["settings"]["state"]} if environment.ON_POSTGRES else set()


@pytest.mark.parametrize(
    ("role", "where"), [("worker", "still waits to be opened"), ("dispatcher", "no dispatcher has taken it")]
)
def test_while_one_hangs_the_canary_says_where_it_stands(role: str, where: str, installation: Installation) -> None:
    with stopped(installation, role):
        found = doctor(installation, "--canary-within", "1")
    assert where in found["canary"]["seen"], found["canary"]
    assert role in found["canary"]["to_do"]
    wait_for(lambda: doctor(installation)["canary"]["state"] == "ok", within_s=60, what=installation.tail())


@pytest.mark.parametrize("role", ["worker", "dispatcher", "beat"])
def test_one_that_hangs_is_unhealthy_until_it_goes_on(role: str, installation: Installation) -> None:
    with stopped(installation, role) as pid:
        [path] = (installation.data_dir / "pulse").glob(f"{role}-*-{pid}")
        at = path.stat().st_mtime - pulse.STALE_AFTER_S  # in place of as much waiting
        os.utime(path, (at, at))
        wait_for(lambda: health(installation, role)[0] == 1, within_s=30, what="its pulse to be too old")
        assert f"{role} {pid}: it hangs" in health(installation, role)[1]
    wait_for(lambda: health(installation, role)[0] == 0, within_s=30, what="its pulse")


@pytest.mark.parametrize("role", ["web", "smtp"])
def test_a_listener_that_hangs_is_unhealthy(role: str, installation: Installation) -> None:
    with stopped(installation, role):
        # it may be at a request that came before
        wait_for(lambda: "nothing answers" in health(installation, role)[1], within_s=20, what="that nothing answers")
        assert health(installation, role)[0] == 1
    wait_for(lambda: health(installation, role)[0] == 0, within_s=30, what="its answer")


def test_one_that_was_killed_is_gone_and_its_successor_is_well(installation: Installation) -> None:
    first = installation.pids()["worker"][0]
    os.kill(first, signal.SIGKILL)

    def is_another_one() -> bool:
        is_well = health(installation, "worker")[0] == 0
        return is_well and not list((installation.data_dir / "pulse").glob(f"worker-*-{first}"))

    wait_for(is_another_one, within_s=60, what="another one")
