"""SPF, by the suite of RFC 7208 (tests/vendor/spf) and by cases of our own, through a real resolver."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest
import yaml
from django.conf import settings

from mailboxes.authentication import spf
from mailboxes.authentication.dns import Patience, Resolver
from mailboxes.authentication.results import Spf
from tests.mailboxes.dns_server import SILENCE, DnsServer

SUITE = settings.BASE_DIR / "tests" / "vendor" / "spf" / "rfc7208-tests.yml"
IMPATIENT = Patience(question=0.8, lost=1000)
CASES_OF_THE_SUITE = 203

# where the suite allows what we do, and prefers something else; and where we differ: name -> our result, and why
DIFFERENCES: dict[str, tuple[str, str]] = {}


def zone_of(data: dict[str, list[Any]]) -> dict[str, list[tuple[str, Any]]]:
    """As the suite has it: SPF records stand for TXT as well, unless there is TXT of its own."""
    zone: dict[str, list[tuple[str, Any]]] = {}
    for name, entries in data.items():
        records: list[tuple[str, Any]] = []
        has_txt = any(isinstance(entry, dict) and "TXT" in entry for entry in entries)
        for entry in entries:
            if entry == SILENCE:
                records.append((SILENCE, None))
                continue
            ((kind, value),) = entry.items()
            if kind == "SPF":
                if not has_txt:
                    records.append(("TXT", value))
            elif value != "NONE":
                records.append((kind, value))
        zone[name] = records
    return zone


def cases() -> Iterator[Any]:
    with SUITE.open(encoding="utf-8") as file:
        for scenario in yaml.safe_load_all(file):
            zone = zone_of(scenario["zonedata"])
            for name, test in scenario["tests"].items():
                yield pytest.param(zone, test, id=name)


CASES = list(cases())


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        yield running


def checked(server: DnsServer, *, client: str, mail_from: str, helo: str, patience: Patience | None = None) -> Spf:
    resolver = Resolver(lambda: [server.address], patience=patience)
    try:
        return spf.check(client=ip_address(client), mail_from=mail_from, helo=helo, lookups=resolver.for_mail())
    finally:
        resolver.close()


@pytest.mark.parametrize(("zone", "test"), CASES)
def test_the_suite_of_rfc_7208(zone: Any, test: Any, server: DnsServer, request: pytest.FixtureRequest) -> None:
    server.set_zone(zone)
    said = checked(server, client=test["host"], mail_from=test["mailfrom"], helo=test["helo"], patience=IMPATIENT)
    right = test["result"] if isinstance(test["result"], list) else [test["result"]]
    name = request.node.callspec.id
    if name in DIFFERENCES:
        right = [DIFFERENCES[name][0]]
    assert said.result in right, said


def test_the_suite_is_whole() -> None:
    assert len(CASES) == CASES_OF_THE_SUITE


LETTERS = "slodiphvSLODIPHV"
LETTERS_OF_EXPLANATIONS = "crtCRT"


def result(server: DnsServer, record: str) -> str:
    server.set_zone({"example.net": [("TXT", record)]})
    said = checked(server, client="192.0.2.1", mail_from="ada@example.net", helo="mail.example.net")
    return said.result.value


@pytest.mark.parametrize("letter", LETTERS + LETTERS_OF_EXPLANATIONS)
@pytest.mark.parametrize("modifier", ["x=%{{{}}}", "note=at-%{{{}2r-}}-x"])
def test_modifiers_that_nobody_knows_have_all_letters(server: DnsServer, modifier: str, letter: str) -> None:
    """RFC 7208 section 6: they are ignored; section 12: each has a macro-string."""
    unknown = modifier.format(letter)
    assert result(server, f"v=spf1 {unknown} +all") == "pass"
    assert result(server, f"v=spf1 -all {unknown}") == "fail"


@pytest.mark.parametrize("letter", LETTERS_OF_EXPLANATIONS)
@pytest.mark.parametrize("term", ["exists:", "a:", "redirect=", "exp="])
def test_no_name_has_the_letters_of_explanations(server: DnsServer, term: str, letter: str) -> None:
    """Section 7.2: they are for the text that is at the name in exp=, which is not fetched."""
    assert result(server, f"v=spf1 -all {term}%{{{letter}}}.example.org") == "permerror"


@pytest.mark.parametrize("letter", LETTERS)
def test_an_explanation_changes_nothing(server: DnsServer, letter: str) -> None:
    assert result(server, f"v=spf1 -all exp=%{{{letter}}}.example.org") == "fail"
    assert result(server, f"v=spf1 -all exp=why.%{{{letter}}}") == "fail"
    assert server.asked[-1][0] == "example.net"


@pytest.mark.parametrize(
    "modifier", ["exp=%{a}.example.org", "x=%{a}", "x=%{c", "x=%{c0}", "x=%", "exp=%(c).example.org"]
)
def test_a_modifier_that_is_no_macro_string_is_an_error(server: DnsServer, modifier: str) -> None:
    assert result(server, f"v=spf1 +all {modifier}") == "permerror"
