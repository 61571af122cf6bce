"""Mailboxes and aliases: lists, forms, bulk actions; and what the pages of domains share with them."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import display
from emailgistics.common.errors import DomainError
from emailgistics.common.roles import Action, may
from mailboxes.admin.counting import how_many, said
from mailboxes.admin.deletion import NAMED, DeletableAdmin
from mailboxes.admin.filters import (
    DeletedFilter,
    DomainFilter,
    MailboxFilter,
    TestFilter,
    search_addresses,
)
from mailboxes.admin.forms import (
    RETENTION,
    AddAliasForm,
    AddMailboxForm,
    ChangeAliasForm,
    ChangeMailboxForm,
)
from mailboxes.admin.imports import AliasFilePages
from mailboxes.admin.moving import MovesAliases
from mailboxes.admin.routing import ExplainPage, explain_url
from mailboxes.models import Alias, AliasCopy, Email, Mailbox
from mailboxes.services import provision

STATES = {"active": "success", "disabled": "warning", "deleted": "danger"}
MAX_AT_ONCE = 1000  # rows that one action changes
NEARLY_FULL = 0.9  # of its quota; from then on it shows
WHAT_IT_IS = ("public_id", "created_at", "deleted_at")


# what apps above have to add to the links on the page of a thing: text and address
further_links: list[Callable[[Any], Iterable[tuple[str, str]]]] = []


class OwnerAdmin(DeletableAdmin):
    """What the pages of domains, mailboxes and aliases share."""

    add_form: ClassVar[type[forms.ModelForm]]  # type: ignore[type-arg]
    change_form: ClassVar[type[forms.ModelForm]]  # type: ignore[type-arg]
    actions: ClassVar[tuple[str, ...]] = ("enable", "disable")
    readonly_fields: ClassVar[tuple[str, ...]] = ("links", *WHAT_IT_IS)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, form=self.change_form if change else self.add_form, **kwargs)

    def save_model(self, request: HttpRequest, obj: models.Model, form: Any, change: bool) -> None:
        """Nothing: the form's service has done it."""

    def set_active(self, row: Any, is_active: bool) -> None:
        raise NotImplementedError

    @admin.action(description=gettext_lazy("Enable"))
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=True)

    @admin.action(description=gettext_lazy("Disable: its mail is refused"))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=False)

    def _set_all(self, request: HttpRequest, rows: QuerySet[Any], *, is_active: bool) -> None:
        """Each in a transaction of its own: mail does not wait for all of them, and what is done stays done."""
        what, told = ("enabled", _("enabled")) if is_active else ("disabled", _("disabled"))
        chosen = rows.filter(deleted_at=None).exclude(is_active=is_active)
        self.do_to_all(request, chosen, lambda row: self.set_active(row, is_active), what=what, told=told)

    def do_to_all(
        self, request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any], object], *, what: str, told: str
    ) -> None:
        """Each in a transaction of its own, and says how many that were. Not very many: people wait for it.

        what is for the history, which is in one language; told is the same for who has asked.
        """
        chosen = list(rows.order_by("pk")[: MAX_AT_ONCE + 1])
        if len(chosen) > MAX_AT_ONCE:
            text = _(
                "Nothing was done: choose at most %(n)s. Of aliases, very many are changed by an export and an import."
            )
            self.message_user(request, text % {"n": f"{MAX_AT_ONCE:,}"}, messages.ERROR)
            return
        done, failed = 0, []
        for row in chosen:
            try:
                with transaction.atomic():
                    act(row)
                    self.log_changes(request, [row], f"{what} in the list")
                done += 1
            except DomainError as error:
                failed.append(error.message)
        if done or not failed:
            names = self.opts.verbose_name if done == 1 else self.opts.verbose_name_plural
            text = _("%(count)s %(names)s %(done)s.") % {"count": done, "names": names, "done": told}
            self.message_user(request, text, messages.SUCCESS)
        if failed:
            text = _("Not %(done)s: %(why)s") % {"done": told, "why": " ".join(failed[:NAMED])}
            if len(failed) > NAMED:
                text += " " + _("And %(count)s more.") % {"count": len(failed) - NAMED}
            self.message_user(request, text, messages.ERROR)

    @display(description=gettext_lazy("State"), label=STATES)
    def state(self, row: Any) -> str:
        if row.deleted_at:
            return "deleted"
        return "active" if row.is_active else "disabled"

    @display(description=gettext_lazy("ID"))
    def public_id(self, row: Any) -> str:
        return str(row.public_id)

    @display(description=gettext_lazy("See also"))
    def links(self, row: Any) -> SafeString:
        return links([*self.see_also(row), *(pair for more in further_links for pair in more(row))])

    def see_also(self, row: Any) -> list[tuple[str, str]]:
        raise NotImplementedError


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
    search_help_text = gettext_lazy("Address, or a part of it")
    ordering = ("domain__name", "local_part", "id")
    readonly_fields = ("used", *OwnerAdmin.readonly_fields)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Mailbox]:
        rows: QuerySet[Mailbox] = super().get_queryset(request).with_used_bytes()
        return rows.select_related("domain").annotate(
            live_aliases=how_many(Alias.objects.live(), of="mailbox"),
            email_count=how_many(Email.objects.all(), of="mailbox"),
        )

    def get_fieldsets(self, request: HttpRequest, obj: Mailbox | None = None) -> Any:  # noqa: ARG002
        what = ("name", "is_active", "time_zone", "quota_bytes")
        first = (None, {"fields": ("address", *what) if obj is None else what})
        days = {"fields": (("raw_days", "content_days", "log_days"),), "description": RETENTION}
        sets = [first, (_("Retention"), days)]
        return sets if obj is None else [*sets, (_("What it is"), {"fields": self.readonly_fields})]

    def set_active(self, row: Mailbox, is_active: bool) -> None:
        provision.update_mailbox(row, is_active=is_active)

    def see_also(self, row: Mailbox) -> list[tuple[str, str]]:
        return [
            (_("Emails"), list_of("mailboxes_email", mailbox=row.pk)),
            (_("Where mail to it would go"), explain_url(row.address)),
            (_("Aliases that lead here"), list_of("mailboxes_alias", mailbox=row.pk)),
            (_("Webhooks for the whole mailbox"), list_of("webhooks_webhook", mailbox__id__exact=row.pk)),
            (_("Its domain"), reverse("admin:mailboxes_domain_change", args=[row.domain_id])),
        ]

    @display(description=gettext_lazy("Address"), ordering="local_part")
    def shown_address(self, row: Mailbox) -> str:
        return row.address

    @display(description=gettext_lazy("Aliases"))
    def alias_count(self, row: Any) -> SafeString:
        return link(said(row.live_aliases), list_of("mailboxes_alias", mailbox=row.pk))

    @display(description=gettext_lazy("Emails"))
    def mail(self, row: Any) -> SafeString:
        return link(said(row.email_count), list_of("mailboxes_email", mailbox=row.pk))

    @display(description=gettext_lazy("Used"))
    def used(self, row: Mailbox) -> SafeString | str:
        if row.quota_bytes is None:
            return filesizeformat(row.used_bytes)
        used, quota = filesizeformat(row.used_bytes), filesizeformat(row.quota_bytes)
        return format_html(
            '<span class="quota{}"><span>{}</span><progress max="{}" value="{}" aria-label="{}"></progress></span>',
            " nearly-full" if row.used_bytes >= NEARLY_FULL * row.quota_bytes else "",
            _("%(used)s of %(quota)s") % {"used": used, "quota": quota},
            row.quota_bytes,
            min(row.used_bytes, row.quota_bytes),
            _("How full it is"),
        )


@admin.register(Alias)
class AliasAdmin(MovesAliases, AliasFilePages, ExplainPage, AddressedAdmin):
    local_part = "name"
    add_form = AddAliasForm
    change_form = ChangeAliasForm
    list_display = ("shown_address", "leads_to", "state", "kind", "priority", "description", "created_at")
    list_filter = ("is_active", "kind", TestFilter, DeletedFilter, DomainFilter, MailboxFilter)
    list_select_related = ("domain", "mailbox__domain")
    search_fields = ("name", "domain__name")
    search_help_text = gettext_lazy("Address, or a part of it")
    ordering = ("domain__name", "name", "id")
    autocomplete_fields = ("mailbox",)
    actions = (*OwnerAdmin.actions, "move")
    list_before_template = "mailboxes/alias_files.html"
    readonly_fields = ("kind", *OwnerAdmin.readonly_fields)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        extra = {"may_manage": may(request, Action.MANAGE), **(extra_context or {})}
        return super().changelist_view(request, extra)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        rows: QuerySet[Alias] = super().get_queryset(request)
        return rows.select_related("domain", "mailbox__domain").annotate(
            copies_count=how_many(AliasCopy.objects.filter(mailbox__deleted_at=None), of="alias")
        )

    def get_fieldsets(self, request: HttpRequest, obj: Alias | None = None) -> Any:  # noqa: ARG002
        what = ("mailbox", "also", "priority", "description", "is_active")
        if obj is None:
            return [(None, {"fields": ("address", *what)})]
        return [(None, {"fields": what}), (_("What it is"), {"fields": self.readonly_fields})]

    def set_active(self, row: Alias, is_active: bool) -> None:
        provision.update_alias(row, is_active=is_active)

    def see_also(self, row: Alias) -> list[tuple[str, str]]:
        return [
            (_("Mailbox"), reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id])),
            # of a pattern, somebody has to say which address is meant
            (_("Where mail to it would go"), explain_url("" if row.kind != Alias.Kind.EXACT else row.address)),
            (_("Webhooks for it"), list_of("webhooks_webhook", alias__id__exact=row.pk)),
        ]

    @display(description=gettext_lazy("Address"), ordering="name")
    def shown_address(self, row: Alias) -> str:
        return row.address

    @display(description=gettext_lazy("Leads to"))
    def leads_to(self, row: Any) -> SafeString:
        own = link(row.mailbox, reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id]))
        return (
            format_html(_("{mailbox} and {count} more"), mailbox=own, count=row.copies_count)
            if row.copies_count
            else own
        )


def is_autocomplete(request: HttpRequest) -> bool:
    return bool(request.resolver_match and request.resolver_match.url_name == "autocomplete")


def list_of(page: str, **filters: UUID | str) -> str:
    return f"{reverse(f'admin:{page}_changelist')}?{urlencode({name: str(value) for name, value in filters.items()})}"


def link(text: object, href: str) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', href, text)


def links(pairs: list[tuple[str, str]]) -> SafeString:
    return format_html_join(SafeString("<br>"), "{}", ((link(text, href),) for text, href in pairs))
