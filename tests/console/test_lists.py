"""What all lists have in common: strange input is no fault, actions do what they can, keys stay out of addresses."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from mailboxes.admin.addresses import MailboxAdmin
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_key
from tests.console.conftest import make_person
from tests.factories import make_mailbox

MAILBOXES, PEOPLE = "/admin/mailboxes/mailbox/", "/admin/auth/user/"
LISTS = ("mailboxes.Domain", "mailboxes.Mailbox", "mailboxes.Alias", "mailboxes.Email", "webhooks.Webhook")
LISTS += ("webhooks.Delivery", "apikeys.ApiKey", "auth.User", "auth.Group", "common.Lease")
WITH_ACTIONS = ("mailboxes.Domain", "mailboxes.Mailbox", "mailboxes.Alias", "mailboxes.Rule", "auth.User")


def list_of(label: str) -> str:
    return reverse(f"admin:{label.lower().replace('.', '_')}_changelist")


def act(client: Client, path: str, action: str, *chosen: object, **others: str) -> Any:
    sent = {"action": action, "_selected_action": [str(one) for one in chosen], **others}
    return client.post(path, sent, follow=True)


# --- what is chosen


@pytest.mark.parametrize("label", WITH_ACTIONS)
def test_strange_ids_are_no_fault(label: str, administrator: Client, one_of_each: dict[str, Model]) -> None:
    action = "deactivate" if label == "auth.User" else "disable"
    for strange in ("abc", "a\0b", "", "9" * 30, "-1"):
        assert act(administrator, list_of(label), action, strange).status_code == 200
        assert act(administrator, list_of(label), action, strange, index="0").status_code == 200
    assert not LogEntry.objects.exists()


def test_what_else_is_chosen_is_done(administrator: Client) -> None:
    mailbox, member = make_mailbox(), make_person("member")
    assert b"1 mailbox disabled." in act(administrator, MAILBOXES, "disable", "abc", mailbox.pk, "a\0b").content
    assert list(Mailbox.objects.filter(is_active=False)) == [mailbox]
    assert b"member: deactivated." in act(administrator, PEOPLE, "deactivate", "9" * 30, member.pk, "abc").content
    assert list(User.objects.filter(is_active=False)) == [member]


# --- many at once


Patch = Callable[[Callable[[Mailbox], None]], None]


@pytest.fixture
def before_each(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Does something just before the service is called for a mailbox."""
    set_active = MailboxAdmin.set_active

    def patch(happens: Callable[[Mailbox], None]) -> None:
        def patched(self: MailboxAdmin, row: Mailbox, is_active: bool) -> None:
            happens(row)
            set_active(self, row, is_active)

        monkeypatch.setattr(MailboxAdmin, "set_active", patched)

    return patch


def three() -> list[Mailbox]:
    """In the order of their ids, which is not that of the list."""
    return [make_mailbox(address=f"{name}@example.com") for name in "cba"]


def test_one_that_is_deleted_meanwhile_is_named_and_the_others_are_done(
    administrator: Client, before_each: Patch
) -> None:
    first, second, third = three()
    before_each(lambda row: provision.delete_mailbox(second) if row == first else None)
    text = act(administrator, MAILBOXES, "disable", first.pk, second.pk, third.pk).content.decode()
    assert "2 mailboxes disabled." in text
    assert "Not disabled: b@example.com is deleted." in text
    assert set(Mailbox.objects.filter(is_active=False)) == {first, third}
    assert set(LogEntry.objects.values_list("object_repr", flat=True)) == {"a@example.com", "c@example.com"}


def test_if_none_could_be_done_the_list_says_only_so(administrator: Client, before_each: Patch) -> None:
    mailbox = make_mailbox()
    before_each(provision.delete_mailbox)
    text = act(administrator, MAILBOXES, "disable", mailbox.pk).content.decode()
    assert "Not disabled: support@example.com is deleted." in text
    assert "disabled." not in text


def test_they_are_done_in_the_order_of_their_ids(administrator: Client, before_each: Patch) -> None:
    rows, seen = three(), []
    before_each(seen.append)
    act(administrator, MAILBOXES, "disable", *(row.pk for row in rows))
    assert seen == sorted(rows, key=lambda row: row.pk) == rows


def test_each_is_done_for_itself_so_a_fault_undoes_no_other(administrator: Client, before_each: Patch) -> None:
    first, second, third = three()

    def fault(row: Mailbox) -> None:
        if row == second:
            raise RuntimeError

    before_each(fault)
    with pytest.raises(RuntimeError):
        act(administrator, MAILBOXES, "disable", first.pk, second.pk, third.pk)
    assert list(Mailbox.objects.filter(is_active=False)) == [first]
    assert LogEntry.objects.get().object_repr == "c@example.com"


# --- what is asked for


@pytest.mark.parametrize("lookup", ["regex", "iregex"])
@pytest.mark.parametrize("asked", ["domain/?name__", "alias/?description__", "mailbox/?name__"])
def test_patterns_are_no_filter(asked: str, lookup: str, administrator: Client) -> None:
    make_mailbox()
    for pattern in ("(", "a"):
        assert administrator.get(f"/admin/mailboxes/{asked}{lookup}={pattern}").status_code == 400


@pytest.mark.parametrize(
    "asked",
    ["id__in=99999999999999999999", "id__range=1", "date_joined__year=99999", "date_joined__year__gte=99999999999"],
)
def test_filters_that_databases_choke_on_are_refused(asked: str, administrator: Client) -> None:
    assert administrator.get(f"{PEOPLE}?{asked}").status_code == 400
    assert administrator.get(f"{PEOPLE}?is_active__exact=1").status_code == 200


# --- keys


@pytest.mark.parametrize("label", LISTS)
def test_a_whole_key_in_a_search_box_does_not_stay_in_the_address(
    label: str, administrator: Client, one_of_each: dict[str, Model], caplog: pytest.LogCaptureFixture
) -> None:
    key, plaintext = make_key()
    with caplog.at_level(logging.DEBUG):
        answer = administrator.get(list_of(label), {"q": f" Bearer {plaintext}", "o": "1"})
    assert answer.status_code == 302
    assert answer["Location"] == f"{list_of(label)}?q=+Bearer+{key.identifier}&o=1"
    assert plaintext[16:28] not in repr([vars(record) for record in caplog.records])
    assert administrator.get(answer["Location"]).status_code == 200
