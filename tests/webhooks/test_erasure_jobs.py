"""Deleting a mailbox or a domain with its mail: a job erases it, each email once, whatever happens meanwhile."""

import os
import signal
import threading
import time
from importlib import import_module
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.db import connection

from emailgistics.common.access import Actor, Scope
from emailgistics.common.errors import ConflictError
from mailboxes.models import Email, ErasureJob, Mailbox, Message
from mailboxes.services import erasure_jobs, provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_delivery, make_mailbox, make_message, make_webhook
from tests.mailboxes.api_client import BASE, NOT_FOUND_BODY, answered, problem, send, unknown
from tests.webhooks.browsing import make_job
from webhooks.models import DELETED, MAILBOX_DELETED, Delivery, Event, ReplayJob
from webhooks.services import erasures, queue, retention, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

DELETE = [Scope.MAILBOXES_WRITE, Scope.EMAILS_WRITE]


@pytest.fixture(autouse=True)
def _time_is_no_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "SLICE", erasures.AFTER_FAULT)


def mails(count: int, *, to: str = "support@example.com") -> None:
    for _ in range(count):
        make_message(to=(to,))


def job_of(mailbox: Mailbox, *, by: str = "Ada") -> ErasureJob:
    job = provision.delete_mailbox(mailbox, with_mail=True, by=Actor(by))
    assert job is not None
    return job


def state_of(job: ErasureJob) -> tuple[str, int, int]:
    job.refresh_from_db()
    return job.state, job.erased, job.total


def test_a_mailbox_goes_with_its_mail_and_a_job_says_how_far_that_is() -> None:
    mailbox = make_mailbox()
    mails(3)
    make_mailbox(address="sales@example.com")
    mails(1, to="sales@example.com")
    client = make_client(mailboxes=[mailbox], scopes=DELETE)
    answer = send(client, "delete", f"/v1/mailboxes/{mailbox.public_id}?with=mail")
    job = ErasureJob.objects.get()
    created_at = job.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shape: dict[str, Any] = {
        "id": job.public_id,
        "created_at": created_at,
        "kind": "erasure",
        "domain_id": None,
        "mailbox_id": mailbox.public_id,
        "state": "running",
        "total": 3,
        "erased": 0,
        "failed": 0,
        "failed_email_ids": [],
        "ended_at": None,
    }
    assert answered(answer) == (202, shape)
    assert answer["Location"] == f"{BASE}/v1/jobs/{job.public_id}"
    assert answered(client.get(f"/v1/jobs/{job.public_id}")) == (200, shape)
    erasures.work_erasures()
    after = client.get(f"/v1/jobs/{job.public_id}").json()
    assert after.pop("ended_at") is not None
    assert after | {"ended_at": None} == shape | {"state": "done", "erased": 3}
    assert [email.mailbox.local_part for email in Email.objects.all()] == ["sales"]
    assert Message.objects.count() == 1
    gone = send(client, "delete", f"/v1/jobs/{job.public_id}")
    assert answered(gone) == (409, problem(409, "conflict", "The mail is erased; there is nothing left to cancel."))


def test_a_domain_goes_with_the_mail_of_all_its_mailboxes_but_not_of_those_that_went_before() -> None:
    boxes = [make_mailbox(address=f"{name}@example.com") for name in ("one", "two", "old")]
    for box in boxes:
        mails(2, to=box.address)
    erasure_jobs.cancel(job_of(boxes[2]), by="Ada")
    domain = boxes[0].domain
    client = make_client(scopes=[Scope.DOMAINS_WRITE, Scope.EMAILS_WRITE])
    answer = send(client, "delete", f"/v1/domains/{domain.public_id}?with=mail")
    assert (answer.status_code, answer.json()["domain_id"], answer.json()["total"]) == (202, domain.public_id, 4)
    erasures.work_erasures()
    assert {email.mailbox.local_part for email in Email.objects.all()} == {"old"}
    assert ErasureJob.objects.get(domain=domain).state == "done"


def test_without_mail_a_job_is_done_at_once_and_without_the_word_there_is_none() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="other@example.com")
    assert provision.delete_mailbox(other) is None
    job = job_of(mailbox)
    erasures.work_erasures()
    assert state_of(job) == ("done", 0, 0)


def test_news_of_the_mail_goes_with_it() -> None:
    delivery = make_delivery(make_webhook())
    assert delivery.event.email is not None
    job = job_of(delivery.event.email.mailbox)
    erasures.work_erasures()
    assert state_of(job)[0] == "done"
    assert (Delivery.objects.count(), Event.objects.count(), Email.objects.count()) == (0, 0, 0)


def test_mail_that_is_in_another_mailbox_as_well_stays_there() -> None:
    mailbox = make_mailbox()
    make_mailbox(address="sales@example.com")
    make_message(to=("support@example.com", "sales@example.com"))
    job_of(mailbox)
    erasures.work_erasures()
    assert (Email.objects.get().mailbox.local_part, Message.objects.count()) == ("sales", 1)


def killed_at(where: str, nth: int) -> None:
    """A process that works, and is killed with -9 once it has done that for the nth time, before it commits."""
    connection.close()  # the child has one of its own
    child = os.fork()
    if child:
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        return
    try:
        module, _, name = where.rpartition(".")
        as_it_is = getattr(import_module(module), name)
        calls = count(1)

        def until_killed(*args: Any, **more: Any) -> None:
            as_it_is(*args, **more)
            if next(calls) == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        with mock.patch(where, until_killed):
            erasures.work_erasures()
    finally:
        os._exit(1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("where", ["mailboxes.services.erase.erase_held", "webhooks.services.erasures.erase_news"])
def test_whoever_is_killed_at_it_has_counted_what_is_gone_and_no_more(where: str, nth: int) -> None:
    mailbox = make_mailbox()
    mails(4)
    job = job_of(mailbox)
    killed_at(where, nth)
    assert state_of(job) == ("running", nth - 1, 4)
    assert Email.objects.count() == 4 - (nth - 1)
    until = time.monotonic() + 20
    while state_of(job)[0] == "running" and time.monotonic() < until:
        erasures.work_erasures()  # passes over it until the database has noticed that its holder is gone
    assert state_of(job) == ("done", 4, 4)
    assert Email.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_several_at_once_count_each_email_once() -> None:
    mailbox = make_mailbox()
    mails(12)
    job = job_of(mailbox)
    together, faults = threading.Barrier(3), []

    def work() -> None:
        together.wait(timeout=20)
        try:
            while ErasureJob.objects.running().exists():
                erasures.work_erasures()
        except BaseException as error:
            faults.append(error)
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert state_of(job) == ("done", 12, 12)
    assert Email.objects.count() == 0


def test_a_fault_of_one_job_holds_no_other_up_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = make_mailbox(), make_mailbox(address="sales@example.com")
    mails(1)
    mails(1, to="sales@example.com")
    first, second = job_of(bad), job_of(good)
    as_it_is = erasures.erase_news

    def broken_for_one(email: Email, *, by: str) -> int:
        if email.mailbox_id == bad.pk:
            raise RuntimeError("broken")
        return as_it_is(email, by=by)

    with mock.patch.object(erasures, "erase_news", broken_for_one):
        erasures.work_erasures()
    assert (state_of(first)[0], state_of(second)[0]) == ("running", "done")
    erasures.work_erasures()
    assert state_of(first) == ("running", 0, 1)  # not at once
    ErasureJob.objects.filter(pk=first.pk).update(due_at=first.created_at)
    erasures.work_erasures()
    assert state_of(first) == ("done", 1, 1)


def test_a_slice_is_short_however_much_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = make_mailbox()
    mails(3)
    job = job_of(mailbox)
    monkeypatch.setattr(erasures, "SLICE", erasures.AFTER_FAULT * 0)
    erasures.work_erasures()
    assert state_of(job) == ("running", 1, 3)


def test_a_canceled_job_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = make_mailbox()
    mails(2)
    client = make_client(mailboxes=[mailbox], scopes=DELETE)
    url = send(client, "delete", f"/v1/mailboxes/{mailbox.public_id}?with=mail")["Location"].removeprefix(BASE)
    monkeypatch.setattr(erasures, "SLICE", erasures.AFTER_FAULT * 0)
    erasures.work_erasures()
    for _ in range(2):
        assert send(client, "delete", url).status_code == 204
    erasures.work_erasures()
    read = client.get(url).json()
    assert (read["state"], read["erased"], read["total"]) == ("canceled", 1, 2)
    assert Email.objects.count() == 1


def test_a_job_is_for_who_asked_for_it_and_has_its_scope() -> None:
    mailbox = make_mailbox()
    asked = make_client(mailboxes=[mailbox], scopes=DELETE)
    same = make_client(mailboxes=[mailbox])
    url = send(asked, "delete", f"/v1/mailboxes/{mailbox.public_id}?with=mail")["Location"].removeprefix(BASE)
    assert asked.get(url).status_code == 200
    assert make_client(scopes=[Scope.EMAILS_WRITE]).get(url).status_code == 200
    replays = make_client(scopes=[Scope.WEBHOOKS_WRITE])
    for client in (same, make_client(scopes=[Scope.EMAILS_READ]), replays):
        for method in ("get", "delete"):
            assert answered(send(client, method, url)) == (404, NOT_FOUND_BODY)
            assert answered(send(client, method, f"/v1/jobs/{unknown(ErasureJob)}")) == (404, NOT_FOUND_BODY)
    assert ErasureJob.objects.get().state == "running"


def test_what_was_open_is_canceled_with_who_did_it() -> None:
    delivery = make_delivery(make_webhook())
    webhooks.delete_webhook(delivery.webhook, by=Actor("the key emgk_AbC123xYz9"))
    queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("canceled", f"{DELETED} by the key emgk_AbC123xYz9")


def test_and_so_is_what_was_bound_to_something_that_went() -> None:
    alias = make_alias()
    webhook = make_webhook(alias=alias)
    delivery = make_delivery(webhook)
    provision.delete_alias(alias, by=Actor("Ada"))
    queue.settle()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("canceled", f"{DELETED} by Ada")


def test_and_what_was_open_about_mail_of_a_mailbox_that_went() -> None:
    delivery = make_delivery(make_webhook())
    assert delivery.event.email is not None
    erasure_jobs.cancel(job_of(delivery.event.email.mailbox, by="Ada"), by="Ada")
    Delivery.objects.update(state=Delivery.State.HELD)
    retention.prune()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("canceled", f"{MAILBOX_DELETED} by Ada")


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> set[Any]:
    """Ids of emails that cannot be erased as long as they are in it."""
    ids: set[Any] = set()
    as_it_is = erasures.erase.erase_held

    def erase_held(email: Email, **more: Any) -> None:
        is_one = email.pk in ids
        as_it_is(email, **more)
        if is_one:
            raise ZeroDivisionError

    monkeypatch.setattr(erasures.erase, "erase_held", erase_held)
    return ids


def in_rounds(job: ErasureJob) -> None:
    for _ in range(erasures.ROUNDS):
        ErasureJob.objects.filter(pk=job.pk).update(due_at=job.created_at)
        erasures.work_erasures()


def test_what_cannot_be_erased_does_not_keep_the_rest_and_is_named_in_the_end(stubborn: set[Any]) -> None:
    mailbox = make_mailbox()
    mails(4)
    first, _, third, _ = Email.objects.order_by("pk")
    stubborn |= {first.pk, third.pk}
    client = make_client(mailboxes=[mailbox], scopes=DELETE)
    send(client, "delete", f"/v1/mailboxes/{mailbox.public_id}?with=mail")
    job = ErasureJob.objects.get()
    erasures.work_erasures()
    assert state_of(job) == ("running", 2, 4)
    assert list(Email.objects.order_by("pk")) == [first, third]
    assert job.due_at > job.created_at  # the next round is later
    in_rounds(job)
    assert state_of(job) == ("failed_in_part", 2, 4)
    shown = client.get(f"/v1/jobs/{job.public_id}").json()
    assert (shown["state"], shown["failed"]) == ("failed_in_part", 2)
    assert shown["failed_email_ids"] == [first.public_id, third.public_id]
    assert [kind for _, kind in job.failures] == ["ZeroDivisionError"] * 2
    with pytest.raises(ConflictError):
        erasure_jobs.cancel(job, by="Ada")
    stubborn.clear()
    erasure_jobs.try_again(job, by="Ada")
    erasures.work_erasures()
    assert state_of(job) == ("done", 4, 4)
    assert (job.failed, job.failures) == (0, [])
    with pytest.raises(ConflictError):
        erasure_jobs.try_again(job, by="Ada")


def test_what_could_not_be_erased_once_is_erased_in_the_next_round(stubborn: set[Any]) -> None:
    job = job_of_some(stubborn)
    erasures.work_erasures()
    stubborn.clear()
    in_rounds(job)
    assert state_of(job) == ("done", 3, 3)
    assert job.failed == 0


def job_of_some(stubborn: set[Any]) -> ErasureJob:
    mailbox = make_mailbox()
    mails(3)
    stubborn |= {Email.objects.order_by("pk").values_list("pk", flat=True)[1]}
    return job_of(mailbox)


def test_jobs_are_listed_for_those_who_may_read_them(loopback_allowed: None) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    replay = make_job(make_webhook(mailbox=other))
    ReplayJob.objects.update(mailbox_ids=[str(other.pk)])
    client = make_client(mailboxes=[mailbox, other], scopes=[*DELETE, Scope.WEBHOOKS_READ])
    narrow = make_client(mailboxes=[mailbox, other], scopes=DELETE)
    send(client, "delete", f"/v1/mailboxes/{mailbox.public_id}?with=mail")
    erasure = ErasureJob.objects.get()

    def listed(by: Any, query: str = "") -> list[str]:
        answer = by.get(f"/v1/jobs{query}")
        assert answer.status_code == 200, answer.content
        for job in answer.json()["data"]:
            assert by.get(f"/v1/jobs/{job['id']}").json() == job
        return [job["id"] for job in answer.json()["data"]]

    assert listed(client) == [erasure.public_id, replay.public_id]
    assert listed(client, "?limit=1") == [erasure.public_id]
    assert listed(client, "?limit=1&page=2") == [replay.public_id]
    assert listed(client, f"?starting_after={erasure.public_id}") == [replay.public_id]
    assert listed(client, f"?ending_before={replay.public_id}") == [erasure.public_id]
    assert listed(narrow) == []  # it asked for none of them
    assert listed(narrow, f"?ending_before={replay.public_id}") == []
    assert listed(make_client(scopes=[Scope.EMAILS_WRITE])) == [erasure.public_id]
    assert listed(make_client(scopes=[Scope.MAILBOXES_READ])) == []
    assert client.get("/v1/jobs?state=done").status_code == 400
