"""What events say, in each form."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apikeys.credentials import new_key
from mailboxes.models import Alias
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks.events import data_of, email_of, make_event, octets_of, process_event
from tests.webhooks.mails import made_mails
from webhooks import payloads
from webhooks.models import Delivery, Event, EventBody, Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

FORMS = EventBody.Form.values
PICTURE = b"\x89PNG" + bytes(range(256))
MAIL = (
    b"From: Ada Lovelace <ada@example.net>\r\nSender: ops@example.net\r\nReply-To: Ada <ada@example.org>\r\n"
    b"To: Support <support@example.com>, b@example.com\r\nCc: c@example.com\r\nSubject: Re: Broken engine\r\n"
    b"Date: Mon, 01 Jun 2026 10:00:00 +0200\r\nMessage-ID: <2@example.net>\r\nIn-Reply-To: <1@example.com>\r\n"
    b"References: <0@example.com> <1@example.com>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nIt turns \xf0\x9f\x99\x82.\r\n\r\n"
    b"On Mon, Jun 1, 2026 at 9:00 AM Support <support@example.com> wrote:\r\n\r\n> Oil it.\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>It turns.</p>\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: inline; filename=engine.png\r\n\r\n" + base64.encodebytes(PICTURE).replace(b"\n", b"\r\n") +
    b"--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=plan.pdf\r\n\r\n"
    b"%PDF\r\n--b--\r\n"
)  # fmt: skip


def test_the_full_form_says_all_that_is_known(settings: Any) -> None:
    settings.BASE_URL = "https://mail.example.com"
    event = make_event(MAIL)
    email = email_of(event)
    whole = json.loads(octets_of(event))
    assert list(whole) == ["type", "timestamp", "data"]
    assert (whole["type"], whole["timestamp"]) == ("email.received", payloads.instant(event.created_at))
    data = whole["data"]
    picture, plan = data.pop("attachments")
    headers = data.pop("headers")
    text = "It turns 🙂.\n\nOn Mon, Jun 1, 2026 at 9:00 AM Support <support@example.com> wrote:\n\n> Oil it."
    assert data == {
        "id": email.public_id,
        "mailbox": {"id": email.mailbox.public_id, "address": "support@example.com", "name": ""},
        "alias": None,
        "domain": {"id": email.mailbox.domain.public_id, "name": "example.com"},
        "route": {"kind": "exact", "tag": None, "captures": {}},
        "recipients": [
            {"address": "support@example.com", "alias_id": None, "kind": "exact", "tag": None, "captures": {}}
        ],
        "received_at": payloads.instant(email.received_at),
        "source": "smtp",
        "envelope": {
            "mail_from": "ada@example.net",
            "rcpt_to": ["support@example.com"],
            "client_ip": "192.0.2.1",
            "helo": "mail.example.net",
            "tls": None,
        },
        "auth": None,
        "message_id": "<2@example.net>",
        "in_reply_to": "<1@example.com>",
        "references": ["<0@example.com>", "<1@example.com>"],
        "subject": "Re: Broken engine",
        "date": "2026-06-01T08:00:00.000Z",
        "from": {"name": "Ada Lovelace", "address": "ada@example.net"},
        "sender": {"name": "", "address": "ops@example.net"},
        "reply_to": [{"name": "Ada", "address": "ada@example.org"}],
        "to": [{"name": "Support", "address": "support@example.com"}, {"name": "", "address": "b@example.com"}],
        "cc": [{"name": "", "address": "c@example.com"}],
        "text": text,
        "text_truncated": False,
        "html": "<p>It turns.</p>",
        "html_truncated": False,
        "preview": "It turns 🙂. On Mon, Jun 1, 2026 at 9:00 AM Support <support@example.com> wrote: > Oil it.",
        "reply": {"text": "It turns 🙂."},
        "headers_truncated": False,
        "kind": "normal",
        "bounce": None,
        "list": None,
        "calendar": None,
        "marks": [],
        "parse": {"status": "ok", "defects": []},
        "quarantine": None,
        "raw": {
            "size": len(MAIL),
            "sha256": hashlib.sha256(MAIL).hexdigest(),
            "url": data["raw"]["url"],
        },
    }
    assert headers[0] == ["From", "Ada Lovelace <ada@example.net>"]
    assert data["raw"]["url"].startswith(f"https://mail.example.com/files/{event.public_id}/raw/k1_")
    assert plan == {
        "id": plan["id"],
        "filename": "plan.pdf",
        "content_type": "application/pdf",
        "detected_type": "application/pdf",
        "size": 4,
        "sha256": hashlib.sha256(b"%PDF").hexdigest(),
        "inline": False,
        "content_id": None,
        "url": plan["url"],
    }
    assert plan["url"].startswith(f"https://mail.example.com/files/{event.public_id}/{plan['id']}/k1_")
    assert (picture["filename"], picture["inline"], picture["content_id"]) == ("engine.png", True, "pic")


def test_what_each_form_leaves_out() -> None:
    event = make_event(MAIL)
    full, thin, metadata = (data_of(event, form) for form in ("full", "thin", "metadata"))
    said = {"text", "text_truncated", "html", "html_truncated", "preview", "reply", "headers", "headers_truncated"}
    assert thin == {name: value for name, value in full.items() if name not in said}
    # of the header, emails:read shows From, To, Cc, Subject, Date and Message-ID
    assert thin.keys() - metadata.keys() == {
        "sender", "reply_to", "in_reply_to", "references", "list", "calendar",
    }  # fmt: skip
    same = metadata.keys() - {"attachments", "raw"}
    assert {name: metadata[name] for name in same} == {name: thin[name] for name in same}
    assert metadata["raw"].keys() == {"size"}
    for attachment in metadata["attachments"]:
        assert attachment.keys() == {"id", "content_type", "detected_type", "size", "inline"}
    told = json.dumps(metadata)
    digest = hashlib.sha256(PICTURE).hexdigest()
    for content in (
        "plan.pdf",
        "/files/",
        "It turns",
        '"pic"',
        digest,
        "ops@example.net",
        "ada@example.org",
        "<0@",
        "<1@",
    ):
        assert content in json.dumps(full)
        assert content not in told


def test_what_a_bounce_an_invitation_and_a_list_say_is_told_and_metadata_leaves_out_what_is_content() -> None:
    key = new_key().plaintext
    raw = (
        "From: MAILER-DAEMON@example.net\r\nSubject: Undelivered\r\nList-Id: <list.example.net>\r\n"
        "List-Unsubscribe: <https://example.net/leave>\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
        f"--b\r\n\r\n<nobody@example.net>: 550 5.1.1 unknown, {key}\r\nMessage-ID: <first@example.com>\r\n"
        "--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:uid1\r\n"
        "SUMMARY:Plans\r\nDTSTART;VALUE=DATE:20300601\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n--b--\r\n"
    ).encode()
    event = make_event(raw)
    full, metadata = data_of(event), data_of(event, "metadata")
    assert full["kind"] == metadata["kind"] == "bounce"
    assert full["bounce"] == {
        "action": "failed",
        "status": "5.1.1",
        "diagnostic": f"550 5.1.1 unknown, {key} Message-ID: <first@example.com>",
        "final_recipient": "nobody@example.net",
        "original_message_id": "<first@example.com>",
    }
    assert full["list"] == {"id": "list.example.net", "unsubscribe": ["https://example.net/leave"], "one_click": False}
    calendar = {"method": "REQUEST", "uid": "uid1", "summary": "Plans", "start": "2030-06-01", "end": None}
    assert full["calendar"] == calendar
    assert full["marks"] == ["signed", "api_key"]
    assert metadata["bounce"] == {"action": "failed", "status": "5.1.1"}
    assert metadata["marks"] == ["signed"]
    told = json.dumps(metadata)
    for content in ("nobody", "unknown", "first@", "list.example", "leave", "uid1", "Plans", "2030-06", key, "api_key"):
        assert content in json.dumps(full)
        assert content not in told


def test_a_body_of_an_older_release_is_cut_down_as_well() -> None:
    event = make_event(MAIL)
    kept = EventBody.objects.get(event=event)
    old = json.loads(bytes(kept.body))
    for name in ("bounce", "list", "calendar", "marks"):
        del old["data"][name]
    for attachment in old["data"]["attachments"]:
        del attachment["detected_type"]
    EventBody.objects.filter(pk=kept.pk).update(body=payloads.render(old))
    email_of(event).content.delete()
    assert data_of(event, "metadata")["kind"] == "normal"


def test_inline_carries_attachments_as_octets_and_is_the_full_form_otherwise() -> None:
    event = make_event(MAIL)
    full, inline = data_of(event), data_of(event, "inline")
    picture, plan = inline["attachments"]
    assert base64.b64decode(picture["content"], validate=True) == PICTURE
    assert (base64.b64decode(plan["content"]), plan["content_omitted"]) == (b"%PDF", None)
    for attachment in inline["attachments"]:
        del attachment["content"], attachment["content_omitted"]
    assert inline == full


def test_inline_stops_at_the_cap_of_all_attachments_together(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [b"x" * 60, b"y" * 50, b"z" * 40]
    mail = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(
        b"--b\r\nContent-Disposition: attachment; filename=a\r\n\r\n%b\r\n" % part for part in parts
    )
    monkeypatch.setattr(payloads, "MAX_INLINE_BYTES", 100)
    event = make_event(mail + b"--b--\r\n")
    entries = data_of(event, "inline")["attachments"]
    decoded = [entry["content"] and base64.b64decode(entry["content"]) for entry in entries]
    assert decoded == [parts[0], None, parts[2]]
    assert [entry["content_omitted"] for entry in entries] == [None, "too_large", None]
    assert all("/files/" in entry["url"] for entry in entries)


def test_inline_of_a_mail_whose_raw_is_gone_says_so() -> None:
    event = make_event(MAIL)
    email_of(event).message.raw.delete()
    entries = data_of(event, "inline")["attachments"]
    assert [(entry["content"], entry["content_omitted"]) for entry in entries] == [(None, "unavailable")] * 2


def test_an_alias_that_led_here_is_named() -> None:
    alias = make_alias()
    make_webhook(alias=alias)
    raw = b"Subject: s\r\n\r\n"
    event = process_event(make_message(raw=raw, to=("support@example.com", "help+tag@example.com")), raw)
    data = data_of(event)
    assert data["alias"] == {"id": alias.public_id, "address": "help@example.com"}
    assert data["route"] == {"kind": "plus", "tag": "tag", "captures": {}}
    assert data["envelope"]["rcpt_to"] == ["support@example.com", "help+tag@example.com"]
    assert [entry["alias_id"] for entry in data["recipients"]] == [None, alias.public_id]
    assert Alias.objects.count() == 1


def test_long_texts_and_headers_are_cut_and_say_so() -> None:
    mail = (
        b"".join(b"X-Header: %b\r\n" % (b"v" * 900) for _ in range(100))
        + b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
        + b"--b\r\nContent-Type: text/plain\r\n\r\n"
        + b"t" * (payloads.MAX_BODY_CHARACTERS + 1)
        + b"\r\n--b\r\nContent-Type: text/html\r\n\r\n"
        + b"h" * payloads.MAX_BODY_CHARACTERS
        + b"\r\n--b--\r\n"
    )
    data = data_of(make_event(mail))
    assert (data["text"], data["text_truncated"]) == ("t" * payloads.MAX_BODY_CHARACTERS, True)
    assert (data["html"], data["html_truncated"]) == ("h" * payloads.MAX_BODY_CHARACTERS, False)
    assert data["headers_truncated"] is True
    assert 60_000 < sum(len(name) + len(value) for name, value in data["headers"]) <= payloads.MAX_HEADERS_CHARACTERS


def test_what_is_made_later_out_of_the_database_is_what_was_made_with_the_mail_at_hand() -> None:
    mailbox = make_mailbox()
    wanted = {
        "full": {},
        "inline": {"attachments": "inline"},
        "thin": {"thinned_at": timezone.now()},
        "metadata": {"payload": "metadata"},
    }
    for fields in wanted.values():
        Webhook.objects.filter(pk=make_webhook(mailbox=mailbox).pk).update(**fields)
    for raw in [MAIL, *made_mails(30, seed=4)]:
        event = make_event(raw, mailbox=mailbox)
        made = dict(EventBody.objects.filter(event=event).values_list("form", "body"))
        assert sorted(made) == sorted(FORMS)
        Delivery.objects.filter(event=event).update(body=None)
        EventBody.objects.filter(event=event).delete()
        for form in FORMS:
            assert octets_of(event, form) == bytes(made[form]), raw


def stored_now(event: Event) -> payloads.StoredEmail:
    email = email_of(event)
    return payloads.StoredEmail(
        email=email,
        content=email.content,
        recipients=list(email.recipients.all()),
        attachments=list(email.attachments.order_by("position")),
    )


# --- octets


@pytest.fixture(scope="module")
def same_in_javascript() -> Iterator[Callable[[bytes], bool]]:
    node = shutil.which("node")
    if node is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", "node is needed here"
        pytest.skip("Node.js is not installed")
    with subprocess.Popen(
        [node, str(Path(__file__).with_name("node_json.js"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(octets: bytes) -> bool:
            stdin.write(octets.hex().encode() + b"\n")
            stdin.flush()
            return stdout.readline() == b"same\n"

        yield ask
        stdin.close()


def test_the_comparison_with_javascript_sees_a_difference(same_in_javascript: Callable[[bytes], bool]) -> None:
    assert same_in_javascript(b'{"a":1,"b":"\xe2\x80\xa8"}')
    assert not same_in_javascript(b'{"a": 1}')
    assert not same_in_javascript(b'{"a":1.0}')
    assert not same_in_javascript(b'{"b":"\\u2028"}')


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "id", "text"]), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["type", "data"]), VALUES))
@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_payload_is_what_javascript_writes(
    same_in_javascript: Callable[[bytes], bool], payload: dict[str, Any]
) -> None:
    octets = payloads.render(payload)
    assert same_in_javascript(octets)
    assert b"\x00" not in octets
    assert b"\\u0000" not in octets.replace(b"\\\\", b"")
    octets.decode("utf-8", "strict")


@pytest.mark.on_sqlite  # the octets are the same in any database
def test_every_form_of_every_mail_is_what_javascript_writes(same_in_javascript: Callable[[bytes], bool]) -> None:
    mailbox = make_mailbox()
    for raw in made_mails(100, seed=1):
        event = make_event(raw, mailbox=mailbox)
        for form in FORMS:
            assert same_in_javascript(octets_of(event, form)), raw


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_what_readers_of_json_do_not_take_is_replaced(text: str) -> None:
    assert json.loads(payloads.render({"text": text})) == {"text": "a\ufffdb"}


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, b"octets", {"nested": [1.5]}, ("tuple",)])
def test_what_javascript_writes_otherwise_is_no_payload(value: Any) -> None:
    with pytest.raises(TypeError):
        payloads.render({"value": value})


def test_hostile_texts_of_the_envelope_are_sendable(same_in_javascript: Callable[[bytes], bool]) -> None:
    event = make_event(MAIL)
    stored = stored_now(event)
    stored.email.message.helo = "\ud800 helo \u2028"
    stored.email.mailbox.name = "nul \x00"
    octets = payloads.render(payloads.email_received(event, stored))
    assert same_in_javascript(octets)
    data = json.loads(octets)["data"]
    assert (data["envelope"]["helo"], data["mailbox"]["name"]) == ("\ufffd helo \u2028", "nul \ufffd")
