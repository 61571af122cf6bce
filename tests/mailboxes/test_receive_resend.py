"""A host that lost our 250 sends the mail again: it is one mail, whoever else sends the same."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone

from emailgistics.common import tallies
from mailboxes.models import Email, Mailbox, Message, RawMessage, Recipient, Refusal, ResendGuard, Rule
from mailboxes.services import erase, provision, receive
from mailboxes.services.admit import Admission, admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Incoming, Receipt, receive_group, receive_message
from mailboxes.services.rules import Verdict
from tests.factories import make_alias, make_mailbox

pytestmark = pytest.mark.django_db(transaction=True)

RAW = b"Message-ID: <1@example.net>\r\nSubject: once\r\n\r\nonly\r\n"
ENVELOPE = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1", helo="mail.example.net")
SUPPORT, SALES = "support@example.com", "sales@example.com"


@pytest.fixture(autouse=True)
def mailboxes() -> None:
    make_mailbox(address=SUPPORT)
    make_mailbox(address=SALES)


def counts() -> dict[str, int]:
    """Of mail; others count what mailboxes hold."""
    return {name: total for name, total in tallies.totals().items() if name.startswith("mail_")}


def incoming(*to: str, raw: bytes = RAW, mail_from: str = "ada@example.net") -> Incoming:
    envelope = Envelope(mail_from=mail_from, client_ip="192.0.2.1")
    return Incoming(envelope=envelope, admissions=[admit(address, envelope=envelope) for address in to], raw=raw)


def send(*to: str, raw: bytes = RAW, mail_from: str = "ada@example.net") -> Receipt:
    (receipt,) = receive_group([incoming(*to, raw=raw, mail_from=mail_from)])
    return receipt


def test_the_same_again_is_answered_with_the_first_id_and_counted_not_stored() -> None:
    first = send(SUPPORT)
    again = send(SUPPORT)
    assert (again.public_id, again.message_id, again.is_resend) == (first.public_id, first.message_id, True)
    assert not first.is_resend
    assert Message.objects.get().resends == 1
    assert (Email.objects.count(), Recipient.objects.count(), RawMessage.objects.count()) == (1, 1, 1)


def test_spellings_of_one_recipient_are_one_recipient() -> None:
    first = send(SUPPORT)
    assert send("SUPPORT@Example.COM.").public_id == first.public_id


@pytest.mark.parametrize(
    "other",
    [
        {"raw": RAW + b"!\r\n"},
        {"mail_from": "eve@example.net"},
        {"mail_from": ""},
        {"to": SALES},
        {"to": "support+tag@example.com"},
    ],
    ids=["one octet more, the same Message-ID", "another sender", "null sender", "another recipient", "a tag"],
)
def test_what_differs_in_anything_is_another_mail(other: dict[str, str]) -> None:
    send(SUPPORT)
    to = other.pop("to", SUPPORT)
    assert not send(to, **other).is_resend  # type: ignore[arg-type]  # of the case above
    assert Message.objects.count() == 2


def test_what_another_mailbox_got_before_the_alias_moved_is_no_reason_to_turn_it_away() -> None:
    """Nor is it told: whoever has the mailbox now would hear what came to the one before."""
    support, sales = (Mailbox.objects.get(local_part=name) for name in ("support", "sales"))
    alias = make_alias(address="help@example.com", mailbox=sales)
    first = send("help@example.com")
    provision.update_alias(alias, mailbox=support)
    second = send("help@example.com")
    assert not second.is_resend
    assert list(Email.objects.order_by("id").values_list("mailbox", flat=True)) == [sales.pk, support.pk]
    assert send("help@example.com").public_id == second.public_id
    provision.update_alias(alias, mailbox=sales)
    assert send("help@example.com").public_id == first.public_id


def test_further_mailboxes_that_come_and_go_make_no_new_mail_of_it() -> None:
    support, sales = (Mailbox.objects.get(local_part=name) for name in ("support", "sales"))
    alias = make_alias(address="help@example.com", mailbox=support)
    provision.update_alias(alias, further_mailboxes=[sales])
    first = send("help@example.com")
    provision.update_alias(alias, further_mailboxes=[])
    assert send("help@example.com").public_id == first.public_id


def test_octets_without_a_mark_of_their_own_are_a_new_mail_each_time() -> None:
    raw = b"Subject: 21 degrees\r\nX-Message-ID: no\r\n\r\nMessage-ID: <in@the.body>\r\n"
    assert not send(SUPPORT, raw=raw).is_resend
    assert not send(SUPPORT, raw=raw).is_resend
    assert Message.objects.count() == 2


def test_a_received_field_is_mark_enough() -> None:
    raw = b"Received: from a by b; Mon, 1 Jun 2026 10:00:00 +0000\r\n\r\nhello\r\n"
    assert send(SUPPORT, raw=raw).public_id == send(SUPPORT, raw=raw).public_id


def test_recipients_that_were_not_committed_before_are_stored() -> None:
    first = send(SUPPORT)
    both = send(SUPPORT, SALES)
    assert not both.is_resend
    assert both.public_id != first.public_id
    assert list(Recipient.objects.order_by("id").values_list("address", flat=True)) == [SUPPORT, SALES]
    assert list(Email.objects.order_by("id").values_list("mailbox__local_part", flat=True)) == ["support", "sales"]
    # and now it is known for both: which id is answered is the first recipient's
    assert send(SALES, SUPPORT).public_id == both.public_id
    assert Message.objects.count() == 2


def test_after_two_days_the_same_octets_are_a_new_mail_and_known_from_then_on() -> None:
    send(SUPPORT)
    ResendGuard.objects.update(accepted_at=timezone.now() - receive.RESEND_WINDOW - timedelta(seconds=1))
    second = send(SUPPORT)
    assert not second.is_resend
    assert send(SUPPORT).public_id == second.public_id


def test_a_mail_that_was_erased_is_no_reason_to_turn_the_same_away() -> None:
    send(SUPPORT)
    with transaction.atomic():
        held = erase.hold_email(Email.objects.get().pk)
        assert held is not None
        erase.erase_held(held, by="test")
    assert not send(SUPPORT).is_resend
    assert Email.objects.count() == 1


def test_twice_in_one_group_is_one_mail() -> None:
    first, other, again = receive_group([incoming(SUPPORT), incoming(SUPPORT, raw=RAW + b"2\r\n"), incoming(SUPPORT)])
    assert (again.public_id, again.is_resend) == (first.public_id, True)
    assert other.public_id != first.public_id
    assert Message.objects.count() == 2
    assert Message.objects.get(pk=first.message_id).resends == 1


def test_of_many_that_come_at_once_one_is_stored() -> None:
    begin = threading.Barrier(8)
    receipts: list[Receipt] = []

    def run() -> None:
        mine = incoming(SUPPORT, SALES)
        begin.wait()
        receipts.extend(receive_group([mine]))
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({receipt.public_id for receipt in receipts}) == 1
    assert sorted(receipt.is_resend for receipt in receipts) == [False] + [True] * 7
    assert (Message.objects.count(), Email.objects.count(), Message.objects.get().resends) == (1, 2, 7)


def test_every_250_is_counted_as_what_it_was() -> None:
    def judged(*verdicts: Verdict) -> list[Admission]:
        found = admit(SUPPORT, envelope=ENVELOPE)
        return [Admission(found.route, verdicts)]

    send(SUPPORT)
    send(SUPPORT)
    send(SUPPORT, SALES)
    thrown_away = judged(Verdict(Rule.Action.DISCARD, None, "a rule says so"))
    receipt = receive_message(envelope=ENVELOPE, admissions=thrown_away, raw=RAW)
    refusal = Refusal.objects.get()
    assert (receipt.public_id, receipt.message_id) == (refusal.public_id, None)
    assert (refusal.outcome, refusal.recipient, refusal.mail_from, refusal.size) == (
        "discarded", SUPPORT, "ada@example.net", len(RAW),
    )  # fmt: skip
    wanted = {"mail_accepted": 4, "mail_stored": 2, "mail_resent": 1, "mail_discarded": 1}
    assert tallies.totals(wanted) == wanted
    tallies.fold()
    assert tallies.totals(wanted) == wanted


def test_a_mail_that_went_round_fifty_hosts_is_a_loop() -> None:
    trace = b"Received: from a by b; Mon, 1 Jun 2026 10:00:00 +0000\r\n"
    body = b"Subject: x\r\n\r\n" + trace * 60
    assert not send(SUPPORT, raw=trace * 50 + body).is_resend
    with pytest.raises(receive.RoutingLoopError):
        incoming(SUPPORT, raw=trace * 51 + body)


def admitted(address: str, *verdicts: Verdict) -> Admission:
    return Admission(admit(address, envelope=ENVELOPE).route, verdicts)


def test_a_resend_is_one_although_a_rule_discards_it_for_another_recipient() -> None:
    discard = Verdict(Rule.Action.DISCARD, None, "a rule says so")
    taken = [admitted(SALES, discard), admit(SUPPORT, envelope=ENVELOPE)]
    first = receive_message(envelope=ENVELOPE, admissions=taken, raw=RAW)
    again = receive_message(envelope=ENVELOPE, admissions=taken, raw=RAW)
    assert (again.public_id, again.message_id, again.is_resend) == (first.public_id, first.message_id, True)
    assert (Message.objects.get().resends, Refusal.objects.count()) == (1, 1)
    assert counts() == {"mail_accepted": 2, "mail_stored": 1, "mail_resent": 1}


@pytest.mark.parametrize("body", [b"Received: quoted\r\n" * 60, b"\nReceived: quoted\r\n" * 60])
def test_what_stands_in_the_body_of_a_mail_without_a_header_is_no_trace_of_it(body: bytes) -> None:
    raw = b"\r\n" + body + b"\r\nMessage-ID: <x@example.net>\r\n"
    assert not send(SUPPORT, raw=raw).is_resend
    assert not send(SUPPORT, raw=raw).is_resend


@pytest.mark.parametrize("name", [b"Message-ID:\r\n <x@example.net>", b"message-id: \n\t<x@example.net>"])
def test_a_mark_may_be_folded(name: bytes) -> None:
    raw = b"Subject: folded\r\n" + name + b"\r\n\r\nhello\r\n"
    assert send(SUPPORT, raw=raw).public_id == send(SUPPORT, raw=raw).public_id


def test_of_two_that_find_a_guard_whose_time_is_over_one_is_stored() -> None:
    send(SUPPORT)
    ResendGuard.objects.update(accepted_at=timezone.now() - receive.RESEND_WINDOW - timedelta(seconds=1))
    begin = threading.Barrier(4)
    receipts: list[Receipt] = []

    def run() -> None:
        mine = incoming(SUPPORT)
        begin.wait()
        receipts.extend(receive_group([mine]))
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(receipt.is_resend for receipt in receipts) == [False, True, True, True]
    assert Message.objects.count() == 2


def test_a_resend_of_what_is_being_erased_waits_and_is_then_a_new_mail() -> None:
    first = send(SUPPORT)
    email_id = Email.objects.get().pk
    receipts: list[Receipt] = []

    def run() -> None:
        receipts.append(send(SUPPORT))
        connections.close_all()

    other = threading.Thread(target=run)
    with transaction.atomic():
        held = erase.hold_email(email_id)
        assert held is not None
        other.start()
        time.sleep(0.5)
        erase.erase_held(held, by="test")
    other.join(60)
    assert (receipts[0].is_resend, receipts[0].public_id != first.public_id) == (False, True)
    assert Message.objects.get().pk == receipts[0].message_id
