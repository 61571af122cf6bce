"""The short form of the campaign: see docs/reliability.md for the long one."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import campaign, campaign_on_two_hosts, environment, postgres_server
from tests.campaign_ledger import Accepted, compare, unequal
from tests.campaign_receiver import Arrival

# only what is tried again after 5 s: what is busy waits a minute, and what hangs for its deadline
MOODS = {"500": 0.05, "resets": 0.05}


ARRIVAL = Arrival(webhook="wh_1", event="evt_1", sha256="a", is_verified=True, is_answered=True, subject="Once", at=0.0)
ROW = {
    "delivery": "dlv_1",
    "message": "msg_1",
    "webhook": "wh_1",
    "event": "evt_1",
    "state": "delivered",
    "reason": "",
    "attempts": 1,
    "numbers": [1],
}


@pytest.mark.long
@pytest.mark.on_both
@pytest.mark.timeout(600)
def test_thirty_seconds_of_kills_and_faults_lose_nothing(tmp_path: Path) -> None:
    report = campaign.run(
        kills=30,
        rate=15,
        folder=tmp_path,
        on_postgres=environment.ON_POSTGRES,
        outage_every=20,
        moods=MOODS,
        settle_within_s=240,
    )
    assert report.is_kept, json.dumps(
        vars(report) | {"broken": vars(report.broken)}, indent=2
    )  # not in time: others run beside it
    assert report.kills.total() >= 30
    assert len(report.kills) >= 5
    assert report.kills["dispatcher before the answer"] + report.kills["dispatcher after the answer"] >= 1
    assert report.faults.total() >= 3
    assert report.accepted > 50
    assert report.delivered > report.accepted  # some go to two or three
    if environment.ON_POSTGRES:
        assert sum(map(len, report.back_after_s.values())) == 1
    else:
        assert report.neighbour_received > 5


@pytest.mark.long
@pytest.mark.on_postgres
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    postgres_server.binaries() is None and os.environ.get("REQUIRE_SERVICES") != "1",
    reason="PostgreSQL's programs are not installed",
)
def test_two_of_everything_on_two_hosts_lose_nothing_when_some_are_killed(tmp_path: Path) -> None:
    report = campaign_on_two_hosts.run(
        minutes=0.4, rate=10, folder=tmp_path, undisturbed_for_s=2, turn_lasts_s=2, moods=MOODS
    )
    assert report.is_kept, json.dumps(vars(report) | {"broken": vars(report.broken)}, indent=2)
    assert report.turns.total() > 3
    assert report.answers_of_the_api["200"] > 5
    assert report.delivered > report.accepted > 50


@pytest.mark.parametrize(
    "arrivals, rows, broken",
    [
        ([ARRIVAL], [ROW], set()),
        ([ARRIVAL, ARRIVAL], [ROW], set()),
        ([], [ROW], {"missing"}),
        ([replace(ARRIVAL, is_answered=False)], [ROW], {"missing"}),
        ([ARRIVAL, replace(ARRIVAL, is_verified=False)], [ROW], {"not_verified"}),
        ([ARRIVAL, replace(ARRIVAL, sha256="b")], [ROW], {"duplicates_with_other_octets"}),
        ([ARRIVAL, replace(ARRIVAL, event="evt_2")], [ROW], {"duplicates_with_another_id"}),
        ([ARRIVAL], [ROW, ROW | {"event": "evt_2"}], {"not_one_delivery_for_each_webhook"}),
        ([ARRIVAL], [], {"missing", "not_one_delivery_for_each_webhook"}),
        ([ARRIVAL], [ROW | {"state": "failed"}], {"not_delivered"}),
        ([ARRIVAL], [ROW | {"attempts": 3, "numbers": [1, 3]}], {"attempt_numbers_with_holes"}),
    ],
)
def test_the_ledgers_show_each_kind_of_broken_promise(
    arrivals: list[Arrival], rows: list[dict[str, Any]], broken: set[str]
) -> None:
    accepted = [Accepted(message="msg_1", subject="Once", to=("help@example.com",), at=0.0)]
    found = compare(accepted, arrivals, rows, {"help@example.com": {"wh_1"}})
    assert {name for name, cases in vars(found.broken).items() if cases} == broken


@pytest.mark.parametrize(
    "counts, messages, found",
    [
        ({"mail_accepted": 7, "mail_stored": 4, "mail_resent": 2, "mail_discarded": 1}, 4, 0),
        ({}, 0, 0),
        ({"mail_accepted": 7, "mail_stored": 4, "mail_resent": 2}, 4, 1),
        ({"mail_accepted": 4, "mail_stored": 4}, 3, 1),
        ({"mail_accepted": 5, "mail_stored": 4}, 5, 2),
    ],
)
def test_counters_that_do_not_add_up_are_told(counts: dict[str, int], messages: int, found: int) -> None:
    assert len(unequal(counts, messages)) == found
