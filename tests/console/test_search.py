"""The box that finds anything, for those who may see it."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apikeys.models import ApiKey
from emailgistics.common.ids import encode_id, uuid7
from mailboxes.models import Alias, Attachment, Domain, Email, Refusal
from mailboxes.services import provision
from tests.apikeys.factories import make_key
from tests.factories import make_alias, make_domain, make_email, make_mailbox
from webhooks.models import Webhook

SEARCH = "/admin/search/"
REDIRECT = HTTPStatus.FOUND

pytestmark = pytest.mark.django_db


def found(client: Client, term: str) -> str:
    """Where the box leads: to the page of the one thing that is meant, or what the list of hits says."""
    answer = client.post(SEARCH, {"q": term})
    assert answer.status_code == REDIRECT, term
    if not answer["Location"].startswith(SEARCH):
        return answer["Location"]
    page = client.get(answer["Location"])
    assert page.status_code == HTTPStatus.OK
    return page.content.decode()


def without_tokens(text: str) -> str:
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text)


def page_of(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def test_every_id_leads_straight_to_its_page(administrator: Client, one_of_each: dict[str, Model]) -> None:
    typed: list[Any] = [
        row for row in one_of_each.values() if hasattr(row, "public_id") and not isinstance(row, ApiKey)
    ]
    assert len(typed) > 12
    for row in typed:
        assert found(administrator, f" {row.public_id} ") == page_of(row), row
    email = one_of_each["mailboxes.Email"]
    attachment = Attachment.objects.create(
        email=email, position=0, part="1", filename="a", content_type="a/b", size=1, sha256="", encoding="", offset=0,
        length=1,
    )  # fmt: skip
    assert found(administrator, attachment.public_id) == page_of(email)


def test_what_people_have_in_hand_is_found(administrator: Client, one_of_each: dict[str, Any]) -> None:
    mailbox, alias = one_of_each["mailboxes.Mailbox"], one_of_each["mailboxes.Alias"]
    webhook, key = one_of_each["webhooks.Webhook"], one_of_each["apikeys.ApiKey"]
    host = webhook.url.split("/")[2]
    for term, page in {
        "example.com": page_of(Domain.objects.get()),
        "EXAMPLE.com.": page_of(Domain.objects.get()),
        "support": page_of(mailbox),
        "help": page_of(alias),
        webhook.url: page_of(webhook),
        host: page_of(webhook),
        key.identifier: page_of(key),
        "somebody": page_of(one_of_each["auth.User"]),
        "<1@example.net>": page_of(one_of_each["mailboxes.Email"]),
        "1@example.net": page_of(one_of_each["mailboxes.Email"]),
        "ada@example.net": page_of(one_of_each["mailboxes.Email"]),
    }.items():
        assert found(administrator, term) == page, term


def test_several_hits_are_listed_by_kind(administrator: Client) -> None:
    mailbox = make_mailbox()
    make_email()
    text = found(administrator, "support@example.com")
    assert page_of(mailbox) in text
    assert page_of(Email.objects.get()) in text
    assert text.index(">Mailbox<") < text.index(">Email<")


def test_patterns_and_addresses_that_rest_are_found(administrator: Client) -> None:
    alias = make_alias(address="sales-*@example.com")
    assert found(administrator, "sales-*@example.com") == page_of(alias)
    gone = make_alias(address="gone@example.com", mailbox=alias.mailbox)
    provision.delete_alias(gone)
    assert found(administrator, "gone@example.com") == page_of(gone)


def test_refused_mail_is_found_by_whom_and_from_where(administrator: Client, one_of_each: dict[str, Model]) -> None:
    Refusal.objects.update(network="192.0.2.0/24", client_ip="192.0.2.7", recipient="No.One@example.org")
    for term, many in (("192.0.2.7", 1), ("no.one@EXAMPLE.org", 1)):
        location = found(administrator, term)
        assert location.startswith("/admin/mailboxes/refusal/?q=")
        assert administrator.get(location).context["cl"].result_count == many


def test_a_whole_key_stays_in_no_address(administrator: Client) -> None:
    key, text = make_key(mailboxes=[make_mailbox()])
    whole = str(getattr(text, "value", text))
    answer = administrator.post(SEARCH, {"q": f"see {whole}"})
    assert answer["Location"] == f"{SEARCH}?q=see+{key.identifier}"
    answer = administrator.get(SEARCH, {"q": whole})
    assert answer["Location"] == f"{SEARCH}?q={key.identifier}"
    assert administrator.get(answer["Location"])["Location"] == page_of(key)


def test_request_ids_are_said_to_be_in_the_log(administrator: Client) -> None:
    assert "ask an operator" in found(administrator, encode_id("req", uuid7()))


@pytest.mark.parametrize(
    "term", ["", " ", "\0", "x" * 5000, "<script>alert(1)</script>", "é@é", "@", "://", "%", "a_b"]
)
def test_any_text_is_looked_for_and_shown_as_text(term: str, administrator: Client) -> None:
    make_domain()
    text = found(administrator, term)
    assert "<script>alert" not in text
    assert administrator.get(SEARCH, {"q": term.replace("\0", "")}).status_code == HTTPStatus.OK


@pytest.mark.parametrize("who", ["staff", "auditor"])
def test_what_somebody_may_not_see_is_not_there(
    who: str, client_for: Callable[[str], Client], one_of_each: dict[str, Any]
) -> None:
    client = client_for(who)
    if who == "staff":  # who has no role has no box to search with
        assert client.get(SEARCH).status_code == HTTPStatus.FORBIDDEN
        return
    absent = {"job": encode_id("job", uuid7()), "key": "emgk_0000000000", "person": "nobody-there"}
    hidden = {
        "job": one_of_each["mailboxes.AliasImport"].public_id,
        "key": one_of_each["apikeys.ApiKey"].identifier,
        "person": "somebody",
    }
    if who == "staff":
        absent["id"], hidden["id"] = encode_id("email", uuid7()), one_of_each["mailboxes.Email"].public_id
    for kind, term in hidden.items():
        shown, nothing = (without_tokens(found(client, text)).replace(text, "X") for text in (term, absent[kind]))
        assert shown == nothing, kind


def test_a_search_asks_little_and_nothing_without_bound(administrator: Client, one_of_each: dict[str, Model]) -> None:
    administrator.get(SEARCH)
    with CaptureQueriesContext(connection) as asked:
        administrator.post(SEARCH, {"q": "support@example.com"})
    selects = [query["sql"] for query in asked if "COUNT(" in query["sql"].upper()]
    assert not selects
    assert len(asked) < 25


def test_the_box_is_in_the_frame_of_every_page(administrator: Client) -> None:
    for page in ("/admin/", "/admin/mailboxes/email/", SEARCH, "/admin/mailboxes/alias/add/"):
        assert 'id="search-anything"' in administrator.get(page).content.decode(), page


def test_webhooks_that_are_pulled_or_gone_do_no_harm(administrator: Client, loopback_allowed: None) -> None:
    assert "Nothing is found" in found(administrator, "https://nowhere.example/")
    assert not Webhook.objects.exists()
    assert not Alias.objects.exists()
