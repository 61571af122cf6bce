"""What is counted of deliveries, and by what time: see `emailgistics/common/series.py`.

Only of those that are about mail; tests are none. They count for the mailbox that the mail came to, and there for each
alias by which it came, whatever the webhook is bound to. Who may see that mailbox and no other does not see a webhook
of a whole domain, which hears of all its mailboxes, nor one whose alias leads elsewhere by now: of their deliveries
only those may know who see all mailboxes. Once more each counts for its webhook, and so do attempts that failed: that
is for the console. All of it counts when it happens, in the transaction that writes it down.

How long a delivery took is from when it could go out, which is when its mail was opened or, later, when it was
replayed or let go, until the receiver had it.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from emailgistics.common import ledger_days, tallies
from emailgistics.common.series import HOWEVER, MAX_STEP, QUARTER_S, STEPS_OF_DOUBLING, Counts, Kind, delivered_within
from mailboxes.models import Email, Recipient
from mailboxes.services.counted import aliases_of
from webhooks.models import Delivery, Webhook

# On PostgreSQL, for who writes down attempts: a part of that statement (queue/ending.py), whose `ended` and `there` it
# reads. The same as `delivered`, `count(Kind.RETRIES, …)` and `count(Kind.FAILURES, …)`.
STATEMENT = f"""
    INSERT INTO common_seriesentry (subject, part, is_restricted, quarter, kind, times, amount)
    SELECT way.subject, way.part, way.is_restricted,
           floor(extract(epoch FROM statement_timestamp()) / {QUARTER_S})::integer, what.kind, count(*), 0
      FROM there
      JOIN ended ON ended.delivery_id = there.id AND ended.n = there.attempts
      JOIN webhooks_event event ON event.id = there.event_id
      JOIN mailboxes_email email ON email.id = event.email_id
      JOIN webhooks_webhook webhook ON webhook.id = there.webhook_id
      LEFT JOIN mailboxes_alias alias ON alias.id = webhook.alias_id
     CROSS JOIN LATERAL (
         SELECT COALESCE(webhook.mailbox_id, alias.mailbox_id) IS DISTINCT FROM email.mailbox_id AS is_hidden
     ) sight
     CROSS JOIN LATERAL (
         SELECT email.mailbox_id AS subject, '{HOWEVER}'::uuid AS part, sight.is_hidden AS is_restricted
          UNION
         SELECT email.mailbox_id, alias_id, sight.is_hidden
           FROM mailboxes_recipient WHERE email_id = email.id AND alias_id IS NOT NULL
          UNION ALL
         SELECT webhook.id, '{HOWEVER}'::uuid, true
     ) way
     CROSS JOIN LATERAL (
         SELECT {Kind.DELIVERED:d} + LEAST(CEIL(LN(GREATEST(
                    extract(epoch FROM statement_timestamp() - COALESCE(there.begun_at, there.created_at))::float8
                    * 1000, 1
                )) / LN(2::float8) * {STEPS_OF_DOUBLING}), {MAX_STEP})::integer AS kind
          WHERE ended.is_success
          UNION ALL
         SELECT {Kind.RETRIES:d} WHERE ended.is_retry
          UNION ALL
         SELECT {Kind.FAILURES:d}
          WHERE NOT ended.is_success AND NOT ended.is_own_fault AND way.subject = webhook.id
     ) what
     WHERE there.is_ours AND NOT there.is_test
     GROUP BY 1, 2, 3, 4, 5
"""  # noqa: S608 - made of constants of ours


def held_at_once(held: Iterable[tuple[Webhook, Email]], recipients: Iterable[Recipient]) -> None:
    """Counts deliveries of new mail that have to wait for these webhooks, whose aliases are loaded, at once."""
    counts, aliases, now = Counts(), aliases_of(recipients), timezone.now()
    for webhook, email in held:
        add(counts, Kind.HELD, webhook, email, aliases.get(email.pk, ()), at=now)
    counts.write()


def came(deliveries: Iterable[Delivery]) -> None:
    """Counts for the ledger, in the transaction that inserts them."""
    tallies.count(**ledger_days.came(ledger_days.DELIVERIES, (delivery.pk for delivery in deliveries)))


def went(ids: Collection[UUID]) -> None:
    """The same in the transaction that deletes them."""
    tallies.count(**ledger_days.went(ledger_days.DELIVERIES, ids))


def count(kind: Kind, ids: Collection[UUID]) -> None:
    """Counts that each of these became so, in the caller's transaction, which has them locked."""
    if not ids:
        return
    _write((row, kind) for row in _of_mail(Delivery.objects.filter(pk__in=ids)))


def delivered(rows: QuerySet[Delivery]) -> None:
    """Counts these as delivered, before they are: in the caller's transaction, which has them locked."""
    timed = rows.annotate(at=Now(), ready_at=Coalesce("begun_at", "created_at"))
    _write((row, delivered_within(row.at - row.ready_at)) for row in _of_mail(timed))


def add(
    counts: Counts, kind: int, webhook: Webhook, email: Email, aliases: Iterable[UUID], *, at: datetime, times: int = 1
) -> None:
    """Of a delivery of that email to that webhook, whose alias is loaded: for whom it counts, and who may know."""
    if kind != Kind.FAILURES:
        hears_of = webhook.mailbox_id or (webhook.alias.mailbox_id if webhook.alias else None)
        is_hidden = hears_of != email.mailbox_id
        counts.add(kind, subject=email.mailbox_id, parts=aliases, at=at, is_restricted=is_hidden, times=times)
    counts.add(kind, subject=webhook.pk, at=at, is_restricted=True, times=times)


def _of_mail(rows: QuerySet[Any]) -> Sequence[Any]:
    return list(rows.filter(is_test=False, event__email__isnull=False).select_related("webhook__alias", "event__email"))


def _write(found: Iterable[tuple[Delivery, int]]) -> None:
    """Of a delivery, webhook.alias and event.email are loaded."""
    rows = [(delivery, delivery.event.email, kind) for delivery, kind in found]
    emails = {email.pk for _, email, _ in rows if email}
    aliases = aliases_of(Recipient.objects.filter(email__in=emails, alias__isnull=False)) if emails else {}
    counts, now = Counts(), timezone.now()
    for delivery, email, kind in rows:
        if email is not None:
            add(counts, kind, delivery.webhook, email, aliases.get(email.pk, ()), at=now)
    counts.write()
