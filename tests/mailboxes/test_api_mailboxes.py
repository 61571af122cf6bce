"""Mailboxes over HTTP."""

import json
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import (
    BASE,
    NOT_FOUND_BODY,
    answered,
    lacks_scope,
    problem,
    refused,
    refused_by_rule,
    seen,
    send,
    shape,
    unavailable,
    unknown,
)

pytestmark = pytest.mark.django_db

READ = [Scope.MAILBOXES_READ]
WRITE = [Scope.MAILBOXES_WRITE]
FIXED = "An address does not change: make another mailbox, or an alias that leads to this one."
NUMBER = "This is a whole number, without quotes."


def url_of(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.public_id}"


def made(body: dict[str, Any]) -> Any:
    make_domain()
    return send(make_client(scopes=WRITE), "post", "/v1/mailboxes", body)


def test_a_mailbox_is_made_in_its_domain() -> None:
    answer = made({"address": "Support@EXAMPLE.com"})
    mailbox = Mailbox.objects.get(local_part="Support")
    assert answered(answer) == (201, shape(mailbox))
    assert answer["Location"] == f"{BASE}{url_of(mailbox)}"
    assert answer.json()["retention"] == {"raw_days": None, "content_days": None, "log_days": None}
    assert (mailbox.is_active, mailbox.name, mailbox.time_zone) == (True, "", "")


def test_a_mailbox_is_made_as_it_is_wished() -> None:
    answer = made({
        "address": '"front desk"@example.com', "name": " Empfang\n", "active": False, "time_zone": "Europe/Berlin",
        "retention": {"raw_days": 1, "log_days": 36_500},
    })  # fmt: skip
    mailbox = Mailbox.objects.get(local_part="front desk")
    assert answered(answer) == (201, {
        "id": mailbox.public_id,
        "created_at": shape(mailbox)["created_at"],
        "address": '"front desk"@example.com',
        "name": " Empfang\n",
        "domain_id": mailbox.domain.public_id,
        "active": False,
        "time_zone": "Europe/Berlin",
        "retention": {"raw_days": 1, "content_days": None, "log_days": 36_500},
        "retention_in_force": {"raw_days": 1, "content_days": 36_500, "log_days": 36_500},
        "quota_bytes": None,
        "used_bytes": 0,
    })  # fmt: skip
    assert shape(mailbox) == answer.json()


def test_without_a_time_zone_a_mailbox_has_the_installations(settings: Settings) -> None:
    mailbox = make_mailbox()
    client = make_client(scopes=WRITE)
    settings.TIME_ZONE = "Asia/Tokyo"
    assert client.get(url_of(mailbox)).json()["time_zone"] == "Asia/Tokyo"
    assert send(client, "patch", url_of(mailbox), {"time_zone": "UTC"}).json()["time_zone"] == "UTC"
    assert send(client, "patch", url_of(mailbox), {"time_zone": ""}).json()["time_zone"] == "Asia/Tokyo"


@pytest.mark.parametrize(("body", "expected"), [
    ({}, refused("/address", "required", "This field is required.")),
    ({"address": "support"}, refused_by_rule(
        "/address", "invalid_address", "“support” is not an address; write it like support@example.com.")),
    ({"address": "*@example.com"}, refused_by_rule(
        "/address", "invalid", "A mailbox needs a name of its own; * is an alias that catches the rest.")),
    ({"address": "support@nope.example"}, refused_by_rule(
        "/address", "invalid", "There is no domain nope.example here; create it first.")),
    ({"address": "a@example.com", "name": 7}, refused("/name", "invalid", "This is text, in quotes.")),
    ({"address": "a@example.com", "name": "x" * 201}, refused(
        "/name", "max_length", "Ensure this field has no more than 200 characters.")),
    ({"address": "a@example.com", "name": "a\0"}, refused(
        "/name", "null_characters_not_allowed", "Null characters are not allowed.")),
    ({"address": "a@example.com", "time_zone": "Europe/Nowhere"}, refused_by_rule(
        "/time_zone", "invalid",
        "There is no time zone “Europe/Nowhere”; write it like Europe/Berlin.")),
    ({"address": "a@example.com", "time_zone": "../../etc/passwd"}, refused_by_rule(
        "/time_zone", "invalid",
        "There is no time zone “../../etc/passwd”; write it like Europe/Berlin.")),
    ({"address": "a@example.com", "retention": None}, refused("/retention", "null", "This field may not be null.")),
    ({"address": "a@example.com", "retention": {"raw_days": 0}}, refused(
        "/retention/raw_days", "min_value", "Ensure this value is greater than or equal to 1.")),
    ({"address": "a@example.com", "retention": {"log_days": 36_501}}, refused(
        "/retention/log_days", "max_value", "Ensure this value is less than or equal to 36500.")),
    ({"address": "a@example.com", "retention": {"raw_days": 10**30}}, refused(
        "/retention/raw_days", "max_value", "Ensure this value is less than or equal to 36500.")),
    ({"address": "a@example.com", "retention": {"raw_days": 1.5}}, refused("/retention/raw_days", "invalid", NUMBER)),
    ({"address": "a@example.com", "retention": {"raw_days": "30"}}, refused("/retention/raw_days", "invalid", NUMBER)),
    ({"address": "a@example.com", "retention": {"days": 30}}, refused(
        "/retention/days", "unknown_field",
        "There is no field of this name here; there is raw_days, content_days, log_days.")),
    ({"address": "a@example.com", "domain_id": "dom_x"}, refused(
        "/domain_id", "unknown_field",
        "There is no field of this name here; there is name, active, time_zone, retention, quota_bytes, address.")),
])  # fmt: skip
def test_what_is_wrong_with_a_new_mailbox_is_told_and_nothing_is_made(
    body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert answered(made(body)) == (400, expected)
    assert Mailbox.objects.count() == 1


def test_an_address_that_is_taken_or_rests_has_one_answer() -> None:
    alias = make_alias()
    resting, gone = make_alias(address="rest@example.com", mailbox=alias.mailbox), make_mailbox(address="x@example.com")
    provision.delete_alias(resting)
    provision.delete_mailbox(gone)
    before = Mailbox.objects.count()
    for local_part in ("support", "HELP", "rest", "x", "inbox"):
        detail = unavailable(f"{local_part}@example.com")
        answer = made({"address": f"{local_part}@example.com"})
        assert answered(answer) == (409, problem(409, "address_unavailable", detail))
    assert Mailbox.objects.count() == before


def test_a_mailbox_is_read_and_listed_in_one_shape_newest_first() -> None:
    old, new = make_mailbox(), make_mailbox(address="sales@example.com")
    client = make_client(mailboxes=[old, new], scopes=READ)
    assert answered(client.get(url_of(old))) == (200, shape(old))
    page = client.get("/v1/mailboxes").json()
    assert page["data"] == [shape(new), shape(old)]
    assert page["pagination"] == {
        "page": 1, "limit": 25, "total": 2, "total_capped": False, "has_more": False, "next": None, "previous": None,
        "next_cursor": None,
    }  # fmt: skip


def test_a_list_is_narrowed_down_to_a_domain() -> None:
    here, there = make_mailbox(), make_mailbox(address="support@example.net")
    client = make_client(mailboxes=[here, there], scopes=READ)
    page = client.get("/v1/mailboxes", {"domain_id": there.domain.public_id}).json()
    assert (page["data"], page["pagination"]["total"]) == ([shape(there)], 1)


def test_a_mailbox_is_changed_where_it_is_named() -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox], scopes=WRITE)
    url, before = url_of(mailbox), shape(mailbox)
    assert answered(send(client, "patch", url, {})) == (200, before)
    answer = send(client, "patch", url, {"name": "Support", "retention": {"raw_days": 30, "log_days": 90}})
    changed = before | {"name": "Support", "retention": {"raw_days": 30, "content_days": None, "log_days": 90}}
    changed |= {"retention_in_force": {"raw_days": 30, "content_days": 90, "log_days": 90}}
    assert answered(answer) == (200, changed)
    answer = send(client, "patch", url, {"active": False, "retention": {"raw_days": None, "content_days": 7}})
    changed |= {"active": False, "retention": {"raw_days": None, "content_days": 7, "log_days": 90}}
    changed |= {"retention_in_force": {"raw_days": 7, "content_days": 7, "log_days": 90}}
    assert answered(answer) == (200, changed)
    assert shape(mailbox) == changed
    assert answered(send(client, "patch", url, changed)) == (200, changed)  # what was read goes back
    assert answered(send(client, "patch", url, {"name": "", "retention": {}})) == (200, changed | {"name": ""})


@pytest.mark.parametrize(("body", "expected"), [
    ({"address": "other@example.com"}, refused("/address", "read_only", FIXED)),
    ({"address": None}, refused("/address", "read_only", FIXED)),
    ({"domain_id": "dom_00000000000000000000000000"}, refused("/domain_id", "read_only", FIXED)),
    ({"id": "mbx_00000000000000000000000000"}, refused("/id", "read_only", "id cannot be changed.")),
    ({"name": None}, refused("/name", "null", "This field may not be null.")),
    ({"active": "on"}, refused("/active", "invalid", "This is true or false, without quotes.")),
    ({"time_zone": "cet"}, refused_by_rule(
        "/time_zone", "invalid", "There is no time zone “cet”; write it like Europe/Berlin.")),
])  # fmt: skip
def test_what_is_wrong_with_a_change_is_told_and_nothing_is_changed(
    body: dict[str, Any], expected: dict[str, Any]
) -> None:
    mailbox = make_mailbox()
    before = shape(mailbox)
    answer = send(make_client(scopes=WRITE), "patch", url_of(mailbox), {"retention": {"raw_days": 5}, **body})
    assert answered(answer) == (400, expected)
    assert shape(mailbox) == before


def test_a_mailbox_is_deleted_once_with_the_aliases_to_it() -> None:
    alias = make_alias()
    elsewhere = make_alias(address="help@example.net", mailbox=alias.mailbox)
    client = make_client(mailboxes=[alias.mailbox], scopes=WRITE)
    url = url_of(alias.mailbox)
    answer = send(client, "delete", url)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("delete", "get", "patch"):
        assert answered(send(client, method, url)) == (404, NOT_FOUND_BODY)
    assert not Alias.objects.live().filter(pk__in=[alias.pk, elsewhere.pk]).exists()


def test_the_default_mailbox_of_a_domain_is_not_deleted() -> None:
    mailbox = make_domain().default_mailbox
    assert mailbox is not None
    make_message(to=("inbox@example.com",))
    expected = problem(
        409,
        "conflict",
        "inbox@example.com is the default mailbox of its domain, which takes mail for postmaster and abuse: make "
        "another one the default first, or delete the domain.",
    )
    client = make_client(scopes=[*WRITE, Scope.EMAILS_WRITE])
    for query in ("", "?with=mail"):
        assert answered(send(client, "delete", url_of(mailbox) + query)) == (409, expected)
    assert Mailbox.objects.live().get() == mailbox
    provision.update_domain(Domain.objects.get(), default_mailbox=make_mailbox())
    assert send(client, "delete", f"{url_of(mailbox)}?with=mail").status_code == 202


def test_a_mailbox_with_mail_is_deleted_only_on_purpose() -> None:
    mailbox = make_mailbox()
    make_message()
    url = url_of(mailbox)
    detail = (
        "support@example.com still has mail, which no key could read any more. Disable it instead, or delete it with "
        "its mail: ?with=mail in the API, --with-mail in a command."
    )
    lacks = make_client(mailboxes=[mailbox], scopes=WRITE)
    assert answered(send(lacks, "delete", url)) == (409, problem(409, "not_empty", detail))
    assert answered(send(lacks, "delete", f"{url}?with=mail")) == (403, lacks_scope("emails:write"))
    assert Mailbox.objects.live().filter(pk=mailbox.pk).exists()
    may = make_client(mailboxes=[mailbox], scopes=[*WRITE, Scope.EMAILS_WRITE])
    assert answered(send(may, "delete", f"{url}?with=x")) == (
        400,
        refused("/with", "invalid_choice", "Say with=mail, or leave it out."),
    )
    assert send(may, "delete", f"{url}?with=mail").status_code == 202
    assert answered(send(may, "delete", f"{url}?with=mail")) == (404, NOT_FOUND_BODY)
    # and the key that may not delete mail is told nothing new
    for id_ in (mailbox.public_id, unknown(Mailbox), "nonsense"):
        answer = send(lacks, "delete", f"/v1/mailboxes/{id_}?with=mail")
        assert answered(answer) == (403, lacks_scope("emails:write"))


def test_a_list_takes_the_same_queries_for_one_and_for_many(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    boxes = [make_mailbox(address=f"m{n}@d{n % 3}.example.com") for n in range(30)]
    for chosen in (boxes[:1], boxes):
        client = make_client(mailboxes=chosen, scopes=READ)
        with django_assert_num_queries(2):  # key, page
            page = client.get("/v1/mailboxes", {"limit": 100}).json()
        assert len(page["data"]) == len(chosen)


# --- what ends an alias that acts on a whole domain

WHOLE = "An alias that leads here acts on a whole domain, so this needs a key for all mailboxes."


@pytest.mark.parametrize("address", ["*@example.com", "help+vip@example.com", "*@example.net"])
def test_a_key_with_an_allowlist_does_not_end_what_acts_on_a_whole_domain(address: str) -> None:
    alias = make_alias(address=address)
    mailbox = alias.mailbox
    make_alias(mailbox=mailbox)  # one that is its own affair
    url, before = url_of(mailbox), shape(mailbox)
    every_scope = [*WRITE, Scope.EMAILS_WRITE]
    own = [mailbox, make_mailbox(address="own@example.net")]
    listed, everywhere = make_client(mailboxes=own, scopes=every_scope), make_client(scopes=every_scope)
    expected = (403, problem(403, "allowlist_restricted", WHOLE))
    for method, query, body in (
        ("delete", "", None),
        ("delete", "?with=mail", None),
        ("patch", "", {"active": False}),
        ("patch", "", {"active": True}),
        ("patch", "", {"active": False, "name": "x"}),
    ):
        answer = send(listed, method, url + query, body)
        assert answered(answer) == expected
        assert 'error="insufficient_scope"' in answer["WWW-Authenticate"]
        assert (shape(mailbox), Alias.objects.live().count()) == (before, 2)
    assert answered(send(listed, "patch", url, {"name": "x", "time_zone": "UTC"}))[0] == 200
    assert send(everywhere, "patch", url, {"active": False}).json()["active"] is False
    assert answered(send(listed, "patch", url, {"active": True})) == expected
    assert send(everywhere, "delete", url).status_code == 204
    assert Alias.objects.live().count() == 0
    # what it may not see stays a 404, which costs as much as before
    ids = [mailbox.public_id, make_mailbox(address="sales@example.com").public_id, unknown(Mailbox), "nonsense"]
    for method, body in (("delete", None), ("patch", {"active": False})):
        answers = {seen(listed, method, f"/v1/mailboxes/{id_}", body) for id_ in ids}
        assert [(status, json.loads(content), queries) for status, content, _, queries in answers] == [
            (404, NOT_FOUND_BODY, 2)
        ]


def test_what_no_longer_acts_on_a_whole_domain_restricts_nobody() -> None:
    catch_all = make_alias(address="*@example.com")
    mailbox, other = catch_all.mailbox, make_mailbox(address="sales@example.com")
    client = make_client(mailboxes=[mailbox, other], scopes=WRITE)
    assert send(client, "patch", url_of(other), {"active": False}).status_code == 200
    assert send(client, "patch", url_of(mailbox), {"active": False}).status_code == 403
    provision.update_alias(catch_all, mailbox=other)
    assert send(client, "patch", url_of(mailbox), {"active": False}).status_code == 200
    assert send(client, "delete", url_of(other)).status_code == 403
    provision.delete_alias(catch_all)
    for url in (url_of(mailbox), url_of(other)):
        assert send(client, "delete", url).status_code == 204


def test_what_is_counted_is_sent_back_with_the_rest_and_not_set() -> None:
    mailbox, client = make_mailbox(), make_client(scopes=WRITE)
    read = client.get(url_of(mailbox)).json()
    assert send(client, "patch", url_of(mailbox), read | {"used_bytes": 7}).json() == read
    answer = send(client, "patch", url_of(mailbox), {"used_bytes": 7})
    assert answered(answer) == (400, refused("/used_bytes", "read_only", "It is counted; nobody sets it."))
