"""How the values of rules are written, and how they are found in mail."""

import ipaddress
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.models import Rule
from mailboxes.services import rule_values
from mailboxes.services.rule_values import InvalidRuleValueError, parse_value


@pytest.mark.parametrize(
    "criterion, text, canonical",
    [
        ("sender", "Ada@EXAMPLE.net.", "ada@example.net"),
        ("sender", '"ada"@example.net', "ada@example.net"),
        ("sender", '"a*b"@example.net', '"a*b"@example.net'),
        ("sender", '"A b"@example.net', '"a b"@example.net'),
        ("sender", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("sender", "STRASSE@example.net", "strasse@example.net"),
        ("sender", "straße@example.net", "strasse@example.net"),
        ("sender", "", ""),
        ("sender", " <> ", ""),
        ("sender_domain", "Example.NET.", "example.net"),
        ("sender_domain", "Bücher.example", "xn--bcher-kva.example"),
        ("sender_domain", "TOP", "top"),
        ("network", "192.0.2.0/24", "192.0.2.0/24"),
        ("network", "192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("network", "192.0.2.7", "192.0.2.7/32"),
        ("network", "2001:DB8:0::/32", "2001:db8::/32"),
        ("network", "2001:db8::1", "2001:db8::1/128"),
        ("network", "::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("network", "::ffff:c000:207", "192.0.2.7/32"),
        ("network", "::ffff:0:0/96", "0.0.0.0/0"),
        ("network", "::/0", "::/0"),
        ("attachment", "Image/*", "image/*"),
        ("attachment", "application/x-msdownload", "application/x-msdownload"),
        ("attachment", "*/*", "*/*"),
        ("attachment", ".EXE", ".exe"),
        ("attachment", ".tar.gz", ".tar.gz"),
        ("attachment", ".\N{FULLWIDTH LATIN SMALL LETTER E}xe", ".exe"),
        ("size", " 010485760 ", "10485760"),
        ("size", "0", "0"),
        ("size", str(2**31 - 1), "2147483647"),
    ],
)
def test_a_value_is_kept_in_one_form(criterion: str, text: str, canonical: str) -> None:
    assert parse_value(criterion, text) == canonical
    assert parse_value(criterion, canonical) == canonical


@pytest.mark.parametrize(
    "criterion, text, told",
    [
        ("sender", "*@example.net", "sender_domain with the value example.net"),
        ("sender", "@example.net", "sender_domain with the value example.net"),
        ("sender", "example.net", "sender_domain with the value example.net"),
        ("sender", "news*@example.net", "there are no patterns"),
        ("sender", "Ada <ada@example.net>", "not a"),
        ("sender", "a b@example.net", "not a local part"),
        ("sender", "a\0b@example.net", "control character"),
        ("sender", "a" * 65 + "@example.net", "64 octets"),
        ("sender_domain", "*.example.net", "write example.net, which includes its sub-domains"),
        ("sender_domain", ".example.net", "write example.net, which includes its sub-domains"),
        ("sender_domain", "*@example.net", "write example.net, which includes its sub-domains"),
        ("sender_domain", "ada@example.net", "For one address use the criterion sender."),
        ("sender_domain", "[192.0.2.1]", "use the criterion network"),
        ("sender_domain", "", "write it like example.com"),
        ("sender_domain", "a..b", "write it like example.com"),
        ("sender_domain", "exa mple.net", "write it like example.com"),
        ("network", "192.0.2.7/24", "write 192.0.2.0/24 for all of it, or 192.0.2.7 for that host"),
        ("network", "192.0.2.1-192.0.2.9", "write it like 192.0.2.0/24"),
        ("network", "192.0.2", "write it like 192.0.2.0/24"),
        ("network", "192.0.2.0/33", "write it like 192.0.2.0/24"),
        ("network", "", "write it like 192.0.2.0/24"),
        ("network", "fe80::1%eth0", "has a zone"),
        ("attachment", "*.exe", "no *: .exe"),
        ("attachment", "exe", "no *: .exe"),
        ("attachment", "", "no *: .exe"),
        ("attachment", ".", "no *: .exe"),
        ("attachment", ".e xe", "no *: .exe"),
        ("attachment", ".a.b.c.d", "neither a media type"),
        ("attachment", "." + "e" * 64, "neither a media type"),
        ("attachment", "image/png; name=x", "without parameters"),
        ("attachment", "*/png", "without parameters"),
        ("attachment", "image/", "without parameters"),
        ("size", "10 MiB", "10485760 for 10 MiB"),
        ("size", "-1", "whole number of octets"),
        ("size", "1e6", "whole number of octets"),
        ("size", "٣", "whole number of octets"),
        ("size", str(2**31), "whole number of octets"),
        ("size", "9" * 5000, "whole number of octets"),
    ],
)
def test_what_is_no_value_is_refused_with_the_way_to_write_it(criterion: str, text: str, told: str) -> None:
    with pytest.raises(InvalidRuleValueError) as refused:
        parse_value(criterion, text)
    assert told in refused.value.message
    assert refused.value.field == "value"


@given(st.sampled_from(Rule.Criterion.values), st.text(max_size=400))
def test_any_text_is_a_value_in_canonical_form_or_refused(criterion: str, text: str) -> None:
    try:
        value = parse_value(criterion, text)
    except InvalidRuleValueError:
        return
    assert parse_value(criterion, value) == value
    assert len(value) <= 320
    assert "\0" not in value


def test_a_sender_is_in_all_domains_above_it_the_nearest_first() -> None:
    found = rule_values.values_of_envelope("Ada@Mail.Example.NET.", None)
    assert found == {
        ("sender", "ada@mail.example.net"): 0,
        ("sender_domain", "mail.example.net"): 0,
        ("sender_domain", "example.net"): 1,
        ("sender_domain", "net"): 2,
    }


def test_the_null_sender_is_in_no_domain() -> None:
    assert [key for key in rule_values.values_of_envelope("", None) if key[1]] == []
    assert ("sender", "") in rule_values.values_of_envelope("", None)


@given(st.ip_addresses())
def test_a_client_is_in_every_network_that_has_it(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    found = {value for criterion, value in rule_values.values_of_envelope("", str(address)) if criterion == "network"}
    mapped = getattr(address, "ipv4_mapped", None) or address
    assert found == {
        str(ipaddress.ip_network((mapped, bits), strict=False)) for bits in range(mapped.max_prefixlen + 1)
    }


def test_a_client_by_ipv4_on_an_ipv6_socket_is_one_by_ipv4() -> None:
    plain = rule_values.values_of_envelope("", "192.0.2.7")
    assert rule_values.values_of_envelope("", "::ffff:192.0.2.7") == plain
    assert plain["network", "192.0.2.7/32"] < plain["network", "192.0.2.0/24"]


@pytest.mark.parametrize(
    "filename, content_type, fitting",
    [
        ("a.exe", "text/plain", [".exe", "text/plain", "text/*", "*/*"]),
        ("A.EXE", "TEXT/Plain; charset=x", [".exe", "text/plain", "text/*", "*/*"]),
        ("a.exe. .", "text/plain", [".exe", "text/plain", "text/*", "*/*"]),
        ("backup.tar.gz", "application/gzip", [".tar.gz", ".gz", "application/gzip", "application/*", "*/*"]),
        ("a.b.c.d.e", "a/b", [".c.d.e", ".d.e", ".e", "a/b", "a/*", "*/*"]),
        ("noext", "a/b", ["a/b", "a/*", "*/*"]),
        (".exe", "a/b", [".exe", "a/b", "a/*", "*/*"]),
    ],
)
def test_a_file_has_the_ends_of_its_name_and_its_type_the_most_particular_first(
    filename: str, content_type: str, fitting: list[str]
) -> None:
    found = rule_values.values_of_file(filename, content_type)
    assert [value for (_, value), _ in sorted(found.items(), key=lambda pair: pair[1])] == fitting
    assert len(set(found.values())) == len(fitting)


def test_a_long_sender_takes_no_longer_than_it_is_long() -> None:
    begun = time.process_time()
    for _ in range(100):
        rule_values.values_of_envelope("a@" + "b." * 150 + "example", None)
        rule_values.values_of_file("a" + ".b" * 120, "x" * 1000)
    assert time.process_time() - begun < 1
