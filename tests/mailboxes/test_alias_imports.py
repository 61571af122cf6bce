"""Imports of aliases: what is said before is what happens, and each line happens once."""

import os
import signal
import threading
import time
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from emailgistics.common.errors import ConflictError
from emailgistics.common.models import AuditEntry
from mailboxes import tasks
from mailboxes.models import Alias, AliasImport, AliasImportChunk
from mailboxes.services import alias_files, alias_imports, provision, tidy
from tests.factories import make_alias, make_domain, make_mailbox

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_imports, "AT_ONCE", 5)


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create(username="ada")


def begun(ada: User, *lines: str, columns: str = "address,mailbox,active,priority,description") -> AliasImport:
    octets = "\n".join([columns, *lines]).encode()
    return alias_imports.begin(alias_files.read(octets), name="aliases.csv", by=ada)


def counts(job: AliasImport) -> tuple[str, int, int, int, int]:
    job.refresh_from_db()
    return job.state, job.created, job.changed, job.unchanged, job.failed


def worked(job: AliasImport) -> tuple[str, int, int, int, int]:
    alias_imports.work_for(job, at_most_s=60)
    return counts(job)


def results(job: AliasImport) -> list[list[str]]:
    return [result for chunk in job.chunks.order_by("n") for result in chunk.results]


def test_checking_says_what_would_happen_and_changes_nothing(ada: User) -> None:
    make_alias()
    sales = make_mailbox(address="sales@example.com")
    job = begun(
        ada,
        "new@example.com,support@example.com,yes,7,New",
        "help@example.com,sales@example.com,,,",
        "HELP@example.com.,,,,",
        "sales@example.com,support@example.com,,,",
        "x@nowhere.example,support@example.com,,,",
        "y@example.com,nobody@example.com,,,",
        "z@example.com,,maybe,,",
        "w@example.com,,,many,",
        "v@example.com,,,40000,",
        "no address,,,,",
    )
    assert worked(job) == ("checked", 1, 1, 0, 8)
    found = results(job)
    assert found[:2] == [["created", "", ""], ["changed", "", "mailbox"]]
    assert [(kind, column) for kind, column, _ in found[2:]] == [
        ("failed", "address"),  # twice
        ("failed", "address"),  # a mailbox
        ("failed", "address"),  # no such domain
        ("failed", "mailbox"),
        ("failed", "active"),
        ("failed", "priority"),
        ("failed", "priority"),
        ("failed", "address"),
    ]
    assert "line 3 already" in found[2][2]
    assert "create it first" in found[4][2]
    assert [alias.address for alias in Alias.objects.all()] == ["help@example.com"]
    assert Alias.objects.get().mailbox.address == "support@example.com"
    assert not LogEntry.objects.exists()
    alias_imports.confirm(job, by=ada, address="192.0.2.1")
    assert worked(job) == ("done", 1, 1, 0, 8)
    assert results(job) == found
    assert Alias.objects.get(name="help").mailbox == sales
    assert [(entry.object_repr, entry.user) for entry in LogEntry.objects.order_by("id")] == [
        ("new@example.com", ada),
        ("help@example.com", ada),
    ]
    entry = AuditEntry.objects.get(action="aliases.imported")
    assert (entry.of, entry.person, entry.details) == (job.public_id, ada, {"lines": 10, "failing": 8})


def test_columns_that_are_not_there_leave_a_thing_as_it_is(ada: User) -> None:
    alias = make_alias()
    provision.update_alias(alias, description="For all", is_active=False, priority=3)
    job = begun(ada, "help@example.com,For some", columns="address,description")
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    assert worked(job) == ("done", 0, 1, 0, 0)
    alias.refresh_from_db()
    assert (alias.description, alias.is_active, alias.priority) == ("For some", False, 3)


def test_an_alias_that_moves_may_leave_a_copy_where_it_was(ada: User) -> None:
    alias = make_alias()
    make_mailbox(address="sales@example.com")
    line = "help@example.com,sales@example.com,support@example.com"
    job = begun(ada, line, columns="address,mailbox,further_mailboxes")
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    assert worked(job) == ("done", 0, 1, 0, 0)
    alias.refresh_from_db()
    assert alias.mailbox.address == "sales@example.com"
    assert [copy.mailbox.address for copy in alias.copies.all()] == ["support@example.com"]


def test_nothing_is_done_before_somebody_says_so_and_then_once(ada: User) -> None:
    make_mailbox()
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(12)))
    with pytest.raises(ConflictError):
        alias_imports.confirm(job, by=ada, address=None)
    assert worked(job) == ("checked", 12, 0, 0, 0)
    assert not alias_imports.work(job.pk)
    alias_imports.confirm(job, by=ada, address=None)
    alias_imports.work(job.pk)
    alias_imports.confirm(job, by=ada, address=None)  # a double click
    assert worked(job) == ("done", 12, 0, 0, 0)
    alias_imports.confirm(job, by=ada, address=None)
    assert worked(job) == ("done", 12, 0, 0, 0)
    with pytest.raises(ConflictError):
        alias_imports.cancel(job, by="ada")


def test_what_is_canceled_goes_no_further(ada: User) -> None:
    make_mailbox()
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(12)))
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    alias_imports.work(job.pk)
    alias_imports.cancel(job, by="ada")
    assert worked(job) == ("canceled", alias_imports.AT_ONCE, 0, 0, 0)
    assert Alias.objects.count() == alias_imports.AT_ONCE
    with pytest.raises(ConflictError):
        alias_imports.confirm(job, by=ada, address=None)


def test_a_fault_undoes_its_lines_and_is_tried_again_later(ada: User) -> None:
    make_mailbox()
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(6)))
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    calls, create = count(), provision.create_alias

    def failing(**values: Any) -> Alias:
        if next(calls) == 5:
            raise ZeroDivisionError
        return create(**values)

    with mock.patch.object(provision, "create_alias", failing):
        assert worked(job) == ("running", 5, 0, 0, 0)
    assert Alias.objects.count() == 5
    assert job.due_at > timezone.now()
    assert alias_imports.drain(until=time.monotonic()) == 0  # not due yet
    assert worked(job) == ("done", 6, 0, 0, 0)


def test_the_mail_workers_go_on_with_it(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    monkeypatch.setattr(alias_imports, "AT_ONCE", 1)
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(3)))
    tasks.process()
    assert counts(job) == ("checked", 3, 0, 0, 0)


def test_files_are_forgotten_in_the_end(ada: User) -> None:
    make_domain()
    job, other = begun(ada, "a@example.com,,,,"), begun(ada, "b@example.com,,,,")
    alias_imports.cancel(job, by="ada")
    AliasImport.objects.update(created_at=timezone.now() - 2 * alias_imports.KEPT_FOR)
    assert tidy.tidy() >= 1
    assert list(AliasImport.objects.all()) == [other]  # it is under way
    assert AliasImportChunk.objects.count() == 1


def test_not_too_many_are_under_way(ada: User) -> None:
    for _ in range(alias_imports.AT_WORK_AT_MOST):
        begun(ada, "a@example.com,,,,")
    with pytest.raises(ConflictError, match="under way"):
        begun(ada, "a@example.com,,,,")


@pytest.mark.django_db(transaction=True)
def test_two_workers_do_each_line_once(ada: User) -> None:
    make_mailbox()
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(15)))
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    threads = [threading.Thread(target=_work_and_close, args=(job,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worked(job) == ("done", 15, 0, 0, 0)
    assert Alias.objects.count() == 15


def _work_and_close(job: AliasImport) -> None:
    try:
        alias_imports.work_for(AliasImport.objects.get(pk=job.pk), at_most_s=30)
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_leaves_nothing_half_done_and_nothing_is_done_twice(ada: User) -> None:
    make_mailbox()
    job = begun(ada, *(f"a{n}@example.com,,,," for n in range(12)))
    worked(job)
    alias_imports.confirm(job, by=ada, address=None)
    connections.close_all()
    child = os.fork()
    if not child:
        calls, create = count(), provision.create_alias

        def killed(**values: Any) -> Alias:
            if next(calls) == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return create(**values)

        provision.create_alias = killed
        alias_imports.work_for(job, at_most_s=60)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert counts(job) == ("running", 5, 0, 0, 0)
    assert Alias.objects.count() == 5
    assert worked(job) == ("done", 12, 0, 0, 0)
