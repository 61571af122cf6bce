"""The form of API keys and of webhook signing secrets: making them and reading them, without a database.

A key is `emgk_<id>_<secret><checksum>` in base 62. The prefix is for scanners that look for leaked secrets, the id is
public and finds the row, the checksum is that of all before it and tells a typo from a wrong key without a query.
"""

import base64
import binascii
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from emailgistics.common.errors import RefusedError

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEY_PREFIX = "emgk_"
ID_LENGTH = 10
SECRET_LENGTH = 32  # 190 bits
CHECKSUM_LENGTH = 6  # 62**6 is more than 2**32
KEY_FORM = re.compile(
    rf"(?P<identifier>{KEY_PREFIX}[0-9A-Za-z]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}"
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
    if checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
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


def checksum(text: str) -> str:
    """CRC-32 of a key's text before its checksum, in base 62; docs/keys says it for other programs."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
