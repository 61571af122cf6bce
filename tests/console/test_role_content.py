"""What mail says, and secrets, are on no page of somebody who may not read them; who reads is on record."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.test import Client, RequestFactory
from django.utils import timezone

from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import AUDITORS
from mailboxes.models import Attachment, Email, EmailContent
from tests.apikeys.factories import make_key
from tests.console import role_world
from tests.console.conftest import make_person
from tests.console.role_world import (
    ANSWER,
    CONTENT,
    FILE,
    FILE_TEXT,
    HEADER,
    HTML,
    OWN_HEADER,
    SUBJECT,
    TEXT,
    addresses,
)
from webhooks.models import Event, EventBody, Webhook
from webhooks.services import webhooks

ClientFor = Callable[[str], Client]
Rows = dict[str, Model]


@pytest.fixture
def rows(one_of_each: Rows) -> Rows:
    role_world.add_marked_content(one_of_each)
    return one_of_each


def opened(client: Client, who: str, rows: Rows) -> dict[str, str]:
    """All that somebody may open, by address."""
    pages = {}
    for address in addresses(rows):
        if address.is_for(who, "get"):
            answer = client.get(address.url, follow=True)
            pages[address.url] = b"".join(answer).decode(errors="replace")
    return pages


# --- on no page


def secrets_of(rows: Rows) -> dict[str, str]:
    webhook = rows["webhooks.Webhook"]
    assert isinstance(webhook, Webhook)
    webhooks.update_webhook(webhook, headers={"X-Own": OWN_HEADER})
    key, _ = make_key(name="keymark77")
    Webhook.objects.filter(pk=webhook.pk).update(created_by=key)
    content = EmailContent.objects.get(pk=rows["mailboxes.Email"].pk)
    email, attachment = rows["mailboxes.Email"], rows["mailboxes.Attachment"]
    assert isinstance(email, Email)
    assert isinstance(attachment, Attachment)
    assert TEXT in content.text
    return {
        **{mark: mark for mark in (*CONTENT, OWN_HEADER)},
        "secret": webhooks.secrets_of(webhook, now=timezone.now())[0],
        "raw digest": email.message.sha256,
        "file digest": attachment.sha256,
        "key": key.identifier,
        "name of a key": key.name,
    }


def test_no_page_of_an_auditor_has_content_or_a_secret_on_it(client_for: ClientFor, rows: Rows) -> None:
    hidden = secrets_of(rows)
    pages = opened(client_for("auditor"), "auditor", rows)
    assert len(pages) > 40
    found = [(name, url) for name, url in product(hidden, pages) if hidden[name] in pages[url]]
    assert not found
    # metadata is there: it was no empty page
    email = rows["mailboxes.Email"]
    assert SUBJECT in pages[f"/admin/mailboxes/email/{email.pk}/change/"]
    assert SUBJECT in pages["/admin/mailboxes/email/"]


def test_who_may_read_mail_finds_it_where_it_is_and_no_secret(client_for: ClientFor, rows: Rows) -> None:
    hidden = secrets_of(rows)
    pages = opened(client_for("mail_auditor"), "mail_auditor", rows)
    on = {mark: [url for url, text in pages.items() if mark in text] for mark in CONTENT}
    assert all(on.values()), on
    assert f"/admin/mailboxes/email/{rows['mailboxes.Email'].pk}/raw/" in on[TEXT]
    never = [hidden[name] for name in ("secret", "key", "name of a key")] + [OWN_HEADER]
    assert not [(secret, url) for secret, url in product(never, pages) if secret in pages[url]]


def test_an_auditor_is_offered_no_page_that_is_closed_to_him(client_for: ClientFor, rows: Rows) -> None:
    """Links, and forms that are sent: whatever a page leads to opens."""
    client = client_for("auditor")
    closed = {address.url: address for address in addresses(rows) if not address.is_for("auditor", "get")}
    unsent = {address.url: address for address in addresses(rows) if not address.is_for("auditor", "post")}
    pages = opened(client, "auditor", rows)
    links = [(url, other) for url, text in pages.items() for other in closed if f'href="{other}"' in text]
    forms = [(url, other) for url, text in pages.items() for other in unsent if f'action="{other}"' in text]
    assert (links, forms) == ([], [])


@pytest.mark.parametrize("mark", [TEXT, HTML, HEADER, FILE, FILE_TEXT, ANSWER])
def test_no_search_of_an_auditor_tells_what_mail_says(mark: str, client_for: ClientFor, rows: Rows) -> None:
    client = client_for("auditor")
    for address in addresses(rows):
        if address.name.endswith("_changelist") and address.is_for("auditor", "get"):
            context = client.get(address.url, {"q": mark}).context
            if "found" in context:  # the log of emails
                assert not context["found"].result_list, address.name
                continue
            assert not (context["cl"].search_fields and list(context["cl"].result_list)), address.name


# --- by no lookup

# columns that no list tells anything about, whoever asks
TOLD_BY_NO_LIST = {
    "apikeys.apikey": {"digest"},
    "auth.user": {"password", "last_login"},
    "webhooks.webhook": {"sealed_secret", "sealed_previous_secret", "sealed_headers"},
    "webhooks.eventbody": {"body"},
    "webhooks.attempt": {"response_headers", "response_excerpt"},
    "mailboxes.emailcontent": {"text", "html", "headers", "preview"},
    "mailboxes.attachment": {"filename", "sha256"},
    "mailboxes.message": {"sha256"},
    "mailboxes.refusal": {"sha256", "transcript"},
}
DEPTH = 3
HOW = ("exact", "startswith", "contains", "gte", "lt", "isnull", "regex")


def paths(model: Any, *, depth: int = DEPTH) -> Iterator[tuple[str, str, str]]:
    """Every column that can be reached from the model: path, label of its model, name."""
    for field in model._meta.get_fields():
        if field.is_relation:
            if depth > 1 and field.related_model:
                for path, label, column in paths(field.related_model, depth=depth - 1):
                    yield f"{field.name}__{path}", label, column
        else:
            yield field.name, model._meta.label_lower, field.name


def test_no_list_is_narrowed_by_a_secret_or_by_what_mail_says() -> None:
    request = RequestFactory().get("/")
    asked, allowed = set(), []
    for model, pages in admin.site._registry.items():
        for path, label, column in paths(model):
            if column not in TOLD_BY_NO_LIST.get(label, set()):
                continue
            asked.add((label, column))
            lookups = (path, *(f"{path}__{how}" for how in HOW))
            allowed += [(label, lookup) for lookup in lookups if pages.lookup_allowed(lookup, "a", request)]
    assert asked >= {(label, column) for label, columns in TOLD_BY_NO_LIST.items() for column in columns}
    assert not allowed


@pytest.mark.parametrize("who", ["auditor", "superuser"])
@pytest.mark.parametrize(
    "asked",
    [
        ("mailboxes/email", "content__text__contains", TEXT),
        ("mailboxes/email", "attachments__filename__contains", FILE),
        ("mailboxes/email", "message__sha256__startswith", "a"),
        ("mailboxes/message", "sha256__startswith", "a"),
        ("webhooks/attempt", "response_excerpt__contains", ANSWER),
        ("webhooks/delivery", "body__body__contains", TEXT),
        ("webhooks/webhook", "sealed_secret__gte", "a"),
        ("webhooks/webhook", "created_by__digest__startswith", "a"),
        ("common/auditentry", "person__password__startswith", "a"),
    ],
)
def test_asked_in_an_address_it_is_refused(
    who: str, asked: tuple[str, str, str], client_for: ClientFor, rows: Rows
) -> None:
    page, lookup, value = asked
    answer = client_for(who).get(f"/admin/{page}/", {lookup: value})
    if page == "mailboxes/email":  # its form says what it does not know, and finds nothing then
        assert "This list has no filter" in answer.content.decode()
        assert not answer.context["found"].result_list
    else:
        assert answer.status_code == 400


# --- on record


def entries() -> list[tuple[str, str, str, str, Any]]:
    rows = AuditEntry.objects.filter(action="mail.opened").order_by("id")
    return [(entry.of, entry.by, entry.address or "", entry.details["what"], entry.details) for entry in rows]


@pytest.mark.parametrize("who", ["mail_auditor", "member", "superuser"])
def test_each_opening_of_content_is_on_record_once(who: str, client_for: ClientFor, rows: Rows) -> None:
    client, email, attachment = client_for(who), rows["mailboxes.Email"], rows["mailboxes.Attachment"]
    body = rows["webhooks.EventBody"]
    assert isinstance(email, Email)
    assert isinstance(attachment, Attachment)
    assert isinstance(body, EventBody)
    page = f"/admin/mailboxes/email/{email.pk}"
    for address in (
        f"{page}/change/?show=text",
        f"{page}/raw/",
        f"{page}/attachments/{attachment.pk}/",
        f"/admin/webhooks/eventbody/{body.pk}/change/",
    ):
        assert client.get(address).status_code == 200
        assert client.head(address).status_code == 200  # shows nothing
    email_id = email.public_id
    of_raw, of_attachment = (
        (what, {"what": what}) for what in ("raw, as a file", f"attachment {attachment.public_id}")
    )
    assert entries() == [
        (email_id, who, "127.0.0.1", "text", {"what": "text"}),
        (email_id, who, "127.0.0.1", *of_raw),
        (email_id, who, "127.0.0.1", *of_attachment),
        (body.event.public_id, who, "127.0.0.1", "payload", {"what": "payload", "form": body.form}),
    ]
    assert [entry.person.get_username() for entry in AuditEntry.objects.filter(action="mail.opened")] == [who] * 4  # type: ignore[union-attr]


def test_metadata_and_what_was_refused_are_not_on_record(client_for: ClientFor, rows: Rows) -> None:
    email, delivery = rows["mailboxes.Email"], rows["webhooks.Delivery"]
    auditor, administrator = client_for("auditor"), client_for("superuser")
    for page in ("", "raw/", "change/"):
        auditor.get(f"/admin/mailboxes/email/{email.pk}/{page}")
    for page in ("mailboxes/email/", f"webhooks/delivery/{delivery.pk}/change/"):
        assert administrator.get(f"/admin/{page}").status_code == 200
    event = Event.objects.first()
    assert event is not None
    administrator.get(f"/admin/webhooks/event/{event.pk}/change/")
    assert entries() == []


# --- the audit log itself


def test_an_auditor_sees_the_audit_log_without_keys_and_people(client_for: ClientFor, rows: Rows) -> None:
    administrator, auditor = client_for("superuser"), client_for("auditor")
    make_key(name="Secret name of a key")
    person = make_person("ordinary")
    sent = {"username": "ordinary", "is_active": "on", "is_auditor": "on"}
    administrator.post(f"/admin/auth/user/{person.pk}/change/", sent)
    administrator.get(f"/admin/mailboxes/email/{rows['mailboxes.Email'].pk}/raw/")
    AuditEntry.objects.create(at=AuditEntry.objects.latest("id").at, action="unheard.of", of="x", by="system")

    def begins(client: Client) -> set[str]:
        return {row.action.partition(".")[0] for row in client.get(LOG).context["cl"].result_list}

    assert begins(auditor) == {"mail"}
    assert begins(administrator) == {"mail", "apikey", "person", "unheard"}
    for entry in AuditEntry.objects.exclude(action="mail.opened"):
        answer = auditor.get(f"{LOG}{entry.pk}/change/", follow=True)
        assert AUDITORS not in answer.content.decode()
        assert answer.redirect_chain  # it is not there
    assert b"apikey.created" not in auditor.get(LOG).content  # nor in the filter


LOG = "/admin/common/auditentry/"


def test_every_column_that_is_kept_from_lists_is_there() -> None:
    from django.apps import apps

    for label, columns in TOLD_BY_NO_LIST.items():
        for column in columns:
            try:
                apps.get_model(label)._meta.get_field(column)
            except FieldDoesNotExist:  # pragma: no cover
                pytest.fail(f"{label} has no {column}: the row of this test tests nothing")
