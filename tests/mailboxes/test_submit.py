"""POST /v1/emails: mail in by HTTP, in this process."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from emailgistics.common.access import Scope
from emailgistics.common.errors import DomainError
from emailgistics.common.requests import MAX_BODY_BYTES
from mailboxes.models import Alias, Email, Mailbox, Message, RawMessage, Recipient, Refusal, ResendGuard, Rule
from mailboxes.raw import read_raw
from mailboxes.services import admit, provision, receive, rules, submit
from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt
from mailboxes.services.rules import Case, Judgement
from tests.apikeys.factories import make_client
from tests.factories import RAW, make_alias, make_mailbox
from tests.headers import headers_of
from tests.mailboxes.api_client import answered, lacks_scope, not_found_in, problem

pytestmark = pytest.mark.django_db(transaction=True)

TO = "support@example.com"


@pytest.fixture(autouse=True)
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is outside; what would go to it is listed instead."""
    told: list[str] = []
    monkeypatch.setattr(receive, "nudge", told.append)
    return told


def path(*recipients: str, **more: str) -> str:
    return "/v1/emails?" + urlencode({"recipient": recipients, **more}, doseq=True)


def submit_to(
    client: Client, *recipients: str, raw: bytes = RAW, content_type: str = "message/rfc822", **more: str
) -> Any:
    client.raise_request_exception = False
    return client.post(path(*recipients, **more), raw, content_type=content_type)


def stored_counts() -> list[int]:
    return [model.objects.count() for model in (Message, RawMessage, Email, Recipient, Refusal, ResendGuard)]


NOTHING = [0, 0, 0, 0, 0, 0]


def query_problem(pointer: str, code: str, detail: str) -> dict[str, Any]:
    summary = f"{pointer.lstrip('/')}: {detail}" if pointer else detail
    return problem(400, "validation_error", summary, errors=[{"pointer": pointer, "code": code, "detail": detail}])


# --- taken


def test_a_mail_is_stored_as_over_smtp_and_says_where_it_came_from(nudges: list[str]) -> None:
    alias = make_alias()
    answer = submit_to(make_client(scopes=[Scope.EMAILS_SUBMIT]), "help+7@example.com", mail_from="ada@example.net")
    message, email = Message.objects.get(), Email.objects.get()
    assert answered(answer) == (201, {
        "id": message.public_id, "resent": False, "discarded": False,
        "emails": [{"id": email.public_id, "mailbox_id": alias.mailbox.public_id}],
    })  # fmt: skip
    assert answer["Cache-Control"] == "no-store"
    assert (message.source, message.mail_from, message.client_ip, message.helo, message.state) == (
        Message.Source.API, "ada@example.net", None, "", Message.State.WAITING,
    )  # fmt: skip
    assert read_raw(message) == RAW
    recipient = Recipient.objects.get()
    assert (recipient.address, recipient.alias, recipient.tag) == ("help+7@example.com", alias, "7")
    assert nudges == ["mailboxes.tasks.process"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"no header\r\n",
        RAW.replace(b"\r\n", b"\n"),
        RAW + b".\r\n..\r\n\r.\n.\n",
        b"From ada@example.net Mon Jun  1 10:00:00 2026\n" + RAW,
        bytes(range(256)) * 2,
        b"x" * 3_000_000,
    ],
)
def test_the_octets_are_those_of_the_body(raw: bytes) -> None:
    make_mailbox()
    assert submit_to(make_client(), TO, raw=raw).status_code == 201
    assert read_raw(Message.objects.get()) == raw


@pytest.mark.parametrize("content_type", ["message/rfc822", "Message/RFC822; charset=utf-8", "message/global"])
def test_mail_says_that_it_is_mail(content_type: str) -> None:
    make_mailbox()
    assert submit_to(make_client(), TO, content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "more, mail_from",
    [
        ({}, ""),
        ({"mail_from": ""}, ""),
        ({"mail_from": "<>"}, ""),
        ({"mail_from": "<ada@example.net>"}, "ada@example.net"),
        ({"mail_from": "root"}, "root"),
        ({"mail_from": "jürgen@bücher.example"}, "jürgen@bücher.example"),
    ],
)
def test_the_envelope_sender(more: dict[str, str], mail_from: str) -> None:
    make_mailbox()
    assert submit_to(make_client(), TO, **more).status_code == 201
    assert Message.objects.get().mail_from == mail_from


def test_several_recipients_are_one_message_and_an_email_for_each_mailbox() -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_alias(mailbox=support)
    answer = submit_to(make_client(), TO, "sales@example.com", "help@example.com", TO)
    assert answer.status_code == 201
    assert {entry["mailbox_id"] for entry in answer.json()["emails"]} == {support.public_id, sales.public_id}
    assert stored_counts() == [1, 1, 2, 3, 0, 3]


def test_a_hundred_recipients_are_taken_and_one_more_is_not() -> None:
    make_mailbox()
    many = [f"support+{n}@example.com" for n in range(101)]
    detail = "A mail has at most 100 recipients."
    assert answered(submit_to(make_client(), *many)) == (400, query_problem("/recipient", "max_length", detail))
    assert stored_counts() == NOTHING
    assert submit_to(make_client(), *many[:100]).status_code == 201
    assert Recipient.objects.count() == 100


def test_a_test_domain_takes_mail_by_http() -> None:
    provision.create_domain(name="trial.example", is_test=True)
    with override_settings(TEST_NETWORKS=[]):
        assert submit_to(make_client(), "inbox@trial.example").status_code == 201


def test_the_same_mail_again_is_answered_with_the_first_and_stored_once() -> None:
    make_mailbox()
    client = make_client()
    first = submit_to(client, TO, mail_from="ada@example.net").json()
    again = submit_to(client, TO, mail_from="ada@example.net")
    assert answered(again) == (200, first | {"resent": True})
    assert (Message.objects.count(), Message.objects.get().resends) == (1, 1)
    # another sender, another recipient, other octets: another mail
    other = submit_to(client, TO, mail_from="eve@example.net").json()
    tagged = submit_to(client, "support+1@example.com", mail_from="ada@example.net").json()
    changed = submit_to(client, TO, mail_from="ada@example.net", raw=RAW + b"\r\n").json()
    assert len({entry["id"] for entry in (first, other, tagged, changed)}) == 4


def test_a_mail_that_marks_none_of_it_as_its_own_is_a_new_one_each_time() -> None:
    make_mailbox()
    raw = b"Subject: Temperature\r\n\r\n21\r\n"
    answers = [submit_to(make_client(), TO, raw=raw) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert Message.objects.count() == 2


@pytest.mark.parametrize("came", ["by SMTP", "by another key"])
def test_what_somebody_else_sent_is_no_word_to_a_key_that_guesses_it(came: str) -> None:
    """Otherwise `resent` would confirm a mail that it may not read."""
    support = make_mailbox()
    if came == "by SMTP":
        envelope = Envelope(mail_from="ada@example.net", client_ip="192.0.2.1")
        receive.receive_message(envelope=envelope, admissions=[admit.admit(TO, envelope=envelope)], raw=RAW)
    else:
        submit_to(make_client(), TO, mail_from="ada@example.net")
    guessing = make_client(mailboxes=[support], scopes=[Scope.EMAILS_SUBMIT])
    answer = submit_to(guessing, TO, mail_from="ada@example.net")
    own = Email.objects.order_by("pk")[1]
    assert answered(answer) == (201, {
        "id": own.message.public_id, "resent": False, "discarded": False,
        "emails": [{"id": own.public_id, "mailbox_id": support.public_id}],
    })  # fmt: skip
    assert submit_to(guessing, TO, mail_from="ada@example.net").json()["resent"] is True
    assert Message.objects.count() == 2


# --- who may


def test_the_scope_is_emails_submit_and_no_other() -> None:
    make_mailbox()
    others = [scope for scope in Scope if scope != Scope.EMAILS_SUBMIT]
    assert answered(submit_to(make_client(scopes=others), TO)) == (403, lacks_scope("emails:submit"))
    assert submit_to(Client(), TO).status_code == 401
    assert stored_counts() == NOTHING


def hidden_recipients(mine: Mailbox) -> list[str]:
    """What a key for `mine` may not reach; the first was never anybody's."""
    sales, secret = make_mailbox(address="sales@example.com"), make_mailbox(address="secret@example.org")
    make_alias(address="offers@example.com", mailbox=sales)
    make_alias(address="secrets@example.org", mailbox=secret)
    off = make_alias(address="off@example.com", mailbox=sales)
    off.is_active = False
    off.save()
    mine_off = make_alias(address="mine@example.com", mailbox=mine)
    mine_off.is_active = False
    mine_off.save()
    provision.delete_alias(make_alias(address="gone@example.com", mailbox=mine))
    make_alias(address="order-*@example.com", mailbox=sales)
    provision.create_alias(address="both@example.com", mailbox=sales, further_mailboxes=[mine])
    return [
        "nobody@example.com", "sales@example.com", "sales+tag@example.com", "offers@example.com", "off@example.com",
        "mine@example.com", "gone@example.com", "abuse@example.com", "secrets@example.org", "secret@example.org",
        "nobody@example.org", "nobody@elsewhere.example", "order-7@example.com",
        "both@example.com",
    ]  # fmt: skip


@pytest.mark.parametrize("others", [(), (TO,)])
def test_a_recipient_that_the_key_may_not_reach_is_like_one_that_does_not_exist(others: tuple[str, ...]) -> None:
    mine = make_mailbox()
    client = make_client(mailboxes=[mine])
    seen = []
    for hidden in hidden_recipients(mine):
        with CaptureQueriesContext(connection) as queries:
            answer = submit_to(client, *others, hidden)
        assert answered(answer) == (404, not_found_in("recipient")), hidden
        seen.append((hidden, answer.content, json.dumps(headers_of(answer)), len(queries)))
    assert len({entry[1:] for entry in seen}) == 1, seen
    assert stored_counts() == NOTHING
    assert submit_to(client, TO).status_code == 201


# --- copies to mailboxes that the key may not open


@pytest.fixture
def copied() -> tuple[Mailbox, Mailbox]:
    """help@ is of the first, and copies to the second."""
    mine, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    provision.create_alias(address="help@example.com", mailbox=mine, further_mailboxes=[sales])
    return mine, sales


def kept_in() -> set[str]:
    return set(Email.objects.values_list("mailbox__local_part", flat=True))


def test_who_gets_a_copy_is_not_told_and_gets_it(copied: tuple[Mailbox, Mailbox]) -> None:
    mine, _ = copied
    client = make_client(mailboxes=[mine])
    for status, is_resend in ((201, False), (200, True)):
        answer = submit_to(client, "help@example.com")
        own = Email.objects.get(mailbox=mine)
        assert answered(answer) == (status, {
            "id": own.message.public_id, "resent": is_resend, "discarded": False,
            "emails": [{"id": own.public_id, "mailbox_id": mine.public_id}],
        })  # fmt: skip
    assert kept_in() == {"support", "sales"}
    assert Message.objects.count() == 1


def test_a_key_for_all_of_them_is_told_of_all(copied: tuple[Mailbox, Mailbox]) -> None:
    answer = submit_to(make_client(mailboxes=copied), "help@example.com")
    assert {entry["mailbox_id"] for entry in answer.json()["emails"]} == {mailbox.public_id for mailbox in copied}


@pytest.mark.parametrize("action", Rule.Action.values)
@pytest.mark.parametrize("has_copy", [True, False])
def test_what_a_rule_of_its_own_mailbox_says_is_answered_as_without_the_copy(
    copied: tuple[Mailbox, Mailbox], action: str, *, has_copy: bool
) -> None:
    mine, _ = copied
    if not has_copy:
        provision.update_alias(Alias.objects.get(), further_mailboxes=[])
    Rule.objects.create(action=action, mailbox=mine, criterion=Rule.Criterion.SIZE, value="1")
    client = make_client(mailboxes=[mine])
    answers = [submit_to(client, "help@example.com") for _ in range(2)]
    emails = [len(answer.json().get("emails", ())) for answer in answers]
    assert ([answer.status_code for answer in answers], emails) == {
        "allow": ([201, 200], [1, 1]), "quarantine": ([201, 200], [1, 1]),
        "discard": ([200, 200], [0, 0]), "block": ([409, 409], [0, 0]),
    }[action]  # fmt: skip
    # where its own mailbox keeps nothing, nobody gets it
    assert kept_in() == ({"support"} | ({"sales"} if has_copy else set()) if emails[0] else set())


@pytest.mark.parametrize("action", Rule.Action.values)
def test_nor_is_what_a_rule_of_the_other_says(copied: tuple[Mailbox, Mailbox], action: str) -> None:
    mine, sales = copied
    Rule.objects.create(action=action, mailbox=sales, criterion=Rule.Criterion.SIZE, value="1")
    answer = submit_to(make_client(mailboxes=[mine]), "help@example.com")
    assert (answer.status_code, answer.json()["discarded"], len(answer.json()["emails"])) == (201, False, 1)
    assert kept_in() == ({"support", "sales"} if action in ("allow", "quarantine") else {"support"})


def test_nor_that_the_other_is_full(copied: tuple[Mailbox, Mailbox]) -> None:
    """It gets its copy all the same: the mail was taken, and nobody would be told that it is missing there."""
    mine, sales = copied
    Mailbox.objects.filter(pk=sales.pk).update(quota_bytes=10)
    assert submit_to(make_client(mailboxes=[mine]), "help@example.com").status_code == 201
    assert kept_in() == {"support", "sales"}
    Mailbox.objects.filter(pk=mine.pk).update(quota_bytes=10)
    refused = submit_to(make_client(mailboxes=[mine]), "help@example.com")
    assert (refused.status_code, refused.json()["code"]) == (429, "mailbox_full")


def test_while_its_own_mailbox_is_disabled_the_copy_is_no_reason_to_take_it(copied: tuple[Mailbox, Mailbox]) -> None:
    mine, _ = copied
    provision.update_mailbox(mine, is_active=False)
    assert answered(submit_to(make_client(mailboxes=[mine]), "help@example.com")) == (404, not_found_in("recipient"))
    assert stored_counts() == NOTHING


def test_an_alias_of_a_foreign_mailbox_is_hidden_while_that_is_disabled_too() -> None:
    mine, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    provision.create_alias(address="offers@example.com", mailbox=sales, further_mailboxes=[mine])
    client = make_client(mailboxes=[mine])
    for is_active in (True, False):
        provision.update_mailbox(sales, is_active=is_active)
        assert answered(submit_to(client, "offers@example.com")) == (404, not_found_in("recipient"))
    assert stored_counts() == NOTHING


def test_an_alias_that_moves_away_in_the_middle_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    alias, sales = make_alias(), make_mailbox(address="sales@example.com")
    client = make_client(mailboxes=[alias.mailbox])

    def moved(requests: Any) -> list[Admission | DomainError]:
        alias.mailbox = sales
        alias.save()
        return admit.admit_all(requests)

    monkeypatch.setattr(submit, "admit_all", moved)
    assert answered(submit_to(client, "help@example.com")) == (404, not_found_in("recipient"))
    assert stored_counts() == NOTHING


# --- rules


def judged(monkeypatch: pytest.MonkeyPatch, action: Rule.Action, mailbox: Mailbox) -> list[int | None]:
    """Mail to that mailbox is treated so; gives the sizes that rules are told."""
    Rule.objects.create(action=action, mailbox=mailbox, criterion=Rule.Criterion.SIZE, value="1")
    sizes: list[int | None] = []
    really = rules.judge

    def judge(cases: Sequence[Case]) -> list[Judgement]:
        sizes.extend(case.size for case in cases)
        return really(cases)

    monkeypatch.setattr(rules, "judge", judge)
    return sizes


def test_a_mail_that_a_rule_blocks_is_409_for_all_its_recipients(monkeypatch: pytest.MonkeyPatch) -> None:
    support = make_mailbox()
    make_mailbox(address="sales@example.com")
    sizes = judged(monkeypatch, Rule.Action.BLOCK, support)
    for client in (make_client(), make_client(mailboxes=[support])):
        expected = problem(409, "blocked_by_rule", "A rule blocks this mail.")
        assert answered(submit_to(client, TO)) == (409, expected)
    assert answered(submit_to(make_client(), "sales@example.com", TO)) == (409, expected)
    assert stored_counts() == NOTHING
    assert set(sizes) == {len(RAW)}


def test_what_a_rule_says_for_a_foreign_mailbox_is_as_hidden_as_the_mailbox(monkeypatch: pytest.MonkeyPatch) -> None:
    sales, support = make_mailbox(address="sales@example.com"), make_mailbox()
    sizes = judged(monkeypatch, Rule.Action.BLOCK, sales)
    client = make_client(mailboxes=[support])
    assert answered(submit_to(client, "sales@example.com")) == (404, not_found_in("recipient"))
    assert answered(submit_to(client, TO, "sales@example.com")) == (404, not_found_in("recipient"))
    assert sizes == []


def test_a_mail_that_a_rule_discards_is_taken_and_only_the_discard_is_on_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged(monkeypatch, Rule.Action.DISCARD, make_mailbox())
    answer = submit_to(make_client(), TO)
    refusal = Refusal.objects.get()
    assert answered(answer) == (
        200, {"id": refusal.public_id, "resent": False, "discarded": True, "emails": []}
    )  # fmt: skip
    assert refusal.source == Message.Source.API
    assert stored_counts() == [0, 0, 0, 0, 1, 0]


def test_a_mail_that_is_discarded_for_one_is_stored_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    sales = make_mailbox(address="sales@example.com")
    judged(monkeypatch, Rule.Action.DISCARD, make_mailbox())
    answer = submit_to(make_client(), TO, "sales@example.com")
    assert (answer.status_code, answer.json()["discarded"]) == (201, False)
    assert [entry["mailbox_id"] for entry in answer.json()["emails"]] == [sales.public_id]
    assert stored_counts() == [1, 1, 1, 1, 1, 1]


# --- not taken


@pytest.mark.parametrize(
    "query, pointer, code, detail",
    [
        ("", "/recipient", "required", "Say for whom it is: recipient=support@example.com"),
        ("recipient=", "/recipient", "invalid_address", "“” is not an address; write it like support@example.com."),
        (
            "recipient=support", "/recipient", "invalid_address",
            "“support” is not an address; write it like support@example.com.",
        ),
        (
            "recipient=support+7@example.com", "/recipient", "invalid_address",
            "This is no recipient address; write it like support@example.com. In a query, + is written %2B.",
        ),
        (
            "recipient=a%3E%20NOTIFY=NEVER", "/recipient", "invalid_address",
            "This is no recipient address; write it like support@example.com. In a query, + is written %2B.",
        ),
        (
            f"recipient={TO}&mail_from=a%00b@example.net", "/mail_from", "invalid_address",
            "This is no sender address; write it like ada@example.net.",
        ),
        (
            f"recipient={TO}&mail_from={'x' * 321}", "/mail_from", "invalid_address",
            "This is no sender address; write it like ada@example.net.",
        ),
        (
            f"recipient={TO}&mail_from=a@example.net&mail_from=b@example.net", "/mail_from", "repeated",
            "This is there more than once: give it once.",
        ),
        (
            f"recipient={TO}&from=a@example.net", "/from", "unknown_field",
            "There is no such parameter here; there is recipient, mail_from.",
        ),
        (f"recipient={TO}&recipient=off@example.com", "/recipient", "address_disabled", None),
    ],
)  # fmt: skip
def test_a_query_that_is_not_right_is_400_and_stores_nothing(
    query: str, pointer: str, code: str, detail: str | None
) -> None:
    off = make_alias(address="off@example.com")
    off.is_active = False
    off.save()
    answer = make_client().post(f"/v1/emails?{query}", RAW, content_type="message/rfc822")
    (entry,) = answer.json()["errors"]
    assert (answer.status_code, entry["pointer"], entry["code"]) == (400, pointer, code)
    assert detail in (None, entry["detail"])
    assert stored_counts() == NOTHING


def test_an_empty_body_is_400() -> None:
    make_mailbox()
    expected = query_problem("", "required", "There is no mail in the body.")
    assert answered(submit_to(make_client(), TO, raw=b"")) == (400, expected)
    assert stored_counts() == NOTHING


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/octet-stream", "text/plain", "multipart/mixed", "message", ""]
)
def test_what_does_not_say_to_be_mail_is_told_how_to(content_type: str) -> None:
    make_mailbox()
    detail = "Send the body as message/rfc822, and say so in Content-Type."
    expected = problem(415, "unsupported_media_type", detail)
    assert answered(submit_to(make_client(), TO, content_type=content_type)) == (415, expected)
    assert stored_counts() == NOTHING


def test_a_compressed_body_is_not_taken_for_the_mail() -> None:
    make_mailbox()
    answer = make_client().post(path(TO), RAW, content_type="message/rfc822", headers={"Content-Encoding": "gzip"})
    detail = "Send the mail as it is, without a Content-Encoding."
    assert answered(answer) == (415, problem(415, "unsupported_media_type", detail))
    assert stored_counts() == NOTHING


def test_the_limit_is_that_of_smtp_to_the_octet() -> None:
    make_mailbox()
    with override_settings(MAX_MESSAGE_BYTES=2 * MAX_BODY_BYTES):
        over = problem(
            413, "body_too_large", f"A request body has at most {2 * MAX_BODY_BYTES} octets: send less at once."
        )
        assert answered(submit_to(make_client(), TO, raw=b"x" * (2 * MAX_BODY_BYTES + 1))) == (413, over)
        assert stored_counts() == NOTHING
        assert submit_to(make_client(), TO, raw=b"x" * (2 * MAX_BODY_BYTES)).status_code == 201
    # a limit below that of other bodies holds as well
    with override_settings(MAX_MESSAGE_BYTES=1000):
        over = problem(413, "body_too_large", "A request body has at most 1000 octets: send less at once.")
        assert answered(submit_to(make_client(), TO, raw=b"x" * 1001)) == (413, over)


def test_other_paths_take_no_more_for_that() -> None:
    too_much = b"x" * (MAX_BODY_BYTES + 1)
    for url in ("/v1/domains", "/v1/emails/email_x", "/v1/nothing", "/v1/emails/"):
        answer = make_client().post(url, too_much, content_type="message/rfc822")
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), url


def test_a_mailbox_without_room_is_429_and_says_when_to_come_again() -> None:
    mailbox = make_mailbox()
    Mailbox.objects.filter(pk=mailbox.pk).update(quota_bytes=10)
    answer = submit_to(make_client(), TO)
    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "mailbox_full", "300")
    assert Email.objects.count() == 0


def test_a_mail_that_goes_round_in_a_circle_is_not_taken() -> None:
    make_mailbox()
    answer = submit_to(make_client(), TO, raw=b"Received: by a.example\r\n" * 51 + RAW)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "routing_loop")
    assert stored_counts() == NOTHING


@pytest.mark.parametrize("broken", ["admit_all", "receive_message"])
def test_a_database_that_is_away_is_503_and_says_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    make_mailbox()
    client = make_client()
    monkeypatch.setattr(submit, broken, Mock(side_effect=OperationalError("secret")))
    answer = submit_to(client, TO)
    told = answer.json()
    assert (answer.status_code, told["code"], answer["Retry-After"]) == (503, "unavailable", "5")
    assert "secret" not in answer.content.decode()
    assert stored_counts() == NOTHING


def test_what_cannot_be_stored_whole_is_not_stored_at_all_and_503(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    client = make_client()

    def broken(**arguments: Any) -> Receipt:
        (found,) = arguments["admissions"]
        lost = replace(found, route=replace(found.route, mailbox_ids=(uuid4(),)))
        # a mailbox that is not there: the foreign key objects at the commit
        return receive.receive_message(**arguments | {"admissions": [found, lost]})

    monkeypatch.setattr(submit, "receive_message", broken)
    assert submit_to(client, TO).status_code == 503
    assert stored_counts() == NOTHING
