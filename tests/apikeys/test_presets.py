"""How a key is told to people."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from apikeys import presets
from emailgistics.common.access import Scope

NOW = datetime(2030, 6, 1, 10, 30, tzinfo=UTC)


def test_the_grid_and_what_is_beside_it_are_the_registry_each_scope_once() -> None:
    in_grid = [scope for row in presets.grid() for scope in (row.read, row.write) if scope]
    assert sorted([*in_grid, *presets.apart()]) == sorted(Scope)
    assert presets.apart() == [Scope.EMAILS_CONTENT, Scope.EMAILS_SUBMIT]


def test_full_is_all_and_read_only_changes_nothing() -> None:
    by_name = {preset.name: preset.scopes for preset in presets.PRESETS}
    assert list(by_name) == ["Full", "Read-only", "Zapier", "Make", "n8n"]
    assert by_name["Full"] == frozenset(Scope)
    assert by_name["Read-only"] == {
        scope for scope in Scope if scope.endswith(":read") or scope is Scope.EMAILS_CONTENT
    }
    for name in ("Zapier", "Make", "n8n"):
        assert Scope.WEBHOOKS_WRITE in by_name[name]
        assert not {Scope.DOMAINS_WRITE, Scope.MAILBOXES_WRITE, Scope.EMAILS_WRITE} & by_name[name]


def test_every_scope_is_told_in_the_sentence() -> None:
    silent = [scope for scope in Scope if not presets.deeds([scope])]
    assert not silent
    everything_but = {presets.deeds(set(Scope) - {scope, Scope(scope.replace(":read", ":write"))})
                      for scope in Scope if not scope.startswith("statistics")}  # fmt: skip
    assert "do everything that the API offers today" not in everything_but


@pytest.mark.parametrize(("scopes", "told"), [
    (["emails:read"], "read the email log"),
    (["domains:read", "aliases:read", "emails:read"], "read domains, aliases and the email log"),
    (["aliases:write"], "see, create, change and delete aliases"),
    (["domains:read", "webhooks:write", "emails:content"],
     "read domains; see, create, change and delete webhooks; read what emails say"),
    (["emails:write"], "read the email log; delete and replay emails"),
    (["emails:submit"], "hand in mail"),
    (list(Scope.values), "do everything that the API offers today"),
    (["gone:read", "statistics:read"], "read usage statistics"),
])  # fmt: skip
def test_what_a_key_will_do_is_one_sentence(scopes: list[str], told: str) -> None:
    assert presets.deeds(scopes) == told


def test_the_sentence_says_what_of_what_and_until_when() -> None:
    assert presets.sentence(["emails:read"], mailboxes=2, expires_at=NOW + timedelta(days=89.6), now=NOW) == (
        "This key will read the email log, for 2 mailboxes, until 30 Aug 2030, 00:54 UTC (in 89 days)."
    )
    everywhere = presets.sentence(["emails:read"], mailboxes=None, expires_at=NOW + timedelta(days=1), now=NOW)
    assert "for all mailboxes, also future ones, until" in everywhere


def test_the_sentence_does_not_promise_whole_domains_to_a_list_of_mailboxes() -> None:
    ends = NOW + timedelta(days=1)
    told = {mailboxes: presets.sentence(["domains:write"], mailboxes=mailboxes, expires_at=ends, now=NOW)
            for mailboxes in (3, None)}  # fmt: skip
    assert told[3].endswith("(in 1 day). What concerns a whole domain is refused to it.")
    assert told[None].endswith("(in 1 day).")


def test_an_instant_is_told_in_the_time_zone_of_the_installation(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    assert presets.instant(NOW) == "1 Jun 2030, 12:30 Europe/Berlin"


@pytest.mark.parametrize(("distance", "told"), [
    (timedelta(days=89, hours=23), "in 89 days"), (timedelta(days=1), "in 1 day"), (timedelta(hours=23), "in 23 hours"),
    (timedelta(minutes=1), "in 1 minute"), (timedelta(seconds=5), "in less than a minute"),
    (timedelta(0), "a moment ago"), (timedelta(seconds=-5), "a moment ago"), (timedelta(days=-3.5), "3 days ago"),
])  # fmt: skip
def test_how_far_away_it_is(distance: timedelta, told: str) -> None:
    assert presets.from_now(NOW + distance, NOW) == told


@pytest.mark.parametrize(("longest", "offered", "preselected"), [
    (366, [7, 30, 90, 180, 365], 90), (60, [7, 30], 30), (7, [7], 7), (3, [3], 3),
])  # fmt: skip
def test_no_lifetime_is_offered_that_is_too_long(
    longest: int, offered: list[int], preselected: int, settings: Settings
) -> None:
    settings.APIKEY_MAX_DAYS = longest
    assert presets.expiry_days() == offered
    assert presets.preselected_days() == preselected
