"""The first steps: what they ask for, that they tick themselves off, and what their buttons do."""

import shlex
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from emailgistics.common.models import AuditEntry
from mailboxes.models import Email, Message, Rule
from mailboxes.raw import read_raw
from mailboxes.services import provision, rule_book
from mailboxes.services.process import drain
from tests.apikeys.factories import make_key
from tests.factories import make_alias, make_delivery, make_domain, make_mailbox, make_webhook
from webhooks.models import Delivery

START = "/admin/start/"
FRAGMENT = {"X-Fragment": "1"}
NAMES = ["domain", "mailbox", "alias", "webhook", "test", "key", "mail", "fate"]


def done(client: Client) -> list[str]:
    answer = client.get(START)
    assert [step.name for step in answer.context["steps"]] == NAMES
    return [step.name for step in answer.context["steps"] if step.is_done]


def send_mail(client: Client, to: str, **headers: str) -> Any:
    return client.post(reverse("admin:first_steps_mail"), {"to": to}, headers=headers)


def test_each_step_ticks_itself_off(administrator: Client, loopback_allowed: None) -> None:
    assert done(administrator) == []
    make_domain()
    assert done(administrator) == ["domain"]
    mailbox = make_mailbox()
    assert done(administrator) == ["domain", "mailbox"]
    webhook = make_webhook(alias=make_alias(mailbox=mailbox))
    assert done(administrator) == ["domain", "mailbox", "alias", "webhook"]
    administrator.post(reverse("admin:first_steps_test"))
    test = Delivery.objects.get()
    assert (test.webhook, test.is_test, test.state) == (webhook, True, "pending")
    assert "test" not in done(administrator)
    Delivery.objects.update(state=Delivery.State.DELIVERED, last_status=204)
    assert "test" in done(administrator)
    make_key(mailboxes=[mailbox])
    assert done(administrator) == ["domain", "mailbox", "alias", "webhook", "test", "key"]
    send_mail(administrator, "help@example.com")
    assert done(administrator)[-1] == "mail"
    drain(linger=timedelta(0))
    assert done(administrator)[-1] == "mail"
    Delivery.objects.filter(is_test=False).update(state=Delivery.State.DELIVERED, last_status=204)
    assert done(administrator) == NAMES
    page = administrator.get(START).content.decode()
    assert "All done" in page
    assert 'data-refresh-s="0"' in page
    assert "steps" not in administrator.get("/admin/").context


def test_a_test_mail_goes_the_way_of_every_other(administrator: Client) -> None:
    make_alias(mailbox=make_mailbox())
    answer = send_mail(administrator, "help@example.com")
    assert answer["Location"] == START
    message = Message.objects.get()
    assert (message.source, message.mail_from) == ("pipe", "postmaster@example.com")
    mail = message_from_bytes(read_raw(message))
    assert (mail["To"], mail["Subject"]) == ("help@example.com", "A test mail")
    assert "superuser" in mail.get_payload()
    entry = AuditEntry.objects.get(action="mail.test")
    assert (entry.of, entry.by) == (message.public_id, "superuser")
    assert f"Accepted as {message.public_id}." in administrator.get(START).content.decode()
    drain(linger=timedelta(0))
    assert Email.objects.get().subject == "A test mail"


@pytest.mark.parametrize(
    "to", ["", "nobody", "nobody@example.com", "help@example.net", "a\r\nBcc: b@example.com", "a\0@b"]
)
def test_a_test_mail_to_nobody_is_refused_in_plain_words(to: str, administrator: Client) -> None:
    make_domain()
    answer = send_mail(administrator, to, **FRAGMENT)
    assert answer.status_code == HTTPStatus.CONFLICT
    assert answer.headers["X-Fragment"] == "1"
    assert not Message.objects.exists()
    assert not AuditEntry.objects.filter(action="mail.test").exists()


def test_rules_and_quotas_hold_for_a_test_mail(administrator: Client) -> None:
    mailbox = make_mailbox()
    rule = rule_book.create_rule(action="block", criterion="sender_domain", value="example.com", mailbox=mailbox)
    assert send_mail(administrator, mailbox.address, **FRAGMENT).status_code == HTTPStatus.CONFLICT
    Rule.objects.filter(pk=rule.pk).update(is_active=False)
    provision.update_mailbox(mailbox, quota_bytes=1024 * 1024)
    assert send_mail(administrator, mailbox.address, **FRAGMENT).status_code == HTTPStatus.OK
    assert Message.objects.count() == 1


def test_a_script_gets_the_part_and_nothing_around_it(administrator: Client) -> None:
    make_domain()
    answer = administrator.get(START, headers=FRAGMENT)
    text = answer.content.decode()
    assert answer.headers["X-Fragment"] == "1"
    assert 'id="step-domain"' in text
    assert "<html" not in text
    assert "nav-sidebar" not in text


def test_they_are_hidden_in_a_browser_and_brought_back(administrator: Client) -> None:
    assert "steps" in administrator.get("/admin/").context
    administrator.post(reverse("admin:first_steps_hide"))
    assert "steps" not in administrator.get("/admin/").context
    assert b"Show them on the dashboard again" in administrator.get(START).content
    administrator.post(reverse("admin:first_steps_show"))
    assert "steps" in administrator.get("/admin/").context


@pytest.mark.parametrize("name", ["staff", "ordinary", "nobody"])
def test_nobody_else_takes_them(name: str, client_for: Callable[[str], Client]) -> None:
    make_mailbox()
    client = client_for(name)
    for page in ("first_steps_mail", "first_steps_test", "first_steps_hide", "first_steps_show"):
        answer = client.post(reverse(f"admin:{page}"), {"to": "support@example.com"})
        assert answer.status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.FOUND)
    assert client.get(START).status_code in (HTTPStatus.FORBIDDEN, HTTPStatus.FOUND)
    assert not Message.objects.exists()


def test_a_person_sends_only_so_many_in_a_minute(administrator: Client, settings: Settings) -> None:
    settings.FIRST_STEPS_PER_MINUTE = 1
    make_mailbox()
    statuses = [send_mail(administrator, "support@example.com", **FRAGMENT).status_code for _ in range(4)]
    assert statuses.count(429) >= 2  # a minute may end among them
    assert Message.objects.count() == statuses.count(200) >= 1


def test_nothing_is_done_by_looking(administrator: Client, loopback_allowed: None) -> None:
    make_webhook()
    for page in ("mail", "test"):
        assert administrator.get(reverse(f"admin:first_steps_{page}"))["Location"] == START
    assert not Message.objects.exists()
    assert not Delivery.objects.exists()


def test_what_a_mail_says_is_text_here(administrator: Client, loopback_allowed: None) -> None:
    delivery = make_delivery(make_webhook())
    assert delivery.event.email is not None
    Email.objects.update(subject="<script>alert(1)</script>")
    page = administrator.get(START).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_commands_are_safe_to_paste(administrator: Client) -> None:
    make_alias(address="x'y`id`$HOME@example.com")
    context = administrator.get(START).context
    assert shlex.split(context["by_swaks"])[4] == context["to"]
    assert shlex.split(context["in_python"])[:2] == ["python3", "-c"]
    compile(shlex.split(context["in_python"])[2], "shown", "exec")
