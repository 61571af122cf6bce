"""Mails of every kind, made from a seed, for what has to hold for all of them."""

import base64
import quopri
import random
from collections.abc import Iterator

CHARSETS = ["utf-8", "iso-8859-1", "iso-8859-15", "windows-1252", "koi8-r", "shift_jis", "gb18030", "euc-kr", "utf-16"]
WORDS = [
    "engine", "Grüße", "Ёжик", "日本語", "한국어", "🙂🏽", "a\u2028b", "c\u2029d", "\u202eevil", "\ufeff", "e\u0301",
    "\U0010ffff",
    '"quoted"', "back\\slash", "</script>", "tab\there", "\x00", "\x1b[31m", "\x7f", "\x85", "nul\x00inside", "&amp;",
    "\ufffe",
    "{}", "=?utf-8?B?8J+Zgg==?=", "=?utf-8?Q?=ED=A0=80?=", "=?x?Q?broken", "__proto__", "1e400", "-0", "''",
]  # fmt: skip
DATES = [b"Mon, 01 Jun 2026 10:00:00 +0200", b"yesterday", b"Mon, 1 Jan 0001 00:00 +2359", b""]
SURROGATE = b"\xed\xa0\x80"  # what UTF-8 forbids, and some write
TRANSFER = ["7bit", "8bit", "base64", "quoted-printable", "binary", "uuencode", ""]


def made_mails(count: int, *, seed: int) -> Iterator[bytes]:
    for number in range(count):
        yield made_mail(random.Random(f"{seed}/{number}"))


def made_mail(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.05:
        return chance.randbytes(chance.randrange(2000))
    mail = _header(chance) + _body(chance, depth=0)
    if kind < 0.15:  # cut off or with octets turned over somewhere
        at = chance.randrange(len(mail))
        return mail[:at] if kind < 0.1 else mail[:at] + chance.randbytes(8) + mail[at:]
    return mail


def _text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words))


def _octets(chance: random.Random, text: str) -> tuple[str, bytes]:
    charset = chance.choice(CHARSETS)
    octets = text.encode(charset, "replace")
    return chance.choice([charset, charset, "us-ascii", "nonsense"]), octets + chance.choice([b"", b"", SURROGATE])


def _header(chance: random.Random) -> bytes:
    def value(words: int) -> bytes:
        text = _text(chance, words).replace("\x00", chance.choice(["", "\x00"]))
        if chance.random() < 0.4:
            return b"=?utf-8?B?" + base64.b64encode(text.encode()) + b"?="
        return _octets(chance, text.replace("\n", " "))[1]

    lines = [b"From: " + value(2) + b" <ada@example.net>", b"To: " + value(1) + b" <help@example.com>, b@example.com"]
    lines += [b"Subject: " + chance.choice([b"", b"Re: ", b"Fwd: "]) + value(chance.randrange(12))]
    lines += [
        b"Date: " + chance.choice([b"Mon, 01 Jun 2026 10:00:00 +0200", b"yesterday", b"Mon, 1 Jan 0001 00:00 +2359"])
    ]
    lines += [b"Message-ID: <" + value(1) + b"@example.net>", b"References: <1@a> <2@b> " + value(1)]
    if chance.random() < 0.3:
        lines += [b"Reply-To: " + value(3), b"Cc: group: a@example.org, <b@example.org>;", b"Sender: x@example.net"]
    if chance.random() < 0.02:
        lines += [b"X-Large: " + value(200) * 20] * chance.randrange(40)
    if chance.random() < 0.02:
        lines += [b"X-Many-%d: %b" % (number, value(1)) for number in range(1500)]
    chance.shuffle(lines)
    return b"\r\n".join(lines) + b"\r\n"


def _body(chance: random.Random, *, depth: int) -> bytes:
    if depth < 3 and chance.random() < 0.4:
        boundary = chance.choice([b"b", b"=_x", b"b" * 80])
        kind = chance.choice([b"mixed", b"alternative", b"related"])
        parts = [b"--" + boundary + b"\r\n" + _body(chance, depth=depth + 1) for _ in range(chance.randrange(1, 4))]
        end = chance.choice([b"--" + boundary + b"--\r\n", b""])
        head = b"Content-Type: multipart/%b; boundary=%b\r\n\r\n" % (kind, boundary)
        return head + b"\r\n".join(parts) + b"\r\n" + end
    charset, octets = _octets(chance, _text(chance, chance.randrange(40)))
    kind = chance.choice([b"text/plain", b"text/html", b"application/pdf", b"image/png", b"nonsense"])
    name = chance.choice(["", "; name*=utf-8''pl%C3%A4ne%00.pdf", '; name="../a\\"b.txt"']).encode()
    transfer = chance.choice(TRANSFER)
    head = b"Content-Type: %b; charset=%b%b\r\n" % (kind, charset.encode(), name)
    head += b"Content-Transfer-Encoding: %b\r\n" % transfer.encode()
    if chance.random() < 0.2:
        name = chance.choice([b"a.pdf", b'"=?utf-8?B?8J+Zgg==?="'])
        head += b"Content-Disposition: attachment; filename=%b\r\n" % name
    encoded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(transfer, bytes)(octets)
    return head + b"\r\n" + encoded + b"\r\n"
