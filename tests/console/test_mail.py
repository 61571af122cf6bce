"""The email log and one email: what is shown of strangers' octets, and how they are downloaded."""

import re
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from emailgistics.common import admin as common
from emailgistics.common.ids import uuid7
from mailboxes.admin import email_content, email_log
from mailboxes.models import Address, Attachment, Email, Mailbox, Message, RawMessage
from tests.factories import RAW, make_alias, make_delivery, make_email, make_mailbox, make_message, make_webhook

EMAILS = Path(__file__).parent.parent / "emails"
OK, NOT_FOUND, FORBIDDEN = HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN


@pytest.fixture
def mailbox(db: None) -> Mailbox:
    return make_mailbox()


def shown(client: Client, email: Email, tab: str = "") -> str:
    answer = client.get(reverse("admin:mailboxes_email_change", args=[email.pk]), {"show": tab} if tab else {})
    assert answer.status_code == OK
    return answer.content.decode()


def listed(client: Client, **filters: str) -> list[Email]:
    answer = client.get(reverse("admin:mailboxes_email_changelist"), filters)
    assert answer.status_code == OK
    return list(answer.context["found"].result_list)


def raw_of(email: Email) -> str:
    return reverse("admin:mailboxes_email_raw", args=[email.pk])


def file_of(email: Email, attachment: Attachment) -> str:
    return reverse("admin:mailboxes_email_attachment", args=[email.pk, attachment.pk])


# --- one email


def test_an_email_shows_envelope_route_text_headers_and_files(administrator: Client, mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    email = make_email(raw=(EMAILS / "invoice.eml").read_bytes(), to="Help@example.com")
    text = shown(administrator, email)
    for said in (
        "Invoice 2026-17",
        "Accounts (Example Ltd) &lt;accounts@example.net&gt;",
        "billing@example.com",
        "ada@example.net",
        "Over SMTP, from 192.0.2.1 (mail.example.net), without TLS.",
        "help@example.com is an alias of support@example.com",
        "positions.csv",
        email.public_id,
        email.message.public_id,
        raw_of(email),
    ):
        assert said in text, said
    for attachment in email.attachments.all():
        assert file_of(email, attachment) in text
    assert "Please find our invoice attached." not in text
    for tab, said in {
        "text": "Please find our invoice attached.",
        "headers": "<dd><bdi>&lt;inv17@example.net&gt;</bdi></dd>",
        "raw": "Message-ID: &lt;inv17@example.net&gt;",
        "html": reverse("admin:mailboxes_email_html", args=[email.pk]),
    }.items():
        assert said in shown(administrator, email, tab), tab


def test_an_email_leads_to_its_own_deliveries(administrator: Client, loopback_allowed: None) -> None:
    webhook = make_webhook()
    delivery, _ = make_delivery(webhook), make_delivery(webhook)
    (link,) = re.findall(r"/admin/webhooks/delivery/\?[^\"]+", shown(administrator, delivery.event.email))
    answer = administrator.get(link)
    assert answer.status_code == OK
    assert list(answer.context["cl"].result_list) == [delivery]


def test_what_strangers_write_is_text_and_never_markup(administrator: Client, mailbox: Mailbox) -> None:
    evil = "<script>alert(1)</script>"
    raw = (
        f'From: "{evil}" <x@example.net>\r\nTo: "{evil}" <y@example.net>\r\nSubject: {evil}\r\nX: {evil}\r\n'
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{evil}\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        f'<b>{evil}</b>\r\n--b\r\nContent-Type: text/csv; name="{evil}"\r\n\r\n1\r\n--b--\r\n'
    )
    email = make_email(raw=raw.encode())
    tabs = [shown(administrator, email, tab) for tab in ("", "text", "headers", "links", "html")]
    for page in (
        *tabs[:3],
        administrator.get(reverse("admin:mailboxes_email_changelist")).content.decode(),
        administrator.get(reverse("admin:mailboxes_message_change", args=[email.message_id])).content.decode(),
    ):
        assert "alert(1)" in page
    for page in tabs:
        assert evil not in page
        assert "<b>" not in page


def test_an_email_that_waits_can_be_looked_at_and_downloaded(administrator: Client, mailbox: Mailbox) -> None:
    email = make_message().emails.get()
    assert "(not read yet)" in shown(administrator, email)
    for tab in ("html", "text", "headers", "links"):
        assert "It has not been opened yet." in shown(administrator, email, tab), tab
    assert "It does not turn." in shown(administrator, email, "raw")
    assert administrator.get(raw_of(email)).content == RAW


def test_the_null_sender_is_named(administrator: Client, mailbox: Mailbox) -> None:
    email = make_message(mail_from="").emails.get()
    assert "&lt;&gt; (a bounce or an automatic answer)" in shown(administrator, email)


def test_a_long_text_is_cut_and_the_page_says_so(
    administrator: Client, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_content, "MAX_TEXT", 10)
    text = shown(administrator, make_email(raw=RAW + b"x" * 50 + b"\r\n"), "text")
    assert "xxx" not in text
    assert "These are the first 10 of" in text


def test_nothing_of_history_can_be_sent_back(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email()
    for name in ("change", "delete"):
        answer = administrator.post(reverse(f"admin:mailboxes_email_{name}", args=[email.pk]), {"subject": "x"})
        assert answer.status_code == FORBIDDEN
    email.refresh_from_db()
    assert email.subject == "Broken engine"


# --- files


def test_files_are_saved_and_never_shown_by_the_browser(administrator: Client, mailbox: Mailbox) -> None:
    raw = (EMAILS / "invoice.eml").read_bytes()
    email = make_email(raw=raw)
    table = email.attachments.get(filename__contains="positions")
    for answer, octets, content_type, filename in (
        (administrator.get(raw_of(email)), raw, "message/rfc822", f"{email.public_id}.eml"),
        (administrator.get(file_of(email, table)), "item;price\r\nRäder;17,00".encode(), "text/csv", "positions.csv"),
    ):
        assert answer.content == octets
        assert answer["Content-Type"] == content_type
        assert answer["Content-Disposition"] == f'attachment; filename="{filename}"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert "no-store" in answer["Cache-Control"]
        assert "private" in answer["Cache-Control"]


def test_a_file_belongs_to_its_email(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email(raw=(EMAILS / "invoice.eml").read_bytes())
    other = make_email(raw=RAW)
    attachment = email.attachments.all()[0]
    assert administrator.get(file_of(other, attachment)).status_code == NOT_FOUND
    for page in (
        reverse("admin:mailboxes_email_raw", args=[uuid7()]),
        reverse("admin:mailboxes_email_attachment", args=[email.pk, uuid7()]),
    ):
        assert administrator.get(page).status_code == NOT_FOUND


@pytest.mark.parametrize("who", ["staff", "ordinary", "nobody"])
def test_files_are_for_system_administrators(who: str, client_for: Callable[[str], Client], mailbox: Mailbox) -> None:
    email = make_email(raw=(EMAILS / "invoice.eml").read_bytes())
    client = client_for(who)
    for page in (raw_of(email), file_of(email, email.attachments.all()[0])):
        answer = client.get(page)
        assert answer.status_code == (HTTPStatus.FOUND if who == "nobody" else FORBIDDEN)
        assert b"invoice" not in answer.content.lower().replace(page.encode(), b"")


def test_octets_that_are_damaged_are_said_to_be(administrator: Client, mailbox: Mailbox) -> None:
    email = make_email()
    RawMessage.objects.update(data=b"nonsense")
    answer = administrator.get(raw_of(email), follow=True)
    assert answer.redirect_chain == [(reverse("admin:mailboxes_email_changelist"), HTTPStatus.FOUND)]
    assert "The stored mail cannot be read" in answer.content.decode()


# --- the log


def mail(subject: str, *, sender: str = "ada@example.net", message_id: str = "1@example.net") -> bytes:
    return f"From: Ada <{sender}>\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n\r\nHello.\r\n".encode()


def test_the_log_is_searched_by_address_subject_message_id_and_id(administrator: Client, mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    one = make_email(raw=mail("Broken engine", message_id="one@example.net"))
    two = make_email(raw=mail("Invoice", sender="bob@example.org", message_id="two@example.net"), to="help@example.com")
    both = [two, one]
    for term, found in {
        "engine": [one],
        "bob@example.org": [two],
        "bob": [two],
        "exam*": both,
        "help@example.com": [two],
        "ada@example.net": both,  # two by its envelope
        "one@example.net": [one],
        "<two@example.net>": [two],
        one.public_id: [one],
        two.message.public_id: [two],
        "example.org": [two],
        "100%": [],
        "ngine": [],  # words, or their beginnings with a star
    }.items():
        assert listed(administrator, q=term) == found, term


def test_the_log_is_narrowed_by_time_status_and_mailbox(administrator: Client, mailbox: Mailbox) -> None:
    new = make_email()
    elsewhere = make_mailbox(address="sales@example.org")
    other = make_email(to="sales@example.org")
    two_days_ago = timezone.now() - timedelta(days=2)
    old = Email.objects.create(
        pk=common.first_id_since(two_days_ago), message=other.message, mailbox=mailbox, received_at=two_days_ago, size=1
    )
    waiting = make_message().emails.get()
    assert set(listed(administrator)) == {new, waiting, other, old}
    assert set(listed(administrator, received="24h")) == {new, waiting, other}
    assert set(listed(administrator, received="7d")) == {new, waiting, other, old}
    assert listed(administrator, mailbox=str(elsewhere.pk)) == [other]
    assert listed(administrator, mailbox="nonsense") == []
    assert listed(administrator, mailbox="sales@example.org") == [other]
    assert listed(administrator, mailbox="@example.org") == [other]
    assert set(listed(administrator, status__exact="waiting", received="24h")) == {waiting}


def test_lists_end_at_a_bound_and_say_so(
    administrator: Client, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        make_message()
    assert b"3 emails, newest first." in administrator.get(reverse("admin:mailboxes_email_changelist")).content
    monkeypatch.setattr(common, "MAX_COUNTED", 2)
    monkeypatch.setattr(email_log, "MAX_COUNTED", 2)
    assert b"More than 2 emails" in administrator.get(reverse("admin:mailboxes_email_changelist")).content
    assert b"Only the first 2 are listed" in administrator.get(reverse("admin:mailboxes_message_changelist")).content


def test_lists_load_no_large_columns_and_count_up_to_a_bound(administrator: Client, mailbox: Mailbox) -> None:
    make_email()
    for name in ("email", "message"):
        with CaptureQueriesContext(connection) as seen:
            administrator.get(reverse(f"admin:mailboxes_{name}_changelist"))
        sql = "\n".join(query["sql"] for query in seen)
        for column in ('"text"', '"html"', '"headers"', '"data"', '"parse_defects"'):
            assert column not in sql, column
        counts = [query["sql"] for query in seen if "COUNT(" in query["sql"]]
        assert counts
        # of the few rows of a page, what came of their deliveries is counted without a bound
        of_table = [sql for sql in counts if "webhooks_delivery" not in sql]
        assert all("LIMIT 100" in sql for sql in of_table), counts


@pytest.mark.parametrize("name", ["email", "message", "address"])
def test_a_list_takes_as_many_queries_with_many_rows_as_with_few(
    name: str, administrator: Client, mailbox: Mailbox
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            administrator.get(reverse(f"admin:mailboxes_{name}_changelist"))
        # on PostgreSQL the plan of a page is asked for within savepoints, which are none
        return sum(" FROM " in query["sql"] for query in seen)

    make_email()
    few = queries()
    for number in range(5):
        make_alias(address=f"a{number}@d{number}.example.com", mailbox=mailbox)
        make_email(to=f"a{number}@d{number}.example.com")
    assert queries() == few <= 10


def test_a_page_takes_as_many_queries_with_many_recipients_and_files_as_with_few(
    administrator: Client, mailbox: Mailbox
) -> None:
    def queries(raw: bytes, to: tuple[str, ...]) -> int:
        message = make_message(raw=raw, to=to)
        from mailboxes.services import process

        process.drain(linger=timedelta(0))
        email = message.emails.get(mailbox=mailbox)
        with CaptureQueriesContext(connection) as seen:
            shown(administrator, email)
            administrator.get(reverse("admin:mailboxes_message_change", args=[message.pk]))
        return len(seen)

    addresses = []
    for number in range(4):
        box = make_mailbox(address=f"box@d{number}.example.com")
        make_alias(address=f"a{number}@d{number}.example.com", mailbox=mailbox)
        addresses += [f"a{number}@d{number}.example.com", str(box)]
    make_alias(mailbox=mailbox)
    invoice = (EMAILS / "invoice.eml").read_bytes()
    queries(invoice, ("help@example.com",))  # what is asked once in a process
    few = queries(invoice, ("help@example.com",))
    assert queries(invoice, (*addresses, "help@example.com")) == few


def test_messages_are_found_and_every_address_has_its_owner(administrator: Client, mailbox: Mailbox) -> None:
    make_alias(mailbox=mailbox)
    message, _ = make_message(), make_message(mail_from="bob@example.org")
    found = reverse("admin:mailboxes_message_changelist")
    for term in ("ada@", message.public_id):
        (row,) = administrator.get(found, {"q": term}).context["cl"].result_list
        assert row == message
    assert Message.objects.count() == len(administrator.get(found, {"q": "192.0.2."}).context["cl"].result_list) == 2
    text = administrator.get(reverse("admin:mailboxes_address_changelist"), {"q": "help@"}).content.decode()
    assert "help@example.com" in text
    assert "support@example.com" not in text
    alias_row = Address.objects.get(alias__isnull=False)
    page = administrator.get(reverse("admin:mailboxes_address_change", args=[alias_row.pk])).content.decode()
    assert f"/admin/mailboxes/alias/{alias_row.alias_id}/change/" in page
