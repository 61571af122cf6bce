"""Making, pausing and deleting webhooks, and their secrets."""

from django.utils import timezone

from apikeys.credentials import new_webhook_secret, parse_webhook_secret
from apikeys.models import ApiKey
from emailgistics.common.crypto import decrypt, encrypt
from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import uuid7
from emailgistics.common.nudge import nudge
from emailgistics.common.text import within
from mailboxes.models import Alias, Domain, Mailbox
from webhooks import guard
from webhooks.models import Webhook
from webhooks.services.fan_out import DISPATCH


def create_webhook(
    *,
    url: str,
    alias: Alias | None = None,
    mailbox: Mailbox | None = None,
    domain: Domain | None = None,
    payload: str = Webhook.Payload.FULL,
    description: str = "",
    created_by: ApiKey | None = None,
    secret: str | None = None,
) -> tuple[Webhook, str]:
    """A webhook bound to exactly one of alias, mailbox and domain, and its secret, which is not shown again.

    secret keeps a receiver's configuration when moving here; otherwise a fresh one is made. Raises RefusedError, with
    field url for an address that may not be called.
    """
    bindings = [thing for thing in (alias, mailbox, domain) if thing is not None]
    if len(bindings) != 1:
        raise RefusedError("A webhook is bound to exactly one alias, mailbox or domain: give one of them.")
    if bindings[0].deleted_at is not None:
        raise RefusedError(f"{bindings[0]} is deleted; bind the webhook to something that can still receive mail.")
    if payload not in Webhook.Payload.values:
        raise RefusedError(f"payload is one of {', '.join(Webhook.Payload.values)}.", field="payload")
    guard.check_url(url)
    pk = uuid7()
    if secret is None:
        secret = new_webhook_secret()
    else:
        parse_webhook_secret(secret)
    webhook = Webhook.objects.create(
        pk=pk,
        alias=alias,
        mailbox=mailbox,
        domain=domain,
        url=url,
        sealed_secret=encrypt(secret.encode(), context=_secret_context(pk)),
        payload=payload,
        description=within(description, limit=500, field="description"),
        created_by=created_by,
    )
    return webhook, secret


def secret_of(webhook: Webhook) -> str:
    """Raises DecryptionError when the row was tampered with or its key is not configured."""
    return decrypt(bytes(webhook.sealed_secret), context=_secret_context(webhook.pk)).decode()


def pause_webhook(webhook: Webhook, *, reason: str = "") -> None:
    """Nothing starts any more; what comes is held. Attempts in flight end as they end."""
    Webhook.objects.live().filter(pk=webhook.pk).update(state=Webhook.State.PAUSED, state_reason=reason)
    nudge(DISPATCH)


def resume_webhook(webhook: Webhook) -> None:
    """What was held meanwhile becomes due."""
    Webhook.objects.live().filter(pk=webhook.pk).update(state=Webhook.State.ACTIVE, state_reason="")
    nudge(DISPATCH)


def delete_webhook(webhook: Webhook) -> None:
    """Marks it deleted: nothing starts any more, and what waits is canceled by `queue.settle`; the emails stay."""
    Webhook.objects.live().filter(pk=webhook.pk).update(deleted_at=timezone.now())
    nudge(DISPATCH)


def _secret_context(pk: object) -> str:
    return f"webhooks_webhook.sealed_secret:{pk}"
