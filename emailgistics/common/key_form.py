"""The form of an API key, for whoever makes, reads, finds or masks one: `emgk_<id>_<secret><checksum>` in base 62.

The prefix is for scanners that look for leaked secrets, the id is public and finds the row, the checksum is that of all
before it and tells a typo from a wrong key without a query.
"""

import re
import string
import zlib

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEY_PREFIX = "emgk_"
ID_LENGTH = 10
SECRET_LENGTH = 32  # 190 bits
CHECKSUM_LENGTH = 6  # 62**6 is more than 2**32

# to be part of expressions; a key that is found by one may still have a checksum that does not fit
IDENTIFIER = rf"{KEY_PREFIX}[0-9A-Za-z]{{{ID_LENGTH}}}"
KEY = rf"(?P<identifier>{IDENTIFIER})_[0-9A-Za-z]{{{SECRET_LENGTH + CHECKSUM_LENGTH}}}"
KEY_FORM = re.compile(KEY)


def checksum(text: str) -> str:
    """CRC-32 of a key's text before its checksum, in base 62; docs/keys says it for other programs."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def checksum_fits(text: str) -> bool:
    """Of what has the form of a key."""
    return checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def keys_in(text: str) -> list[str]:
    """Every key in it whose checksum fits."""
    return [match[0] for match in KEY_FORM.finditer(text) if checksum_fits(match[0])]
