"""Keys that ended long ago go, with what was counted of them. That there was such a key stays for good, and so does
what the audit log says of it.

The database lets no other row of a key go, whoever asks (see `freeze/`): it looks at the end, by its own clock, and
what was issued once is not issued again, so that a row that was copied cannot be put back with other rights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from apikeys.models import ApiKey, ApiKeyMailbox
from emailgistics.common import audit
from emailgistics.common.logs import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purge:
    """Identifiers: of what went, and of what stays because something that is still there was made with it."""

    purged: list[str]
    kept: list[str]


def purge() -> Purge:
    """Each key in a transaction of its own: what one of them meets does not keep the others."""
    outcome = Purge([], [])
    for key in ApiKey.objects.ended_long_ago().order_by("pk"):
        (outcome.purged if _purge(key) else outcome.kept).append(key.identifier)
    log.info("apikeys.purged", purged=outcome.purged, kept=outcome.kept)
    return outcome


def _purge(key: ApiKey) -> bool:
    with transaction.atomic():
        # nobody refers to it meanwhile: a foreign key, and who counts its use, would have to share the row
        if not ApiKey.objects.select_for_update().filter(pk=key.pk).exists():
            return True  # somebody else's purge was faster
        if any(_rows(relation, key).exists() for relation in _relations(models.PROTECT)):
            return False
        for relation in _relations(models.CASCADE):
            _rows(relation, key).delete()
        # the key before its list and its successors: the triggers let these go once it has gone, and foreign keys wait
        # for the commit. `delete()` would take the other way round.
        ApiKey.objects.filter(pk=key.pk)._raw_delete("default")  # noqa: SLF001
        ApiKeyMailbox.objects.filter(api_key_id=key.pk).delete()
        ApiKey.objects.filter(rotated_from_id=key.pk).update(rotated_from=None)
        audit.record("apikey.purged", of=key.identifier)
    return True


def _relations(on_delete: Any) -> Iterable[Any]:
    """Foreign keys of other tables to a key, also of apps that stand on this one."""
    return [
        relation
        for relation in ApiKey._meta.get_fields(include_hidden=True)  # noqa: SLF001 - Django's public name for it
        if isinstance(relation, models.ManyToOneRel)
        and relation.on_delete is on_delete
        and relation.related_model not in (ApiKey, ApiKeyMailbox)
    ]


def _rows(relation: Any, key: ApiKey) -> models.QuerySet[Any]:
    rows: models.QuerySet[Any] = relation.related_model._base_manager.all()  # noqa: SLF001 - as above
    return rows.filter(**{relation.field.attname: key.pk})
