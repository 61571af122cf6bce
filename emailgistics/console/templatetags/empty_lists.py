"""What a list says that has nothing in it: what would be there, and what to do so that there is something."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

register = template.Library()

Text = str | Promise


@dataclass(frozen=True, slots=True)
class Nothing:
    """Where to go, if the list's own Add is not it: what the link says, and the name of the page."""

    text: Text
    link: Text = ""
    page: str = ""

    @property
    def href(self) -> str:
        return reverse(f"admin:{self.page}") if self.page else ""


START = (gettext_lazy("Send a test mail: see the first steps"), "first_steps")
WEBHOOKS = (gettext_lazy("Go to webhooks"), "webhooks_webhook_changelist")

NOTHING: dict[str, Nothing] = {
    "mailboxes.domain": Nothing(
        gettext_lazy(
            "A domain is where mail is taken for. Add one, put the records that its page shows into its DNS, "
            "and mail to it comes here."
        ),
    ),
    "mailboxes.mailbox": Nothing(
        gettext_lazy(
            "A mailbox holds the mail to its address, and to the aliases that lead to it. It needs a domain; "
            "each domain comes with one."
        ),
        gettext_lazy("Add a domain first"),
        "mailboxes_domain_add",
    ),
    "mailboxes.alias": Nothing(
        gettext_lazy(
            "An alias is a further address that leads to a mailbox. A pattern of addresses, or * for whatever"
            " no other address takes, is one as well."
        ),
    ),
    "mailboxes.rule": Nothing(
        gettext_lazy(
            "No rule stands in the way of any mail. Rules block, discard, quarantine or allow it, by sender, "
            "network, attachment or size."
        ),
    ),
    "mailboxes.aliasimport": Nothing(
        gettext_lazy(
            "Nothing was imported yet. An import makes or changes many aliases out of a CSV file, and says what "
            "became of each."
        ),
        gettext_lazy("Go to aliases"),
        "mailboxes_alias_changelist",
    ),
    "mailboxes.erasurejob": Nothing(
        gettext_lazy(
            "Nothing is being erased. When a mailbox or a domain is deleted with its mail, how far that is stands here."
        ),
        gettext_lazy("Go to mailboxes"),
        "mailboxes_mailbox_changelist",
    ),
    "mailboxes.message": Nothing(
        gettext_lazy(
            "No mail has come yet. A message is what a sender's host handed in; each mailbox that it reaches "
            "has an email of its own."
        ),
        *START,
    ),
    "mailboxes.refusal": Nothing(
        gettext_lazy(
            "No mail was refused. What is refused for its sender, its recipient or a rule stands here, with "
            "the reply that was given."
        ),
        gettext_lazy("Try what would become of a mail"),
        "mailboxes_alias_explain",
    ),
    "mailboxes.address": Nothing(
        gettext_lazy("Addresses of mailboxes and aliases stand here, also those of deleted ones while they rest."),
        gettext_lazy("Add a mailbox"),
        "mailboxes_mailbox_add",
    ),
    "webhooks.webhook": Nothing(
        gettext_lazy(
            "Nobody is told of mail yet. A webhook tells an endpoint of yours of each mail to an alias, a "
            "mailbox or a domain."
        ),
    ),
    "webhooks.delivery": Nothing(
        gettext_lazy(
            "Nothing was to be delivered yet. For each mail, each webhook that is bound to where it went has "
            "a delivery here."
        ),
        *WEBHOOKS,
    ),
    "webhooks.attempt": Nothing(
        gettext_lazy(
            "Nothing was sent yet. Each request to an endpoint stands here, with its answer and how long it took."
        ),
        *WEBHOOKS,
    ),
    "webhooks.event": Nothing(
        gettext_lazy("Nothing has happened yet that a webhook is told of: there was no mail, or no webhook for it."),
        *WEBHOOKS,
    ),
    "webhooks.replayjob": Nothing(
        gettext_lazy(
            "Nothing was replayed yet. A replay sends again what a webhook missed: choose the webhook, then Replay."
        ),
        *WEBHOOKS,
    ),
    "webhooks.notice": Nothing(
        gettext_lazy(
            "There is nothing to tell. When a webhook fails for long, is disabled or works again, that stands here."
        ),
        *WEBHOOKS,
    ),
    "apikeys.apikey": Nothing(
        gettext_lazy(
            "No program has access yet. An API key opens the mailboxes that it names, for what its scopes "
            "say, until it expires."
        ),
    ),
    "apikeys.keynotice": Nothing(
        gettext_lazy(
            "There is nothing to tell. Before a key expires, and when one is old or unused, that stands here."
        ),
        gettext_lazy("Go to API Access"),
        "apikeys_apikey_changelist",
    ),
    "common.lease": Nothing(
        gettext_lazy(
            "No worker is alive, so mail that comes waits. Have the operator look at manage.py up, or at the "
            "worker's own log."
        ),
    ),
    "common.auditentry": Nothing(
        gettext_lazy("Nothing was done yet that is on record: keys that were made or ended, secrets, test mails.")
    ),
}


@register.simple_tag
def nothing_yet(opts: Any) -> Nothing | None:
    """For the list of that model; None where there is nothing particular to say."""
    return NOTHING.get(opts.label_lower)
