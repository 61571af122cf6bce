"""Imports of aliases: checking a file, doing it when somebody says so, and going on after whatever stopped it.

A chunk is a few lines, in one transaction with the place of the next chunk: whatever ends a worker, each line is done
once. Checking does the same, and takes it back: what it says is what the services say.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import audit
from emailgistics.common.bulk import delete_little_by_little
from emailgistics.common.errors import ConflictError, DomainError, RefusedError, UnavailableError
from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import nudge
from mailboxes import addresses
from mailboxes.addresses import InvalidAddressError, ParsedAddress, shown
from mailboxes.models import Alias, AliasImport, AliasImportChunk, Domain, Mailbox
from mailboxes.patterns import is_pattern
from mailboxes.services import process, provision
from mailboxes.services.alias_files import AliasFile, Fault

log = get_logger(__name__)

AT_ONCE = 50  # lines of a chunk: a transaction that nobody notices
AT_WORK_AT_MOST = 5  # files at a time, of everybody
AFTER_FAULT = timedelta(minutes=1)
KEPT_FOR = timedelta(days=30)  # then the file and what became of it are forgotten
WORK = "mailboxes.tasks.process"  # the task whose worker does it, when no mail waits

CREATED, CHANGED, UNCHANGED, FAILED = OUTCOMES = ("created", "changed", "unchanged", "failed")
State = AliasImport.State

# the services' names for what a cell says
COLUMN_OF = {
    "name": "address",
    "domain_id": "address",
    "mailbox_id": "mailbox",
    "further_mailbox_ids": "further_mailboxes",
    "is_active": "active",
}
ACTIVE = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def begin(file: AliasFile, *, name: str, by: User) -> AliasImport:
    """Stores the file, to be checked. Raises ConflictError if too many are under way."""
    if AliasImport.objects.at_work().count() >= AT_WORK_AT_MOST:
        raise ConflictError(f"{AT_WORK_AT_MOST} imports are under way; wait for one, or cancel it.")
    printable = "".join(character for character in name if character.isprintable())
    with transaction.atomic():
        job = AliasImport.objects.create(
            name=printable[:200],
            columns=file.columns,
            total=len(file.lines),
            person_id=by.pk,
            created_by=by.get_username()[:200],
            due_at=timezone.now(),
        )
        lines = [[line.number, line.fault, line.cells] for line in file.lines]
        chunks = (
            AliasImportChunk(of=job, n=n, lines=lines[first : first + AT_ONCE])
            for n, first in enumerate(range(0, len(lines), AT_ONCE))
        )
        AliasImportChunk.objects.bulk_create(chunks, batch_size=200)
        transaction.on_commit(_nudge, robust=True)
    return job


def confirm(job: AliasImport, *, by: User, address: str | None) -> None:
    """Does what was checked. Once is as good as twice. Raises ConflictError if it was not checked, or is canceled."""
    with transaction.atomic():
        zeros = dict.fromkeys(OUTCOMES, 0)
        begun = AliasImport.objects.filter(pk=job.pk, state=State.CHECKED).update(
            state=State.RUNNING, next_chunk=0, due_at=Now(), person_id=by.pk, **zeros
        )
        if begun:
            details = {"lines": job.total, "failing": job.failed}
            audit.record("aliases.imported", of=job.public_id, person=by, address=address, details=details)
            transaction.on_commit(_nudge, robust=True)
    job.refresh_from_db()
    if job.state in (State.CHECKING, State.CANCELED):
        raise ConflictError("The file is not checked yet." if job.state == State.CHECKING else "It was canceled.")


def cancel(job: AliasImport, *, by: str) -> None:
    """What is done stays done. Raises ConflictError if all of it is."""
    rows = AliasImport.objects.filter(pk=job.pk, state__in=[*AliasImport.AT_WORK, State.CHECKED])
    if rows.update(state=State.CANCELED, ended_at=Now()):
        log.info("import.canceled", job=job.public_id, by=by)
    job.refresh_from_db()
    if job.state == State.DONE:
        raise ConflictError("The import is done; there is nothing left to cancel.")


def drain(*, until: float) -> int:
    """Goes on with what is under way, a chunk at a time; until is of `time.monotonic`. Returns how many it did.

    New mail goes first, after one chunk: a host that is never idle finishes, too.
    """
    done = 0
    # a plain read: no write lock on SQLite while nothing is to do
    while pk := AliasImport.objects.at_work().filter(due_at__lte=Now()).order_by("due_at").values_list("pk").first():
        if not work(pk[0]):
            break
        done += 1
        if time.monotonic() >= until or process.claimable().exists():
            _nudge()
            break
    return done


def work_for(job: AliasImport, *, at_most_s: float) -> None:
    """The beginning at once: with a short file that is all, and nobody waits for a worker. job then shows it."""
    until = time.monotonic() + at_most_s
    while time.monotonic() < until and work(job.pk):
        pass
    job.refresh_from_db()


def work(pk: UUID) -> bool:
    """One chunk. False: there is nothing to be done of it now."""
    try:
        with transaction.atomic(durable=True):
            rows = AliasImport.objects.at_work().filter(pk=pk)
            job = rows.select_for_update(skip_locked=True, no_key=True).first()
            if job is not None:
                _work(job)
            return job is not None
    except Exception:
        # others go on, and so does this one, later: what it had done of this chunk is undone as a whole
        log.exception("import.failed", job=str(pk))
        AliasImport.objects.at_work().filter(pk=pk).update(due_at=Now() + AFTER_FAULT)
        return False


def forget_old() -> int:
    kept_from = timezone.now() - KEPT_FOR
    ended = AliasImport.objects.filter(created_at__lt=kept_from).exclude(state__in=AliasImport.AT_WORK)
    delete_little_by_little(AliasImportChunk.objects.filter(of__in=ended))
    return delete_little_by_little(ended)


def _nudge() -> None:
    nudge(WORK)


def _work(job: AliasImport) -> None:
    chunk = job.chunks.filter(n=job.next_chunk).first()
    if chunk is None:
        is_checked = job.state == State.CHECKING
        ended: dict[str, Any] = {"state": State.CHECKED} if is_checked else {"state": State.DONE, "ended_at": Now()}
        AliasImport.objects.filter(pk=job.pk).update(**ended)
        log.info("import.checked" if is_checked else "import.done", job=job.public_id, lines=job.worked)
        return
    person = User.objects.filter(pk=job.person_id).first() if job.person_id else None
    results = [_result(job, person, fault, cells) for _, fault, cells in chunk.lines]
    outcomes = [result[0] for result in results]
    failed = outcomes.count(FAILED)
    AliasImportChunk.objects.filter(pk=chunk.pk).update(results=results, failed=failed)
    counts = {name: F(name) + outcomes.count(name) for name in OUTCOMES}
    # others have waited longer now
    AliasImport.objects.filter(pk=job.pk).update(next_chunk=F("next_chunk") + 1, due_at=Now(), **counts)


class _TakenBackError(Exception):
    """Ends a transaction that was only to show what would happen."""


def _result(job: AliasImport, person: User | None, fault: Fault | None, cells: list[str]) -> list[str]:
    if fault is not None:
        return [FAILED, *fault]
    given = dict(zip(job.columns, cells, strict=True))
    changes: list[str] = []
    outcome = FAILED
    try:
        with transaction.atomic():
            outcome, alias, changes = _apply(given)
            if job.state == State.CHECKING:
                raise _TakenBackError  # noqa: TRY301 - what takes it back is the end of the block
            if person is not None and outcome != UNCHANGED:
                flag = ADDITION if outcome == CREATED else CHANGE
                LogEntry.objects.log_actions(person.pk, [alias], flag, f"{outcome} by {job.public_id}")
    except _TakenBackError:
        pass
    except UnavailableError:
        raise
    except DomainError as error:
        column = COLUMN_OF.get(error.field or "", error.field or "address")
        return [FAILED, column, _remedied(error)]
    return [outcome, "", ", ".join(COLUMN_OF.get(name, name) for name in changes)]


def _remedied(error: DomainError) -> str:
    if isinstance(error, provision.AddressUnavailableError):
        return f"{error.message} A mailbox has it, or it rests since its owner was deleted; choose another one."
    return error.message


def _apply(given: Mapping[str, str]) -> tuple[str, Alias, list[str]]:
    """What became of it, and of a changed one what was changed. Raises DomainError, with the field at fault."""
    values = _values(given)
    name, domain_name = _split(given["address"])
    alias = _find(name, domain_name)
    if alias is None:
        mailbox = values.pop("mailbox", None) or _usual_mailbox(domain_name)
        return CREATED, provision.create_alias(address=given["address"], mailbox=mailbox, **values), []
    changes = {name: value for name, value in values.items() if _differs(alias, name, values)}
    if not changes:
        return UNCHANGED, alias, []
    return CHANGED, provision.update_alias(alias, **changes), list(changes)


def _find(name: str, domain_name: str) -> Alias | None:
    """By the unique rows of addresses, or of patterns: a domain may have very many aliases."""
    rows = Alias.objects.live().select_related("domain", "mailbox__domain").filter(domain__name=domain_name)
    if is_pattern(name):
        return rows.filter(kind=Alias.Kind.PATTERN, name=name).first()
    key = addresses.local_key(name)
    return rows.filter(address_row__local_key=key, address_row__domain__name=domain_name).first()


def _split(address: str) -> tuple[str, str]:
    try:
        return provision.split_alias(address)
    except InvalidAddressError as error:
        error.field = "address"
        raise


def _values(given: Mapping[str, str]) -> dict[str, Any]:
    """What the cells say; empty ones leave a thing as it is, or at its usual value, but for texts and lists."""
    values: dict[str, Any] = {}
    if "description" in given:
        values["description"] = given["description"]
    if "further_mailboxes" in given:
        texts = [text.strip() for text in given["further_mailboxes"].split(",")]
        values["further_mailboxes"] = [_mailbox(text, "further_mailboxes") for text in texts if text]
    if text := given.get("mailbox", "").strip():
        values["mailbox"] = _mailbox(text, "mailbox")
    if text := given.get("active", "").strip():
        if text.lower() not in ACTIVE:
            raise RefusedError(f"{shown(text)} is neither yes nor no; write one of them.", field="active")
        values["is_active"] = ACTIVE[text.lower()]
    if text := given.get("priority", "").strip():
        if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004 - more is refused below
            limit = provision.MAX_PRIORITY
            raise RefusedError(f"{shown(text)} is no whole number; write one from 0 to {limit}.", field="priority")
        values["priority"] = int(text)
    return values


def _mailbox(text: str, column: str) -> Mailbox:
    try:
        address = ParsedAddress.parse(text)
    except InvalidAddressError as error:
        error.field = column
        raise
    rows = Mailbox.objects.live().select_related("domain").filter(address_row__local_key=address.local_key)
    mailbox = rows.filter(address_row__domain__name=address.domain).first()
    if mailbox is None:
        raise RefusedError(f"There is no mailbox {shown(text)}; create it first, or name another one.", field=column)
    return mailbox


def _usual_mailbox(domain_name: str) -> Mailbox:
    domain = Domain.objects.live().filter(name=domain_name).first()
    if domain is None:
        raise RefusedError(f"There is no domain {domain_name} here; create it first.", field="address")
    return provision.mailbox_for_alias(domain, among=Mailbox.objects.live())


def _differs(alias: Alias, name: str, values: Mapping[str, Any]) -> bool:
    if name == "further_mailboxes":
        first = values.get("mailbox", alias.mailbox)
        wanted = {mailbox.pk for mailbox in values[name]} - {first.pk}
        return wanted != set(alias.copies.filter(mailbox__deleted_at=None).values_list("mailbox", flat=True))
    return bool(getattr(alias, name) != values[name])
