"""Which leaves are the text of a mail and which are attachments, and both as they are stored."""

import hashlib
import html as html_entities
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from mailboxes.mime import filenames
from mailboxes.mime.budget import (
    MAX_ATTACHMENTS,
    MAX_BODY_CHARACTERS,
    MAX_ID_CHARACTERS,
    MAX_KEY_SCAN_OCTETS,
    PREVIEW_CHARACTERS,
    Budget,
    Defect,
)
from mailboxes.mime.charsets import clean_line, clean_text, decode
from mailboxes.mime.fields import read_parameters
from mailboxes.mime.own_keys import OwnKeys
from mailboxes.mime.parsed import ParsedAttachment
from mailboxes.mime.sniffing import detected_type
from mailboxes.mime.structure import TEXT, Part
from mailboxes.mime.transfer import decode_transfer, decoded_chunks, encoding_of, is_clean_base64
from mailboxes.mime.words import unfold

HTML = "text/html"
_MAX_TEXT_OCTETS = 4 * MAX_BODY_CHARACTERS  # of UTF-8 or UTF-16, for that many characters
_MAX_ENCODED_OCTETS = 4 * _MAX_TEXT_OCTETS  # quoted-printable makes three of one, and line breaks
_READ_FOR_PREVIEW = 20 * PREVIEW_CHARACTERS

_CID = re.compile(r"cid:([^\s\"'<>)]++)", re.IGNORECASE)
_TAG = re.compile(r"<!--[^-]*+(?:-(?!->)[^-]*+)*+(?:-->)?|<(/?[a-z][a-z0-9]*+|[!?])[^>]*+>?", re.IGNORECASE | re.DOTALL)
_UNREAD = frozenset(("head", "style", "script", "title"))  # their content is not shown
_DISPOSITION = re.compile(r"\s*([A-Za-z-]+)\s*$")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part with what its header says about it."""

    part: Part
    disposition: str  # attachment, inline, or empty for none
    filename: str  # as given, made safe; empty for none
    content_id: str
    encoding: str

    @property
    def is_text(self) -> bool:
        return self.part.content_type in (TEXT, HTML) and self.disposition != "attachment"


def read_leaf(part: Part, budget: Budget) -> Leaf:
    main, parameters = read_parameters(unfold(part.block.first(b"content-disposition"), budget), budget)
    match = _DISPOSITION.match(main)
    disposition = match[1].lower() if match else ""
    if disposition not in ("", "inline"):
        disposition = "attachment"  # RFC 2183 section 2.8: so are unknown ones
    encoding = encoding_of(unfold(part.block.first(b"content-transfer-encoding"), budget))
    if encoding is None:
        budget.note(Defect.UNKNOWN_ENCODING)
    content_id = clean_line(unfold(part.block.first(b"content-id"), budget)).strip("<> ")
    if len(content_id) > MAX_ID_CHARACTERS:
        budget.note(Defect.BAD_ID)
        content_id = ""
    name = filenames.filename(parameters, part.parameters, budget)
    return Leaf(part, disposition, name, content_id, encoding or "binary")


def split(leaves: Iterable[Leaf]) -> tuple[list[Leaf], list[Leaf]]:
    """(texts, attachments), each in their order.

    A text with a name is an attachment unless it comes first or is an alternative. Of the same kind of text in one
    multipart/alternative the last is the best (RFC 2046 section 5.1.4), and the others are neither.
    """
    texts: list[Leaf] = []
    attachments: list[Leaf] = []
    places: dict[tuple[int, str], int] = {}  # multipart/alternative and type -> where in texts
    for index, leaf in enumerate(leaves):
        container = leaf.part.container
        is_alternative = container is not None and container.content_type == "multipart/alternative"
        key = (id(container), leaf.part.content_type)
        if not (leaf.is_text and (index == 0 or is_alternative or not leaf.filename)):
            attachments.append(leaf)
        elif is_alternative and key in places:
            texts[places[key]] = leaf
        else:
            places[key] = len(texts)
            texts.append(leaf)
    return texts, attachments


def joined(raw: bytes, texts: Iterable[Leaf], budget: Budget, *, too_long: Defect) -> tuple[str, bool]:
    """(the texts one after the other, whether some of it was left out)."""
    pieces: list[str] = []
    left = MAX_BODY_CHARACTERS
    is_cut = False
    for leaf in texts:
        if left == 0:
            is_cut = True
            break
        text, was_cut = _text(raw, leaf, budget)
        if pieces and text and not pieces[-1].endswith("\n"):
            text = "\n" + text
        is_cut |= was_cut or len(text) > left
        pieces.append(text[:left])
        left -= len(pieces[-1])
    if is_cut:
        budget.note(too_long)
    return "".join(pieces), is_cut


def _text(raw: bytes, leaf: Leaf, budget: Budget) -> tuple[str, bool]:
    part = leaf.part
    is_cut = part.length > _MAX_ENCODED_OCTETS
    encoded = raw[part.offset : part.offset + min(part.length, _MAX_ENCODED_OCTETS)]
    if not is_cut and leaf.encoding == "base64" and not is_clean_base64(memoryview(encoded)):
        budget.note(Defect.BAD_BASE64)
    octets = decode_transfer(encoded, leaf.encoding)
    is_cut |= len(octets) > _MAX_TEXT_OCTETS
    charset = part.parameters.get("charset", "")
    return clean_text(decode(octets[:_MAX_TEXT_OCTETS], charset, budget, is_cut=is_cut)), is_cut


def beginning(raw: bytes, leaf: Leaf, budget: Budget, *, octets: int) -> tuple[str, bool]:
    """(the text of a part for machines, whether that is only the beginning)"""
    part = leaf.part
    encoded = raw[part.offset : part.offset + min(part.length, 4 * octets)]
    decoded = decode_transfer(encoded, leaf.encoding)
    is_cut = len(encoded) < part.length or len(decoded) > octets
    charset = part.parameters.get("charset", "")
    return clean_text(decode(decoded[:octets], charset, budget, is_cut=is_cut)), is_cut


def described(
    raw: bytes, leaves: list[Leaf], html: str, budget: Budget, *, keys: OwnKeys
) -> tuple[ParsedAttachment, ...]:
    """Sizes and digests; each attachment is decoded once, in pieces, and not kept. Adds to keys what is found."""
    if len(leaves) > MAX_ATTACHMENTS:
        budget.note(Defect.TOO_MANY_ATTACHMENTS)
    shown = {unquote(cid) for cid in _CID.findall(html)}
    return tuple(_described(raw, leaf, shown, budget, keys) for leaf in leaves[:MAX_ATTACHMENTS])


def _described(raw: bytes, leaf: Leaf, shown: set[str], budget: Budget, keys: OwnKeys) -> ParsedAttachment:
    part = leaf.part
    with memoryview(raw) as whole, whole[part.offset : part.offset + part.length] as encoded:
        if leaf.encoding == "base64" and not is_clean_base64(encoded):
            budget.note(Defect.BAD_BASE64)
        size, digest, head = 0, hashlib.sha256(), b""
        for chunk in decoded_chunks(encoded, leaf.encoding):
            size += len(chunk)
            digest.update(chunk)
            if len(head) < MAX_KEY_SCAN_OCTETS:
                head += bytes(chunk[: MAX_KEY_SCAN_OCTETS - len(head)])
    keys.look_in_octets(head)
    return ParsedAttachment(
        part=part.path,
        filename=leaf.filename or filenames.default(part.path, part.content_type),
        content_type=part.content_type,
        detected_type=detected_type(head),
        is_inline=_is_inline(leaf, shown),
        content_id=leaf.content_id,
        size=size,
        sha256=digest.hexdigest(),
        encoding=leaf.encoding,
        offset=part.offset,
        length=part.length,
    )


def _is_inline(leaf: Leaf, shown: set[str]) -> bool:
    """The HTML shows it, or its header says so: of an image, or of what the HTML could refer to."""
    if leaf.content_id in shown:
        return True
    if leaf.disposition == "attachment":
        return False
    is_image = leaf.disposition == "inline" and leaf.part.content_type.startswith("image/")
    return bool(leaf.content_id) or is_image


def preview(text: str, html: str, *, is_html_first: bool) -> str:
    """The first words of the mail, blanks collapsed."""
    if is_html_first or not text or text.isspace():
        text = visible(html, characters=_READ_FOR_PREVIEW) or text
    return " ".join(text.lstrip()[:_READ_FOR_PREVIEW].split())[:PREVIEW_CHARACTERS].rstrip()


def visible(html: str, *, characters: int) -> str:
    """The first text of HTML without its tags, about so much. Not for showing: this makes nothing safe to render."""
    pieces: list[str] = []
    length, end, unread = 0, 0, ""
    for tag in _TAG.finditer(html):
        if not unread:
            words = " ".join(html[end : min(tag.start(), end + characters)].split())
            pieces.append(words)
            length += len(words)
            if length > characters:
                break
        end, name = tag.end(), (tag[1] or "").lower()
        if unread:
            unread = "" if name == "/" + unread else unread
        elif name in _UNREAD:
            unread = name
    else:
        pieces.append("" if unread else html[end : end + characters])
    return clean_text(html_entities.unescape(" ".join(pieces)[: 2 * characters]))
