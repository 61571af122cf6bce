"""What the clocks of a mailbox come to, and which numbers cannot come true."""

from typing import Any

import pytest
from pytest_django import Settings

from emailgistics.common.errors import RefusedError
from mailboxes.models import Mailbox
from mailboxes.retention import in_force
from mailboxes.services import provision
from mailboxes.services.provision import Retention
from tests.factories import make_mailbox


@pytest.mark.parametrize(
    ("of_mailbox", "of_installation", "comes_to"),
    [
        ((None, None, None), (0, 0, 0), (None, None, None)),
        ((30, None, 365), (0, 0, 0), (30, 365, 365)),
        ((None, 7, None), (0, 0, 0), (7, 7, None)),
        ((None, None, None), (30, 90, 0), (30, 90, None)),
        ((None, 7, None), (30, 90, 365), (7, 7, 365)),
        ((60, None, None), (30, 90, 0), (60, 90, None)),
        ((36_500, 36_500, 36_500), (30, 90, 365), (36_500, 36_500, 36_500)),
    ],
)
def test_what_a_mailbox_leaves_open_is_as_the_installation_says_and_nothing_outlasts_what_it_is_a_part_of(
    of_mailbox: Any, of_installation: Any, comes_to: Any, settings: Settings
) -> None:
    names = ("RAW", "CONTENT", "LOG")
    for name, days in zip(names, of_installation, strict=True):
        setattr(settings, f"RETENTION_{name}_DAYS", days)
    raw, content, log = of_mailbox
    holds = in_force(Mailbox(raw_days=raw, content_days=content, log_days=log))
    assert (holds.raw_days, holds.content_days, holds.log_days) == comes_to


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "given", "said"),
    [
        ({}, {"raw_days": 9, "content_days": 5}, "raw_days is 9, but content_days is 5"),
        ({"log_days": 5}, {"content_days": 9}, "give content_days at most 5, or log_days at least 9"),
        ({"raw_days": 9}, {"log_days": 5}, "raw_days is 9, but content_days is 5"),
        ({"raw_days": 9, "content_days": 9}, {"content_days": None, "log_days": 5}, "raw_days is 9"),
    ],
)
def test_days_that_cannot_come_true_are_refused_with_what_was_given_before(
    before: Retention, given: Retention, said: str
) -> None:
    mailbox = provision.update_mailbox(make_mailbox(), retention=before)
    with pytest.raises(RefusedError, match=said) as refused:
        provision.update_mailbox(mailbox, retention=given)
    assert refused.value.field == "retention"
    stored = Mailbox.objects.get(pk=mailbox.pk)
    assert {name: getattr(stored, name) for name in before} == before


@pytest.mark.django_db
def test_the_installations_days_are_named_where_they_stand_in_the_way(settings: Settings) -> None:
    settings.RETENTION_CONTENT_DAYS = 5
    mailbox = make_mailbox()
    with pytest.raises(RefusedError, match="content_days is 5, as the installation says"):
        provision.update_mailbox(mailbox, retention={"raw_days": 9})
    provision.update_mailbox(mailbox, retention={"raw_days": 9, "content_days": 10})
    with pytest.raises(RefusedError, match="raw_days is 9"):
        provision.create_mailbox(address="sales@example.com", retention={"raw_days": 9})
