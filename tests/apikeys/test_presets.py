"""How a key is told to people."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import Settings

from apikeys import presets, words
from emailgistics.common.access import Scope

NOW = datetime(2030, 6, 1, 10, 30, tzinfo=UTC)


def test_the_grid_and_what_is_beside_it_are_the_registry_each_scope_once() -> None:
    in_grid = [scope for row in presets.grid() for scope in (row.read, row.write) if scope]
    assert sorted([*in_grid, *presets.apart()]) == sorted(Scope)
    assert presets.apart() == [Scope.EMAILS_CONTENT, Scope.EMAILS_SUBMIT]


def test_full_is_all_and_read_only_changes_nothing() -> None:
    by_name = {preset.name: preset.scopes for preset in presets.PRESETS}
    assert list(by_name) == ["Full", "Read-only", "Zapier", "Make", "n8n", "Development", "Production", "CI/CD"]
    assert by_name["Full"] == by_name["Production"] == frozenset(Scope)
    assert by_name["Read-only"] == {
        scope for scope in Scope if scope.endswith(":read") or scope is Scope.EMAILS_CONTENT
    }
    for name in ("Zapier", "Make", "n8n", "Development", "CI/CD"):
        assert Scope.WEBHOOKS_WRITE in by_name[name]
        assert not {Scope.DOMAINS_WRITE, Scope.MAILBOXES_WRITE} & by_name[name]


def test_presets_fill_in_more_than_scopes_and_a_key_is_called_after_one_that_does_not() -> None:
    lifetimes = {slug: presets.lifetime_of(preset) for slug, preset in presets.BY_SLUG.items()}
    assert {slug: days for slug, days in lifetimes.items() if days} == {"development": 30, "ci-cd": 7}
    assert [slug for slug, preset in presets.BY_SLUG.items() if preset.needs_networks] == ["production"]
    assert [slug for slug, preset in presets.BY_SLUG.items() if preset.for_tests] == ["development"]
    assert presets.preset_of(Scope.values) == "Full"
    assert presets.preset_of(presets.BY_SLUG["make"].scopes) == "Zapier / Make"  # the same scopes
    assert presets.preset_of(presets.BY_SLUG["ci-cd"].scopes - {Scope.EMAILS_SUBMIT}) == ""


@pytest.mark.parametrize(("domain", "expected"), [
    ("example.com", True), ("mail.example.org", True), ("acme.test", True), ("box.localhost", True),
    ("staging.acme.com", True), ("mail.dev.acme.com", True), ("acme.com", False), ("acme.dev", False),
    ("myexample.com", False), ("contest.org", False), ("test", True),
])  # fmt: skip
def test_a_domain_is_for_tests_by_its_name(domain: str, expected: bool) -> None:
    assert presets.is_for_tests(domain) is expected


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
        "This key will read the email log, for 2 mailboxes, until 2030-08-30 00:54 UTC (in 89 days). "
        "It cannot read what emails say (bodies, attachments) or change anything."
    )
    everywhere = presets.sentence(["emails:read"], mailboxes=None, expires_at=NOW + timedelta(days=1), now=NOW)
    assert "for all mailboxes, also future ones, until" in everywhere


def test_the_sentence_does_not_promise_whole_domains_to_a_list_of_mailboxes() -> None:
    ends = NOW + timedelta(days=1)
    told = {mailboxes: presets.sentence(["domains:write"], mailboxes=mailboxes, expires_at=ends, now=NOW)
            for mailboxes in (3, None)}  # fmt: skip
    assert told[3].endswith("(in 1 day). It cannot do what concerns a whole domain.")
    assert told[None].endswith("(in 1 day).")


@pytest.mark.parametrize(("scopes", "has_list", "told"), [
    (["emails:read"], True, "cannot read what emails say (bodies, attachments) or change anything"),
    (["emails:read", "webhooks:write"], True,
     "cannot read what emails say (bodies, attachments) or have webhooks that carry it"),
    (["webhooks:write"], False, "cannot have webhooks that carry what emails say"),
    (["emails:content", "webhooks:write"], True, ""),
    (["emails:submit"], True, ""),
    (["domains:read"], True, "cannot change anything"),
    (list(Scope.values), True, "cannot do what concerns a whole domain"),
    (list(Scope.values), False, ""),
])  # fmt: skip
def test_it_is_told_what_a_key_cannot_do_where_that_may_be_expected(
    scopes: list[str],
    has_list: bool,
    told: str,
) -> None:
    assert presets.cannot(scopes, has_list=has_list) == told


def test_an_instant_is_told_in_the_time_zone_of_the_installation(settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    assert words.instant(NOW) == "2030-06-01 12:30 Europe/Berlin"


@pytest.mark.parametrize(("distance", "told"), [
    (timedelta(days=89, hours=23), "in 89 days"), (timedelta(days=1), "in 1 day"), (timedelta(hours=23), "in 23 hours"),
    (timedelta(minutes=1), "in 1 minute"), (timedelta(seconds=5), "in less than a minute"),
    (timedelta(0), "a moment ago"), (timedelta(seconds=-5), "a moment ago"), (timedelta(days=-3.5), "3 days ago"),
])  # fmt: skip
def test_how_far_away_it_is(distance: timedelta, told: str) -> None:
    assert words.from_now(NOW + distance, NOW) == told


@pytest.mark.parametrize(("longest", "offered", "preselected"), [
    (366, [7, 30, 90, 180, 365], 90), (60, [7, 30], 30), (7, [7], 7), (3, [3], 3),
])  # fmt: skip
def test_no_lifetime_is_offered_that_is_too_long(
    longest: int, offered: list[int], preselected: int, settings: Settings
) -> None:
    settings.APIKEY_MAX_DAYS = longest
    assert presets.expiry_days() == offered
    assert presets.preselected_days() == preselected
