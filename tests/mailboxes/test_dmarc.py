"""DMARC: alignment, discovery and policies as RFC 7489 has them, its appendix among them."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailboxes.authentication import dmarc, message
from mailboxes.authentication.dns import Resolver
from mailboxes.authentication.names import organisation
from mailboxes.authentication.results import Dkim, Dmarc, Result, Spf
from tests.mailboxes.dns_server import DnsServer

PASS, FAIL, NONE, TEMPERROR = Result.PASS, Result.FAIL, Result.NONE, Result.TEMPERROR
REJECT = "v=DMARC1; p=reject"
BOTH = ("dkim", "spf")


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        yield running


def checked(
    server: DnsServer, sender: str | bytes, *, spf: Spf | None = None, dkim: tuple[Dkim, ...] = (), **records: Any
) -> tuple[Dmarc, tuple[Dkim, ...]]:
    """records: domain, with _ for its dots -> texts at _dmarc under it. sender: a From value, or all of a header."""
    server.set_zone({
        f"_dmarc.{name.replace('_', '.')}": [("TXT", text) for text in ([texts] if isinstance(texts, str) else texts)]
        for name, texts in records.items()
    })  # fmt: skip
    header = sender if isinstance(sender, bytes) else f"From: {sender}\r\n".encode()
    resolver = Resolver(lambda: [server.address])
    try:
        return dmarc.check(
            mail=message.read(header + b"\r\nx\r\n"), spf=spf or Spf(NONE), dkim=dkim, lookups=resolver.for_mail()
        )
    finally:
        resolver.close()


def spf(domain: str, result: Result = PASS) -> Spf:
    return Spf(result, domain, "mfrom")


def dkim(domain: str, result: Result = PASS) -> Dkim:
    return Dkim(result, domain, "sel")


# From domain, what vouches, the record of example.com -> result, aligned_by
ALIGNMENT = [
    # RFC 7489 appendix B.1.1
    ("example.com", spf("example.com"), (), REJECT, PASS, ("spf",)),
    ("example.com", spf("child.example.com"), (), REJECT, PASS, ("spf",)),
    ("example.com", spf("example.net"), (), REJECT, FAIL, ()),
    # appendix B.1.2
    ("example.com", None, (dkim("example.com"),), REJECT, PASS, ("dkim",)),
    ("child.example.com", None, (dkim("example.com"),), REJECT, PASS, ("dkim",)),
    ("example.com", None, (dkim("sample.net"),), REJECT, FAIL, ()),
    # section 3.1: strict
    ("example.com", spf("child.example.com"), (), f"{REJECT}; aspf=s", FAIL, ()),
    ("example.com", spf("example.com"), (), f"{REJECT}; aspf=s", PASS, ("spf",)),
    ("child.example.com", None, (dkim("example.com"),), f"{REJECT}; adkim=s", FAIL, ()),
    ("child.example.com", None, (dkim("child.example.com"),), f"{REJECT}; adkim=s", PASS, ("dkim",)),
    ("example.com", spf("child.example.com"), (), f"{REJECT}; adkim=s; aspf=r", PASS, ("spf",)),
    # one that passes is enough; both are named
    ("example.com", spf("example.com", FAIL), (dkim("example.org"), dkim("example.com")), REJECT, PASS, ("dkim",)),
    ("example.com", spf("example.com"), (dkim("example.com", FAIL), dkim("example.com")), REJECT, PASS, BOTH),
    ("example.com", spf("example.com", FAIL), (dkim("example.com", FAIL),), REJECT, FAIL, ()),
    ("example.com", spf("example.com", Result.SOFTFAIL), (dkim("example.com", Result.POLICY),), REJECT, FAIL, ()),
    # what might have been aligned could not be asked for
    ("example.com", spf("example.com", TEMPERROR), (), REJECT, TEMPERROR, ()),
    ("example.com", spf("example.com", TEMPERROR), (dkim("example.com"),), REJECT, PASS, ("dkim",)),
    ("example.com", spf("example.org", TEMPERROR), (dkim("example.com", FAIL),), REJECT, FAIL, ()),
    # a name that only ends alike
    ("example.com", spf("badexample.com"), (dkim("com"),), REJECT, FAIL, ()),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "said", "signatures", "record", "result", "by"), ALIGNMENT)
def test_alignment(
    server: DnsServer, domain: str, said: Spf, signatures: Any, record: str, result: Result, by: tuple[str, ...]
) -> None:
    found, _ = checked(server, f"Ada <ada@{domain}>", spf=said, dkim=signatures, example_com=record)
    assert (found.result, found.aligned_by, found.domain) == (result, by, domain)
    assert found.policy == "reject"
    assert (found.reason is None) == (result == PASS)


DISCOVERY = [
    ("example.com", {"example_com": "v=DMARC1; p=none; sp=reject"}, FAIL, "none"),
    ("a.example.com", {"example_com": "v=DMARC1; p=none; sp=reject"}, FAIL, "reject"),
    ("a.b.c.example.com", {"example_com": "v=DMARC1; p=quarantine"}, FAIL, "quarantine"),
    ("a.example.com", {"a_example_com": "v=DMARC1; p=none; sp=reject", "example_com": REJECT}, FAIL, "none"),
    ("a.b.example.com", {"b_example_com": REJECT}, NONE, None),  # only the domain and its organisation are asked
    ("example.co.uk", {"co_uk": REJECT}, NONE, None),
    ("a.example.co.uk", {"example_co_uk": REJECT}, FAIL, "reject"),
    ("example.com", {}, NONE, None),
    ("example.com", {"example_com": ["unrelated", REJECT]}, FAIL, "reject"),
    ("example.com", {"example_com": [REJECT, "v=DMARC1; p=none"]}, NONE, None),
    ("example.com", {"example_com": "p=reject; v=DMARC1"}, NONE, None),
    ("example.com", {"example_com": "v=dmarc1; p=reject"}, NONE, None),
    ("example.com", {"example_com": "v=DMARC10; p=reject"}, NONE, None),
    ("example.com", {"example_com": " v=DMARC1; p=reject"}, NONE, None),
    ("example.com", {"example_com": "v = DMARC1 ;p = Reject ; junk; x=y; =;"}, FAIL, "reject"),
    ("a.example.com", {"a_example_com": "v=spf1 -all", "example_com": REJECT}, FAIL, "reject"),
    ("EXAMPLE.com", {"example_com": REJECT}, FAIL, "reject"),
    ("münchen.example.com", {"xn--mnchen-3ya_example_com": REJECT}, FAIL, "reject"),
    ("mail.test", {"mail_test": REJECT}, NONE, None),
    # section 6.6.3, step 6
    ("example.com", {"example_com": "v=DMARC1; p=maybe; rua=mailto:d@example.com"}, FAIL, "none"),
    ("example.com", {"example_com": "v=DMARC1; rua=mailto:d@example.com"}, FAIL, "none"),
    ("example.com", {"example_com": "v=DMARC1; p=reject; sp=maybe; rua=mailto:d@example.com"}, FAIL, "none"),
    ("example.com", {"example_com": "v=DMARC1; p=maybe"}, Result.PERMERROR, None),
    ("example.com", {"example_com": "v=DMARC1"}, Result.PERMERROR, None),
    ("example.com", {"example_com": "v=DMARC1; p=maybe; rua=d@example.com"}, Result.PERMERROR, None),
    ("example.com", {"example_com": "v=DMARC1; p=reject;" + "x" * 20_000}, Result.PERMERROR, None),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "records", "result", "policy"), DISCOVERY)
def test_discovery(server: DnsServer, domain: str, records: Any, result: Result, policy: str | None) -> None:
    found, _ = checked(server, f"ada@{domain}", **records)
    assert (found.result, found.policy) == (result, policy)


@pytest.mark.parametrize(("given", "pct"), [
    ("", 100), ("; pct=0", 0), ("; pct=25", 25), ("; pct=101", 100), ("; pct=-1", 100), ("; pct=x", 100),
])  # fmt: skip
def test_pct_is_reported_and_not_applied(server: DnsServer, given: str, pct: int) -> None:
    found, _ = checked(server, "ada@example.com", example_com=REJECT + given)
    assert (found.result, found.policy, found.pct) == (FAIL, "reject", pct)


@pytest.mark.parametrize(("header", "result", "domain"), [
    (b"Subject: x\r\n", NONE, None),
    (b"From: \r\n", NONE, None),
    (b"From: undisclosed:;\r\n", NONE, None),
    (b"From: Ada\r\n", NONE, None),
    (b"From: ada@localhost\r\n", NONE, None),
    (b"From: ada@[192.0.2.1]\r\n", NONE, None),
    (b"From: a@example.com\r\nFrom: a@example.com\r\n", Result.PERMERROR, None),
    (b"From: a@example.com\r\nfrom : a@example.net\r\n", Result.PERMERROR, None),
    (b"From: a@example.com, b@EXAMPLE.com\r\n", FAIL, "example.com"),
    (b'From: "a@example.net" <b@example.com>\r\n', FAIL, "example.com"),
    (b"From: =?utf-8?q?a=40example=2Enet?= <b@example.com>\r\n", FAIL, "example.com"),
    (b"From: (a@example.net) b@example.com\r\n", FAIL, "example.com"),
    (b"From:\r\n Ada\r\n <b@example.com>\r\n", FAIL, "example.com"),
    (b"From: " + b", ".join(b"a@%d.example.com" % number for number in range(5)) + b"\r\n", Result.PERMERROR, None),
])  # fmt: skip
def test_who_it_is_from(server: DnsServer, header: bytes, result: Result, domain: str | None) -> None:
    found, _ = checked(server, header, example_com=REJECT, example_net=REJECT)
    assert (found.result, found.domain) == (result, domain)


def test_with_several_domains_in_from_the_strictest_that_fails_counts(server: DnsServer) -> None:
    """Section 6.6.1."""
    records = {"example_com": "v=DMARC1; p=none", "example_net": REJECT}
    everybody = "a@example.com, b@example.net, c@example.org"
    found, signatures = checked(server, everybody, dkim=(dkim("example.com"),), **records)
    assert (found.result, found.policy, found.domain) == (FAIL, "reject", "example.net")
    assert not signatures[0].aligned
    found, _ = checked(server, everybody, dkim=(dkim("example.com"), dkim("example.net")), **records)
    assert (found.result, found.domain) == (NONE, "example.org")


def test_each_signature_says_whether_it_is_aligned(server: DnsServer) -> None:
    signatures = (dkim("example.com", FAIL), dkim("example.org"), dkim("a.example.com"), Dkim(Result.PERMERROR))
    _, said = checked(server, "ada@example.com", dkim=signatures)
    assert [one.aligned for one in said] == [True, False, True, False]
    _, said = checked(server, "ada@example.com", dkim=signatures, example_com=f"{REJECT}; adkim=s")
    assert [one.aligned for one in said] == [True, False, False, False]


def test_a_dns_that_does_not_answer_is_a_temporary_error() -> None:
    mail = message.read(b"From: ada@example.com\r\n\r\n")
    resolver = Resolver(list)
    found, _ = dmarc.check(mail=mail, spf=spf("example.com"), dkim=(), lookups=resolver.for_mail())
    resolver.close()
    assert (found.result, found.domain) == (TEMPERROR, "example.com")


@pytest.mark.parametrize(("domain", "expected"), [
    ("example.com", "example.com"), ("a.b.example.com", "example.com"), ("a.example.co.uk", "example.co.uk"),
    ("co.uk", "co.uk"), ("com", "com"), ("a.b.example.test", "example.test"), ("a.github.io", "a.github.io"),
    ("a.www.ck", "www.ck"), ("a.b.c.ck", "b.c.ck"), ("a.example.xn--p1ai", "example.xn--p1ai"),
])  # fmt: skip
def test_organisational_domains(domain: str, expected: str) -> None:
    assert organisation(domain) == expected
