"""Making deliveries ours, and reading what their attempts need, in the caller's transaction.

All that is known of a webhook is of one moment, and not from before the deliveries became ours. On PostgreSQL one
statement does all of it, as many deliveries as it may be.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import F, Model
from django.db.models.functions import Least, Now

from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Delivery, Webhook
from webhooks.services.claimed import Claimed, Endpoint, Row, endpoint_of, may_go_out
from webhooks.services.queue.candidates import OPEN
from webhooks.services.queue.postgres import rows_of, uuids

MAX_ATTEMPTS_COUNTED = 32767  # what the column holds: many replays later, the number stays

AnyModel = TypeVar("AnyModel", bound=Model)


def take(lease_id: UUID, ids: Sequence[UUID]) -> list[Claimed]:
    """Of these deliveries, those that were free and may go out now; what may not is given back at once."""
    take_rows = _in_one_statement if connection.vendor == "postgresql" else _one_after_the_other
    rows, endpoints = take_rows(lease_id, ids)
    turn = {row.id: number for number, row in enumerate(rows)}
    return sorted(may_go_out(rows, endpoints), key=lambda one: turn[one.delivery_id])


# what an attempt needs of these, each in the order of its model's fields
OF_WEBHOOK = (
    *("id", "alias_id", "mailbox_id", "domain_id", "url", "sealed_secret", "sealed_previous_secret"),
    *("previous_secret_until", "header_names", "sealed_headers", "bound_mailbox_id", "endpoint_mailbox_id", "payload"),
    *("attachments", "thinned_at", "max_in_flight", "state", "deleted_at"),
)
OF_ALIAS = ("id", "mailbox_id", "deleted_at")
OF_BINDING = ("id", "deleted_at")


def _columns(table: str, names: Iterable[str]) -> str:
    # JSON as text: it is read once a webhook, not once a delivery
    return ", ".join(f"{table}.{name}{'::text' if name == 'header_names' else ''}" for name in names)


# two that want the same deliveries never wait for each other: what somebody else has locked is left to him
STATEMENT = f"""
WITH free AS MATERIALIZED (
    SELECT id FROM webhooks_delivery
     WHERE id = ANY(%(ids)s::uuid[]) AND state = 'pending' AND lease_id IS NULL AND due_at <= statement_timestamp()
       FOR NO KEY UPDATE SKIP LOCKED
), ours AS (
    UPDATE webhooks_delivery d SET lease_id = %(lease)s, attempts = LEAST(d.attempts + 1, {MAX_ATTEMPTS_COUNTED})
      FROM free WHERE d.id = free.id
    RETURNING d.id, d.webhook_id, d.event_id, d.body_id, d.due_at, d.attempts, d.failures, d.lease_losses, d.is_test
)
SELECT ours.id, ours.webhook_id, ours.event_id, event.type, email.mailbox_id, emails_mailbox.deleted_at, ours.body_id,
       body.form, body.body, ours.attempts, ours.failures, ours.lease_losses, ours.is_test, statement_timestamp(),
       {_columns("w", OF_WEBHOOK)}, {_columns("a", OF_ALIAS)}, {_columns("m", OF_BINDING)}, {_columns("o", OF_BINDING)}
  FROM ours
  JOIN webhooks_event event ON event.id = ours.event_id
  JOIN webhooks_webhook w ON w.id = ours.webhook_id
  LEFT JOIN webhooks_eventbody body ON body.id = ours.body_id
  LEFT JOIN mailboxes_email email ON email.id = event.email_id
  LEFT JOIN mailboxes_mailbox emails_mailbox ON emails_mailbox.id = email.mailbox_id
  LEFT JOIN mailboxes_alias a ON a.id = w.alias_id
  LEFT JOIN mailboxes_mailbox m ON m.id = w.mailbox_id
  LEFT JOIN mailboxes_domain o ON o.id = w.domain_id
 ORDER BY ours.due_at, ours.id
"""  # noqa: S608 - made of constants of ours


def _in_one_statement(lease_id: UUID, ids: Sequence[UUID]) -> tuple[list[Row], dict[UUID, Endpoint]]:
    rows: list[Row] = []
    endpoints: dict[UUID, Endpoint] = {}
    for values in rows_of(STATEMENT, {"ids": uuids(ids), "lease": lease_id}):
        row = Row(*values[: len(Row._fields)])
        rows.append(row)
        if row.webhook_id not in endpoints:
            at, *of_webhook = values[len(Row._fields) :]
            endpoints[row.webhook_id] = endpoint_of(_webhook(of_webhook), at=at)
    return rows, endpoints


def _webhook(values: Sequence[Any]) -> Webhook:
    """With what it is bound to; of all of them, only what an attempt needs is there."""
    known = iter(values)
    webhook = Webhook.from_db(DEFAULT_DB_ALIAS, OF_WEBHOOK, list(islice(known, len(OF_WEBHOOK))))
    webhook.header_names = json.loads(webhook.header_names)
    webhook.alias = _bound(Alias, OF_ALIAS, known)
    webhook.mailbox = _bound(Mailbox, OF_BINDING, known)
    webhook.domain = _bound(Domain, OF_BINDING, known)
    return webhook


def _bound(model: type[AnyModel], names: Sequence[str], known: Iterator[Any]) -> AnyModel | None:
    values = list(islice(known, len(names)))
    return None if values[0] is None else model.from_db(DEFAULT_DB_ALIAS, names, values)


def _one_after_the_other(lease_id: UUID, ids: Sequence[UUID]) -> tuple[list[Row], dict[UUID, Endpoint]]:
    """For SQLite, where a transaction has the only write lock from its start."""
    free = Delivery.objects.filter(OPEN, pk__in=ids, due_at__lte=Now())
    free.update(lease_id=lease_id, attempts=Least(F("attempts") + 1, MAX_ATTEMPTS_COUNTED))
    ours = Delivery.objects.filter(pk__in=ids, lease_id=lease_id).annotate(mailbox_id=F("event__email__mailbox"))
    columns = (
        *("pk", "webhook_id", "event_id", "event__type", "mailbox_id", "event__email__mailbox__deleted_at"),
        *("body_id", "body__form", "body__body", "attempts", "failures", "lease_losses", "is_test"),
    )
    rows = [Row(*values) for values in ours.order_by("due_at", "id").values_list(*columns)]
    webhooks = Webhook.objects.filter(pk__in={row.webhook_id for row in rows}).annotate(at=Now())
    return rows, {
        one.pk: endpoint_of(one, at=_at(one)) for one in webhooks.select_related("alias", "mailbox", "domain")
    }


def _at(webhook: Webhook) -> datetime:
    at: datetime = webhook.at  # type: ignore[attr-defined]  # annotated above
    return at
