"""Keys and secrets of ours in a mail are found, counted and never repeated; and what a file is, is seen."""

import base64
import io
import json
import logging
import zipfile
from itertools import count

import pytest

from apikeys.credentials import new_key, new_webhook_secret, parse_key
from mailboxes import mime
from mailboxes.mime.own_keys import OwnKeys
from mailboxes.mime.sniffing import detected_type
from mailboxes.models import Email, EmailContent, Message
from mailboxes.services import process, reparse
from tests.factories import make_email, make_mailbox
from tests.mailboxes.test_reparse import again, worker

__all__ = ["worker"]

STRIPE = "whsec_" + base64.b64encode(bytes(range(24))).decode()


def found_in(text: str) -> tuple[list[str], bool]:
    keys = OwnKeys()
    keys.look_in(text)
    return list(keys.api_keys), keys.has_webhook_secret


def test_the_form_is_that_of_the_keys_that_are_made() -> None:
    for _ in range(50):
        key = new_key()
        assert found_in(f"key={key.plaintext}.") == ([parse_key(key.plaintext)], False)
        assert found_in(f'"{new_webhook_secret()}"') == ([], True)


@pytest.mark.parametrize(
    "text",
    [
        new_key().identifier,
        new_key().plaintext[:-1],
        new_key().plaintext + "x",
        "x" + new_key().plaintext,
        new_key().plaintext[:-1] + "_",
        f"emgk_{'a' * 10}_{'b' * 38}",
        "whsec_short",
        f"whsec_{'a' * 33}",
        "whsec_" * 10_000,
        "emgk_" * 10_000,
    ],
    ids=count(),  # keys are made anew each time, and what two processes run has to have the same names
)  # fmt: skip
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert found_in(text) == ([], False)


KEY = new_key()


@pytest.mark.parametrize(
    "raw",
    [
        f"Subject: {KEY.plaintext}\r\n\r\nx",
        f"X-Key: {KEY.plaintext}\r\n\r\nx",
        f"Subject: s\r\n\r\nAuthorization: Bearer {KEY.plaintext}\r\n",
        f"Content-Type: text/html\r\n\r\n<p>{KEY.plaintext}</p>",
        "Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(f"x {KEY.plaintext}".encode()).decode(),
        "Content-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(json.dumps({"key": KEY.plaintext}).encode()).decode(),
        f"Content-Type: text/plain\r\nContent-Disposition: attachment; filename=.env\r\n\r\nKEY={KEY.plaintext}\r\n",
        f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{KEY.plaintext[:20]}=\r\n{KEY.plaintext[20:]}\r\n",
    ],
    ids=count(),  # keys are made anew each time, and what two processes run has to have the same names
)  # fmt: skip
def test_a_key_is_found_wherever_it_stands_in_the_mail(raw: str) -> None:
    mail = mime.parse(raw.encode())
    assert (mail.api_keys, mail.marks) == ((KEY.identifier,), ("api_key",))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "own_secret_found" in line]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("worker")
def test_an_alarm_names_the_mail_and_the_key_but_not_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    make_mailbox()
    secret = new_webhook_secret()
    with caplog.at_level(logging.WARNING):
        email = make_email(raw=f"Subject: keys\r\n\r\n{KEY.plaintext} and {secret}\r\n".encode())
        (line,) = lines(caplog)
        assert all(word in line for word in (email.public_id, KEY.identifier, "api_key", "webhook_secret"))
        assert KEY.plaintext not in caplog.text
        assert secret not in caplog.text
        assert EmailContent.objects.get().marks == ["api_key", "webhook_secret"]
        make_email(raw=b"Subject: none\r\n\r\nhi\r\n")
        assert len(lines(caplog)) == 1

        # an older parser did not see it; opened again, it is an alarm once
        EmailContent.objects.filter(email=email).update(marks=[])
        Message.objects.update(parse_version=1)
        assert sorted(report["outcome"] for report in again()) == ["changed", "unchanged"]
        assert sorted(report["outcome"] for report in again()) == ["unchanged", "unchanged"]
        assert len(lines(caplog)) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("worker")
def test_html_for_people_is_stored_and_made_again_and_nobody_is_told_of_it() -> None:
    make_mailbox()
    make_email(raw=b"Content-Type: text/html\r\n\r\n<p onclick=x>Hi</p><script>y</script>\r\n")
    content = EmailContent.objects.get()
    assert (content.html_safe, content.text) == ("<p>Hi</p>\n", "")
    EmailContent.objects.update(html_safe="")
    Message.objects.update(parse_version=1)
    heard: list[str] = []
    from tests.mailboxes.test_process import hearing

    with hearing(lambda changed, **_: heard.append(str(changed))):
        (report,) = again()
    assert (report["outcome"], report["changed"], heard) == ("changed", ["html_safe"], [])
    assert EmailContent.objects.get().html_safe == "<p>Hi</p>\n"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("worker")
def test_all_that_the_second_parser_reads_more_is_made_again_out_of_what_the_first_one_left() -> None:
    make_mailbox()
    event = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR"
    part = "--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n{}\r\n"
    raw = (
        "From: mailer-daemon@example.net\r\nSubject: Undelivered\r\nList-Id: <l.example.net>\r\n"
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n<a@example.net>: 550 5.1.1 no\r\n"
        f"{part.format(event)}--b\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.4\r\n--b--\r\n"
    ).encode()
    email = make_email(raw=raw)
    made = EmailContent.objects.values().get()
    assert made["bounce"]["status"] == "5.1.1"
    assert made["mailing_list"] == {"id": "l.example.net", "unsubscribe": [], "one_click": False}
    assert (made["calendar"]["uid"], made["marks"]) == ("1", ["signed"])
    EmailContent.objects.update(bounce=None, mailing_list=None, calendar=None, marks=[])
    Email.objects.update(kind="list")
    email.attachments.update(detected_type="")
    assert process.mime.VERSION == 2
    assert reparse.chosen(older_than_version=2).count() == 0
    Message.objects.update(parse_version=1)
    (report,) = list(reparse.reparse(reparse.chosen(older_than_version=2)))
    assert report["changed"] == ["attachments", "bounce", "calendar", "kind", "list", "marks"]
    assert EmailContent.objects.values().get() == made
    assert email.attachments.get(content_type="application/pdf").detected_type == "application/pdf"


# what a file is


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.txt", "x")
    return target.getvalue()


@pytest.mark.parametrize(
    "octets, expected",
    [
        (b"%PDF-1.4\n", "application/pdf"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"MZ" + bytes(100), "application/x-msdownload"),
        (zipped(), "application/zip"),
        (b"\n <!DOCTYPE html><html>", "text/html"),
        (b"<script>alert(1)</script>", "text/html"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"><script/></svg>', "image/svg+xml"),
        (b"just words", ""),
        (b"", ""),
        (b"<p>", ""),
        (b"<!--" * 100_000, ""),
        (b"<?xml" * 100_000, ""),
    ],
    ids=count(),  # keys are made anew each time, and what two processes run has to have the same names
)  # fmt: skip
def test_a_file_is_known_by_its_first_octets(octets: bytes, expected: str) -> None:
    assert detected_type(octets) == expected


def test_what_is_declared_and_what_is_there_are_both_said() -> None:
    mail = mime.parse(
        b"Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\n====TVqQAAMAAAA=\r\n"
    )
    (attachment,) = mail.attachments
    assert (attachment.content_type, attachment.detected_type) == ("image/png", "application/x-msdownload")
