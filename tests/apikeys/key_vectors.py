"""Makes docs/keys/vectors.json with the product's own code: `python -m tests.apikeys.key_vectors`."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from emailgistics.common.key_form import CHECKSUM_LENGTH, checksum

PATH = Path(__file__).resolve().parents[2] / "docs" / "keys" / "vectors.json"
COMMENT = (
    "Texts, whether each has the form of an API key, its identifier if so, and otherwise what is wrong with it first: "
    "prefix, length, alphabet or checksum. None of them is a key of any installation: their secrets are words."
)
# of 32 characters each, as a secret is
SECRETS = (
    "ThisIsAnExampleAndOpensNothing00", "0" * 32, "z" * 32, "A" * 32, "0123456789ABCDEFGHIJKLMNOPQRSTUV",
    "WXYZabcdefghijklmnopqrstuvwxyz01", "NotASecretNotASecretNotASecret12", "emgkemgkemgkemgkemgkemgkemgkemgk",
)  # fmt: skip
NAMES = [f"emgk_EXAMPLE{number:03}" for number in range(900, 1000)]
LOOK_ALIKES = {"a": "\u0430", "E": "\u0415", "0": "\uff10", "o": "\u03bf", "_": "\uff3f", "x": "\u0445"}


class Vector(TypedDict):
    about: str
    text: str
    identifier: str | None
    reason: str | None


def key_of(identifier: str, secret: str) -> str:
    return f"{identifier}_{secret}" + checksum(f"{identifier}_{secret}")


KEY = key_of("emgk_EXAMPLE000", SECRETS[0])
OTHER = key_of("emgk_EXAMPLE001", SECRETS[6])


def vectors() -> list[Vector]:
    valid = [("a key", f"emgk_EXAMPLE{number:03}", secret) for number, secret in enumerate(SECRETS)]
    padded = next(name for name in NAMES if key_of(name, SECRETS[0])[-CHECKSUM_LENGTH] == "0")
    valid.append(("a checksum that begins with 0", padded, SECRETS[0]))
    return [
        *(
            Vector(about=about, text=key_of(name, secret), identifier=name, reason=None)
            for about, name, secret in valid
        ),
        *(Vector(about=about, text=text, identifier=None, reason=reason) for reason, about, text in invalid()),
    ]


def invalid() -> Iterator[tuple[str, str, str]]:
    """(reason, about, text)"""
    body = KEY.removeprefix("emgk_")
    for about, text in (
        ("nothing", ""),
        ("without its prefix", body),
        ("another product's prefix", "ghp_" + body),
        ("the prefix in capitals", "EMGK_" + body),
        ("one letter of the prefix in capitals", "emgK_" + body),
        ("a hyphen in the prefix", "emgk-" + body),
        ("a blank before it", " " + KEY),
        ("quoted", f'"{KEY}"'),
        ("with its scheme", f"Bearer {KEY}"),
        ("a webhook secret in place of a key", "whsec_" + base64.b64encode(bytes(32)).decode()),
        ("a mark of byte order before it", "\ufeff" + KEY),
        ("the prefix with a Cyrillic е", "\u0435mgk_" + body),
        ("a key in UTF-16, read as Latin-1", "\0".join(KEY) + "\0"),
    ):
        yield "prefix", about, text
    for about, text in (
        ("the prefix alone", "emgk_"),
        ("the identifier alone", KEY[:15]),
        ("without its checksum", KEY[:-CHECKSUM_LENGTH]),
        ("its last character is missing", KEY[:-1]),
        ("its first secret character is missing", KEY[:16] + KEY[17:]),
        ("one character more", KEY + "0"),
        ("a line end after it", KEY + "\n"),
        ("a carriage return and a line end after it", KEY + "\r\n"),
        ("a blank after it", KEY + " "),
        ("a full stop after it", KEY + "."),
        ("an invisible blank within it", KEY[:30] + "\u200b" + KEY[30:]),
        ("wrapped by a mail program", KEY[:40] + "=\n" + KEY[40:]),
        ("two keys in one", KEY + OTHER),
        ("an identifier of nine characters", key_of("emgk_EXAMPLE00", SECRETS[0])),
        ("a secret of 31 characters", key_of("emgk_EXAMPLE000", SECRETS[0][:-1])),
    ):
        yield "length", about, text
    middle = 30
    for about, text in (
        ("a blank within it", KEY[:middle] + " " + KEY[middle + 1 :]),
        ("a line end in place of its last character", KEY[:-1] + "\n"),
        ("a hyphen in the secret", KEY[:middle] + "-" + KEY[middle + 1 :]),
        ("base64 in the secret", KEY[:middle] + "+/" + KEY[middle + 2 :]),
        ("an underscore too many", KEY[:middle] + "_" + KEY[middle + 1 :]),
        ("a hyphen between identifier and secret", KEY[:15] + "-" + KEY[16:]),
        ("its checksum in characters that are none", KEY[:-CHECKSUM_LENGTH] + "@#$%&*"),
        ("an emoji in it", KEY[:middle] + "\U0001f511" + KEY[middle + 1 :]),
    ):
        yield "alphabet", about, text
    for letter, other in LOOK_ALIKES.items():
        at = KEY.index(letter, 5)
        yield "alphabet", f"U+{ord(other):04X} in place of {letter}", KEY[:at] + other + KEY[at + 1 :]
    for about, text in (
        ("one character of the identifier is another", KEY[:14] + "7" + KEY[15:]),
        ("one character of the secret is another", KEY[:16] + "X" + KEY[17:]),
        ("one character of the checksum is another", KEY[:-1] + ("1" if KEY[-1] == "0" else "0")),
        ("two neighbours are swapped", KEY[:17] + KEY[18] + KEY[17] + KEY[19:]),
        ("the identifier of another key", OTHER[:15] + KEY[15:]),
        ("the secret of another key", KEY[:16] + OTHER[16:]),
        ("the checksum of another key", KEY[:-CHECKSUM_LENGTH] + OTHER[-CHECKSUM_LENGTH:]),
        ("all of the secret in capitals", KEY[:16] + KEY[16:].upper()),
        ("the checksum of the secret alone", KEY[:-CHECKSUM_LENGTH] + checksum(SECRETS[0])),
        ("a checksum of zeros", KEY[:-CHECKSUM_LENGTH] + "0" * CHECKSUM_LENGTH),
        ("a checksum of more than 32 bits", KEY[:-CHECKSUM_LENGTH] + "z" * CHECKSUM_LENGTH),
    ):
        yield "checksum", about, text


def document() -> str:
    return json.dumps({"comment": COMMENT, "vectors": vectors()}, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="ascii")
