"""Raw octets in and out of the database, and the octets of one attachment out of the raw."""

import hashlib

import zstandard

from emailgistics.common.errors import NotFoundError
from mailboxes.mime.transfer import decoded_chunks
from mailboxes.models import Attachment, Message, RawMessage

CODEC = "zstd"
LEVEL = 1  # 20 times the speed of zlib for nearly its ratio; the writer is waiting for 250


class CorruptRawError(Exception):
    """The stored octets are not the ones that were accepted."""


class RawGoneError(NotFoundError):
    """The octets are not kept any longer; who read of them a moment ago finds nothing any more."""


def new_raw(message: Message, octets: bytes | bytearray) -> RawMessage:
    """The unsaved row that keeps octets for message."""
    return RawMessage(message=message, codec=CODEC, data=zstandard.ZstdCompressor(level=LEVEL).compress(octets))


def read_raw(message: Message) -> bytes:
    """The accepted octets, checked against size and sha256. Raises RawGoneError, CorruptRawError."""
    stored = RawMessage.objects.filter(pk=message.pk).first()
    if stored is None:
        raise RawGoneError("The raw of this mail is not kept any longer.")
    if stored.codec != CODEC:
        raise CorruptRawError(f"{message.public_id}: unknown codec {stored.codec}")
    try:
        octets = zstandard.ZstdDecompressor().decompress(bytes(stored.data), max_output_size=message.size)
    except zstandard.ZstdError as error:
        raise CorruptRawError(f"{message.public_id}: the stored octets do not unpack") from error
    if hashlib.sha256(octets).hexdigest() != message.sha256:
        raise CorruptRawError(f"{message.public_id}: the stored octets are not the accepted ones")
    return octets


def attachment_octets(attachment: Attachment) -> bytes:
    """The decoded content of an attachment. Raises RawGoneError, CorruptRawError."""
    return decoded(attachment, read_raw(attachment.email.message))


def decoded(attachment: Attachment, octets: bytes) -> bytes:
    """The content of an attachment out of its mail's raw, without a copy of the encoded text."""
    with memoryview(octets) as whole, whole[attachment.offset : attachment.offset + attachment.length] as encoded:
        return b"".join(decoded_chunks(encoded, attachment.encoding))
