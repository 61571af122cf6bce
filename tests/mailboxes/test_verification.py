"""A domain's record in the DNS, asked of a real server on this machine."""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from django.core.management import CommandError, call_command

from mailboxes.models import Domain
from mailboxes.services import dns_records, provision
from mailboxes.services.verification import DnsUnavailableError, RecordNotFoundError, record_of, verify_domain
from tests.factories import make_domain

pytestmark = pytest.mark.django_db
Texts = Mapping[str, Sequence[str]]


@contextmanager
def dns_server(texts: Texts, *, rcode: int = dns.rcode.NOERROR) -> Iterator[tuple[str, int]]:
    """Answers with these TXT records by name; NXDOMAIN for all others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        stopping = threading.Event()
        thread = threading.Thread(target=_serve, args=(sock, texts, rcode, stopping))
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            stopping.set()
            thread.join()


def _serve(sock: socket.socket, texts: Texts, rcode: int, stopping: threading.Event) -> None:
    sock.settimeout(0.05)
    while not stopping.is_set():
        try:
            octets, peer = sock.recvfrom(4096)
        except TimeoutError:
            continue
        question = dns.message.from_wire(octets)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name
        found = texts.get(name.to_text(omit_final_dot=True).lower())
        if found is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *found))
        if rcode != dns.rcode.NOERROR:
            answer.set_rcode(dns.rcode.from_text(dns.rcode.to_text(dns.rcode.Rcode(rcode))))
        sock.sendto(answer.to_wire(), peer)


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue()


def test_the_record_is_of_this_installation_and_of_this_domain(settings: Any) -> None:
    domain, other = make_domain(), make_domain(name="bücher.example")
    record = record_of(domain)
    assert record.name == "_emailgistics.example.com"
    assert record_of(other).name == "_emailgistics.xn--bcher-kva.example"
    assert record.value.startswith("emailgistics-verification=")
    assert len(record.value) == len("emailgistics-verification=") + 32
    settings.SECRET_KEY = "of another installation" * 3
    assert len({record.value, record_of(other).value, record_of(domain).value}) == 3


@pytest.mark.parametrize("form", ['"{}"', '"{start}" "{end}"'])
def test_a_domain_whose_record_is_there_is_verified_once_and_for_all(form: str, settings: Any) -> None:
    domain = make_domain()
    record = record_of(domain)
    text = form.format(record.value, start=record.value[:10], end=record.value[10:])
    with dns_server({record.name: ['"v=spf1 -all"', text]}) as server:
        settings.DNS_SERVERS = [server]
        verify_domain(domain)
    assert domain.verified_at is not None
    assert Domain.objects.get().verified_at == domain.verified_at


@pytest.mark.parametrize("texts", [None, [], ['"emailgistics-verification=guessed"']])
def test_a_domain_whose_record_is_not_there_is_not_verified(texts: list[str] | None, settings: Any) -> None:
    domain = make_domain()
    record = record_of(domain)
    with dns_server({} if texts is None else {record.name: texts}) as server:
        settings.DNS_SERVERS = [server]
        with pytest.raises(RecordNotFoundError) as caught:
            verify_domain(domain)
    assert str(record) in caught.value.message
    assert ("guessed" in caught.value.message) == bool(texts)
    assert Domain.objects.get().verified_at is None


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_a_fault_of_the_dns_says_nothing_of_the_domain(rcode: int, settings: Any) -> None:
    domain = make_domain()
    with dns_server({}, rcode=rcode) as server:
        settings.DNS_SERVERS = [server]
        with pytest.raises(DnsUnavailableError):
            verify_domain(domain)


def test_a_dns_that_is_silent_is_not_waited_for_long(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dns_records.WITHIN_S <= 10
    monkeypatch.setattr(dns_records, "WITHIN_S", 0.3)
    domain = make_domain()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        settings.DNS_SERVERS = [silent.getsockname()]
        with pytest.raises(DnsUnavailableError):
            verify_domain(domain)


def test_by_command(settings: Any) -> None:
    domain = make_domain()
    record = record_of(domain)
    assert str(record) in run("domains", "show", "example.com")
    with dns_server({}) as server:
        settings.DNS_SERVERS = [server]
        with pytest.raises(CommandError, match="does not have this record") as caught:
            run("domains", "verify", "example.com")
    assert caught.value.returncode == 1
    with dns_server({record.name: [f'"{record.value}"']}) as server:
        settings.DNS_SERVERS = [server]
        said = run("domains", "verify", "example.com")
    assert "verified_at" in said
    assert record.value not in run("domains", "show", "example.com")
    provision.create_domain(name="trial.example", is_test=True)
    assert "IN TXT" not in run("domains", "show", "trial.example")
