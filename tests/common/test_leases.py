import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, OperationalError, connection, connections
from django.db.models.functions import Now

from emailgistics.common import leases
from emailgistics.common.models import Lease
from tests.installation import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

RENEWALS_S = 0.4  # time for several, as `fast` sets them


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", timedelta(seconds=0.05))
    monkeypatch.setattr(leases, "LEASE_FOR", timedelta(seconds=0.5))


def let_run_out(pk: UUID) -> None:
    Lease.objects.filter(pk=pk).update(seen_at=Now() - 2 * leases.LEASE_FOR)


def test_a_lease_protects_for_the_time_of_its_block() -> None:
    with leases.held("mail") as lease:
        row = leases.alive().get()
        assert (row.pk, row.kind, row.pid) == (lease.id, "mail", os.getpid())
        assert not lease.is_lost
    assert not Lease.objects.exists()


def test_a_held_lease_outlives_its_term_by_being_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    with leases.held("mail") as lease:
        seen_at = leases.alive().get().seen_at
        wait(2 * leases.LEASE_FOR)
        assert leases.alive().get().seen_at > seen_at
        assert not lease.is_lost


def test_the_lease_of_a_killed_worker_runs_out() -> None:
    row = Lease(kind="mail", host="worker.example.com", pid=1)
    row.seen_at = Now()
    row.save(force_insert=True)
    assert leases.alive().exists()
    wait(1.2 * leases.LEASE_FOR)
    assert not leases.alive().exists()


def test_a_lease_that_ran_out_stays_lost() -> None:
    with leases.held("mail") as lease:
        let_run_out(lease.id)
        wait(timedelta(seconds=RENEWALS_S))
        assert lease.is_lost
        assert not leases.alive().exists()


def test_a_deleted_lease_is_lost() -> None:
    with leases.held("mail") as lease:
        Lease.objects.all().delete()
        wait(timedelta(seconds=RENEWALS_S))
        assert lease.is_lost


def test_who_could_not_renew_for_too_long_counts_the_lease_as_lost_before_others_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise DatabaseError

    with leases.held("mail") as lease:
        with monkeypatch.context() as broken:
            broken.setattr(leases, "alive", refuse)
            wait(0.95 * leases.LEASE_FOR)
            assert lease.is_lost
        wait(timedelta(seconds=0.2))
        # the database is back, and the row may still be alive: what counts then is what it says
        assert lease.is_lost is not leases.alive().filter(pk=lease.id).exists()


def test_a_lease_that_could_not_be_ended_ends_when_the_database_is_back() -> None:
    def refuse(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if sql.startswith("DELETE"):
            raise OperationalError("server closed the connection")
        return execute(sql, *arguments)

    with connection.execute_wrapper(refuse), pytest.raises(ZeroDivisionError), leases.held("mail"):
        raise ZeroDivisionError  # it is the block's fault that is told, not the lease's
    wait_for(lambda: not Lease.objects.exists(), within_s=5, what="the end of the lease")


def test_leases_do_not_know_each_other() -> None:
    with leases.held("mail") as first, leases.held("webhooks") as second:
        let_run_out(first.id)
        wait(timedelta(seconds=RENEWALS_S))
        assert (first.is_lost, second.is_lost) == (True, False)


def test_leases_long_gone_are_forgotten() -> None:
    for age in (5, 11):
        row = Lease(kind="mail", host="worker.example.com", pid=age)
        row.seen_at = Now() - age * leases.LEASE_FOR
        row.save(force_insert=True)
    leases.forget_expired()
    assert [row.pid for row in Lease.objects.all()] == [5]


@pytest.fixture(autouse=True)
def no_connection_left_open() -> Iterator[None]:
    yield
    connections.close_all()


def wait(time: timedelta) -> None:
    threading.Event().wait(time.total_seconds())
