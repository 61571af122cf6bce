import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apikeys.credentials import (
    MalformedKeyError,
    new_key,
    new_webhook_secret,
    parse_key,
    parse_webhook_secret,
)
from emailgistics.common.errors import RefusedError
from emailgistics.common.key_form import BASE62

# written down, so that a change of the checksum's rule cannot go unnoticed
KEY = "emgk_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1GIO1e"


def test_a_key_has_the_form_that_scanners_look_for() -> None:
    fresh = new_key()
    assert re.fullmatch(r"emgk_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}", fresh.plaintext)
    assert fresh.plaintext.startswith(fresh.identifier + "_")
    assert parse_key(fresh.plaintext) == fresh.identifier


def test_the_checksum_is_crc32_of_all_before_it_in_base_62() -> None:
    assert parse_key(KEY) == "emgk_0123456789"
    number = 0
    for digit in KEY[-6:]:
        number = number * 62 + BASE62.index(digit)
    assert number == 0x44F57316


def test_no_two_keys_share_anything_secret() -> None:
    keys = [new_key().plaintext for _ in range(100)]
    assert len({key[16:] for key in keys}) == len({key[:15] for key in keys}) == 100


@given(st.data())
def test_a_key_with_any_one_character_changed_is_malformed(data: st.DataObject) -> None:
    key = new_key().plaintext
    position = data.draw(st.integers(0, len(key) - 1))
    other = data.draw(st.sampled_from([c for c in BASE62 + "_-é \n" if c != key[position]]))
    with pytest.raises(MalformedKeyError):
        parse_key(key[:position] + other + key[position + 1 :])


@pytest.mark.parametrize("change", [
    lambda key: key + "\n", lambda key: " " + key, lambda key: key[:-1], lambda key: key + "0", lambda key: "",
    lambda key: key.upper(), lambda key: key.replace("emgk_", "whsec_"), lambda key: "0" * 100_000,
])  # fmt: skip
def test_anything_but_the_whole_key_is_malformed(change) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    with pytest.raises(MalformedKeyError):
        parse_key(change(new_key().plaintext))


def test_a_new_key_does_not_print_itself() -> None:
    fresh = new_key()
    assert fresh.plaintext not in repr(fresh)
    assert fresh.identifier in repr(fresh)


def test_a_webhook_secret_is_32_random_octets() -> None:
    secrets = {new_webhook_secret() for _ in range(10)}
    assert len(secrets) == 10
    assert all(secret.startswith("whsec_") and len(parse_webhook_secret(secret)) == 32 for secret in secrets)


@pytest.mark.parametrize("octets", [24, 25, 26, 64])
def test_a_webhook_secret_is_its_prefix_and_base64(octets: int) -> None:
    given_octets = bytes(range(octets))
    encoded = base64.b64encode(given_octets).decode()
    assert parse_webhook_secret("whsec_" + encoded) == given_octets
    with pytest.raises(RefusedError):
        parse_webhook_secret(encoded)


@pytest.mark.parametrize("text", [
    "", "whsec_", "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_" + base64.b64encode(bytes(65)).decode(),
    "whsec_" + base64.b64encode(bytes(25)).decode().rstrip("="),   # no padding
    "whsec_" + base64.b64encode(bytes(25)).decode()[:-3] + "B==",  # bits that no octet holds
    "whsec_" + base64.urlsafe_b64encode(b"\xff" * 24).decode(), "whsec_ " + base64.b64encode(bytes(24)).decode(),
    "whsec_" + base64.b64encode(bytes(24)).decode() + "\n", "é" * 40, "correct horse battery staple",
])  # fmt: skip
def test_a_webhook_secret_that_is_not_strict_base64_of_24_to_64_octets_is_refused(text: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse_webhook_secret(text)
    assert refusal.value.field == "secret"
    # the message may be logged or shown: the secret is not in it
    assert len(text) < 10 or text not in refusal.value.message
