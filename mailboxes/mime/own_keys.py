"""Keys and secrets of this product that somebody sends around by mail: found by their form, and never repeated.

The form of a key has a checksum, so that what is found was made here or at another installation. That of a webhook
secret has none, and other products that follow Standard Webhooks write theirs alike.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from emailgistics.common.key_form import KEY, KEY_PREFIX, checksum_fits

_KEY = re.compile(rf"(?<![0-9A-Za-z]){KEY}(?![0-9A-Za-z])")
_SECRET = re.compile(r"(?<![0-9A-Za-z])whsec_([0-9A-Za-z+/]{32,88}={0,2})")
_SECRET_OCTETS = range(24, 65)  # what Standard Webhooks allows
MAX_KEYS = 20  # that are named


@dataclass(slots=True)
class OwnKeys:
    """What was found in a mail so far."""

    api_keys: dict[str, None] = field(default_factory=dict)  # their public ids
    has_webhook_secret: bool = False

    def look_in(self, text: str) -> None:
        if KEY_PREFIX in text:
            for match in _KEY.finditer(text):
                if len(self.api_keys) < MAX_KEYS and checksum_fits(match[0]):
                    self.api_keys[match["identifier"]] = None
        if "whsec_" in text and not self.has_webhook_secret:
            self.has_webhook_secret = any(_is_secret(match[1]) for match in _SECRET.finditer(text))

    def look_in_octets(self, octets: bytes) -> None:
        if KEY_PREFIX.encode() in octets or b"whsec_" in octets:
            self.look_in(octets.decode("latin-1"))


def _is_secret(encoded: str) -> bool:
    try:
        return len(base64.b64decode(encoded, validate=True)) in _SECRET_OCTETS
    except binascii.Error:
        return False
