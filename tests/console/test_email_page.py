"""The page of one email: its HTML in a frame that can do nothing, its fate, who may see what, and how it is deleted."""

import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from emailgistics.common.models import AuditEntry
from mailboxes.admin import email_frame
from mailboxes.models import Email, EmailContent, Mailbox
from mailboxes.services import retain
from tests.factories import (
    make_alias,
    make_delivery,
    make_email,
    make_mailbox,
    make_message,
    make_webhook,
)
from webhooks.models import Attempt, Delivery

EMAILS = Path(__file__).parent.parent / "emails"
CONTENT_TABS = ("html", "text", "links", "headers", "raw")
REMOTE = (
    b"Subject: Offer\r\nContent-Type: text/html\r\n\r\n"
    b'<p>Hello</p><img src="https://pictures.example.net/pixel.png" alt="Our logo">'
    b'<a href="https://shop.example.net/?a=1">example.com</a>'
)
WITH_FILE = (
    b"Subject: Plan\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\nSee it.\r\n--b\r\n"
    b"Content-Disposition: attachment; filename=plan.txt\r\n\r\nplan\r\n--b--\r\n"
)


@pytest.fixture
def mailbox(db: None) -> Mailbox:
    return make_mailbox()


def page(client: Client, email: Email, **query: str) -> Any:
    return client.get(reverse("admin:mailboxes_email_change", args=[email.pk]), query)


def text_of(client: Client, email: Email, **query: str) -> str:
    answer = page(client, email, **query)
    assert answer.status_code == HTTPStatus.OK
    return " ".join(str(answer.content.decode()).split())


def test_a_mail_whose_content_went_says_so_wherever_one_looks(mailbox: Mailbox, administrator: Client) -> None:
    email = make_email(raw=WITH_FILE)
    with_raw = text_of(administrator, email)
    assert "plan.txt" in with_raw
    assert reverse("admin:mailboxes_email_raw", args=[email.pk]) in with_raw
    Email.objects.filter(pk=email.pk).update(raw_removed_at=email.received_at + timedelta(days=30))
    without_raw = text_of(administrator, email)
    said = "Its raw, with what its attachments hold, was removed after 30 days, by the retention of its mailbox."
    assert without_raw.count(said) == 2
    assert "plan.txt" in without_raw
    for link in ("admin:mailboxes_email_raw", "admin:mailboxes_email_attachment"):
        args = [email.pk, email.attachments.get().pk][: 1 if link.endswith("raw") else 2]
        assert reverse(link, args=args) not in without_raw
        assert administrator.get(reverse(link, args=args)).status_code == HTTPStatus.NOT_FOUND
    assert said in text_of(administrator, email, show="raw")
    retain.remove_contents([Email.objects.select_related("message", "mailbox").get(pk=email.pk)])
    Email.objects.filter(pk=email.pk).update(content_removed_at=email.received_at + timedelta(days=60))
    gone = "What it says was removed after 60 days, by the retention of its mailbox."
    for tab in ("overview", "html", "text", "links", "headers"):
        shown = text_of(administrator, email, show=tab)
        assert gone in shown
        assert "(removed by retention)" in shown
        assert "not been opened" not in shown
    assert frame(administrator, email).status_code == HTTPStatus.NOT_FOUND
    assert "(removed by retention)" in administrator.get(reverse("admin:mailboxes_email_changelist")).content.decode()


def frame(client: Client, email: Email, **query: str) -> Any:
    return client.get(reverse("admin:mailboxes_email_html", args=[email.pk]), query)


def with_html(html: str) -> Email:
    return make_email(raw=b"Subject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode())


# --- the frame


def test_html_is_an_answer_of_its_own_that_can_do_nothing(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email(raw=REMOTE)
    answer = frame(administrator, email)
    policy = (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    assert answer["Content-Security-Policy"] == f"{policy}; frame-ancestors 'self'"
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert "no-store" in answer["Cache-Control"]
    text = answer.content.decode()
    assert "<p>Hello</p>" in text
    assert '<img alt="Our logo">' in text
    assert "href" not in text
    (tag,) = re.findall(r"<iframe[^>]*>", text_of(administrator, email, show="html"))
    assert " sandbox " in tag
    assert "allow" not in tag
    assert page(administrator, email, show="html")["X-Frame-Options"] == "DENY"


def test_pictures_of_other_hosts_are_loaded_by_one_answer_after_it_was_asked_for(
    administrator: Client, mailbox: Mailbox
) -> None:
    email, other = make_email(raw=REMOTE), make_email(raw=REMOTE.replace(b"Offer", b"Second"))
    ask = reverse("admin:mailboxes_email_pictures", args=[email.pk])
    assert "may learn that it was opened" not in text_of(administrator, email, show="html")
    assert administrator.get(ask).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    shown = administrator.post(ask)["Location"]
    assert "may learn that it was opened" in administrator.get(shown).content.decode()
    token = shown.partition("pictures=")[2]
    assert "pixel.png" not in frame(administrator, other, pictures=token).content.decode()
    first = frame(administrator, email, pictures=token)
    assert "img-src data: https:;" in first["Content-Security-Policy"]
    assert '<img alt="Our logo" src="https://pictures.example.net/pixel.png">' in first.content.decode()
    second = frame(administrator, email, pictures=token)
    assert "https:" not in second["Content-Security-Policy"]
    assert "pixel.png" not in second.content.decode()
    assert "may learn that it was opened" not in administrator.get(shown).content.decode()


def test_another_persons_token_loads_nothing(
    client_for: Callable[[str], Client], administrator: Client, mailbox: Mailbox
) -> None:
    email = make_email(raw=REMOTE)
    location = administrator.post(reverse("admin:mailboxes_email_pictures", args=[email.pk]))["Location"]
    token = location.partition("pictures=")[2]
    for wrong in (token, "nonsense", "\0"):
        answer = frame(client_for("member"), email, pictures=wrong)
        assert "pixel.png" not in answer.content.decode()


def test_the_mails_own_pictures_are_in_it_and_an_svg_is_none(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email(raw=(EMAILS / "alternative_with_picture.eml").read_bytes())
    assert 'src="data:image/' in frame(administrator, email).content.decode()
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    raw = (
        b"Subject: x\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        b'<img src="cid:one" alt="Picture">\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <one>\r\n\r\n' + svg
        + b"\r\n--b--\r\n"
    )  # fmt: skip
    text = frame(administrator, make_email(raw=raw)).content.decode()
    assert '<img alt="Picture">' in text
    assert "svg" not in text


def test_pictures_are_bounded_in_number_and_size() -> None:
    png = "image/png"
    asked = [(f"{n}", png, 100) for n in range(email_frame.MAX_PICTURES + 5)]
    assert len(email_frame.wanted(asked, lambda _: b"x")) == email_frame.MAX_PICTURES
    large = email_frame.MAX_PICTURE_OCTETS
    assert email_frame.wanted([("a", png, large + 1), ("b", png, 1)], lambda _: b"x").keys() == {"b"}
    assert len(email_frame.wanted([(f"{n}", png, large) for n in range(20)], lambda _: b"x")) == 3
    assert email_frame.wanted([("a", "image/svg+xml", 1), ("b", "text/html", 1)], lambda _: b"x") == {}


def test_very_long_html_is_cut_and_the_page_says_so(
    administrator: Client, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = with_html("<p>Beginning</p>" + "<p>x</p>" * 100 + "<p>End</p>")
    monkeypatch.setattr("mailboxes.admin.email_content.MAX_HTML", 200)
    text = frame(administrator, email).content.decode()
    assert "Beginning" in text
    assert "End" not in text
    assert "This is its beginning" in text_of(administrator, email, show="html")


def test_without_a_safe_form_no_html_is_shown_and_the_page_says_why(administrator: Client, mailbox: Mailbox) -> None:
    email = with_html("<p>Hello</p>")
    EmailContent.objects.filter(pk=email.pk).update(html_safe="")
    assert frame(administrator, email).status_code == HTTPStatus.NOT_FOUND
    text = text_of(administrator, email, show="html")
    assert "Its HTML is not shown" in text
    assert "<iframe" not in text
    assert "It has no HTML." in text_of(administrator, make_email(), show="html")


def test_links_say_where_they_lead(administrator: Client, mailbox: Mailbox) -> None:
    email = with_html(
        '<a href="https://shop.example.net/?a=1">www.example.com</a><a href="https://example.com/x">example.com</a>'
        '<a href="javascript:alert(1)">script</a><a href="mailto:a@example.net">mail</a>'
        '<a href="https://exаmple.com/">Sign in</a>'
    )
    links = email_frame.links_in(EmailContent.objects.get(pk=email.pk).html_safe)
    assert [(link.text, link.url, link.misleads) for link in links] == [
        ("www.example.com", "https://shop.example.net/?a=1", True),
        ("example.com", "https://example.com/x", False),
        ("mail", "", False),
        ("Sign in", "https://exаmple.com/", False),
    ]
    text = text_of(administrator, email, show="links")
    assert 'target="_blank" rel="noopener noreferrer nofollow">https://shop.example.net/?a=1</a>' in text
    assert "Careful: it says that it leads elsewhere." in text
    assert "(xn--exmple-4nf.com)" in text
    assert "javascript" not in text


# --- who may, and that it is on record


def test_opening_what_a_mail_says_is_on_record_and_its_fate_is_not(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email(raw=(EMAILS / "invoice.eml").read_bytes())
    text_of(administrator, email)
    assert not AuditEntry.objects.filter(action="mail.opened").exists()
    for tab in CONTENT_TABS[1:]:
        text_of(administrator, email, show=tab)
    frame(administrator, email)
    administrator.get(reverse("admin:mailboxes_email_raw", args=[email.pk]))
    attachment = email.attachments.all()[0]
    administrator.get(reverse("admin:mailboxes_email_attachment", args=[email.pk, attachment.pk]))
    entries = AuditEntry.objects.filter(action="mail.opened").order_by("id")
    assert [entry.details["what"] for entry in entries] == [
        *CONTENT_TABS[1:],
        "html",
        "raw, as a file",
        f"attachment {attachment.public_id}",
    ]
    assert {(entry.of, entry.by, entry.address) for entry in entries} == {(email.public_id, "superuser", "127.0.0.1")}


@pytest.mark.parametrize("who", ["staff", "ordinary"])
def test_others_see_nothing_of_it(who: str, client_for: Callable[[str], Client], mailbox: Mailbox) -> None:
    email = make_email(raw=REMOTE)
    client = client_for(who)
    for answer in (
        *(page(client, email, show=tab) for tab in ("", *CONTENT_TABS)),
        frame(client, email),
        client.post(reverse("admin:mailboxes_email_pictures", args=[email.pk])),
        client.post(reverse("admin:webhooks_delivery_erase_email", args=[email.pk])),
        client.get(reverse("admin:mailboxes_email_changelist"), {"q": "hello", "says": "on"}),
    ):
        assert answer.status_code == HTTPStatus.FORBIDDEN
        assert b"Hello" not in answer.content
    assert Email.objects.filter(pk=email.pk).exists()


# --- its fate


def test_its_fate_is_told_from_the_first_octet_to_the_last_attempt(
    administrator: Client, loopback_allowed: None
) -> None:
    delivery = make_delivery(make_webhook(), attempts=2, failures=2, last_status=500)
    for n in (1, 2):
        Attempt.objects.create(delivery=delivery, n=n, started_at=timezone.now(), status=500, total_ms=12)
    email = delivery.event.email
    assert email is not None
    text = text_of(administrator, email)
    stations = ("Received", "Stored", "Not processed yet", "Webhooks were told", delivery.webhook.url, "Attempt 2")
    assert [text.index(station) for station in stations] == sorted(text.index(station) for station in stations)
    for said in ("Next attempt:", "12 ms", "500", reverse("admin:webhooks_delivery_change", args=[delivery.pk])):
        assert said in text, said
    assert 'data-refresh-s="1"' in text
    Delivery.objects.update(state=Delivery.State.FAILED)
    Email.objects.update(status=Email.Status.PROCESSED)
    text = text_of(administrator, email)
    assert 'data-refresh-s="0"' in text
    assert reverse("admin:webhooks_delivery_replay", args=[delivery.pk]) in text
    assert reverse("admin:webhooks_delivery_replay_email", args=[email.pk]) in text


def test_a_mail_with_hundreds_of_deliveries_is_shown_with_as_many_queries_as_one_with_one(
    administrator: Client, loopback_allowed: None
) -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook, state=Delivery.State.DELIVERED)
    email = delivery.event.email
    assert email is not None

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            text_of(administrator, email)
        return len(seen)

    few = queries()
    webhooks = [make_webhook(url=f"http://127.0.0.1:9/{n}", mailbox=webhook.mailbox) for n in range(40)]
    Delivery.objects.bulk_create(
        Delivery(event=delivery.event, webhook=one, body=delivery.body, state="delivered", due_at=timezone.now(),
                 failures=n == 7 or 0, attempts=1)
        for n, one in enumerate(webhooks)
    )  # fmt: skip
    Delivery.objects.filter(webhook=webhooks[7]).update(state="failed")
    text = text_of(administrator, email)
    assert "And 16 more deliveries" in text
    # what somebody has to do something about stands first
    assert text.index("http://127.0.0.1:9/7<") < text.index("http://127.0.0.1:9/39<")
    assert queries() == few <= 25


def test_copies_in_other_mailboxes_and_the_next_mail_are_a_link_away(administrator: Client, mailbox: Mailbox) -> None:
    make_mailbox(address="sales@example.com")
    older = make_email()
    message = make_message(to=("support@example.com", "sales@example.com"))
    here, there = (message.emails.get(mailbox__local_part=name) for name in ("support", "sales"))
    text = text_of(administrator, here)
    for email in (older, there):
        assert reverse("admin:mailboxes_email_change", args=[email.pk]) in text
    assert "Newer in this mailbox" not in text
    assert reverse("admin:mailboxes_email_change", args=[here.pk]) in text_of(administrator, older)


# --- deleting


def test_an_email_is_deleted_after_it_was_said_what_goes(administrator: Client, loopback_allowed: None) -> None:
    delivery = make_delivery(make_webhook())
    email = delivery.event.email
    assert email is not None
    erase = reverse("admin:webhooks_delivery_erase_email", args=[email.pk])
    assert erase in text_of(administrator, email)
    asked = administrator.get(erase).content.decode()
    for said in ("A delivery that waits or is held is never sent.", "So is its raw", "It cannot be undone."):
        assert said in asked, said
    assert Email.objects.filter(pk=email.pk).exists()
    answer = administrator.post(erase, follow=True)
    assert f"{email.public_id} is erased." in answer.content.decode()
    assert not Email.objects.filter(pk=email.pk).exists()
    entry = AuditEntry.objects.get(action="email.erased")
    assert (entry.of, entry.details) == (email.public_id, {"deliveries": 1})
    assert administrator.post(erase).status_code == HTTPStatus.NOT_FOUND


# --- where mail stands, in the log


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([], "no webhook is for it"),
        ([("delivered", 0)], "delivered"),
        ([("delivered", 0), ("failed", 9)], "failed"),
        ([("pending", 2), ("delivered", 0)], "failing"),
        ([("pending", 0)], "on its way"),
        ([("held", 0), ("delivered", 0)], "held"),
        ([("canceled", 0)], "not delivered"),
    ],
)
def test_each_row_says_where_its_mail_stands(
    states: list[tuple[str, int]], told: str, administrator: Client, loopback_allowed: None
) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    first = make_delivery(make_webhook(mailbox=mailbox), state=states[0][0] if states else "delivered")
    email = first.event.email
    assert email is not None
    for n, (state, _) in enumerate(states[1:]):
        other = make_webhook(url=f"http://127.0.0.1:9/{n}", mailbox=mailbox)
        Delivery.objects.create(event=first.event, webhook=other, body=first.body, state=state, due_at=timezone.now())
    for delivery, (_, failures) in zip(Delivery.objects.order_by("pk"), states, strict=False):
        Delivery.objects.filter(pk=delivery.pk).update(failures=failures)
    if not states:
        Delivery.objects.all().delete()
    Email.objects.update(status=Email.Status.PROCESSED)
    (row,) = administrator.get(reverse("admin:mailboxes_email_changelist")).context["rows"]
    assert told in (row["standing"].label, row["standing"].detail)
