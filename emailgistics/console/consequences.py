"""What goes with an address that is deleted, and what stays when a key ends, in the apps above them."""

from collections.abc import Collection, Iterator

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apikeys.admin.ending import Outliving
from apikeys.models import ApiKey, ApiKeyMailbox
from mailboxes.admin.deletion import NAMED, Owner
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook
from webhooks.services.webhooks import pause_webhook


def of_deleting(row: Owner) -> Iterator[str]:
    webhooks = Webhook.objects.live().filter(_bound_to(row))
    if count := webhooks.count():
        urls = ", ".join(url or _("one that is pulled") for url in webhooks.values_list("url", flat=True)[:NAMED])
        if count > NAMED:
            urls = _("%(list)s and %(count)s more") % {"list": urls, "count": count - NAMED}
        yield ngettext(
            "%(count)s webhook bound to it hears nothing any more (%(urls)s).",
            "%(count)s webhooks bound to it hear nothing any more (%(urls)s).",
            count,
        ) % {"count": count, "urls": urls}
    if not isinstance(row, Alias):
        mailboxes = Q(mailbox__domain=row) if isinstance(row, Domain) else Q(mailbox=row)
        named = ApiKeyMailbox.objects.filter(mailboxes, api_key__in=ApiKey.objects.in_force())
        if count := named.values("api_key").distinct().count():
            yield ngettext(
                "%(count)s API key names it: there it opens nothing any more.",
                "%(count)s API keys name it: there it opens nothing any more.",
                count,
            ) % {"count": count}


def webhooks_of_key(key: ApiKey) -> list[Outliving]:
    return [
        Outliving(
            id=webhook.public_id,
            name=webhook.url or _("one that is pulled"),
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
