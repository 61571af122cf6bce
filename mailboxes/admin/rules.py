"""Rules, and the mail that was refused or thrown away."""

from ipaddress import ip_interface
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.admin import Fieldsets, HistoryAdmin, display, without_fields
from emailgistics.common.clients import network_of
from emailgistics.common.ids import decode_id
from mailboxes.admin.addresses import OwnerAdmin, link, list_of
from mailboxes.admin.asking import asked
from mailboxes.admin.emails import NULL_SENDER, SEARCHED
from mailboxes.admin.filters import DeletedFilter, DomainFilter, MailboxFilter, ReceivedFilter, among_newest
from mailboxes.admin.forms import AddRuleForm, ChangeRuleForm
from mailboxes.models import Refusal, Rule
from mailboxes.services import rule_book

ACTIONS = {"allow": "success", "block": "danger", "discard": "danger", "quarantine": "warning"}
OUTCOMES = {"refused": "warning", "discarded": "danger"}


@admin.register(Rule)
class RuleAdmin(OwnerAdmin):
    add_form = AddRuleForm
    change_form = ChangeRuleForm
    list_display = ("shown_value", "shown_action", "criterion", "scope", "state", "description", "created_at")
    list_filter = ("action", "criterion", "is_active", DeletedFilter, DomainFilter, MailboxFilter)
    list_select_related = ("domain", "mailbox__domain", "alias__domain")
    search_fields = ("value", "description")
    search_help_text = gettext_lazy("Sender, domain, network, file, or id")
    ordering = ("-id",)
    autocomplete_fields = ("domain", "mailbox", "alias")
    readonly_fields = ("scope", *OwnerAdmin.readonly_fields)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        rows: QuerySet[Rule] = super().get_queryset(request)
        return rows.select_related("domain", "mailbox__domain", "alias__domain")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Rule], search_term: str
    ) -> tuple[QuerySet[Rule], bool]:
        if rule_id := decode_id(Rule.ID_PREFIX, search_term.strip()):
            return queryset.filter(pk=rule_id), False
        found: tuple[QuerySet[Rule], bool] = super().get_search_results(request, queryset, search_term)
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Rule | None = None) -> Any:  # noqa: ARG002
        what = ("action", "criterion", "value", "description", "is_active")
        if obj is None:
            return [(None, {"fields": what}), (_("Only for"), {"fields": ("domain", "mailbox", "alias")})]
        return [(None, {"fields": what}), (_("What it is"), {"fields": self.readonly_fields})]

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - as Django calls it
    ) -> HttpResponse:
        rule: Rule | None = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, rule):
            raise PermissionDenied
        if rule is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone

        def delete() -> str:
            self.log_deletions(request, [rule])
            rule_book.delete_rule(rule)
            return _("The rule is deleted.")

        return asked(
            self,
            request,
            title=_("If you delete this rule (%(criterion)s %(value)s)")
            % {"criterion": rule.criterion, "value": rule.value},
            verb=_("Delete it"),
            follows=[
                _("New mail is no longer judged by it."),
                _("Mail that it keeps back stays until it is released."),
            ],
            back=reverse("admin:mailboxes_rule_changelist"),
            act=delete,
            is_dangerous=True,
        )

    def set_active(self, row: Rule, is_active: bool) -> None:
        rule_book.update_rule(row, is_active=is_active)

    @admin.action(description=gettext_lazy("Disable: they say nothing for now"))
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=False)

    def see_also(self, row: Rule) -> list[tuple[str, str]]:
        return [
            (_("Mail that it keeps back, or did"), list_of("mailboxes_email", quarantine_rule__id__exact=row.pk)),
            (_("Mail that it refused or threw away"), list_of("mailboxes_refusal", rule__id__exact=row.pk)),
        ]

    @display(description=gettext_lazy("Value"), ordering="value")
    def shown_value(self, row: Rule) -> str:
        return row.value or str(NULL_SENDER)

    @display(description=gettext_lazy("Action"), label=ACTIONS)
    def shown_action(self, row: Rule) -> str:
        return row.action

    @display(description=gettext_lazy("Is for"))
    def scope(self, row: Rule) -> SafeString | str:
        owners = (("alias", row.alias), ("mailbox", row.mailbox), ("domain", row.domain))
        for what, owner in owners:
            if owner is not None:
                page = reverse(f"admin:mailboxes_{what}_change", args=[owner.pk])
                return format_html("{} {}", what, link(owner, page))
        return _("all mail")


class RefusedFilter(ReceivedFilter):
    """The same of refusals, whose id was made when they were."""

    title = gettext_lazy("when")
    parameter_name = "when"
    instant = "at"


class CodeFilter(SimpleListFilter):
    """Why, by the stable codes; each has the index, and what was never given shows that there is none."""

    title = gettext_lazy("why")
    parameter_name = "code"
    CODES = (
        ("unknown_recipient", gettext_lazy("No such address")),
        ("address_disabled", gettext_lazy("Address is disabled")),
        ("blocked_by_rule", gettext_lazy("Blocked by a rule")),
        ("rule", gettext_lazy("Thrown away by a rule")),
        ("mailbox_full", gettext_lazy("Mailbox is full")),
        ("domain_for_tests", gettext_lazy("Domain is for tests")),
        ("domain_not_verified", gettext_lazy("Domain is not verified")),
        ("too_many_connections", gettext_lazy("Too many connections")),
    )

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        asked_for = request.GET.get("code", "")
        others = [(asked_for, asked_for)] if asked_for and asked_for not in dict(self.CODES) else []
        return [*self.CODES, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(code=self.value()) if self.value() else queryset


@admin.register(Refusal)
class RefusalAdmin(HistoryAdmin):
    """Mail that was not taken in, with the reply that was given."""

    list_display = ("at", "shown_outcome", "sender", "recipient", "client", "reply", "shown_rule")
    list_filter = (RefusedFilter, CodeFilter, "outcome")
    search_fields = ("mail_from",)  # the box is shown; see get_search_results
    search_help_text = gettext_lazy("Sender, recipient, IP address or network, code, or id of a refusal or a rule")
    list_fullwidth = True
    fieldsets: ClassVar[Any] = (
        (gettext_lazy("Mail"), {"fields": ("sender", "recipient", "at", ("shown_size", "sha256"))}),
        (gettext_lazy("Client"), {"fields": (("client", "network"), "source")}),
        (gettext_lazy("Answer"), {"fields": ("shown_outcome", "reply", "code", "shown_rule", "public_id")}),
        (gettext_lazy("Transcript"), {"fields": ("lines",)}),
    )
    readonly_fields: ClassVar = flatten_fieldsets(fieldsets)

    def get_fieldsets(self, request: HttpRequest, obj: Refusal | None = None) -> Fieldsets:  # noqa: ARG002
        return self.fieldsets if self.shows(request, "digest") else without_fields(self.fieldsets, {"sha256"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refusal]:
        rows: QuerySet[Refusal] = super().get_queryset(request)
        return rows.select_related("rule").defer("transcript")

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - as Django calls it
        queryset: QuerySet[Refusal],
        search_term: str,
    ) -> tuple[QuerySet[Refusal], bool]:
        term = search_term.strip()
        return (_found(queryset, term) if term else queryset), False

    @display(description=gettext_lazy("Outcome"), label=OUTCOMES)
    def shown_outcome(self, row: Refusal) -> str:
        return row.outcome

    @display(description=gettext_lazy("Sender"))
    def sender(self, row: Refusal) -> str:
        return row.mail_from or str(NULL_SENDER)

    @display(description=gettext_lazy("Handed in by"))
    def client(self, row: Refusal) -> str:
        return f"{row.client_ip} ({row.helo})" if row.client_ip else ""

    @display(description=gettext_lazy("Rule"))
    def shown_rule(self, row: Refusal) -> SafeString | str:
        if row.rule is None:
            return ""
        return link(row.rule.public_id, reverse("admin:mailboxes_rule_change", args=[row.rule.pk]))

    @display(description=gettext_lazy("Size"))
    def shown_size(self, row: Refusal) -> str:
        return "" if row.size is None else filesizeformat(row.size)

    @display(description=gettext_lazy("What was said, in milliseconds since the connection began"))
    def lines(self, row: Refusal) -> SafeString | str:
        if not row.transcript:
            return _("None is kept.")
        said = format_html_join("", "{} {} {}\n", row.transcript)
        return format_html('<pre class="mail-text" dir="auto">{}</pre>', said)

    @display(description=gettext_lazy("ID"))
    def public_id(self, row: Refusal) -> str:
        return row.public_id


def _found(refusals: QuerySet[Refusal], term: str) -> QuerySet[Refusal]:
    """What is whole is found by an index, among all; a part of it only among the newest."""
    if refusal_id := decode_id(Refusal.ID_PREFIX, term):
        return refusals.filter(pk=refusal_id)
    if rule_id := decode_id(Rule.ID_PREFIX, term):
        return refusals.filter(rule=rule_id)
    if network := _network(term):
        return refusals.filter(network=network) if "/" in term else refusals.filter(network=network, client_ip=term)
    keyed = refusals.alias(recipient_key=Lower("recipient"), sender_key=Lower("mail_from"))
    if term == str(NULL_SENDER) or ("@" in term and not term.endswith("@")):
        key = "" if term == str(NULL_SENDER) else term.lower()
        return keyed.filter(Q(sender_key=key) | Q(recipient_key=key) if key else Q(sender_key=""))
    newest = among_newest(refusals, SEARCHED)
    found = newest.filter(mail_from__istartswith=term) | newest.filter(recipient__istartswith=term)
    return found | newest.filter(client_ip__startswith=term) | newest.filter(code=term)


def _network(term: str) -> str:
    """As refusals have it, of an address or a network; empty for what is neither."""
    try:
        return network_of(str(ip_interface(term).ip))
    except ValueError:
        return ""
