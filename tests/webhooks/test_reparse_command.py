"""`manage.py emails reparse`, as an operator uses it."""

import json
import time
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailboxes.models import Email, Message, RawMessage, Reparse
from mailboxes.services import reparse
from tests.factories import RAW, make_email, make_mailbox, make_message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reparse, "nudge", lambda _: reparse.drain(until=time.monotonic() + 10))


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("emails", "reparse", *arguments, stdout=out)
    return out.getvalue()


def run(*arguments: str) -> Any:
    return json.loads(printed(*arguments, "--json"))


def make_stale(email: Email, *, subject: str = "old") -> None:
    Email.objects.filter(pk=email.pk).update(subject=subject)
    Message.objects.filter(pk=email.message_id).update(parse_version=0)


def counts(**some: int) -> dict[str, int]:
    return dict.fromkeys(("unchanged", "changed", "repaired", "failed", "raw_gone", "content_gone"), 0) | some


def test_what_an_older_parser_opened_is_opened_again_once() -> None:
    make_mailbox()
    stale, fine = make_email(), make_email()
    make_stale(stale)
    Message.objects.filter(pk=fine.message_id).update(parse_version=0)
    make_email()
    changed = {"id": stale.public_id, "outcome": "changed", "changed": ["subject"], "reason": ""}
    done = run("--older-than-version")
    assert done == {"data": [changed], "counts": counts(changed=1, unchanged=1), "dry_run": False}
    assert run("--older-than-version")["counts"] == counts()


def test_a_dry_run_says_so_and_the_next_run_does_it() -> None:
    make_mailbox()
    email = make_email()
    make_stale(email)
    for _ in range(2):
        said = printed("--older-than-version", "--dry-run")
        assert said.splitlines() == [
            f"{email.public_id} changed: subject",
            "Nothing was written. Emails: 1 changed",
        ]
    assert Email.objects.get().subject == "old"
    assert printed("--older-than-version").splitlines()[0] == f"{email.public_id} changed: subject"
    assert Email.objects.get().subject == "Broken engine"


def test_what_mails_say_is_not_printed() -> None:
    make_mailbox()
    make_stale(make_email(), subject="a secret of old")
    said = printed("--since", "24h")
    assert "secret" not in said
    assert "Broken engine" not in said


def test_an_email_or_a_message_is_named_by_its_id() -> None:
    make_mailbox()
    first, second, other = (make_email() for _ in range(3))
    for email in (first, second, other):
        make_stale(email)
    done = run(first.public_id, second.message.public_id, first.message.public_id)
    assert [report["id"] for report in done["data"]] == [first.public_id, second.public_id]
    assert Email.objects.get(pk=other.pk).subject == "old"


@pytest.mark.usefixtures("worker")
def test_parked_mail_is_chosen_alone() -> None:
    make_mailbox()
    parked, fine = make_email(), make_email()
    make_stale(fine)
    Message.objects.filter(pk=parked.message_id).update(state="parked", parse_status="failed")
    Email.objects.filter(pk=parked.pk).update(status="parked")
    done = run("--parked")
    assert (done["counts"], done["data"][0]["changed"]) == (counts(repaired=1), ["parse"])
    assert run("--parked")["counts"] == counts()


def test_a_span_of_time_is_chosen() -> None:
    make_mailbox()
    make_stale(make_email())
    assert run("--until", "1h")["counts"] == counts()
    assert run("--since", "1h", "--dry-run")["counts"] == counts(changed=1)
    assert run("--since", "2000-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z")["counts"] == counts(changed=1)


def test_it_ends_with_1_if_something_could_not_be_opened_and_says_what_was_done() -> None:
    make_mailbox()
    broken, without = make_email(), make_email()
    Message.objects.filter(pk=broken.message_id).update(sha256="0" * 64)
    RawMessage.objects.filter(message=without.message_id).delete()
    out = StringIO()
    with pytest.raises(CommandError, match="1 could not be opened") as refused:
        call_command("emails", "reparse", "--since", "1h", "--json", stdout=out)
    assert refused.value.returncode == 1
    done = json.loads(out.getvalue())
    assert done["counts"] == counts(failed=1, raw_gone=1)
    assert [report["reason"] for report in done["data"]] == ["raw_unreadable", ""]


@pytest.mark.parametrize("arguments", [(), ("email_x", "--parked"), ("email_x", "--older-than-version", "0")])
def test_it_has_to_be_said_which(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="Give ids, or say which") as refused:
        run(*arguments)
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("email_x",), "There is no email or message “email_x”"),
        (("msg_01jd2x8kt6n4v8r1c5w9z2b7ha",), "There is no email or message “msg_"),
        (("--since", "yesterday"), "--since is written"),
        (("--parked", "--rate", "0"), "--rate is from 1 to 6000"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(CommandError, match=why) as refused:
        run(*arguments)
    assert refused.value.returncode == 1


def test_mail_that_waits_to_be_opened_is_left_to_the_worker() -> None:
    make_mailbox()
    message = make_message(raw=RAW)
    for name in (message.public_id, message.emails.get().public_id):
        with pytest.raises(CommandError, match="waits to be opened for the first time"):
            run(name)
    assert run("--since", "1h")["counts"] == counts()
    assert not Reparse.objects.exists()


def test_an_email_is_listed_and_shown() -> None:
    make_mailbox()
    email = make_email()
    for arguments in (("list",), ("show", email.public_id)):
        out = StringIO()
        call_command("emails", *arguments, "--json", stdout=out)
        assert email.public_id in out.getvalue()
