"""Aliases over HTTP."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from emailgistics.common.access import Scope
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from mailboxes.services.route import route
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox
from tests.mailboxes.api_client import (
    BASE,
    NOT_FOUND_BODY,
    RESTRICTED_BODY,
    answered,
    not_found_in,
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

READ = [Scope.ALIASES_READ]
WRITE = [Scope.ALIASES_WRITE]
FIELDS = "domain_id, name, description, mailbox_id, further_mailbox_ids, priority, active"
FIXED_NAME = "The name of an alias does not change: make another alias and delete this one."
FIXED_DOMAIN = "An alias stays in its domain: make another one there and delete this one."


def url_of(alias: Alias) -> str:
    return f"/v1/aliases/{alias.public_id}"


def default_of(domain: Domain) -> Mailbox:
    assert domain.default_mailbox is not None
    return domain.default_mailbox


def post(client: Client, domain: Domain, **body: Any) -> Any:
    return send(client, "post", "/v1/aliases", {"domain_id": domain.public_id, **body})


# --- making one


def test_an_alias_is_made_and_leads_to_its_mailbox() -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox], scopes=WRITE)
    answer = post(client, mailbox.domain, name="Help", description="Tickets", mailbox_id=mailbox.public_id)
    alias = Alias.objects.get()
    assert answered(answer) == (201, {
        "id": alias.public_id,
        "created_at": shape(alias)["created_at"],
        "address": "Help@example.com",
        "name": "Help",
        "domain_id": mailbox.domain.public_id,
        "mailbox_id": mailbox.public_id,
        "further_mailbox_ids": [],
        "description": "Tickets",
        "kind": "exact",
        "priority": 100,
        "active": True,
    })  # fmt: skip
    assert answer["Location"] == f"{BASE}{url_of(alias)}"
    assert route("help@example.com").mailbox_id == mailbox.pk


def test_an_alias_may_be_born_disabled_and_have_a_name_that_needs_quotes() -> None:
    domain = make_domain()
    answer = post(make_client(scopes=WRITE), domain, name='"front desk"', active=False)
    assert answered(answer) == (201, shape(Alias.objects.get()))
    assert (answer.json()["name"], answer.json()["address"]) == ("front desk", '"front desk"@example.com')
    assert answer.json()["active"] is False


def test_an_alias_may_lead_into_another_domain() -> None:
    domain, mailbox = make_domain(name="example.net"), make_mailbox()
    answer = post(make_client(scopes=WRITE), domain, name="help", mailbox_id=mailbox.public_id)
    assert (answer.status_code, answer.json()["address"]) == (201, "help@example.net")
    assert answer.json()["mailbox_id"] == mailbox.public_id


def test_a_key_for_all_mailboxes_makes_the_catch_all_and_names_with_a_plus() -> None:
    mailbox = make_mailbox()
    client = make_client(scopes=WRITE)
    rest = post(client, mailbox.domain, name="*", mailbox_id=mailbox.public_id)
    assert (rest.status_code, rest.json()["kind"], rest.json()["address"]) == (201, "catch_all", "*@example.com")
    tagged = post(client, mailbox.domain, name="support+vip", mailbox_id=mailbox.public_id)
    assert (tagged.status_code, tagged.json()["kind"]) == (201, "exact")
    reserved = post(client, mailbox.domain, name="postmaster", mailbox_id=mailbox.public_id)
    assert reserved.status_code == 201


# --- without a mailbox


def test_without_a_mailbox_it_is_the_only_one_of_the_domain() -> None:
    domain = make_domain()
    answer = post(make_client(scopes=WRITE), domain, name="help")
    assert (answer.status_code, answer.json()["mailbox_id"]) == (201, default_of(domain).public_id)


def test_without_a_mailbox_it_is_the_only_one_of_the_key_in_that_domain() -> None:
    mailbox, elsewhere = make_mailbox(), make_mailbox(address="support@example.net")
    client = make_client(mailboxes=[mailbox, elsewhere], scopes=WRITE)
    answer = post(client, mailbox.domain, name="help", mailbox_id=None)
    assert (answer.status_code, answer.json()["mailbox_id"]) == (201, mailbox.public_id)


def test_without_a_mailbox_it_is_the_default_one_if_the_key_may_open_that() -> None:
    mailbox = make_mailbox()
    default = default_of(mailbox.domain)
    for number, allowed in enumerate((None, [mailbox, default])):
        client = make_client(mailboxes=allowed, scopes=WRITE)
        answer = post(client, mailbox.domain, name=f"help{number}")
        assert (answer.status_code, answer.json()["mailbox_id"]) == (201, default.public_id)


def test_without_a_mailbox_the_choices_are_told_and_only_those_that_the_key_may_open() -> None:
    first, second = make_mailbox(), make_mailbox(address="sales@example.com")
    make_mailbox(address="secret@example.com")
    gone, elsewhere = make_mailbox(address="gone@example.com"), make_mailbox(address="support@example.net")
    client = make_client(mailboxes=[first, second, gone, elsewhere], scopes=WRITE)
    provision.delete_mailbox(gone)
    expected = refused_by_rule(
        "/mailbox_id",
        "invalid",
        f"Say which mailbox it leads to: {first.public_id} (support@example.com), "
        f"{second.public_id} (sales@example.com).",
    )
    assert answered(post(client, first.domain, name="help")) == (400, expected)
    assert Alias.objects.count() == 0


def test_of_very_many_choices_the_oldest_are_told() -> None:
    boxes = [make_mailbox(address=f"m{n}@example.com") for n in range(provision.CHOICES_NAMED + 1)]
    for count, end in ((provision.CHOICES_NAMED, f"(m{provision.CHOICES_NAMED - 1}@example.com)."),
                       (provision.CHOICES_NAMED + 1, ", or a further one.")):  # fmt: skip
        answer = post(make_client(mailboxes=boxes[:count], scopes=WRITE), boxes[0].domain, name="help")
        assert answer.status_code == 400
        assert answer.json()["detail"].count("mbx_") == provision.CHOICES_NAMED
        assert answer.json()["detail"].endswith(end)


# --- what is wrong


@pytest.mark.parametrize(("body", "expected"), [
    ({"domain_id": None, "name": "help"}, refused("/domain_id", "null", "This field may not be null.")),
    ({"name": None}, refused("/name", "null", "This field may not be null.")),
    ({"name": 7}, refused("/name", "invalid", "This is text, in quotes.")),
    ({"name": ["help"]}, refused("/name", "invalid", "This is text, in quotes.")),
    ({"name": ""}, refused("/name", "blank", "This field may not be blank.")),
    ({"name": "help@example.com"}, refused_by_rule(
        "/name", "invalid_address",
        "“help@example.com” is not a local part: letters, digits and !#$%&'*+-/=?^_`{|}~, with single dots between; "
        'anything else goes in "quotes".')),
    ({"name": "/(/"}, refused_by_rule("/name", "invalid_pattern", "“/(/” is not a pattern: missing ): (.")),
    ({"name": "a" * 256 + "*"}, refused_by_rule(
        "/name", "invalid_pattern", "A pattern has at most 256 characters.")),
    ({"name": "a*", "priority": -1}, refused(
        "/priority", "min_value", "Ensure this value is greater than or equal to 0.")),
    ({"name": "a*", "priority": "1"}, refused("/priority", "invalid", "This is a whole number, without quotes.")),
    ({"name": "help", "further_mailbox_ids": "mbx_x"}, refused(
        "/further_mailbox_ids", "not_a_list", "This is a list of ids.")),
    ({"name": "help", "further_mailbox_ids": ["x"] * 101}, refused(
        "/further_mailbox_ids", "max_length", "Ensure this field has no more than 100 elements.")),
    ({"name": "help", "description": "x" * 501}, refused(
        "/description", "max_length", "Ensure this field has no more than 500 characters.")),
    ({"name": "help", "active": "true"}, refused("/active", "invalid", "This is true or false, without quotes.")),
    ({"name": "help", "kind": "exact"}, refused(
        "/kind", "unknown_field",
        f"There is no field of this name here; there is {FIELDS}.")),
    ({"name": "help", "mailboxid": "x"}, refused(
        "/mailboxid", "unknown_field",
        f"There is no field of this name here; there is {FIELDS}.")),
])  # fmt: skip
def test_what_is_wrong_with_a_new_alias_is_told_and_nothing_is_made(
    body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert answered(post(make_client(scopes=WRITE), make_domain(), **body)) == (400, expected)
    assert Alias.objects.count() == 0


def test_a_domain_has_to_be_named() -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox], scopes=WRITE)
    expected = problem(
        400,
        "validation_error",
        "domain_id: This field is required. name: This field is required.",
        errors=[
            {"pointer": "/domain_id", "code": "required", "detail": "This field is required."},
            {"pointer": "/name", "code": "required", "detail": "This field is required."},
        ],
    )
    assert answered(send(client, "post", "/v1/aliases", {})) == (400, expected)
    assert answered(send(client, "post", "/v1/aliases", {"mailbox_id": mailbox.public_id})) == (400, expected)


def test_an_address_that_is_taken_reserved_or_at_rest_has_one_answer() -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=make_mailbox(address="secret@example.com"))
    resting = make_alias(address="rest@example.com", mailbox=mailbox)
    provision.delete_alias(resting)
    restricted = make_client(mailboxes=[mailbox], scopes=WRITE)
    names = {"support", "HELP", "rest", "secret", "inbox"}
    for name in sorted(names | {"postmaster", "Abuse"}):
        expected = problem(409, "address_unavailable", unavailable(f"{name}@example.com"))
        assert answered(post(restricted, mailbox.domain, name=name)) == (409, expected)
        if name in names:
            everything = post(make_client(scopes=WRITE), mailbox.domain, name=name, mailbox_id=mailbox.public_id)
            assert answered(everything) == (409, expected)
    assert Alias.objects.live().count() == 1


# --- what takes others' mail


WIDE = [
    "*",
    "support+vip",
    "+",
    "sup*",
    "sup?",
    "/sup/",
    " /sup/",
    '"/sup/"',
    '"\\/sup/"',
    '"*"',
    '"\\*"',
    " *",
    "*\n",
    '"a+b"',
    "help+",
    "*+*",
]


@pytest.mark.parametrize("name", WIDE)
def test_a_key_with_an_allowlist_makes_nothing_that_takes_others_mail_told_by_the_form_alone(name: str) -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox, default_of(mailbox.domain)], scopes=WRITE)
    bodies: list[dict[str, Any]] = [
        {"domain_id": mailbox.domain.public_id, "mailbox_id": mailbox.public_id},
        {"domain_id": unknown(Domain), "mailbox_id": "nonsense"},
        {"domain_id": 7, "active": "on"},
        {},
    ]
    for body in bodies:
        answer = send(client, "post", "/v1/aliases", {**body, "name": name})
        assert answered(answer) == (403, RESTRICTED_BODY)
        assert 'error="insufficient_scope", error_description="This acts on' in answer["WWW-Authenticate"]
    for id_ in (unknown(Alias), make_alias(mailbox=mailbox).public_id):
        for method in ("patch", "put"):
            answer = send(client, method, f"/v1/aliases/{id_}", {"name": name})
            assert answered(answer) == (403, RESTRICTED_BODY)
    assert Alias.objects.count() == 1


@pytest.mark.parametrize("name", ["*", "support+vip", "sup-*", "/s.p/"])
def test_nor_does_it_change_or_delete_one_though_it_may_see_it(name: str) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(address=f"{name}@example.com", mailbox=mailbox)
    foreign = make_alias(address="x+y@example.com", mailbox=other)
    provision.update_alias(alias, is_active=False)
    client = make_client(mailboxes=[mailbox], scopes=WRITE)
    before = shape(alias)
    assert answered(client.get(url_of(alias))) == (200, before)
    for method, body in (("patch", {"active": True}), ("patch", {}), ("put", before), ("delete", None)):
        assert answered(send(client, method, url_of(alias), body)) == (403, RESTRICTED_BODY)
    assert shape(alias) == before
    for method, body in (("patch", {"active": True}), ("delete", None)):
        assert answered(send(client, method, url_of(foreign), body)) == (404, NOT_FOUND_BODY)
    everything = make_client(scopes=WRITE)
    assert send(everything, "patch", url_of(alias), {"active": True}).status_code == 200
    assert send(everything, "delete", url_of(alias)).status_code == 204


# --- reading


def test_an_alias_is_read_and_listed_in_one_shape_newest_first() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    old, new = make_alias(mailbox=mailbox), make_alias(address="*@example.com", mailbox=mailbox)
    make_alias(address="buy@example.com", mailbox=other)
    client = make_client(mailboxes=[mailbox], scopes=READ)
    assert answered(client.get(url_of(old))) == (200, shape(old))
    page = client.get("/v1/aliases").json()
    assert (page["data"], page["pagination"]["total"]) == ([shape(new), shape(old)], 2)


def test_a_list_is_narrowed_down_to_a_domain_and_a_mailbox() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    one, two = make_alias(mailbox=mailbox), make_alias(address="buy@example.com", mailbox=other)
    abroad = make_alias(address="help@example.net", mailbox=mailbox)
    client = make_client(scopes=READ)

    def listed(**query: str) -> Any:
        return client.get("/v1/aliases", query).json()["data"]

    assert listed(domain_id=one.domain.public_id) == [shape(two), shape(one)]
    assert listed(mailbox_id=mailbox.public_id) == [shape(abroad), shape(one)]
    assert listed(mailbox_id=mailbox.public_id, domain_id=abroad.domain.public_id) == [shape(abroad)]
    assert listed(mailbox_id=other.public_id, domain_id=abroad.domain.public_id) == []


def test_a_list_takes_the_same_queries_for_one_and_for_many(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    boxes = [make_mailbox(address=f"m{n}@d{n % 3}.example.com") for n in range(30)]
    for n, mailbox in enumerate(boxes):
        make_alias(address=f"a{n}@d{n % 4}.example.com", mailbox=mailbox)
    for chosen in (boxes[:1], boxes):
        client = make_client(mailboxes=chosen, scopes=READ)
        with django_assert_num_queries(3):  # key, page, further mailboxes
            page = client.get("/v1/aliases", {"limit": 100}).json()
        assert len(page["data"]) == len(chosen)


# --- changing


def test_an_alias_is_changed_where_it_is_named_and_moves() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=mailbox)
    client = make_client(mailboxes=[mailbox, other], scopes=WRITE)
    before = shape(alias)
    assert answered(send(client, "patch", url_of(alias), {})) == (200, before)
    answer = send(client, "patch", url_of(alias), {"description": " Tickets\n", "active": False})
    assert answered(answer) == (200, before | {"description": " Tickets\n", "active": False})
    answer = send(client, "patch", url_of(alias), {"mailbox_id": other.public_id, "active": True})
    changed = before | {"description": " Tickets\n", "mailbox_id": other.public_id}
    assert answered(answer) == (200, changed)
    assert shape(alias) == changed
    assert route("help@example.com").mailbox_id == other.pk
    assert answered(send(client, "patch", url_of(alias), changed)) == (200, changed)


def test_an_alias_is_replaced_by_what_was_read_with_something_different() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=mailbox)
    client = make_client(mailboxes=[mailbox, other], scopes=WRITE)
    read = client.get(url_of(alias)).json()
    assert answered(send(client, "put", url_of(alias), read)) == (200, read)
    wished = read | {"mailbox_id": other.public_id, "description": "x", "active": False}
    assert answered(send(client, "put", url_of(alias), wished)) == (200, wished)
    least = {name: read[name] for name in ("domain_id", "name", "description", "mailbox_id", "active")}
    assert answered(send(client, "put", url_of(alias), least)) == (200, read)
    assert shape(alias) == read


def test_a_replacement_is_whole() -> None:
    alias = make_alias()
    names = ("domain_id", "name", "description", "mailbox_id", "active")
    least = {name: shape(alias)[name] for name in names}
    client = make_client(scopes=WRITE)
    for name in names:
        body = {key: value for key, value in least.items() if key != name}
        expected = refused(f"/{name}", "required", "This field is required.")
        assert answered(send(client, "put", url_of(alias), body)) == (400, expected)
        expected = refused(f"/{name}", "null", "This field may not be null.")
        assert answered(send(client, "put", url_of(alias), {**least, name: None})) == (400, expected)
    assert send(client, "put", url_of(alias), least).status_code == 200


@pytest.mark.parametrize("method", ["patch", "put"])
def test_an_alias_keeps_its_name_and_its_domain(method: str) -> None:
    alias = make_alias()
    elsewhere = make_domain(name="example.net")
    client = make_client(scopes=WRITE)
    before = shape(alias)
    for change, expected in (
        ({"name": "Help"}, refused("/name", "read_only", FIXED_NAME)),
        ({"name": 7}, refused("/name", "read_only", FIXED_NAME)),
        ({"domain_id": elsewhere.public_id}, refused("/domain_id", "read_only", FIXED_DOMAIN)),
        ({"kind": "catch_all"}, refused("/kind", "read_only", "kind cannot be changed.")),
        ({"address": "x@example.com"}, refused("/address", "read_only", "address cannot be changed.")),
    ):
        assert answered(send(client, method, url_of(alias), {**before, "active": False, **change})) == (400, expected)
    answer = send(client, method, url_of(alias), {**before, "active": False, "domain_id": unknown(Domain)})
    assert answered(answer) == (404, not_found_in("domain_id"))
    assert shape(alias) == before


@pytest.mark.parametrize("method", ["patch", "put"])
def test_an_alias_moves_only_to_a_mailbox_that_the_key_may_open(method: str) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="secret@example.com")
    alias = make_alias(mailbox=mailbox)
    client = make_client(mailboxes=[mailbox], scopes=WRITE)
    before = shape(alias)
    for given in (other.public_id, unknown(Mailbox), "nonsense", "", 7):
        answer = send(client, method, url_of(alias), {**before, "active": "nonsense", "mailbox_id": given})
        assert answered(answer) == (404, not_found_in("mailbox_id"))
    assert shape(alias) == before


def test_an_alias_is_deleted_once() -> None:
    alias = make_alias()
    client = make_client(mailboxes=[alias.mailbox], scopes=WRITE)
    answer = send(client, "delete", url_of(alias))
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("delete", "get", "patch", "put"):
        assert answered(send(client, method, url_of(alias))) == (404, NOT_FOUND_BODY)


# --- patterns and several mailboxes


def test_a_pattern_is_made_and_its_priority_changed() -> None:
    mailbox = make_mailbox()
    client = make_client(scopes=WRITE)
    made = post(client, mailbox.domain, name="order-*", mailbox_id=mailbox.public_id, priority=10)
    alias = Alias.objects.get()
    assert answered(made) == (201, shape(alias))
    assert (made.json()["kind"], made.json()["address"], made.json()["priority"]) == (
        "pattern", "order-*@example.com", 10)  # fmt: skip
    again = post(client, mailbox.domain, name="order-*", mailbox_id=mailbox.public_id)
    expected = problem(409, "address_unavailable", "There is a pattern order-*@example.com already.")
    assert answered(again) == (409, expected)
    assert send(client, "patch", url_of(alias), {"priority": 3}).json()["priority"] == 3
    assert send(client, "put", url_of(alias), shape(alias) | {"priority": 4}).json()["priority"] == 4
    assert route("order-7@example.com").alias_id == alias.pk


def test_an_alias_leads_to_further_mailboxes() -> None:
    own, a, b = (make_mailbox(address=f"{name}@example.com") for name in ("own", "a", "b"))
    client = make_client(mailboxes=[own, a, b], scopes=WRITE)
    ids = [b.public_id, a.public_id, b.public_id, own.public_id]
    made = post(client, own.domain, name="help", mailbox_id=own.public_id, further_mailbox_ids=ids)
    alias = Alias.objects.get()
    assert answered(made) == (201, shape(alias))
    assert made.json()["further_mailbox_ids"] == [b.public_id, a.public_id]
    assert route("help@example.com").mailbox_ids == (own.pk, b.pk, a.pk)
    body = {"further_mailbox_ids": [a.public_id]}
    assert send(client, "patch", url_of(alias), body).json() == shape(alias)
    assert shape(alias)["further_mailbox_ids"] == [a.public_id]
    moved = send(client, "patch", url_of(alias), {"mailbox_id": a.public_id}).json()
    assert (moved["mailbox_id"], moved["further_mailbox_ids"]) == (a.public_id, [])
    whole = moved | {"further_mailbox_ids": [own.public_id, b.public_id]}
    assert answered(send(client, "put", url_of(alias), whole)) == (200, whole)
    assert answered(send(client, "patch", url_of(alias), {"further_mailbox_ids": []})) == (200, moved)
    too_many = [make_mailbox(address=f"m{n}@example.com").public_id for n in range(21)]
    answer = send(make_client(scopes=WRITE), "patch", url_of(alias), {"further_mailbox_ids": too_many})
    message = "An alias leads to at most 20 further mailboxes."
    assert answered(answer) == (400, refused_by_rule("/further_mailbox_ids", "max_length", message))


def test_a_key_sees_and_replaces_only_the_further_mailboxes_that_it_may_open() -> None:
    own, a, secret = (make_mailbox(address=f"{name}@example.com") for name in ("own", "a", "secret"))
    alias = provision.create_alias(address="help@example.com", mailbox=own, further_mailboxes=[secret, a])
    client = make_client(mailboxes=[own, a], scopes=WRITE)
    for answer in (client.get(url_of(alias)), send(client, "patch", url_of(alias), {"description": "x"})):
        assert answer.json()["further_mailbox_ids"] == [a.public_id]
    assert client.get("/v1/aliases").json()["data"][0]["further_mailbox_ids"] == [a.public_id]
    read = client.get(url_of(alias)).json()
    assert send(client, "put", url_of(alias), read).json() == read
    assert send(client, "patch", url_of(alias), {"further_mailbox_ids": []}).json()["further_mailbox_ids"] == []
    assert route("help@example.com").mailbox_ids == (own.pk, secret.pk)
    # of the further mailbox alone, the alias is not seen
    assert answered(make_client(mailboxes=[secret], scopes=WRITE).get(url_of(alias))) == (404, NOT_FOUND_BODY)
    assert make_client(mailboxes=[secret], scopes=WRITE).get("/v1/aliases").json()["data"] == []


def test_a_further_mailbox_that_the_key_may_not_open_is_not_there() -> None:
    own, secret, gone = (make_mailbox(address=f"{name}@example.com") for name in ("own", "secret", "gone"))
    alias = make_alias(mailbox=own)
    client = make_client(mailboxes=[own, gone], scopes=WRITE)
    provision.delete_mailbox(gone)
    hidden = [unknown(Mailbox), secret.public_id, gone.public_id, "x", "", own.domain.public_id, 7, None, ["x"]]
    answers = set()
    for id_ in hidden:
        for body in ({"further_mailbox_ids": [id_]}, {"further_mailbox_ids": [own.public_id, id_], "active": 7}):
            for method, url, more in (
                ("patch", url_of(alias), {}),
                ("put", url_of(alias), {"name": 7}),
                ("post", "/v1/aliases", {"domain_id": own.domain.public_id, "name": "new"}),
            ):
                answers.add((method, *seen(client, method, url, {**more, **body})[:-1], len(body)))
                assert answered(send(client, method, url, {**more, **body})) == (
                    404,
                    not_found_in("further_mailbox_ids"),
                )
    assert len(answers) == 6
    assert route("help@example.com").mailbox_ids == (own.pk,)


@pytest.mark.parametrize("pattern", ["order-*", "/ORDER-([0-9]+)/", "order-7?"])
@pytest.mark.parametrize("is_active", [True, False])
def test_what_a_pattern_of_others_takes_is_not_to_be_had_by_a_key_that_may_not_see_them(
    pattern: str, is_active: bool
) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(address=f"{pattern}@example.com", mailbox=sales)
    provision.update_alias(alias, is_active=is_active)
    narrow, wide, everywhere = (make_client(mailboxes=some) for some in ([support], [support, sales], None))
    # like any address that is taken: it does not say by what
    expected = problem(409, "address_unavailable", unavailable("Order-77@example.com"))
    assert answered(post(narrow, support.domain, name="Order-77", mailbox_id=support.public_id)) == (409, expected)
    assert post(narrow, support.domain, name="orders", mailbox_id=support.public_id).status_code == 201
    for number, client in enumerate((wide, everywhere)):
        name = ("order-77", "order-78")[number]
        assert post(client, support.domain, name=name, mailbox_id=support.public_id).status_code == 201


def test_what_the_catch_all_of_others_would_take_is_free() -> None:
    """It takes what nobody has; a name that somebody has is none of its mail."""
    support = make_mailbox()
    make_alias(address="*@example.com", mailbox=make_mailbox(address="sales@example.com"))
    client = make_client(mailboxes=[support])
    assert post(client, support.domain, name="orders", mailbox_id=support.public_id).status_code == 201
