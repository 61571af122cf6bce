"""What the console says of a domain's DNS, asked of a real server on this machine."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from mailboxes.models import Domain
from mailboxes.services import dns_records, provision
from mailboxes.services.verification import record_of
from tests.factories import make_alias, make_domain, make_email
from tests.mailboxes.dns_server import DnsServer

FRAGMENT = {"X-Fragment": "1"}
MX_HOST = "mx.mail.example"


@pytest.fixture
def server(settings: Settings) -> Iterator[DnsServer]:
    dns_records.forget()
    with DnsServer() as running:
        settings.DNS_SERVERS = [running.address]
        settings.MX_HOSTNAME = MX_HOST
        yield running


def page_of(domain: Domain) -> str:
    return reverse("admin:mailboxes_domain_change", args=[domain.pk])


def look(client: Client, domain: Domain, **headers: str) -> Any:
    return client.post(reverse("admin:mailboxes_domain_verify", args=[domain.pk]), headers=headers)


def test_a_new_domain_shows_what_it_needs_and_asks_nobody(administrator: Client, server: DnsServer) -> None:
    domain = make_domain()
    text = administrator.get(page_of(domain)).content.decode()
    assert "Nobody has looked yet." in text
    for copied in ("example.com", "10", MX_HOST, "_emailgistics.example.com", record_of(domain).value):
        assert f'data-copies="{copied}"' in text
    assert "Found:" not in text
    assert server.asked == []


def test_looking_says_what_was_found_and_the_page_keeps_it(administrator: Client, server: DnsServer) -> None:
    domain = make_domain()
    server.set_zone({"example.com": [("MX", (5, "mail.elsewhere.example"))]})
    answer = look(administrator, domain)
    assert answer["Location"] == page_of(domain)
    asked = len(server.asked)
    text = administrator.get(page_of(domain)).content.decode()
    assert text.count("A record that it needs says something else") == 2  # in the message, too
    assert "Mail goes to mail.elsewhere.example first" in text
    assert "<code>5 mail.elsewhere.example</code>" in text
    assert "Looked at <time" in text
    assert len(server.asked) == asked
    listed = administrator.get(reverse("admin:mailboxes_domain_changelist")).content.decode()
    assert "wrong" in listed
    found = administrator.get(reverse("admin:mailboxes_domain_changelist"), {"dns_status__exact": "ok"})
    assert found.context["cl"].result_count == 0


def test_a_script_gets_the_part_that_has_changed(administrator: Client, server: DnsServer) -> None:
    domain = make_domain()
    server.set_zone({"example.com": [("MX", (10, MX_HOST))]})
    answer = look(administrator, domain, **FRAGMENT)
    assert (answer.status_code, answer.headers["X-Fragment"]) == (HTTPStatus.OK, "1")
    text = answer.content.decode()
    assert "All records that it needs are there." in text
    assert "<html" not in text
    domain.refresh_from_db()
    assert (domain.dns_status, domain.verified_at) == ("ok", None)
    assert not LogEntry.objects.exists()


def test_finding_its_word_verifies_it_and_is_on_record(
    administrator: Client, server: DnsServer, settings: Settings
) -> None:
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    domain = make_domain()
    record = record_of(domain)
    assert "not verified as yours yet" in administrator.get(page_of(domain)).content.decode()
    server.set_zone({"example.com": [("MX", (10, MX_HOST))], record.name: [("TXT", record.value)]})
    text = look(administrator, domain, **FRAGMENT).content.decode()
    assert "Verified as yours" in text
    domain.refresh_from_db()
    assert (domain.dns_status, domain.verified_at is not None) == ("ok", True)
    assert LogEntry.objects.get().get_change_message() == "verified: its word was found in its DNS"


def test_a_dns_that_does_not_answer_is_told_apart(
    administrator: Client, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.2)
    server.answering = lambda *_: None
    text = look(administrator, make_domain(), **FRAGMENT).content.decode()
    assert "Nobody can say whether its mail comes here" in text
    assert "The DNS does not answer." in text


def test_too_many_looks_and_too_many_at_once_are_told(
    administrator: Client, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = make_domain()
    with monkeypatch.context() as patched:
        patched.setattr(dns_records._free, "acquire", lambda blocking: False)
        answer = look(administrator, domain, **FRAGMENT)
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "is being looked at already. Try again in" in answer.content.decode()
    monkeypatch.setattr("mailboxes.admin.domains.seconds_to_wait", lambda *_, **__: 7)
    answer = look(administrator, domain, **FRAGMENT)
    assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert "You have asked often in this minute. Try again in 7 seconds." in answer.content.decode()
    assert server.asked == []


def test_only_by_post_and_only_of_a_domain_that_is_there(administrator: Client, server: DnsServer) -> None:
    domain = make_domain()
    url = reverse("admin:mailboxes_domain_verify", args=[domain.pk])
    assert administrator.get(url)["Location"] == page_of(domain)
    assert Client(enforce_csrf_checks=True).post(url).status_code == HTTPStatus.FORBIDDEN
    provision.delete_domain(domain)
    assert look(administrator, domain).status_code == HTTPStatus.NOT_FOUND
    assert "Verify now" not in administrator.get(page_of(domain)).content.decode()
    assert server.asked == []


@pytest.mark.parametrize("name", ["staff", "ordinary"])
def test_others_have_nothing_looked_at(name: str, client_for: Callable[[str], Client], server: DnsServer) -> None:
    assert look(client_for(name), make_domain()).status_code == HTTPStatus.FORBIDDEN
    assert server.asked == []


def test_what_strangers_put_into_their_dns_is_text(administrator: Client, server: DnsServer) -> None:
    domain = make_domain()
    server.set_zone({"_emailgistics.example.com": [("TXT", "<script>alert(1)</script>")]})
    text = look(administrator, domain, **FRAGMENT).content.decode()
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_counts_lead_to_the_lists(administrator: Client) -> None:
    alias = make_alias()
    make_email(to=alias.address)
    domain = alias.domain
    counts = administrator.get(page_of(domain)).context["counts"]
    assert [(label, count) for label, count, _ in counts] == [("Mailboxes", "2"), ("Aliases", "1"), ("Emails", "1")]
    for _, count, href in counts[:2]:
        assert administrator.get(href).context["cl"].result_count == int(count)
