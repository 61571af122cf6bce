"""Raw octets in and out of the database, and the octets of one attachment out of the raw."""

import hashlib

import zstandard

from emailgistics.common.errors import GoneError, NotFoundError
from mailboxes.mime.transfer import decoded_chunks
from mailboxes.models import Attachment, Email, Message, RawMessage

CODEC = "zstd"
LEVEL = 1  # 20 times the speed of zlib for nearly its ratio; the writer is waiting for 250


class CorruptRawError(Exception):
    """The stored octets are not the ones that were accepted."""


class RawGoneError(NotFoundError):
    """The octets are not kept any longer; who read of them a moment ago finds nothing any more."""


class RawRemovedError(GoneError):
    """Retention of the email's mailbox; another mailbox may have the same mail, and keep its raw."""

    code = "raw_removed"


class ContentRemovedError(GoneError):
    code = "content_removed"


# what keeps octets of an email from being read, for who goes on without them
UNREADABLE = (RawGoneError, RawRemovedError, CorruptRawError)


def new_raw(message: Message, octets: bytes | bytearray) -> RawMessage:
    """The unsaved row that keeps octets for message."""
    return RawMessage(message=message, codec=CODEC, data=zstandard.ZstdCompressor(level=LEVEL).compress(octets))


def read_raw(message: Message) -> bytes:
    """The accepted octets, checked against size and sha256. Raises RawGoneError, CorruptRawError."""
    return unpacked(message, RawMessage.objects.filter(pk=message.pk).first())


def unpacked(message: Message, stored: RawMessage | None) -> bytes:
    """The same of a row that was read, or was not there."""
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


def raw_of(email: Email) -> bytes:
    """The octets that its mailbox keeps of it. Needs its message. Raises what is in UNREADABLE."""
    refuse_if_removed(email)
    return read_raw(email.message)


def refuse_if_removed(email: Email) -> None:
    """Raises RawRemovedError."""
    if email.raw_removed_at is not None:
        raise RawRemovedError(
            f"The raw of this email, with its attachments, was removed on {email.raw_removed_at:%Y-%m-%d}: its mailbox "
            "keeps it no longer than that."
        )


def refuse_if_content_removed(email: Email) -> None:
    """Raises ContentRemovedError."""
    if email.content_removed_at is not None:
        raise ContentRemovedError(
            f"What this email says was removed on {email.content_removed_at:%Y-%m-%d}, and its attachments with it: "
            "its mailbox keeps it no longer than that."
        )


def attachment_octets(attachment: Attachment) -> bytes:
    """The decoded content of an attachment. Raises what is in UNREADABLE."""
    return decoded(attachment, raw_of(attachment.email))


def decoded(attachment: Attachment, octets: bytes) -> bytes:
    """The content of an attachment out of its mail's raw, without a copy of the encoded text."""
    with memoryview(octets) as whole, whole[attachment.offset : attachment.offset + attachment.length] as encoded:
        return b"".join(decoded_chunks(encoded, attachment.encoding))
