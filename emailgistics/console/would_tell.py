"""Which webhooks would be told of a mail, for the page that says where mail goes: see mailboxes/admin/routing.py."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from mailboxes.admin.routing import Told
from mailboxes.models import Email, Recipient, Rule
from mailboxes.services.explain import Destination, Outlook
from webhooks.models import Event, Webhook
from webhooks.services.fan_out import matching

MAX_TOLD = 50


def webhooks_of(outlook: Outlook, destination: Destination) -> Iterator[Told]:
    """As for a real mail: by the same question, asked of one that is not stored."""
    if not destination.verdict.keeps:
        return
    email = Email(mailbox=destination.mailbox)
    recipient = Recipient(alias=outlook.alias, is_copy=destination.is_copy)
    for webhook in matching(email, [recipient]).order_by("pk")[:MAX_TOLD]:
        yield Told(
            webhook.url or _("a webhook that is pulled"),
            reverse("admin:webhooks_webhook_change", args=[webhook.pk]),
            _how(webhook, destination),
        )


def _how(webhook: Webhook, destination: Destination) -> str:
    if Event.Type.EMAIL_RECEIVED not in webhook.events:
        return _("not told: it does not want to hear of email.received")
    if destination.verdict.action == Rule.Action.QUARANTINE:
        return _("told once somebody releases the mail from quarantine")
    if obstacle := webhook.obstacle(destination.mailbox.pk):
        return _("held: %(reason)s") % {"reason": obstacle}
    return _("told at once")
