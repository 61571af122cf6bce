"""Many aliases at once: enabling, disabling, moving."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from mailboxes.admin import addresses
from mailboxes.models import Alias
from tests.factories import make_alias, make_mailbox

LIST = "/admin/mailboxes/alias/"

pytestmark = pytest.mark.django_db


def act(client: Client, action: str, rows: list[Alias], **more: Any) -> str:
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows], **more}
    return client.post(LIST, chosen, follow=True).content.decode()


def test_aliases_are_moved_once_somebody_said_where_to(administrator: Client) -> None:
    mailbox, to = make_mailbox(), make_mailbox(address="sales@example.com")
    rows = [make_alias(address=f"{name}@example.com", mailbox=mailbox) for name in ("a", "b", "stays")]
    asked = act(administrator, "move", rows[:2])
    assert "If you move these 2 aliases" in asked
    assert "a@example.com" in asked
    assert "stays@example.com" not in asked
    assert "There is no mailbox" in act(administrator, "move", rows[:2], apply="1", mailbox="nobody@example.com")
    assert not Alias.objects.filter(mailbox=to).exists()
    assert "moved to sales@example.com" in act(administrator, "move", rows[:2], apply="1", mailbox=" sales@example.com")
    assert set(Alias.objects.filter(mailbox=to)) == set(rows[:2])
    assert LogEntry.objects.filter(change_message="moved to sales@example.com in the list").count() == 2


def test_what_is_too_much_for_one_answer_is_refused_whole(
    administrator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "MAX_AT_ONCE", 1)
    mailbox = make_mailbox()
    rows = [make_alias(address=f"{name}@example.com", mailbox=mailbox) for name in ("a", "b")]
    assert "Nothing was done: choose at most 1." in act(administrator, "disable", rows)
    assert Alias.objects.filter(is_active=True).count() == 2
    assert "1 alias disabled" in act(administrator, "disable", rows[:1])
