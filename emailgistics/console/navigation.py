"""The sidebar."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.roles import Action, may

# title, symbol (of the font that comes with unfold), name of the page
SECTIONS: tuple[tuple[Any, tuple[tuple[Any, str, str], ...]], ...] = (
    (
        gettext_lazy("Mail"),
        (
            (gettext_lazy("Emails"), "mail", "mailboxes_email_changelist"),
            (gettext_lazy("Messages"), "move_to_inbox", "mailboxes_message_changelist"),
            (gettext_lazy("Rules"), "rule", "mailboxes_rule_changelist"),
            (gettext_lazy("Refused mail"), "block", "mailboxes_refusal_changelist"),
            (gettext_lazy("Statistics"), "bar_chart", "statistics"),
        ),
    ),
    (
        gettext_lazy("Addresses"),
        (
            (gettext_lazy("Domains"), "language", "mailboxes_domain_changelist"),
            (gettext_lazy("Mailboxes"), "inbox", "mailboxes_mailbox_changelist"),
            (gettext_lazy("Aliases"), "alternate_email", "mailboxes_alias_changelist"),
            (gettext_lazy("Where mail goes"), "alt_route", "mailboxes_alias_explain"),
            (gettext_lazy("Imports"), "upload_file", "mailboxes_aliasimport_changelist"),
            (gettext_lazy("Erasures"), "delete_sweep", "mailboxes_erasurejob_changelist"),
        ),
    ),
    (
        gettext_lazy("Webhooks"),
        (
            (gettext_lazy("Webhooks"), "webhook", "webhooks_webhook_changelist"),
            (gettext_lazy("Deliveries"), "outbox", "webhooks_delivery_changelist"),
            (gettext_lazy("Attempts"), "sync_alt", "webhooks_attempt_changelist"),
            (gettext_lazy("Events"), "bolt", "webhooks_event_changelist"),
            (gettext_lazy("Replays"), "replay", "webhooks_replayjob_changelist"),
            (gettext_lazy("Notices"), "notifications", "webhooks_notice_changelist"),
        ),
    ),
    (
        "",
        (
            (gettext_lazy("API Access"), "key", "apikeys_apikey_changelist"),
            (gettext_lazy("Notices about keys"), "notification_important", "apikeys_keynotice_changelist"),
            (gettext_lazy("API explorer"), "menu_book", "docs"),
        ),
    ),
    (
        gettext_lazy("Installation"),
        (
            (gettext_lazy("People"), "person", "auth_user_changelist"),
            (gettext_lazy("Groups"), "group", "auth_group_changelist"),
            (gettext_lazy("Workers"), "memory", "common_lease_changelist"),
            (gettext_lazy("Audit log"), "history", "common_auditentry_changelist"),
        ),
    ),
)


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """For unfold's SIDEBAR: what the person who asks may open. Staff of no role have the dashboard alone."""
    shown: list[dict[str, Any]] = [{"items": [_item(_("Dashboard"), "dashboard", "index")]}]
    if _opens(request, "first_steps"):
        shown[0]["items"].append(_item(_("First steps"), "checklist", "first_steps"))
    for title, items in SECTIONS:
        if opened := [_item(*item) for item in items if _opens(request, item[2])]:
            shown.append({"title": title, "separator": not title, "items": opened})
    _mark(shown, request.path)
    return shown


def _opens(request: HttpRequest, page: str) -> bool:
    if page == "docs":  # all may who are signed in; they come from elsewhere, too
        return may(request, Action.VIEW)
    return bool(admin.site.opens(request, page))  # type: ignore[attr-defined]  # ours


def _mark(shown: list[dict[str, Any]], path: str) -> None:
    """The one page where we are: of those whose address ours begins with, that which says most of it."""
    items = [item for section in shown for item in section["items"]]
    index = items[0]
    fitting = [
        item for item in items if path.startswith(str(item["link"])) and (item is not index or path == index["link"])
    ]
    here = max(fitting, key=lambda item: len(str(item["link"])), default=None)
    for item in items:
        item["active"] = item is here


def _item(title: str, symbol: str, page: str) -> dict[str, Any]:
    return {"title": title, "icon": symbol, "link": reverse_lazy(page if page == "docs" else f"admin:{page}")}
