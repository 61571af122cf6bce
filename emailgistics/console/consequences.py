"""What goes with an address that is deleted, and what stays when a key ends, in the apps above them."""

from collections.abc import Collection, Iterator

from django.db.models import Q
from django.urls import reverse

from apikeys.admin.ending import Outliving
from apikeys.models import ApiKey, ApiKeyMailbox
from mailboxes.admin.deletion import NAMED, Owner
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook
from webhooks.services.webhooks import pause_webhook


def of_deleting(row: Owner) -> Iterator[str]:
    webhooks = Webhook.objects.live().filter(_bound_to(row))
    if count := webhooks.count():
        urls = ", ".join(url or "one that is pulled" for url in webhooks.values_list("url", flat=True)[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"{_many(count, 'webhook')} bound to it hear{'s' if count == 1 else ''} nothing any more ({urls}{more})."
    if not isinstance(row, Alias):
        mailboxes = Q(mailbox__domain=row) if isinstance(row, Domain) else Q(mailbox=row)
        named = ApiKeyMailbox.objects.filter(mailboxes, api_key__in=ApiKey.objects.in_force())
        if count := named.values("api_key").distinct().count():
            yield f"{_many(count, 'API key')} name{'s' if count == 1 else ''} it: there it opens nothing any more."


def webhooks_of_key(key: ApiKey) -> list[Outliving]:
    return [
        Outliving(
            id=webhook.public_id,
            name=webhook.url or "one that is pulled",
            url=reverse("admin:webhooks_webhook_change", args=[webhook.pk]),
            state=webhook.get_state_display().lower(),
            can_pause=webhook.state == Webhook.State.ACTIVE,
        )
        for webhook in Webhook.objects.live().filter(created_by=key)
    ]


def pause_webhooks_of_key(key: ApiKey, ids: Collection[str]) -> int:
    """Those of the ids that run and that the key created; how many."""
    running = Webhook.objects.live().filter(created_by=key, state=Webhook.State.ACTIVE)
    chosen = [webhook for webhook in running if webhook.public_id in ids]
    for webhook in chosen:
        pause_webhook(webhook, reason=f"{key.identifier}, which created it, was deleted")
    return len(chosen)


def _bound_to(row: Owner) -> Q:
    match row:
        case Domain():
            return Q(domain=row) | Q(mailbox__domain=row) | Q(alias__domain=row) | Q(alias__mailbox__domain=row)
        case Mailbox():
            return Q(mailbox=row) | Q(alias__mailbox=row)
    return Q(alias=row)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
