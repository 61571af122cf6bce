"""Says whether a text has the form of an Emailgistics API key. Standard library only; copy this file.

`identifier = check(text)` raises NotAKeyError, whose reason is prefix, length, alphabet or checksum. It asks nobody:
whether a key is in force, only its installation knows. As a program it reads the key from standard input, so that it
is in no shell's history: `printf %s "$KEY" | python3 check.py`.
"""

import sys
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "emgk_"
IDENTIFIER_LENGTH = 15
CHECKSUM_LENGTH = 6
LENGTH = 54


class NotAKeyError(ValueError):
    """The message quotes nothing of the text, which may be a key with a typo in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not a key: {reason}")
        self.reason = reason


def check(text: str) -> str:
    """The identifier, which is no secret."""
    if not text.startswith(PREFIX):
        raise NotAKeyError("prefix")
    if len(text) != LENGTH:
        raise NotAKeyError("length")
    digits = text[len(PREFIX) : IDENTIFIER_LENGTH] + text[IDENTIFIER_LENGTH + 1 :]
    if text[IDENTIFIER_LENGTH] != "_" or not set(digits) <= set(ALPHABET):
        raise NotAKeyError("alphabet")
    if checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        raise NotAKeyError("checksum")
    return text[:IDENTIFIER_LENGTH]


def checksum(text: str) -> str:
    """CRC-32 (as in zip and PNG) of the ASCII octets, in base 62, the most significant digit first."""
    number, digits = zlib.crc32(text.encode("ascii")), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


if __name__ == "__main__":
    try:
        print(check(sys.stdin.read().rstrip("\r\n")))  # noqa: T201 - it is a program
    except NotAKeyError as error:
        sys.exit(str(error))
