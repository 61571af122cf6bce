"""The log of emails is searched by everything that the API searches by, a page at a time."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailboxes.admin import email_log
from mailboxes.models import Email
from tests.factories import make_alias, make_email, make_mailbox, make_message

LOG = "/admin/mailboxes/email/"


@pytest.fixture(autouse=True)
def _mailbox(db: None) -> None:
    make_mailbox()


def found(client: Client, **asked: str) -> list[Email]:
    answer = client.get(LOG, asked)
    assert answer.status_code == 200
    return list(answer.context["found"].result_list)


def errors(client: Client, **asked: str) -> Any:
    form = client.get(LOG, asked).context["form"]
    return form.errors


def mail(subject: str, *, sender: str = "ada@example.net", text: str = "Hello.", message_id: str = "1@x") -> bytes:
    return f"From: Ada <{sender}>\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n\r\n{text}\r\n".encode()


def test_each_field_narrows_and_several_narrow_together(administrator: Client) -> None:
    make_alias(mailbox=make_mailbox(address="sales@example.com"))
    one = make_email(raw=mail("Broken engine", text="The gear is cracked."))
    two = make_email(raw=mail("Engine invoice", sender="bob@example.org", message_id="2@x"), to="help@example.com")
    table = b"Subject: Table\r\nContent-Type: text/csv; name=t.csv\r\nContent-Disposition: attachment\r\n\r\na;b\r\n"
    three = make_email(raw=table)
    for asked, expected in (
        ({"q": "engine"}, [two, one]),
        ({"q": "engine bob"}, [two]),
        ({"q": "gear"}, []),
        ({"q": "gear", "says": "on"}, [one]),
        ({"author": "BOB@example.org"}, [two]),
        ({"author": "@example.net"}, [one]),
        ({"to": "help@example.com"}, [two]),
        ({"subject": "broken"}, [one]),
        ({"message_id": "<2@x>"}, [two]),
        ({"mailbox": "sales@example.com"}, [two]),
        ({"attachment": "1"}, [three]),
        ({"status": "processed", "subject": "engine"}, [two, one]),
        ({"subject": "engine", "author": "@example.net"}, [one]),
        ({"q": one.public_id}, [one]),
        ({"q": two.message.public_id}, [two]),
    ):
        assert found(administrator, **asked) == expected, asked


def test_days_are_those_of_the_time_zone_and_both_are_included(administrator: Client) -> None:
    email = make_email()
    today = timezone.localtime(email.received_at).date()
    yesterday, tomorrow = (today + timedelta(days=n) for n in (-1, 1))
    assert found(administrator, since=str(today), until=str(today)) == [email]
    assert found(administrator, since=str(tomorrow)) == []
    assert found(administrator, until=str(yesterday)) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mailbox": "nobody@example.com"}, "There is no mailbox nobody@example.com."),
        ({"author": "bob"}, "This is an address"),
        ({"author": "@[1]"}, "This is no domain"),
        ({"since": "yesterday"}, "Enter a valid date."),
        ({"subject": "!!"}, "There is no word in it"),
        ({"q": "en*"}, "Before * stand at least 3 letters or digits."),
        ({"status": "lost"}, "Select a valid choice."),
        ({"subject__regex": "("}, "This list has no filter subject__regex."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_listed(asked: dict[str, str], said: str, administrator: Client) -> None:
    make_email()
    assert said in str(errors(administrator, **asked))
    assert found(administrator, **asked) == []


def test_pages_follow_one_another_in_both_directions(administrator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_log, "ON_A_PAGE", 2)
    mails = [make_message().emails.get() for _ in range(5)][::-1]
    seen, url = [], LOG
    while url:
        answer = administrator.get(url)
        page = answer.context["found"]
        seen += page.result_list
        url = f"{LOG}?before={page.oldest}" if page.has_older else ""
    assert seen == mails
    back = administrator.get(LOG, {"after": mails[4].public_id}).context["found"]
    assert (back.result_list, back.has_newer, back.has_older) == (mails[2:4], True, True)
    first = administrator.get(LOG, {"after": mails[2].public_id}).context["found"]
    assert (first.result_list, first.has_newer) == (mails[:2], False)


def test_links_of_other_pages_are_searches(administrator: Client) -> None:
    email = make_email()
    Email.objects.update(status="parked")
    for asked in ({"status__exact": "parked"}, {"mailbox": str(email.mailbox_id)}, {"received": "24h"}):
        assert found(administrator, **asked) == [email], asked
    text = administrator.get(LOG, {"mailbox": str(email.mailbox_id)}).content.decode()
    assert 'value="support@example.com"' in text
    assert reverse("admin:mailboxes_email_change", args=[email.pk]) in text


def test_an_empty_log_says_what_to_do(administrator: Client) -> None:
    assert "No mail has come yet." in administrator.get(LOG).content.decode()
    assert "No email is like that." in administrator.get(LOG, {"q": "engine"}).content.decode()
