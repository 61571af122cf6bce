"""Deleting an email over HTTP: for good, in its own mailbox, and once."""

import pytest
from django.db.models import Model
from django.test import Client

from emailgistics.common.access import Scope
from emailgistics.common.ids import encode_id
from mailboxes.models import Email, EmailContent, Message, RawMessage, SearchEntry
from mailboxes.services import erase as mailboxes_erase
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox, make_message, make_webhook
from tests.webhooks import invariants
from tests.webhooks.invariants import Dispatcher, answer
from webhooks.models import Delivery, Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

WRITE = [Scope.EMAILS_WRITE]


def received(*to: str) -> Message:
    message = make_message(to=to)
    invariants.process_waiting()
    return message


def email_in(message: Message, name: str) -> Email:
    return message.emails.get(mailbox__local_part=name)


def counts(*models: type[Model]) -> list[int]:
    return [model._default_manager.count() for model in models]


def delete(client: Client, email: Email) -> int:
    return client.delete(f"/v1/emails/{email.public_id}").status_code


def test_it_goes_with_all_that_stands_on_it_and_the_same_mail_elsewhere_stays() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_webhook(mailbox=support)
    make_webhook(mailbox=sales)
    message = received("support@example.com", "sales@example.com")
    mine, theirs = email_in(message, "support"), email_in(message, "sales")
    client = make_client(mailboxes=[support], scopes=WRITE)
    deleted = client.delete(f"/v1/emails/{mine.public_id}")
    assert (deleted.status_code, deleted.content, deleted["Cache-Control"]) == (204, b"", "no-store")
    assert counts(Email, EmailContent, SearchEntry, Event) == [1, 1, 1, 1]
    assert list(Delivery.objects.values_list("event__email", flat=True)) == [theirs.pk]
    assert RawMessage.objects.count() == 1
    assert delete(make_client(scopes=WRITE), theirs) == 204
    assert counts(Email, Message, RawMessage, Event, Delivery, SearchEntry) == [0] * 6


def test_what_was_not_delivered_is_not_sent_and_what_is_under_way_changes_nothing() -> None:
    webhook = make_webhook(mailbox=make_mailbox())
    first, second = (received("support@example.com") for _ in range(2))
    dispatcher = Dispatcher()
    under_way = dispatcher.claim()[:1]
    client = make_client(scopes=WRITE)
    for message in (first, second):
        assert delete(client, message.emails.get()) == 204
    assert Dispatcher().claim() == []
    dispatcher.record(under_way, answer(200))
    assert not Delivery.objects.filter(webhook=webhook).exists()


def test_once_more_is_404_like_one_that_never_was() -> None:
    make_mailbox()
    email = received("support@example.com").emails.get()
    client = make_client(scopes=WRITE)
    assert delete(client, email) == 204
    again = client.delete(f"/v1/emails/{email.public_id}")
    never = client.delete(f"/v1/emails/{encode_id('email', Message().pk)}")
    assert (again.status_code, again.content) == (never.status_code, never.content) == (404, never.content)
    assert mailboxes_erase.was_erased(email.pk)


def test_three_keys_one_that_may_one_without_the_scope_one_without_the_mailbox() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    email = received("support@example.com").emails.get()
    without = make_client(mailboxes=[support], scopes=set(Scope) - {Scope.EMAILS_WRITE})
    assert delete(without, email) == 403
    assert delete(make_client(mailboxes=[sales]), email) == 404
    assert Email.objects.filter(pk=email.pk).exists()
    assert delete(make_client(mailboxes=[support], scopes=WRITE), email) == 204


def test_somebody_else_may_have_been_a_moment_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    email = received("support@example.com").emails.get()
    other, client = make_client(scopes=WRITE), make_client(scopes=WRITE)
    from webhooks.api.views import emails as views

    find = views.find  # type: ignore[attr-defined]  # what it imports

    def find_and_lose(*arguments: object) -> Email:
        found: Email = find(*arguments)  # type: ignore[arg-type]
        monkeypatch.setattr(views, "find", find)
        assert delete(other, email) == 204
        return found

    monkeypatch.setattr(views, "find", find_and_lose)
    assert delete(client, email) == 404
