import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from mailboxes.models import Email, Message, RawMessage, Recipient
from mailboxes.raw import read_raw
from mailboxes.services import provision, receive
from mailboxes.services.admit import Admission, admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import receive_message
from tests.factories import RAW, make_alias, make_mailbox

ENVELOPE = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1", helo="client.example.net")


def admitted(address: str) -> Admission:
    return admit(address, envelope=ENVELOPE)


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is outside; what would go to it is listed instead."""
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


@pytest.mark.django_db(transaction=True)
def test_a_message_is_stored_with_its_envelope_its_raw_and_a_nudge_after_the_commit(nudges: list[str]) -> None:
    alias = make_alias()
    before = timezone.now()
    receipt = receive_message(envelope=ENVELOPE, admissions=[admitted("help+7@example.com")], raw=RAW)

    stored = Message.objects.get()
    assert (receipt.message_id, receipt.public_id) == (stored.pk, stored.public_id)
    assert before <= stored.received_at <= timezone.now()
    assert (stored.mail_from, stored.client_ip, stored.helo, stored.tls, stored.source, stored.state) == (
        "ada@example.net", "192.0.2.1", "client.example.net", "", Message.Source.SMTP, Message.State.WAITING,
    )  # fmt: skip
    assert (stored.size, stored.sha256) == (len(RAW), hashlib.sha256(RAW).hexdigest())
    assert read_raw(stored) == RAW
    email = Email.objects.get()
    assert (email.message, email.mailbox, email.status) == (stored, alias.mailbox, Email.Status.WAITING)
    assert (email.received_at, email.size) == (stored.received_at, stored.size)
    recipient = Recipient.objects.get()
    assert (recipient.message, recipient.email, recipient.alias) == (stored, email, alias)
    assert (recipient.address, recipient.kind, recipient.tag) == ("help+7@example.com", Recipient.Kind.PLUS, "7")
    assert recipient.explanation[-1] == "help@example.com is an alias of support@example.com"
    assert nudges == ["mailboxes.tasks.process"]


@pytest.mark.django_db
def test_one_email_for_each_mailbox_and_one_recipient_for_each_rcpt() -> None:
    support = make_mailbox()
    sales = make_mailbox(address="sales@example.com")
    make_alias(mailbox=support)
    addresses = ["support@example.com", "sales@example.com", "help@example.com", "Support@example.com"]
    receive_message(envelope=ENVELOPE, admissions=list(map(admitted, addresses)), raw=RAW)
    assert [email.mailbox for email in Email.objects.order_by("id")] == [support, sales]
    led = Recipient.objects.values_list("address", "email__mailbox__local_part")
    assert list(led) == list(zip(addresses, ["support", "sales", "support", "support"], strict=True))


@pytest.mark.on_sqlite  # on PostgreSQL rows go by COPY, which is no query to Django
@pytest.mark.django_db
def test_however_many_recipients_it_takes_seven_statements(django_assert_num_queries: Callable[[int], Any]) -> None:
    make_mailbox()
    make_alias(address="*@example.com", mailbox=make_mailbox(address="rest@example.com"))
    admissions = [
        admitted("support@example.com"),
        *(admitted(f"user{n}@example.com") for n in range(79)),
    ]  # as many as SQLite takes at once
    inside_a_test_transaction = 2  # the savepoint that stands for BEGIN and COMMIT
    with django_assert_num_queries(7 + inside_a_test_transaction):
        receive_message(envelope=ENVELOPE, admissions=admissions, raw=RAW)
    assert (Email.objects.count(), Recipient.objects.count()) == (2, 80)


@pytest.mark.django_db
def test_a_mailbox_that_was_deleted_after_rcpt_still_gets_its_mail() -> None:
    mailbox = make_mailbox()
    admissions = [admitted("support@example.com")]
    provision.delete_mailbox(mailbox)
    receive_message(envelope=ENVELOPE, admissions=admissions, raw=RAW)
    assert Email.objects.get().mailbox == mailbox


@pytest.mark.django_db(transaction=True)
def test_what_the_database_refuses_at_the_commit_is_not_stored_at_all(nudges: list[str]) -> None:
    make_mailbox()
    good = admitted("support@example.com")
    with pytest.raises(IntegrityError):
        receive_message(
            envelope=ENVELOPE,
            admissions=[good, replace(good, route=replace(good.route, mailbox_ids=(uuid4(),)))],
            raw=RAW,
        )
    assert [model.objects.count() for model in (Message, RawMessage, Email, Recipient)] == [0, 0, 0, 0]
    assert nudges == []


@pytest.mark.django_db(transaction=True)
def test_it_refuses_to_be_part_of_somebody_elses_transaction() -> None:
    make_mailbox()
    connection.set_autocommit(False)
    try:
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
            receive_message(envelope=ENVELOPE, admissions=[admitted("support@example.com")], raw=RAW)
    finally:
        connection.rollback()
        connection.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
def test_a_nudge_that_fails_does_not_undo_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task: str) -> None:
        raise OSError(task)

    monkeypatch.setattr(receive, "nudge", broken)
    make_mailbox()
    receive_message(envelope=ENVELOPE, admissions=[admitted("support@example.com")], raw=RAW)
    assert Message.objects.count() == 1
