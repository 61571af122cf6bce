"""Content transfer encodings (RFC 2045 section 6), undone as far as they can be; nothing here raises."""

import binascii
import re
from collections.abc import Iterator

CHUNK_OCTETS = 1 << 20  # how much of a body is copied at a time
IDENTITIES = frozenset({"7bit", "8bit", "binary"})

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(octet for octet in range(256) if octet not in _ALPHABET)
_BASE64_OR_SPACE = _ALPHABET + b" \t\r\n"
_TOKEN = re.compile(r"[\s\"]*([A-Za-z0-9-]+)")
_PADDED_SOFT_BREAK = re.compile(rb"=[ \t]++(?=\r?\n)")  # hosts on the way add blanks; section 6.7 (3) says ignore them


def encoding_of(value: str) -> str | None:
    """base64, quoted-printable, 7bit, 8bit or binary out of a Content-Transfer-Encoding; None for any other."""
    token = _TOKEN.match(value)
    if token is None:
        return None if value.strip() else "7bit"
    name = token[1].lower()
    return name if name in IDENTITIES or name in ("base64", "quoted-printable") else None


def decode_transfer(encoded: bytes, encoding: str) -> bytes:
    """Undoes a content transfer encoding, as much of it as can be undone; never raises.

    Characters outside the base64 alphabet are passed over, as section 6.8 says; a cut-off last group gives what it has.
    Unknown encodings are left as they are.
    """
    return b"".join(decoded_chunks(memoryview(encoded), encoding))


def decoded_chunks(encoded: memoryview, encoding: str) -> Iterator[bytes | memoryview]:
    """What decode_transfer gives, piece by piece, so that a large attachment is never in memory whole."""
    match encoding:
        case "base64":
            yield from _base64(encoded)
        case "quoted-printable":
            yield binascii.a2b_qp(_PADDED_SOFT_BREAK.sub(b"=", encoded))
        case _:
            yield encoded


def is_clean_base64(encoded: memoryview) -> bool:
    """Only the alphabet and white space, whole groups of four in all, and nothing after the padding."""
    digits, is_padded = 0, False
    for start in range(0, len(encoded), CHUNK_OCTETS):
        chunk = bytes(encoded[start : start + CHUNK_OCTETS])
        if chunk.translate(None, delete=_BASE64_OR_SPACE):
            return False
        group = chunk.translate(None, delete=_NOT_BASE64)
        padding = group.find(b"=")
        content = len(group) if padding < 0 else padding
        if (is_padded and content) or group[content:].strip(b"="):
            return False
        is_padded = is_padded or padding >= 0
        digits += len(group)
    return digits % 4 == 0


def _base64(encoded: memoryview) -> Iterator[bytes]:
    rest = b""
    for start in range(0, len(encoded), CHUNK_OCTETS):
        chunk = bytes(encoded[start : start + CHUNK_OCTETS]).translate(None, delete=_NOT_BASE64)
        # padding in the middle (several base64 texts joined) ends a group of its own, not the content
        *groups, rest = (rest + chunk).split(b"=")
        yield b"".join([_unpadded(group) for group in groups if len(group) > 1])
        whole = len(rest) & ~3
        yield binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]
    yield _unpadded(rest)


def _unpadded(group: bytes) -> bytes:
    usable = group[:-1] if len(group) % 4 == 1 else group  # six bits alone are no octet
    return binascii.a2b_base64(usable + b"=" * (-len(usable) % 4))
