"""Secrets at rest: numbered keys, authenticated encryption bound to a row, peppered digests.

`ENCRYPTION_KEYS` and `API_KEY_PEPPERS` are written `2:<base64>,1:<base64>`: the first is primary (used for what is
written from now on), all can be read, so that keys rotate without a moment in which something does not open.
"""

import base64
import binascii
import hmac
import os
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = 1  # first octet of a ciphertext; then two octets of key id, the nonce, and the sealed text with its tag
MAX_KEY_ID = 0xFFFF


class DecryptionError(Exception):
    """The ciphertext was not made for this row and column, with these keys."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    primary: int
    keys: dict[int, bytes]

    @classmethod
    def parse(cls, text: str, *, name: str) -> Self:
        """Reads `id:base64` pairs, comma-separated. Raises ImproperlyConfigured naming the variable, never a key."""
        keys: dict[int, bytes] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            number, colon, encoded = entry.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                key = b""
            if not (colon and number.isdecimal() and 0 < int(number) <= MAX_KEY_ID and len(key) == KEY_BYTES):
                raise ImproperlyConfigured(
                    f"{name}: each entry is <number>:<base64 of {KEY_BYTES} bytes>, e.g. from "
                    f"`openssl rand -base64 {KEY_BYTES}`; separate entries with commas, the primary one first."
                )
            if int(number) in keys:
                raise ImproperlyConfigured(f"{name}: the number {number} is given twice; every key has its own.")
            keys[int(number)] = key
        if not keys:
            raise ImproperlyConfigured(f"{name} is empty: give it at least one <number>:<base64 of {KEY_BYTES} bytes>.")
        return cls(primary=next(iter(keys)), keys=keys)


def encrypt(plaintext: bytes, *, context: str) -> bytes:
    """Seals plaintext for one place: `context` is `table.column:row id`, and decrypting elsewhere fails."""
    ring: KeyRing = settings.ENCRYPTION_KEYS
    nonce = os.urandom(NONCE_BYTES)
    head = bytes([FORMAT]) + ring.primary.to_bytes(2, "big")
    return head + nonce + AESGCM(ring.keys[ring.primary]).encrypt(nonce, plaintext, head + context.encode())


def decrypt(sealed: bytes, *, context: str) -> bytes:
    """Raises DecryptionError when the text was altered, moved to another row, or its key is not configured."""
    ring: KeyRing = settings.ENCRYPTION_KEYS
    head, nonce, body = sealed[:3], sealed[3 : 3 + NONCE_BYTES], sealed[3 + NONCE_BYTES :]
    key = ring.keys.get(number_of(sealed))
    if key is None or head[:1] != bytes([FORMAT]):
        raise DecryptionError("no configured key opens this; is ENCRYPTION_KEYS complete?")
    try:
        return AESGCM(key).decrypt(nonce, body, head + context.encode())
    except (InvalidTag, ValueError) as error:
        raise DecryptionError("this does not open here: altered, or moved from another row") from error


def number_of(sealed: bytes) -> int:
    """Of the key that sealed it, in ENCRYPTION_KEYS."""
    return int.from_bytes(sealed[1:3], "big")


def peppered_digest(secret: str, *, pepper: int | None = None) -> tuple[int, bytes]:
    """HMAC-SHA256 of a secret under a pepper (the primary one unless numbered) -> (pepper number, 32 octets).

    Raises KeyError for a pepper that is not configured.
    """
    ring: KeyRing = settings.API_KEY_PEPPERS
    number = ring.primary if pepper is None else pepper
    return number, hmac.digest(ring.keys[number], secret.encode(), sha256)


@lru_cache(maxsize=16)
def derived(key: bytes, *, purpose: bytes) -> bytes:
    """A key of its own for that purpose, which tells nothing of `key` (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)
