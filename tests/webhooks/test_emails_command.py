"""`manage.py emails`: what mail says, out of the database, and what becomes of it."""

import json
import os
import signal
import stat
import sys
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emailgistics.common.ids import encode_id, uuid7
from emailgistics.common.models import AuditEntry
from mailboxes.models import Email, RawMessage
from mailboxes.services import export
from tests.factories import RAW, make_email, make_mailbox, make_message, make_webhook
from tests.mailboxes.test_mbox import read_back
from webhooks.models import Delivery
from webhooks.services import erase

pytestmark = pytest.mark.django_db

TRICKY = b"From: a@example.net\r\n\r\nFrom here on\r\n>From there\r\n\r\n8 bit: \xff\x00\r\nbare\nend\r\n"


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("emails", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_the_raw_goes_to_a_pipe_as_it_came_and_that_is_on_record(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    make_mailbox()
    email = make_message(raw=TRICKY).emails.get()
    call_command("emails", "raw", email.public_id)
    assert capfdbinary.readouterr().out == TRICKY
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.of, entry.by, entry.details) == (
        "mail.opened", email.public_id, "command", {"what": "raw"}
    )  # fmt: skip


def test_the_raw_goes_to_a_new_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    make_mailbox()
    email = make_message(raw=TRICKY).emails.get()
    path = tmp_path / "mail.eml"
    told = run("raw", email.public_id, "--output", str(path))
    assert told == {
        "id": email.public_id, "output": str(path), "size": len(TRICKY), "sha256": email.message.sha256
    }  # fmt: skip
    assert path.read_bytes() == TRICKY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="cannot be written: File exists"):
        run("raw", email.public_id, "--output", str(path))


def test_a_terminal_gets_no_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    email = make_message().emails.get()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(CommandError, match="terminal") as refused:
        call_command("emails", "raw", email.public_id)
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="--output") as refused:
        run("raw", email.public_id)
    assert refused.value.returncode == 2
    assert not AuditEntry.objects.exists()


def test_a_raw_that_is_gone_or_spoilt_is_said_to_be_so() -> None:
    make_mailbox()
    spoilt, gone = make_message().emails.get(), make_message().emails.get()
    RawMessage.objects.filter(pk=spoilt.message_id).update(data=b"x")
    RawMessage.objects.filter(pk=gone.message_id).delete()
    for email, why in ((spoilt, "do not unpack"), (gone, "not kept any longer")):
        with pytest.raises(CommandError, match=why):
            call_command("emails", "raw", email.public_id)
    assert not AuditEntry.objects.exists()


def test_a_mailbox_is_exported_and_every_raw_comes_back(tmp_path: Path) -> None:
    box, other = make_mailbox(), make_mailbox(address="other@example.com")
    raws = [RAW, TRICKY, b"From: x@example.net\n\n", b"no header at all\r\n"]
    for raw in raws:
        make_message(raw=raw, mail_from="")
    make_message(raw=RAW, to=(other.address,))
    path = tmp_path / "support.mbox"
    told = run("export", "--mailbox", box.address, "--output", str(path))
    assert read_back(path) == raws
    octets = path.stat().st_size
    assert told == {"output": str(path), "emails": 4, "octets": octets, "raw_gone": 0, "corrupt": []}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["support.mbox"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.of, entry.by) == ("mail.exported", box.public_id, "command")


def test_a_span_of_time_is_exported_in_as_many_queries_as_mails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BATCH", 2)
    make_mailbox()
    old, *_ = [make_message(raw=RAW + b"%d\r\n" % n).emails.get() for n in range(5)]
    Email.objects.filter(pk=old.pk).update(received_at=timezone.now() - timedelta(days=2))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        told = run("export", "--since", "24h", "--output", str(tmp_path / "new.mbox"))
    assert told["emails"] == 4
    assert len([one for one in queries if "rawmessage" in one["sql"]]) == 4
    entry = AuditEntry.objects.get()
    assert (entry.of, list(entry.details)) == ("everything", ["since"])


def test_what_is_gone_or_spoilt_is_counted_and_the_rest_is_there(tmp_path: Path) -> None:
    make_mailbox()
    spoilt, gone, _ = (make_message().emails.get() for _ in range(3))
    RawMessage.objects.filter(pk=spoilt.message_id).update(data=b"x")
    RawMessage.objects.filter(pk=gone.message_id).delete()
    path = tmp_path / "all.mbox"
    with pytest.raises(CommandError, match=spoilt.public_id):
        run("export", "--output", str(path))
    assert read_back(path) == [RAW]


def test_a_raw_that_its_mailbox_does_not_keep_is_read_by_nobody_though_another_one_does(tmp_path: Path) -> None:
    make_mailbox()
    kept = make_mailbox(address="sales@example.com")
    message = make_message(to=("support@example.com", "sales@example.com"))
    removed = message.emails.exclude(mailbox=kept)
    removed.update(raw_removed_at=timezone.now())
    with pytest.raises(CommandError, match="its mailbox keeps it no longer"):
        call_command("emails", "raw", removed.get().public_id)
    assert not AuditEntry.objects.exists()
    told = run("export", "--output", str(tmp_path / "all.mbox"))
    assert (told["emails"], told["raw_gone"]) == (1, 1)


def test_an_export_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    make_message()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "raw_of", stop)
    with pytest.raises(KeyboardInterrupt):
        run("export", "--output", str(tmp_path / "all.mbox"))
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(export, "raw_of", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
        run("export", "--output", str(tmp_path / "all.mbox"))
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(CommandError, match="cannot be written: No such file"):
        run("export", "--output", str(tmp_path / "none" / "all.mbox"))
    (tmp_path / "all.mbox").write_text("precious")
    with pytest.raises(CommandError, match="exists already"):
        run("export", "--output", str(tmp_path / "all.mbox"))
    assert (tmp_path / "all.mbox").read_text() == "precious"


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mailbox()
    make_message()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(export.os, "link", refuse)
    assert run("export", "--output", str(tmp_path / "all.mbox"))["emails"] == 1
    assert [one.name for one in tmp_path.iterdir()] == ["all.mbox"]


@pytest.mark.usefixtures("loopback_allowed")
def test_its_webhooks_are_told_again_and_new_ones_too() -> None:
    mailbox = make_mailbox()
    make_webhook(mailbox=mailbox)
    email = make_email()
    Delivery.objects.update(state="delivered")
    make_webhook(mailbox=mailbox, url="http://127.0.0.1:9/another")
    assert run("replay", email.public_id) == {"replayed": 1, "made": 1, "on_their_way": 0, "content_expired": 0}
    assert list(Delivery.objects.values_list("reason", flat=True)) == ["replayed by an operator"] * 2
    waiting = make_message().emails.get()
    with pytest.raises(CommandError, match="not been opened yet"):
        run("replay", waiting.public_id)


def test_who_replays_what_no_webhook_wants_is_told_so() -> None:
    make_mailbox()
    out = StringIO()
    call_command("emails", "replay", make_email().public_id, stdout=out)
    assert "No webhook that there is wants it" in out.getvalue()


def test_one_is_deleted_once() -> None:
    make_mailbox()
    email = make_email()
    assert run("delete", email.public_id) == {"id": email.public_id, "deliveries": 0}
    assert not Email.objects.exists()
    for which in (email.public_id, encode_id("email", uuid7()), "support@example.com"):
        with pytest.raises(CommandError, match="There is no email"):
            run("delete", which)
    assert erase.erase_emails([email.pk], by="x")[0].deliveries is None
