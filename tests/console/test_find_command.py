"""`manage.py find`: the story of whatever somebody has in hand."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Model
from django.utils import timezone

from emailgistics.common import audit
from emailgistics.common.ids import encode_id, uuid7
from emailgistics.reports import stories
from mailboxes.models import Attachment, Email, Refusal
from tests.factories import make_alias, make_email, make_mailbox, make_message, make_webhook
from webhooks.models import Attempt, Delivery, Event
from webhooks.services import erase

pytestmark = pytest.mark.django_db


def run(what: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("find", what, "--json", stdout=out)
    told: list[dict[str, Any]] = json.loads(out.getvalue())["data"]
    return told


def said(what: str) -> str:
    out = StringIO()
    call_command("find", what, stdout=out)
    return out.getvalue()


def test_an_email_is_told_from_its_acceptance_to_the_answer_of_each_receiver(loopback_allowed: None) -> None:
    webhook = make_webhook(alias=make_alias(mailbox=make_mailbox()))
    email = make_email(to="help@example.com")
    delivery = Delivery.objects.get()
    Attempt.objects.create(delivery=delivery, n=1, started_at=timezone.now(), status=500, total_ms=7)
    Attempt.objects.create(
        delivery=delivery, n=2, started_at=timezone.now(), status=204, total_ms=3, response_excerpt=b"what mail says"
    )
    Delivery.objects.update(state="delivered", delivered_at=timezone.now(), attempts=2, last_status=204)
    [told] = run(email.public_id)
    assert (told["kind"], told["id"]) == ("email", email.public_id)
    assert told["thing"]["accepted_as"] == email.message.public_id
    whats = [step["what"] for step in told["story"]]
    msg, dlv, event = email.message.public_id, delivery.public_id, Event.objects.get().public_id
    size = email.size
    assert whats == [
        (
            f"accepted by smtp from 192.0.2.1 (mail.example.net) as {msg}: {size} octets of ada@example.net for "
            "help@example.com"
        ),
        "opened (ok)",
        f"{event} (email.received) was made for webhooks",
        f"{dlv} for {webhook.public_id} (http://127.0.0.1:9/)",
        f"attempt 1 of {dlv}: answered 500 after 7 ms",
        f"attempt 2 of {dlv}: answered 204 after 3 ms",
        f"{dlv} is delivered",
    ]
    assert [step["at"] for step in told["story"]] == sorted(step["at"] for step in told["story"])
    assert [attempt["status"] for attempt in told["deliveries"][0]["attempt_log"]] == [500, 204]
    text = said(email.public_id)
    assert f"attempt 2 of {dlv}: answered 204" in text
    for shown in (json.dumps(told), text):
        assert "what mail says" not in shown
        assert "It does not turn" not in shown


def test_mail_that_waits_says_what_it_waits_for() -> None:
    make_mailbox()
    message = make_message()
    [told] = run(message.public_id)
    assert told["story"][-1] == {
        "at": None, "what": "it waits to be opened by a worker; workers lost over it so far: 0"
    }  # fmt: skip


def test_every_kind_of_thing_has_a_story_by_its_id(one_of_each: dict[str, Any]) -> None:
    rows: list[Model] = [row for row in one_of_each.values() if type(row) in stories.TELLERS]
    assert {type(row) for row in rows} >= set(stories.TELLERS) - {Attachment, *_jobs()}
    for row in rows:
        name = _name(row)
        told = run(name)
        expected = stories.stories_of(row)[0]
        assert told[0]["kind"] == expected.kind, row
        assert told[0]["id"] == expected.id
        assert expected.id in said(name)
        json.dumps(told)


def _jobs() -> set[type[Model]]:
    from mailboxes.models import AliasImport, ErasureJob
    from webhooks.models import ReplayJob

    return {AliasImport, ErasureJob, ReplayJob}


def _name(row: Any) -> str:
    return str(getattr(row, "identifier", "") or getattr(row, "username", "") or row.public_id)


def test_what_is_no_id_finds_things_as_the_search_box_does(one_of_each: dict[str, Any]) -> None:
    email, mailbox = one_of_each["mailboxes.Email"], one_of_each["mailboxes.Mailbox"]
    for what, expected in {
        "<1@example.net>": email.public_id,
        "ada@example.net": email.public_id,
        "support@example.com": mailbox.public_id,
        "example.com": one_of_each["mailboxes.Domain"].public_id,
    }.items():
        assert run(what)[0]["id"] == expected, what
    refused = [one["id"] for one in run("help@example.com") if one["kind"] == "refusal"]
    assert refused == [Refusal.objects.get().public_id]


def test_of_a_whole_key_nothing_secret_is_looked_for_or_said_again(one_of_each: dict[str, Any]) -> None:
    identifier = one_of_each["apikeys.ApiKey"].identifier
    assert run(f"{identifier}_{'s' * 32}_abc123")[0]["id"] == identifier
    with pytest.raises(CommandError) as missing:
        run(f"emgk_{'a' * 10}_{'s' * 32}")
    assert "sss" not in str(missing.value)


def test_what_is_not_here_says_so_and_what_was_erased_says_that() -> None:
    make_mailbox()
    email = make_email()
    erase.erase_email(email.pk, by="somebody")
    for what, why in (
        (email.public_id, "was erased"),
        (encode_id(Email.ID_PREFIX, uuid7()), "There is nothing here"),
        (encode_id("req", uuid7()), "id of a request"),
        ("nobody@example.org", "There is nothing here"),
        ("\x1b[2J", "There is nothing here"),
        ("", "There is nothing here"),
    ):
        with pytest.raises(CommandError, match=why) as missing:
            run(what)
        assert missing.value.returncode == 1
        assert "\x1b" not in str(missing.value)


def test_what_was_done_to_something_that_is_gone_is_told_from_the_audit_log() -> None:
    audit.record("thing.deleted", of="something")
    [told] = run("something")
    assert (told["kind"], [step["what"] for step in told["story"]]) == ("audit", ["thing.deleted, by command"])
