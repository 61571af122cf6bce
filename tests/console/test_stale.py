"""Pages that were open while somebody else changed the thing: nothing is moved back, nothing is lost."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.console.forms import changed, opened
from tests.factories import make_alias, make_domain, make_mailbox


def page(row: Any) -> str:
    return reverse(f"admin:mailboxes_{row._meta.model_name}_change", args=[row.pk])


def open_page(client: Client, row: Any) -> dict[str, str]:
    return opened(client, page(row), kind=row._meta.model_name)


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def meanwhile(said: str) -> list[str]:
    return [f"It was changed meanwhile to {said}; open the page again and look."]


def test_an_alias_that_was_moved_stays_moved_when_an_old_page_is_saved(administrator: Client) -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    old = open_page(administrator, alias)
    provision.update_alias(alias, mailbox=other, is_active=False)
    answer = administrator.post(page(alias), changed(old, description="For customers"))
    assert answer.status_code == 302, errors_of(answer)
    alias = Alias.objects.get()
    assert (alias.mailbox, alias.is_active, alias.description) == (other, False, "For customers")
    assert LogEntry.objects.get().get_change_message() == "Changed Description."


def test_an_alias_that_two_move_is_moved_by_the_first_and_the_second_is_told(administrator: Client) -> None:
    alias, other, third = make_alias(), make_mailbox(address="a@example.com"), make_mailbox(address="b@example.com")
    old = open_page(administrator, alias)
    provision.update_alias(alias, mailbox=other)
    sent = changed(old, mailbox=str(third.pk), description="lost with it")
    for _ in range(2):  # sending it again is no way round it
        found = errors_of(administrator.post(page(alias), sent))
        assert found == {"mailbox": meanwhile("a@example.com")}
    alias = Alias.objects.get()
    assert (alias.mailbox, alias.description) == (other, "")
    assert not LogEntry.objects.exists()
    # who looked again may
    assert (
        administrator.post(page(alias), changed(open_page(administrator, alias), mailbox=third.pk)).status_code == 302
    )
    assert Alias.objects.get().mailbox == third


def test_the_page_with_the_error_still_knows_what_was_seen(administrator: Client) -> None:
    alias = make_alias()
    old = open_page(administrator, alias)
    provision.update_alias(alias, description="theirs")
    answer = administrator.post(page(alias), changed(old, description="mine"))
    assert 'name="initial-description" value="theirs"' not in answer.content.decode()
    assert 'name="description" value="mine"' in answer.content.decode()


def test_two_who_want_the_same_agree(administrator: Client) -> None:
    alias = make_alias()
    old = open_page(administrator, alias)
    provision.update_alias(alias, is_active=False)
    assert administrator.post(page(alias), changed(old, is_active=None)).status_code == 302
    assert not Alias.objects.get().is_active


def test_a_mailbox_keeps_what_others_changed_while_its_page_was_open(administrator: Client) -> None:
    mailbox = make_mailbox()
    provision.update_mailbox(mailbox, retention={"raw_days": 3, "content_days": 50})
    old = open_page(administrator, mailbox)
    provision.update_mailbox(
        mailbox, is_active=False, time_zone="Europe/Berlin", retention={"raw_days": 30, "log_days": 90}
    )
    answer = administrator.post(page(mailbox), changed(old, name="Support", content_days=""))
    assert answer.status_code == 302, errors_of(answer)
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert (mailbox.name, mailbox.is_active, mailbox.time_zone) == ("Support", False, "Europe/Berlin")
    assert (mailbox.raw_days, mailbox.content_days, mailbox.log_days) == (30, None, 90)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"retention": {"raw_days": 30}}, {"raw_days": "7"}, {"raw_days": meanwhile("30")}),
        ({"retention": {"content_days": None}}, {"content_days": "7"}, {"content_days": meanwhile("nothing")}),
        ({"name": "Theirs"}, {"name": "Mine"}, {"name": meanwhile("Theirs")}),
    ],
)
def test_a_field_of_a_mailbox_that_two_change_is_not_overwritten(
    first: Any, second: Any, said: Any, administrator: Client
) -> None:
    mailbox = make_mailbox()
    provision.update_mailbox(mailbox, retention={"content_days": 50})
    old = open_page(administrator, mailbox)
    provision.update_mailbox(mailbox, **first)
    before = Mailbox.objects.filter(pk=mailbox.pk).values().get()
    assert errors_of(administrator.post(page(mailbox), changed(old, time_zone="Europe/Berlin", **second))) == said
    assert Mailbox.objects.filter(pk=mailbox.pk).values().get() == before


def test_a_domain_keeps_what_others_changed_while_its_page_was_open(administrator: Client) -> None:
    domain, mailbox = make_domain(), make_mailbox()
    old = open_page(administrator, domain)
    provision.update_domain(domain, is_active=False, default_mailbox=mailbox)
    answer = administrator.post(page(domain), changed(old, is_test="on"))
    assert answer.status_code == 302, errors_of(answer)
    domain = Domain.objects.get()
    assert (domain.is_active, domain.is_test, domain.default_mailbox) == (False, True, mailbox)


def test_a_default_mailbox_that_two_choose_is_that_of_the_first(administrator: Client) -> None:
    domain, mailbox, other = make_domain(), make_mailbox(), make_mailbox(address="sales@example.com")
    old = open_page(administrator, domain)
    provision.update_domain(domain, default_mailbox=mailbox)
    found = errors_of(administrator.post(page(domain), changed(old, default_mailbox=other.pk)))
    assert found == {"default_mailbox": meanwhile("support@example.com")}
    assert Domain.objects.get().default_mailbox == mailbox


@pytest.mark.parametrize("name", [" Sales ", "Sales\nand support", "Sales\r\nand\rsupport", "“Sales” & <b>"])
def test_names_that_a_browser_cannot_send_back_as_they_are_count_as_unchanged(name: str, administrator: Client) -> None:
    mailbox = make_mailbox()
    provision.update_mailbox(mailbox, name=name)
    seen = open_page(administrator, mailbox)
    answer = administrator.post(page(mailbox), changed(seen, time_zone="Europe/Berlin"))
    assert answer.status_code == 302, errors_of(answer)
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert (mailbox.name, mailbox.time_zone) == (name, "Europe/Berlin")


@pytest.mark.parametrize("seen", ["nonsense", "\0", ""])
def test_what_no_page_of_ours_sent_overwrites_nothing(seen: str, administrator: Client) -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    sent = changed(open_page(administrator, alias), mailbox=other.pk) | {"initial-mailbox": seen}
    assert errors_of(administrator.post(page(alias), sent)) == {"mailbox": meanwhile("support@example.com")}
    assert Alias.objects.get().mailbox == alias.mailbox
