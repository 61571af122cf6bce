"""What lists of addresses and mail are narrowed by."""

from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from emailgistics.common.admin import first_id_since
from mailboxes.models import Address, Alias, Domain, Email, Mailbox, Recipient

MAX_CHOICES = 50

Row = TypeVar("Row", Mailbox, Alias, Address)


class DeletedFilter(SimpleListFilter):
    """What is marked deleted is out of sight until it is asked for."""

    title = "deleted"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", "Deleted"), ("all", "Both")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        if self.value() == "all":
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() != "yes")

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield first | {"display": "Not deleted"}
        yield from others


class ReceivedFilter(SimpleListFilter):
    title = "received"
    parameter_name = "received"
    instant = "received_at"
    SPANS = {"24h": ("In 24 hours", 1), "7d": ("In 7 days", 7), "30d": ("In 30 days", 30), "90d": ("In 90 days", 90)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [(value, title) for value, (title, _) in self.SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        span = self.SPANS.get(self.value() or "")
        if span is None:
            return queryset
        since = timezone.now() - timedelta(days=span[1])
        # the id was made when the mail came, and has the index
        return queryset.filter(pk__gte=first_id_since(since), **{f"{self.instant}__gte": since})


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
    title = "mailbox"
    parameter_name = "mailbox"

    def things(self) -> QuerySet[Mailbox]:
        return Mailbox.objects.select_related("domain").order_by("domain__name", "local_part")


class DomainFilter(FewFilter):
    title = "domain"
    parameter_name = "domain"

    def things(self) -> QuerySet[Domain]:
        return Domain.objects.order_by("name")


class TestFilter(SimpleListFilter):
    """Of mailboxes and aliases, by their domain."""

    title = "test domains"
    parameter_name = "test"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("yes", "In test domains"), ("no", "In others")]

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


def search_emails(rows: QuerySet[Email], term: str, *, among: int) -> QuerySet[Email]:
    """By an address (its beginning), a part of the subject or a Message-ID, among the newest rows."""
    newest = rows.order_by("-pk").values("pk")[:among]
    by = (
        Q(from_address__istartswith=term)
        | Q(from_name__icontains=term)
        | Q(subject__icontains=term)
        | Q(message_id_header__in=[term, f"<{term}>", term.strip("<>")])
        | Q(message__mail_from__istartswith=term)
        | Q(pk__in=_to(term, newest))
    )
    return rows.filter(pk__in=newest).filter(by)


def _to(term: str, emails: Any) -> Any:
    return Recipient.objects.filter(email__in=emails, address__istartswith=term).values("email")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
