"""Addresses as SMTP and people write them, and the keys by which they are the same address.

`Support@EXAMPLE.com.`, `support@example.com` and `"support"@example.com` are one address here: RFC 5321 section 2.4
leaves the local part's case to the receiving host, which we are.
"""

import unicodedata
from dataclasses import dataclass
from typing import Self

import idna

from emailgistics.common.errors import RefusedError

CATCH_ALL = "*"
TAG_SEPARATOR = "+"
RESERVED_LOCAL_KEYS = frozenset({"postmaster", "abuse"})  # RFC 2142; RFC 5321 section 4.5.1

MAX_LOCAL_PART_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
MAX_DOMAIN_OCTETS = 253  # RFC 1035 section 2.3.4, without the root's dot
MAX_PATTERN_LENGTH = 256  # of a pattern of local parts
MAX_ADDRESS_OCTETS = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

ATEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")


class InvalidAddressError(RefusedError):
    code = "invalid_address"


@dataclass(frozen=True, slots=True)
class ParsedAddress:
    """local_part is unquoted, as written; domain is the A-label form, lower case, without a trailing dot."""

    local_part: str
    domain: str

    @property
    def local_key(self) -> str:
        return local_key(self.local_part)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `local-part@domain` (RFC 5321 section 4.1.2, RFC 6531 section 3.3). Raises InvalidAddressError."""
        text = text.strip()
        if len(text.encode(errors="surrogatepass")) > MAX_ADDRESS_OCTETS:
            raise InvalidAddressError(f"{shown(text)} is too long: an address has at most {MAX_ADDRESS_OCTETS} octets.")
        local, at, domain = text.rpartition("@")
        if not at or not local or not domain:
            raise InvalidAddressError(f"{shown(text)} is not an address; write it like support@example.com.")
        return cls(local_part=parse_local_part(local), domain=domain_key(domain))

    def __str__(self) -> str:
        return join(self.local_part, self.domain)


def parse_local_part(text: str) -> str:
    """Unquotes and checks a local part. Raises InvalidAddressError."""
    unquoted = _unquote(text) if text.startswith('"') else text
    if unquoted is None or not unquoted or len(unquoted.encode(errors="surrogatepass")) > MAX_LOCAL_PART_OCTETS:
        raise InvalidAddressError(f"{shown(text)} is not a local part: it has 1 to {MAX_LOCAL_PART_OCTETS} octets.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in unquoted):
        raise InvalidAddressError(f"{shown(text)} has a control character or broken UTF-8 in it.")
    if text is unquoted and not _is_dot_string(text):
        raise InvalidAddressError(
            f"{shown(text)} is not a local part: letters, digits and !#$%&'*+-/=?^_`{{|}}~, with single dots between; "
            'anything else goes in "quotes".'
        )
    return unquoted


def local_key(local_part: str) -> str:
    """What two spellings of one local part have in common: NFC, case-folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local_part).casefold())


def address_key(text: str) -> str:
    """What the spellings of one address have in common; texts that are none come in mail, too, and are case-folded."""
    try:
        parsed = ParsedAddress.parse(text)
    except InvalidAddressError:
        return text.strip().casefold()
    return f"{parsed.local_key}@{parsed.domain}"


def domain_key(name: str) -> str:
    """The A-label form (RFC 5891) of a domain, lower case, no trailing dot. Raises InvalidAddressError."""
    bare = name.strip().removesuffix(".")
    if bare.startswith("["):
        raise InvalidAddressError("Address literals such as [192.0.2.1] are not served here; use a domain name.")
    try:
        # most names are plain ASCII, and real hosts have _ or leading digits that IDNA would discuss
        ascii_name = bare.lower() if bare.isascii() else idna.encode(bare, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise InvalidAddressError(f"{shown(name)} is not a domain name.") from error
    labels = ascii_name.split(".")
    if len(ascii_name) > MAX_DOMAIN_OCTETS or len(labels) < 2 or not all(map(_is_label, labels)):  # noqa: PLR2004
        raise InvalidAddressError(f"{shown(name)} is not a domain name; write it like example.com.")
    return ascii_name


def split_tag(key: str) -> tuple[str, str] | None:
    """(`key without tag`, `tag`) of a local key with a tag; None when it has none."""
    base, plus, tag = key.partition(TAG_SEPARATOR)
    return (base, tag) if plus and base else None


def join(local_part: str, domain: str) -> str:
    """The address as it is written, with quotes where the local part needs them."""
    if _is_dot_string(local_part):
        return f"{local_part}@{domain}"
    escaped = local_part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


def shown(text: str) -> str:
    """Untrusted text for a message: short, quoted, on one line."""
    printable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return f"“{printable[:80]}…”" if len(printable) > 80 else f"“{printable}”"  # noqa: PLR2004


def _is_dot_string(text: str) -> bool:
    return all(atom and all(map(_is_atext, atom)) for atom in text.split("."))


def _is_atext(character: str) -> bool:
    # of the others a blank needs quotes, as U+00A0: who reads the address would take it for what is around it
    return character in ATEXT or not (character.isascii() or character.isspace())


def _is_label(label: str) -> bool:
    return (
        0 < len(label) <= 63  # noqa: PLR2004 - RFC 1035 section 2.3.4
        and all(c.isalnum() or c in "-_" for c in label)
        and not (label.startswith("-") or label.endswith("-"))
    )


def _unquote(text: str) -> str | None:
    """The content of a Quoted-string (RFC 5321 section 4.1.2); None when it does not close where it should."""
    if len(text) < 2 or not text.endswith('"'):  # noqa: PLR2004
        return None
    out: list[str] = []
    characters = iter(text[1:-1])
    for character in characters:
        if character == '"':
            return None
        if character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                return None
            out.append(escaped)
        else:
            out.append(character)
    return "".join(out)
