"""Emails over HTTP: what is in the answers, and that a key learns nothing of what it may not see."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from emailgistics.common.access import Scope
from emailgistics.common.ids import uuid7
from mailboxes import raw
from mailboxes.addresses import address_key
from mailboxes.models import Alias, Attachment, Email, EmailContent, Mailbox, Message, Recipient
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import RAW, make_alias, make_mailbox, make_message
from tests.headers import headers_of

pytestmark = pytest.mark.django_db

AT = datetime(2030, 6, 1, 10, 0, 0, 123_456, tzinfo=UTC)
READ = [Scope.EMAILS_READ]
CONTENT = [Scope.EMAILS_CONTENT]
UNKNOWN = Email(pk=uuid7()).public_id
BYTES = b"%PDF-1.7 \x00\xff"


def make_waiting(
    mailbox: Mailbox, *, octets: bytes = RAW, to: str = "Support@Example.com", alias: Alias | None = None, tag: str = ""
) -> Email:
    """As the listener leaves it."""
    sha256 = hashlib.sha256(octets).hexdigest()
    message = Message.objects.create(
        received_at=AT, mail_from="ada@example.net", client_ip="192.0.2.1", helo="mx.example.net", size=len(octets),
        sha256=sha256,
    )  # fmt: skip
    raw.new_raw(message, octets).save()
    email = Email.objects.create(message=message, mailbox=mailbox, received_at=AT, size=len(octets))
    kind = Recipient.Kind.PLUS if tag else Recipient.Kind.EXACT
    Recipient.objects.create(
        message=message, email=email, mailbox=mailbox, alias=alias, address=to, address_key=address_key(to), kind=kind,
        tag=tag,
    )  # fmt: skip
    return email


def make_processed(mailbox: Mailbox, **how: Any) -> Email:
    email = make_waiting(mailbox, **how)
    Message.objects.filter(pk=email.message_id).update(state="processed", parse_status="partial", parse_defects=["x"])
    EmailContent.objects.create(
        email=email,
        addresses={"to": [{"name": "", "address": "support@example.com"}], "cc": [], "sender": None, "reply_to": []},
        headers=[["Subject", "Broken engine"], ["X-Secret", "content of a header"]],
        text="It does not turn.\r\n",
        html="<p>It does not turn.</p>",
        html_truncated=True,
    )
    Email.objects.filter(pk=email.pk).update(
        status="processed", subject="Broken engine", from_name="Ada Lovelace", from_address="ada@example.net",
        date=AT - timedelta(hours=1), message_id_header="<1@example.net>", has_attachment=True,
    )  # fmt: skip
    return Email.objects.get(pk=email.pk)


def attach(email: Email, *, filename: str = "bill.pdf", content_type: str = "application/pdf") -> Attachment:
    """BYTES as an attachment; they lie unencoded at the end of the raw."""
    return Attachment.objects.create(
        email=email, position=email.attachments.count(), part="1.2", filename=filename, content_type=content_type,
        size=len(BYTES), sha256=hashlib.sha256(BYTES).hexdigest(), encoding="8bit", offset=len(RAW), length=len(BYTES),
    )  # fmt: skip


def counting() -> CaptureQueriesContext:
    return CaptureQueriesContext(connection)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["id"] for entry in answer.json()["data"]]


# --- what is in the answers


def test_a_list_shows_the_log_and_nothing_of_what_the_mail_says() -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    email = make_processed(mailbox, to="Help+7@example.com", alias=alias, tag="7")
    answer = make_client(scopes=READ).get("/v1/emails")
    assert answer["Cache-Control"] == "no-store"
    [entry] = answer.json()["data"]
    assert list(entry)[:2] == ["id", "created_at"]
    assert entry == {
        "id": email.public_id,
        "created_at": "2030-06-01T10:00:00.123Z",
        "message_id": "<1@example.net>",
        "mailbox_id": mailbox.public_id,
        "recipients": [
            {"address": "Help+7@example.com", "alias_id": alias.public_id, "kind": "plus", "tag": "7", "captures": {}}
        ],
        "mail_from": "ada@example.net",
        "from": {"name": "Ada Lovelace", "address": "ada@example.net"},
        "subject": "Broken engine",
        "date": "2030-06-01T09:00:00.123Z",
        "received_at": "2030-06-01T10:00:00.123Z",
        "size": len(RAW),
        "status": "processed",
        "kind": "normal",
        "has_attachment": True,
        "quarantine": None,
        "raw_removed_at": None,
        "content_removed_at": None,
    }


def test_an_email_that_waits_is_seen_waiting() -> None:
    email = make_waiting(make_mailbox())
    client = make_client()
    listed = client.get("/v1/emails").json()["data"][0]
    shown = client.get(f"/v1/emails/{email.public_id}", {"include": "text,html,headers,details"}).json()
    assert (listed["status"], listed["from"], listed["date"], listed["message_id"]) == ("waiting", None, None, None)
    recipient = {"address": "Support@Example.com", "alias_id": None, "kind": "exact", "tag": None, "captures": {}}
    assert listed["recipients"] == [recipient]
    assert shown == {
        **listed,
        "to": [],
        "cc": [],
        "accepted_as": email.message.public_id,
        "source": "smtp",
        "envelope": {"mail_from": "ada@example.net", "client_ip": "192.0.2.1", "helo": "mx.example.net", "tls": None},
        "auth": None,
        "parse": {"status": "", "defects": []},
        "marks": [],
        "raw": {"size": len(RAW), "sha256": hashlib.sha256(RAW).hexdigest()},
        "text": None,
        "text_truncated": None,
        "html": None,
        "html_truncated": None,
        "headers": None,
        "bounce": None,
        "list": None,
        "calendar": None,
    }


def test_the_digest_of_a_mail_is_for_who_may_read_it() -> None:
    """Whoever knows all but a few characters of what it says would try until the digest fits."""
    email = make_processed(make_mailbox())
    url = f"/v1/emails/{email.public_id}"
    shown = [make_client(scopes=scopes).get(url).json()["raw"] for scopes in (READ, [*READ, *CONTENT])]
    assert shown == [{"size": len(RAW), "sha256": digest} for digest in (None, hashlib.sha256(RAW).hexdigest())]


def test_one_email_shows_more_of_the_log_and_content_only_if_asked_for() -> None:
    email = make_processed(make_mailbox())
    client = make_client()
    url = f"/v1/emails/{email.public_id}"
    shown = client.get(url)
    listed = client.get("/v1/emails").json()["data"][0]
    assert shown["Cache-Control"] == "no-store"
    assert shown.json().items() >= listed.items()
    assert shown.json()["to"] == [{"name": "", "address": "support@example.com"}]
    assert shown.json()["parse"] == {"status": "partial", "defects": ["x"]}
    for word in ("turn", "content of a header", "text", "html"):
        assert word not in shown.content.decode()
    text = {"text": "It does not turn.\r\n", "text_truncated": False}
    html = {"html": "<p>It does not turn.</p>", "html_truncated": True}
    headers = {"headers": [["Subject", "Broken engine"], ["X-Secret", "content of a header"]]}
    assert client.get(url, {"include": "text"}).json() == shown.json() | text
    assert client.get(url, {"include": "html,headers"}).json() == shown.json() | html | headers
    assert client.get(url, {"include": ""}).json() == shown.json()


def test_what_kind_of_mail_it_is_needs_no_content_and_what_it_reports_does() -> None:
    email = make_processed(make_mailbox())
    bounce = {"action": "failed", "status": "5.1.1", "diagnostic": "secret reason", "final_recipient": "a@example.net"}
    event = {"method": "REQUEST", "uid": "1", "summary": "secret plan", "start": "2030-06-01", "end": ""}
    EmailContent.objects.update(
        marks=["signed", "api_key", "webhook_secret"], bounce=bounce | {"original_message_id": ""},
        mailing_list={"id": "", "unsubscribe": ["https://example.org/secret"], "one_click": True}, calendar=event,
    )  # fmt: skip
    Email.objects.update(kind="bounce")
    url = f"/v1/emails/{email.public_id}"
    shown = make_client(scopes=READ).get(url)
    assert (shown.json()["kind"], shown.json()["marks"]) == ("bounce", ["signed"])
    assert "secret" not in shown.content.decode().replace("X-Secret", "")
    refused = make_client(scopes=READ).get(url, {"include": "details"})
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")

    told = make_client(scopes=[*READ, *CONTENT]).get(url, {"include": "details"}).json()
    assert told == shown.json() | {
        "marks": ["signed", "api_key", "webhook_secret"],
        "bounce": bounce | {"original_message_id": None},
        "list": {"id": None, "unsubscribe": ["https://example.org/secret"], "one_click": True},
        "calendar": event | {"end": None},
        "raw": {"size": len(RAW), "sha256": hashlib.sha256(RAW).hexdigest()},
    }


def test_an_unknown_part_is_refused_by_name() -> None:
    email = make_processed(make_mailbox())
    answer = make_client().get(f"/v1/emails/{email.public_id}", {"include": "text,preview"})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert answer.json()["errors"][0]["pointer"] == "/include"
    assert "preview" in answer.json()["detail"]


def test_the_raw_is_byte_identical_and_can_only_be_saved() -> None:
    octets = RAW + b"8-bit \xff, a NUL \x00, a bare \n and a bare \r" + bytes(range(256)) * 50
    email = make_waiting(make_mailbox(), octets=octets)
    answer = make_client(scopes=CONTENT).get(f"/v1/emails/{email.public_id}/raw")
    assert answer.status_code == 200
    assert answer.content == octets
    assert answer["Content-Type"] == "message/rfc822"
    assert answer["Content-Length"] == str(len(octets))
    assert answer["Content-Disposition"] == f'attachment; filename="{email.public_id}.eml"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["ETag"] == f'"{email.message.sha256}"'


@pytest.mark.parametrize("accept", ["message/rfc822", "text/html", "application/json", "*/*", "nonsense"])
def test_the_raw_comes_whatever_the_client_accepts(accept: str) -> None:
    email = make_waiting(make_mailbox())
    client = make_client(scopes=CONTENT)
    answer = client.get(f"/v1/emails/{email.public_id}/raw", headers={"Accept": accept})
    assert (answer.status_code, answer.content) == (200, RAW)
    missing = client.get(f"/v1/emails/{UNKNOWN}/raw", headers={"Accept": accept})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_a_client_that_has_it_gets_304_without_the_octets_being_read(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    email = make_waiting(make_mailbox())
    client, url = make_client(scopes=CONTENT), f"/v1/emails/{email.public_id}/raw"
    etag = client.get(url)["ETag"]
    with django_assert_num_queries(2):
        answer = client.get(url, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", etag)
    assert client.get(url, headers={"If-None-Match": '"other"'}).content == RAW


def test_attachments_are_listed_in_their_order_and_downloaded_decoded() -> None:
    email = make_processed(make_mailbox(), octets=RAW + BYTES)
    first, second = attach(email), attach(email, filename="ünïcode.pdf")
    client, url = make_client(scopes=CONTENT), f"/v1/emails/{email.public_id}/attachments"
    listed = client.get(url)
    assert listed["Cache-Control"] == "no-store"
    assert [entry["id"] for entry in listed.json()["data"]] == [first.public_id, second.public_id]
    assert listed.json()["data"][0] == {
        "id": first.public_id,
        "created_at": "2030-06-01T10:00:00.123Z",
        "filename": "bill.pdf",
        "content_type": "application/pdf",
        "detected_type": None,
        "size": len(BYTES),
        "sha256": first.sha256,
        "inline": False,
    }
    answer = client.get(f"{url}/{first.public_id}")
    assert (answer.content, answer["Content-Type"]) == (BYTES, "application/pdf")
    assert answer["Content-Disposition"] == 'attachment; filename="bill.pdf"'
    assert (answer["X-Content-Type-Options"], answer["Cache-Control"]) == ("nosniff", "no-store")
    assert answer["ETag"] == f'"{first.sha256}"'
    other = client.get(f"{url}/{second.public_id}")["Content-Disposition"]
    assert other == "attachment; filename*=utf-8''%C3%BCn%C3%AFcode.pdf"


@pytest.mark.parametrize(
    "declared", ["", "pdf", "text/html; charset=utf-8", "a/b\r\nSet-Cookie: x=1", "é/é", "a/" + "b" * 250]
)
def test_a_declared_type_that_is_none_becomes_octets(declared: str) -> None:
    email = make_processed(make_mailbox(), octets=RAW + BYTES)
    attachment = attach(email, content_type=declared, filename='a"b\r\nX: y')
    answer = make_client().get(f"/v1/emails/{email.public_id}/attachments/{attachment.public_id}")
    assert (answer.content, answer["Content-Type"]) == (BYTES, "application/octet-stream")
    assert answer["Content-Disposition"].startswith("attachment; ")
    assert "Set-Cookie" not in answer
    assert "X" not in answer


# --- lists


def test_a_list_is_newest_first_and_in_pages() -> None:
    mailbox = make_mailbox()
    made = [make_waiting(mailbox).public_id for _ in range(5)][::-1]
    client = make_client(scopes=READ)
    assert ids(client.get("/v1/emails")) == made
    assert ids(client.get("/v1/emails", {"page": 2, "limit": 2})) == made[2:4]
    assert ids(client.get("/v1/emails", {"starting_after": made[2]})) == made[3:]
    assert client.get("/v1/emails", {"limit": 2}).json()["pagination"]["total"] == 5
    assert client.get("/v1/emails", {"limit": 0}).json()["errors"][0]["pointer"] == "/limit"
    assert client.get("/v1/emails", {"page": 401}).json()["code"] == "page_too_deep"


def test_a_list_takes_the_same_queries_for_one_email_and_for_many_and_loads_no_content(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=[mailbox], scopes=READ)
    for _ in range(2):
        for _ in range(5):
            make_processed(mailbox)
        # key, page, recipients; on PostgreSQL its ids before, in a transaction in which the planner is told how
        with django_assert_num_queries(8 if connection.vendor == "postgresql" else 3) as queries:
            client.get("/v1/emails")
        for query in queries.captured_queries:
            assert "emailcontent" not in query["sql"]
            assert "rawmessage" not in query["sql"]


def test_one_email_without_content_does_not_load_its_text() -> None:
    email = make_processed(make_mailbox())
    client = make_client()
    with counting() as queries:
        client.get(f"/v1/emails/{email.public_id}", {"include": "html"})
    assert not any('emailcontent"."text"' in query["sql"] for query in queries.captured_queries)
    assert any('emailcontent"."html"' in query["sql"] for query in queries.captured_queries)


def test_a_filter_keeps_what_came_by_the_alias_or_into_the_mailbox() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    alias = make_alias(mailbox=mailbox)
    by_alias, direct, elsewhere = make_waiting(mailbox, alias=alias), make_waiting(mailbox), make_waiting(other)
    # the same alias twice, as help+a and help+b: still one email
    Recipient.objects.create(
        message=by_alias.message, email=by_alias, mailbox=mailbox, alias=alias, address="x", kind="plus"
    )
    client = make_client(scopes=READ)
    assert ids(client.get("/v1/emails", {"alias_id": alias.public_id})) == [by_alias.public_id]
    assert ids(client.get("/v1/emails", {"mailbox_id": mailbox.public_id})) == [direct.public_id, by_alias.public_id]
    both = {"alias_id": alias.public_id, "mailbox_id": other.public_id}
    assert ids(client.get("/v1/emails", both)) == []
    assert ids(client.get("/v1/emails", {"mailbox_id": other.public_id})) == [elsewhere.public_id]


# --- who may: three keys


@pytest.mark.parametrize(("suffix", "query", "scopes", "lacking"), [
    ("", {}, READ, CONTENT), ("/{id}", {}, READ, CONTENT),
    ("/{id}", {"include": "text"}, READ + CONTENT, READ), ("/{id}", {"include": "headers,x"}, None, READ),
    ("/{id}/raw", {}, CONTENT, [*READ, Scope.EMAILS_WRITE]), ("/{id}/attachments", {}, CONTENT, READ),
    ("/{id}/attachments/{att}", {}, CONTENT, READ),
])  # fmt: skip
def test_who_may_and_who_lacks_the_scope_and_who_lacks_the_mailbox(
    suffix: str, query: dict[str, str], scopes: list[Scope] | None, lacking: list[Scope]
) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    email = make_processed(mailbox, octets=RAW + BYTES)
    url = "/v1/emails" + suffix.format(id=email.public_id, att=attach(email).public_id)
    lacks = make_client(mailboxes=[mailbox], scopes=lacking).get(url, query)
    assert (lacks.status_code, lacks.json()["code"]) == (403, "insufficient_scope")
    assert lacks.json()["required_scopes"] == ["emails:read" if lacking == CONTENT else "emails:content"]
    assert "insufficient_scope" in lacks["WWW-Authenticate"]
    if scopes is None:
        return
    assert make_client(mailboxes=[mailbox], scopes=scopes).get(url, query).status_code == 200
    foreign = make_client(mailboxes=[other], scopes=scopes).get(url, query)
    if suffix:
        assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    else:
        assert (foreign.status_code, foreign.json()["data"], foreign.json()["pagination"]["total"]) == (200, [], 0)


def test_an_email_in_two_mailboxes_shows_each_key_its_own() -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    email = make_waiting(mailbox)
    twin = Email.objects.create(message=email.message, mailbox=other, received_at=AT, size=email.size)
    Recipient.objects.create(message=email.message, email=twin, address="sales@example.com", kind="exact")
    [mine] = make_client(mailboxes=[mailbox]).get("/v1/emails").json()["data"]
    assert mine["id"] == email.public_id
    assert [recipient["address"] for recipient in mine["recipients"]] == ["Support@Example.com"]
    [theirs] = make_client(mailboxes=[other]).get("/v1/emails").json()["data"]
    assert theirs["id"] == twin.public_id
    assert [recipient["address"] for recipient in theirs["recipients"]] == ["sales@example.com"]


def test_mail_of_a_deleted_mailbox_is_nobodys() -> None:
    mailbox = make_mailbox()
    email = make_waiting(mailbox)
    clients = [make_client(), make_client(mailboxes=[mailbox])]
    url = f"/v1/emails/{email.public_id}"
    assert [client.get(url).status_code for client in clients] == [200, 200]
    provision.delete_mailbox(mailbox, with_mail=True)
    for client in clients:
        assert client.get(url).status_code == 404
        assert ids(client.get("/v1/emails")) == []


def seen(client: Client, url: str, query: dict[str, str], method: str) -> tuple[Any, ...]:
    """Everything about an answer by which two could be told apart."""
    with counting() as queries:
        answer: HttpResponse = getattr(client, method)(url, query)
    return answer.status_code, answer.content, json.dumps(headers_of(answer)), len(queries.captured_queries)


@pytest.mark.parametrize("method", ["get", "head", "options", "delete"])
@pytest.mark.parametrize("suffix", ["", "/raw", "/attachments", "/attachments/{att}"])
def test_foreign_unknown_and_malformed_ids_cannot_be_told_apart(suffix: str, method: str) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    foreign = make_processed(other, octets=RAW + BYTES)
    att = attach(foreign).public_id
    deleted_box = make_mailbox(address="gone@example.com")
    deleted = make_waiting(deleted_box)
    _, plaintext = make_key(mailboxes=[mailbox, deleted_box])
    provision.delete_mailbox(deleted_box, with_mail=True)
    client = client_of(plaintext)
    answers = {
        seen(client, f"/v1/emails/{id_}{suffix.format(att=att)}", {}, method)
        for id_ in (foreign.public_id, deleted.public_id, UNKNOWN, mailbox.public_id, "nonsense", "email_", "%00", "é")
    }
    assert len(answers) == 1, answers
    [(status, *_)] = answers
    assert status == {"get": 404, "head": 404, "options": 200, "delete": 405 if suffix else 404}[method]


@pytest.mark.parametrize("name", ["alias_id", "mailbox_id"])
@pytest.mark.parametrize("more", [{}, {"limit": "nonsense"}])
def test_a_filter_tells_nothing_about_what_the_key_may_not_see(name: str, more: dict[str, str]) -> None:
    mailbox, other = make_mailbox(), make_mailbox(address="sales@example.com")
    foreign = {
        "alias_id": make_alias(mailbox=other).public_id,
        "mailbox_id": other.public_id,
    }[name]
    client = make_client(mailboxes=[mailbox])
    prefix = foreign.rpartition("_")[0]
    unknown = f"{prefix}_{UNKNOWN.rpartition('_')[2]}"
    answers = {
        seen(client, "/v1/emails", {name: id_, **more}, "get") for id_ in (foreign, unknown, "nonsense", "", "\0")
    }
    assert len(answers) == 1, answers
    [(status, *_)] = answers
    assert status == 404


def test_an_attachment_is_found_only_in_its_own_email() -> None:
    mailbox = make_mailbox()
    one, other = make_processed(mailbox, octets=RAW + BYTES), make_processed(mailbox, octets=RAW + BYTES)
    attachment = attach(other).public_id
    client = make_client()
    assert client.get(f"/v1/emails/{other.public_id}/attachments/{attachment}").status_code == 200
    answers = {
        seen(client, f"/v1/emails/{one.public_id}/attachments/{id_}", {}, "get")
        for id_ in (attachment, Attachment(pk=uuid7()).public_id, "nonsense")
    }
    assert len(answers) == 1
    assert next(iter(answers))[0] == 404


def test_which_alias_mail_came_by_is_told_to_those_who_may_see_the_alias() -> None:
    own, other = make_mailbox(), make_mailbox(address="archive@example.org")
    alias = provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other])
    make_message(to=("order-Ab7@example.com",))

    def told(email: Email, *mailboxes: Mailbox) -> set[Any]:
        client = make_client(mailboxes=mailboxes or None, scopes=[Scope.EMAILS_READ, Scope.EMAILS_CONTENT])
        listed = next(one for one in client.get("/v1/emails").json()["data"] if one["id"] == email.public_id)
        shown = [client.get(f"/v1/emails/{email.public_id}{more}").json() for more in ("", "?include=text")]
        recipients = [one["recipients"][0] for one in (listed, *shown)]
        assert {one["address"] for one in recipients} == {"order-Ab7@example.com"}
        assert [one["captures"] for one in recipients] == [{"1": "Ab7"}] * 3
        return {one["alias_id"] for one in recipients}

    first, copy = Email.objects.get(mailbox=own), Email.objects.get(mailbox=other)
    assert told(first, own) == told(copy, own, other) == told(copy) == {alias.public_id}
    assert told(copy, other) == {None}
    # nor does a filter find it for them
    client = make_client(mailboxes=[other], scopes=[Scope.EMAILS_READ])
    assert client.get("/v1/emails", {"alias_id": alias.public_id}).status_code == 404
    # an alias that has moved on is another's as well
    third = make_mailbox(address="third@example.com")
    provision.update_alias(alias, mailbox=third)
    assert told(first, own) == {None}
    assert told(first, own, third) == {alias.public_id}
