import base64
import binascii
import quopri
from hashlib import sha256

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import mime, raw
from mailboxes.mime import decode_transfer, transfer
from mailboxes.models import Attachment, Email, Message
from tests.factories import RAW, make_mailbox

MAIL = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(b"%PDF" * 100) + b"--b--\r\n"
)


def stored(octets: bytes) -> Message:
    message = Message.objects.create(
        received_at=timezone.now(), size=len(octets), sha256=sha256(octets).hexdigest(), mail_from="ada@example.net"
    )
    raw.new_raw(message, octets).save()
    return message


@pytest.mark.django_db
@pytest.mark.parametrize("octets", [RAW, b"", b"\0", b"no line end", bytes(range(256)) * 5000])
def test_what_was_stored_is_read_back_octet_by_octet(octets: bytes) -> None:
    assert raw.read_raw(stored(octets)) == octets


@pytest.mark.django_db
def test_what_does_not_unpack_is_said_to_be_corrupt() -> None:
    message = stored(RAW)
    message.raw.data = bytes(message.raw.data)[:-10]
    message.raw.save()
    with pytest.raises(raw.CorruptRawError, match=message.public_id):
        raw.read_raw(message)


@pytest.mark.django_db
def test_other_octets_than_the_accepted_ones_are_said_to_be_corrupt() -> None:
    message = stored(RAW)
    raw.new_raw(message, RAW.replace(b"Ada", b"Eve")).save(force_update=True)
    with pytest.raises(raw.CorruptRawError, match="not the accepted ones"):
        raw.read_raw(message)


@pytest.mark.django_db
def test_an_attachment_is_read_out_of_the_raw_as_the_parser_saw_it() -> None:
    message = stored(MAIL)
    mailbox = make_mailbox()
    email = Email.objects.create(message=message, mailbox=mailbox, received_at=message.received_at, size=message.size)
    (found,) = mime.parse(MAIL).attachments
    attachment = Attachment.objects.create(
        email=email,
        position=0,
        part=found.part,
        filename=found.filename,
        content_type=found.content_type,
        size=found.size,
        sha256=found.sha256,
        encoding=found.encoding,
        offset=found.offset,
        length=found.length,
    )
    assert raw.attachment_octets(attachment) == b"%PDF" * 100
    assert found.sha256 == sha256(b"%PDF" * 100).hexdigest()


@pytest.mark.parametrize(
    "encoded, expected",
    [
        (b"", b""),
        (b"aGk=", b"hi"),
        (b"aGk", b"hi"),
        (b"aGkhC", b"hi!"),  # six bits more than whole octets
        (b"a-G_k\x00=\xff\r\n", b"hi"),
        (b"aGk=aGk=", b"hihi"),
        (b"aGk==aGk", b"hihi"),
        (b"====", b""),
        (b"A", b""),
    ],
)
def test_base64_gives_what_can_be_had(encoded: bytes, expected: bytes) -> None:
    assert decode_transfer(encoded, "base64") == expected


@pytest.mark.parametrize(
    "encoded, expected",
    [
        (b"a=3Db=\r\nc", b"a=bc"),
        (b"a=\nb", b"ab"),
        (b"a= \t\r\nb", b"ab"),  # blanks that a host on the way added
        (b"=ZZ=", b"=ZZ"),
        (b"=c3=a4", "ä".encode()),
        (b"100= 5\n", b"100= 5\n"),
    ],
)
def test_quoted_printable_gives_what_can_be_had(encoded: bytes, expected: bytes) -> None:
    assert decode_transfer(encoded, "quoted-printable") == expected


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "", "x-unknown"])
def test_other_encodings_leave_the_octets_alone(encoding: str) -> None:
    assert decode_transfer(b"a=3D\r\n\xff", encoding) == b"a=3D\r\n\xff"


@given(st.binary(max_size=500))
def test_what_was_encoded_comes_back(content: bytes) -> None:
    assert decode_transfer(base64.encodebytes(content), "base64") == content
    assert decode_transfer(base64.b64encode(content).rstrip(b"="), "base64") == content
    assert decode_transfer(quopri.encodestring(content), "quoted-printable") == content


@given(st.lists(st.sampled_from([b"A", b"Qk", b"=", b"==", b"\r\n", b"!", b"QUJD"])).map(b"".join), st.integers(1, 9))
def test_where_a_chunk_ends_changes_nothing(encoded: bytes, chunk_octets: int) -> None:
    whole = decode_transfer(encoded, "base64")
    clean = transfer.is_clean_base64(memoryview(encoded))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, "CHUNK_OCTETS", chunk_octets)
        assert decode_transfer(encoded, "base64") == whole
        assert transfer.is_clean_base64(memoryview(encoded)) == clean


@given(st.binary(max_size=300))
def test_clean_base64_is_what_a_strict_decoder_takes_or_its_padding_is_odd(content: bytes) -> None:
    text = base64.encodebytes(content)
    assert transfer.is_clean_base64(memoryview(text))
    assert not transfer.is_clean_base64(memoryview(text + b"!"))
    assert not transfer.is_clean_base64(memoryview(text + b"A"))
    with pytest.raises(binascii.Error):
        base64.b64decode(text + b"!", validate=True)
