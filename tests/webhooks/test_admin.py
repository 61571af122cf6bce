"""The console's pages of webhooks: who may, what they do, and that a secret is seen once and kept nowhere."""

import logging
import re
import subprocess
import sys
import threading
from datetime import timedelta
from html import unescape
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.models import SpentFormToken
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_domain, make_mailbox, make_webhook
from tests.webhooks.rows import make_delivery_in, move
from webhooks import guard, signing
from webhooks.admin import snippets
from webhooks.models import OTHER_MAILBOX, Delivery, Webhook
from webhooks.services import queue, webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

LIST, ADD = "/admin/webhooks/webhook/", "/admin/webhooks/webhook/add/"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
URL = "http://127.0.0.1:9/hook"
VERBS = ("pause", "resume", "rotate", "delete")
DAY_S = "86400"


@pytest.fixture
def admin() -> Client:
    """A system administrator's browser."""
    client = Client()
    client.force_login(User.objects.create_superuser("grace"))
    return client


def page(webhook: Webhook, what: str = "change") -> str:
    return f"{LIST}{webhook.pk}/{what}/"


def text_of(response: Any) -> str:
    text: str = response.content.decode()
    return text


def token_on(client: Client, url: str) -> str:
    found = re.search(r'name="form_token" value="([^"]+)"', text_of(client.get(url)))
    assert found, url
    return found[1]


def send(client: Client, where: str, **fields: str) -> Any:
    """Opens the form and sends it."""
    return client.post(where, {"form_token": token_on(client, where), **fields})


def new_values(binding: Any, **other: str) -> dict[str, str]:
    return {"binding": binding.public_id, "url": URL, "payload": "full", **other}


def values_of(webhook: Webhook, **other: str) -> dict[str, str]:
    headers = "\r\n".join(f"{name}: ***" for name in webhook.header_names)
    now = {"url": webhook.url, "payload": webhook.payload, "description": webhook.description, "headers": headers}
    return now | {f"initial-{name}": value for name, value in now.items()} | other


def as_rendered(response: Any, **typed: str) -> dict[str, str]:
    """What a browser would send of the form on that page, after somebody typed."""
    form, seen = response.context["form"], {}
    for name in ("form_token", *(form[name].html_initial_name for name in form.fields)):
        tag = re.search(rf'<input[^>]* name="{name}"[^>]*>', text_of(response))
        assert tag, name
        value = re.search(r' value="([^"]*)"', tag[0])
        seen[name] = unescape(value[1]) if value else ""
    return seen | {name: str(form[name].value() or "") for name in form.fields} | typed


def secret_in(response: Any) -> str:
    found = set(SECRET.findall(text_of(response)))
    assert len(found) == 1, text_of(response)
    return found.pop()


def now(webhook: Webhook) -> Webhook:
    return Webhook.objects.select_related("alias").get(pk=webhook.pk)


def secrets_now(webhook: Webhook) -> list[str]:
    return webhooks.secrets_of(now(webhook), now=timezone.now())


# --- who may


def make_visitors() -> dict[str, tuple[Client, int]]:
    member = User.objects.create_user("member")
    member.groups.add(Group.objects.get_or_create(name=SYSTEM_ADMINISTRATORS)[0])
    people = {
        "superuser": (User.objects.create_superuser("super"), HTTPStatus.OK),
        "member of the group": (member, HTTPStatus.OK),
        "other staff": (User.objects.create_user("staff", is_staff=True), HTTPStatus.FORBIDDEN),
        "anybody": (User.objects.create_user("anybody"), HTTPStatus.FORBIDDEN),
    }
    visitors: dict[str, tuple[Client, int]] = {"signed out": (Client(), HTTPStatus.FOUND)}
    for name, (user, status) in people.items():
        client = Client()
        client.force_login(user)
        visitors[name] = client, status
    return visitors


@pytest.mark.parametrize("what", ["", "add/", "bindings/", "{}/change/", *(f"{{}}/{verb}/" for verb in VERBS)])
def test_only_system_administrators_see_the_pages_and_do_what_they_offer(what: str) -> None:
    webhook = make_webhook()
    url = LIST + what.format(webhook.pk)
    before = Webhook.objects.values().get()
    for name, (client, status) in make_visitors().items():
        assert client.get(url).status_code == status, name
        if status != HTTPStatus.OK:
            assert client.post(url, new_values(webhook.mailbox)).status_code == status, name
    assert Webhook.objects.values().get() == before


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_happens_by_looking_or_without_the_csrf_token(verb: str) -> None:
    webhook, user = make_webhook(), User.objects.create_superuser("grace")
    before = Webhook.objects.values().get()
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    token = token_on(client, page(webhook, verb))
    answer = client.post(page(webhook, verb), {"form_token": token, "overlap": DAY_S})
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert Webhook.objects.values().get() == before


# --- add


@pytest.mark.parametrize("kind", ["alias", "mailbox", "domain"])
def test_a_webhook_is_added_for_an_alias_a_mailbox_or_a_domain(admin: Client, kind: str) -> None:
    alias = make_alias()
    bound = {"alias": alias, "mailbox": alias.mailbox, "domain": alias.domain}[kind]
    values = new_values(bound, payload="metadata", description="CRM", headers="X-One: 1\r\n\r\nX-Two:  a: b \r\n")
    answer = send(admin, ADD, **values)
    webhook = Webhook.objects.select_related("alias").get()
    assert {name: getattr(webhook, name) for name in ("alias", "mailbox", "domain")} == {
        name: bound if name == kind else None for name in ("alias", "mailbox", "domain")
    }
    assert (webhook.url, webhook.payload, webhook.description) == (URL, "metadata", "CRM")
    assert webhooks.headers_of(webhook) == {"X-One": "1", "X-Two": "a: b"}
    assert (answer.status_code, secrets_now(webhook)) == (HTTPStatus.OK, [secret_in(answer)])


def test_a_secret_and_header_values_are_in_one_answer_and_kept_nowhere_in_the_clear(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        made = send(admin, ADD, **new_values(make_mailbox(), headers="Authorization: Bearer hunter2"))
        webhook = Webhook.objects.get()
        rotated = send(admin, page(webhook, "rotate"), overlap=DAY_S)
        seen = [admin.get(url) for url in (LIST, page(webhook), page(webhook, "history"), page(webhook, "rotate"))]
    private = (secret_in(made), secret_in(rotated), "hunter2")
    assert "no-store" in made["Cache-Control"]
    assert "no-store" in rotated["Cache-Control"]
    elsewhere = {
        "pages": "".join(map(text_of, seen)),
        "cookies": str(made.cookies) + str(rotated.cookies) + str(admin.cookies),
        "session": str([session.get_decoded() for session in Session.objects.all()]),
        "spent forms": str(list(SpentFormToken.objects.values())),
        "history": str(list(LogEntry.objects.values())),
        "log": caplog.text + str([record.__dict__ for record in caplog.records]),
    }
    assert [(name, text) for name, where in elsewhere.items() for text in private if text in where] == []
    assert "hunter2" not in text_of(made)
    assert len(SpentFormToken.objects.all()) == LogEntry.objects.count() == 2


def test_a_form_that_is_sent_again_makes_nothing_and_says_what_to_do(admin: Client) -> None:
    mailbox = make_mailbox()
    values = new_values(mailbox) | {"form_token": token_on(admin, ADD)}
    first = admin.post(ADD, values)
    provision.delete_mailbox(make_mailbox(address="other@example.com"))
    again = admin.post(ADD, values | {"url": "http://10.0.0.1/"})  # even what would be refused by now
    webhook = Webhook.objects.get()
    assert secret_in(first)
    assert SECRET.findall(text_of(again)) == []
    assert "was sent before" in text_of(again)
    assert page(webhook, "rotate") in text_of(again)


@pytest.mark.parametrize("what", ["add", "rotate"])
def test_of_two_at_once_one_counts(admin: Client, what: str) -> None:
    webhook = make_webhook()
    url = ADD if what == "add" else page(webhook, "rotate")
    values = new_values(webhook.mailbox, overlap=DAY_S, form_token=token_on(admin, url))
    answers: list[HttpResponse] = []
    both = threading.Barrier(2)

    def post() -> None:
        client = Client()
        client.cookies = admin.cookies
        both.wait(10)
        try:
            answers.append(client.post(url, values))
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    shown = [secret for answer in answers for secret in SECRET.findall(text_of(answer))]
    newest = Webhook.objects.order_by("-id")[0]
    assert [answer.status_code for answer in answers] == [HTTPStatus.OK] * 2
    assert shown == secrets_now(newest)[:1]
    assert Webhook.objects.count() == (2 if what == "add" else 1)
    assert SpentFormToken.objects.get().made == newest.public_id


def test_a_form_that_was_open_too_long_or_is_another_ones_does_nothing_and_can_be_sent_again(admin: Client) -> None:
    values = new_values(make_mailbox())
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    for token in ("", "nonsense", token_on(other, ADD)):
        answer = admin.post(ADD, values | {"form_token": token})
        assert "was open for too long, so nothing was done" in text_of(answer)
        assert Webhook.objects.count() == 0
    fresh = re.search(r'name="form_token" value="([^"]+)"', text_of(answer))
    assert fresh
    assert secret_in(admin.post(ADD, values | {"form_token": fresh[1]}))


def test_what_is_refused_is_said_at_its_field_and_the_form_can_be_sent_again(admin: Client) -> None:
    mailbox = make_mailbox()
    token = token_on(admin, ADD)
    refused = {
        "url": ({"url": "http://10.0.0.1/"}, "an operator can allow it with WEBHOOK_ALLOW_NETWORKS=10.0.0.1/32:80"),
        "binding": ({"binding": "mbx_nonsense"}, "choose another one"),
        "payload": ({"payload": "half"}, "not one of the available choices"),
        "description": ({"description": "x" * 501}, "at most 500 characters"),
        "headers": ({"headers": "X-Two: 2\nno colon, hunter2"}, "Line 2 is not written as"),
    }
    for field, (wrong, why) in refused.items():
        answer = admin.post(ADD, new_values(mailbox) | {"form_token": token} | wrong)
        errors = answer.context["form"].errors
        assert list(errors) == [field], field
        assert why in errors[field][0]
        assert "hunter2" not in errors[field][0]
        assert escape(errors[field][0]) in text_of(answer)
    for headers, why in (("Host: x", "cannot be set"), ("X: ***", "give its value"), ("X: 1\nX: 2", "there twice")):
        answer = admin.post(ADD, new_values(mailbox, headers=headers) | {"form_token": token})
        assert why in answer.context["form"].errors["headers"][0]
    assert Webhook.objects.count() == 0
    assert secret_in(admin.post(ADD, new_values(mailbox) | {"form_token": token}))


def test_only_what_can_still_receive_mail_is_offered_and_taken(admin: Client) -> None:
    alias, gone = make_alias(), make_alias(address="gone@example.com", mailbox=make_mailbox(address="a@example.com"))
    make_mailbox(address="info@example.org")
    provision.delete_alias(gone)

    def offered(term: str) -> dict[str, list[str]]:
        found = admin.get(f"{LIST}bindings/", {"term": term}).json()["results"]
        return {group["text"]: [row["text"] for row in group["children"]] for group in found}

    assert offered("help") == {"Aliases": ["help@example.com"]}
    assert offered("sup") == offered("sup@exam") == {"Mailboxes": ["support@example.com"]}
    assert offered("sup@other") == {}
    assert offered("@example.com")["Domains"] == ["example.com"]
    assert offered("gone") == {} == offered(gone.public_id)
    assert offered(alias.public_id) == {"Alias": ["help@example.com"]}
    answer = send(admin, ADD, **new_values(gone))
    assert "choose another one" in answer.context["form"].errors["binding"][0]
    assert Webhook.objects.count() == 0


# --- change


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


# --- pause, resume, rotate, delete


def test_pausing_and_resuming_say_what_follows_and_how_many(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    assert "1 delivery waiting now will be held" in text_of(admin.get(page(webhook, "pause")))
    send(admin, page(webhook, "pause"), reason="they move")
    assert (now(webhook).state, now(webhook).state_reason) == ("paused", "they move")
    Delivery.objects.update(state="held")
    asked = text_of(admin.get(page(webhook, "resume")))
    assert "It is paused now: they move." in asked
    assert "1 delivery held meanwhile will be sent" in asked
    send(admin, page(webhook, "resume"))
    assert (now(webhook).state, now(webhook).state_reason) == ("active", "")


def test_attempts_in_flight_are_told_of(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook, lease_id="00000000-0000-7000-8000-000000000000")
    for verb, fields in (("pause", {}), ("rotate", {"overlap": "0"}), ("delete", {})):
        told = admin.post(
            page(webhook, verb), {"form_token": token_on(admin, page(webhook, verb)), **fields}, follow=True
        )
        assert "1 attempt is in flight and will still end in its own way." in text_of(told), verb


@pytest.mark.parametrize("overlap", [0, 3600, 86400, 7 * 86400])
def test_rotating_shows_the_new_secret_and_keeps_the_old_one_as_long_as_chosen(admin: Client, overlap: int) -> None:
    webhook, old = webhooks.create_webhook(url=URL, mailbox=make_mailbox())
    new = secret_in(send(admin, page(webhook, "rotate"), overlap=str(overlap)))
    just_before = timezone.now() + timedelta(seconds=overlap - 5)
    assert webhooks.secrets_of(now(webhook), now=just_before) == ([new, old] if overlap else [new])
    assert webhooks.secrets_of(now(webhook), now=just_before + timedelta(seconds=10)) == [new]


def test_deleting_says_what_is_canceled_and_leaves_the_record(admin: Client) -> None:
    webhook = make_webhook()
    make_delivery(webhook)
    make_delivery(webhook, state="held")
    asked = text_of(admin.get(page(webhook, "delete")))
    assert "Canceled, and never sent: 1 delivery waiting, and 1 delivery held." in asked
    assert send(admin, page(webhook, "delete"))["Location"] == LIST
    assert now(webhook).deleted_at is not None
    looked_at = admin.get(page(webhook))
    assert looked_at.status_code == HTTPStatus.OK
    assert "form_token" not in text_of(looked_at)
    for verb in VERBS:
        assert admin.get(page(webhook, verb)).status_code == HTTPStatus.NOT_FOUND
        assert admin.post(page(webhook, verb), {"overlap": DAY_S}).status_code == HTTPStatus.NOT_FOUND
    assert admin.post(page(webhook), values_of(webhook)).status_code == HTTPStatus.NOT_FOUND


def test_a_moved_alias_is_shown_as_paused_and_resuming_confirms_the_mailbox_that_was_seen(admin: Client) -> None:
    first, second, third = (make_mailbox(address=f"{name}@example.com") for name in ("one", "two", "three"))
    alias = make_alias(mailbox=first)
    webhook = make_webhook(alias=alias)
    move(alias, second)
    listed = text_of(admin.get(LIST, {"state": "paused"}))
    assert "its alias leads to another mailbox now" in listed
    assert page(webhook) in listed
    assert page(webhook) not in text_of(admin.get(LIST, {"state": "active"}))
    assert page(webhook, "resume") in text_of(admin.get(page(webhook)))
    seen = admin.get(page(webhook, "resume"))
    assert "The alias leads to two@example.com now" in text_of(seen)
    form = {"leads_to": second.public_id, "form_token": token_on(admin, page(webhook, "resume"))}
    move(alias, third)
    answer = admin.post(page(webhook, "resume"), form)
    assert "was led to three@example.com" in text_of(answer)
    assert now(webhook).current_state == "paused"
    assert third.public_id in text_of(answer)
    admin.post(page(webhook, "resume"), form | {"leads_to": third.public_id})
    assert (now(webhook).current_state, now(webhook).bound_mailbox) == ("active", third)


def test_what_resuming_does_not_send_is_counted_and_said(admin: Client) -> None:
    first, second = make_mailbox(), make_mailbox(address="two@example.com")
    alias = make_alias(mailbox=first)
    webhook = make_webhook(alias=alias)
    make_delivery_in(first, webhook)
    move(alias, second)
    make_delivery_in(second, webhook)
    queue.settle()
    assert "Held back" not in text_of(admin.get(page(webhook)))  # resuming now would send both
    assert "2 deliveries held meanwhile will be sent" in text_of(admin.get(page(webhook, "resume")))
    move(alias, first)
    looked_at, asked = text_of(admin.get(page(webhook))), text_of(admin.get(page(webhook, "resume")))
    for text in (looked_at, asked):
        assert f"1 delivery stays held: {OTHER_MAILBOX}." in text
    assert "Held back" in looked_at
    assert "1 delivery held meanwhile will be sent" in asked
    webhooks.resume_webhook(now(webhook))
    queue.settle()
    waiting = Delivery.objects.get(state="held")
    assert waiting.reason == OTHER_MAILBOX
    assert "when the webhook is active again" not in text_of(admin.get(page(webhook)))


# --- the list


def test_the_list_shows_states_and_counts_with_as_many_queries_for_many_as_for_one(
    admin: Client, django_assert_num_queries: Any
) -> None:
    mailbox = make_mailbox()

    def fill() -> None:
        webhook = make_webhook(mailbox=mailbox)
        make_webhook(domain=mailbox.domain)
        make_webhook(alias=make_alias(address=f"{webhook.public_id[-8:]}@example.com", mailbox=mailbox))
        make_delivery(webhook)
        make_delivery(webhook, state="held")
        make_delivery(webhook, state="delivered", attempts=1, last_status=204)

    fill()
    with django_assert_num_queries(4):  # the session, the user, how many there are, the rows
        admin.get(LIST)
    for _ in range(4):
        fill()
    with django_assert_num_queries(4):
        answer = admin.get(LIST)
    rows = list(answer.context["cl"].result_list)
    assert len(rows) == 15
    assert {(row.waiting_count, row.held_count) for row in rows} == {(1, 1), (0, 0)}
    assert [row.newest["status"] for row in rows if row.newest] == [204] * 5


def test_webhooks_are_found_by_id_and_url_and_deleted_ones_only_when_asked_for(admin: Client) -> None:
    one, two = make_webhook(), make_webhook(url="http://127.0.0.1:9/crm", domain=make_domain(name="example.org"))
    gone = make_webhook(domain=make_domain(name="example.net"))
    webhooks.delete_webhook(gone)

    def listed(**query: str) -> set[str]:
        answer = admin.get(LIST, query)
        assert answer.status_code == HTTPStatus.OK
        return {row.public_id for row in answer.context["cl"].result_list}

    assert listed() == {one.public_id, two.public_id}
    assert listed(deleted="yes") == {gone.public_id}
    assert len(listed(deleted="all")) == 3
    assert listed(q=one.public_id) == {one.public_id}
    assert listed(q="CRM") == {two.public_id}
    provision.delete_domain(two.domain, with_mail=True)  # type: ignore[arg-type]
    assert listed() == {one.public_id}
    assert "with what it was bound to" in text_of(admin.get(LIST, {"deleted": "yes"}))


# --- what is shown beside a secret


def test_the_snippets_verify_what_we_sign_and_nothing_else(node: str, tmp_path: Any) -> None:
    secret, body = webhooks.create_webhook(url=URL, mailbox=make_mailbox())[1], b'{"subject":"caf\xc3\xa9"}'
    (tmp_path / "hook.mjs").write_text(snippets.NODE)
    (tmp_path / "hook.py").write_text(snippets.PYTHON)
    (tmp_path / "body").write_bytes(body)
    in_node = (
        'import {isGenuine} from "./hook.mjs"; import {readFileSync} from "node:fs";'
        'console.log(isGenuine(readFileSync("body"), {"x-webhook-signature": process.argv[1]}))'
    )
    in_python = (
        "import sys; from hook import is_genuine; print(is_genuine(open('body', 'rb').read(), "
        "{'x-webhook-signature': sys.argv[1]}))"
    )
    right = signing.hex_signature(body, secret)
    for command in ([node, "--input-type=module", "-e", in_node], [sys.executable, "-c", in_python]):
        for given, verdict in ((right, "true"), (right[:-1] + "x", "false"), (right[:-2], "false"), ("", "false")):
            done = subprocess.run(
                [*command, given],
                cwd=tmp_path,
                env={"WEBHOOK_SECRET": secret, "PATH": "/usr/bin:/bin"},
                capture_output=True,
                check=True,
            )
            assert done.stdout.decode().strip().lower() == verdict, (command[0], given)
