"""GET /v1/statistics: what it answers, what it refuses, and what it takes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apikeys import usage
from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from mailboxes.services import counted
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import RAW, make_alias, make_email, make_mailbox
from tests.worlds.standing import clock_stopped

pytestmark = pytest.mark.django_db

URL = "/v1/statistics"
ZEROS = dict.fromkeys(
    ("received", "bytes", "processed", "parked", "quarantined", "delivered", "failed", "held", "retries"), 0
) | {"latency_p50_ms": None, "latency_p95_ms": None, "api_calls": 0}
ONE = ZEROS | {"received": 1, "bytes": len(RAW), "processed": 1}


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


def test_without_parameters_it_is_the_last_thirty_days_by_day_with_their_totals(
    mailbox: Mailbox, settings: Any
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    client = make_client(scopes=[Scope.STATISTICS_READ])
    with clock_stopped(datetime.now(UTC) - timedelta(days=1)) as clock:
        make_email()
        answer = client.get(URL)
        today = clock.now
    assert (answer.status_code, answer["Cache-Control"]) == (200, "private, no-cache")
    told = answer.json()
    assert (told["interval"], told["time_zone"], told["totals"]) == ("day", "Europe/Berlin", ONE)
    assert (told["from"], told["to"]) == (told["data"][0]["start"], told["data"][-1]["end"])
    assert len(told["data"]) == 30
    assert [row for row in told["data"] if row["received"]] == [told["data"][-1]]
    assert told["data"][0] == ZEROS | {name: told["data"][0][name] for name in ("start", "end")}
    last = told["data"][-1]
    assert datetime.fromisoformat(last["start"]) <= today < datetime.fromisoformat(last["end"])
    assert all(row["start"].endswith(":00.000Z") for row in told["data"])


def test_from_to_interval_and_time_zone_say_which_rows_there_are(mailbox: Mailbox) -> None:
    client = make_client(mailboxes=[mailbox])
    query = {"from": "2026-03-29", "to": "2026-03-30T22:10Z", "interval": "day", "time_zone": "Europe/Berlin"}
    told = client.get(URL, query_params=query).json()
    assert [(row["start"], row["end"]) for row in told["data"]] == [
        ("2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"),
        ("2026-03-29T22:00:00.000Z", "2026-03-30T22:00:00.000Z"),
        ("2026-03-30T22:00:00.000Z", "2026-03-30T22:15:00.000Z"),
    ]
    assert {name: told[name] for name in ("from", "to", "interval", "time_zone")} == {
        "from": "2026-03-28T23:00:00.000Z",
        "to": "2026-03-30T22:15:00.000Z",
        "interval": "day",
        "time_zone": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    "query, pointer, says",
    [
        ({"interval": "year"}, "/interval", "hour, day, week, month"),
        ({"interval": ""}, "/interval", "leave it out"),
        ({"interval": ["day", "hour"]}, "/interval", "give it once"),
        ({"from": ["2026-01-01", "2026-01-02"]}, "/from", "give it once"),
        ({"interval": "hour", "from": "2020-01-01"}, "/interval", "or by day"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone", "Europe/Berlin"),
        ({"time_zone": ""}, "/time_zone", "leave it out"),
        ({"time_zone": "../etc"}, "/time_zone", "Europe/Berlin"),
        ({"time_zone": "UTC\0"}, "/time_zone", "NUL character"),
        ({"from": "yesterday"}, "/from", "2030-01-31"),
        ({"from": ""}, "/from", "leave it out"),
        ({"from": "2026-02-30"}, "/from", "2030-01-31"),
        ({"from": "2026-02-28T10:00"}, "/from", "offset"),
        ({"from": "2026-02-28T10:00:00 01:00"}, "/from", "2030-01-31"),
        ({"to": "0001-01-01"}, "/to", "from 1970 to 2200"),
        ({"to": "9999-12-31T23:59:59-12:00"}, "/to", "from 1970 to 2200"),
        ({"to": "9" * 5000}, "/to", "it may have 500"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "/from", "before to"),
        ({"from": "2026-01-01", "to": "2026-01-01"}, "/from", "before to"),
        ({"from": "2199-01-01"}, "/from", "the end of today"),
    ],
)
def test_what_is_wrong_is_named_with_what_would_do(query: dict[str, str], pointer: str, says: str) -> None:
    answer = make_client().get(URL, query_params=query)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["code"] == "validation_error"
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert says in problem["errors"][0]["detail"]


@pytest.mark.parametrize("name", ["mailbox_id", "alias_id", "domain_id"])
def test_filters_are_by_mailbox_alias_and_domain(mailbox: Mailbox, name: str) -> None:
    alias = make_alias(mailbox=mailbox)
    elsewhere = make_mailbox(address="box@example.org")
    make_email(to=alias.address)
    make_email(to=elsewhere.address)
    things: Any = {"mailbox_id": mailbox, "alias_id": alias, "domain_id": mailbox.domain}
    for client in (make_client(), make_client(mailboxes=[mailbox])):
        assert client.get(URL, query_params={name: things[name].public_id}).json()["totals"] == ONE
        both = {"mailbox_id": mailbox.public_id, name: things[name].public_id}
        assert client.get(URL, query_params=both).json()["totals"] == ONE
    others: Any = {"mailbox_id": elsewhere, "domain_id": elsewhere.domain, "alias_id": alias}
    none = {"mailbox_id": elsewhere.public_id, name: others[name].public_id}
    expected = ONE if name != "alias_id" else ZEROS
    assert make_client().get(URL, query_params=none).json()["totals"] == expected


def test_what_may_not_be_seen_is_a_404_before_anything_else_is_looked_at(mailbox: Mailbox) -> None:
    sales = make_mailbox(address="sales@example.com")
    answers = {
        make_client(mailboxes=[mailbox]).get(URL, query_params={"mailbox_id": one, "interval": "year"}).content
        for one in (sales.public_id, "mbx_00000000000000000000000000", "x", "")
    }
    assert len(answers) == 1
    assert b'"not_found"' in answers.pop()


def test_a_key_without_the_scope_is_refused_as_such() -> None:
    answer = make_client(scopes=[Scope.EMAILS_READ]).get(URL)
    assert (answer.status_code, answer.json()["required_scopes"]) == (403, ["statistics:read"])


def test_the_calls_of_the_key_count_by_the_quarter_of_an_hour_in_which_they_were_made(mailbox: Mailbox) -> None:
    _, plaintext = make_key(mailboxes=[mailbox])
    client = client_of(plaintext)
    usage.flush()
    with clock_stopped(datetime.now(UTC) - timedelta(hours=1)):
        for _ in range(3):
            client.get("/v1/me")
    client.get("/v1/me")
    make_client().get("/v1/me")
    assert usage.flush()
    told = client.get(URL, query_params={"interval": "hour", "mailbox_id": mailbox.public_id}).json()
    counted.fold()
    assert told["totals"]["api_calls"] == 4
    assert sorted(row["api_calls"] for row in told["data"] if row["api_calls"]) == [1, 3]
    assert client.get(URL).json()["totals"] == told["totals"]


def queries_of(client: Client, **query: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(URL, query_params=query).status_code == 200
    return len(queries)


def test_it_takes_as_few_queries_for_a_year_as_for_a_day_and_for_many_mailboxes(mailbox: Mailbox) -> None:
    many = [mailbox, *(make_mailbox(address=f"box{n}@example.com") for n in range(20))]
    one, all_of_them, everything = make_client(mailboxes=[mailbox]), make_client(mailboxes=many), make_client()
    make_email()
    day, year = {"from": "2026-01-01", "to": "2026-01-02"}, {"from": "2025-01-01", "to": "2026-01-01"}
    taken = [queries_of(client, **query) for client in (one, all_of_them) for query in (day, year)]
    assert len(set(taken)) == 1
    assert queries_of(everything, **day) == queries_of(everything, **year) == taken[0] - 1
