"""The sidebar."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy

from emailgistics.common.admin import by_system_administrator

# title, symbol (of the font that comes with unfold), name of the page
SECTIONS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Mail",
        (
            ("Emails", "mail", "mailboxes_email_changelist"),
            ("Messages", "move_to_inbox", "mailboxes_message_changelist"),
            ("Rules", "rule", "mailboxes_rule_changelist"),
            ("Refused mail", "block", "mailboxes_refusal_changelist"),
        ),
    ),
    (
        "Addresses",
        (
            ("Domains", "language", "mailboxes_domain_changelist"),
            ("Mailboxes", "inbox", "mailboxes_mailbox_changelist"),
            ("Aliases", "alternate_email", "mailboxes_alias_changelist"),
            ("Where mail goes", "alt_route", "mailboxes_alias_explain"),
        ),
    ),
    (
        "Webhooks",
        (
            ("Webhooks", "webhook", "webhooks_webhook_changelist"),
            ("Deliveries", "outbox", "webhooks_delivery_changelist"),
            ("Attempts", "sync_alt", "webhooks_attempt_changelist"),
            ("Events", "bolt", "webhooks_event_changelist"),
            ("Replays", "replay", "webhooks_replayjob_changelist"),
            ("Notices", "notifications", "webhooks_notice_changelist"),
        ),
    ),
    (
        "",
        (
            ("API Access", "key", "apikeys_apikey_changelist"),
            ("Notices about keys", "notification_important", "apikeys_keynotice_changelist"),
            ("API explorer", "menu_book", "docs"),
        ),
    ),
    (
        "Installation",
        (
            ("People", "person", "auth_user_changelist"),
            ("Groups", "group", "auth_group_changelist"),
            ("Workers", "memory", "common_lease_changelist"),
            ("Audit log", "history", "common_auditentry_changelist"),
        ),
    ),
)


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """For unfold's SIDEBAR. Staff who are no system administrators have the dashboard alone."""
    shown: list[dict[str, Any]] = [{"items": [_item("Dashboard", "dashboard", "index")]}]
    if by_system_administrator(request):
        shown += [
            {"title": title, "separator": not title, "items": [_item(*item) for item in items]}
            for title, items in SECTIONS
        ]
    return shown


def _item(title: str, symbol: str, page: str) -> dict[str, Any]:
    return {"title": title, "icon": symbol, "link": reverse_lazy(page if page == "docs" else f"admin:{page}")}
