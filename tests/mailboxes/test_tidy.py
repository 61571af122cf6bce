from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emailgistics.common import bulk, tallies
from emailgistics.common.models import Tally
from mailboxes.models import Email, Refusal, RefusalCount, ResendGuard
from mailboxes.services import tidy
from mailboxes.services.receive import RESEND_WINDOW
from tests.factories import RAW, make_mailbox, make_message

pytestmark = pytest.mark.django_db


def test_guards_go_after_their_window_and_not_before_and_the_mail_stays() -> None:
    make_mailbox()
    make_message(raw=RAW)
    accepted_at = ResendGuard.objects.get().accepted_at
    assert tidy.tidy(now=accepted_at + RESEND_WINDOW - timedelta(seconds=1)) == 0
    assert tidy.tidy(now=accepted_at + RESEND_WINDOW) == 1
    assert (ResendGuard.objects.count(), Email.objects.count()) == (0, 1)


def test_refusals_go_after_their_days(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "DELETED_AT_ONCE", 2)
    settings.REFUSAL_DAYS = 7
    now = timezone.now()
    for days in (6, 8, 9, 10):
        at = now - timedelta(days=days)
        Refusal.objects.create(at=at, source="smtp", reply="550 5.1.1 No", code="unknown_recipient")
        RefusalCount.objects.create(network="192.0.2.0/24", hour=at, refused=3)
    assert tidy.tidy(now=now) == 6
    assert [row.at for row in Refusal.objects.all()] == [now - timedelta(days=6)]
    assert RefusalCount.objects.count() == 1


def test_counts_are_folded_into_one_row_each_and_keep_their_sums() -> None:
    counted = Tally.objects.filter(name__startswith="mail_")
    for _ in range(5):
        tallies.count(mail_accepted=2, mail_stored=1, mail_resent=0)
    assert counted.count() == 10  # of nothing there is no row
    tidy.tidy()
    assert counted.count() == 2
    assert (tallies.total("mail_accepted"), tallies.total("mail_stored"), tallies.total("mail_resent")) == (10, 5, 0)
