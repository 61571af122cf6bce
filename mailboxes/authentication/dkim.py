"""DKIM signatures (RFC 6376, with RFC 8301 and 8463): verified here, with the keys that their domains publish.

Of many signatures the first ones count. The body is hashed once in each form, whatever the number of signatures, and
one whose body hash differs costs no question to the DNS.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from mailboxes.authentication.body import Digests
from mailboxes.authentication.dns import Lookups, is_name
from mailboxes.authentication.message import Field, Mail
from mailboxes.authentication.names import NotANameError, a_labels, is_under
from mailboxes.authentication.results import (
    Dkim,
    FailedError,
    NoPassError,
    NotAcceptableError,
    PermanentError,
    Result,
    printable,
)
from mailboxes.mime.header import ONCE

MAX_SIGNATURES = 10
MAX_FIELD_OCTETS = 64 << 10  # of a signature
MAX_KEYS = 3  # a selector should have one (section 3.6.2.2)
MIN_KEY_BITS, MAX_KEY_BITS = 1024, 8192  # RFC 8301 section 3.2: at least up to 4096
ED25519_OCTETS = 32

FORMS = {"simple": False, "relaxed": True}
RSA, ED25519 = "rsa", "ed25519"
ALGORITHMS = {"rsa-sha256": RSA, "ed25519-sha256": ED25519}
REQUIRED = ("v", "a", "b", "bh", "d", "h", "s")

# a second one of them is not for anybody to add: of most the first is shown, of To and Cc all are
SINGLE = tuple(name.encode() for name in (*ONCE, "to", "cc", "bcc", "content-id", "content-description"))

_TAG_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_NUMBER = re.compile(r"[0-9]{1,76}")
_RUN = re.compile(rb"[ \t]+")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field that is well-formed; names are those of h=, lower case."""

    field: Field
    domain: str
    selector: str
    identity_domain: str
    algorithm: str
    is_header_relaxed: bool
    is_body_relaxed: bool
    names: tuple[bytes, ...]
    body_hash: bytes
    octets: bytes
    length: int | None
    expires_at: int | None


def check(*, mail: Mail, received_at: datetime, lookups: Lookups) -> list[Dkim]:
    """Of each signature, the topmost first. What `aligned` is, DMARC says."""
    read = [_read(field) for field in mail.named(b"dkim-signature")[:MAX_SIGNATURES]]
    wanted = {(one.is_body_relaxed, one.length) for one in read if isinstance(one, Signature)}
    verifier = _Verifier(mail, Digests(mail.octets, mail.body, wanted), received_at, lookups)
    return [one if isinstance(one, Dkim) else verifier.result(one) for one in read]


def _read(field: Field) -> Signature | Dkim:
    tags: Tags = {}
    try:
        if len(field.octets) > MAX_FIELD_OCTETS:
            raise PermanentError("the signature is too long")
        tags = parse_tags(field.value)
        return read_signature(field, tags)
    except NoPassError as error:
        domain, selector = printable(tags.get("d", "")), printable(tags.get("s", ""))
        return Dkim(error.result, domain, selector, reason=str(error))


class _Verifier:
    def __init__(self, mail: Mail, digests: Digests, received_at: datetime, lookups: Lookups) -> None:
        self._mail, self._digests, self._received_at, self._lookups = mail, digests, received_at, lookups
        self._relaxed = cache(relaxed)  # the same fields are in most signatures

    def result(self, signature: Signature) -> Dkim:
        try:
            self._verify(signature)
        except NoPassError as error:
            return Dkim(error.result, signature.domain, signature.selector, reason=str(error))
        return Dkim(Result.PASS, signature.domain, signature.selector)

    def _verify(self, signature: Signature) -> None:
        """Raises NoPassError."""
        if signature.expires_at is not None and signature.expires_at < self._received_at.timestamp():
            raise PermanentError("the signature had expired")
        if self._mail.is_cut:
            raise PermanentError("the header is too large")
        digest = self._digests.digest(is_relaxed=signature.is_body_relaxed, length=signature.length)
        if digest is None:
            raise PermanentError("it signs more of the body (l=) than there is")
        if digest != signature.body_hash:
            raise FailedError("the body is not the one that was signed")
        self._verify_with_key(signature)
        if signature.length is not None and signature.length < self._digests.size(is_relaxed=signature.is_body_relaxed):
            raise NotAcceptableError("it signs (l=) only the beginning of the body")
        self._refuse_additions(signature)

    def _refuse_additions(self, signature: Signature) -> None:
        """Section 8.15: the lowest of some fields are signed, and one that was put above them is shown."""
        for name in SINGLE:
            there, signed = len(self._mail.named(name)), signature.names.count(name)
            if there > max(signed, 1):
                raise NotAcceptableError(f"there are {there} {name.decode()} fields, and it signs {signed}")

    def _verify_with_key(self, signature: Signature) -> None:
        records = self._lookups.txt(f"{signature.selector}._domainkey.{signature.domain}")
        failure: NoPassError = PermanentError("its key is not published")
        signed = self._signed(signature) if records else b""
        for record in records[:MAX_KEYS]:
            try:
                verify_with(record, signature, signed)
            except NoPassError as error:
                failure = error
            else:
                return
        raise failure

    def _signed(self, signature: Signature) -> bytes:
        """What the signature is of (section 3.7): of fields with one name, the lowest first (section 5.4.2)."""
        form = self._relaxed if signature.is_header_relaxed else _simple
        taken: dict[bytes, int] = {}
        pieces = []
        for name in signature.names:
            taken[name] = taken.get(name, 0) + 1
            fields = self._mail.named(name)
            if taken[name] <= len(fields):
                pieces.append(form(fields[-taken[name]]) + b"\r\n")
        pieces.append(form(_without_signature(signature.field)))
        return b"".join(pieces)


# --- what a signature says


def read_signature(field: Field, tags: Tags) -> Signature:
    """Raises PermanentError, and NotAcceptableError for an algorithm that has been broken."""
    if missing := [name for name in REQUIRED if name not in tags]:
        raise PermanentError(f"it has no {missing[0]}=")
    if tags["v"] != "1":
        raise PermanentError("it is of another version")
    if tags["a"].lower() == "rsa-sha1":
        raise NotAcceptableError("it was made with SHA-1")  # RFC 8301 section 3.1
    if tags["a"].lower() not in ALGORITHMS:
        raise PermanentError("its algorithm is not known")
    domain = _domain(tags["d"], "d")
    names = tuple(name.strip().lower().encode() for name in tags["h"].split(":"))
    if b"from" not in names:
        raise PermanentError("it does not sign From")  # section 6.1.1
    header_form, body_form = _forms(tags.get("c", "simple"))
    return Signature(
        field=field,
        domain=domain,
        selector=_selector(tags["s"], domain),
        identity_domain=_identity_domain(tags, domain),
        algorithm=ALGORITHMS[tags["a"].lower()],
        is_header_relaxed=header_form,
        is_body_relaxed=body_form,
        names=names,
        body_hash=_base64(tags["bh"], "bh"),
        octets=_base64(tags["b"], "b"),
        length=_number(tags, "l"),
        expires_at=_expiry(tags),
    )


def parse_tags(octets: bytes) -> Tags:
    """`name=value; …` (section 3.2), in their order. Raises PermanentError."""
    tags: dict[str, str] = {}
    pieces = octets.decode("utf-8", errors="replace").split(";")
    for piece in pieces[:-1] if not pieces[-1].strip() else pieces:
        name, equals, value = piece.partition("=")
        name = name.strip()
        if not (equals and _TAG_NAME.fullmatch(name)) or name in tags:
            raise PermanentError("its tags cannot be read")
        tags[name] = value.strip()
    return tags


def _forms(text: str) -> tuple[bool, bool]:
    header, _, body = text.lower().partition("/")
    if header not in FORMS or (body or "simple") not in FORMS:
        raise PermanentError("its c= is not known")
    return FORMS[header], FORMS[body or "simple"]


def _domain(text: str, tag: str) -> str:
    try:
        return a_labels(text)
    except NotANameError:
        raise PermanentError(f"its {tag}= is not a domain name") from None


def _selector(text: str, domain: str) -> str:
    selector = _domain(f"{text}.{domain}", "s").removesuffix(f".{domain}")
    if not is_name(f"{selector}._domainkey.{domain}"):
        raise PermanentError("its s= is too long")
    return selector


def _identity_domain(tags: Tags, domain: str) -> str:
    _local, at, name = tags.get("i", f"@{domain}").rpartition("@")
    identity = _domain(name, "i") if at else ""
    if not is_under(identity, domain):
        raise PermanentError("its i= is not under its d=")
    if "q" in tags and "dns/txt" not in [method.strip().lower() for method in tags["q"].split(":")]:
        raise PermanentError("its key is not in the DNS")
    return identity


def _expiry(tags: Tags) -> int | None:
    signed_at, expires_at = _number(tags, "t"), _number(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise PermanentError("it ends before it begins")
    return expires_at


def _number(tags: Tags, name: str) -> int | None:
    if name not in tags:
        return None
    if not _NUMBER.fullmatch(tags[name]):
        raise PermanentError(f"its {name}= is not a number")
    return int(tags[name])


def _base64(text: str, tag: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise PermanentError(f"{tag}= is not base64") from None


# --- what it is of


def relaxed(field: Field) -> bytes:
    """Section 3.4.2."""
    return field.name + b":" + _RUN.sub(b" ", _FOLD.sub(b"", field.value)).strip(b" ")


def _simple(field: Field) -> bytes:
    return field.octets


def _without_signature(field: Field) -> Field:
    """With the value of b= deleted, and what is around it."""
    name, colon, value = field.octets.partition(b":")
    pieces = value.split(b";")
    for number, piece in enumerate(pieces):
        tag, equals, _ = piece.partition(b"=")
        if tag.strip() == b"b":
            pieces[number] = tag + equals
    return Field(field.name, name + colon + b";".join(pieces))


# --- with which key


def verify_with(record: bytes, signature: Signature, signed: bytes) -> None:
    """record: the TXT of a key (section 3.6.1). Raises NoPassError."""
    tags = parse_tags(record)
    if tags.get("v", "DKIM1") != "DKIM1" or ("v" in tags and next(iter(tags)) != "v"):
        raise PermanentError("its key is of another version")
    if tags.get("p") == "":
        raise PermanentError("its key was revoked")
    if tags.get("k", RSA).lower() != signature.algorithm or "p" not in tags:
        raise PermanentError("its key is of another kind")
    if "sha256" not in _list(tags.get("h", "sha256")) or not {"*", "email"} & _list(tags.get("s", "*")):
        raise PermanentError("its key is not for this")
    if "s" in _list(tags.get("t", "")) and signature.identity_domain != signature.domain:
        raise PermanentError("its key is not for sub-domains")
    key = _base64(tags["p"], "p")
    (_verify_ed25519 if signature.algorithm == ED25519 else _verify_rsa)(key, signature.octets, signed)


def _list(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(":")}


def _verify_rsa(octets: bytes, signature: bytes, signed: bytes) -> None:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415 - not for mail without
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_der_public_key  # noqa: PLC0415

    try:
        key = load_der_public_key(octets)
        if not isinstance(key, rsa.RSAPublicKey):
            raise PermanentError("its key is of another kind")
        if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
            raise NotAcceptableError(f"its key has {key.key_size} bits")
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise FailedError("the header is not the one that was signed, or the key is another one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise PermanentError("its key cannot be read") from None


def _verify_ed25519(octets: bytes, signature: bytes, signed: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    if len(octets) != ED25519_OCTETS:
        raise PermanentError("its key cannot be read")
    try:
        Ed25519PublicKey.from_public_bytes(octets).verify(signature, hashlib.sha256(signed).digest())
    except InvalidSignature:
        raise FailedError("the header is not the one that was signed, or the key is another one") from None
