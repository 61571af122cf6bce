"""Changing a webhook in the console: only what somebody changed, and never what somebody else changed meanwhile."""

from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client

from emailgistics.common.models import SpentFormToken
from tests.factories import make_mailbox, make_webhook
from tests.webhooks.browsing import (
    ADD,
    SECRET,
    URL,
    as_rendered,
    new_values,
    now,
    page,
    secret_in,
    secrets_now,
    send,
    text_of,
    token_on,
    values_of,
)
from webhooks import guard
from webhooks.models import Webhook
from webhooks.services import webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


def test_what_was_changed_is_changed_and_the_rest_stays(admin: Client) -> None:
    webhook, secret = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), headers={"X-A": "1", "X-B": "2"})
    given = values_of(webhook, url=f"{URL}/2", description="CRM", headers="x-a: ***\r\nX-C: 3")
    answer = send(admin, page(webhook), **given)
    changed = now(webhook)
    assert answer.status_code == HTTPStatus.FOUND
    assert (changed.url, changed.description, changed.payload) == (f"{URL}/2", "CRM", "full")
    assert webhooks.headers_of(changed) == {"x-a": "1", "X-C": "3"}
    assert secrets_now(webhook) == [secret]
    assert "X-C: ***" in text_of(admin.get(page(webhook)))


def test_saving_without_a_change_changes_nothing(admin: Client) -> None:
    webhook, _ = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), headers={"X-A": "1", "X-B": "2"})
    before = Webhook.objects.values().get()
    answer = admin.post(page(webhook), values_of(webhook, form_token=token_on(admin, page(webhook))), follow=True)
    assert "Nothing was changed." in text_of(answer)
    assert Webhook.objects.values().get() == before


def test_another_origin_drops_the_headers_and_shows_a_new_secret_once_as_was_said_before(admin: Client) -> None:
    webhook, secret = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), headers={"X-A": "1"})
    assert "a new secret signs from that moment on" in text_of(admin.get(page(webhook)))
    values = values_of(webhook, url="http://127.0.0.1:10/hook", form_token=token_on(admin, page(webhook)))
    answer, again = admin.post(page(webhook), values), admin.post(page(webhook), values)
    assert secrets_now(webhook) == [secret_in(answer)] != [secret]
    assert webhooks.headers_of(now(webhook)) == {}
    assert "no-store" in answer["Cache-Control"]
    assert SECRET.findall(text_of(again)) == []
    assert "was sent before" in text_of(again)


def test_a_change_that_is_refused_is_said_at_its_field(admin: Client) -> None:
    webhook = make_webhook()
    before = Webhook.objects.values().get()
    for wrong, field in (({"url": "http://10.0.0.1/"}, "url"), ({"headers": "X: ***"}, "headers")):
        errors = send(admin, page(webhook), **values_of(webhook, **wrong)).context["form"].errors
        assert list(errors) == [field]
    assert Webhook.objects.values().get() == before


ONE, TWO = "https://one.example/hook", "https://two.example/hook"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each name that is looked up, whether a transaction was open; names lead to public addresses."""
    asked: list[bool] = []
    resolved = guard._resolved

    def watched(host: str, port: int, lookup: Any) -> list[str]:
        asked.append(connection.in_atomic_block)
        return resolved(host, port, lambda *_: ["93.184.216.34"])

    monkeypatch.setattr(guard, "_resolved", watched)
    return asked


def make_aimed(**how: Any) -> tuple[Webhook, str]:
    return webhooks.create_webhook(url=ONE, mailbox=make_mailbox(), headers={"X-A": "for one"}, **how)


@pytest.mark.usefixtures("names")
def test_a_page_that_was_open_while_the_url_changed_does_not_change_it_back(admin: Client) -> None:
    webhook, _ = make_aimed()
    opened = admin.get(page(webhook))
    renewed = webhooks.update_webhook(webhook, url=TWO, headers={"X-B": "for two"})
    answer = admin.post(page(webhook), as_rendered(opened, description="CRM"))
    changed = now(webhook)
    assert answer.status_code == HTTPStatus.FOUND
    assert (changed.url, changed.description) == (TWO, "CRM")
    assert (webhooks.headers_of(changed), secrets_now(webhook)) == ({"X-B": "for two"}, [renewed])
    logged = LogEntry.objects.get().get_change_message()
    assert ("escription" in logged, "url" in logged.lower()) == (True, False)


MEANWHILE: dict[str, tuple[dict[str, Any], dict[str, str], list[str]]] = {
    "url": ({"url": TWO}, {"url": f"{ONE}/2"}, ["url"]),
    "headers": ({"headers": {"X-B": "2"}}, {"headers": "X-A: mine"}, ["headers"]),
    "description": ({"description": "theirs"}, {"description": "mine"}, ["description"]),
    "what is meant for the receiver that was seen": ({"url": f"{ONE}/2"}, {"headers": "X-A: mine"}, ["url"]),
    "two fields": (
        {"url": TWO, "description": "theirs"},
        {"url": f"{ONE}/2", "description": "mine"},
        ["url", "description"],
    ),
}


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("what", list(MEANWHILE))
def test_what_somebody_changed_meanwhile_is_not_overwritten_unseen(admin: Client, what: str) -> None:
    theirs, mine, fields = MEANWHILE[what]
    webhook, _ = make_aimed(description="first")
    opened = admin.get(page(webhook))
    webhooks.update_webhook(webhook, **theirs)
    before = Webhook.objects.values().get()
    answer = admin.post(page(webhook), as_rendered(opened, **mine))
    errors = answer.context["form"].errors
    assert [name for name in errors if name != "__all__"] == fields
    assert "so nothing was saved" in errors["__all__"][0]
    for name in fields:
        assert {**theirs, "headers": "X-B: ***"}[name] in errors[name][0]
    assert (Webhook.objects.values().get(), SpentFormToken.objects.count()) == (before, 0)
    # what he changed is still there, and the rest as it is now: to save again is to mean it
    again = as_rendered(answer)
    assert again.items() >= mine.items()
    if "url" not in mine:
        assert again["url"] == now(webhook).url
    sent = admin.post(page(webhook), again)
    assert sent.status_code in (HTTPStatus.FOUND, HTTPStatus.OK)
    saved = now(webhook)
    if "headers" in mine:
        assert webhooks.headers_of(saved) == {"X-A": "mine"}
    assert saved.url == mine.get("url", theirs.get("url", ONE))
    assert saved.description == mine.get("description", theirs.get("description", "first"))


def test_a_change_that_comes_right_before_the_row_is_locked_is_noticed(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), description="first")
    values = as_rendered(admin.get(page(webhook)), description="mine")
    locked = webhooks._locked

    def late(seen: Webhook) -> Webhook:
        Webhook.objects.update(description="theirs")
        return locked(seen)

    monkeypatch.setattr(webhooks, "_locked", late)
    errors = admin.post(page(webhook), values).context["form"].errors
    assert "theirs" in errors["description"][0]


def test_a_form_that_does_not_say_what_was_seen_changes_nothing(admin: Client) -> None:
    webhook, _ = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), description="first")
    before = Webhook.objects.values().get()
    values = {name: text for name, text in values_of(webhook, url=f"{URL}/2").items() if "initial" not in name}
    assert "url" in send(admin, page(webhook), **values).context["form"].errors
    assert Webhook.objects.values().get() == before


def test_no_name_is_looked_up_while_the_form_holds_a_transaction_open(admin: Client, names: list[bool]) -> None:
    assert secret_in(send(admin, ADD, **new_values(make_mailbox(), url=ONE)))
    webhook = Webhook.objects.get()
    assert send(admin, page(webhook), **values_of(webhook, url=TWO)).status_code == HTTPStatus.OK
    assert (now(webhook).url, names) == (TWO, [False, False])


# --- how mail comes


def test_all_that_can_be_chosen_is_stored_and_shown_again(admin: Client) -> None:
    choices = {"events": ["webhook.disabled"], "attachments": "inline", "max_in_flight": "3", "rate_per_minute": "90"}
    assert secret_in(send(admin, ADD, **new_values(make_mailbox(), **choices)))
    webhook = Webhook.objects.get()

    def stored() -> tuple[Any, ...]:
        row = now(webhook)
        return row.events, row.attachments, row.max_in_flight, row.rate_per_minute

    assert stored() == (["webhook.disabled"], "inline", 3, 90)
    both = ["email.received", "webhook.disabled"]
    values = as_rendered(admin.get(page(webhook)), events=both, rate_per_minute="", max_in_flight="1")
    assert admin.post(page(webhook), values).status_code == HTTPStatus.FOUND
    assert stored() == (both, "inline", 1, None)
    saved = admin.post(page(webhook), as_rendered(admin.get(page(webhook))), follow=True)
    assert "Nothing was changed." in text_of(saved)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"events": []}, "Choose at least one"),
        ({"events": ["email.deleted"]}, "not one of the available choices"),
        ({"attachments": "ftp"}, "not one of the available choices"),
        ({"max_in_flight": "21"}, "less than or equal to 20"),
        ({"max_in_flight": ""}, "required"),
        ({"rate_per_minute": "0"}, "greater than or equal to 1"),
        ({"rate_per_minute": "60001"}, "less than or equal to 60000"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(admin: Client, wrong: dict[str, Any], why: str) -> None:
    errors = send(admin, ADD, **new_values(make_mailbox(), **wrong)).context["form"].errors
    assert list(errors) == list(wrong)
    assert why in errors[next(iter(wrong))][0]
    assert not Webhook.objects.exists()


def test_without_a_url_its_deliveries_are_pulled_and_the_pages_say_so(admin: Client) -> None:
    assert "wait until a program with an API key pulls them" in text_of(admin.get(ADD))
    assert secret_in(send(admin, ADD, **new_values(make_mailbox(), url="")))
    webhook = Webhook.objects.get()
    assert webhook.url == ""
    for url in (page(webhook), page(webhook, "pause"), page(webhook, "resume"), page(webhook, "delete")):
        assert admin.get(url).status_code == HTTPStatus.OK, url
    assert f"who pulls from {webhook.public_id} hears nothing more" in text_of(admin.get(page(webhook, "delete")))


def test_an_event_list_that_somebody_else_changed_is_not_overwritten_unseen(admin: Client) -> None:
    webhook, _ = webhooks.create_webhook(url=URL, mailbox=make_mailbox())
    opened = admin.get(page(webhook))
    webhooks.update_webhook(webhook, events=["webhook.disabled"])
    answer = admin.post(page(webhook), as_rendered(opened, events=["email.received"]))
    assert "Now it is: webhook.disabled" in answer.context["form"].errors["events"][0]
    assert now(webhook).events == ["webhook.disabled"]
    again = as_rendered(answer)
    assert (again["events"], again["initial-events"]) == (["email.received"], ["webhook.disabled"])
    assert admin.post(page(webhook), again).status_code == HTTPStatus.FOUND
    assert now(webhook).events == ["email.received"]


def test_a_limit_that_somebody_else_changed_is_not_overwritten_unseen(admin: Client) -> None:
    webhook, _ = webhooks.create_webhook(url=URL, mailbox=make_mailbox(), rate_per_minute=60)
    opened = admin.get(page(webhook))
    webhooks.update_webhook(webhook, rate_per_minute=None)
    answer = admin.post(page(webhook), as_rendered(opened, rate_per_minute="30"))
    assert "Now it is: empty" in answer.context["form"].errors["rate_per_minute"][0]
    assert now(webhook).rate_per_minute is None
    assert admin.post(page(webhook), as_rendered(answer)).status_code == HTTPStatus.FOUND
    assert now(webhook).rate_per_minute == 30
