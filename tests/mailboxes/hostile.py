# ruff: noqa: E501 - octets are read best in one line
"""Mails that parsers have died of, lied about or slept over, by name.

Each must be answered by the parser (test_mime_hostile.py), and go all the way from a socket to a webhook without
anybody having to wait for it (tests/test_hostile_mail.py).
"""

import base64
from collections.abc import Mapping

LF = {
    # nothing, and what is no header
    "empty": b"",
    "a NUL": b"\0",
    "an empty line": b"\n",
    "a CR alone": b"\r",
    "words": b"hello world",
    "a header after empty lines": b"\n\nSubject: x\n\ny",
    "CR ends lines": b"Subject: x\rTo: y\r\rbody",
    "a line without a colon": b"Subject x\nTo: a@b\n\ny",
    "blanks before colons": b"Subject : x\nTo : a@b\n\ny",
    "a line of an mbox": b"From foo Mon\nSubject: x\n\ny",
    "a colon alone": b":\n: x\n\ny",
    "a fold first": b" folded\nSubject: x\n\ny",
    "folds of blanks only": b"Subject: a\n \n\t\n b\n\ny",
    "a field of 60,000 octets": b"Subject: " + b"x" * 60_000 + b"\n\ny",
    "a name of 60,000 octets": b"x" * 60_000 + b": y\n\nz",
    "names that are not ASCII": b"S\xfcbject: x\nSubject: y\n\nz",
    "a header without an end": b"Subject: x\nX-Y: z",
    "all octets in a header": b"X: " + bytes(range(256)).replace(b"\n", b"") + b"\n\ny",
    "all octets in a body": b"Subject: x\n\n" + bytes(range(256)),
    "random octets": bytes((number * 197 + number // 251) % 256 for number in range(5000)),
    "names of JavaScript's": b"__proto__: x\nconstructor: y\nhasOwnProperty: z\n\nw",
    "a field that says it is ours": b"X-Emailgistics-Loop: x\nAuthentication-Results: mx; spf=pass\n\ny",
    # Message-ID and friends
    "an id in brackets": b"Message-ID: <[83c48ddd-JFBV=@example.com]>\n\nx",
    "an id of a large provider": b"Message-ID: <[anu10].1c69SMTPIN_ADDED_[au5]@[anu13].EXAMPLE.COM>\r\n\r\n",
    "ids that never end": b"References: <a@b> <[c]@d> <\nIn-Reply-To: <[x]>\n\nx",
    "an id with a NUL": b"Message-ID: <a\0b@c>\n\nx",
    "an id of 5,000 octets": b"Message-ID: <" + b"a" * 5000 + b"@b>\n\nx",
    "an id that is a newline": b"Message-ID:\n \n\nx",
    # addresses
    "a quote alone": b'To: "\n\nx',
    "a comment that is a group": b"To: (c):\n\nx",
    "an open bracket": b"To: <@\n\nx",
    "groups in groups": b"To: A:B:C;,;;,\n\nx",
    "open comments": b"To: ((((\n\nx",
    "an encoded quote": b"From: =?utf-8?q?=22?= <a@b>\n\nx",
    "an encoded newline": b"From: =?utf-8?q?foo=0Abar?= <a@b.c>\n\nx",
    "an encoded address": b"To: =?utf-8?Q?a=2Cb=40c?=\n\nx",
    "an encoded NUL before an at": b"From: =?utf-8?b?cG90dXNAZXhhbXBsZS5jb20AYQ==?=@example.net\n\nx",
    "a domain literal never closed": b"From: a@[\n\nx",
    "three ats": b"From: a@b@c <a@b@c>\n\nx",
    "a route never ended": b"From: <@a,@b\n\nx",
    "a route of nothing": b"From: <@,\n\nx",
    "a route": b"From: <@a,@b:c@d>\n\nx",
    "dots only": b"From: a..b@c.. <.@.>\n\nx",
    "a comma at the end": b"Cc: example@example.com,\n\nx",
    "nobody": b"To: \nCc: <>\nBcc: ;\n\nx",
    "two authors": b"From: a@example.com\nFrom: b@example.net\n\nx",
    "two authors in one": b"From: a@example.com, b@example.net\n\nx",
    "two senders": b"Sender: a@b, c@d\nSender: e@f\n\nx",
    "an escaped quote": b'From: "a\\" <x@y>\n\nx',
    "a mailto": b"Reply-To: <mailto:a@b>\n\nx",
    "a name that is an address": b'From: "ceo@example.com" <thief@example.net>\n\nx',
    "a quoted local part with everything": b'From: "\\"<>@,;: \\\\"@example.net\n\nx',
    "a domain that is Unicode": "From: a@bücher.example, b@xn--bcher-kva.example, c@例子.example\n\nx".encode(),
    "a reversed name": "From: \u202egro.elpmaxe@live <a@b.example>\n\nx".encode(),
    "an address of 4,000 octets": b"From: " + b"a" * 2000 + b"@" + b"b" * 2000 + b"\n\nx",
    "escapes only": b"To: " + b"\\" * 999 + b"\n\nx",
    # header octets and encoded words
    "a header in Latin 1": b"Subject: \xff\xfe h\xe9llo\nFrom: \xe9\xe8 <\xe9@x>\n\nx",
    "UTF-8 cut by a fold": b"Subject: \xe2\x82\n \xac and \xf0\x9f\n\nx",
    "surrogates in UTF-8": b"Subject: a\xed\xa0\x80b\xed\xb0\x80c\nFrom: \xed\xa0\x80 <a@b>\n\n\xed\xa0\x80",
    "overlong UTF-8": b"Subject: \xc0\xaf\xe0\x80\xaf\xf8\x88\x80\x80\x80\n\n\xc0\x80",
    "a charset that is none": b"Subject: =?foo-8?q?hello?=\n\nx",
    "a charset with a NUL": b"Subject: =?utf\x00-8?q?hello?=\n\nx",
    "a charset that raises": b"Subject: =?undefined?q?hello?= =?idna?q?hello?= =?punycode?q?hello?=\n\nx",
    "codecs that are no charsets": b"Subject: =?rot13?q?uryyb?= =?base64?q?aGk=?= =?unicode_escape?q?=5Cx00?=\n\nx",
    "UTF-7 and half of UTF-16": b"Subject: =?utf-7?q?+2AA-?= =?utf-16?b?ANg=?=\n\nx",
    "base64 words that are none": b"To: =?utf-8?B?////?= <x@y>\nSubject: =?utf-8?B?=?= =?utf-8?B?A?=\n\nx",
    "a word in a word": b"Subject: =?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=\n\nx",
    "a word never ended": b"Subject: =?utf-8?q?" + b"=C3" * 2000 + b"\n\nx",
    "a word of 50,000 octets": b"Subject: =?utf-8?b?" + b"QUJD" * 12_000 + b"?=\n\nx",
    "controls in encoded words": b"Subject: =?utf-8?q?=00=08=1B=7F=C2=85=E2=80=AE?=\n\nx",
    "a language": b"Subject: =?utf-8*" + b"x" * 200 + b"?q?a?=\n\nx",
    "wrong GB2312": b"Subject: =?gb2312?B?/////w==?=\n\nx",
    "ISO-2022 that never returns": b"Subject: =?iso-2022-jp?b?GyRC?= \x1b$B!!\n\n\x1b$B",
    # dates
    "no date": b"Date: \n\nx",
    "a date of nonsense": b"Date: Mon, 32 Foo 99999 25:61:61 +9999\n\nx",
    "a huge zone": b"Date: Mon, 1 Jan 2020 10:00:00 +99999\n\nx",
    "a huge year": b"Date: Mon, 1 Jan 999999999999999999999 10:00:00 +0000\n\nx",
    "the year 9999": b"Date: Fri, 31 Dec 9999 23:59:59 -1200\n\nx",
    "the year 1": b"Date: Mon, 1 Jan 0001 00:00:00 +2359\n\nx",
    "a date of 100,000 digits": b"Date: " + b"9" * 100_000 + b"\n\nx",
    # Content-Type and parameters
    "no type": b"Content-Type: \n\nx",
    "a slash": b"Content-Type: /\n\nx",
    "semicolons": b"Content-Type: ;;;\n\nx",
    "two types": b"Content-Type: text/html\nContent-Type: text/plain\n\n<p>",
    "a parameter without a value": b"Content-Type: text/plain; name*\n\nx",
    "cut UTF-8 in a parameter": b"Content-Type: text/plain; charset*=utf-8''%E2%82; name*0*=x\n\nx",
    "a piece twice": b'Content-Type: text/plain; name*0="a"; name*0="b"\n\nx',
    "a huge piece number": b"Content-Type: a/b; name*99999999999999999999*=''\n\nx",
    "an empty charset": b"Content-Type: a/b; name*=''\n\nx",
    "half of UTF-16 in a name": b"Content-Type: a/b; name*=utf-16''%D8%00\n\nx",
    "pieces with gaps": b"Content-Type: a/b; name*1=b; name*7=c; name*3*=%64\n\nx",
    "a type of 5,000 octets": b"Content-Type: a/" + b"b" * 5000 + b"\n\nx",
    "a charset of 5,000 octets": b'Content-Type: text/plain; charset="' + b"a" * 5000 + b'"\n\nx',
    "a comment in the type": b"Content-Type: text/plain (x; charset=utf-16); charset=utf-8\n\nx",
    "two charsets": b"Content-Type: text/plain; charset=utf-8; charset=utf-16\n\nxy",
    "a type with a NUL": b"Content-Type: text/\0html\n\n<p>",
    "types that are not ASCII": "Content-Type: text/häml; näme=x\n\ny".encode(),
    "a version of nothing": b"MIME-Version: 1.\nMIME-Version: \n\nx",
    # multiparts
    "no boundary": b"Content-Type: multipart/mixed\n\nx",
    "an empty boundary": b'Content-Type: multipart/mixed; boundary=""\n\n--\nx\n----',
    "a boundary with a newline": b'Content-Type: multipart/mixed; boundary="a\nb"\n\n--ab\n\nx',
    "a boundary of 300 octets": b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n\nx\n" % (b"b" * 300, b"b" * 300),
    "a boundary of 5,000 octets": b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n\nx\n"
    % (b"b" * 5000, b"b" * 5000),
    "a boundary with blanks": b'Content-Type: multipart/mixed; boundary="a b "\n\n--a b \n\nx\n--a b--',
    "a boundary with a NUL": b'Content-Type: multipart/mixed; boundary="a\0b"\n\n--a\0b\n\nx\n--a\0b--',
    "two boundaries": b"Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nx\n--b\n\ny\n",
    "a boundary in pieces": b"Content-Type: multipart/mixed; boundary*0=a; boundary*1=b; boundary=c\n\n--ab\n\nx\n--c\n\ny",
    "a boundary that begins another": b"Content-Type: multipart/mixed; boundary=x\n\n--xy\n\na\n--x\n\nb\n--x--y\n",
    "only an end": b"Content-Type: multipart/mixed; boundary=x\n\n--x--",
    "only a begin": b"Content-Type: multipart/mixed; boundary=x\n\n--x",
    "boundaries only": b"Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\n--x--\n",
    "a boundary in the header": b"Content-Type: multipart/mixed; boundary=x\n--x\nContent-Type: text/plain\n\ny\n--x--\n",
    "the same boundary within": b"%b--x\n%b--x\n\na\n--x--\nb\n--x--\n"
    % (2 * (b"Content-Type: multipart/mixed; boundary=x\n\n",)),
    "an encoded multipart": b"Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n\n"
    + base64.b64encode(b"--x\n\nhidden\n--x--\n"),
    "text before and after": b"Content-Type: multipart/mixed; boundary=x\n\nbefore\n--x\n\nin\n--x--\nafter\n--x\n\nagain\n",
    "an alternative of nothing": b"Content-Type: multipart/alternative; boundary=x\n\n--x\n\n--x--",
    "a digest": b"Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: a\n\nb\n--x\n\n--x--",
    "a multipart of another kind": b"Content-Type: multipart/; boundary=x\n\n--x\n\na\n--x--",
    "related to nothing": b'Content-Type: multipart/related; start="<no>"; boundary=x\n\n--x\nContent-Type: text/html\n\n'
    b'<img src="cid:no"><img src=cid:>\n--x--',
    # messages in messages
    "a base64 mail": b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaGkKCmhp",
    "an empty mail in a mail": b"Content-Type: message/rfc822\n\n",
    "a piece of a mail": b"Content-Type: message/partial; id=a; number=1; total=x\n\nfoo",
    "a body that is elsewhere": b"Content-Type: message/external-body; access-type=local-file; name=/etc/passwd\n\nx: y\n\n",
    # transfer encodings
    "no encoding": b"Content-Transfer-Encoding: \n\nx",
    "an encoding of nonsense": b"Content-Transfer-Encoding: 8-bit;x\n\nx",
    "two encodings": b"Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\naGk=",
    "quoted-printable of nonsense": b"Content-Transfer-Encoding: quoted-printable\n\n=ZZ=\n=\n==\n=3",
    "base64 of nonsense": b"Content-Transfer-Encoding: base64\n\n!!!!A",
    "base64 after its end": b"Content-Transfer-Encoding: base64\n\naGk=aGlkZGVu\n====\nAA==",
    "base64 of one octet a line": b"Content-Transfer-Encoding: base64\n\n" + b"Q\n" * 20_000,
    "uuencode": b"Content-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n\x80\x81zzz\nend",
    "uuencode never begun": b"Content-Type: text/plain\nContent-Transfer-Encoding: uuencode\n\nbegin\nxx",
    "quoted-printable NULs": b"Content-Transfer-Encoding: quoted-printable\n\n=00=1B=7F=ED=A0=80",
    # charsets of bodies
    "a charset of nonsense": b"Content-Type: text/plain; charset=bogus-99\n\nx",
    "a body charset with a NUL": b'Content-Type: text/plain; charset="utf-8\x00"\n\nx',
    "the charset base64": b"Content-Type: text/plain; charset=base64\n\nx",
    "the charset rot13": b"Content-Type: text/plain; charset=rot13\n\nx",
    "the charset UTF-7": b"Content-Type: text/plain; charset=utf-7\n\n+2AA- +ADw-script+AD4-",
    "the charset idna": b"Content-Type: text/plain; charset=idna\n\n" + b"a" * 300,
    "the charset zlib": b"Content-Type: text/plain; charset=zlib\n\nx\x9c\x03\x00",
    "the charset unicode_escape": b"Content-Type: text/plain; charset=unicode_escape\n\n\\ud800\\x00",
    "the charset undefined": b"Content-Type: text/plain; charset=undefined\n\nx",
    "a lone surrogate in UTF-16": b"Content-Type: text/plain; charset=utf-16le\n\n\x00\xd8",
    "UTF-16 cut off": b"Content-Type: text/plain; charset=utf-16\n\n\xff\xfea\0b",
    "UTF-32 beyond Unicode": b"Content-Type: text/plain; charset=utf-32\n\n\xff\xff\xff\x7f",
    "wrong KS C 5601": b"Content-Type: text/plain; charset=ks_c_5601-1987\n\n\xff\xff\xb0\xa1",
    "wrong Shift JIS": b"Content-Type: text/plain; charset=shift_jis\n\n\x81\x81\xfd\xff",
    "wrong ISO-2022-KR": b"Content-Type: text/plain; charset=iso-2022-kr\n\n\x1b$)C\x0e\xff",
    "HZ that never ends": b"Content-Type: text/plain; charset=hz-gb-2312\n\n~{VPND",
    "a byte order mark": b"Content-Type: text/plain; charset=utf-8\n\n\xef\xbb\xbfhi",
    "a charset by path": b"Content-Type: text/plain; charset=../../etc/passwd\n\nx",
    "wrong UTF-8 of 60,000 octets": b"Content-Type: text/plain; charset=utf-8\n\n" + b"\xe9\xff a" * 15_000,
    # names of attachments
    "no disposition": b"Content-Disposition: \n\nx",
    "an empty extended name": b"Content-Disposition: attachment; filename*=\n\nx",
    "a name that climbs": b'Content-Disposition: attachment; filename="../../../etc/passwd"\n\nx',
    "a name that climbs in Windows": b'Content-Disposition: attachment; filename="..\\..\\C:\\a.exe"\n\nx',
    "a name with NULs": b"Content-Disposition: attachment; filename*=utf-8''a%00.exe%00.txt\n\nx",
    "a reversed attachment": b"Content-Disposition: attachment; filename*=utf-8''%E2%80%AEfdp.exe\n\nx",
    "two names": b"Content-Type: a/b; name=a.txt\nContent-Disposition: attachment; filename=a.exe\n\nx",
    "two dispositions": b"Content-Disposition: inline\nContent-Disposition: attachment; filename=b\n\nx",
    "a name of 10,000 octets": b"Content-Disposition: attachment; filename=" + b"a" * 10_000 + b".pdf\n\nx",
    "a name of dots": b'Content-Disposition: attachment; filename="...."\n\nx',
    "a name of a newline": b"Content-Disposition: attachment; filename*=utf-8''a%0D%0AX-Injected:%20x\n\nx",
    "a name of surrogates": b"Content-Disposition: attachment; filename*=utf-8''%ED%A0%80.pdf\n\nx",
    "a name that is a word never ended": b'Content-Disposition: attachment; filename="=?utf-8?q?a"\n\nx',
    "a name with a separator of lines": b"Content-Disposition: attachment; filename*=utf-8''a%E2%80%A8b%E2%80%A9\n\nx",
    "a name in 500 pieces": b"Content-Disposition: attachment"
    + b"".join(b"; filename*%d=a" % number for number in range(500))
    + b"\n\nx",
    "a disposition of nonsense": b"Content-Disposition: \0\xff; filename=a\n\nx",
    "an id for nothing": b"Content-ID: <<>\nContent-Type: image/png\n\nx",
    # reports, lists, calendars
    "a report that is none": b"Content-Type: message/delivery-status\n\nfoo",
    "a report of nothing": b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x--",
    "a report of controls": b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n"
    b"Content-Type: message/delivery-status\n\nAction: \0failed\nStatus: 5\x1b.1.1\nDiagnostic-Code: ;;;\x08\xff\n\n--x--",
    "a report of 20,000 recipients": b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n"
    b"Content-Type: message/delivery-status\n\n" + b"Action: failed\nStatus: 5.1.1\n\n" * 2_000 + b"--x--",
    "a report of one long field": b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n"
    b"Content-Type: message/delivery-status\n\nAction: failed\nDiagnostic-Code: smtp;" + b"\n x" * 20_000 + b"\n--x--",
    "words of qmail and nothing else": b"From: MAILER-DAEMON\n\nHi. This is the qmail-send program at x\n"
    + b"<a@b>:\n" * 3000,
    "unsubscribe by script": b"List-Unsubscribe: <javascript:alert(1)>, <>, <" + b"<" * 5000 + b">\nList-Id: <\0>\n\nx",
    "a calendar of nothing": b"Content-Type: text/calendar; method=\0\n\n",
    "a calendar never closed": b"Content-Type: text/calendar\n\n" + b"BEGIN:VEVENT\n" * 3000,
    "a calendar of the year 0": b"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:00000000T000000Z\n"
    b"DTEND;TZID=../../x:99999999T999999\nDURATION:P99999999999D\nEND:VEVENT\nEND:VCALENDAR\n",
    "a calendar in the year 9999": b"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\n"
    b"DTSTART;TZID=America/New_York:99991231T235959\nDURATION:P9D\nEND:VEVENT\nEND:VCALENDAR\n",
    "a calendar that comes back each second": b"Content-Type: text/calendar\n\nBEGIN:VCALENDAR\nBEGIN:VEVENT\n"
    b"DTSTART:20260101T000000Z\nRRULE:FREQ=SECONDLY;COUNT=999999999\nEND:VEVENT\nEND:VCALENDAR\n",
    "a calendar with controls": b"Content-Type: text/calendar; charset=utf-16\n\nBEGIN:VCALENDAR\0\xd8\xff",
    "winmail of nonsense": b"Content-Type: application/ms-tnef; name=winmail.dat\n\n\x78\x9f\x3e\x22" + b"\xff" * 500,
    "S/MIME of nonsense": b"Content-Type: application/pkcs7-mime; smime-type=\0\n\n0\x80",
    # HTML
    "HTML never closed": b"Content-Type: text/html\n\n<a href='<b <i <!-- <![CDATA[ <script",
    "HTML that acts": b"Content-Type: text/html\n\n<svg onload=alert(1)><script>x</script><a href=java&#1;script:x>y",
    "HTML with impossible characters": b"Content-Type: text/html\n\n&#0;&#xd800;&#x110000;&#99999999999999;&nosuch;\0\x1b",
    "HTML in UTF-16": b"Content-Type: text/html; charset=utf-16\n\n" + "<p>ä\ud7ff".encode("utf-16"),
    "HTML of 5,000 divs": b"Content-Type: text/html\n\n" + b"<div>" * 5000,
    "pictures in themselves": b"Content-Type: text/html\n\n<img src='data:image/svg+xml,<svg onload=alert(1)>'>",
    # line ends and dots
    "LF-dot-LF": b"Subject: x\r\n\r\na\n.\nMAIL FROM:<x@y>\n.\r\r\n",
    "CR-dot-CR": b"Subject: x\r\n\r\na\r.\rb\r\n.\rc\r\n",
    "dots": b"Subject: x\r\n\r\n.\r\n..\r\n...\r\n.x\r\n\n.\r\n",
    "a dot first": b".Subject: x\r\n\r\n.\r\n",
    "LF and CRLF": b"Subject: x\r\nTo: a@b\nCc: c@d\r\n\r\na\nb\r\nc\rd\r\n",
    "CR CR LF": b"Subject: x\r\r\n\r\r\ny\r\r\n",
    "LF CR": b"Subject: x\n\rTo: y\n\r\n\rz",
    "form feeds and separators": "Subject: a\x0b\x0cb\x1c\x1d\x85\u2028c\n\n\x0b\x0c\x85\u2028\u2029".encode(),
    "a line of 100,000 octets": b"Subject: x\r\n\r\n" + b"x" * 100_000 + b"\r\n",
    "no last line end": b"Subject: x\r\n\r\ny",
}

SMUGGLED = "=?utf-8?q?=00=ED=A0=80=1B?= \0\x1b\ud800"


def _everywhere(octets: bytes) -> Mapping[str, bytes]:
    """The same in every place that a mail has text in."""
    fields = ("From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References")
    fields += ("Content-Type", "Content-Disposition", "Content-Transfer-Encoding", "Content-ID", "List-Id", "X-Other")
    fields += ("List-Unsubscribe", "Auto-Submitted", "X-Failed-Recipients", "MIME-Version", "Return-Path", "Received")
    return {
        f"NUL, surrogate and escape in {name}": b"%b: %b\n\n%b" % (name.encode(), octets, octets) for name in fields
    }


HOSTILE: Mapping[str, bytes] = LF | dict(_everywhere(SMUGGLED.encode("utf-8", "surrogatepass")))


def multipart(body: bytes) -> bytes:
    return b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + body


def nested(levels: int) -> bytes:
    level = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    return b"".join(level % (index, index) for index in range(levels)) + b"\r\nhi\r\n"


HTML = b"Content-Type: text/html\r\n\r\n"
# the name of one -> (its octets, a defect that says what was not looked at; empty if all of it was)
BOMBS: Mapping[str, tuple[bytes, str]] = {
    "100 levels": (nested(100), "too_deep"),
    "500 levels": (nested(500), "too_deep"),
    "1,000 levels": (nested(1_000), "too_deep"),
    "5,000 levels": (nested(5_000), "too_deep"),
    "1,000 mails in mails": (b"Content-Type: message/rfc822\r\n\r\n" * 1_000 + b"hi", ""),
    "100,000 parts": (multipart(b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--\r\n"), "too_many_parts"),
    "200,000 fields": (b"A: b\r\n" * 200_000 + b"\r\nx", "too_many_headers"),
    "50,000 addresses": (b"To: " + b", ".join([b"a <a@example.com>"] * 50_000) + b"\n\n", "too_many_addresses"),
    "50,000 encoded words": (b"X: " + b"=?utf-8?q?w?= " * 50_000 + b"\n\n", "too_many_encoded_words"),
    "20,000 parentheses": (b"To: " + b"(" * 20_000 + b"\n\n", "bad_address"),
    "20,000 quotes": (b"To: " + b'"' * 20_001 + b"\n\n", ""),
    "200,000 folds": (b"X: " + b"a\r\n " * 200_000 + b"\r\n\r\n", ""),
    "20,000 parameters": (b"Content-Type: a/b" + b"".join(b";p%d=x" % n for n in range(20_000)) + b"\n\n", ""),
    "a line of 10 MB": (b"Subject: x\r\n\r\n" + b"x" * 10_000_000 + b"\r\n", "text_too_long"),
    "500 kB of div": (HTML + b"<div>" * 100_000, "html_too_complex"),
    # and what else was thought of
    "a million boundaries": (multipart(b"--b\r\n" * 1_000_000), "too_many_parts"),
    "a field of 3 MB": (b"A: " + b"x" * 3_000_000 + b"\r\nB: c\r\n\r\nx", "header_too_large"),
    "500,000 brackets": (b"To: " + b"(" * 500_000 + b"\n\n", "bad_address"),
    "500,000 quotes": (b'To: "' + b'\\"' * 500_000 + b"\n\n", ""),
    "word openers": (b"X: " + b"=?a?q?" * 150_000 + b"\n\n", ""),
    "200,000 parameters of one name": (b"Content-Type: text/plain" + b";a=b" * 200_000 + b"\n\n", ""),
    "open quotes": (b"Content-Type: text/plain" + b';a="\\"' * 150_000 + b"\n\n", ""),
    "references": (b"References: " + b"<a>" * 300_000 + b"\n\n", "too_many_references"),
    "a long date": (b"Date: " + b"1 " * 400_000 + b"\n\n", "bad_date"),
    "900 attachments": (multipart(b"--b\nContent-Type: a/b\n\nx\n" * 900), "too_many_attachments"),
    "dashes": (multipart(b"--a\n" * 2_000_000), "missing_boundary"),
    "a million lines": (b"Subject: x\n\n" + b"some words\n" * 1_000_000, "text_too_long"),
    "tags": (HTML + b"<a" * 6_000_000, "html_too_long"),
    "comments": (HTML + b"<!--" * 3_000_000, "html_too_long"),
    "comments behind divs": (HTML + b"<div>" * 7_500 + b"<!--" * 250_000, "html_too_complex"),
    "a name of combining marks": (
        b'Content-Type: a/b\nContent-Disposition: attachment; filename="a'
        + "\u0315\u0300".encode() * 200_000
        + b'"\n\nx',
        "",
    ),
    "quotes never closed": (HTML + b"<p " * 499 + b"x='>" + b"z" * 1_000_000, ""),
    "formatting": (
        HTML + b"<p>" + b"".join(b"<font size=%d>" % n for n in range(3_000)) + b"</p>" + b"<p>x" * 9_000,
        "html_too_complex",
    ),
    "ampersands": (HTML + b"& " * 500_000, "html_too_complex"),
    "padding": (b"Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n" + b"AA=" * 2_000_000, "bad_base64"),
    "a calendar of 1 MB": (b"Content-Type: text/calendar\r\n\r\n" + b"BEGIN:VEVENT\r\n" * 70_000, "bad_calendar"),
    "a report of 1 MB": (
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        + b"Action: failed\r\n\r\n" * 60_000,
        "missing_end_boundary",
    ),
}
# those that the others are variations of: the way through all of an installation takes seconds for each
MEASURED_BOMBS = (*list(BOMBS)[:15], "comments behind divs", "a name of combining marks")
