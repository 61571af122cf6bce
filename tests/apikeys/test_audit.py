"""What becomes of a key is on record, with who did it; none of it holds a secret or an address of mail."""

import json

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from apikeys import usage
from apikeys.models import ApiKey
from apikeys.services import create_api_key, revoke_api_key
from emailgistics.common.access import Scope
from emailgistics.common.models import AuditEntry
from tests.apikeys.factories import client_of, make_key
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


def log_of(key: ApiKey) -> list[tuple[str, str, str | None]]:
    return list(AuditEntry.objects.filter(of=key.identifier).order_by("id").values_list("action", "by", "address"))


def test_a_key_is_on_record_from_its_making_to_its_end() -> None:
    grace = User.objects.create_superuser("grace")
    mailbox = make_mailbox()
    key, plaintext = create_api_key(
        name="CI",
        expires_at=in_days(30),
        scopes=[Scope.EMAILS_READ],
        mailboxes=[mailbox],
        networks=["127.0.0.0/8"],
        created_by=grace,
        address="192.0.2.7",
    )
    for _ in range(2):
        client_of(plaintext).get("/v1/me")
        usage.flush()
    for _ in range(2):
        revoke_api_key(key, by=grace, reason="left", address="192.0.2.8")
    assert log_of(key) == [
        ("apikey.created", "grace", "192.0.2.7"),
        ("apikey.first_used", key.identifier, "127.0.0.1"),
        ("apikey.revoked", "grace", "192.0.2.8"),
    ]
    assert AuditEntry.objects.get(action="apikey.revoked").details == {"reason": "left"}
    details = AuditEntry.objects.get(action="apikey.created").details
    assert details == {
        "scopes": ["emails:read"],
        "mailboxes": [mailbox.public_id],
        "networks": ["127.0.0.0/8"],
        "expires_at": key.expires_at.isoformat(),
        "plan": "standard",
    }
    written = json.dumps(list(AuditEntry.objects.values()), default=str)
    assert plaintext[16:48] not in written
    assert "support" not in written


def test_a_successor_is_on_record_with_both() -> None:
    old, _ = make_key()
    new, _ = create_api_key(
        name="CI", expires_at=in_days(30), scopes=[Scope.EMAILS_READ], mailboxes=None, rotated_from=old
    )
    assert log_of(old) == [("apikey.created", "command", None), ("apikey.rotated", "command", None)]
    assert AuditEntry.objects.get(action="apikey.rotated").details == {"successor": new.identifier}
    assert AuditEntry.objects.get(of=new.identifier).details["rotated_from"] == old.identifier


def test_what_was_refused_is_not_on_record() -> None:
    key, _ = make_key()
    before = AuditEntry.objects.count()
    with pytest.raises(Exception, match="reason"):
        revoke_api_key(key, reason="x" * 201)
    assert AuditEntry.objects.count() == before


def test_a_command_signs_for_itself() -> None:
    call_command("apikeys", "create", "--name", "CI", "--expires", "1d", "--all-mailboxes", "--json")
    key = ApiKey.objects.get()
    call_command("apikeys", "revoke", key.identifier)
    assert log_of(key) == [("apikey.created", "command", None), ("apikey.revoked", "command", None)]


def test_the_console_signs_for_the_person_and_shows_the_log() -> None:
    grace = User.objects.create_superuser("grace")
    key, _ = make_key()
    make_key()
    client = Client()
    client.force_login(grace)
    client.post(reverse("admin:apikeys_apikey_delete", args=[key.pk]), {"reason": "left"}, REMOTE_ADDR="192.0.2.7")
    assert log_of(key)[-1] == ("apikey.revoked", "grace", "192.0.2.7")
    page = client.get(reverse("admin:common_auditentry_changelist"), {"q": key.identifier})
    assert [entry.action for entry in page.context["cl"].result_list] == ["apikey.revoked", "apikey.created"]
    entry = AuditEntry.objects.latest("id")
    assert client.get(reverse("admin:common_auditentry_change", args=[entry.pk])).status_code == 200
    assert client.post(reverse("admin:common_auditentry_delete", args=[entry.pk])).status_code == 403
