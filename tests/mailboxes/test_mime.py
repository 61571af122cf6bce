"""What real mails say. Broken and hostile ones: test_mime_hostile.py."""

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from mailboxes import mime
from mailboxes.mime import NameAddress, ParsedAttachment, ParsedMail

EMAILS = Path(__file__).parent.parent / "emails"


def parse_file(name: str) -> tuple[bytes, ParsedMail]:
    raw = (EMAILS / f"{name}.eml").read_bytes()
    return raw, mime.parse(raw)


def octets_of(raw: bytes, attachment: ParsedAttachment) -> bytes:
    encoded = raw[attachment.offset : attachment.offset + attachment.length]
    octets = mime.decode_transfer(encoded, attachment.encoding)
    assert (len(octets), sha256(octets).hexdigest()) == (attachment.size, attachment.sha256)
    return octets


def with_header(line: str, body: str = "x") -> ParsedMail:
    return mime.parse(f"{line}\r\n\r\n{body}\r\n".encode())


def addresses(value: str) -> list[tuple[str, str]]:
    return [(person.name, person.address) for person in with_header(f"To: {value}").to]


# whole mails


def test_a_plain_mail_is_read_whole() -> None:
    raw, mail = parse_file("plain")
    assert mail == ParsedMail(
        status="ok",
        defects=(),
        headers=mail.headers,
        subject="The engine – again",
        date=datetime(2026, 6, 1, 10, tzinfo=timezone(timedelta(hours=2))),
        message_id="<20260601.1@example.net>",
        in_reply_to="<20260531.7@example.com>",
        references=("<20260530.3@example.net>", "<20260531.7@example.com>"),
        from_=NameAddress("Ada Lovelace", "ada@example.net"),
        sender=None,
        reply_to=(NameAddress("", "ada+engine@example.net"),),
        to=(NameAddress("Support, First Line", "support@example.com"), NameAddress("Bob", "bob@example.org")),
        cc=(NameAddress("Charles", "charles@example.net"), NameAddress("", '"the mill"@example.net')),
        text="It does not turn.  Grüße,\nAda\n\n-- \nSent from a difference engine\n",
        text_truncated=False,
        html="",
        html_truncated=False,
        preview="It does not turn. Grüße, Ada -- Sent from a difference engine",
        attachments=(),
        kind="normal",
    )
    assert [name for name, _ in mail.headers][:4] == ["Return-Path", "Received", "From", "To"]
    assert dict(mail.headers)["Subject"] == "The engine – again"
    assert "\n" not in dict(mail.headers)["Received"]
    assert len(mail.headers) == raw.split(b"\r\n\r\n")[0].count(b"\r\n") + 1 - 3  # three lines are folded


def test_an_alternative_gives_text_and_html_and_the_picture_in_it_is_inline() -> None:
    raw, mail = parse_file("alternative_with_picture")
    assert (mail.status, mail.kind, mail.subject) == ("ok", "list", "What’s new in June🌔")
    assert mail.text == "Schöne Grüße aus dem Café. Heute gibt es Kuchen. € 3,50\n"
    assert mail.html.startswith("<html>")
    assert "Schöne Grüße &amp; Kuchen" in mail.html
    assert mail.preview == "Schöne Grüße aus dem Café. Heute gibt es Kuchen. € 3,50"
    (picture,) = mail.attachments
    assert (picture.part, picture.filename, picture.content_type) == ("2.2", "logo.png", "image/png")
    assert (picture.is_inline, picture.content_id) == (True, "logo@example.org")
    assert octets_of(raw, picture).startswith(b"\x89PNG\r\n")


def test_texts_around_an_attachment_are_joined_and_attachments_are_found_by_offset() -> None:
    raw, mail = parse_file("invoice")
    assert (mail.status, mail.defects) == ("partial", ("conflicting_names",))
    assert mail.text == (
        "Please find our invoice attached.\n_______________________________\nThis mailbox is not read."
    )
    assert mail.html == "<p>Please find our invoice attached.</p>"
    assert mail.sender == NameAddress("", "robot@example.net")
    assert [(each.part, each.filename, each.content_type, each.is_inline) for each in mail.attachments] == [
        ("2", "Rechnung März 2026.pdf", "application/pdf", False),
        ("3", "positions.csv", "text/csv", False),
    ]
    pdf, csv = (octets_of(raw, each) for each in mail.attachments)
    assert pdf.startswith(b"%PDF-1.4\n")
    assert pdf.endswith(b"%%EOF\n")
    assert csv == "item;price\r\nRäder;17,00".encode()


def test_a_bounce_keeps_the_returned_mail_closed() -> None:
    raw, mail = parse_file("bounce")
    assert (mail.status, mail.kind) == ("ok", "bounce")
    assert mail.text == "<nobody@example.net>: host 192.0.2.99 said: 550 5.1.1 No such user\n"
    assert [(each.filename, each.content_type) for each in mail.attachments] == [
        ("part-2.txt", "message/delivery-status"),
        ("part-3.eml", "message/rfc822"),
    ]
    assert b"Is anybody there?" in octets_of(raw, mail.attachments[1])


def test_an_unlabelled_mail_in_koi8_is_guessed() -> None:
    _, mail = parse_file("out_of_office")
    assert (mail.status, mail.defects, mail.kind) == ("partial", ("wrong_charset",), "auto_reply")
    assert mail.subject == "Автоответ: отпуск"
    assert mail.from_ == NameAddress("Иван Петров", "ivan@example.org")
    assert mail.text.startswith("Здравствуйте! Я в отпуске до 15 июня.")


def test_unlabelled_latin_octets_are_windows_1252() -> None:
    _, mail = parse_file("eight_bit_header")
    assert mail.subject == "Año nuevo, ¿qué tal?"
    assert mail.from_ == NameAddress("José Núñez", "jose@example.net")
    assert mail.text == "Mañana será otro día.\n"
    assert mail.date == datetime(2026, 1, 1, 5, tzinfo=UTC)


def test_japanese_is_read() -> None:
    _, mail = parse_file("japanese")
    assert (mail.status, mail.subject, mail.text) == ("ok", "お問い合わせ", "お世話になっております。\n")
    assert mail.from_ == NameAddress("山田", "yamada@example.org")


def test_an_internationalised_html_mail_has_no_text_and_a_preview_without_tags() -> None:
    _, mail = parse_file("internationalised")
    assert (mail.status, mail.text, mail.preview) == ("ok", "", "你好，<世界> 再见")
    assert mail.from_ == NameAddress("用户", "用户@例子.example")
    assert mail.to == (NameAddress("", '"quoted local"@example.com'),)


def test_an_invitation_is_an_attachment_with_a_name_of_its_type() -> None:
    _, mail = parse_file("invitation")
    assert [each.filename for each in mail.attachments] == ["part-1.2.ics", "winmail.dat"]
    assert mail.text == "You are invited."


def test_what_is_left_of_a_mail_that_was_cut_off_is_read() -> None:
    raw, mail = parse_file("cut_off")
    assert mail.status == "partial"
    assert set(mail.defects) == {"missing_end_boundary", "unknown_charset", "bad_date", "bad_base64"}
    assert (mail.subject, mail.text, mail.date) == ("cut ü off", "First.", None)
    assert mail.from_ == NameAddress("No Brackets", "carol@example.net")
    assert mail.to == (NameAddress("", "support@example.com"),)
    (picture,) = mail.attachments
    assert picture.filename == "pixel.png"
    assert octets_of(raw, picture).startswith(b"\x89PNG")


def test_words_without_any_header_are_the_text() -> None:
    raw, mail = parse_file("no_header")
    assert (mail.status, mail.headers) == ("partial", ())
    assert mail.text.encode() == raw.replace(b"\r\n", b"\n")


# addresses


@pytest.mark.parametrize(
    "value, expected",
    [
        ("ada@example.net", [("", "ada@example.net")]),
        ("Ada <ada@EXAMPLE.net>", [("Ada", "ada@EXAMPLE.net")]),
        ('"Lovelace, Ada" <ada@example.net>', [("Lovelace, Ada", "ada@example.net")]),
        ('"a \\"b\\" c" <ada@example.net>', [('a "b" c', "ada@example.net")]),
        ("ada@example.net (Ada (Countess))", [("Ada (Countess)", "ada@example.net")]),
        ("=?utf-8?q?A=2C_b=40example=2Eorg?= <ada@example.net>", [("A, b@example.org", "ada@example.net")]),
        ("=?utf-8?q?Lovelace,_Ada?= <ada@example.net>", [("Lovelace, Ada", "ada@example.net")]),
        ("=?utf-8?q?a=40example=2Enet?=", [("a@example.net", "")]),  # decoded text is never an address
        ("a@example.com, , b@example.com;c@example.com,", [("", f"{x}@example.com") for x in "abc"]),
        ("<a@example.com> <b@example.com>", [("", "a@example.com"), ("", "b@example.com")]),
        ("team: a@example.com, B <b@example.com>;", [("", "a@example.com"), ("B", "b@example.com")]),
        ("undisclosed-recipients:;", []),
        ("<>", []),
        ('"', []),
        ("(c):", []),
        ("<@a.example,@b.example:ada@example.net>", [("", "ada@example.net")]),
        ("<mailto:ada@example.net>", [("", "ada@example.net")]),
        ("Ada ada@example.net", [("Ada", "ada@example.net")]),
        ("ada @ example.net", [("", "ada@example.net")]),
        ("<a@example.com, b@example.com>", [("", "a@example.com"), ("", "b@example.com")]),
        ('"a\\" <ada@example.net>', [("a", "ada@example.net")]),
        ('"john doe"@example.net', [("", '"john doe"@example.net')]),
        ("ada@[192.0.2.1], b@[IPv6:2001:db8::1]", [("", "ada@[192.0.2.1]"), ("", "b@[IPv6:2001:db8::1]")]),
        ("Ada", [("Ada", "")]),
    ],
)  # fmt: skip
def test_addresses_are_read_as_people_write_them(value: str, expected: list[tuple[str, str]]) -> None:
    assert addresses(value) == expected


@pytest.mark.parametrize("value", ["Ada", "<@>", "<ada@>", "=?utf-8?q?a=40example=2Enet?="])
def test_what_is_no_address_is_a_defect(value: str) -> None:
    assert with_header(f"From: {value}").defects == ("bad_address",)


def test_two_to_fields_are_both_meant_but_the_first_from_counts() -> None:
    mail = mime.parse(b"To: a@example.com\nFrom: x@example.net\nTo: b@example.com\nFrom: y@example.net\n\n")
    assert [person.address for person in mail.to] == ["a@example.com", "b@example.com"]
    assert mail.from_ == NameAddress("", "x@example.net")
    assert mail.defects == ("duplicate_header",)


@pytest.mark.parametrize("first_line", [b"From ada@example.net Mon Jun  1 2026\n", b">From ada Mon Jun  1 2026\n", b""])
def test_a_line_of_an_mbox_file_is_no_field_and_a_blank_before_the_colon_is_one(first_line: bytes) -> None:
    mail = mime.parse(first_line + b"From : b@example.net\nSubject : x\n\ny")
    assert (mail.from_, mail.subject, mail.text) == (NameAddress("", "b@example.net"), "x", "y")


# header values


@pytest.mark.parametrize(
    "value, expected",
    [
        ("=?utf-8?b?w6Q=?= =?utf-8?b?w7Y=?=", "äö"),
        ("=?utf-8?b?w6Q?=", "ä"),  # no padding
        ("=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # cut within a character
        ("=?UTF-8*de?Q?=C3=A4_x?= y", "ä x y"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("a=?utf-8?q?b?=c", "abc"),
        ("=?iso-8859-1?q?=80?=", "€"),  # they mean Windows-1252
        ("=?x-nope?q?h=C3=A4?=", "hä"),
        ("=?rot13?q?uryyb?=", "uryyb"),
        ("=?utf-8?q?x=0D=0ABcc:_y=00z?=", "x Bcc: yz"),
        ("=?utf-8?x?nothing?=", "=?utf-8?x?nothing?="),
    ],
)
def test_encoded_words_are_decoded_as_far_as_they_can_be(value: str, expected: str) -> None:
    assert with_header(f"Subject: {value}").subject == expected


@pytest.mark.parametrize(
    "value, expected",
    [
        ("Mon, 01 Jun 2026 10:00:00 +0200", datetime(2026, 6, 1, 8, tzinfo=UTC)),
        ("1 Jun 2026 10:00 (no zone)", datetime(2026, 6, 1, 10, tzinfo=UTC)),
        ("Mon, 01 Jun 2026 10:00:00 -0000", datetime(2026, 6, 1, 10, tzinfo=UTC)),
        ("Mon, 32 Foo 99999 25:61:61 +9999", None),
        ("Mon, 1 Jan 2020 10:00:00 +99999", None),
        ("Mon, 1 Jan 999999999999999999999 10:00:00 +0000", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),  # no such instant in UTC
        ("yesterday", None),
    ],
)
def test_a_date_is_aware_and_an_impossible_one_is_none(value: str, expected: datetime | None) -> None:
    mail = with_header(f"Date: {value}")
    assert mail.date == expected
    assert mail.date is None or mail.date.tzinfo is not None
    assert mail.defects == (() if expected else ("bad_date",))


@pytest.mark.parametrize(
    "header, expected",
    [
        ("Subject: x", "normal"),
        ("Auto-Submitted: no", "normal"),
        ("Auto-Submitted: auto-generated; owner=x", "auto_reply"),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=b", "read_receipt"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b", "bounce"),
        ("X-Failed-Recipients: nobody@example.net", "bounce"),
        ("List-Id: <news.example.org>", "list"),
        ("Precedence: Bulk", "list"),
    ],
)
def test_the_kind_of_mail_is_told_from_its_header(header: str, expected: str) -> None:
    assert with_header(header).kind == expected


def test_ids_keep_their_brackets_and_odd_ones_do_not_hurt() -> None:
    mail = mime.parse(b"Message-ID: <[1]@[x].example>\nIn-Reply-To: bare@example.net\nReferences: <a@b> <[c]@d> <\n\n")
    assert mail.message_id == "<[1]@[x].example>"
    assert mail.in_reply_to == "bare@example.net"
    assert mail.references == ("<a@b>", "<[c]@d>")


# attachments' names


@pytest.mark.parametrize(
    "header, expected",
    [
        ("filename=a.pdf", "a.pdf"),
        ('filename="a b.pdf"', "a b.pdf"),
        ("filename*=UTF-8''M%C3%A4rz.pdf", "März.pdf"),
        ("filename*=iso-8859-1'de'M%E4rz.pdf; filename=x.pdf", "März.pdf"),
        ("filename*1*=%C3%A4.pdf; filename*0*=utf-8''M", "Mä.pdf"),
        ("filename*0=a; filename*1=b.pdf", "ab.pdf"),
        ("filename*=M%C3%A4rz.pdf", "März.pdf"),  # without the charset it needs
        ('filename="=?utf-8?Q?M=C3=A4rz=2Epdf?="', "März.pdf"),
        ('filename="März.pdf"', "März.pdf"),
        ('filename="../../etc/passwd"', "passwd"),
        ('filename="C:\\tmp\\a.pdf"', "a.pdf"),
        ("filename*=utf-8''a%00b%0A%0D.pdf", "ab .pdf"),
        ("filename*=utf-8''%E2%80%AEfdp.exe", "fdp.exe"),
        ("filename=..", "part-1.pdf"),
        ('filename="/"', "part-1.pdf"),
        ("", "part-1.pdf"),
    ],
)
def test_names_of_attachments_are_found_and_made_safe(header: str, expected: str) -> None:
    mail = with_header(f"Content-Type: application/pdf\r\nContent-Disposition: attachment; {header}")
    assert [each.filename for each in mail.attachments] == [expected]


def test_a_long_name_keeps_its_extension() -> None:
    mail = with_header(f'Content-Type: application/pdf; name="{"ä" * 300}.pdf"')
    (attachment,) = mail.attachments
    assert attachment.filename == "ä" * 125 + ".pdf"
    assert len(attachment.filename.encode()) <= 255


# bodies


def test_a_text_that_is_attached_is_no_body() -> None:
    mail = with_header("Content-Type: text/plain\r\nContent-Disposition: attachment", "secret plan")
    assert (mail.text, [each.filename for each in mail.attachments]) == ("", ["part-1.txt"])


def test_a_named_text_is_the_body_only_where_it_comes_first() -> None:
    part = b"Content-Type: text/plain; name=%b.txt\n\n%b\n--b\n"
    mail = mime.parse(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + part % (b"a", b"A") + part % (b"c", b"C"))
    assert mail.text == "A"
    assert [each.filename for each in mail.attachments] == ["c.txt"]


def test_the_last_of_equal_alternatives_is_the_best() -> None:
    mail = mime.parse(b"Content-Type: multipart/alternative; boundary=b\n\n--b\n\npoor\n--b\n\nrich\n--b--\n")
    assert (mail.text, mail.attachments) == ("rich", ())


def test_parts_of_a_digest_are_mails() -> None:
    mail = mime.parse(b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\nx\n--b--\n")
    assert [(each.content_type, each.filename) for each in mail.attachments] == [("message/rfc822", "part-1.eml")]


@pytest.mark.parametrize(
    "charset, encoding",
    [
        ("shift_jis", "cp932"),
        ("ks_c_5601-1987", "cp949"),
        ("gb2312", "gb18030"),
        ("windows-874", "cp874"),
        ("iso-8859-1", "cp1252"),
        ("utf-16", "utf-16"),
        ('"UTF-8"', "utf-8"),
        ("x-unknown", "utf-8"),
        ("", "utf-8"),
    ],
)
def test_charsets_are_read_as_their_senders_mean_them(charset: str, encoding: str) -> None:
    text = {"cp932": "①髙", "cp949": "똠", "gb18030": "镕€", "cp874": "ก€"}.get(encoding, "€")
    mail = mime.parse(f"Content-Type: text/plain; charset={charset}\n\n".encode() + text.encode(encoding))
    assert (mail.text, mail.defects) == (text, ())


def test_a_broken_octet_does_not_spoil_the_rest_of_the_text() -> None:
    body = "Grüße aus Köln, schöne Tage".encode() * 3 + b"\xff"
    mail = mime.parse(b"Content-Type: text/plain; charset=utf-8\n\n" + body)
    assert mail.text == "Grüße aus Köln, schöne Tage" * 3 + "\ufffd"
    assert mail.defects == ("wrong_charset",)


def test_controls_do_not_leave_the_parser() -> None:
    mail = mime.parse(b"Subject: a\x00b\x1bc\x7f\xc2\x85d\n\nx\x00y\x08\r\nz\ttab\x1b[31m\r\n")
    assert (mail.subject, mail.text) == ("abcd", "xy\nz\ttab[31m\n")
