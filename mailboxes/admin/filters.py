"""What lists of addresses and mail are narrowed by."""

from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.between import IN_DAYS, BetweenFilter, LinkedFilter
from mailboxes.models import Domain, Mailbox

MAX_CHOICES = 50

Row = TypeVar("Row", bound=Model)


class DeletedFilter(SimpleListFilter):
    """What is marked deleted is out of sight until it is asked for."""

    title = gettext_lazy("deleted")
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", _("Deleted")), ("all", _("Both"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() == "all":
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() != "yes")

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield first | {"display": _("Not deleted")}
        yield from others


class ReceivedFilter(BetweenFilter):
    title = gettext_lazy("received")
    parameter_name = "received"
    instant = "received_at"
    spans = IN_DAYS
    is_when_made = True


class FewFilter(SimpleListFilter):
    """The first of many things by name, and the chosen one: a link from the page of any of them leads here, too."""

    def things(self) -> QuerySet[Any]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        found = list(self.things().filter(deleted_at=None)[:MAX_CHOICES])
        pk = _uuid(request.GET.get(self.parameter_name or "", ""))
        if pk and pk not in {row.pk for row in found}:
            found += self.things().filter(pk=pk)
        return [(str(row.pk), str(row)) for row in found]

    def has_output(self) -> bool:
        return True  # with none to choose from as well: a link has to work

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if not self.value():
            return queryset
        pk = _uuid(self.value() or "")
        return queryset.filter(**{str(self.parameter_name): pk}) if pk else queryset.none()


class MailboxFilter(FewFilter):
    title = gettext_lazy("mailbox")
    parameter_name = "mailbox"

    def things(self) -> QuerySet[Mailbox]:
        return Mailbox.objects.select_related("domain").order_by("domain__name", "local_part")


class DomainFilter(FewFilter):
    title = gettext_lazy("domain")
    parameter_name = "domain"

    def things(self) -> QuerySet[Domain]:
        return Domain.objects.order_by("name")


class MailOfDomainFilter(LinkedFilter):
    """Of emails, by their mailboxes: those have the index."""

    title = gettext_lazy("domain of the mailbox")
    parameter_name = "domain"
    mailbox = "mailbox"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        pk = _uuid(request.GET.get("domain", ""))
        return [(str(row.pk), str(row)) for row in Domain.objects.filter(pk__in=[pk] if pk else [])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if not self.value():
            return queryset
        ids = Mailbox.objects.filter(domain=_uuid(self.value() or "")).values_list("pk", flat=True)
        return queryset.filter(**{f"{self.mailbox}__in": list(ids)})


class TestFilter(SimpleListFilter):
    """Of mailboxes and aliases, by their domain."""

    title = gettext_lazy("test domains")
    parameter_name = "test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", _("In test domains")), ("no", _("In others"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(domain__is_test=self.value() == "yes")


def search_addresses(rows: QuerySet[Row], term: str, *, local_part: str) -> QuerySet[Row]:
    """`support`, `example.com` or `support@exam`: what its parts begin with. local_part names its field."""
    local, at, domain = term.strip().rpartition("@")
    if at:
        return rows.filter(**{f"{local_part}__istartswith": local}, domain__name__istartswith=domain)
    return rows.filter(Q(**{f"{local_part}__icontains": term}) | Q(domain__name__icontains=term))


def among_newest(rows: QuerySet[Row], count: int) -> QuerySet[Row]:
    """So many of the table, by its ids: of a subquery with a limit databases read everything beside it."""
    table = rows.model._default_manager  # noqa: SLF001 - documented
    last = table.order_by("-pk").values_list("pk", flat=True)[count : count + 1]
    oldest = next(iter(last), None)
    return rows if oldest is None else rows.filter(pk__gt=oldest)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
