"""Whether a caller may still see what a request of his was about; for answers that are kept (`common.idempotency`)."""

from collections.abc import Collection
from uuid import UUID

from emailgistics.common.access import Principal
from mailboxes.models import Alias, Mailbox


def sees_all(caller: Principal, mailboxes: Collection[UUID], aliases: Collection[UUID]) -> bool:
    return all(
        rows.visible_to(caller).filter(pk__in=ids).count() == len(ids)
        for rows, ids in ((Mailbox.objects, mailboxes), (Alias.objects, aliases))
        if ids
    )
