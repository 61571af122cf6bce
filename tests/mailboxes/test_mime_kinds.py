"""What kind of mail it is, and what bounces, lists and calendars say."""

import pytest

from mailboxes import mime
from mailboxes.mime.budget import MAX_CALENDAR_OCTETS
from mailboxes.mime.parsed import Bounce, Calendar, MailingList, ParsedMail


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def with_header(*lines: str, body: str = "x") -> ParsedMail:
    return mime.parse(crlf("\n".join((*lines, "", body, ""))))


def report(kind: str, *parts: tuple[str, str], header: str = "From: MAILER-DAEMON@mx.example.org") -> bytes:
    """A multipart/report; each part is (content type, body)."""
    bodies = "".join(f"--r\nContent-Type: {content_type}\n\n{body}\n" for content_type, body in parts)
    return crlf(f'{header}\nContent-Type: multipart/report; report-type={kind}; boundary="r"\n\n{bodies}--r--\n')


# bounces, as hosts really write them


POSTFIX = report(
    "delivery-status",
    ("text/plain", "This is the mail system at host mx.example.org.\n\n<nobody@example.net>: host said: 550 5.1.1 no"),
    (
        "message/delivery-status",
        (
            "Reporting-MTA: dns; mx.example.org\nX-Postfix-Queue-ID: 4F3A1\n"
            "X-Postfix-Sender: rfc822; support@example.com\n"
            "Arrival-Date: Thu,  4 Jun 2026 01:02:03 +0000 (UTC)\n\n"
            "Final-Recipient: rfc822; nobody@example.net\nOriginal-Recipient: rfc822;nobody@example.net\n"
            "Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx.example.net\n"
            "Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.net>:\n"
            "    Recipient address rejected: User unknown in virtual\n    mailbox table"
        ),
    ),
    ("message/rfc822", "From: support@example.com\nMessage-ID: <7.orig@example.com>\nSubject: Hello\n\nhi"),
)
EXCHANGE = report(
    "delivery-status",
    ("text/html", "<p>Ihre Nachricht konnte nicht zugestellt werden.</p>"),
    (
        "message/delivery-status",
        (
            "Reporting-MTA: dns;AM0PR01.prod.example.org\nReceived-From-MTA: dns;mail.example.com\n"
            "Arrival-Date: Thu, 4 Jun 2026 01:02:03 +0000\n\nOriginal-Recipient: rfc822;nobody@example.net\n"
            "Final-Recipient: rfc822;nobody@example.net\nAction: failed\nStatus: 5.1.10\n"
            "Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@example.net not found\n"
            "X-Display-Name: Nobody"
        ),
    ),
    ("text/rfc822-headers", "Received: from x\n by y\nFrom: support@example.com\nMessage-ID:\n <8.orig@example.com>"),
)
GMAIL = report(
    "delivery-status",
    ("text/plain", "** Address not found **\n\nYour message wasn't delivered to nobody@gmail.example."),
    (
        "message/delivery-status",
        (
            "Reporting-MTA: dns; googlemail.example\nArrival-Date: Thu, 04 Jun 2026 01:02:03 -0700 (PDT)\n"
            "X-Original-Message-ID: <9.orig@example.com>\n\n"
            "Final-Recipient: rfc822; nobody@gmail.example\nAction: failed\nStatus: 5.1.1\n"
            "Remote-MTA: dns; gmail-smtp-in.l.google.example. (192.0.2.26, the server for the domain gmail.example.)\n"
            "Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try\n"
            " 550-5.1.1 double-checking the recipient's email address for typos\nLast-Attempt-Date: Thu, 04 Jun"
        ),
    ),
    ("message/rfc822", "From: support@example.com\nMessage-ID: <9.orig@example.com>\n\nhi"),
    header="From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\nX-Failed-Recipients: nobody@gmail.example"
    "\nAuto-Submitted: auto-replied\nSubject: Delivery Status Notification (Failure)",
)
QMAIL = crlf(
    "From: MAILER-DAEMON@mx.example.org\nSubject: failure notice\n\n"
    "Hi. This is the qmail-send program at mx.example.org.\nI'm afraid I wasn't able to deliver your message to the "
    "following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n"
    "<nobody@example.net>:\n192.0.2.9 does not like recipient.\nRemote host said: 550 5.1.1 unknown user\n"
    "Giving up on 192.0.2.9.\n\n--- Below this line is a copy of the message.\n\n"
    "Return-Path: <support@example.com>\nMessage-ID: <10.orig@example.com>\nSubject: Hello\n\nhi\n"
)
EXIM = crlf(
    "From: Mail Delivery System <Mailer-Daemon@mx.example.org>\nX-Failed-Recipients: nobody@example.net\n"
    "Auto-Submitted: auto-replied\nSubject: Mail delivery failed: returning message to sender\n\n"
    "This message was created automatically by mail delivery software.\n\nA message that you sent could not be "
    "delivered to one or more of its\nrecipients. The following address(es) failed:\n\n  nobody@example.net\n"
    "    host mx.example.net [192.0.2.9]\n    SMTP error from remote mail server after RCPT TO:<nobody@example.net>:\n"
    "    550 No such user\n\n------ This is a copy of the message, including all the headers. ------\n\n"
    "Message-ID: <11.orig@example.com>\n\nhi\n"
)


@pytest.mark.parametrize(
    "raw, expected",
    [
        (
            POSTFIX,
            Bounce(
                "failed",
                "5.1.1",
                "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
                "nobody@example.net",
                "<7.orig@example.com>",
            ),
        ),
        (
            EXCHANGE,
            Bounce(
                "failed",
                "5.1.10",
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient nobody@example.net not found",
                "nobody@example.net",
                "<8.orig@example.com>",
            ),
        ),
        (
            GMAIL,
            Bounce(
                "failed",
                "5.1.1",
                "550-5.1.1 The email account that you tried to reach does not exist. Please try "
                "550-5.1.1 double-checking the recipient's email address for typos",
                "nobody@gmail.example",
                "<9.orig@example.com>",
            ),
        ),
        (
            QMAIL,
            Bounce(
                "failed",
                "5.1.1",
                "192.0.2.9 does not like recipient. Remote host said: 550 5.1.1 unknown user Giving up on 192.0.2.9.",
                "nobody@example.net",
                "<10.orig@example.com>",
            ),
        ),
        (
            EXIM,
            Bounce(
                "failed",
                "5.0.0",
                "host mx.example.net [192.0.2.9] SMTP error from remote mail server after RCPT TO:<nobody@example.net>:"
                " 550 No such user",
                "nobody@example.net",
                "<11.orig@example.com>",
            ),
        ),
    ],
    ids=["Postfix", "Exchange", "Gmail", "qmail", "Exim"],
)
@pytest.mark.parametrize("is_null_sender", [True, False])
def test_a_bounce_says_why_whoever_wrote_it(raw: bytes, expected: Bounce, is_null_sender: bool) -> None:
    mail = mime.parse(raw, is_null_sender=is_null_sender)
    assert (mail.kind, mail.bounce, mail.status) == ("bounce", expected, "ok")


def status(*groups: str) -> ParsedMail:
    return mime.parse(
        report("delivery-status", ("message/delivery-status", "Reporting-MTA: dns; x\n\n" + "\n\n".join(groups)))
    )


@pytest.mark.parametrize(
    "action, code, kind",
    [
        ("failed", "5.1.1", "bounce"),
        ("delayed", "4.4.1", "delivery_status"),
        ("delivered", "2.0.0", "delivery_status"),
        ("relayed", "2.0.0", "delivery_status"),
        ("expanded", "2.0.0", "delivery_status"),
    ],
)
def test_a_report_of_what_is_late_or_went_well_is_no_bounce(action: str, code: str, kind: str) -> None:
    mail = status(f"Final-Recipient: rfc822; a@example.net\nAction: {action.title()} (as it is)\nStatus: {code} (text)")
    assert (mail.kind, mail.bounce) == (kind, Bounce(action, code, "", "a@example.net", ""))


def test_of_several_recipients_the_one_that_fared_worst_counts() -> None:
    mail = status(
        "Final-Recipient: rfc822; late@example.net\nAction: delayed\nStatus: 4.2.2",
        "Final-Recipient: rfc822; gone@example.net\nAction: failed\nStatus: 5.1.1",
        "Final-Recipient: rfc822; gone2@example.net\nAction: failed\nStatus: 5.2.2",
    )
    assert mail.bounce is not None
    assert (mail.kind, mail.bounce.final_recipient, mail.bounce.status) == ("bounce", "gone@example.net", "5.1.1")


@pytest.mark.parametrize(
    "fields, expected",
    [
        ("Action: failed\nDiagnostic-Code: smtp; 550 5.7.1 no", ("failed", "5.7.1")),
        ("Action: failed\nDiagnostic-Code: smtp; 552 too big", ("failed", "5.0.0")),
        ("Status: 4.4.7", ("delayed", "4.4.7")),
        ("Status: 5.1.1", ("failed", "5.1.1")),
        ("Action: exploded\nStatus: 5.1.1", ("failed", "5.1.1")),
        ("Action: failed\nStatus: 99.99.99", ("failed", "")),
    ],
)
def test_what_a_report_leaves_out_is_taken_from_the_rest_of_it(fields: str, expected: tuple[str, str]) -> None:
    mail = status(fields)
    assert mail.bounce is not None
    assert (mail.bounce.action, mail.bounce.status) == expected


def test_a_report_without_its_type_is_known_by_its_parts() -> None:
    raw = POSTFIX.replace(b"report-type=delivery-status; ", b"")
    assert mime.parse(raw).bounce == mime.parse(POSTFIX).bounce
    assert mime.parse(raw).kind == "bounce"


WORDS = "Your message to nobody@example.net was not delivered: 550 5.2.2 mailbox full"


@pytest.mark.parametrize(
    "header, is_null_sender, kind",
    [
        ("From: postmaster@example.org\nSubject: Undeliverable: Hello", False, "bounce"),
        ("From: postmaster@example.org\nSubject: Note", True, "bounce"),
        ("From: postmaster@example.org\nSubject: Note", False, "normal"),
        ("From: system@example.org\nSubject: Undeliverable: Hello", True, "bounce"),
        ("From: ada@example.org\nSubject: Undeliverable: Hello", False, "normal"),
        ("From: ada@example.org\nSubject: Hello", True, "normal"),
        ("From: ada@example.org\nSubject: Undeliverable: Hello\nAuto-Submitted: auto-replied", False, "auto_reply"),
    ],
)
def test_a_bounce_in_words_is_known_by_who_sent_it_and_how(header: str, is_null_sender: bool, kind: str) -> None:
    mail = mime.parse(crlf(f"{header}\n\n{WORDS}\n"), is_null_sender=is_null_sender)
    assert mail.kind == kind
    assert (mail.bounce is not None) == (kind == "bounce")
    if mail.bounce:
        assert mail.bounce.status == "5.2.2"


# other reports


@pytest.mark.parametrize("named", ["report-type=feedback-report; ", ""])
def test_a_complaint_is_a_feedback_report_and_no_bounce(named: str) -> None:
    raw = report(
        "feedback-report",
        ("text/plain", "This is an email abuse report"),
        ("message/feedback-report", "Feedback-Type: abuse\nUser-Agent: x/1\nVersion: 1"),
        ("message/rfc822", "From: a@example.com\nSubject: Undeliverable\n\nbuy"),
    ).replace(b"report-type=feedback-report; ", named.encode())
    mail = mime.parse(raw, is_null_sender=True)
    assert (mail.kind, mail.bounce) == ("feedback_report", None)


def test_a_read_receipt_is_one_though_its_sender_is_null() -> None:
    raw = report(
        "disposition-notification",
        ("text/plain", "Read."),
        (
            "message/disposition-notification",
            "Final-Recipient: rfc822;a@example.com\nDisposition: manual-action; displayed",
        ),
        header="From: a@example.com\nSubject: Read: Hello",
    )
    assert mime.parse(raw, is_null_sender=True).kind == "read_receipt"


# answers of machines


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Hello", "Auto-Reply: x", "Out of Office: x", "Automatische Antwort: x",
        "Abwesenheitsnotiz: x",
        "Respuesta automática: x", "Resposta automática: x", "Risposta automatica: x", "Réponse automatique : x",
        "Automatisch antwoord: x", "Autosvar: x", "Automatiskt svar: x", "Odpowiedź automatyczna: x", "Автоответ: x",
        "自动答复: x", "自動応答: x", "자동 회신: x",
    ],
)  # fmt: skip
def test_an_answer_of_a_mail_program_is_known_by_its_subject_in_many_languages(subject: str) -> None:
    assert (
        mime.parse(f"From: ada@example.net\r\nSubject: {subject}\r\n\r\nI am away.\r\n".encode()).kind == "auto_reply"
    )


@pytest.mark.parametrize(
    "subject", ["Out of office next week", "Re: Automatic reply", "Auto reply settings", "Abwesenheit"]
)
def test_what_people_write_about_is_no_answer_of_a_machine(subject: str) -> None:
    assert with_header(f"Subject: {subject}").kind == "normal"


@pytest.mark.parametrize(
    "header, kind",
    [
        ("Auto-Submitted: auto-replied", "auto_reply"),
        ("Auto-Submitted: auto-generated", "auto_reply"),
        ("Auto-Submitted: No", "normal"),
        ("X-Autoreply: yes", "auto_reply"),
        ("X-Autorespond: x", "auto_reply"),
        ("Precedence: auto_reply", "auto_reply"),
        ("X-Auto-Response-Suppress: All", "auto_reply"),
        ("X-Auto-Response-Suppress: All\nList-Id: <a.example>", "list"),
        ("Auto-Submitted: auto-generated\nList-Id: <a.example>", "auto_reply"),
        ("List-Unsubscribe: <mailto:u@example.org>", "list"),
        ("List-Post: NO", "list"),
    ],
)
def test_headers_of_machines_and_lists(header: str, kind: str) -> None:
    assert with_header(*header.split("\n")).kind == kind


# lists


def test_a_list_says_its_id_and_how_to_leave_it_with_one_click() -> None:
    mail = with_header(
        'List-Id: "News, monthly" <news.example.org>',
        "List-Unsubscribe: <mailto:leave@example.org?subject=u>,\n <https://example.org/u/1>, <javascript:alert(1)>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    )
    assert mail.mailing_list == MailingList(
        "news.example.org", ("mailto:leave@example.org?subject=u", "https://example.org/u/1"), one_click=True
    )


@pytest.mark.parametrize(
    "lines, expected",
    [
        (["List-Id: bare.example.org"], MailingList("bare.example.org", (), one_click=False)),
        (
            ["List-Unsubscribe: <http://example.org/u>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click"],
            MailingList("", ("http://example.org/u",), one_click=False),  # RFC 8058 section 3.1 wants https
        ),
        (
            ["List-Unsubscribe: <https://example.org/u>", "List-Unsubscribe-Post: x"],
            MailingList("", ("https://example.org/u",), one_click=False),
        ),
        (["Precedence: bulk"], None),
        (["Subject: x"], None),
    ],
)
def test_what_a_list_does_not_say_is_not_made_up(lines: list[str], expected: MailingList | None) -> None:
    assert with_header(*lines).mailing_list == expected


def test_a_thousand_ways_to_leave_are_cut_to_a_few() -> None:
    urls = ", ".join(f"<https://example.org/{number}>" for number in range(1000))
    mail = with_header(f"List-Unsubscribe: {urls}")
    assert mail.mailing_list is not None
    assert len(mail.mailing_list.unsubscribe) == 10


# calendars


def invitation(event: str, *, content_type: str = "text/calendar; charset=utf-8; method=REQUEST") -> ParsedMail:
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:REQUEST\nBEGIN:VEVENT\n{event}\nEND:VEVENT\nEND:VCALENDAR\n"
    return mime.parse(crlf(f"From: ada@example.net\nContent-Type: {content_type}\n\n{text}"))


@pytest.mark.parametrize(
    "times, start, end",
    [
        ("DTSTART:20260608T100000Z\nDTEND:20260608T113000Z", "2026-06-08T10:00:00.000Z", "2026-06-08T11:30:00.000Z"),
        (
            "DTSTART;TZID=Europe/Berlin:20260608T100000\nDURATION:PT90M",
            "2026-06-08T08:00:00.000Z",
            "2026-06-08T09:30:00.000Z",
        ),
        ("DTSTART;TZID=W. Europe Standard Time:20260608T100000", "2026-06-08T08:00:00.000Z", ""),
        ("DTSTART;VALUE=DATE:20260608\nDTEND;VALUE=DATE:20260610", "2026-06-08", "2026-06-10"),
        ("DTSTART:20260608T100000", "2026-06-08T10:00:00.000", ""),
        ("DTSTART:yesterday", "", ""),
        ("X-NO:times", "", ""),
    ],
)
def test_an_invitation_says_what_and_when(times: str, start: str, end: str) -> None:
    mail = invitation(f"UID:1@example.net\nSUMMARY:Review\\, long\n{times}")
    assert (mail.kind, mail.calendar) == ("calendar", Calendar("REQUEST", "1@example.net", "Review, long", start, end))


def test_a_calendar_that_is_no_invitation_is_told_and_the_mail_is_normal() -> None:
    text = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR"
    mail = mime.parse(crlf(f"Content-Type: text/calendar; name=a.ics\n\n{text}\n"))
    assert (mail.kind, mail.calendar) == ("normal", Calendar("", "1", "", "", ""))
    assert [(each.filename, each.content_type) for each in mail.attachments] == [("a.ics", "text/calendar")]


@pytest.mark.parametrize(
    "text", ["BEGIN:VEVENT\n" * 5000, ":" * 10_000, "\0\x01", "BEGIN:VCALENDAR", "BEGIN:VEVENT\nDTSTART"]
)
def test_a_broken_calendar_costs_nothing_but_itself(text: str) -> None:
    mail = mime.parse(crlf(f"Subject: s\nContent-Type: text/calendar; method=reply\n\n{text}"))
    assert (mail.subject, mail.kind, mail.defects) == ("s", "calendar", ("bad_calendar",))
    assert mail.calendar == Calendar("REPLY", "", "", "", "")


def test_the_first_event_of_a_huge_calendar_is_read() -> None:
    mail = invitation(
        "UID:1\nSUMMARY:One\nEND:VEVENT\n" + "BEGIN:VEVENT\nUID:x\nEND:VEVENT\n" * (MAX_CALENDAR_OCTETS // 30)
    )
    assert mail.calendar == Calendar("REQUEST", "1", "One", "", "")


# marks


@pytest.mark.parametrize(
    "content_type, marks",
    [
        ("multipart/encrypted; protocol=x; boundary=b", ("encrypted",)),
        ("multipart/signed; boundary=b", ("signed",)),
        ("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", ("encrypted",)),
        ("application/x-pkcs7-mime", ("encrypted",)),
        ("application/pkcs7-mime; smime-type=signed-data", ("signed",)),
        ("application/ms-tnef", ("tnef",)),
        ("application/octet-stream; name=WINMAIL.DAT", ("tnef",)),
        ("message/partial; id=1; number=1; total=2", ("partial_message",)),
        ("message/external-body; access-type=URL; URL=http://example.net/x", ("external_body",)),
        ("text/html", ()),
    ],
)
def test_what_is_locked_signed_or_elsewhere_is_marked(content_type: str, marks: tuple[str, ...]) -> None:
    mail = mime.parse(crlf(f"Subject: s\nContent-Type: {content_type}\n\n--b\n\nx\n--b--\n"))
    assert (mail.status, mail.marks) == ("ok", marks)


@pytest.mark.parametrize(
    "text, marks",
    [
        ("-----BEGIN PGP MESSAGE-----\n\nxx", ("encrypted",)),
        ("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nhi", ("signed",)),
        ("> -----BEGIN PGP MESSAGE-----", ()),
    ],
)
def test_pgp_in_the_text_is_marked_and_in_a_quote_is_not(text: str, marks: tuple[str, ...]) -> None:
    assert with_header("Subject: s", body=text).marks == marks
