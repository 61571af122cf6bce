"""API keys and webhook signing secrets: making them and reading them, without a database."""

import base64
import binascii
import secrets
from dataclasses import dataclass, field

from emailgistics.common.errors import RefusedError
from emailgistics.common.key_form import (
    BASE62,
    ID_LENGTH,
    KEY_FORM,
    KEY_PREFIX,
    SECRET_LENGTH,
    checksum,
    checksum_fits,
)

WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - what Standard Webhooks puts before a secret
NEW_WEBHOOK_SECRET_OCTETS = 32
MIN_WEBHOOK_SECRET_OCTETS, MAX_WEBHOOK_SECRET_OCTETS = 24, 64


class MalformedKeyError(ValueError):
    """Never a key of ours, or one with a typo in it."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """identifier is shown everywhere; plaintext is shown once and stored nowhere."""

    identifier: str
    plaintext: str = field(repr=False)


def new_key() -> NewKey:
    identifier = KEY_PREFIX + _random(ID_LENGTH)
    unchecked = f"{identifier}_{_random(SECRET_LENGTH)}"
    return NewKey(identifier=identifier, plaintext=unchecked + checksum(unchecked))


def parse_key(text: str) -> str:
    """The identifier in a key. Raises MalformedKeyError for another form or a checksum that does not fit."""
    match = KEY_FORM.fullmatch(text)
    if match is None:
        raise MalformedKeyError(f"a key is {KEY_PREFIX}<id>_<secret>")
    if not checksum_fits(text):
        raise MalformedKeyError("the checksum does not fit")
    return match["identifier"]


def new_webhook_secret() -> str:
    return WEBHOOK_SECRET_PREFIX + base64.b64encode(secrets.token_bytes(NEW_WEBHOOK_SECRET_OCTETS)).decode()


def parse_webhook_secret(text: str) -> bytes:
    """The octets of a `whsec_…` secret. Raises RefusedError, with field secret, that does not quote it."""
    encoded = text.removeprefix(WEBHOOK_SECRET_PREFIX)
    try:
        octets = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    # decoding forgives stray bits in the last character: two texts would be one key, and receivers may not forgive
    is_strict = text != encoded and base64.b64encode(octets).decode() == encoded
    if not (is_strict and MIN_WEBHOOK_SECRET_OCTETS <= len(octets) <= MAX_WEBHOOK_SECRET_OCTETS):
        raise RefusedError(
            f"A webhook secret is {WEBHOOK_SECRET_PREFIX} and the base64, with its padding, of "
            f"{MIN_WEBHOOK_SECRET_OCTETS} to {MAX_WEBHOOK_SECRET_OCTETS} random bytes.",
            field="secret",
        )
    return octets


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
