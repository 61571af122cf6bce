import base64
import hmac
from hashlib import sha256

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from emailgistics.common.crypto import DecryptionError, KeyRing, decrypt, encrypt, peppered_digest

ONE, TWO = b"1" * 32, b"2" * 32
HERE = "webhook.sealed_secret:1"


def entry(number: object, key: bytes) -> str:
    return f"{number}:{base64.b64encode(key).decode()}"


@given(st.binary(max_size=300))
def test_what_was_sealed_opens_again_and_does_not_show(plaintext: bytes) -> None:
    sealed = encrypt(plaintext, context=HERE)
    assert decrypt(sealed, context=HERE) == plaintext
    assert len(plaintext) < 4 or plaintext not in sealed


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert encrypt(b"secret", context=HERE) != encrypt(b"secret", context=HERE)


@given(st.data())
def test_a_sealed_text_with_any_bit_changed_does_not_open(data: st.DataObject) -> None:
    sealed = bytearray(encrypt(b"secret", context=HERE))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DecryptionError):
        decrypt(bytes(sealed), context=HERE)


@pytest.mark.parametrize("length", [0, 1, 3, 14, 15, 30])
def test_a_cut_off_text_does_not_open(length: int) -> None:
    with pytest.raises(DecryptionError):
        decrypt(encrypt(b"secret", context=HERE)[:length], context=HERE)


def test_a_sealed_text_does_not_open_in_another_row() -> None:
    with pytest.raises(DecryptionError):
        decrypt(encrypt(b"secret", context=HERE), context="webhook.sealed_secret:2")


def test_keys_rotate_without_a_moment_in_which_something_does_not_open(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = KeyRing(primary=1, keys={1: ONE})
    old = encrypt(b"old", context=HERE)
    settings.ENCRYPTION_KEYS = KeyRing(primary=2, keys={2: TWO, 1: ONE})
    new = encrypt(b"new", context=HERE)
    assert (decrypt(old, context=HERE), decrypt(new, context=HERE)) == (b"old", b"new")
    settings.ENCRYPTION_KEYS = KeyRing(primary=2, keys={2: TWO})
    assert decrypt(new, context=HERE) == b"new"
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS"):
        decrypt(old, context=HERE)


def test_a_digest_is_hmac_sha256_under_the_primary_pepper_or_a_numbered_one(settings: Settings) -> None:
    settings.API_KEY_PEPPERS = KeyRing(primary=2, keys={2: TWO, 1: ONE})
    assert peppered_digest("key") == (2, hmac.new(TWO, b"key", sha256).digest())
    assert peppered_digest("key", pepper=1) == (1, hmac.new(ONE, b"key", sha256).digest())
    with pytest.raises(KeyError):
        peppered_digest("key", pepper=3)


def test_the_first_of_several_keys_is_primary() -> None:
    ring = KeyRing.parse(f" {entry(7, ONE)} , {entry(2, TWO)},", name="ENCRYPTION_KEYS")
    assert ring == KeyRing(primary=7, keys={7: ONE, 2: TWO})


@pytest.mark.parametrize("text", [
    "", " , ", "1", "1:", entry(0, ONE), entry(-1, ONE), entry(65536, ONE), entry("a", ONE), entry(1, b"short"),
    entry(1, ONE + b"x"), entry(1, ONE) + "!", f"{entry(1, ONE)},{entry(1, TWO)}", base64.b64encode(ONE).decode(),
])  # fmt: skip
def test_a_wrong_key_ring_names_its_variable_and_shows_no_key(text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ENCRYPTION_KEYS") as refusal:
        KeyRing.parse(text, name="ENCRYPTION_KEYS")
    assert base64.b64encode(ONE).decode()[:20] not in str(refusal.value)
