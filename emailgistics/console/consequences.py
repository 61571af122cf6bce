"""What goes with an address that is deleted, in the apps above it."""

from collections.abc import Iterator

from django.db.models import Q

from apikeys.models import ApiKeyMailbox
from mailboxes.admin.deletion import NAMED, Owner
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook


def of_deleting(row: Owner) -> Iterator[str]:
    webhooks = Webhook.objects.live().filter(_bound_to(row))
    if count := webhooks.count():
        urls = ", ".join(url or "one that is pulled" for url in webhooks.values_list("url", flat=True)[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        yield f"{_many(count, 'webhook')} bound to it hear{'s' if count == 1 else ''} nothing any more ({urls}{more})."
    if not isinstance(row, Alias):
        mailboxes = Q(mailbox__domain=row) if isinstance(row, Domain) else Q(mailbox=row)
        named = ApiKeyMailbox.objects.filter(mailboxes, api_key__revoked_at=None).values("api_key").distinct()
        if count := named.count():
            yield f"{_many(count, 'API key')} name{'s' if count == 1 else ''} it: there it opens nothing any more."


def _bound_to(row: Owner) -> Q:
    match row:
        case Domain():
            return Q(domain=row) | Q(mailbox__domain=row) | Q(alias__domain=row) | Q(alias__mailbox__domain=row)
        case Mailbox():
            return Q(mailbox=row) | Q(alias__mailbox=row)
    return Q(alias=row)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
