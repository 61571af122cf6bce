"""What has to hold though the database is set back to a backup: keys that were revoked, mail that was erased, and more.

An entry is a row in the transaction of what it is about, and from the commit on a line in JOURNAL_FILE, outside the
database. The row comes first: where the file cannot be written, or a process is killed before it has, `catch_up` writes
the line later. Twice is as good as once: a line has the id of its row, and whoever applies it looks for that first.

A line holds ids, identifiers, marks and times: no address, no name, no secret.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from django.utils import timezone

from emailgistics.common.ids import uuid7
from emailgistics.common.logs import get_logger
from emailgistics.common.models import JournalEntry

log = get_logger(__name__)

AT_ONCE = 500


def note(what: str, **about: Any) -> None:
    """In the caller's transaction. what is `apikey.revoked`; about is JSON, of is the id or identifier of a thing.

    A file that cannot be written fails nobody: it is an alarm, and is made good.
    """
    entry = JournalEntry.objects.create(id=uuid7(), at=timezone.now(), body={"what": what, **about})
    transaction.on_commit(lambda: _write_now(entry.pk), robust=True)


def note_person(what: str, person: User, **about: Any) -> None:
    """The same of a person, who has nothing but a number: with when he was made, which nobody else of that number has,
    neither here, once it is given away again, nor in another installation.
    """
    note(what, of=person.pk, joined=person.date_joined.isoformat(), **about)


def catch_up() -> int:
    """Writes what no file has yet, and says how much that was."""
    written = 0
    try:
        while count := write():
            written += count
    except OSError as error:
        log.error("journal.not_written", file=str(path()), error=error.strerror)  # noqa: TRY400 - all is said
    return written


def write(only: Collection[UUID] | None = None) -> int:
    """Appends a batch, the oldest first, and returns how many once they are on the disk. Raises OSError."""
    waiting = JournalEntry.objects.filter(written_at=None)
    rows = list((waiting if only is None else waiting.filter(pk__in=only)).order_by("at", "id")[:AT_ONCE])
    if rows:
        append(path(), map(_line, rows))
        JournalEntry.objects.filter(pk__in=[row.pk for row in rows]).update(written_at=timezone.now(), body={})
    return len(rows)


def append(file: Path, lines: Iterable[bytes]) -> None:
    """Each whole or not at all, as far as readers can see: a line that was torn ends before the next one begins."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
        for line in lines:
            if os.write(descriptor, line + b"\n") <= len(line):
                raise OSError(0, "a line was written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    """So that the name of a new file in it is on the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def path() -> Path:
    return Path(settings.JOURNAL_FILE)


def _write_now(pk: UUID) -> None:
    try:
        write([pk])
    except (OSError, DatabaseError) as error:
        log.warning("journal.later", error=type(error).__name__)


def _line(row: JournalEntry) -> bytes:
    return json.dumps({"id": str(row.pk), "at": row.at.isoformat(), **row.body}).encode()
