"""Keys and DKIM signatures for tests. dkimpy signs what is usual; `sign` also what is not."""

import base64
import hashlib
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mailboxes.authentication import body, dkim, message

MAIL = (
    b"From: Ada Lovelace <ada@example.net>\r\nTo: help@example.com\r\nSubject: Broken\r\n  engine \r\n"
    b"\r\nIt  does\tnot \r\nturn.\r\n\r\n\r\n"
)


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ed25519_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def record(key: Any = None, **tags: str) -> str:
    """The TXT that publishes a key; tags are added, or replace what there would be."""
    key = key or rsa_key()
    if isinstance(key, Ed25519PrivateKey):
        kind, octets = "ed25519", key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        kind, octets = "rsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    values = {"v": "DKIM1", "k": kind, "p": base64.b64encode(octets).decode()} | tags
    return "; ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def sign(mail: bytes = MAIL, *, key: Any = None, prefix: bytes = b"", **given: str | None) -> bytes:
    """The mail below a DKIM-Signature of example.net. `given` are tags in place of the usual ones; None leaves one out.

    prefix is put before the signature's name: fields above it.
    """
    key = key or rsa_key()
    is_rsa = not isinstance(key, Ed25519PrivateKey)
    usual: dict[str, str | None] = {
        "v": "1",
        "a": "rsa-sha256" if is_rsa else "ed25519-sha256",
        "c": "relaxed/relaxed",
        "d": "example.net",
        "s": "sel",
        "h": "from:to:subject",
    }
    tags = {name: value for name, value in (usual | given).items() if value is not None}
    read = message.read(mail)
    _, _, form = (tags.get("c") or "simple").partition("/")
    length = int(tags["l"]) if tags.get("l", "").isdigit() else None
    digests = body.Digests(read.octets, read.body, {(form == "relaxed", length)})
    digest = digests.digest(is_relaxed=form == "relaxed", length=length) or b""
    tags.setdefault("bh", base64.b64encode(digest).decode())
    text = "; ".join(f"{name}={value}" for name, value in tags.items())
    unsigned = f"DKIM-Signature: {text}; b=".encode()
    names = [name.strip().encode() for name in tags.get("h", "").lower().split(":")]
    is_header_relaxed = (tags.get("c") or "simple").startswith("relaxed")
    counts: dict[bytes, int] = {}
    signed = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        found = read.named(name)
        if counts[name] <= len(found):
            field = found[-counts[name]]
            signed.append((dkim.relaxed(field) if is_header_relaxed else field.octets) + b"\r\n")
    own = message.Field(b"dkim-signature", unsigned)
    signed.append(dkim.relaxed(own) if is_header_relaxed else unsigned)
    octets = b"".join(signed)
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(hashlib.sha256(octets).digest())
    return prefix + unsigned + base64.b64encode(signature) + b"\r\n" + mail
