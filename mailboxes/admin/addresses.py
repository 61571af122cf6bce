"""Domains, mailboxes and aliases: lists, forms, bulk actions."""

from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from emailgistics.common.admin import display
from emailgistics.common.errors import DomainError
from mailboxes.admin.deletion import NAMED, DeletableAdmin
from mailboxes.admin.filters import (
    DeletedFilter,
    DomainFilter,
    MailboxFilter,
    TestFilter,
    search_addresses,
)
from mailboxes.admin.forms import (
    NOTHING_IS_PRUNED_YET,
    AddAliasForm,
    AddDomainForm,
    AddMailboxForm,
    ChangeAliasForm,
    ChangeDomainForm,
    ChangeMailboxForm,
)
from mailboxes.admin.routing import ExplainPage, explain_url
from mailboxes.models import Alias, AliasCopy, Domain, Mailbox
from mailboxes.services import provision, verification

STATES = {"active": "success", "disabled": "warning", "deleted": "danger"}
WHAT_IT_IS = ("public_id", "created_at", "deleted_at")


class OwnerAdmin(DeletableAdmin):
    """What the pages of domains, mailboxes and aliases share."""

    add_form: ClassVar[type[forms.ModelForm]]  # type: ignore[type-arg]
    change_form: ClassVar[type[forms.ModelForm]]  # type: ignore[type-arg]
    actions = ("enable", "disable")
    readonly_fields: ClassVar[tuple[str, ...]] = ("links", *WHAT_IT_IS)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=self.change_form if change else self.add_form, **kwargs)

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        """Nothing: the form's service has done it."""

    def set_active(self, row: Any, is_active: bool) -> None:
        raise NotImplementedError

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=True)

    @admin.action(description="Disable: its mail is refused")
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=False)

    def _set_all(self, request: HttpRequest, rows: QuerySet[Any], *, is_active: bool) -> None:
        """Each in a transaction of its own: mail does not wait for all of them, and what is done stays done."""
        what = "enabled" if is_active else "disabled"
        done, failed = 0, []
        for row in rows.filter(deleted_at=None).exclude(is_active=is_active).order_by("pk"):
            try:
                with transaction.atomic():
                    self.set_active(row, is_active)
                    self.log_changes(request, [row], f"{what} in the list")
                done += 1
            except DomainError as error:
                failed.append(error.message)
        if done or not failed:
            names = self.opts.verbose_name if done == 1 else self.opts.verbose_name_plural
            self.message_user(request, f"{done} {names} {what}.", messages.SUCCESS)
        if failed:
            more = f" And {len(failed) - NAMED} more." if len(failed) > NAMED else ""
            self.message_user(request, f"Not {what}: {' '.join(failed[:NAMED])}{more}", messages.ERROR)

    @display(description="State", label=STATES)
    def state(self, row: Any) -> str:
        if row.deleted_at:
            return "deleted"
        return "active" if row.is_active else "disabled"

    @display(description="ID")
    def public_id(self, row: Any) -> str:
        return str(row.public_id)

    @display(description="See also")
    def links(self, row: Any) -> SafeString:
        return links(self.see_also(row))

    def see_also(self, row: Any) -> list[tuple[str, str]]:
        raise NotImplementedError


@admin.register(Domain)
class DomainAdmin(OwnerAdmin):
    add_form = AddDomainForm
    change_form = ChangeDomainForm
    list_display = ("name", "state", "for_tests", "mailbox_count", "alias_count", "default_mailbox", "created_at")
    list_filter = ("is_active", "is_test", DeletedFilter)
    list_select_related = ("default_mailbox__domain",)
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    autocomplete_fields = ("default_mailbox",)
    readonly_fields = ("verification", *OwnerAdmin.readonly_fields)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Domain]:
        rows: QuerySet[Domain] = super().get_queryset(request)
        return rows.annotate(
            live_mailboxes=how_many(Mailbox.objects.live(), of="domain"),
            live_aliases=how_many(Alias.objects.live(), of="domain"),
        )

    def get_fieldsets(self, request: HttpRequest, obj: Domain | None = None) -> Any:  # noqa: ARG002
        if obj is None:
            return [(None, {"fields": ("name", "default_local_part", "is_test", "includes_subdomains")})]
        fields = ("is_active", "is_test", "includes_subdomains", "default_mailbox")
        return [(None, {"fields": fields}), ("What it is", {"fields": self.readonly_fields})]

    def set_active(self, row: Domain, is_active: bool) -> None:
        provision.update_domain(row, is_active=is_active)

    def see_also(self, row: Domain) -> list[tuple[str, str]]:
        return [
            ("Mailboxes", list_of("mailboxes_mailbox", domain=row.pk)),
            ("Aliases", list_of("mailboxes_alias", domain=row.pk)),
            ("Webhooks for the whole domain", list_of("webhooks_webhook", domain__id__exact=row.pk)),
        ]

    @display(description="Verified")
    def verification(self, row: Domain) -> SafeString | str:
        if row.verified_at:
            return localize(timezone.localtime(row.verified_at))
        if row.is_test:
            return "Not needed: it is for tests."
        return format_html(
            "Not yet. Put this into its DNS, and have <code>manage.py domains verify {}</code> run: "
            "<code>{}</code> If REQUIRE_DOMAIN_VERIFICATION is set, its mail has to wait until then.",
            row.name,
            verification.record_of(row),
        )

    @display(description="For", label={"tests": "info"})
    def for_tests(self, row: Domain) -> str:
        return "tests" if row.is_test else ""

    @display(description="Mailboxes")
    def mailbox_count(self, row: Any) -> SafeString:
        return link(row.live_mailboxes, list_of("mailboxes_mailbox", domain=row.pk))

    @display(description="Aliases")
    def alias_count(self, row: Any) -> SafeString:
        return link(row.live_aliases, list_of("mailboxes_alias", domain=row.pk))


class AddressedAdmin(OwnerAdmin):
    """Of what has an address: mailboxes and aliases."""

    local_part: ClassVar[str]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term.strip():
            queryset = search_addresses(queryset, search_term, local_part=self.local_part)
        if is_autocomplete(request):
            queryset = queryset.filter(deleted_at=None)
        return queryset, False


@admin.register(Mailbox)
class MailboxAdmin(AddressedAdmin):
    local_part = "local_part"
    add_form = AddMailboxForm
    change_form = ChangeMailboxForm
    list_display = ("shown_address", "name", "state", "alias_count", "mail", "used", "created_at")
    list_filter = ("is_active", TestFilter, DeletedFilter, DomainFilter)
    list_select_related = ("domain",)
    search_fields = ("local_part", "domain__name")
    search_help_text = "Address, or a part of it"
    ordering = ("domain__name", "local_part", "id")
    readonly_fields = ("used", *OwnerAdmin.readonly_fields)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        rows: QuerySet[Mailbox] = super().get_queryset(request).with_used_bytes()
        return rows.select_related("domain").annotate(live_aliases=how_many(Alias.objects.live(), of="mailbox"))

    def get_fieldsets(self, request: HttpRequest, obj: Mailbox | None = None) -> Any:  # noqa: ARG002
        what = ("name", "is_active", "time_zone", "quota_bytes")
        first = (None, {"fields": ("address", *what) if obj is None else what})
        days = {"fields": (("raw_days", "content_days", "log_days"),), "description": NOTHING_IS_PRUNED_YET}
        sets = [first, ("Retention", days)]
        return sets if obj is None else [*sets, ("What it is", {"fields": self.readonly_fields})]

    def set_active(self, row: Mailbox, is_active: bool) -> None:
        provision.update_mailbox(row, is_active=is_active)

    def see_also(self, row: Mailbox) -> list[tuple[str, str]]:
        return [
            ("Emails", list_of("mailboxes_email", mailbox=row.pk)),
            ("Where mail to it would go", explain_url(row.address)),
            ("Aliases that lead here", list_of("mailboxes_alias", mailbox=row.pk)),
            ("Webhooks for the whole mailbox", list_of("webhooks_webhook", mailbox__id__exact=row.pk)),
            ("Its domain", reverse("admin:mailboxes_domain_change", args=[row.domain_id])),
        ]

    @display(description="Address", ordering="local_part")
    def shown_address(self, row: Mailbox) -> str:
        return row.address

    @display(description="Aliases")
    def alias_count(self, row: Any) -> SafeString:
        return link(row.live_aliases, list_of("mailboxes_alias", mailbox=row.pk))

    @display(description="Mail")
    def mail(self, row: Mailbox) -> SafeString:
        return link("Emails", list_of("mailboxes_email", mailbox=row.pk))

    @display(description="Used")
    def used(self, row: Mailbox) -> str:
        of_quota = "" if row.quota_bytes is None else f" of {filesizeformat(row.quota_bytes)}"
        return f"{filesizeformat(row.used_bytes)}{of_quota}"


@admin.register(Alias)
class AliasAdmin(ExplainPage, AddressedAdmin):
    local_part = "name"
    add_form = AddAliasForm
    change_form = ChangeAliasForm
    list_display = ("shown_address", "leads_to", "state", "kind", "priority", "description", "created_at")
    list_filter = ("is_active", "kind", TestFilter, DeletedFilter, DomainFilter, MailboxFilter)
    list_select_related = ("domain", "mailbox__domain")
    search_fields = ("name", "domain__name")
    search_help_text = "Address, or a part of it"
    ordering = ("domain__name", "name", "id")
    autocomplete_fields = ("mailbox",)
    readonly_fields = ("kind", *OwnerAdmin.readonly_fields)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        rows: QuerySet[Alias] = super().get_queryset(request)
        return rows.select_related("domain", "mailbox__domain").annotate(
            copies_count=how_many(AliasCopy.objects.filter(mailbox__deleted_at=None), of="alias")
        )

    def get_fieldsets(self, request: HttpRequest, obj: Alias | None = None) -> Any:  # noqa: ARG002
        what = ("mailbox", "also", "priority", "description", "is_active")
        if obj is None:
            return [(None, {"fields": ("address", *what)})]
        return [(None, {"fields": what}), ("What it is", {"fields": self.readonly_fields})]

    def set_active(self, row: Alias, is_active: bool) -> None:
        provision.update_alias(row, is_active=is_active)

    def see_also(self, row: Alias) -> list[tuple[str, str]]:
        return [
            ("Mailbox", reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id])),
            # of a pattern, somebody has to say which address is meant
            ("Where mail to it would go", explain_url("" if row.kind != Alias.Kind.EXACT else row.address)),
            ("Webhooks for it", list_of("webhooks_webhook", alias__id__exact=row.pk)),
        ]

    @display(description="Address", ordering="name")
    def shown_address(self, row: Alias) -> str:
        return row.address

    @display(description="Leads to")
    def leads_to(self, row: Any) -> SafeString:
        own = link(row.mailbox, reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id]))
        return format_html("{} and {} more", own, row.copies_count) if row.copies_count else own


def how_many(rows: QuerySet[Any], *, of: str) -> Coalesce:
    """Counted in a subquery: one for the page, however many rows it has."""
    counted = rows.filter(**{of: OuterRef("pk")}).order_by().values(of).annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted), 0)


def is_autocomplete(request: HttpRequest) -> bool:
    return bool(request.resolver_match and request.resolver_match.url_name == "autocomplete")


def list_of(page: str, **filters: UUID | str) -> str:
    return f"{reverse(f'admin:{page}_changelist')}?{urlencode({name: str(value) for name, value in filters.items()})}"


def link(text: object, href: str) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', href, text)


def links(pairs: list[tuple[str, str]]) -> SafeString:
    return format_html_join(SafeString("<br>"), "{}", ((link(text, href),) for text, href in pairs))
