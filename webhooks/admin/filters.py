"""What lists are narrowed by. Each is one that an index answers, or that is over few rows."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import first_id_since
from emailgistics.common.between import BetweenFilter, LinkedFilter
from emailgistics.common.ids import encode_id
from mailboxes.admin.filters import MailOfDomainFilter
from mailboxes.models import Mailbox
from webhooks.models import ALIVE, STAYED, Webhook

FAILING = Q(STAYED, state=Webhook.State.ACTIVE, health__failing_since__isnull=False)
OFFERED = 30
PERIODS = {
    "1h": (gettext_lazy("The last hour"), timedelta(hours=1)),
    "24h": (gettext_lazy("The last 24 hours"), timedelta(hours=24)),
    "7d": (gettext_lazy("The last 7 days"), timedelta(days=7)),
    "30d": (gettext_lazy("The last 30 days"), timedelta(days=30)),
}


class StateFilter(SimpleListFilter):
    """By what holds now, see `Webhook.current_state`."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(value, str(label)) for value, label in Webhook.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> QuerySet[Webhook]:  # noqa: ARG002
        active = Q(STAYED, state=Webhook.State.ACTIVE)
        if self.value() == Webhook.State.ACTIVE:
            return queryset.filter(active)
        if self.value() == Webhook.State.PAUSED:
            return queryset.exclude(active).exclude(state=Webhook.State.DISABLED)
        return queryset.filter(state=self.value()) if self.value() else queryset


class HealthFilter(SimpleListFilter):
    """By what is known against them."""

    title = gettext_lazy("health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("failing", _("Failing")), ("open", _("Circuit breaker open")), ("thinned", _("Thin, after 413"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> QuerySet[Webhook]:  # noqa: ARG002
        conditions = {
            "failing": FAILING,
            "open": Q(health__open_until__gt=Now()),
            "thinned": Q(thinned_at__isnull=False),
        }
        condition = conditions.get(self.value() or "")
        return queryset.filter(condition) if condition else queryset


class DeletedFilter(SimpleListFilter):
    """Webhooks that were deleted, or what they were bound to: they stay for their deliveries, out of the way."""

    title = gettext_lazy("deletion")
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", _("Deleted")), ("all", _("All"))]

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        first, *others = super().choices(changelist)
        yield {**first, "display": _("Not deleted")}
        yield from others  # type: ignore[misc]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> QuerySet[Webhook]:  # noqa: ARG002
        if self.value() == "all":
            return queryset
        return queryset.exclude(ALIVE) if self.value() == "yes" else queryset.filter(ALIVE)


class WebhookFilter(SimpleListFilter):
    """The newest ones are offered; a link from any other's page leads here, too."""

    title = gettext_lazy("webhook")
    parameter_name = "webhook"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        newest = list(Webhook.objects.live().order_by("-id").values_list("pk", "url")[:OFFERED])
        chosen = _uuid(request.GET.get(self.parameter_name))
        if chosen and chosen not in dict(newest):
            newest += Webhook.objects.filter(pk=chosen).values_list("pk", "url")
        return [(str(pk), url or encode_id(Webhook.ID_PREFIX, pk)) for pk, url in newest]

    def has_output(self) -> bool:
        return True  # also with one webhook, so that a link to its deliveries works

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if not self.value():
            return queryset
        chosen = _uuid(self.value())
        return queryset.filter(webhook=chosen) if chosen else queryset.none()


class CreatedFilter(SimpleListFilter):
    """By the time that is in each id: the primary key answers it."""

    title = gettext_lazy("time")
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(value, str(title)) for value, (title, _span) in PERIODS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        period = PERIODS.get(self.value() or "")
        return queryset.filter(pk__gte=first_id_since(timezone.now() - period[1])) if period else queryset


class DeliveredFilter(BetweenFilter):
    title = gettext_lazy("delivered")
    parameter_name = "delivered"
    instant = "delivered_at"


class LastAttemptFilter(BetweenFilter):
    """Of what was given up: when it was."""

    title = gettext_lazy("last attempt")
    parameter_name = "last_attempt"
    instant = "last_attempt_at"


class AboutMailFilter(LinkedFilter):
    """Without tests and without what is about a webhook: what statistics count."""

    title = gettext_lazy("what it is about")
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [("mail", _("Mail"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(is_test=False, event__email__isnull=False) if self.value() == "mail" else queryset


class OfMailboxFilter(LinkedFilter):
    """By the mailbox that the mail came to."""

    title = gettext_lazy("mailbox")
    parameter_name = "mailbox"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        pk = _uuid(request.GET.get("mailbox"))
        chosen = Mailbox.objects.filter(pk__in=[pk] if pk else []).select_related("domain")
        return [(str(row.pk), str(row)) for row in chosen]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(event__email__mailbox=_uuid(self.value())) if self.value() else queryset


class OfDomainFilter(MailOfDomainFilter):
    mailbox = "event__email__mailbox"


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None
