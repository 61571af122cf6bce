import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailboxes import addresses
from mailboxes.addresses import InvalidAddressError, ParsedAddress


@pytest.mark.parametrize(
    "text, local_part, domain",
    [
        ("support@example.com", "support", "example.com"),
        (" Support@EXAMPLE.com. ", "Support", "example.com"),
        ('"a b@c"@example.com', "a b@c", "example.com"),
        (r'"a\"b\\"@example.com', r"a\"b\\".replace("\\\\", "\\").replace('\\"', '"'), "example.com"),
        ("!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com"),
        ("jürgen@bücher.example", "jürgen", "xn--bcher-kva.example"),
        ("a@_mail.example.com", "a", "_mail.example.com"),
        ("x" * 64 + "@example.com", "x" * 64, "example.com"),
    ],
)
def test_an_address_is_read_into_local_part_and_domain(text: str, local_part: str, domain: str) -> None:
    assert ParsedAddress.parse(text) == ParsedAddress(local_part=local_part, domain=domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "support",
        "support@",
        "@example.com",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a b@example.com",
        "a@b@example.com",
        '""@example.com',
        '"a@example.com',
        '"a"b"@example.com',
        '"a\\"@example.com',
        '"a\r\nb"@example.com',
        '"a\x00b"@example.com',
        "\udcff@example.com",
        "a@example",
        "a@example..com",
        "a@-example.com",
        "a@exam ple.com",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@\udcff.example",
        "a@" + "x" * 64 + ".example",
        "x" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        "x" * 64 + "@" + ".".join(["y" * 62] * 4),
        '"' + "\\x" * 128 + '"@example.com',
    ],
)
def test_what_is_no_address_is_refused_with_a_message_on_one_line(text: str) -> None:
    with pytest.raises(InvalidAddressError) as refused:
        ParsedAddress.parse(text)
    assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    "one, other",
    [("Support", "sUPPORT"), ("straße", "STRASSE"), ("jürgen", "ju\u0308rgen"), ("ΣΟΦΟΣ", "σοφος")],
)
def test_spellings_of_one_local_part_have_one_key(one: str, other: str) -> None:
    assert addresses.local_key(one) == addresses.local_key(other)


@pytest.mark.parametrize(
    "key, split",
    [
        ("a+b", ("a", "b")),
        ("a+b+c", ("a", "b+c")),
        ("a+", ("a", "")),
        ("+a", None),
        ("a", None),
    ],
)
def test_a_tag_begins_at_the_first_plus(key: str, split: tuple[str, str] | None) -> None:
    assert addresses.split_tag(key) == split


@given(local_part=st.text(min_size=1, max_size=20))
@example(local_part="\xa00")
def test_what_is_joined_is_read_back(local_part: str) -> None:
    try:
        written = addresses.join(
            addresses.parse_local_part(addresses.join(local_part, "x").removesuffix("@x")), "e.test"
        )
    except InvalidAddressError:
        return
    assert ParsedAddress.parse(written) == ParsedAddress(local_part=local_part, domain="e.test")


@given(local_part=st.text(min_size=1, max_size=30))
def test_a_key_is_its_own_key(local_part: str) -> None:
    key = addresses.local_key(local_part)
    assert addresses.local_key(key) == key
