"""Claims that outlive no worker.

A worker takes a lease, writes its id on the rows it claims, and renews one row of its own however many rows it holds.
When it is killed it stops renewing; rows whose lease is not among `alive()` may be taken over. A worker that was merely
slow, or stopped for a while, finds its lease lost and begins nothing more; what it still writes changes nothing,
because every write to a claimed row also matches the lease.

Time is the database's, so that the clocks of several hosts need not agree.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from django.db import Error, connections
from django.db.models import QuerySet
from django.db.models.functions import Now

from emailgistics.common.logs import get_logger
from emailgistics.common.models import Lease

log = get_logger(__name__)

RENEW_EVERY = timedelta(seconds=3)
LEASE_FOR = timedelta(seconds=15)  # longer than several renewals, shorter than anybody wants to wait for a mail
END_AGAIN_AFTER = timedelta(seconds=0.2)  # a database that is away; its return is not to be missed by much


@contextmanager
def held(kind: str) -> Iterator["HeldLease"]:
    """A lease for the time of the block, renewed from a thread of its own. Ends when the block ends.

    The lease ends with the block, and what its holder did not let go of is free at once. If the database is away just
    then, that is so as soon as it is back.
    """
    row = Lease(kind=kind, host=socket.gethostname()[:255], pid=os.getpid())
    row.seen_at = Now()
    row.save(force_insert=True)
    lease = HeldLease(row.pk)
    renewing = threading.Thread(target=lease.renew_until_stopped, name=f"lease-{kind}", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        lease.stop()
        renewing.join()
        _end(row.pk)


def _end(pk: UUID) -> None:
    try:
        Lease.objects.filter(pk=pk).delete()
    except Error as error:
        # its rows would wait until it has run out, long after the database is back
        log.warning("lease.not_ended", lease=str(pk), error=type(error).__name__)
        threading.Thread(target=_end_later, args=(pk,), name="lease-end", daemon=True).start()


def _end_later(pk: UUID) -> None:
    runs_out_at = time.monotonic() + LEASE_FOR.total_seconds()
    try:
        while time.monotonic() < runs_out_at:
            try:
                Lease.objects.filter(pk=pk).delete()
            except Error:
                connections.close_all()
                time.sleep(END_AGAIN_AFTER.total_seconds())
            else:
                return
    finally:
        connections.close_all()


class HeldLease:
    def __init__(self, pk: UUID) -> None:
        self.id = pk
        self._stopped = threading.Event()
        self._renewed_at = time.monotonic()

    @property
    def is_lost(self) -> bool:
        """Somebody may have taken our rows: begin nothing new with them.

        By our own clock and a little early, so that it holds for a process that was stopped and has just gone on.
        """
        return time.monotonic() - self._renewed_at > (LEASE_FOR - RENEW_EVERY).total_seconds()

    def stop(self) -> None:
        self._stopped.set()

    def renew_until_stopped(self) -> None:
        try:
            while not self._stopped.wait(RENEW_EVERY.total_seconds()):
                asked_at = time.monotonic()
                try:
                    # a lease that has run out stays run out, even if nobody has noticed yet
                    renewed = alive().filter(pk=self.id).update(seen_at=Now())
                except Error as error:
                    log.warning("lease.not_renewed", lease=str(self.id), error=type(error).__name__)
                    connections.close_all()
                    continue
                if not renewed:
                    log.warning("lease.lost", lease=str(self.id))
                    self._renewed_at = float("-inf")
                    return
                self._renewed_at = asked_at
        finally:
            connections.close_all()


def alive() -> QuerySet[Lease]:
    """The leases that still protect their rows."""
    return Lease.objects.filter(seen_at__gt=Now() - LEASE_FOR)


def forget_expired() -> None:
    """Deletes leases long gone. Their rows need no word of it: not being alive is enough."""
    Lease.objects.filter(seen_at__lte=Now() - 10 * LEASE_FOR).delete()
