"""What a domain needs in its DNS and has there, asked of a real server on this machine."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any
from unittest.mock import patch

import pytest
from pytest_django import Settings

from emailgistics.common.access import Scope
from mailboxes.models import Domain
from mailboxes.services import dns_records, provision
from mailboxes.services.verification import record_of, verify_domain
from tests.apikeys.factories import make_client
from tests.factories import make_domain, make_mailbox
from tests.mailboxes.api_client import NOT_FOUND_BODY, RESTRICTED_BODY, answered, problem, send, shape, unknown
from tests.mailboxes.dns_server import SILENCE, DnsServer

pytestmark = pytest.mark.django_db

READ, WRITE = [Scope.DOMAINS_READ], [Scope.DOMAINS_WRITE]
MX_HOST = "mx.mail.example"


@pytest.fixture
def server(settings: Settings) -> Iterator[DnsServer]:
    with DnsServer() as running:
        settings.DNS_SERVERS = [running.address]
        settings.MX_HOSTNAME = MX_HOST
        yield running


def status_of(domain: Domain, **key: Any) -> dict[str, Any]:
    answer = make_client(scopes=READ, **key).get(f"/v1/domains/{domain.public_id}/status")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def record(domain: Domain, which: str) -> tuple[str, list[str], str | None, str | None]:
    dns_records.forget()
    found = status_of(domain)["records"][which]
    return found["state"], found["found"], found["required"], found["recommended"]


def test_a_domain_that_has_all_it_needs_is_ok_and_shows_that(server: DnsServer, settings: Settings) -> None:
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    domain = make_domain()
    word = record_of(domain).value
    server.set_zone({
        "example.com": [("MX", (5, "MX.mail.Example.")), ("MX", (20, "backup.example.net")), ("TXT", "v=spf1 mx -all")],
        "_emailgistics.example.com": [("TXT", word)],
    })  # fmt: skip
    assert status_of(domain) == {
        "domain_id": domain.public_id,
        "name": "example.com",
        "status": "ok",
        "verified_at": None,
        "checked_at": shape_of_time(domain),
        "records": {
            "mx": {
                "type": "MX",
                "name": "example.com",
                "required": f"10 {MX_HOST}",
                "recommended": None,
                "zone_line": f"example.com. IN MX 10 {MX_HOST}.",
                "found": [f"5 {MX_HOST}", "20 backup.example.net"],
                "state": "ok",
                "detail": "Mail to the domain comes here.",
            },
            "spf": {
                "type": "TXT",
                "name": "example.com",
                "required": None,
                "recommended": None,
                "zone_line": None,
                "found": ["v=spf1 mx -all"],
                "state": "ok",
                "detail": "It says who sends mail as this domain; this installation does not.",
            },
            "txt": {
                "type": "TXT",
                "name": "_emailgistics.example.com",
                "required": word,
                "recommended": None,
                "zone_line": f'_emailgistics.example.com. IN TXT "{word}"',
                "found": [word],
                "state": "ok",
                "detail": "It says that the domain is yours; once that is verified it may go.",
            },
        },
    }
    assert make_client(scopes=READ).get(f"/v1/domains/{domain.public_id}").json()["status"] == "ok"


def shape_of_time(domain: Domain) -> str:
    domain.refresh_from_db()
    assert domain.dns_checked_at is not None
    return domain.dns_checked_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("exchangers", "state", "shown"),
    [
        ([], "missing", []),
        ([(10, MX_HOST), (10, "other.example.net")], "ok", ["10 mx.mail.example", "10 other.example.net"]),
        ([(20, MX_HOST), (10, "filter.example.net")], "wrong", ["10 filter.example.net", "20 mx.mail.example"]),
        ([(10, "mx.mail.example.net")], "wrong", ["10 mx.mail.example.net"]),
        ([(0, ".")], "wrong", ["0 ."]),
    ],
)
def test_mail_comes_here_only_if_no_other_host_comes_first(
    exchangers: list[tuple[int, str]], state: str, shown: list[str], server: DnsServer
) -> None:
    domain = make_domain()
    server.set_zone({"example.com": [("MX", one) for one in exchangers]})
    assert record(domain, "mx") == (state, shown, f"10 {MX_HOST}", None)
    domain.refresh_from_db()
    assert domain.dns_status == state


def test_without_a_name_for_this_host_no_mx_is_asked_for(server: DnsServer, settings: Settings) -> None:
    settings.MX_HOSTNAME = ""
    domain = make_domain()
    server.set_zone({"example.com": [("MX", (10, "elsewhere.example.net"))]})
    assert record(domain, "mx") == ("unknown", ["10 elsewhere.example.net"], None, None)
    domain.refresh_from_db()
    assert domain.dns_status == "unknown"  # nothing is wrong, but nobody can say that mail comes here


@pytest.mark.parametrize(
    ("texts", "state", "recommended"),
    [
        ([], "missing", "v=spf1 -all"),
        (["v=spf1"], "ok", None),
        (["V=SPF1 include:mail.example.net ~all", "something else"], "ok", None),
        (["v=spf1 -all", "v=spf1 mx -all"], "wrong", None),
        (["v=spf10 -all"], "missing", "v=spf1 -all"),
    ],
)
def test_spf_is_looked_at_and_never_required(
    texts: list[str], state: str, recommended: str | None, server: DnsServer
) -> None:
    domain = make_domain()
    server.set_zone({"example.com": [("MX", (10, MX_HOST)), *(("TXT", text) for text in texts)]})
    found = [text for text in sorted(texts) if text.lower().split(" ")[0] == "v=spf1"]
    assert record(domain, "spf") == (state, found, None, recommended)
    domain.refresh_from_db()
    assert domain.dns_status == "ok"


def test_the_word_of_its_owner_is_required_only_where_verification_is(server: DnsServer, settings: Settings) -> None:
    domain = make_domain()
    word = record_of(domain).value
    server.set_zone({"_emailgistics.example.com": [("TXT", "emailgistics-verification=guessed")]})
    assert record(domain, "txt") == ("wrong", ["emailgistics-verification=guessed"], None, word)
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    assert record(domain, "txt")[2:] == (word, None)
    others = [("TXT", f"another {n}") for n in range(20)]
    server.set_zone({"_emailgistics.example.com": [*others, ("TXT", word)]})
    state, found, *_ = record(domain, "txt")
    assert (state, found[0], len(found)) == ("ok", word, 10)
    verify_domain(domain)
    server.set_zone({})
    assert record(domain, "txt") == ("ok", [], None, word)


def test_a_test_domain_needs_nothing(server: DnsServer, settings: Settings) -> None:
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    domain = provision.create_domain(name="trial.example", is_test=True)
    found = status_of(domain)
    assert found["status"] == "ok"
    assert [one["required"] for one in found["records"].values()] == [None, None, None]


@pytest.mark.parametrize("silent", [["MX"], ["TXT"], ["MX", "TXT"]])
def test_what_the_dns_does_not_answer_is_unknown_and_not_waited_for_long(
    silent: list[str], server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dns_records.WITHIN_S <= 5
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.5)
    domain = make_domain()
    others = [("MX", (10, MX_HOST)), ("TXT", "v=spf1 -all")]
    kept = [one for one in others if one[0] not in silent]
    server.set_zone({"example.com": [*kept, *((kind, SILENCE) for kind in silent)]})
    began = time.monotonic()
    records = status_of(domain)["records"]
    assert time.monotonic() - began < 2
    assert records["mx"]["state"] == ("unknown" if "MX" in silent else "ok")
    assert records["spf"]["state"] == ("unknown" if "TXT" in silent else "ok")
    assert records["txt"]["state"] == "missing"
    domain.refresh_from_db()
    assert domain.dns_status == ("unknown" if "MX" in silent else "ok")


def test_a_domain_that_was_ok_is_unknown_once_the_dns_does_not_answer(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.2)
    domain, client = make_domain(), make_client(scopes=READ)
    server.set_zone({"example.com": [("MX", (10, MX_HOST))]})
    assert status_of(domain)["status"] == "ok"
    server.answering = lambda *_: None
    dns_records.forget()
    assert status_of(domain)["status"] == "unknown"
    assert client.get(f"/v1/domains/{domain.public_id}").json()["status"] == "unknown"


def test_what_was_found_is_known_later_without_asking(server: DnsServer) -> None:
    domain = make_domain()
    assert dns_records.last_records_of(domain) is None
    texts = [("TXT", "something else"), ("TXT", "v=spf1 \0")]
    words = [*(("TXT", f"a{n} {'x' * 240}") for n in range(20)), ("TXT", record_of(domain).value)]
    server.set_zone({
        "example.com": [("MX", (20, "backup.example.net")), ("MX", (10, MX_HOST)), *texts],
        "_emailgistics.example.com": words,
    })  # fmt: skip
    looked = dns_records.records_of(domain)
    asked = len(server.asked)
    assert dns_records.last_records_of(Domain.objects.get()) == looked
    assert len(server.asked) == asked
    assert (looked.spf.found, looked.state) == (("v=spf1 \N{REPLACEMENT CHARACTER}",), "ok")


def looks_at_once(domains: list[Domain]) -> list[str]:
    """What becomes of a look at each of them at the same moment, each in a thread of its own."""

    def look(domain: Domain) -> str:
        try:
            return dns_records.records_of(domain).mx.state
        except dns_records.DnsBusyError as error:
            return error.code

    with (
        patch.object(dns_records, "_note"),  # threads of a test do not see its transaction
        ThreadPoolExecutor(len(domains)) as pool,
    ):
        return sorted(pool.map(look, domains))


def test_a_silent_dns_holds_only_so_many_threads_and_lets_go_of_them(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.5)
    server.answering = lambda *_: None
    domains = [make_domain(name=f"d{n}.example") for n in range(8)]
    began = time.monotonic()
    assert looks_at_once(domains) == ["dns_busy"] * 4 + ["unknown"] * 4
    assert time.monotonic() - began < 2
    server.answering = server.answer
    dns_records.forget()
    assert looks_at_once(domains[:4]) == ["missing"] * 4


def test_of_many_who_ask_for_one_domain_one_looks(server: DnsServer) -> None:
    slow = Event()

    def answer(octets: bytes, is_tcp: bool) -> bytes | None:
        slow.wait(0.1)
        return server.answer(octets, is_tcp)

    server.answering = answer
    assert looks_at_once([make_domain()] * 4) == ["missing"] * 4
    assert len(server.asked) == 3


def test_who_comes_while_too_many_look_is_told_to_try_again(server: DnsServer) -> None:
    domain = make_domain()
    with ExitStack() as held:
        for _ in range(dns_records.MAX_AT_ONCE):
            assert dns_records._free.acquire(blocking=False)
            held.callback(dns_records._free.release)
        answer = make_client(scopes=READ).get(f"/v1/domains/{domain.public_id}/status")
        detail = "The DNS of 4 domains is being looked at already. Try again in 5 seconds."
        assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (503, "dns_busy", detail)
        assert answer["Retry-After"] == "5"
        told = send(make_client(scopes=WRITE), "post", f"/v1/domains/{domain.public_id}/verify")
        assert (told.status_code, told.json()["code"]) == (503, "dns_busy")
    assert server.asked == []


def test_what_the_dns_was_found_to_have_is_nothing_that_a_key_sets() -> None:
    domain, client = make_domain(), make_client(scopes=WRITE)
    answer = send(client, "patch", f"/v1/domains/{domain.public_id}", {"status": "ok"})
    assert answer.status_code == 400
    assert [(one["pointer"], one["code"]) for one in answer.json()["errors"]] == [("/status", "read_only")]


def test_the_dns_is_asked_once_in_a_while_however_often_keys_ask(server: DnsServer) -> None:
    domain = make_domain()
    first, second = status_of(domain), status_of(domain)
    assert first == second
    assert len(server.asked) == 3
    assert send(make_client(scopes=WRITE), "post", f"/v1/domains/{domain.public_id}/verify").status_code == 409
    assert len(server.asked) == 3


def test_a_domain_is_verified_over_http(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailboxes.api.views.domains.VERIFIED_ANEW_AFTER_S", 0)
    domain, client = make_domain(), make_client(scopes=WRITE)
    url, asked = f"/v1/domains/{domain.public_id}/verify", record_of(domain)
    detail = f"The DNS does not have this record (yet): {asked}"
    assert answered(send(client, "post", url)) == (409, problem(409, "record_not_found", detail))
    server.set_zone({asked.name: [("TXT", asked.value)]})
    answer = send(client, "post", url)
    domain.refresh_from_db()
    assert domain.verified_at is not None
    verified_at = domain.verified_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert answered(answer) == (200, shape(domain, verified_at=verified_at, status=domain.dns_status))
    assert send(client, "post", url, {"force": True}).status_code == 400


def test_a_dns_that_is_away_is_a_503(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.2)
    server.answering = lambda *_: None
    domain = make_domain()
    answer = send(make_client(scopes=WRITE), "post", f"/v1/domains/{domain.public_id}/verify")
    assert (answer.status_code, answer.json()["code"]) == (503, "dns_unavailable")
    assert answer["Retry-After"] == "5"


def test_only_who_sees_the_domain_sees_what_is_in_its_dns(server: DnsServer) -> None:
    mine, other = make_mailbox(), make_mailbox(address="secret@example.org")
    narrow = make_client(mailboxes=[mine], scopes=WRITE)
    assert narrow.get(f"/v1/domains/{mine.domain.public_id}/status").status_code == 200
    asked = len(server.asked)
    for hidden in (other.domain.public_id, unknown(Domain)):
        assert answered(narrow.get(f"/v1/domains/{hidden}/status")) == (404, NOT_FOUND_BODY)
    for any_id in (mine.domain.public_id, other.domain.public_id, unknown(Domain)):
        assert answered(send(narrow, "post", f"/v1/domains/{any_id}/verify")) == (403, RESTRICTED_BODY)
    assert len(server.asked) == asked
