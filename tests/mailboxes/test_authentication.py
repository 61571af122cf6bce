"""The three checks together, on the way of a mail, and how it is shown."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import dkim as dkimpy
import pytest
from django.core.management import call_command
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import mime
from mailboxes.authentication import Authentication, check, dkim, dmarc, message, spf
from mailboxes.authentication.dns import Patience, Resolver
from mailboxes.authentication.results import NoPassError
from mailboxes.models import Email, Mailbox, Message
from mailboxes.services import authenticate, process, reparse
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox, make_message, make_webhook
from tests.mailboxes.dns_server import SILENCE, DnsServer
from tests.mailboxes.signing import MAIL, pem, record, rsa_key, sign
from tests.webhooks.events import data_of
from webhooks.models import Event

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
ZONE: dict[str, list[tuple[str, Any]]] = {
    "example.net": [("TXT", "v=spf1 ip4:192.0.2.1 -all")],
    "mail.example.net": [("TXT", "v=spf1 a -all"), ("A", "192.0.2.1")],
    "sel._domainkey.example.net": [("TXT", record())],
    "_dmarc.example.net": [("TXT", "v=DMARC1; p=reject; pct=50")],
}


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer(ZONE) as running:
        yield running


@pytest.fixture
def resolver(server: DnsServer) -> Iterator[Resolver]:
    made = Resolver(lambda: [server.address])
    yield made
    made.close()


def checked(resolver: Resolver, octets: bytes = MAIL, **given: Any) -> Authentication:
    usual = {"client_ip": "192.0.2.1", "helo": "mail.example.net", "mail_from": "ada@example.net", "received_at": NOON}
    return check(octets, resolver=resolver, **(usual | given))


def words(said: Authentication) -> tuple[str, list[str], str]:
    return said.spf.result.value, [one.result.value for one in said.dkim], said.dmarc.result.value


def test_all_that_is_said_of_a_signed_mail(resolver: Resolver) -> None:
    stored = checked(resolver, sign()).stored()
    assert abs(datetime.fromisoformat(stored.pop("checked_at")) - datetime.now(UTC)) < timedelta(seconds=60)
    assert json.loads(json.dumps(stored)) == {
        "spf": {"result": "pass", "domain": "example.net", "scope": "mfrom", "reason": None},
        "dkim": [{"result": "pass", "domain": "example.net", "selector": "sel", "aligned": True, "reason": None}],
        "dmarc": {
            "result": "pass",
            "policy": "reject",
            "aligned_by": ["dkim", "spf"],
            "domain": "example.net",
            "pct": 50,
            "reason": None,
        },
    }


def test_forged_mail(resolver: Resolver) -> None:
    said = checked(resolver, client_ip="203.0.113.9")
    assert words(said) == ("fail", [], "fail")
    assert said.spf.reason == "the client may not send for the domain"
    assert said.dmarc.policy == "reject"


FORGER = "203.0.113.9"


@pytest.mark.parametrize("forms", ["relaxed/relaxed", "simple/simple"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_text_between_the_header_and_its_end_is_not_signed(resolver: Resolver, forms: str, line_end: bytes) -> None:
    """Who signed it would see a line of its header there; people are shown it as the beginning of the text."""
    signed = sign(c=forms)
    inserted = b"engine \r\nPay to another account now.\r\n\r\n"
    forged = signed.replace(b"engine \r\n\r\n", inserted).replace(b"\r\n", line_end)
    assert mime.parse(forged).text.startswith("Pay to another account now.")
    assert words(checked(resolver, signed, client_ip=FORGER)) == ("fail", ["pass"], "pass")
    said = checked(resolver, forged, client_ip=FORGER)
    assert words(said) == ("fail", ["fail"], "fail")
    assert said.dkim[0].reason == "the body is not the one that was signed"


@pytest.mark.parametrize("where", ["above", "below the signature"])
def test_a_subject_that_is_put_above_the_signed_one_is_not_vouched_for(resolver: Resolver, where: str) -> None:
    signed, subject = sign(), b"Subject: forged\r\n"
    forged = subject + signed if where == "above" else signed.replace(b"From:", subject + b"From:", 1)
    assert mime.parse(forged).subject == "forged"
    said = checked(resolver, forged, client_ip=FORGER)
    assert words(said) == ("fail", ["policy"], "fail")
    assert said.dkim[0].reason == "there are 2 subject fields, and it signs 1"


def test_a_null_sender_is_judged_by_its_helo(resolver: Resolver) -> None:
    said = checked(resolver, mail_from="")
    assert (said.spf.result, said.spf.domain, said.spf.scope) == ("pass", "mail.example.net", "helo")
    assert (said.dmarc.result, said.dmarc.aligned_by) == ("pass", ("spf",))
    assert checked(resolver, mail_from="", helo="[192.0.2.1]").spf.result == "none"
    assert checked(resolver, mail_from="", helo="").spf.result == "none"


@pytest.mark.parametrize("client_ip", [
    None, "127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.0.1", "100.64.0.1",
    "fd00::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "0.0.0.0", "::",
])  # fmt: skip
def test_a_client_of_our_own_says_nothing_of_spf_and_the_rest_holds(resolver: Resolver, client_ip: str | None) -> None:
    said = checked(resolver, sign(), client_ip=client_ip)
    assert words(said) == ("none", ["pass"], "pass")
    assert said.spf.domain is None
    assert said.dmarc.aligned_by == ("dkim",)


def test_ipv6_in_the_clothes_of_ipv4(resolver: Resolver) -> None:
    assert checked(resolver, client_ip="::ffff:192.0.2.1").spf.result == "pass"


def test_what_the_mail_says_of_itself_counts_for_nothing(resolver: Resolver) -> None:
    claimed = b"Authentication-Results: mx.example.com; spf=pass; dkim=pass; dmarc=pass\r\nReceived-SPF: pass\r\n"
    assert words(checked(resolver, claimed + MAIL, client_ip="203.0.113.9")) == ("fail", [], "fail")


def test_reserved_names_ask_nothing(server: DnsServer, resolver: Resolver) -> None:
    mail = sign(MAIL.replace(b"example.net", b"mail.test"), d="mail.test")
    said = checked(resolver, mail, mail_from="ada@mail.test")
    assert words(said) == ("none", ["permerror"], "none")
    assert server.asked == []


@pytest.mark.parametrize(("checker", "expected"), [
    (spf, ("temperror", ["pass"], "pass")), (dkim, ("pass", ["temperror"], "pass")),
    (dmarc, ("pass", ["pass"], "temperror")), (message, ("pass", [], "temperror")),
])  # fmt: skip
@pytest.mark.parametrize("fault", [RuntimeError, MemoryError, RecursionError])
def test_a_fault_of_ours_in_one_is_its_alone(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, checker: Any, expected: Any, fault: type[Exception]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise fault

    octets = sign()
    monkeypatch.setattr(checker, "read" if checker is message else "check", broken)
    assert words(checked(resolver, octets)) == expected


@pytest.mark.parametrize(("away", "expected"), [
    ("example.net", ("temperror", ["pass"], "pass")),
    ("sel._domainkey.example.net", ("pass", ["temperror"], "pass")),
    ("_dmarc.example.net", ("pass", ["pass"], "temperror")),
])  # fmt: skip
def test_a_name_that_gets_no_answer_is_the_fault_of_one(server: DnsServer, away: str, expected: Any) -> None:
    server.set_zone(ZONE | {away: [(SILENCE, None)]})
    resolver = Resolver(lambda: [server.address], patience=Patience(mail=2, question=0.6))
    assert words(checked(resolver, sign())) == expected
    resolver.close()


def test_a_dns_that_is_away_delays_one_mail_and_no_second(server: DnsServer) -> None:
    server.answering = lambda octets, is_tcp: None
    resolver = Resolver(lambda: [server.address])
    begun = time.monotonic()
    assert words(checked(resolver, sign())) == ("temperror", ["temperror"], "temperror")
    assert time.monotonic() - begun < 5
    begun = time.monotonic()
    for number in range(20):
        domain = f"{number}.example.net"
        said = checked(resolver, sign(MAIL.replace(b"example.net", domain.encode())), mail_from=f"ada@{domain}")
        assert words(said) == ("temperror", ["temperror"], "temperror")
    assert time.monotonic() - begun < 1
    resolver.close()


# --- hostile mail and records


HOSTILE = [
    b"", b"\r\n", b"\n", b"\0" * 1000, b"From: \xff\xfe@\xff\r\nDKIM-Signature: \xff\r\n\r\n",
    b"DKIM-Signature: " + b"v=1;" * 100_000 + b"\r\n" + MAIL,
    b"DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=sel; bh=A===; b=AAAA; h=from" + b":x" * 9000 + b"\r\n" + MAIL,
    b"DKIM-Signature:\r\n" * 10_000 + MAIL,
    b"DKIM-Signature: v=1;" + b"\r\n " * 20_000 + b"a=x\r\n" + MAIL,
    b"X: " + b"y" * (1 << 20) + b"\r\n" + MAIL,
    b"".join(b"X-%d: y\r\n" % number for number in range(200_000)) + MAIL,
    b"From: " + b"a@example.net, " * 50_000 + b"\r\n\r\n",
    b"From: " + b"(" * 100_000 + b"\r\n\r\n",
    b"From: " + b"=?utf-8?q?a?= " * 50_000 + b"<a@example.net>\r\n\r\n",
    b"From: a@" + b"x." * 50_000 + b"net\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("octets", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_mail_has_its_results_soon(resolver: Resolver, octets: bytes) -> None:
    begun = time.monotonic()
    said = checked(resolver, octets, mail_from="a@" + "x." * 150 + "net", helo="\xff" * 255)
    json.dumps(said.stored()).encode()
    assert len(said.dkim) <= 10
    assert time.monotonic() - begun < 2


def test_a_header_beyond_its_limit_vouches_for_nothing(resolver: Resolver) -> None:
    octets = sign(b"X: " + b"y" * (1 << 20) + b"\r\n" + MAIL, prefix=b"From: ada@example.net\r\n")
    said = checked(resolver, octets)
    assert (said.dkim[0].result, said.dmarc.result) == ("permerror", "permerror")


RECORDS = [
    "v=spf1 " + "a " * 5000, "v=spf1 " + "include:example.net " * 100, "v=spf1 redirect=example.net",
    "v=spf1 include:a.example.net -all", "v=spf1 a:." + "a" * 15_000, "v=spf1 exists:" + "%{s}" * 3000 + ".net",
    "v=spf1 exists:%{" + "l" * 5000 + "}.net", "v=spf1 ip4:" + "1" * 10_000, "v=spf1 " + "x" * 60_000,
    "v=spf1 a/" + "9" * 5000, "v=spf1 exists:%{d" + "1" * 5000 + "}.net", b"v=spf1 \xff\x00", "v=spf1 " + "/" * 16_000,
    "v=spf1 mx:many.example.net -all", "v=spf1 ptr ptr ptr ptr ptr ptr ptr -all",
    "v=spf1 exists:" + "%%" * 8000 + ".net",
]  # fmt: skip


@pytest.mark.parametrize("text", RECORDS, ids=range(len(RECORDS)))
def test_hostile_records_have_their_results_soon(server: DnsServer, resolver: Resolver, text: Any) -> None:
    server.set_zone(
        ZONE
        | {
            "example.net": [("TXT", text)],
            "a.example.net": [("TXT", "v=spf1 include:example.net -all")],
            "many.example.net": [("MX", (number, f"{number}.example.net")) for number in range(200)],
            "1.2.0.192.in-addr.arpa": [("PTR", f"{number}.example.net") for number in range(200)],
            "_dmarc.example.net": [("TXT", "v=DMARC1; p=reject;" + "rua=" + "a" * 5000)],
        }
    )
    begun = time.monotonic()
    said = checked(resolver, sign(), mail_from="a" * 60 + "@example.net")
    assert said.spf.result in ("permerror", "fail", "neutral")
    assert said.dkim[0].result == "pass"
    assert said.dmarc.result == "pass"
    assert time.monotonic() - begun < 2


TAGS = st.lists(
    st.sampled_from(["v=1", "a=rsa-sha256", "d=example.net", "s=sel", "h=from", "bh=", "b=", "l=1", "x", "="])
)


@given(octets=st.binary(max_size=300), tags=TAGS, header=st.text(max_size=50), body=st.text(max_size=50))
def test_no_octets_and_no_records_raise(octets: bytes, tags: list[str], header: str, body: str) -> None:
    resolver = Resolver(list)
    resolver._prober = None
    resolver._closed.set()  # nothing is looked for
    try:
        for mail in (
            octets,
            b"DKIM-Signature: " + "; ".join(tags).encode() + b"\r\nFrom: " + octets + b"\r\n\r\n",
            f"From: {header}\r\nDKIM-Signature: {header}\r\n\r\n{body}".encode(errors="replace"),
        ):
            said = checked(resolver, mail, mail_from=header, helo=body)
            json.dumps(said.stored())
    finally:
        resolver.close()
    for parse in (spf.parse, dmarc.parse, dkim.parse_tags):
        for text in (octets, b"v=spf1 " + octets, b"v=DMARC1;" + octets, f"v=spf1 exists:{header}".encode()):
            with suppress(NoPassError):
                parse(text)


# --- on the way of a mail


@pytest.fixture
def switched_on(settings: Any, server: DnsServer) -> Iterator[DnsServer]:
    settings.MAIL_AUTHENTICATION = True
    settings.DNS_SERVERS = [server.address]
    authenticate.resolver.cache_clear()
    yield server
    authenticate.resolver().close()
    authenticate.resolver.cache_clear()


def received(octets: bytes) -> Message:
    """From 192.0.2.1, with ada@example.net on its envelope, and opened."""
    if not Mailbox.objects.exists():
        make_mailbox()
    message = make_message(raw=octets)
    assert process.drain(linger=timedelta(0)) == 1
    message.refresh_from_db()
    return message


@pytest.mark.django_db(transaction=True)
def test_it_is_stored_with_the_message_and_outside_of_the_transaction(switched_on: DnsServer) -> None:
    message = received(sign())
    assert message.state == "processed"
    said = message.authentication
    assert (said["spf"]["result"], said["dkim"][0]["result"], said["dmarc"]["result"]) == ("pass", "pass", "pass")


@pytest.mark.django_db
def test_switched_off_nothing_is_asked_and_nothing_said(server: DnsServer, settings: Any) -> None:
    settings.DNS_SERVERS = [server.address]
    waiting = make_message(to=(make_mailbox().address,))
    assert Message.objects.filter(pk=waiting.pk, authentication__isnull=True).exists()
    assert process.drain(linger=timedelta(0)) == 1
    assert received(sign()).authentication is None
    assert Message.objects.filter(authentication__isnull=True).count() == 2
    assert server.asked == []


@pytest.mark.django_db(transaction=True)
def test_a_dns_that_is_away_stops_no_mail(switched_on: DnsServer) -> None:
    switched_on.answering = lambda octets, is_tcp: None
    message = received(sign())
    assert message.state == "processed"
    assert message.authentication["spf"]["result"] == "temperror"
    assert message.emails.get().subject == "Broken  engine"


@pytest.mark.django_db(transaction=True)
def test_opened_again_it_keeps_what_was_said(switched_on: DnsServer) -> None:
    message = received(sign())
    before = message.authentication
    switched_on.set_zone({})
    authenticate.resolver.cache_clear()
    switched_on.asked.clear()
    Message.objects.update(parse_version=0, parse_status="failed")
    Email.objects.update(subject="?")
    reparse._ask([message.pk], is_dry_run=False)
    reparse.drain(until=time.monotonic() + 5)
    message.refresh_from_db()
    assert message.emails.get().subject == "Broken  engine"
    assert message.authentication == before
    assert switched_on.asked == []


@pytest.mark.django_db
def test_the_api_shows_it(switched_on: DnsServer) -> None:
    message = received(sign())
    client = make_client()
    email = message.emails.get()
    shown = client.get(f"/v1/emails/{email.public_id}").json()["auth"]
    assert shown == message.authentication
    assert list(shown) == ["spf", "dkim", "dmarc", "checked_at"]
    assert "auth" not in client.get("/v1/emails").json()["data"][0]
    Message.objects.update(authentication=None)
    assert client.get(f"/v1/emails/{email.public_id}").json()["auth"] is None


@pytest.mark.django_db
def test_the_command_shows_it(switched_on: DnsServer) -> None:
    message = received(sign())
    out = StringIO()
    call_command("emails", "show", message.emails.get().public_id, "--json", stdout=out)
    assert json.loads(out.getvalue())["auth"]["dmarc"]["policy"] == "reject"


@pytest.mark.django_db
def test_the_console_shows_it(switched_on: DnsServer, admin_client: Client) -> None:
    email = received(sign(sign(), d="example.org")).emails.get()
    page = admin_client.get(f"/admin/mailboxes/email/{email.pk}/change/").content.decode()
    assert "SPF <strong>pass</strong> (example.net, scope mfrom)" in page
    assert "DKIM <strong>pass</strong> (example.net, selector sel, aligned with From)" in page
    assert "DKIM <strong>permerror</strong> (example.org, selector sel, its key is not published)" in page
    assert "DMARC <strong>pass</strong> (example.net, policy reject, aligned by dkim and spf)" in page
    Message.objects.update(authentication=None)
    assert "Not checked." in admin_client.get(f"/admin/mailboxes/email/{email.pk}/change/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_events_say_it_in_every_form(switched_on: DnsServer, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.0/8"]
    make_webhook(mailbox=make_mailbox())
    signature = dkimpy.sign(MAIL, b"sel", b"example.net", pem(rsa_key()))
    message = received(signature + MAIL)
    event = Event.objects.get(email__message=message)
    for form in ("full", "thin", "metadata", "inline"):
        said = data_of(event, form)["auth"]
        assert said == message.authentication
        assert list(said) == ["spf", "dkim", "dmarc", "checked_at"]
        assert list(said["dmarc"]) == ["result", "policy", "aligned_by", "domain", "pct", "reason"]
        assert said["dkim"][0]["result"] == "pass"
