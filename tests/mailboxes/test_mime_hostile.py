"""Whatever the octets are, there is an answer: soon, clean, and true to the raw."""

import email
import importlib.util
import json
import os
import re
import time
from base64 import encodebytes
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from email.message import Message
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailboxes import mime
from mailboxes.mime import ParsedMail, bodies, charsets, filenames, structure
from mailboxes.mime.budget import Budget, Defect
from mailboxes.mime.sniffing import detected_type
from tests.mailboxes.hostile import BOMBS, HOSTILE, multipart

EMAILS = sorted((Path(__file__).parent.parent / "emails").glob("*.eml"))
SOON_S = 20.0  # generous: it tells linear from quadratic, it is no benchmark
UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            yield from strings(list(value.values()))
        case list() | tuple():
            for each in value:
                yield from strings(each)


def parsed(raw: bytes) -> ParsedMail:
    """Parses, and checks what holds for every mail."""
    mail = mime.parse(raw)
    assert mail.status == ("partial" if mail.defects else "ok")
    assert set(mail.defects) <= {str(defect) for defect in Defect}
    said = asdict(mail)
    json.dumps(said, ensure_ascii=False, default=str).encode()
    assert not [text for text in strings(said) if UNCLEAN.search(text)]
    for one_line in (mail.subject, mail.preview, mail.message_id, *(value for _, value in mail.headers)):
        assert "\n" not in one_line
    for person in filter(None, (mail.from_, mail.sender, *mail.reply_to, *mail.to, *mail.cc)):
        assert person.name or person.address
    for attachment in mail.attachments:
        assert 0 <= attachment.offset <= attachment.offset + attachment.length <= len(raw)
        encoded = raw[attachment.offset : attachment.offset + attachment.length]
        octets = mime.decode_transfer(encoded, attachment.encoding)
        assert (attachment.size, attachment.sha256) == (len(octets), sha256(octets).hexdigest())
        assert attachment.filename
        assert "/" not in attachment.filename
        assert len(attachment.filename.encode()) <= 255
        assert len(attachment.part) <= 200
        assert len(attachment.content_type) <= 255
        assert len(attachment.encoding) <= 20
    if mail.date:
        assert mail.date.utcoffset() is not None
    return mail


def test_the_set_is_large_and_each_of_it_is_another() -> None:
    assert len(HOSTILE) >= 200
    assert len(set(HOSTILE.values())) == len(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_octets_are_answered(name: str) -> None:
    raw = HOSTILE[name]
    started = time.monotonic()
    parsed(raw)
    assert time.monotonic() - started < SOON_S
    parsed(raw.replace(b"\n", b"\r\n"))
    parsed(b"Content-Type: multipart/mixed; boundary=out\n\n--out\n" + raw + b"\n--out--")


@pytest.mark.parametrize(
    "raw, defects",
    [
        (b"", {"no_header"}),
        (b"Content-Type: multipart/mixed\n\nx", {"missing_boundary"}),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ny", {"missing_end_boundary"}),
        (b"%b--x\n%b--x--\n" % (2 * (b"Content-Type: multipart/mixed; boundary=x\n\n",)), {"duplicate_boundary"}),
        (b"Subject: x\nno field\n\ny", {"bad_header_line"}),
        (b"Content-Type: text\n\ny", {"bad_content_type"}),
        (b"Content-Transfer-Encoding: zip\n\ny", {"unknown_encoding"}),
        (b"Content-Transfer-Encoding: base64\n\neA", {"bad_base64"}),
        (b"Content-Type: text/plain; charset=base64\n\ny", {"unknown_charset"}),
        (b"Content-Type: text/plain; charset=utf-8\n\nh\xe9", {"wrong_charset"}),
        (b"Message-ID: <" + b"x" * 1000 + b">\n\n", {"bad_id"}),
    ],
)  # fmt: skip
def test_each_fault_has_its_code(raw: bytes, defects: set[str]) -> None:
    assert set(parsed(raw).defects) == defects


@given(st.binary(max_size=2000))
@settings(deadline=timedelta(seconds=SOON_S), max_examples=200)
def test_any_octets_are_answered(raw: bytes) -> None:
    parsed(raw)


PIECES = [
    b"\n",
    b"\r\n",
    b"\n\n",
    b"--",
    b"--b",
    b"--b--",
    b";",
    b'"',
    b"<",
    b">",
    b"(",
    b"=",
    b"=?",
    b"?=",
    b":",
    b"\0",
]
PIECES += [
    b"\xff",
    b"\xe9",
    b"Content-Type: multipart/mixed; boundary=b\n\n",
    b"Content-Type: text/html\n",
    b"=?utf-8?q?",
]
PIECES += [
    b"Content-Transfer-Encoding: base64\n",
    b"boundary=b",
    b"filename*0*=",
    b"\x1b$B",
    b"charset=utf-16",
    b"<!--",
    b"&#0;",
]
edits = st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from(PIECES) | st.binary(max_size=8))


@given(st.sampled_from(EMAILS), st.lists(edits, min_size=1, max_size=12))
@settings(deadline=timedelta(seconds=SOON_S), max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_real_mails_with_damage_are_answered(path: Path, damage: list[tuple[float, float, bytes]]) -> None:
    raw = path.read_bytes()
    for where, how_much, instead in damage:
        start = int(where * len(raw))
        raw = raw[:start] + instead + raw[start + int(how_much**6 * len(raw)) :]  # mostly little, seldom nearly all
    parsed(raw)


@pytest.mark.parametrize("codec", sorted(set(charsets.CODECS.values())))
def test_every_charset_gives_text_that_can_be_stored(codec: str) -> None:
    for octets in (bytes(range(256)) * 2, b"\x1b$B\xd8\x00\xff\xfe", "some ä text".encode(codec, errors="ignore")):
        text = charsets.decode(octets, codec, Budget())
        charsets.clean_text(text).encode()
    assert charsets.decode("some text".encode(codec), codec, Budget()) == "some text"


# bombs


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered_soon_and_named(name: str) -> None:
    raw, defect = BOMBS[name]
    started = time.monotonic()
    mail = parsed(raw)
    assert time.monotonic() - started < SOON_S
    assert not defect or defect in mail.defects
    assert len(mail.headers) <= 2_000
    assert len(mail.to) <= 2_000
    assert len(mail.attachments) <= 500
    assert len(mail.text) <= 1 << 20
    assert len(mail.html) <= 1 << 20
    assert (mail.text_truncated, mail.html_truncated) == (
        "text_too_long" in mail.defects,
        "html_too_long" in mail.defects,
    )


def test_a_large_attachment_is_read_soon() -> None:
    content = os.urandom(1 << 20) * 13
    part = (
        (b"--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encodebytes(content) + b"--b--\n")
        .replace(b"\r\n", b"\n")
        .replace(b"\n", b"\r\n")
    )
    started = time.monotonic()
    mail = mime.parse(multipart(b"--b\r\n\r\nhi\r\n" + part))
    assert time.monotonic() - started < SOON_S
    assert (mail.status, mail.text) == ("ok", "hi")
    assert [(each.size, each.sha256) for each in mail.attachments] == [(len(content), sha256(content).hexdigest())]


@pytest.mark.parametrize(
    "name",
    ["a" + "\u0315\u0300" * 400_000 + ".exe", "a/" * 400_000 + "b.exe", "." * 800_000 + "exe", "a " * 400_000 + ".exe"],
)
def test_a_name_of_a_million_octets_is_made_safe_soon_and_keeps_its_ending(name: str) -> None:
    started = time.monotonic()
    safe = filenames.safe(name)
    assert time.monotonic() - started < 1.0
    assert safe.endswith("exe")
    assert len(safe.encode()) <= 255


@pytest.mark.parametrize("beginning", [b"", b"<!--", b"<?xml", b"<!-- -->" * 100, b"<?xml>"])
@pytest.mark.parametrize("unit", [b" ", b"-->", b"<!--", b"<?xml", b">", b"-", b"<!DOCTYPE svg"])
def test_what_a_file_is_is_seen_soon(beginning: bytes, unit: bytes) -> None:
    started = time.monotonic()
    detected_type(beginning + unit * (1 << 16))
    assert time.monotonic() - started < 1.0


def test_a_mistake_of_ours_costs_the_body_but_not_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(raw: bytes, budget: Budget) -> None:
        raise RecursionError

    monkeypatch.setattr("mailboxes.mime.mail.scan", broken)
    mail = mime.parse(b"From: a@example.net\nSubject: x\n\nbody")
    assert (mail.status, mail.defects) == ("failed", ("internal_error",))
    assert (mail.subject, mail.text) == ("x", "")


# the standard library reads the same


def library_mails() -> list[Path]:
    found = importlib.util.find_spec("test.test_email")
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    return sorted(folder.glob("msg_*.txt")) if folder else []


def test_the_mails_of_the_standard_library_are_there() -> None:
    if library_mails():
        assert len(library_mails()) >= 46
    elif os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail("REQUIRE_SERVICES=1, but this Python has no test.test_email.data")
    else:
        pytest.skip("this Python has no test.test_email.data")


def library_leaves(message: Message) -> Iterator[Message]:
    if message.is_multipart() and message.get_content_maintype() != "message":
        for part in message.get_payload():
            assert isinstance(part, Message)
            yield from library_leaves(part)
    else:
        yield message


@pytest.mark.parametrize("path", library_mails() + EMAILS, ids=lambda path: path.name)
def test_parts_and_their_octets_are_those_that_the_standard_library_finds(path: Path) -> None:
    raw = path.read_bytes()
    _, parts = structure.scan(raw, Budget())
    expected = list(library_leaves(email.message_from_bytes(raw)))
    assert len(parts) == len(expected)
    for part, message in zip(parts, expected, strict=True):
        content_type = message.get_content_type()
        # a multipart without parts is text for us, and keeps its type in the library
        assert part.content_type == ("text/plain" if content_type.startswith("multipart/") else content_type)
        if not message.is_multipart():  # the library opens attached mails
            leaf = bodies.read_leaf(part, Budget())
            octets = mime.decode_transfer(raw[part.offset : part.offset + part.length], leaf.encoding)
            theirs = message.get_payload(decode=True)
            assert isinstance(theirs, bytes)
            # a line break before a boundary, or the last of such a text, is in one reading and not in the other
            assert octets.strip() == theirs.strip() if content_type.startswith("multipart/") else octets == theirs


@pytest.mark.parametrize("path", library_mails() + EMAILS, ids=lambda path: path.name)
def test_text_and_attachments_are_those_that_the_standard_library_finds(path: Path) -> None:
    raw = path.read_bytes()
    mail = parsed(raw)
    leaves = list(library_leaves(email.message_from_bytes(raw)))
    texts = [leaf for leaf in leaves if is_text(leaf, is_first=leaf is leaves[0])]
    assert len(mail.attachments) == len(leaves) - len(texts)
    for leaf in texts:
        said = mail.html if leaf.get_content_type() == "text/html" else mail.text
        octets = leaf.get_payload(decode=True)
        assert isinstance(octets, bytes)
        for line in re.split(rb"\r\n|[\r\n]", octets):
            if not line.isascii() or b"\x1b" in line:
                continue  # the library leaves charsets to its caller
            assert UNCLEAN.sub("", line.decode()) in said


def is_text(leaf: Message, *, is_first: bool) -> bool:
    is_body = leaf.get_content_maintype() == "multipart" or leaf.get_content_type() in ("text/plain", "text/html")
    is_attached = leaf.get_content_disposition() not in (None, "inline")
    return is_body and not is_attached and (is_first or not leaf.get_filename())
