"""Mail that rules keep back or throw away, and its release."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from emailgistics.common import tallies
from emailgistics.common.access import Scope
from emailgistics.common.errors import ConflictError, NotFoundError
from mailboxes.models import Alias, Attachment, Email, Message, RawMessage, Refusal, Rule
from mailboxes.services import process, quarantine, receive, reparse, rule_book
from mailboxes.services.quarantine import NotQuarantinedError
from tests.apikeys.factories import make_client
from tests.factories import RAW, make_alias, make_mailbox, make_message, make_webhook
from tests.mailboxes.api_client import send
from tests.mailboxes.smtp_client import Client, listening, on_the_wire
from webhooks.models import Delivery, Event, Webhook
from webhooks.services import erase
from webhooks.services import replay as replaying

pytestmark = pytest.mark.django_db(transaction=True)

TO = "help@example.com"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "nudge", lambda _: None)


@pytest.fixture
def alias(settings: Any) -> Alias:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
    return make_alias()


@pytest.fixture
def webhook(alias: Alias) -> Webhook:
    return make_webhook(alias=alias)


def make_rule(action: str, criterion: str, value: str, **others: Any) -> Rule:
    return rule_book.create_rule(action=action, criterion=criterion, value=value, **others)


def mail_with(*files: str, subject: str = "Files") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@example.net", TO, subject
    message["Message-ID"] = "<files@example.net>"
    message.set_content("See the attachments.")
    for name in files:
        maintype, subtype = ("image", "png") if name.endswith(".png") else ("application", "octet-stream")
        message.add_attachment(name.encode(), maintype=maintype, subtype=subtype, filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


def processed(*, raw: bytes = RAW, to: tuple[str, ...] = (TO,)) -> Message:
    message = make_message(raw=raw, to=to)
    process.drain(linger=timedelta(0))
    return Message.objects.filter(pk=message.pk).first() or message


def quarantined(*, raw: bytes = RAW) -> Email:
    make_rule("quarantine", "sender_domain", "example.net")
    return processed(raw=raw).emails.get()


# --- kept back


def test_what_is_kept_back_is_stored_and_nobody_is_told(webhook: Webhook) -> None:
    email = quarantined(raw=mail_with("a.png"))
    assert (email.status, email.message.state, email.subject) == ("quarantined", "processed", "Files")
    assert (email.content.text.strip(), email.attachments.count()) == ("See the attachments.", 1)
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


def test_a_release_tells_of_it_as_of_any_mail(webhook: Webhook) -> None:
    Webhook.objects.update(attachments="inline")
    email = quarantined(raw=mail_with("a.png"))
    quarantine.release_email(email, by="Ada")
    email.refresh_from_db()
    assert (email.status, email.released_at is not None) == ("processed", True)
    delivery = Delivery.objects.get()
    assert (delivery.event.type, delivery.event.email, delivery.state) == ("email.received", email, "pending")
    data = delivery.event.bodies.get()
    assert data.form == "inline"
    told = json.loads(bytes(data.body))["data"]
    assert [entry["content"] for entry in told["attachments"]] == ["YS5wbmc="]
    assert told["quarantine"] == {"reason": quarantine.UNNAMED, "rule_id": None}


def test_the_rule_of_the_very_mailbox_is_named_to_its_webhooks(webhook: Webhook, alias: Alias) -> None:
    rule = make_rule("quarantine", "sender_domain", "example.net", mailbox=alias.mailbox)
    email = processed().emails.get()
    quarantine.release_email(email, by="Ada")
    told = json.loads(bytes(Delivery.objects.get().event.bodies.get().body))["data"]["quarantine"]
    reason = f"{rule.public_id} for this mailbox keeps it back: sender_domain example.net"
    assert told == {"reason": reason, "rule_id": rule.public_id}


def test_a_second_release_changes_nothing(webhook: Webhook) -> None:
    email = quarantined()
    first = quarantine.release_email(email, by="Ada").released_at
    assert quarantine.release_email(email, by="Grace").released_at == first
    assert Event.objects.count() == 1


@pytest.mark.parametrize("times", [5])
def test_of_releases_at_once_one_tells(webhook: Webhook, times: int) -> None:
    email = quarantined()
    together = threading.Barrier(times)
    failed: list[BaseException] = []

    def release() -> None:
        try:
            row = Email.objects.select_related("message").get(pk=email.pk)
            together.wait(10)
            quarantine.release_email(row, by="Ada")
        except BaseException as error:  # noqa: BLE001 - looked at below
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=release) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert (Event.objects.count(), Delivery.objects.count()) == (1, 1)


def test_a_receiver_that_fails_leaves_it_in_quarantine(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    from webhooks.services import fan_out

    email = quarantined()
    monkeypatch.setattr(fan_out.bodies, "new_bodies", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        quarantine.release_email(email, by="Ada")
    email.refresh_from_db()
    assert (email.status, email.released_at, Event.objects.count()) == ("quarantined", None, 0)


def test_only_what_is_kept_back_is_released(alias: Alias) -> None:
    ordinary = processed().emails.get()
    with pytest.raises(NotQuarantinedError, match="not in quarantine"):
        quarantine.release_email(ordinary, by="Ada")
    make_rule("quarantine", "sender_domain", "example.net")
    waiting = make_message(to=(TO,)).emails.get()
    with pytest.raises(NotQuarantinedError, match="still to be opened"):
        quarantine.release_email(waiting, by="Ada")
    process.drain(linger=timedelta(0))
    erase.erase_email(waiting.pk, by="Ada")
    with pytest.raises(NotFoundError):
        quarantine.release_email(waiting, by="Ada")
    assert not Event.objects.exists()


def test_what_cannot_be_opened_is_kept_back_too_and_released_as_it_is(webhook: Webhook) -> None:
    make_rule("quarantine", "sender_domain", "example.net")
    message = make_message(to=(TO,))
    RawMessage.objects.update(data=b"spoiled")
    process.drain(linger=timedelta(0))
    email = Email.objects.select_related("message").get(message=message)
    assert (email.status, email.message.state) == ("quarantined", "parked")
    assert not Event.objects.exists()
    assert quarantine.release_email(email, by="Ada").status == "parked"
    assert Event.objects.get().type == "email.received"


def test_it_is_opened_again_erased_and_not_replayed(webhook: Webhook) -> None:
    email = quarantined()
    Email.objects.update(subject="Read otherwise")
    with pytest.raises(ConflictError, match="kept back by a rule"):
        replaying.replay_email(email, by="Ada", webhooks=Webhook.objects.all())
    reparse._ask([email.message_id], is_dry_run=False)
    assert reparse.drain(until=float("inf")) == 1
    email.refresh_from_db()
    assert (email.status, email.subject) == ("quarantined", "Broken engine")
    assert not Event.objects.exists()
    erase.erase_email(email.pk, by="Ada")
    assert not Message.objects.exists()


def test_a_mailbox_that_was_deleted_hears_of_nothing(webhook: Webhook) -> None:
    email = quarantined()
    Email.objects.select_related("mailbox")
    type(email.mailbox).objects.update(deleted_at=email.received_at)
    assert quarantine.release_email(email, by="Ada").status == "processed"
    assert not Event.objects.exists()


# --- attachments


@pytest.mark.parametrize(
    "action, value, files, kept_back",
    [
        ("quarantine", ".exe", ["a.exe"], True),
        ("block", ".exe", ["a.exe"], True),
        ("quarantine", ".exe", ["a.png", "b.EXE"], True),
        ("quarantine", "image/*", ["a.png"], True),
        ("quarantine", "image/png", ["a.png"], True),
        ("quarantine", "*/*", ["a.png"], True),
        ("quarantine", "*/*", [], False),
        ("quarantine", ".exe", ["a.png"], False),
        ("allow", ".exe", ["a.exe"], False),
    ],
)
def test_a_rule_about_attachments_decides_once_they_are_known(
    webhook: Webhook, action: str, value: str, files: list[str], kept_back: bool
) -> None:
    rule = make_rule(action, "attachment", value)
    email = processed(raw=mail_with(*files)).emails.get()
    assert (email.status, email.quarantine_rule) == (("quarantined", rule) if kept_back else ("processed", None))
    assert Event.objects.count() == (0 if kept_back else 1)


@pytest.mark.parametrize("value", ["application/x-msdownload", "application/pdf"])
def test_a_program_that_calls_itself_a_document_is_both(alias: Alias, value: str) -> None:
    make_rule("quarantine", "attachment", value)
    raw = (
        b"Subject: invoice\r\nContent-Type: application/pdf; name=invoice.pdf\r\n"
        b"Content-Disposition: attachment; filename=invoice.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(b"MZ" + bytes(200))
        + b"\r\n"
    )
    assert processed(raw=raw).emails.get().status == "quarantined"


def test_a_narrower_rule_that_allows_an_attachment_lets_it_pass(webhook: Webhook, alias: Alias) -> None:
    make_rule("quarantine", "attachment", "image/*")
    make_rule("quarantine", "sender_domain", "example.net")
    make_rule("allow", "attachment", ".png", mailbox=alias.mailbox)
    email = processed(raw=mail_with("a.png")).emails.get()
    assert (email.status, email.quarantine_reason) == ("processed", "")
    assert Event.objects.count() == 1


def test_a_file_that_is_allowed_opens_no_door_for_another(webhook: Webhook, alias: Alias) -> None:
    make_rule("block", "attachment", ".exe")
    make_rule("allow", "attachment", ".png", mailbox=alias.mailbox)
    assert processed(raw=mail_with("a.png", "b.exe")).emails.get().status == "quarantined"


def test_a_sender_that_is_allowed_may_send_what_others_may_not(webhook: Webhook) -> None:
    make_rule("discard", "attachment", ".exe")
    make_rule("allow", "sender", "ada@example.net")
    assert processed(raw=mail_with("a.exe")).emails.get().status == "processed"


def test_what_is_discarded_for_an_attachment_leaves_a_row_and_nothing_else(webhook: Webhook) -> None:
    rule = make_rule("discard", "attachment", ".exe")
    message = processed(raw=mail_with("a.exe"))
    for model in (Message, RawMessage, Email, Attachment, Event):
        assert not model.objects.exists(), model
    refusal = Refusal.objects.get()
    assert (refusal.outcome, refusal.code, refusal.rule, refusal.recipient) == ("discarded", "rule", rule, TO)
    assert refusal.reply == f"250 2.0.0 accepted as {message.public_id}, and discarded as a rule says"
    assert (refusal.mail_from, refusal.client_ip, refusal.network) == ("ada@example.net", "192.0.2.1", "192.0.2.0/24")
    assert (refusal.size, refusal.sha256) == (message.size, message.sha256)
    assert (tallies.total("messages_discarded"), tallies.total("emails_discarded")) == (1, 1)


def test_what_one_mailbox_discards_another_keeps(webhook: Webhook, alias: Alias) -> None:
    sales = make_mailbox(address="sales@example.com")
    make_rule("discard", "attachment", ".exe", mailbox=alias.mailbox)
    message = processed(raw=mail_with("a.exe"), to=(TO, "sales@example.com"))
    assert (message.emails.get().mailbox, message.emails.get().status) == (sales, "processed")
    assert Refusal.objects.get().recipient == TO
    assert (tallies.total("messages_discarded"), tallies.total("emails_discarded")) == (0, 1)


def test_an_email_is_stopped_only_if_every_recipient_that_led_to_it_says_so(webhook: Webhook, alias: Alias) -> None:
    make_rule("discard", "attachment", ".exe", alias=alias)
    email = processed(raw=mail_with("a.exe"), to=(TO, "support@example.com")).emails.get()
    assert (email.status, email.recipients.count()) == ("processed", 2)


# --- attachments that nobody knows of


def many_files(last: str, *, count: int = 501) -> bytes:
    part = b"--b\r\nContent-Type: a/b\r\nContent-Disposition: attachment; filename=%b\r\n\r\nx\r\n"
    names = [b"%d.txt" % number for number in range(count - 1)] + [last.encode()]
    head = b"Subject: Many\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    return head + b"".join(part % name for name in names) + b"--b--\r\n"


def deep(filename: str) -> bytes:
    level = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    levels = b"".join(level % (number, number) for number in range(52))
    return levels + b"Content-Disposition: attachment; filename=%b\r\n\r\nx\r\n" % filename.encode()


@pytest.mark.parametrize("action", ["block", "quarantine", "discard"])
@pytest.mark.parametrize(
    "raw, defect",
    [
        (many_files("a.exe"), "too_many_attachments"),
        (many_files("a.exe", count=1002), "too_many_attachments, too_many_parts"),
        (deep("a.exe"), "too_deep"),
        (
            many_files("a.exe", count=1).replace(b"Type: a/b\r\n", b"Type: a/b\r\n" + b"X: y\r\n" * 2001),
            "too_many_headers",
        ),
    ],
    ids=["501 files", "1,002 parts", "52 levels", "2,001 fields"],
)
def test_what_hides_behind_a_limit_is_kept_back_where_a_rule_stops_it(
    webhook: Webhook, action: str, raw: bytes, defect: str
) -> None:
    rule = make_rule(action, "attachment", ".exe")
    email = processed(raw=raw).emails.get()
    assert (email.status, email.quarantine_rule) == ("quarantined", rule)
    said, _, of_rule = email.quarantine_reason.partition("), and ")
    assert set(said.removeprefix("its attachments are not all known (").split(", ")) >= set(defect.split(", "))
    assert of_rule.startswith(rule.public_id)
    assert not Event.objects.exists()
    quarantine.release_email(email, by="Ada")
    assert Event.objects.count() == 1


def test_a_file_that_is_seen_decides_before_those_that_are_not(webhook: Webhook) -> None:
    make_rule("discard", "attachment", ".txt")
    make_rule("quarantine", "attachment", ".exe")
    processed(raw=many_files("a.exe"))
    assert not Email.objects.exists()
    assert Refusal.objects.get().outcome == "discarded"


@pytest.mark.parametrize(
    "others",
    [
        [],
        [("block", "sender_domain", "example.org", "")],
        [("block", "attachment", ".exe", ""), ("allow", "sender", "ada@example.net", "")],
        [("block", "attachment", ".exe", ""), ("allow", "network", "192.0.2.0/24", "")],
        [("block", "attachment", ".exe", ""), ("allow", "attachment", "*/*", "mailbox")],
        [("block", "attachment", ".exe", ""), ("allow", "attachment", ".exe", "mailbox")],
        [("block", "attachment", ".exe", ""), ("allow", "size", "1", "domain")],
        [("block", "attachment", "image/png", ""), ("allow", "attachment", "image/*", "mailbox")],
        [("block", "attachment", ".exe", "elsewhere")],
    ],
)
def test_what_no_rule_could_stop_passes_with_hidden_files_too(
    webhook: Webhook, alias: Alias, others: list[tuple[str, str, str, str]]
) -> None:
    where: dict[str, dict[str, Any]] = {
        "": {},
        "mailbox": {"mailbox": alias.mailbox},
        "domain": {"domain": alias.domain},
        "elsewhere": {"mailbox": make_mailbox(address="other@example.com")},
    }
    for action, criterion, value, scope in others:
        make_rule(action, criterion, value, **where[scope])
    email = processed(raw=many_files("a.exe")).emails.get()
    assert (email.status, email.quarantine_reason, Event.objects.count()) == ("processed", "", 1)


@pytest.mark.parametrize(
    "allowed, value", [(".png", ".exe"), ("image/*", "*/*"), ("image/png", "image/*"), (".gz", ".exe")]
)
def test_a_narrower_rule_lets_only_its_own_hidden_files_pass(
    webhook: Webhook, alias: Alias, allowed: str, value: str
) -> None:
    make_rule("block", "attachment", value)
    make_rule("allow", "attachment", allowed, mailbox=alias.mailbox)
    assert processed(raw=many_files("a.exe")).emails.get().status == "quarantined"


def test_hidden_files_stop_an_email_only_if_every_recipient_says_so(webhook: Webhook, alias: Alias) -> None:
    make_rule("discard", "attachment", ".exe", alias=alias)
    email = processed(raw=many_files("a.exe"), to=(TO, "support@example.com")).emails.get()
    assert (email.status, Event.objects.count()) == ("processed", 1)


def test_what_is_kept_back_for_its_sender_stays_so_whatever_is_hidden(webhook: Webhook, alias: Alias) -> None:
    make_rule("block", "attachment", ".exe", mailbox=alias.mailbox)
    make_rule("allow", "attachment", ".txt", mailbox=alias.mailbox)
    rule = make_rule("quarantine", "sender_domain", "example.net")
    email = processed(raw=many_files("a.exe")).emails.get()
    assert (email.status, email.quarantine_rule) == ("quarantined", rule)


def test_many_rules_about_attachments_are_no_work_for_each_of_them(webhook: Webhook, alias: Alias) -> None:
    rows = (Rule(action="block", criterion="attachment", value=f".x{number}") for number in range(5_000))
    Rule.objects.bulk_create(rows)
    make_rule("allow", "sender", "ada@example.net", mailbox=alias.mailbox)
    message = make_message(raw=many_files("a.exe"), to=(TO,))
    from mailboxes import mime
    from mailboxes.services import attachment_rules

    emails, recipients = (
        list(message.emails.select_related("mailbox")),
        list(message.recipients.select_related("alias")),
    )
    parsed = mime.parse(many_files("a.exe"))
    started = time.process_time()
    assert attachment_rules.verdicts_of(message, emails, recipients, parsed) == {}
    assert time.process_time() - started < 2.0


# --- mail that could not be opened


def parked(*, raw: bytes) -> Email:
    message = make_message(raw=raw, to=(TO,))
    Message.objects.filter(pk=message.pk).update(losses=process.PARK_FROM_LOSSES)
    process.drain(linger=timedelta(0))
    email = message.emails.select_related("message").get()
    assert email.message.state == "parked"
    return email


def repair(email: Email) -> None:
    reparse._ask([email.message_id], is_dry_run=False)
    assert reparse.drain(until=float("inf")) == 1


def heard() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("type", flat=True))


@pytest.fixture
def curious(webhook: Webhook) -> None:
    Webhook.objects.update(events=["email.received", "email.reparsed"])


@pytest.mark.usefixtures("curious")
@pytest.mark.parametrize("action", ["block", "quarantine", "discard"])
def test_what_cannot_be_opened_is_kept_back_where_a_rule_stops_attachments(action: str) -> None:
    rule = make_rule(action, "attachment", ".exe")
    email = parked(raw=mail_with("a.exe"))
    assert (email.status, email.quarantine_rule, heard()) == ("quarantined", rule, [])
    assert email.quarantine_reason.startswith("its attachments are not all known (processing_lost), and rule_")
    repair(email)
    assert heard() == []
    if action == "discard":
        for model in (Message, Email, Attachment):
            assert not model.objects.exists(), model
        assert (Refusal.objects.get().outcome, Refusal.objects.get().rule) == ("discarded", rule)
        return
    email = Email.objects.get()
    assert (email.status, email.message.state, email.attachments.count()) == ("quarantined", "processed", 1)
    assert email.quarantine_reason.startswith(rule.public_id)
    quarantine.release_email(email, by="Ada")
    assert heard() == ["email.received"]


@pytest.mark.usefixtures("curious")
@pytest.mark.parametrize("action", ["block", "quarantine", "discard"])
def test_what_was_kept_back_unopened_is_told_of_as_new_once_it_is_known_to_be_harmless(action: str) -> None:
    make_rule(action, "attachment", ".exe")
    email = parked(raw=mail_with("a.png"))
    assert (email.status, heard()) == ("quarantined", [])
    repair(email)
    email.refresh_from_db()
    assert (email.status, email.quarantine_reason, email.quarantine_rule) == ("processed", "", None)
    assert heard() == ["email.received"]
    assert Delivery.objects.count() == 1


@pytest.mark.usefixtures("curious")
@pytest.mark.parametrize("action", ["block", "quarantine", "discard"])
def test_a_rule_that_came_after_it_was_told_of_keeps_a_repaired_mail_back(action: str) -> None:
    email = parked(raw=mail_with("a.exe"))
    assert (email.status, heard()) == ("parked", ["email.received"])
    rule = make_rule(action, "attachment", ".exe")
    repair(email)
    email.refresh_from_db()
    # not discarded: others know of it
    assert (email.status, email.quarantine_rule, heard()) == ("quarantined", rule, ["email.received"])


@pytest.mark.usefixtures("curious")
def test_a_repaired_mail_that_a_rule_allows_is_told_of() -> None:
    make_rule("allow", "attachment", ".exe")
    email = parked(raw=mail_with("a.exe"))
    repair(email)
    email.refresh_from_db()
    assert (email.status, heard()) == ("processed", ["email.received", "email.reparsed"])


@pytest.mark.usefixtures("curious")
def test_what_somebody_released_unopened_is_not_kept_back_again() -> None:
    make_rule("block", "attachment", ".exe")
    email = parked(raw=mail_with("a.exe"))
    quarantine.release_email(email, by="Ada")
    repair(email)
    email.refresh_from_db()
    assert (email.status, heard()) == ("processed", ["email.received", "email.reparsed"])


@pytest.mark.usefixtures("curious")
def test_what_is_opened_at_last_and_still_hides_files_stays_kept_back() -> None:
    rule = make_rule("block", "attachment", ".exe")
    email = parked(raw=many_files("a.exe"))
    repair(email)
    email.refresh_from_db()
    assert (email.status, email.quarantine_rule, heard()) == ("quarantined", rule, [])
    assert "too_many_attachments" in email.quarantine_reason


@pytest.mark.usefixtures("curious")
def test_what_is_kept_back_for_its_sender_is_not_let_go_by_a_repair(alias: Alias) -> None:
    make_rule("block", "attachment", ".exe", mailbox=alias.mailbox)
    rule = make_rule("quarantine", "sender_domain", "example.net")
    email = parked(raw=mail_with("a.png"))
    assert email.quarantine_rule == rule
    repair(email)
    email.refresh_from_db()
    assert (email.status, email.quarantine_rule, heard()) == ("quarantined", rule, [])


@pytest.mark.usefixtures("curious")
def test_of_a_repaired_mail_one_mailbox_discards_what_another_keeps(alias: Alias) -> None:
    sales = make_mailbox(address="sales@example.com")
    make_rule("discard", "attachment", ".exe", mailbox=alias.mailbox)
    message = make_message(raw=mail_with("a.exe"), to=(TO, "sales@example.com"))
    Message.objects.update(losses=process.PARK_FROM_LOSSES)
    process.drain(linger=timedelta(0))
    reparse._ask([message.pk], is_dry_run=False)
    assert reparse.drain(until=float("inf")) == 1
    email = Email.objects.get()
    assert (email.mailbox, email.status, email.attachments.count()) == (sales, "processed", 1)
    assert Refusal.objects.get().recipient == TO


@pytest.mark.usefixtures("curious")
def test_a_dry_run_judges_nothing() -> None:
    make_rule("discard", "attachment", ".exe")
    email = parked(raw=mail_with("a.exe"))
    before = Email.objects.values().get()
    reparse._ask([email.message_id], is_dry_run=True)
    assert reparse.drain(until=float("inf")) == 1
    assert (Email.objects.values().get(), heard()) == (before, [])


def test_without_rules_about_attachments_one_query_is_all_it_costs(
    webhook: Webhook, django_assert_num_queries: Any
) -> None:
    message = make_message(raw=mail_with("a.exe"), to=(TO,))
    from mailboxes import mime
    from mailboxes.services import attachment_rules

    emails, recipients = (
        list(message.emails.select_related("mailbox")),
        list(message.recipients.select_related("alias")),
    )
    with django_assert_num_queries(1):
        parsed = mime.parse(mail_with("a.exe"))
        assert attachment_rules.verdicts_of(message, emails, recipients, parsed) == {}
    with django_assert_num_queries(0):
        assert attachment_rules.verdicts_of(message, emails, recipients, mime.parse(RAW)) == {}


# --- through the listener


@pytest.fixture
def client(alias: Alias) -> Iterator[Client]:
    with listening() as running, Client(running.port) as connected:
        yield connected


def test_what_is_blocked_is_refused_at_rcpt_and_the_next_recipient_is_not(client: Client) -> None:
    make_mailbox(address="sales@example.com")
    make_rule("block", "sender_domain", "example.net", mailbox=Alias.objects.get().mailbox)
    client.command("EHLO mail.example.net")
    client.command("MAIL FROM:<ada@example.net>")
    assert client.command(f"RCPT TO:<{TO}>").startswith("550 5.7.1 ")
    assert client.command("RCPT TO:<sales@example.com>").startswith("250 2.1.5 ")


def test_the_size_counts_when_it_is_declared_and_when_it_is_there(client: Client) -> None:
    rule = make_rule("block", "size", "1000", mailbox=Alias.objects.get().mailbox)
    make_mailbox(address="sales@example.com")
    large = RAW + b"x" * 998 + b"\r\n"
    client.command("EHLO mail.example.net")
    client.command("MAIL FROM:<ada@example.net> SIZE=1001")
    assert client.command(f"RCPT TO:<{TO}>").startswith("550 5.7.1 ")
    client.command("RSET")
    assert client.deliver(RAW, TO, sender="ada@example.net").startswith("250 2.0.0 accepted as msg_")
    assert client.deliver(large, TO, sender="ada@example.net").startswith("550 5.7.1 ")
    assert Email.objects.count() == 1
    # one answer is for both: what one of them blocks is kept back
    answer = client.deliver(large, TO, "sales@example.com", sender="ada@example.net")
    assert answer.startswith("250 2.0.0 accepted as msg_")
    process.drain(linger=timedelta(0))
    stood = dict(Email.objects.filter(size=len(large)).values_list("mailbox__local_part", "status"))
    assert stood == {"support": "quarantined", "sales": "processed"}
    assert Email.objects.get(status="quarantined").quarantine_rule == rule


def test_what_is_discarded_is_answered_with_250_and_leaves_a_refusal(client: Client) -> None:
    rule = make_rule("discard", "sender", "ada@example.net")
    assert client.deliver(RAW, TO, sender="ada@example.net").startswith("250 2.0.0 ")
    assert not Message.objects.exists()
    assert (Refusal.objects.get().rule, Refusal.objects.get().outcome) == (rule, "discarded")


# --- over the API and by command


def test_a_key_that_may_write_releases_and_no_other_does(webhook: Webhook) -> None:
    email = quarantined()
    url = f"/v1/emails/{email.public_id}/release"
    other = make_mailbox(address="other@example.com")
    assert send(make_client(scopes=[Scope.EMAILS_READ, Scope.EMAILS_CONTENT]), "POST", url).status_code == 403
    assert send(make_client(mailboxes=[other]), "POST", url).status_code == 404
    assert Email.objects.get().status == "quarantined"
    restricted = make_client(mailboxes=[email.mailbox], scopes=[Scope.EMAILS_READ, Scope.EMAILS_WRITE])
    shown = {"reason": quarantine.UNNAMED, "rule_id": None}
    (listed,) = restricted.get("/v1/emails?status=quarantined").json()["data"]
    assert (listed["id"], listed["quarantine"]) == (email.public_id, shown)
    answer = send(restricted, "POST", url)
    assert (answer.status_code, answer.json()["status"], answer.json()["quarantine"]) == (200, "processed", shown)
    assert send(restricted, "POST", url).status_code == 200
    assert Event.objects.count() == 1
    rule = Rule.objects.get()
    told = make_client().get(f"/v1/emails/{email.public_id}").json()["quarantine"]
    assert told["rule_id"] == rule.public_id
    assert rule.public_id in told["reason"]
    assert restricted.get("/v1/emails?status=quarantined").json()["data"] == []


def test_what_is_not_kept_back_is_no_release_and_a_status_is_one_of_those_there_are(alias: Alias) -> None:
    email = processed().emails.get()
    answer = send(make_client(), "POST", f"/v1/emails/{email.public_id}/release")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_quarantined")
    answer = send(make_client(), "POST", f"/v1/emails/{email.public_id}/release", {"x": 1})
    assert answer.status_code == 400
    assert make_client().get("/v1/emails?status=x").status_code == 400
    assert make_client().get("/v1/emails?status=processed").json()["data"][0]["quarantine"] is None


def test_an_operator_releases_by_its_id(webhook: Webhook, capsys: pytest.CaptureFixture[str]) -> None:
    email = quarantined()
    call_command("emails", "list", "--status", "quarantined")
    call_command("emails", "show", email.public_id)
    assert "keeps it back: sender_domain example.net" in capsys.readouterr().out
    call_command("emails", "release", email.public_id)
    assert "processed" in capsys.readouterr().out
    assert Event.objects.count() == 1
    ordinary = make_message(to=(TO,), mail_from="a@example.org").emails.get()
    with pytest.raises(CommandError, match="not in quarantine"):
        call_command("emails", "release", ordinary.public_id)


def test_by_lmtp_each_recipient_has_an_answer_of_its_own(alias: Alias) -> None:
    make_mailbox(address="sales@example.com")
    make_rule("block", "size", "10", mailbox=alias.mailbox)
    with listening(is_lmtp=True) as running, Client(running.port) as client:
        client.command("LHLO relay.example.net")
        client.command("MAIL FROM:<ada@example.net>")
        for to in (TO, "sales@example.com"):
            assert client.command(f"RCPT TO:<{to}>").startswith("250 ")
        assert client.command("DATA").startswith("354")
        client.send(on_the_wire(RAW))
        assert client.reply().startswith("550 5.7.1 ")
        assert client.reply().startswith("250 2.0.0 ")
    assert Email.objects.get().mailbox.local_part == "sales"
