"""An email that is erased leaves nothing but tombstones, whatever was under way with it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from emailgistics.common import tombstones
from emailgistics.common.errors import ConflictError, NotFoundError
from emailgistics.common.ids import encode_id, uuid7
from emailgistics.common.models import AuditEntry, Tombstone
from mailboxes import mime, raw
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import Email, EmailContent, Mailbox, Message, RawMessage, Recipient, Refusal, Transcript
from mailboxes.services import erase as mailboxes_erase
from mailboxes.services import process
from mailboxes.services.opened import Opened, store
from tests.factories import RAW, make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Dispatcher, answer
from webhooks.files import links
from webhooks.management.commands import emails as command
from webhooks.models import Attempt, Delivery, Event, EventBody, ReplayJob, Webhook
from webhooks.services import bodies, erase, pull, replay, replay_jobs, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

AT_ONCE = timedelta(0)
MAIL = RAW.replace(
    b"\r\n\r\n", b"\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n", 1
)
MAIL += b"--b\r\nContent-Disposition: attachment; filename=engine.txt\r\n\r\nplan\r\n--b--\r\n"


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def received(*to: str, raw: bytes = MAIL, **envelope: Any) -> Message:
    """A mail that was opened and told of."""
    message = make_message(raw=raw, to=to or ("support@example.com",), **envelope)
    invariants.process_waiting()
    message.refresh_from_db()
    return message


def email_of(message: Message) -> Email:
    return message.emails.get()


def is_buried(message: Message, address: str) -> bool:
    name = mailboxes_erase.recipient_name(message.pk, address)
    return tombstones.buried("recipient", [name]) == {name}


def everything_stored() -> Iterator[str]:
    """Every value of every row, raws unpacked."""
    for stored in RawMessage.objects.select_related("message"):
        yield raw.read_raw(stored.message).decode()
    for model in apps.get_models():
        for row in model._default_manager.values():
            yield from (
                value.tobytes().decode(errors="replace") if isinstance(value, memoryview) else str(value)
                for value in row.values()
            )


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("emails", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


# --- what goes


def test_nothing_is_left_of_it_but_a_tombstone_for_each_recipient(mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    make_webhook(mailbox=mailbox, attachments="inline")
    make_webhook(mailbox=mailbox)
    message = received("support@example.com", "help+urgent@example.com")
    dispatcher = Dispatcher()
    first, _ = dispatcher.claim()
    dispatcher.record([first], answer(500, detail="no ada@example.net here", response_excerpt=b"ada@example.net"))
    assert sum("ada@example.net" in text for text in everything_stored()) > 5

    email = email_of(message)
    assert erase.erase_email(email.pk, by="grace") == erase.Erased(email.pk, 2)

    for said in (
        "ada@example.net",
        "Lovelace",
        "Broken engine",
        "does not turn",
        "engine.txt",
        "urgent",
        str(email.pk),
    ):
        assert not any(said in text for text in everything_stored()), said
    gone = (Email, EmailContent, Message, RawMessage, Recipient, Event, EventBody, Delivery, Attempt)
    assert [model.objects.count() for model in gone] == [0] * len(gone)
    assert sorted(Tombstone.objects.values_list("of", flat=True)) == ["delivery"] * 2 + ["email"] + ["recipient"] * 2
    assert set(Tombstone.objects.values_list("erased_by", flat=True)) == {"grace"}
    assert is_buried(message, "support@example.com")
    assert is_buried(message, "HELP+urgent@example.com")
    assert not is_buried(message, "help@example.com")


def test_other_mail_and_what_is_no_mail_stay_as_they_are(mailbox: Mailbox) -> None:
    webhook = make_webhook(mailbox=mailbox)
    message, other = received(), received()
    test = bodies.store_test_event(webhook)
    Delivery.objects.create(event_id=test.event_id, webhook=webhook, body=test, state="pending", due_at=timezone.now())
    kept = [Delivery.objects.exclude(event__email__message=message), Event.objects.exclude(email__message=message)]
    before = [list(rows.order_by("id").values()) for rows in kept]
    erase.erase_email(email_of(message).pk, by="grace")
    assert [list(rows.order_by("id").values()) for rows in kept] == before
    assert raw.read_raw(other) == MAIL
    assert email_of(other).attachments.count() == 1


def test_the_raw_stays_while_another_mailbox_has_the_mail_and_goes_with_the_last(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    message = received("support@example.com", "sales@example.com")
    first, last = message.emails.get(mailbox=mailbox), message.emails.get(mailbox=other)
    erase.erase_email(first.pk, by="grace")
    assert raw.read_raw(message) == MAIL
    assert list(message.recipients.values_list("address", flat=True)) == ["sales@example.com"]
    assert email_of(message).content.text.startswith("It does not turn.")
    erase.erase_email(last.pk, by="grace")
    assert not Message.objects.exists()
    assert not RawMessage.objects.exists()


@pytest.mark.parametrize("state", ["pending", "held", "failed", "expired", "delivered", "canceled"])
def test_deliveries_go_in_whatever_state_they_are(mailbox: Mailbox, state: str) -> None:
    make_webhook(mailbox=mailbox)
    message = received()
    now = timezone.now()
    ended = {"delivered_at": now} if state == "delivered" else {}
    Delivery.objects.update(state=state, reason="for the test", **ended)
    erase.erase_email(email_of(message).pk, by="grace")
    assert not Delivery.objects.exists()


def test_mail_of_a_deleted_mailbox_can_be_erased(mailbox: Mailbox) -> None:
    message = received()
    Mailbox.objects.update(deleted_at=timezone.now())
    assert erase.erase_email(email_of(message).pk, by="grace").deliveries == 0
    assert not Message.objects.exists()


def test_twice_is_as_good_as_once_and_what_never_was_is_not_found(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    pk = email_of(received()).pk
    assert erase.erase_email(pk, by="grace") == erase.Erased(pk, 1)
    before = list(Tombstone.objects.values())
    assert erase.erase_email(pk, by="ada") == erase.Erased(pk, None)
    assert list(Tombstone.objects.values()) == before
    with pytest.raises(NotFoundError):
        erase.erase_email(uuid7(), by="grace")


# --- what is under way


def test_what_is_being_sent_changes_nothing_when_its_answer_comes(mailbox: Mailbox) -> None:
    webhook = make_webhook(mailbox=mailbox)
    other = received()
    message = received()
    dispatcher = Dispatcher()
    claimed = dispatcher.claim()
    assert len(claimed) == 2
    erase.erase_email(email_of(message).pk, by="grace")
    dispatcher.record(claimed, answer(410))
    assert list(Delivery.objects.values_list("event__email", "state")) == [(email_of(other).pk, "held")]
    assert list(Attempt.objects.values_list("delivery__event__email", "status")) == [(email_of(other).pk, 410)]
    erase.erase_email(email_of(other).pk, by="grace")
    webhooks.resume_webhook(webhook)
    dispatcher.record(claimed, answer(410))
    assert not Attempt.objects.exists()
    assert Webhook.objects.get().state == "active"


def test_mail_that_waits_is_erased_before_it_is_opened(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    message = make_message()
    erase.erase_email(email_of(message).pk, by="grace")
    invariants.process_waiting()
    assert not Message.objects.exists()
    assert not Event.objects.exists()
    assert is_buried(message, "support@example.com")


def test_who_is_opening_it_finds_that_it_is_gone_however_far_he_is(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    message = make_message(raw=MAIL)
    lease = invariants.live_lease(process.LEASE_KIND)
    assert process.claim(lease) == [message.pk]
    opened = Message.objects.get(pk=message.pk)
    erase.erase_email(email_of(message).pk, by="grace")
    assert store([Opened(opened, mime.parse(MAIL), MAIL, Message.State.PROCESSED)], lease_id=lease) == 0
    assert process.process_messages([message.pk], lease) == 0
    for model in (Message, Email, EmailContent, Event, Delivery):
        assert not model.objects.exists()


def test_the_mail_of_another_mailbox_is_opened_though_one_was_erased_meanwhile(mailbox: Mailbox) -> None:
    other = make_mailbox(address="sales@example.com")
    make_webhook(mailbox=mailbox)
    make_webhook(mailbox=other)
    message = make_message(to=("support@example.com", "sales@example.com"))
    lease = invariants.live_lease(process.LEASE_KIND)
    process.claim(lease)
    erase.erase_email(message.emails.get(mailbox=mailbox).pk, by="grace")
    assert process.process_messages([message.pk], lease) == 1
    assert list(Email.objects.values_list("mailbox", "status")) == [(other.pk, "processed")]
    assert Delivery.objects.get().webhook.mailbox == other


def test_nothing_of_it_is_sent_again(mailbox: Mailbox) -> None:
    webhook = make_webhook(mailbox=mailbox)
    message = received()
    email, delivery = Email.objects.select_related("mailbox").get(), Delivery.objects.get()
    replay.cancel_delivery(delivery, by="ada")
    now = timezone.now()
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    job = replay_jobs.start_replay(webhook, of_state="all", by="ada", **span)
    erase.erase_email(email_of(message).pk, by="grace")
    for again in (
        lambda: replay.replay_delivery(delivery, by="ada"),
        lambda: replay.replay_email(email, by="ada", webhooks=Webhook.objects.all()),
        lambda: replay.retry_now(delivery),
        lambda: replay.cancel_delivery(delivery, by="ada"),
    ):
        with pytest.raises(NotFoundError):
            again()
    replay_jobs.work_replays()
    job.refresh_from_db()
    assert (job.state, job.total, job.replayed, job.skipped) == (ReplayJob.State.DONE, 1, 0, 1)
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


def test_what_was_pulled_before_can_be_acknowledged_with_the_rest(mailbox: Mailbox) -> None:
    webhook, other = make_webhook(url="", mailbox=mailbox), make_webhook(url="", mailbox=mailbox)
    message, _ = received(), received()
    pulled = [one.delivery_id for one in pull.pull(webhook, after=0, limit=10)]
    erase.erase_email(email_of(message).pk, by="grace")
    assert pull.acknowledge(webhook, pulled, by="ada") == 1
    assert [one.delivery_id for one in pull.pull(webhook, after=0, limit=10)] == []
    # of this webhook, and no other
    for wrong in ([uuid7()], pulled):
        with pytest.raises(NotFoundError):
            pull.acknowledge(other, wrong, by="ada")


def test_octets_that_are_made_as_it_is_erased_are_those_of_an_event_that_is_not_kept(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    message = received()
    event = Event.objects.get()
    erase.erase_email(email_of(message).pk, by="grace")
    with pytest.raises(ConflictError) as refused:
        bodies.body_of(event, "full")
    assert refused.value.code == "content_expired"


def test_its_links_end_with_it(mailbox: Mailbox, client: Client) -> None:
    make_webhook(mailbox=mailbox)
    message = received()
    event = Event.objects.get()
    urls = [links.url(event, links.RAW), links.url(event, email_of(message).attachments.get().public_id)]
    assert [client.get(url).status_code for url in urls] == [HTTPStatus.OK] * 2
    erase.erase_email(email_of(message).pk, by="grace")
    assert [client.get(url).status_code for url in urls] == [HTTPStatus.NOT_FOUND] * 2


# --- by address


@pytest.mark.parametrize("address", ["ada@example.net", "ADA@Example.NET", '"ada"@example.net.', " ada@example.net "])
def test_an_address_is_found_as_envelope_sender_author_and_recipient_however_it_is_spelled(address: str) -> None:
    make_alias(address="*@example.net", mailbox=make_mailbox())
    nobody = RAW.replace(b"Ada Lovelace <ada@example.net>", b"grace@example.org")
    found = [
        received(mail_from="Ada@example.net", raw=nobody),
        received(mail_from="bounce@example.org"),
        received("ADA@example.net", mail_from="", raw=nobody),
        received("support@example.com", "ada@example.net", mail_from="", raw=nobody),
    ]
    kept = [
        received(mail_from="ada@example.net.example.org", raw=nobody),
        received("xada@example.net", "ada+tag@example.net", mail_from="ada@example.network", raw=nobody),
        received(mail_from="", raw=nobody.replace(b"To: support", b"To: ada@example.net, support")),
    ]
    expected = {pk for message in found for pk in message.emails.values_list("pk", flat=True)}
    done = erase.erase_address(address, by="grace", wait_for=AT_ONCE)
    assert {one.email_id for one in done.emails} == expected
    assert done.unopened == 0
    assert list(Message.objects.order_by("id")) == kept


def test_with_mentions_the_mail_of_others_goes_too_and_what_a_receiver_says_of_it(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    nobody = RAW.replace(b"Ada Lovelace <ada@example.net>", b"grace@example.org")
    mentioned = received(mail_from="", raw=nobody.replace(b"It does", b"ada@example.net says that it does"))
    other = received(mail_from="", raw=nobody)
    dispatcher = Dispatcher()
    dispatcher.record(dispatcher.claim(), answer(500, detail="x", response_excerpt=b"no ada@example.net here"))
    assert erase.erase_address("ada@example.net", by="grace", wait_for=AT_ONCE).emails == []
    done = erase.erase_address("ada@example.net", by="grace", with_mentions=True, wait_for=AT_ONCE)
    assert len(done.emails) == 1
    assert list(Message.objects.all()) == [other] != [mentioned]
    assert [bytes(row.response_excerpt) for row in Attempt.objects.all()] == [b""]
    entry = AuditEntry.objects.filter(action="email.address_erased").latest("id")
    assert (entry.by, entry.details["emails"], "ada" in entry.of) == ("grace", 1, False)


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("jörg@münchen.example", "JÖRG@xn--mnchen-3ya.example"),
        ("jörg@xn--mnchen-3ya.example", "jörg@MÜNCHEN.example"),
        ("root@localhost", "Root@LOCALHOST"),
        ("a_b%c@example.net", "a_b%c@example.net"),
        ("root@[192.0.2.1]", "root@[192.0.2.1]"),
    ],
)
def test_addresses_that_are_not_plain_are_found_too(mailbox: Mailbox, stored: str, asked: str) -> None:
    received(mail_from=stored, raw=RAW.replace(b"ada@", b"grace@"))
    other = received(mail_from="axbyc@example.net", raw=RAW.replace(b"ada@", b"grace@"))
    assert len(erase.erase_address(asked, by="grace", wait_for=AT_ONCE).emails) == 1
    assert Message.objects.get() == other


def test_what_is_no_address_is_refused(mailbox: Mailbox) -> None:
    received(mail_from="")
    with pytest.raises(InvalidAddressError):
        erase.erase_address("", by="grace")
    assert Email.objects.exists()


def test_mail_that_waits_is_found_by_its_envelope_and_told_of_if_only_its_from_might_say_more(mailbox: Mailbox) -> None:
    found, unopened = make_message(), make_message(mail_from="bounce@example.org")
    done = erase.erase_address("ada@example.net", by="grace", wait_for=AT_ONCE)
    assert done == erase.ErasedAddress([erase.Erased(done.emails[0].email_id, 0)], unopened=2, refusals=0)
    assert not Message.objects.filter(pk=found.pk).exists()
    invariants.process_waiting()
    assert erase.erase_address("ada@example.net", by="grace", wait_for=AT_ONCE).unopened == 0
    assert not Message.objects.filter(pk=unopened.pk).exists()


# --- the command


def test_emails_are_erased_by_their_ids(mailbox: Mailbox) -> None:
    make_webhook(mailbox=mailbox)
    messages = [received() for _ in range(3)]
    first, second, third = [email_of(message).public_id for message in messages]
    assert run("show", first)["id"] == first
    assert [row["id"] for row in run("list")["data"]] == [third, second, first]
    assert run("erase", first, second) == {"data": [{"id": first, "deliveries": 1}, {"id": second, "deliveries": 1}]}
    assert run("erase", second, third) == {"data": [{"id": second, "deliveries": None}, {"id": third, "deliveries": 1}]}
    assert run("list") == {"data": []}
    out = StringIO()
    call_command("emails", "erase", first, stdout=out)
    assert out.getvalue() == f"{first} was erased before\n"


def test_nothing_is_erased_if_one_of_the_ids_is_of_nothing(mailbox: Mailbox) -> None:
    there = email_of(received())
    for wrong in ("nonsense", encode_id("email", uuid7()), there.message.public_id):
        with pytest.raises(CommandError, match="There is no email") as failed:
            run("erase", there.public_id, wrong)
        assert failed.value.returncode == 1
    assert Email.objects.count() == 1
    for arguments in ((), (there.public_id, "--address", "ada@example.net")):
        with pytest.raises(CommandError, match="ids of emails, or --address") as failed:
            run("erase", *arguments)
        assert failed.value.returncode == 2


def test_the_mail_of_an_address_is_erased(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    # in place of waiting for a worker
    monkeypatch.setattr(command.erase, "erase_address", partial(erase.erase_address, wait_for=AT_ONCE))
    email = email_of(received())
    waiting = email_of(make_message(mail_from="bounce@example.org"))
    out = StringIO()
    with pytest.raises(CommandError, match="1 mails wait to be opened") as failed:
        call_command("emails", "erase", "--address", "ada@example.net", "--json", stdout=out)
    assert failed.value.returncode == 1
    assert json.loads(out.getvalue()) == {"data": [{"id": email.public_id, "deliveries": 0}]}
    invariants.process_waiting()
    assert run("erase", "--address", "ada@example.net") == {"data": [{"id": waiting.public_id, "deliveries": 0}]}
    assert run("erase", "--address", "ada@example.net") == {"data": []}


def test_what_was_refused_from_or_to_an_address_goes_with_it_and_so_does_what_its_host_said(mailbox: Mailbox) -> None:
    told = {"source": "smtp", "reply": "550 5.1.1 No such recipient here", "code": "unknown_recipient"}
    for mail_from, recipient in (("Ada@Example.NET", "no@example.com"), ("eve@example.org", "ada@example.net")):
        Refusal.objects.create(at=timezone.now(), mail_from=mail_from, recipient=recipient, **told)
    other = Refusal.objects.create(at=timezone.now(), mail_from="eve@example.org", recipient="no@example.com", **told)
    assert erase.erase_address("ada@example.net", by="grace", wait_for=AT_ONCE).refusals == 2
    assert Refusal.objects.get() == other


def test_the_transcript_goes_with_the_first_of_a_messages_emails(mailbox: Mailbox) -> None:
    make_mailbox(address="sales@example.com")
    message = make_message(to=(mailbox.address, "sales@example.com"))
    Transcript.objects.create(message=message, lines=[[1, "C", f"RCPT TO:<{mailbox.address}>"]])
    erase.erase_email(message.emails.get(mailbox=mailbox).pk, by="grace")
    assert message.emails.count() == 1
    assert not Transcript.objects.exists()
