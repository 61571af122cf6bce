"""Emails into one mbox file, the oldest first, little by little: however many there are, one is in memory at a time."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from django.db.models import QuerySet

from emailgistics.common import openings
from emailgistics.common.errors import ConflictError, UnavailableError
from emailgistics.common.ids import first_id_at
from mailboxes import mbox
from mailboxes.listing import ID_WITHIN
from mailboxes.models import Email, Mailbox
from mailboxes.raw import CorruptRawError, RawGoneError, RawRemovedError, raw_of

BATCH = 200  # rows without their raws
EVERYTHING = "everything"  # what the audit log says it is of, without a mailbox


@dataclass(slots=True)
class Exported:
    """gone: their raws are not kept any longer; corrupt: the ids of those whose stored octets are not the accepted."""

    emails: int = 0
    octets: int = 0
    gone: int = 0
    corrupt: list[str] = field(default_factory=list)


def export_mbox(
    path: Path,
    *,
    mailbox: Mailbox | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: Callable[[Exported], None] = lambda _: None,
) -> Exported:
    """What was received from since on and before until, to a new file that only its owner reads.

    The file is there once it is whole. That it was asked for is in the audit log before the first octet is written.
    Raises ConflictError if there is a file by that name, UnavailableError if none can be written.
    """
    if path.exists():
        raise ConflictError(f"{path} exists already; give another name, or take it away first.")
    rows = emails_between(mailbox, since, until)
    done = Exported()
    try:
        with _whole_file(path) as file:
            span = {name: at.isoformat() for name, at in (("since", since), ("until", until)) if at}
            openings.note_exported(of=mailbox.public_id if mailbox else EVERYTHING, **span)
            for email in _one_by_one(rows):
                _write(file, email, done)
                if not (done.emails + done.gone) % BATCH:
                    progress(done)
    except OSError as error:
        raise UnavailableError(f"{path} cannot be written: {error.strerror or error}.") from error
    return done


def emails_between(mailbox: Mailbox | None, since: datetime | None, until: datetime | None) -> QuerySet[Email]:
    """Of every mailbox without one."""
    rows = Email.objects.filter(mailbox=mailbox) if mailbox else Email.objects.all()
    if since:
        rows = rows.filter(received_at__gte=since, pk__gte=first_id_at(since - ID_WITHIN))
    if until:
        rows = rows.filter(received_at__lt=until, pk__lt=first_id_at(until + ID_WITHIN))
    return rows


def _one_by_one(rows: QuerySet[Email]) -> Iterator[Email]:
    """In the order of their ids. No cursor is held open: mail goes on coming, and nothing is kept from being erased."""
    of_message = (f"message__{name}" for name in OF_MESSAGE)
    shown = rows.select_related("message").only("pk", "received_at", "raw_removed_at", *of_message)
    batch = list(shown.order_by("pk")[:BATCH])
    while batch:
        yield from batch
        batch = list(shown.filter(pk__gt=batch[-1].pk).order_by("pk")[:BATCH])


OF_MESSAGE = ("mail_from", "size", "sha256")


def _write(file: BinaryIO, email: Email, done: Exported) -> None:
    try:
        raw = raw_of(email)
    except (RawGoneError, RawRemovedError):
        done.gone += 1
        return
    except CorruptRawError:
        done.corrupt.append(email.public_id)
        return
    done.octets += file.write(mbox.entry(raw, mail_from=email.message.mail_from, received_at=email.received_at))
    done.emails += 1


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name, with all that it is to hold, or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def _name(draft: Path, path: Path) -> None:
    try:
        # not rename: that would replace what somebody else has put there meanwhile
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        draft.rename(path)
