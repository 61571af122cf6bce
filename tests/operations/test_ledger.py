"""The ledger balances whatever happens to mail, and says what was lost, made twice or changed by hand."""

import json
from collections.abc import Callable
from datetime import UTC, date, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import ledger_days, tallies
from emailgistics.common.ids import made_at, uuid7
from emailgistics.common.models import AuditEntry, LedgerDay
from emailgistics.operations import ledger
from mailboxes.models import Email, Message
from mailboxes.services import process, receive
from tests.factories import RAW, make_alias, make_mailbox, make_message, make_webhook
from webhooks.models import Attempt, Delivery, Event, Webhook
from webhooks.services import erase, replay, testing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_nudges(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(receive, "nudge", lambda _: None)
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]


@pytest.fixture
def today() -> date:
    return timezone.now().astimezone(UTC).date()


@pytest.fixture
def mail() -> list[Email]:
    """Two mails that were opened and went to a webhook, one of which was erased, with a test and a replay besides."""
    mailbox = make_mailbox()
    webhook = make_webhook(alias=make_alias(mailbox=mailbox))
    make_message(to=("help@example.com", "support@example.com"))
    make_message(raw=RAW.replace(b"Subject:", b"Subject: another"), to=("help@example.com",))
    process.drain(linger=timedelta(0))
    testing.send_test(webhook, by="somebody")
    emails = list(Email.objects.order_by("pk"))
    later = make_webhook(mailbox=mailbox, url="http://127.0.0.1:9/later")
    assert later.pk
    replay.replay_email(emails[0], by="somebody", webhooks=Webhook.objects.all())
    erase.erase_email(emails[1].pk, by="somebody")
    return emails[:1]


def test_mail_that_came_was_opened_sent_and_erased_balances(mail: list[Email], today: date) -> None:
    assert {balance.account: balance.difference for balance in ledger.balances(today)} == {
        "messages": 0,
        "emails": 0,
        "deliveries": 0,
    }
    accounts = {balance.account: balance for balance in ledger.balances(today)}
    assert (accounts["messages"].came, accounts["messages"].went) == (2, 1)
    assert (accounts["emails"].came, accounts["emails"].went) == (2, 1)
    assert accounts["deliveries"].came == Delivery.objects.count() + accounts["deliveries"].went
    assert accounts["deliveries"].came >= 4
    assert ledger.mail().difference == 0
    assert ledger.check() == []
    assert LedgerDay.objects.get().is_balanced


def lose_an_email() -> None:
    for model in (Attempt, Delivery, Event, Email):
        model._default_manager.all().delete()


def lose_a_message() -> None:
    lose_an_email()
    Message.objects.all().delete()


def lose_a_delivery() -> None:
    Attempt.objects.all().delete()
    Delivery.objects.filter(pk=Delivery.objects.values_list("pk", flat=True)[0]).delete()


def make_a_message_by_hand() -> None:
    Message.objects.create(received_at=timezone.now(), size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("act", "account", "difference"),
    [
        (lose_an_email, "emails", -1),
        (lose_a_message, "messages", -1),
        (lose_a_delivery, "deliveries", -1),
        (make_a_message_by_hand, "messages", 1),
    ],
)
def test_what_is_lost_or_made_by_hand_is_found_and_stays_wrong_until_it_is_accepted(
    act: Callable[[], None], account: str, difference: int, mail: list[Email], today: date
) -> None:
    act()
    wrong = {balance.account: balance.difference for balance in ledger.check()}
    assert wrong[account] == difference
    assert LedgerDay.objects.get(day=today).differs == wrong
    assert ledger.check(), "it does not go away by itself"
    out = StringIO()
    with pytest.raises(CommandError, match="differ"):
        call_command("ledger", "--json", stdout=out)
    said = {row["account"]: row["difference"] for row in json.loads(out.getvalue())["data"]}
    assert said[account] == difference
    call_command("ledger", "accept", today.isoformat(), "--reason", "tried it", stdout=StringIO())
    assert ledger.check() == []
    assert AuditEntry.objects.get(action="ledger.accepted").details["reason"] == "tried it"
    call_command("ledger", stdout=StringIO())


def test_accepting_needs_a_day_and_a_reason(db: None) -> None:
    for arguments in (["accept"], ["accept", "2030-01-31"], ["accept", "2030-01-31", "--reason", " "]):
        with pytest.raises(CommandError, match="Say which day, and why"):
            call_command("ledger", *arguments)


def test_days_before_are_looked_at_in_turn_and_the_one_that_is_oldest_first(today: date) -> None:
    old = [today - timedelta(days=days) for days in (3, 5, 9)]
    for day in old:
        tallies.count(**{ledger_days.name_of("emails", "came", day): 1})
        LedgerDay.objects.create(
            day=day, checked_at=timezone.now() - timedelta(hours=day.day), is_balanced=True, took_ms=1
        )
    looked_at = [ledger.check()[0].day for _ in old]
    assert sorted(filter(None, looked_at)) == sorted(old), "each once: a check is what makes it young"


def test_a_day_that_began_before_anything_was_counted_is_not_balanced(today: date) -> None:
    tallies.count(**{ledger_days.name_of("emails", "came", today): 1})
    assert ledger.check()
    from emailgistics.common.models import Tally

    Tally.objects.create(name=f"{ledger.BEGAN} {today + timedelta(days=1)}", amount=0)
    assert ledger.check() == []


def test_an_id_tells_its_day_and_a_day_its_ids(today: date) -> None:
    id_ = uuid7()
    assert abs(made_at(id_) - timezone.now()) < timedelta(seconds=5)
    first, end = ledger_days.ids_of(made_at(id_).date())
    assert first <= id_ < end
    before, same = ledger_days.ids_of(made_at(id_).date() - timedelta(days=1))
    assert before < same == first
