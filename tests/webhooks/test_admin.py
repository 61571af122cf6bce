"""The console's pages of webhooks: who may, what the list shows, and that a secret is seen once and kept nowhere."""

import logging
import subprocess
import sys
import threading
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils.html import escape

from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.models import SpentFormToken
from emailgistics.console.models import Session
from emailgistics.console.session_store import SessionStore
from mailboxes.services import provision
from tests.factories import make_alias, make_delivery, make_domain, make_mailbox, make_webhook
from tests.webhooks.browsing import (
    ADD,
    DAY_S,
    LIST,
    SECRET,
    URL,
    VERBS,
    new_values,
    page,
    secret_in,
    secrets_now,
    send,
    text_of,
    token_in,
    token_on,
)
from webhooks import signing
from webhooks.admin import snippets
from webhooks.models import Webhook
from webhooks.services import webhooks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]


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
        "session": str([SessionStore().decode(row.session_data) for row in Session.objects.all()]),
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
        both.wait(60)
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
    assert secret_in(admin.post(ADD, values | {"form_token": token_in(answer)}))


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
    # session and user, its groups, whether all is stopped, how many there are, rows, their rates
    with django_assert_num_queries(7):
        admin.get(LIST)
    for _ in range(4):
        fill()
    with django_assert_num_queries(7):
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
