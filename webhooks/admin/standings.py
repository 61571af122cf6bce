"""How far the news of emails has come, counted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from mailboxes.admin.fate import Standing
from webhooks.models import Delivery

State = Delivery.State


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the deliveries of an email, by what became of them."""

    failing: int = 0
    failed: int = 0
    pending: int = 0  # failing ones as well
    held: int = 0
    delivered: int = 0
    ended: int = 0  # canceled and expired

    @property
    def total(self) -> int:
        return self.failed + self.pending + self.held + self.delivered + self.ended

    @property
    def standing(self) -> Standing:
        """The worst of it: that is what somebody has to know."""
        of = _("%(done)s of %(total)s delivered") % {"done": self.delivered, "total": self.total}
        if not self.total:
            return Standing(_("processed"), "", _("no webhook is for it"))
        worst = (
            (self.failed, _("failed"), "danger"),
            (self.failing, _("failing"), "warning"),
            (self.pending, _("on its way"), "info"),
            (self.held, _("held"), "warning"),
            (self.ended and not self.delivered, _("not delivered"), ""),
        )
        for count, label, colour in worst:
            if count:
                return Standing(label, colour, of)
        return Standing(_("delivered"), "success", of if self.total > 1 else "")


def counts_of(emails: Sequence[UUID]) -> dict[UUID, Counts]:
    """By email; of those that no webhook was told of there is none. Tests are about no email."""
    rows: Iterable[Any] = (
        Delivery.objects.filter(event__email__in=emails)
        .order_by()
        .values("event__email")
        .annotate(
            failing=Count("pk", filter=Q(state=State.PENDING, failures__gt=0)),
            failed=Count("pk", filter=Q(state=State.FAILED)),
            pending=Count("pk", filter=Q(state=State.PENDING)),
            held=Count("pk", filter=Q(state=State.HELD)),
            delivered=Count("pk", filter=Q(state=State.DELIVERED)),
            ended=Count("pk", filter=Q(state__in=[State.CANCELED, State.EXPIRED])),
        )
    )
    return {row.pop("event__email"): Counts(**row) for row in rows}
