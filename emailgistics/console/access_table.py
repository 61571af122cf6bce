"""Which page of the console asks for which action: the one table, from which permissions are taken and tests made.

What each role may is `emailgistics.common.roles.MAY`. A page that is not here is refused to everybody; so is what is
None here, which nobody does by hand. docs/console-roles.md is written from it (`manage.py role_table`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from emailgistics.common.roles import Action

OWN, ENTER, VIEW, READ_MAIL = Action.OWN, Action.ENTER, Action.VIEW, Action.READ_MAIL
REPLAY, CONFIRM_DNS, MANAGE, KEYS, PEOPLE = (
    Action.REPLAY, Action.CONFIRM_DNS, Action.MANAGE, Action.KEYS, Action.PEOPLE
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """look: to open it (GET). send: to send its form (any other method)."""

    look: Action | None
    send: Action | None = None


NOBODYS = Page(None)


def form(action: Action) -> Page:
    """What asks, and does it when its form is sent."""
    return Page(action, action)


def _of_model(
    name: str,
    see: Action,
    *,
    add: Action | None = None,
    change: Action | None = None,
    delete: Action | None = None,
    send_list: Action | None = None,
) -> Iterator[tuple[str, Page]]:
    """The pages that Django gives to each model. send_list: for the actions of its list, see ACTIONS."""
    yield f"{name}_changelist", Page(see, send_list)
    yield f"{name}_add", Page(add, add)
    yield f"{name}_change", Page(see, change)
    yield f"{name}_delete", Page(delete, delete)
    yield f"{name}_history", Page(see)


def _managed(name: str) -> Iterator[tuple[str, Page]]:
    return _of_model(name, VIEW, add=MANAGE, change=MANAGE, delete=MANAGE, send_list=MANAGE)


# by the name of its address, without the site's
PAGES: dict[str, Page] = {
    # the frame
    "index": Page(ENTER),
    "logout": form(OWN),
    "confirm": form(OWN),
    "account": form(OWN),
    "account_sessions_end": form(OWN),
    "account_two_factor": form(OWN),
    "account_two_factor_off": form(OWN),
    "account_recovery_codes": form(OWN),
    "password_change": form(ENTER),
    "password_change_done": Page(ENTER),
    "jsi18n": Page(ENTER),
    "app_list": Page(VIEW),
    "search": form(VIEW),  # sent, so that what is pasted stands in no address
    "autocomplete": Page(MANAGE),  # for fields of forms, which only they see
    "view_on_site": Page(None),
    "": Page(ENTER),  # no page: told so
    "now": Page(VIEW),  # the dashboard again, without its frame
    "statistics": Page(VIEW),
    "statistics_csv": Page(MANAGE),
    "reach": Page(VIEW),  # keys and people by name for those alone who may see them
    "first_steps": Page(MANAGE),
    "first_steps_mail": form(MANAGE),
    "first_steps_test": form(MANAGE),
    "first_steps_hide": form(MANAGE),
    "first_steps_show": form(MANAGE),
    # addresses
    **dict(_managed("mailboxes_domain")),
    **dict(_managed("mailboxes_mailbox")),
    **dict(_managed("mailboxes_alias")),
    **dict(_managed("mailboxes_rule")),
    **dict(_of_model("mailboxes_address", VIEW)),
    "mailboxes_domain_verify": form(CONFIRM_DNS),
    "mailboxes_alias_explain": Page(VIEW),
    "mailboxes_alias_import": form(MANAGE),
    "mailboxes_alias_export": Page(MANAGE),
    **dict(_of_model("mailboxes_aliasimport", MANAGE)),
    "mailboxes_aliasimport_confirm": form(MANAGE),
    "mailboxes_aliasimport_cancel": form(MANAGE),
    "mailboxes_aliasimport_errors": Page(MANAGE),
    **dict(_of_model("mailboxes_erasurejob", VIEW)),
    "mailboxes_erasurejob_again": form(MANAGE),
    "mailboxes_erasurejob_cancel": form(MANAGE),
    # mail
    **dict(_of_model("mailboxes_email", VIEW)),
    "mailboxes_email_raw": Page(READ_MAIL),
    "mailboxes_email_attachment": Page(READ_MAIL),
    "mailboxes_email_html": Page(READ_MAIL),
    "mailboxes_email_pictures": form(READ_MAIL),
    "mailboxes_email_release": form(MANAGE),  # it sends the mail to webhooks, for the first time
    "mailboxes_email_block": form(MANAGE),
    **dict(_of_model("mailboxes_message", VIEW)),
    **dict(_of_model("mailboxes_refusal", VIEW)),
    # webhooks
    **dict(_of_model("webhooks_webhook", VIEW, add=MANAGE, change=MANAGE, delete=MANAGE)),
    "webhooks_webhook_bindings": Page(MANAGE),
    "webhooks_webhook_test": form(MANAGE),
    "webhooks_webhook_pause": form(MANAGE),
    "webhooks_webhook_resume": form(MANAGE),
    "webhooks_webhook_rotate": form(MANAGE),
    "webhooks_webhook_full": form(MANAGE),
    "webhooks_webhook_signature": form(MANAGE),  # it tells what was sent, and by which secret
    "webhooks_webhook_stop": form(MANAGE),
    "webhooks_webhook_start": form(MANAGE),
    "webhooks_webhook_replay": form(REPLAY),
    **dict(_of_model("webhooks_delivery", VIEW)),
    "webhooks_delivery_replay": form(REPLAY),
    "webhooks_delivery_retry": form(REPLAY),
    "webhooks_delivery_cancel": form(MANAGE),
    "webhooks_delivery_replay_email": form(REPLAY),
    "webhooks_delivery_erase_email": form(MANAGE),
    **dict(_of_model("webhooks_replayjob", VIEW)),
    "webhooks_replayjob_cancel": form(REPLAY),  # nothing is lost: it can be started again
    **dict(_of_model("webhooks_attempt", VIEW)),
    **dict(_of_model("webhooks_event", VIEW)),
    **dict(_of_model("webhooks_eventbody", READ_MAIL)),
    **dict(_of_model("webhooks_notice", VIEW)),
    # keys
    **dict(_of_model("apikeys_apikey", KEYS, add=KEYS, delete=KEYS, send_list=KEYS)),  # its list sends searches
    "apikeys_apikey_preview": Page(KEYS),
    "apikeys_apikey_mailboxes": Page(KEYS),
    "apikeys_apikey_rotate": form(KEYS),
    "apikeys_apikey_end": form(KEYS),
    "apikeys_apikey_plan": form(KEYS),
    **dict(_of_model("apikeys_keynotice", KEYS)),
    # people, and the installation
    **dict(_of_model("auth_user", PEOPLE, add=PEOPLE, change=PEOPLE, delete=PEOPLE, send_list=PEOPLE)),
    "auth_user_password_change": form(PEOPLE),
    "auth_user_sessions": form(PEOPLE),
    **dict(_of_model("auth_group", PEOPLE)),
    **dict(_of_model("common_lease", VIEW)),
    "common_auditentry_export": Page(MANAGE),
    **dict(_of_model("common_auditentry", VIEW)),  # without entries of keys and people, see AUDITED
}

# of lists, by page and name. An action that is not here is offered to nobody, and does nothing when it is sent
ACTIONS: dict[tuple[str, str], Action] = {
    **{
        (f"mailboxes_{model}_changelist", name): MANAGE
        for model in ("domain", "mailbox", "alias", "rule")
        for name in ("enable", "disable")
    },
    ("mailboxes_alias_changelist", "move"): MANAGE,
    **{("auth_user_changelist", name): PEOPLE for name in ("activate", "deactivate")},
}

# what is listed on the page of another thing, by its model
INLINES: dict[str, Action] = {
    "mailboxes_recipient": VIEW,
    "mailboxes_email": VIEW,
}

# pieces of pages that ask for more than their page
PARTS: dict[str, Action] = {
    "index_figures": VIEW,
    "index_keys": KEYS,
    "index_steps": MANAGE,
    "outgoing_stop": VIEW,
    "mailboxes_email_content": READ_MAIL,  # text, headers, reports and invitations, digests, what was found in it
    "mailboxes_message_digest": READ_MAIL,  # who guesses what a mail says would know by it that it is so
    "mailboxes_refusal_digest": READ_MAIL,
    "webhooks_delivery_answers": READ_MAIL,  # receivers may repeat what they were sent
    "webhooks_attempt_answer": READ_MAIL,
    "webhooks_webhook_key": KEYS,  # which key made it
    "common_auditentry_all": MANAGE,  # also entries that AUDITED does not know
}

# entries of the audit log, by what their action begins with
AUDITED: dict[str, Action] = {
    "mail.": VIEW,
    "email.": VIEW,
    "aliases.": VIEW,
    "statistics.": VIEW,
    "ledger.": VIEW,
    "apikey.": KEYS,
    "person.": PEOPLE,
}

# what the address of a list may narrow it by, besides its filters: what links of ours have in them. Nothing else is
# let through, as whoever asks often enough whether a column begins with something knows what is in it
LOOKUPS: dict[str, frozenset[str]] = {
    "mailboxes_email_changelist": frozenset({"quarantine_rule__id__exact"}),
    "mailboxes_refusal_changelist": frozenset({"rule__id__exact"}),
    "webhooks_webhook_changelist": frozenset({"domain__id__exact", "mailbox__id__exact", "alias__id__exact"}),
    "webhooks_delivery_changelist": frozenset(
        {"delivered_at__gte", "created_at__gte", "created_at__lte", "failures__gte", "is_test__exact"}
    ),
}
