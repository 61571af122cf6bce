"""What a key and its receivers are told, with names in place of what is random."""

import base64
import quopri
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tests.worlds.mails import WORD
from tests.worlds.standing import Clock
from webhooks.exchange import Exchange
from webhooks.transport import Answer, Outgoing, answer_of, remark

THEIRS = "https://theirs.example.org"
ANSWERS: tuple[dict[str, Any], ...] = (
    {"status": 204}, {"status": 204}, {"status": 500}, {"status": 410}, {"status": 413}, {"status": 302},
    {"error": "timeout"},
)  # fmt: skip

ID = re.compile(r"\b(dom|mbx|alias|rule|msg|email|att|wh|evt|dlv|job|ref)_[0-9a-hjkmnp-tv-z]{26}\b")
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]+=*|\bk\d+_[A-Za-z0-9_-]{43}\b")
# in JSON, and as Python shows what is asked
SIGNATURE = re.compile(
    r"""\bv1,[A-Za-z0-9+/]{43}=|(?:(?<=x-webhook-signature":")|(?<=x-webhook-signature': '))[0-9a-f]{64}"""
)
TAG = re.compile(r"\"[0-9a-f]{32}(\.[0-9a-f]{32})?\"")  # a digest of ids, too, and of nothing that is not told
SIGNATURES = frozenset({"webhook-signature", "x-webhook-signature", "x-webhook-signature-next"})
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
GZIP = b"\x1f\x8b"
OF_EVERY_ANSWER = re.compile(r"X-Request-Id|Date|(X-)?RateLimit.*", re.IGNORECASE)

Told = tuple[str, str]  # what it is, and all of it


@dataclass(slots=True)
class Names:
    """By order of appearance: the third email that was told of is email#3 in both worlds."""

    by_text: dict[str, str] = field(default_factory=dict)
    by_kind: dict[str, list[str]] = field(default_factory=dict)

    def in_place(self, text: str) -> str:
        return ID.sub(self._id, SECRET.sub(self._secret, TAG.sub("<tag>", SIGNATURE.sub("<signature>", text))))

    def of(self, kind: str) -> list[str]:
        return self.by_kind.get(kind, [])

    def _id(self, found: re.Match[str]) -> str:
        return self._named(found[0], found[1])

    def _secret(self, found: re.Match[str]) -> str:
        return self._named(found[0], "secret")

    def _named(self, text: str, kind: str) -> str:
        if text not in self.by_text:
            those = self.by_kind.setdefault(kind, [])
            those.append(text)
            self.by_text[text] = f"<{kind}#{len(those)}>"
        return self.by_text[text]


@dataclass(slots=True)
class Receivers:
    """Of everybody: what they were sent since somebody looked, and what they say to it."""

    clock: Clock
    says: Mapping[str, Any] = field(default_factory=lambda: ANSWERS[0])
    received: list[Outgoing] = field(default_factory=list)

    async def post(self, outgoing: Outgoing, **_: Any) -> Answer:
        is_mine = not outgoing.url.startswith(THEIRS)
        said = self.says if is_mine else ANSWERS[0]
        if is_mine:
            self.received.append(outgoing)
        exchange = Exchange(started_at=self.clock.now, peer_ip="192.0.2.9", **said)
        if exchange.status:  # they repeat what they were sent, as some do
            said_in_header = b"/?" + quote(b" ".join(WORD.findall(outgoing.body)[:20])).encode()
            exchange.headers = [(b"Location", said_in_header), (b"Retry-After", said_in_header)]
            exchange.excerpt = bytearray(outgoing.body[:4000])
        exchange.detail = remark(exchange, outgoing.url)
        return replace(answer_of(exchange), total_ms=3)


def readings(octets: bytes) -> Iterator[bytes]:
    """All that somebody may make of it: as it is, out of base64 and quoted-printable, percent-encoded, compressed."""
    yield octets
    if b"=" in octets:
        yield quopri.decodestring(octets)
    if b"%" in octets:
        yield unquote_to_bytes(octets)
    for found in BASE64.findall(octets):
        for start in range(4):
            piece = found[start : len(found) - (len(found) - start) % 4]
            yield base64.b64decode(piece, altchars=b"-_" if b"-" in piece or b"_" in piece else None)
    at = octets.find(GZIP)
    if at >= 0:
        with suppress(zlib.error):
            yield zlib.decompressobj(wbits=31).decompress(octets[at:])


def difference(first: Sequence[Told], second: Sequence[Told]) -> str:
    """The first thing that is told differently, from where it differs; empty if there is none."""
    for (what, one), (other_what, other) in zip_longest(first, second, fillvalue=("nothing", "")):
        if (what, one) != (other_what, other):
            at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
            shown = slice(max(0, at - 40), at + 300)
            return f"{what}, and {other_what}: {one[shown]!r}, and {other[shown]!r}"
    return ""
