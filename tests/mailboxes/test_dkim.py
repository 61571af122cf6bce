"""DKIM: what dkimpy signs, its own test mail (tests/vendor/dkimpy), the example of RFC 8463, and what is wrong."""

import itertools
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dkim as dkimpy
import pytest
from django.conf import settings
from dkim.canonicalization import Relaxed, Simple
from hypothesis import example, given
from hypothesis import strategies as st

from mailboxes.authentication import body, dkim, message
from mailboxes.authentication.dns import Resolver
from mailboxes.authentication.results import Dkim
from mailboxes.mime.budget import MAX_FIELDS, MAX_HEADER_OCTETS, Budget
from mailboxes.mime.fields import read_block
from mailboxes.mime.structure import scan
from tests.mailboxes.dns_server import DnsServer
from tests.mailboxes.hostile import HOSTILE
from tests.mailboxes.signing import MAIL, ed25519_key, pem, record, rsa_key, sign

VENDOR = settings.BASE_DIR / "tests" / "vendor" / "dkimpy"
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
KEY = "sel._domainkey.example.net"


def vendored(name: str) -> bytes:
    return (VENDOR / name).read_bytes()


@pytest.fixture(scope="module")
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        yield running


@pytest.fixture
def published(server: DnsServer) -> DnsServer:
    server.set_zone({KEY: [("TXT", record())]})
    server.asked.clear()
    return server


def checked(server: DnsServer, octets: bytes, *, at: datetime = NOON) -> list[Dkim]:
    resolver = Resolver(lambda: [server.address])
    try:
        return dkim.check(mail=message.read(octets), received_at=at, lookups=resolver.for_mail())
    finally:
        resolver.close()


def results(server: DnsServer, octets: bytes, *, at: datetime = NOON) -> list[str]:
    return [one.result.value for one in checked(server, octets, at=at)]


FORMS = list(itertools.product((b"simple", b"relaxed"), repeat=2))


@pytest.mark.parametrize("forms", FORMS)
@pytest.mark.parametrize("name", ["rfc6376.msg", "test.message", "rfc6376.w1258.msg", "test2.message"])
def test_what_dkimpy_signs_passes_and_altered_it_fails(published: DnsServer, name: str, forms: Any) -> None:
    mail = vendored(name).replace(b"\n", b"\r\n")
    signature = dkimpy.sign(mail, b"sel", b"example.net", pem(rsa_key()), canonicalize=forms)
    (said,) = checked(published, signature + mail)[:1]
    assert said == Dkim(said.result, "example.net", "sel")
    assert said.result == "pass"
    assert results(published, signature + mail + b"foo\r\n")[:1] == ["fail"]
    assert results(published, signature + mail.replace(b"From: ", b"From: Eve ", 1))[:1] == ["fail"]


@pytest.mark.parametrize("forms", FORMS)
def test_mail_out_of_a_pipe_has_bare_line_feeds(published: DnsServer, forms: Any) -> None:
    mail = vendored("test.message")
    signature = dkimpy.sign(mail, b"sel", b"example.net", pem(rsa_key()), canonicalize=forms, linesep=b"\n")
    assert b"\r" not in signature + mail
    assert results(published, signature + mail) == ["pass"]


def test_the_example_of_rfc_8463_passes_both_ways(server: DnsServer) -> None:
    server.set_zone({
        "test._domainkey.football.example.com": [("TXT", vendored("test.txt"))],
        "brisbane._domainkey.football.example.com": [
            ("TXT", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
        ],
    })  # fmt: skip
    said = checked(server, vendored("rfc6376.signed.msg"))
    assert [(one.result.value, one.domain) for one in said] == [("pass", "football.example.com")] * 2
    assert {one.selector for one in said} == {"brisbane", "test"}
    assert results(server, vendored("rfc6376.signed.rsa.msg")) == ["pass"]
    assert results(server, vendored("rfc6376.signed.no_t.msg")) == ["fail"]  # as in dkimpy: it was edited


@pytest.mark.parametrize(("name", "domain", "selector", "key", "result"), [
    ("test.message.baddomain", "legitimate.com(.attacker.com", "test", "test.txt", "permerror"),
    ("ed25519test2.msg", "test.ex", "sed", "eximtest.dns", "pass"),
])  # fmt: skip
def test_mail_of_dkimpy(server: DnsServer, name: str, domain: str, selector: str, key: str, result: str) -> None:
    server.set_zone({f"{selector}._domainkey.{domain}": [("TXT", vendored(key))]})
    assert results(server, vendored(name)) == [result]


@pytest.mark.parametrize(("key", "result"), [
    ("test.txt", "pass"), ("test2.txt", "pass"), ("badversion.txt", "permerror"), ("badk.txt", "permerror"),
])  # fmt: skip
def test_keys_of_dkimpy(server: DnsServer, key: str, result: str) -> None:
    server.set_zone({KEY: [("TXT", vendored(key))]})
    mail = vendored("test.message").replace(b"\n", b"\r\n")
    signature = dkimpy.sign(mail, b"sel", b"example.net", vendored("test.private"))
    assert results(server, signature + mail) == [result]


blanks = st.text(alphabet=" \t\r\nab", max_size=60).map(str.encode)


@given(octets=blanks | st.binary(max_size=60), size=st.integers(1, 7))
def test_bodies_are_canonical_as_in_dkimpy_wherever_they_are_cut(octets: bytes, size: int) -> None:
    usual, body.PIECE_OCTETS = body.PIECE_OCTETS, size
    try:
        simple, relaxed = (b"".join(body.canonical(octets, 0, is_relaxed=form)) for form in (False, True))
    finally:
        body.PIECE_OCTETS = usual
    assert simple == Simple.canonicalize_body(octets)
    # a last line without its CRLF ends there, too: dkimpy takes blanks off only before a CRLF
    assert relaxed == Relaxed.canonicalize_body(re.sub(rb"[ \t]+\Z", b"", octets))


@pytest.mark.parametrize("key", [rsa_key(), ed25519_key()], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("forms", ["simple", "relaxed", "simple/simple", "relaxed/simple", "simple/relaxed", None])
def test_both_kinds_of_keys_and_all_forms(server: DnsServer, key: Any, forms: str | None) -> None:
    server.set_zone({KEY: [("TXT", record(key))]})
    octets = sign(key=key, c=forms)
    assert results(server, octets) == ["pass"]
    assert results(server, octets.replace(b"help@", b"hell@")) == ["fail"]
    assert results(server, octets.replace(b"turn.", b"burn.")) == ["fail"]


def permerror(**tags: str | None) -> Any:
    return pytest.param(tags, "permerror", id=",".join(f"{name}={value}" for name, value in tags.items()))


@pytest.mark.parametrize(("tags", "result"), [
    pytest.param({"x": "1896091201"}, "pass", id="expires later"),
    pytest.param({"t": "1896091100", "x": "1896091199"}, "permerror", id="expired"),
    pytest.param({"t": "99999999999"}, "pass", id="of tomorrow"),
    pytest.param({"i": "@news.example.net"}, "pass", id="sub-domain in i="),
    pytest.param({"i": "=?x?@example.net"}, "pass", id="odd local part in i="),
    pytest.param({"q": "dns/txt:other"}, "pass", id="several q="),
    pytest.param({"z": "From:x"}, "pass", id="unknown tag"),
    pytest.param({"h": "From : To:Subject:Subject:X-None"}, "pass", id="fields that are not there"),
    pytest.param({"d": "EXAMPLE.net"}, "pass", id="case of d="),
    pytest.param({"a": "rsa-sha1"}, "policy", id="SHA-1"),
    permerror(v=None), permerror(v="2"), permerror(a=None), permerror(a="rsa-md5"), permerror(d=None),
    permerror(d="net"), permerror(d="exa mple.net"), permerror(d="-x.net"), permerror(s=None), permerror(s=""),
    permerror(s="a" * 64), permerror(h=None), permerror(h="to:subject"), permerror(h=""), permerror(bh="*"),
    permerror(c="loose/simple"), permerror(c="simple/loose"), permerror(i="example.net"), permerror(i="@example.org"),
    permerror(i="@badexample.net"), permerror(q="http"), permerror(l="-1"), permerror(l="x"), permerror(l="9" * 77),
    permerror(l="100000"), permerror(x="soon"), permerror(t="5", x="5"),
])  # fmt: skip
def test_tags(published: DnsServer, tags: dict[str, str | None], result: str) -> None:
    (said,) = checked(published, sign(**tags))
    assert said.result == result, said.reason
    assert (said.reason is None) == (result == "pass")


def test_part_of_the_body_is_not_the_mail(published: DnsServer) -> None:
    whole = len(b"".join(body.canonical(MAIL, message.read(MAIL).body, is_relaxed=True)))
    assert results(published, sign(l=str(whole))) == ["pass"]
    assert results(published, sign(l=str(whole)) + b"\r\nBuy now.\r\n") == ["policy"]
    assert results(published, sign(l="0")) == ["policy"]
    assert results(published, sign(l=str(whole)).replace(b"turn", b"burn")) == ["fail"]
    assert results(published, sign(l=str(whole + 1))) == ["permerror"]


@pytest.mark.parametrize(("records", "result"), [
    pytest.param([record(rsa_key(1024))], "pass", id="1024 bits"),
    pytest.param([record(rsa_key(1024), v=None)], "pass", id="no version"),
    pytest.param([record(rsa_key(1024), k=None, n="note", t="y", g="*")], "pass", id="other tags"),
    pytest.param([record(rsa_key(1024), h="sha1:sha256", s="other:email")], "pass", id="lists"),
    pytest.param(["junk", record(rsa_key(1024))], "pass", id="junk beside it"),
    pytest.param([], "permerror", id="none"),
    pytest.param(["v=DKIM1; p="], "permerror", id="revoked"),
    pytest.param(["v=DKIM1"], "permerror", id="no key"),
    pytest.param(["v=DKIM2; p=AAAA"], "permerror", id="another version"),
    pytest.param(["p=AAAA; v=DKIM1"], "permerror", id="version not first"),
    pytest.param(["p=AAAA"], "permerror", id="junk"),
    pytest.param(["p=%%%"], "permerror", id="no base64"),
    pytest.param([b"\xff\x00" * 100], "permerror", id="octets"),
    pytest.param(["p=" + "A" * 60_000], "permerror", id="60 kB"),
    pytest.param([record(ed25519_key())], "permerror", id="another kind"),
    pytest.param([record(rsa_key(1024), h="sha1")], "permerror", id="for another hash"),
    pytest.param([record(rsa_key(1024), s="tlsrpt")], "permerror", id="for another service"),
    pytest.param([record(rsa_key())], "fail", id="another key"),
])  # fmt: skip
def test_keys(server: DnsServer, records: list[Any], result: str) -> None:
    server.set_zone({KEY: [("TXT", text) for text in records]})
    assert results(server, sign(key=rsa_key(1024))) == [result]


def test_a_key_of_too_few_or_too_many_bits_is_not_acceptable(server: DnsServer) -> None:
    for bits in (512, 768, 1023, 8193, 16_384):
        number = (1 << (bits - 1)) | 1
        server.set_zone({KEY: [("TXT", "p=" + spki(number))]})
        begun = time.monotonic()
        (said,) = checked(server, sign())
        assert (said.result, said.reason) == ("policy", f"its key has {bits} bits")
        assert time.monotonic() - begun < 1


def test_a_key_may_be_closed_to_sub_domains(server: DnsServer) -> None:
    server.set_zone({KEY: [("TXT", record(t="y:s"))]})
    assert results(server, sign()) == ["pass"]
    assert results(server, sign(i="@news.example.net")) == ["permerror"]


def test_fields_with_one_name_are_signed_from_the_bottom(published: DnsServer) -> None:
    mail = b"X-List: two\r\nX-List: one\r\n" + MAIL
    octets = sign(mail, h="from:x-list")
    assert results(published, octets) == ["pass"]
    assert results(published, octets.replace(b"two", b"too")) == ["pass"]
    assert results(published, octets.replace(b"X-List: one", b"X-List: won")) == ["fail"]
    # signed once more than it is there: none can be added
    closed = sign(MAIL, h="from:from:subject")
    assert results(published, closed) == ["pass"]
    assert results(published, b"From: eve@example.org\r\n" + closed) == ["fail"]


# RFC 5322 section 3.6 and RFC 2045 section 3
SINGLE = [
    "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID",
]  # fmt: skip


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("blanks", ["", " \t"])
def test_nobody_adds_a_field_that_stands_once(published: DnsServer, name: str, blanks: str) -> None:
    """RFC 6376 section 8.15."""
    value = "text/plain" if name == "Content-Type" else "<one@example.net>"
    mail = b"From: ada@example.net\r\n" + f"{name}: {value}\r\n\r\nx\r\n".encode()
    added = f"{name.upper()}{blanks}: <two@example.org>\r\n".encode()
    signed = sign(mail, h=f"from:{name}")
    assert results(published, signed) == ["pass"]
    (said,) = checked(published, added + signed)
    assert (said.result, said.reason) == ("policy", f"there are 2 {name.lower()} fields, and it signs 1")
    above, below = signed.split(b"\r\nFrom:")
    assert results(published, above + b"\r\n" + added + b"From:" + below) == ["policy"]
    # what is lower than the signed one is what is verified
    assert results(published, signed.replace(b"\r\n\r\n", b"\r\n" + added + b"\r\n", 1)) == ["fail"]


def test_a_field_that_stands_once_may_stand_as_often_as_it_is_signed(published: DnsServer) -> None:
    twice = b"To: two@example.com\r\n" + MAIL
    assert results(published, sign(twice, h="from:to:to:subject")) == ["pass"]
    assert results(published, sign(twice, h="from:to:to:to:subject")) == ["pass"]
    assert results(published, sign(twice, h="from:to:subject")) == ["policy"]
    assert results(published, sign(twice, h="from:subject")) == ["policy"]
    # one that is not signed at all is for the signer to answer for
    assert results(published, sign(MAIL, h="from")) == ["pass"]


def test_the_way_adds_fields_that_may_stand_often(published: DnsServer) -> None:
    added = b"Received: from a by b\r\nX-Spam: no\r\nList-Id: <a.example.org>\r\nResent-To: c@example.org\r\n"
    assert results(published, added * 3 + sign(added + MAIL, h="from:received:x-spam:list-id:resent-to")) == ["pass"]


def test_each_signature_has_its_result_up_to_ten(published: DnsServer) -> None:
    octets = sign(sign(sign(), d="example.org"), x="1")
    said = checked(published, octets)
    assert [(one.result.value, one.domain) for one in said] == [
        ("permerror", "example.net"), ("permerror", "example.org"), ("pass", "example.net"),
    ]  # fmt: skip
    assert published.count(KEY) == 1
    assert len(checked(published, b"DKIM-Signature: x\r\n" * 11 + MAIL)) == 10


def test_a_body_that_differs_asks_nothing(published: DnsServer) -> None:
    assert results(published, sign().replace(b"turn", b"burn")) == ["fail"]
    assert published.asked == []


def test_mail_without_a_signature_has_no_results(published: DnsServer) -> None:
    assert checked(published, MAIL) == []
    assert checked(published, b"") == []
    assert checked(published, b"\r\n\r\nDKIM-Signature: v=1\r\n") == []


def test_1_900_signatures_over_40_mib_take_bounded_time(published: DnsServer) -> None:
    text = b"It does \t not turn. " * 100 + b"\r\n"
    mail = MAIL + text * ((40 << 20) // len(text))
    octets = b""
    for number in range(10):
        octets += sign(mail, c="relaxed/relaxed" if number % 2 else "simple/simple", l=str(1000 + number))[: -len(mail)]
    octets += b"DKIM-Signature: v=1; a=rsa-sha256\r\n" * 1_900 + mail  # of 10,000 the header is too large
    begun = time.process_time()
    assert results(published, octets) == ["policy"] * 10
    assert time.process_time() - begun < 5


def test_a_header_of_too_many_fields_vouches_for_nothing(published: DnsServer) -> None:
    """It is not shown whole."""
    octets = sign()
    fields = len(message.read(octets).fields)
    assert results(published, b"X: y\r\n" * (MAX_FIELDS - fields) + octets) == ["pass"]
    many = sign() + b""
    cut = many[: many.index(b"\r\n\r\n")] + b"\r\nX: y" * MAX_FIELDS + many[many.index(b"\r\n\r\n") :]
    (said,) = checked(published, cut)
    assert (said.result, said.reason) == ("permerror", "the header is too large")


# --- what is verified is what is shown


PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b" ", b"\t", b":", b"Subject: x", b"X : y", b"From: a@b", b"From eve",
    b">From eve", b"no field", b"--b", b"Content-Type: multipart/mixed; boundary=b", b"\0", b"\xff", b"x: " + b"y" * 90,
]  # fmt: skip


@given(raw=st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join) | st.binary(max_size=60))
@example(b"Subject: x\r\nno field\r\n\r\nbody\r\n")
@example(b"Subject: x\nno field\nX: y\n\nbody\n")
@example(b"no field\r\nSubject: x\r\n\r\nbody\r\n")
@example(b"X: y\n" * (MAX_FIELDS + 1) + b"\nbody\n")
@example(b"X: " + b"y" * (MAX_HEADER_OCTETS - 5) + b"\nX: y\n\nbody\n")
@example(b"From eve\nX: " + b"y\n " * (MAX_HEADER_OCTETS // 3) + b"\nX: y\n\nbody\n")
def test_fields_and_body_are_those_that_are_shown(raw: bytes) -> None:
    assert_read_as_shown(raw)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_fields_and_body_of_hostile_mail_are_those_that_are_shown(name: str) -> None:
    assert_read_as_shown(HOSTILE[name])


def assert_read_as_shown(raw: bytes) -> None:
    said = message.read(raw)
    budget = Budget()
    shown, _ = scan(raw, budget)
    body_begins = read_block(raw, 0, budget, ends_at=lambda _: False).body
    assert [(field.name, with_lf(field.value)) for field in said.fields] == [
        (name.lower(), with_lf(value.removesuffix(b"\r"))) for name, value in shown
    ]
    assert with_lf(said.octets[said.body :]) == with_lf(raw[body_begins:])
    assert with_lf(said.octets) == with_lf(raw)
    assert said.is_cut == bool({"header_too_large", "too_many_headers"} & set(budget.defects))


def with_lf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


UNITS = [b" ", b"\t", b"\r\n", b" \r\n", b"\n", b"\r", b"\n\n\r\n", b"x ", b"  x", b"x" + b" " * 31]


@pytest.mark.parametrize("unit", UNITS)
def test_no_body_of_20_mib_takes_long(published: DnsServer, unit: bytes) -> None:
    mail = MAIL + unit * ((20 << 20) // len(unit)) + b" x\r\n"
    begun = time.process_time()
    for form in (False, True):
        assert sum(map(len, body.canonical(mail, 0, is_relaxed=form))) > 0
    assert time.process_time() - begun < 6


def spki(number: int) -> str:
    """An RSA key with any number for its modulus."""
    import base64

    def tlv(tag: int, octets: bytes) -> bytes:
        size = len(octets)
        if size < 128:
            return bytes([tag, size]) + octets
        length = size.to_bytes((size.bit_length() + 7) // 8, "big")
        return bytes([tag, 0x80 | len(length)]) + length + octets

    modulus = tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))
    key = tlv(0x30, modulus + tlv(2, b"\x01\x00\x01"))
    algorithm = tlv(0x30, bytes.fromhex("06092a864886f70d0101010500"))
    return base64.b64encode(tlv(0x30, algorithm + tlv(3, b"\x00" + key))).decode()
