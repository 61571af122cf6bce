"""Domains over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from emailgistics.common.access import Scope
from mailboxes.models import ADDRESS_RESTS_FOR, Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import (
    BASE,
    NOT_FOUND_BODY,
    answered,
    lacks_scope,
    not_found_in,
    problem,
    refused,
    refused_by_rule,
    send,
    shape,
    unknown,
)

pytestmark = pytest.mark.django_db

READ = [Scope.DOMAINS_READ]
WRITE = [Scope.DOMAINS_WRITE]
STILL_HAS_MAIL = (
    "example.com still has mail, which no key could read any more. Disable it instead, or delete it with its mail: "
    "?with=mail in the API, --with-mail in a command."
)


def url_of(domain: Domain) -> str:
    return f"/v1/domains/{domain.public_id}"


def default_of(domain: Domain) -> Mailbox:
    assert domain.default_mailbox is not None
    return domain.default_mailbox


def test_a_domain_is_made_with_its_default_mailbox() -> None:
    answer = send(make_client(scopes=WRITE), "post", "/v1/domains", {"name": "EXAMPLE.com."})
    domain = Domain.objects.get()
    assert answered(answer) == (201, shape(domain))
    assert answer.json()["name"] == "example.com"
    assert answer["Location"] == f"{BASE}{url_of(domain)}"
    assert default_of(domain).address == "inbox@example.com"
    assert (domain.is_active, domain.is_test) == (True, False)


def test_a_domain_for_trying_things_out_has_the_default_mailbox_that_was_wished() -> None:
    body = {"name": "test.example.com", "test": True, "default_mailbox": "all"}
    answer = send(make_client(scopes=WRITE), "post", "/v1/domains", body)
    domain = Domain.objects.get()
    assert answered(answer) == (201, shape(domain, test=True))
    assert default_of(domain).address == "all@test.example.com"


@pytest.mark.parametrize(("body", "expected"), [
    ({}, refused("/name", "required", "This field is required.")),
    ({"name": ""}, refused("/name", "blank", "This field may not be blank.")),
    ({"name": 7}, refused("/name", "invalid", "This is text, in quotes.")),
    ({"name": "localhost"}, refused_by_rule(
        "/name", "invalid_address", "“localhost” is not a domain name; write it like example.com.")),
    ({"name": "example.com", "default_mailbox": "a@b"}, refused_by_rule(
        "/default_mailbox", "invalid_address",
        "“a@b” is not a local part: letters, digits and !#$%&'*+-/=?^_`{|}~, with single dots between; "
        'anything else goes in "quotes".')),
    ({"name": "example.com", "default_mailbox": "*"}, refused_by_rule(
        "/default_mailbox", "invalid",
        "A mailbox needs a name of its own; * is an alias that catches the rest.")),
    ({"name": "example.com", "test": "yes"}, refused("/test", "invalid", "This is true or false, without quotes.")),
    ({"name": "example.com", "active": False}, refused(
        "/active", "unknown_field",
        "There is no field of this name here; there is name, test, subdomains, default_mailbox.")),
])  # fmt: skip
def test_what_is_wrong_with_a_new_domain_is_told_and_nothing_is_made(
    body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert answered(send(make_client(scopes=WRITE), "post", "/v1/domains", body)) == (400, expected)
    assert (Domain.objects.count(), Mailbox.objects.count()) == (0, 0)


def test_a_domain_that_is_here_or_rests_is_a_conflict() -> None:
    domain = make_domain()
    client = make_client(scopes=WRITE)
    here = problem(409, "conflict", "The domain example.com exists already.")
    assert answered(send(client, "post", "/v1/domains", {"name": "Example.COM"})) == (409, here)
    provision.delete_domain(domain)
    rests = problem(409, "conflict", "The domain example.com was deleted less than 30 days ago and rests.")
    assert answered(send(client, "post", "/v1/domains", {"name": "example.com"})) == (409, rests)
    assert Domain.objects.count() == 1
    Domain.objects.update(deleted_at=timezone.now() - ADDRESS_RESTS_FOR - timedelta(seconds=1))
    assert send(client, "post", "/v1/domains", {"name": "example.com"}).status_code == 201


def test_a_domain_is_read_and_listed_in_one_shape_newest_first() -> None:
    old, new = make_domain(), make_domain(name="example.net")
    client = make_client(scopes=READ)
    assert answered(client.get(url_of(old))) == (200, shape(old))
    assert client.get(url_of(old))["Cache-Control"] == "private, no-cache"
    listed = client.get("/v1/domains", {"limit": 1})
    assert answered(listed) == (200, {
        "data": [shape(new)],
        "pagination": {
            "page": 1, "limit": 1, "total": 2, "total_capped": False, "has_more": True,
            "next": f"{BASE}/v1/domains?limit=1&page=2", "previous": None, "next_cursor": new.public_id,
        },
    })  # fmt: skip
    assert client.get("/v1/domains", {"starting_after": new.public_id}).json()["data"] == [shape(old)]


def test_a_domain_is_changed_where_it_is_named() -> None:
    domain = make_domain()
    other = make_mailbox(address="other@example.com")
    client = make_client(scopes=WRITE)
    before = shape(domain)
    assert answered(send(client, "patch", url_of(domain), {})) == (200, before)
    assert answered(send(client, "patch", url_of(domain), {"active": False})) == (200, before | {"active": False})
    body = {"test": True, "default_mailbox_id": other.public_id}
    changed = before | {"active": False, "test": True, "default_mailbox_id": other.public_id}
    assert answered(send(client, "patch", url_of(domain), body)) == (200, changed)
    assert shape(domain) == changed
    assert answered(send(client, "patch", url_of(domain), changed)) == (200, changed)  # what was read goes back


@pytest.mark.parametrize(("body", "expected"), [
    ({"name": "example.org"}, refused("/name", "read_only", "A domain keeps its name: make another one.")),
    (
        {"status": "verified"},
        refused(
            "/status",
            "read_only",
            "It is what the DNS was found to have: ask for its status, and it is looked at again.",
        ),
    ),
    ({"active": None}, refused("/active", "null", "This field may not be null.")),
    ({"active": 0}, refused("/active", "invalid", "This is true or false, without quotes.")),
    ({"default_mailbox_id": None}, refused("/default_mailbox_id", "null", "This field may not be null.")),
    ({"default_mailbox": "all"}, refused(
        "/default_mailbox", "unknown_field",
        "There is no field of this name here; there is active, test, subdomains, default_mailbox_id.")),
])  # fmt: skip
def test_what_is_wrong_with_a_change_is_told_and_nothing_is_changed(
    body: dict[str, Any], expected: dict[str, Any]
) -> None:
    domain = make_domain()
    before = shape(domain)
    answer = send(make_client(scopes=WRITE), "patch", url_of(domain), {"test": True, **body})
    assert answered(answer) == (400, expected)
    assert shape(domain) == before


def test_the_default_mailbox_is_one_of_the_domains_own() -> None:
    domain = make_domain()
    before = shape(domain)
    foreign, deleted = make_mailbox(address="inbox2@example.net"), make_mailbox(address="gone@example.com")
    provision.delete_mailbox(deleted)
    client = make_client(scopes=WRITE)
    answer = send(client, "patch", url_of(domain), {"default_mailbox_id": foreign.public_id})
    expected = refused_by_rule(
        "/default_mailbox_id", "invalid", "The default mailbox of example.com is one of its own mailboxes."
    )
    assert answered(answer) == (400, expected)
    for given in (deleted.public_id, unknown(Mailbox), "nonsense", 7):
        answer = send(client, "patch", url_of(domain), {"default_mailbox_id": given, "active": "nonsense"})
        assert answered(answer) == (404, not_found_in("default_mailbox_id"))
    assert shape(domain) == before


def test_a_domain_is_deleted_once_with_what_is_in_it() -> None:
    alias = make_alias()
    client = make_client(scopes=[*READ, *WRITE, Scope.ALIASES_READ, Scope.MAILBOXES_READ])
    url = url_of(alias.domain)
    answer = send(client, "delete", url)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("delete", "get", "patch"):
        assert answered(send(client, method, url)) == (404, NOT_FOUND_BODY)
    for name in ("domains", "mailboxes", "aliases"):
        assert client.get(f"/v1/{name}").json()["data"] == []


def test_a_domain_with_mail_is_deleted_only_on_purpose() -> None:
    mailbox = make_mailbox()
    make_message()
    client = make_client(scopes=[*WRITE, Scope.EMAILS_WRITE])
    url = url_of(mailbox.domain)
    assert answered(send(client, "delete", url)) == (409, problem(409, "not_empty", STILL_HAS_MAIL))
    assert Domain.objects.live().count() == 1
    assert send(client, "delete", f"{url}?with=mail").status_code == 202
    assert (Domain.objects.live().count(), Mailbox.objects.live().count(), Alias.objects.count()) == (0, 0, 0)


def test_what_goes_with_mail_needs_the_right_to_delete_mail_whether_or_not_it_exists() -> None:
    domain = make_domain()
    client = make_client(scopes=WRITE)
    for id_ in (domain.public_id, unknown(Domain), "nonsense"):
        answer = send(client, "delete", f"/v1/domains/{id_}?with=mail")
        assert answered(answer) == (403, lacks_scope("emails:write"))
        assert 'scope="emails:write"' in answer["WWW-Authenticate"]
    assert Domain.objects.live().count() == 1


@pytest.mark.parametrize("query", ["with=", "with=Mail", "with=aliases"])
def test_with_is_mail_or_nothing(query: str) -> None:
    domain = make_domain()
    client = make_client(scopes=[*WRITE, Scope.EMAILS_WRITE])
    expected = refused("/with", "invalid_choice", "Say with=mail, or leave it out.")
    assert answered(send(client, "delete", f"{url_of(domain)}?{query}")) == (400, expected)
    assert answered(send(client, "delete", f"/v1/domains/{unknown(Domain)}?{query}")) == (404, NOT_FOUND_BODY)
    assert Domain.objects.live().count() == 1


@pytest.mark.parametrize("query", ["with=mail&with=mail", "with=mail&with=x"])
def test_with_is_said_once_whatever_domain_it_is(query: str) -> None:
    domain = make_domain()
    client = make_client(scopes=[*WRITE, Scope.EMAILS_WRITE])
    expected = refused("/with", "repeated", "This is there more than once: give it once.")
    for id_ in (domain.public_id, unknown(Domain)):
        assert answered(send(client, "delete", f"/v1/domains/{id_}?{query}")) == (400, expected)
    assert Domain.objects.live().count() == 1


def test_a_key_with_an_allowlist_sees_the_domains_of_its_live_mailboxes_once_each() -> None:
    first, second = make_mailbox(), make_mailbox(address="sales@example.com")
    elsewhere = make_mailbox(address="support@example.net")
    make_mailbox(address="support@example.org")
    client = make_client(mailboxes=[first, second, elsewhere], scopes=READ)
    page = client.get("/v1/domains").json()
    assert page["data"] == [
        shape(elsewhere.domain, default_mailbox_id=None),
        shape(first.domain, default_mailbox_id=None),
    ]
    assert page["pagination"]["total"] == 2
    provision.delete_mailbox(elsewhere)
    assert client.get("/v1/domains").json()["pagination"]["total"] == 1
    assert answered(client.get(url_of(elsewhere.domain))) == (404, NOT_FOUND_BODY)


def test_the_default_mailbox_is_shown_to_a_key_that_may_open_it() -> None:
    domain = make_domain()
    client = make_client(mailboxes=[default_of(domain)], scopes=READ)
    assert answered(client.get(url_of(domain))) == (200, shape(domain))


@pytest.mark.parametrize("has_allowlist", [False, True])
def test_a_list_takes_the_same_queries_for_one_and_for_many(
    has_allowlist: bool, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    boxes = [default_of(make_domain(name=f"d{n}.example.com")) for n in range(30)]
    for chosen in ([boxes[0]], boxes):
        client = make_client(mailboxes=chosen if has_allowlist else None, scopes=READ)
        with django_assert_num_queries(2):  # key, page
            page = client.get("/v1/domains", {"limit": 100}).json()
        assert len(page["data"]) == (len(chosen) if has_allowlist else 30)


def test_a_domain_takes_the_mail_of_its_subdomains_if_told_to() -> None:
    client = make_client(scopes=[Scope.DOMAINS_WRITE])
    made = send(client, "post", "/v1/domains", {"name": "example.com", "subdomains": True})
    domain = Domain.objects.get()
    assert answered(made) == (201, shape(domain))
    assert made.json()["subdomains"] is True
    url = f"/v1/domains/{domain.public_id}"
    assert send(client, "patch", url, {"subdomains": False}).json() == shape(domain)
    assert shape(domain)["subdomains"] is False
    assert send(client, "patch", url, {"subdomains": "no"}).status_code == 400


def test_when_a_domain_was_verified_is_shown_and_not_said_by_a_caller() -> None:
    domain = make_domain()
    client = make_client(scopes=[Scope.DOMAINS_WRITE])
    url = f"/v1/domains/{domain.public_id}"
    Domain.objects.update(verified_at=datetime(2026, 6, 1, 12, tzinfo=UTC))
    assert client.get(url).json()["verified_at"] == "2026-06-01T12:00:00.000Z"
    answer = send(client, "patch", url, {"verified_at": None})
    detail = "Ask for verify, which finds that out."
    assert answered(answer) == (400, refused("/verified_at", "read_only", detail))


@pytest.mark.parametrize("name", ["127.0.0.1", "192.0.2.1", "example.123"])
def test_an_address_of_a_host_is_no_domain(name: str) -> None:
    answer = make_client().post("/v1/domains", {"name": name}, content_type="application/json")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/name")
    assert "its last part is a number" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "there_is"),
    [
        ("domains", "name"),
        ("mailboxes", "address, domain_id"),
        ("aliases", "domain_id, mailbox_id, name"),
        ("rules", "alias_id, domain_id, mailbox_id"),
        ("webhooks", "alias_id, domain_id, mailbox_id, url"),
        ("emails", "received_after"),
        ("refusals", "network"),
        ("statistics", "time_zone"),
    ],
)
def test_a_parameter_that_there_is_not_is_refused_and_not_passed_over(path: str, there_is: str) -> None:
    answer = make_client().get(f"/v1/{path}", {"recieved_after": "2030-01-01"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/recieved_after")
    before, _, names = answer.json()["errors"][0]["detail"].rstrip(".").partition("; there is ")
    assert before == "There is no such parameter here"
    assert set(there_is.split(", ")) <= set(names.split(", "))
