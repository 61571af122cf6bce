"""Tags of answers, and requests that hold only as long as a thing is as its tag says."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from emailgistics.common.conditional import tag_of
from mailboxes.models import Mailbox
from mailboxes.services import rule_book
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import NOT_FOUND_BODY, answered, problem, send, unknown
from webhooks.services import webhooks

CHANGED = "It is not as the tag in If-Match says: somebody has changed it. Read it again, then decide."
ELSE = '"0123456789abcdef0123456789abcdef"'
LIMITS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy"}

# what there is, and a change of it
THINGS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "domains": (make_domain, {"subdomains": True}),
    "mailboxes": (make_mailbox, {"name": "Other"}),
    "aliases": (make_alias, {"description": "Other"}),
    "rules": (
        lambda: rule_book.create_rule(
            action="block", criterion="sender", value="spam@example.net", mailbox=make_mailbox()
        ),
        {"description": "Other"},
    ),
    "webhooks": (lambda: webhooks.create_webhook(mailbox=make_mailbox())[0], {"description": "Other"}),
}


@pytest.fixture(params=THINGS)
def thing(request: pytest.FixtureRequest, db: None) -> tuple[str, dict[str, Any]]:
    """Its URL, and what to change."""
    make, change = THINGS[request.param]
    return f"/v1/{request.param}/{make().public_id}", change


def get(client: Client, url: str, **conditions: str) -> Any:
    return client.get(url, headers={name.replace("_", "-"): value for name, value in conditions.items()})


@pytest.mark.parametrize("is_list", [False, True])
def test_what_the_client_has_already_is_not_sent_again(thing: tuple[str, dict[str, Any]], is_list: bool) -> None:
    url, change = thing
    asked = url.rpartition("/")[0] if is_list else url
    client = make_client()
    first = get(client, asked)
    tag = first["ETag"]
    assert (first.status_code, first["Cache-Control"]) == (200, "private, no-cache")
    for condition in (tag, f"W/{tag}", f'{ELSE}, {tag} ,"x"', "*"):
        again = get(client, asked, if_none_match=condition)
        assert (again.status_code, again.content) == (304, b""), condition
        assert (again["ETag"], again["Cache-Control"]) == (tag, "private, no-cache")
        assert set(again.headers) >= LIMITS | {"X-Request-Id", "X-API-Key-Id", "X-API-Key-Expires"}
        assert "Content-Type" not in again
        head = client.head(asked, headers={"If-None-Match": condition})
        assert (head.status_code, head["ETag"]) == (304, tag)
    for condition in (ELSE, tag.strip('"'), "", '"', f"{tag} {tag}", "nonsense"):
        assert get(client, asked, if_none_match=condition).content == first.content, condition
    assert send(client, "patch", url, change).status_code == 200
    changed = get(client, asked, if_none_match=tag)
    assert (changed.status_code, changed["ETag"] == tag) == (200, False)


def test_a_tag_takes_no_query_more(
    thing: tuple[str, dict[str, Any]], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    url, _ = thing
    client = make_client()
    with_all = get(client, url)
    assert with_all.status_code == 200
    with CaptureQueriesContext(connection) as queries:
        get(client, url)
    with django_assert_num_queries(len(queries)):
        assert get(client, url, if_none_match=with_all["ETag"]).status_code == 304


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_a_change_is_refused_if_somebody_was_faster(thing: tuple[str, dict[str, Any]], method: str) -> None:
    url, change = thing
    client = make_client()
    tag = get(client, url)["ETag"]
    body = change if method == "patch" else None
    if method == "delete" and "mailboxes" in url:
        assert send(client, method, url, body, **{"If-Match": ELSE}).status_code == 412
    provision_change = {"active": False} if "webhooks" not in url else {"max_in_flight": 1}
    assert send(client, "patch", url, provision_change).status_code == 200
    before = get(client, url).content
    for condition in (tag, ELSE, f"W/{get(client, url)['ETag']}", '""'):
        answer = send(client, method, url, body, **{"If-Match": condition})
        assert answered(answer) == (412, problem(412, "precondition_failed", CHANGED)), condition
        assert set(answer.headers) >= LIMITS
    assert get(client, url).content == before
    now = get(client, url)["ETag"]
    assert send(client, method, url, body, **{"If-Match": f"{ELSE}, {now}"}).status_code == (
        200 if method == "patch" else 204
    )


@pytest.mark.parametrize("malformed", ["", "nonsense", '"open', "abc, def", "* , *", "w/" + ELSE, f"{ELSE} {ELSE}"])
@pytest.mark.django_db
def test_a_condition_that_nobody_understands_is_no_leave_to_change(malformed: str) -> None:
    alias, client = make_alias(), make_client()
    url = f"/v1/aliases/{alias.public_id}"
    for method, body in (("patch", {"description": "Other"}), ("delete", None)):
        answer = send(client, method, url, body, **{"If-Match": malformed})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_tag"), malformed
    alias.refresh_from_db()
    assert (alias.description, alias.deleted_at) == ("", None)


def test_any_and_none_are_conditions_too(thing: tuple[str, dict[str, Any]]) -> None:
    url, change = thing
    client = make_client()
    tag = get(client, url)["ETag"]
    assert send(client, "patch", url, change, **{"If-None-Match": "*"}).json()["code"] == "precondition_failed"
    assert send(client, "patch", url, change, **{"If-None-Match": tag}).status_code == 412
    assert send(client, "patch", url, change, **{"If-Match": "*"}).status_code == 200
    assert get(client, url, if_match=tag).status_code == 412
    assert get(client, url, if_match="*").status_code == 200


@pytest.mark.django_db
def test_a_put_is_conditional_as_well() -> None:
    client, alias = make_client(), make_alias()
    hook, _ = webhooks.create_webhook(alias=alias)
    for url in (f"/v1/aliases/{alias.public_id}", f"/v1/webhooks/{hook.public_id}"):
        read = get(client, url)
        body = read.json() | {"description": "Other"}
        assert send(client, "put", url, body, **{"If-Match": ELSE}).status_code == 412
        assert send(client, "put", url, body, **{"If-Match": read["ETag"]}).status_code == 200
        assert get(client, url).json()["description"] == "Other"


@pytest.mark.django_db
def test_mail_that_comes_is_news_but_no_change_of_settings() -> None:
    mailbox, client = make_mailbox(), make_client()
    url = f"/v1/mailboxes/{mailbox.public_id}"
    tag = get(client, url)["ETag"]
    make_message()
    assert get(client, url, if_none_match=tag).status_code == 200
    assert send(client, "patch", url, {"name": "Other"}, **{"If-Match": tag}).status_code == 200
    assert send(client, "patch", url, {"name": "Third"}, **{"If-Match": tag}).status_code == 412


@pytest.mark.django_db
def test_the_key_that_asks_is_the_same_whatever_the_time_is() -> None:
    client = make_client()
    first = get(client, "/v1/me")
    assert first["ETag"].startswith('W/"')
    assert get(client, "/v1/me", if_none_match=first["ETag"]).status_code == 304
    assert get(make_client(), "/v1/me", if_none_match=first["ETag"]).status_code == 200


@pytest.mark.django_db
def test_what_is_not_there_or_not_for_the_key_is_not_looked_at_for_conditions() -> None:
    mine, other = make_mailbox(), make_mailbox(address="secret@example.org")
    narrow = make_client(mailboxes=[mine])
    tag = get(make_client(), f"/v1/mailboxes/{other.public_id}")["ETag"]
    for public_id in (other.public_id, unknown(Mailbox)):
        url = f"/v1/mailboxes/{public_id}"
        for condition in (tag, "*", ELSE, "nonsense"):
            assert answered(get(narrow, url, if_none_match=condition)) == (404, NOT_FOUND_BODY)
            refused = send(narrow, "patch", url, {"name": "x"}, **{"If-Match": condition})
            assert answered(refused) == (404, NOT_FOUND_BODY)
        assert "ETag" not in get(narrow, url)


@pytest.mark.django_db
def test_mail_has_no_tag_that_is_not_of_its_octets() -> None:
    make_mailbox()
    make_message()
    answer = get(make_client(), "/v1/emails")
    assert (answer["Cache-Control"], "ETag" in answer) == ("no-store", False)


@pytest.mark.django_db
def test_octets_that_differ_have_tags_that_differ_and_change_the_same_thing() -> None:
    alias, client = make_alias(), make_client()
    url = f"/v1/aliases/{alias.public_id}"
    plain, indented = get(client, url), get(client, url, accept="application/json; indent=4")
    assert plain.json() == indented.json()
    assert plain["ETag"] != indented["ETag"]
    assert send(client, "patch", url, {"active": False}, **{"If-Match": indented["ETag"]}).status_code == 200


def test_a_tag_is_of_what_is_shown_and_of_nothing_else() -> None:
    shown = {"name": "Support", "used_bytes": 1}
    assert tag_of(shown) == tag_of(dict(shown)) != tag_of(shown | {"used_bytes": 2})
    settings, _, whole = tag_of(shown, {"used_bytes"}).strip('"').partition(".")
    after = tag_of(shown | {"used_bytes": 2}, {"used_bytes"}).strip('"').partition(".")
    assert (after[0], after[2] == whole) == (settings, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", THINGS)
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_of_several_who_have_seen_the_same_exactly_one_changes_it(kind: str, method: str) -> None:
    make, change = THINGS[kind]
    url = f"/v1/{kind}/{make().public_id}"
    _, plaintext = make_key()
    tag = get(client_of(plaintext), url)["ETag"]
    together = threading.Barrier(4)
    statuses: list[tuple[int, str | None]] = []

    def run(number: int) -> None:
        client = client_of(plaintext)
        name, value = next(iter(change.items()))
        body = {name: value if isinstance(value, bool) else f"{value} {number}"} if method == "patch" else None
        together.wait(timeout=20)
        try:
            answer = send(client, method, url, body, **{"If-Match": tag})
            statuses.append((answer.status_code, json.loads(answer.content or "{}").get("code")))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if (kind, method) == ("domains", "patch"):
        # all of them make the same of it: those after the first see that it is another by now
        assert sorted(status for status, _ in statuses) == [200, 412, 412, 412]
    elif method == "patch":
        assert sorted(statuses, key=str) == [(200, None), *[(412, "precondition_failed")] * 3]
    else:
        assert sorted(status for status, _ in statuses) == [204, 404, 404, 404]
