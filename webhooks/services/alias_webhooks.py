"""An alias and a webhook for it in one step: both are there afterwards, or neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from emailgistics.common.errors import ConflictError
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from webhooks import guard
from webhooks.models import Webhook
from webhooks.services.webhooks import create_webhook


@dataclass(frozen=True, slots=True)
class AliasWebhook:
    """secret is that of a new webhook, shown this once; None: both were there already."""

    alias: Alias
    webhook: Webhook
    secret: str | None


def create_alias_webhook(
    *,
    domain: Domain,
    name: str,
    mailbox: Mailbox | None,
    mailboxes: QuerySet[Mailbox],
    aliases: QuerySet[Alias],
    for_alias: Mapping[str, Any],
    url: str = "",
    first_or_create: bool = False,
    **for_webhook: Any,
) -> AliasWebhook:
    """For the rest see `provision.create_alias`, which gets for_alias, and `create_webhook`, which gets for_webhook.

    mailboxes and aliases are those that the caller may know of; without mailbox see `provision.mailbox_for_alias`.
    first_or_create: an alias that is there is taken as it is, and so is a webhook of it with the same URL; of several
    who ask for the same at the same time, one makes it. Raises what these raise, and ConflictError for an alias that
    leads to another mailbox.
    """
    judged = guard.check_url(url) if url else ""  # looks names up, so before the transaction
    address = f"{name}@{domain.name}"
    with transaction.atomic():
        alias = provision.alias_to_share(address, among=aliases) if first_or_create else None
        if alias is None:
            leads_to = mailbox or provision.mailbox_for_alias(domain, among=mailboxes)
            alias = provision.create_alias(address=address, mailbox=leads_to, **for_alias)
        elif mailbox is not None and alias.mailbox_id != mailbox.pk:
            raise ConflictError(
                f"The alias {alias.address} is there, and leads to another mailbox.", field="mailbox_id"
            )
        else:
            there = Webhook.objects.live().filter(alias=alias).at(url).order_by("pk").first()
            if there is not None:
                return AliasWebhook(alias, there, secret=None)
        webhook, secret = create_webhook(url=judged, alias=alias, **for_webhook)
    return AliasWebhook(alias, webhook, secret)
