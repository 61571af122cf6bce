"""The numbers of a time by mailbox, by domain or by webhook: the busiest of them. For the console, which knows all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import QuerySet

from emailgistics.common.series import MAX_STEP, Kind, quarter_of
from emailgistics.common.series_of_each import busiest, members_of, totals_of_each
from emailgistics.reports.statistics import Figures, figures_of
from mailboxes.models import Domain, Mailbox
from webhooks.models import Webhook

DELIVERIES = (*range(Kind.DELIVERED, Kind.DELIVERED + MAX_STEP + 1), Kind.FAILED, Kind.FAILURES, Kind.HELD)


class By(StrEnum):
    MAILBOX = "mailbox"
    DOMAIN = "domain"
    WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Line:
    of: Mailbox | Domain | Webhook
    figures: Figures


def breakdown(
    by: By,
    *,
    since: datetime,
    until: datetime,
    at_most: int,
    mailbox: Mailbox | None = None,
    domain: Domain | None = None,
    webhook: Webhook | None = None,
) -> Sequence[Line]:
    """Mailboxes and domains by how much they received, webhooks by their deliveries; the busiest first.

    since and until are at quarters of an hour. A mailbox or a domain is among mailboxes, a webhook among webhooks.
    """
    period = quarter_of(since), quarter_of(until)
    if by is By.WEBHOOK:
        webhooks = Webhook.objects.all() if webhook is None else Webhook.objects.filter(pk=webhook.pk)
        return _lines(webhooks, webhooks, period, kinds=DELIVERIES, at_most=at_most)
    mailboxes = Mailbox.objects.all()
    if mailbox:
        mailboxes = mailboxes.filter(pk=mailbox.pk)
    if domain:
        mailboxes = mailboxes.filter(domain=domain)
    if by is By.DOMAIN:
        return _lines(Domain.objects.all(), mailboxes, period, kinds=[Kind.RECEIVED], at_most=at_most, of="domain_id")
    named = mailboxes.select_related("domain")
    return _lines(named, mailboxes, period, kinds=[Kind.RECEIVED], at_most=at_most)


def _lines(
    named: QuerySet[Any],
    members: QuerySet[Any],
    period: tuple[int, int],
    *,
    kinds: Sequence[int],
    at_most: int,
    of: str = "pk",
) -> list[Line]:
    ids = busiest(members_of(members, of), period, kinds=kinds, at_most=at_most)
    few = members.filter(**{f"{of}__in": list(ids)})
    found = totals_of_each(members_of(few, of), [period])
    rows = named.in_bulk(list(ids))
    return [Line(rows[pk], figures_of(found[pk].get(0, {}))) for pk in ids if pk in rows]
