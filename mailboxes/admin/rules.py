"""Rules, and the mail that was refused or thrown away."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from emailgistics.common.admin import HistoryAdmin, display
from emailgistics.common.ids import decode_id
from mailboxes.admin.addresses import OwnerAdmin, link, list_of
from mailboxes.admin.asking import asked
from mailboxes.admin.emails import NULL_SENDER, SEARCHED
from mailboxes.admin.filters import DeletedFilter, DomainFilter, MailboxFilter, ReceivedFilter
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
    search_help_text = "Sender, domain, network, file, or id"
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
            return [(None, {"fields": what}), ("Only for", {"fields": ("domain", "mailbox", "alias")})]
        return [(None, {"fields": what}), ("What it is", {"fields": self.readonly_fields})]

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
            return "The rule is deleted."

        return asked(
            self,
            request,
            title=f"If you delete this rule ({rule.criterion} {rule.value})",
            verb="Delete it",
            follows=["New mail is no longer judged by it.", "Mail that it keeps back stays until it is released."],
            back=reverse("admin:mailboxes_rule_changelist"),
            act=delete,
            is_dangerous=True,
        )

    def set_active(self, row: Rule, is_active: bool) -> None:
        rule_book.update_rule(row, is_active=is_active)

    @admin.action(description="Disable: they say nothing for now")
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._set_all(request, queryset, is_active=False)

    def see_also(self, row: Rule) -> list[tuple[str, str]]:
        return [
            ("Mail that it keeps back, or did", list_of("mailboxes_email", quarantine_rule__id__exact=row.pk)),
            ("Mail that it refused or threw away", list_of("mailboxes_refusal", rule__id__exact=row.pk)),
        ]

    @display(description="Value", ordering="value")
    def shown_value(self, row: Rule) -> str:
        return row.value or NULL_SENDER

    @display(description="Action", label=ACTIONS)
    def shown_action(self, row: Rule) -> str:
        return row.action

    @display(description="Is for")
    def scope(self, row: Rule) -> SafeString | str:
        owners = (("alias", row.alias), ("mailbox", row.mailbox), ("domain", row.domain))
        for what, owner in owners:
            if owner is not None:
                page = reverse(f"admin:mailboxes_{what}_change", args=[owner.pk])
                return format_html("{} {}", what, link(owner, page))
        return "all mail"


class RefusedFilter(ReceivedFilter):
    """The same of refusals, whose id was made when they were."""

    title = "when"
    parameter_name = "when"
    instant = "at"


@admin.register(Refusal)
class RefusalAdmin(HistoryAdmin):
    """Mail that was not taken in, with the reply that was given."""

    list_display = ("at", "shown_outcome", "sender", "recipient", "client", "reply", "shown_rule")
    list_filter = (RefusedFilter, "outcome", "source")
    search_fields = ("mail_from",)  # the box is shown; see get_search_results
    search_help_text = "Sender, recipient, IP address, code, or id of a refusal or a rule"
    list_fullwidth = True
    fieldsets: ClassVar[Any] = (
        ("Mail", {"fields": ("sender", "recipient", "at", ("shown_size", "sha256"))}),
        ("Client", {"fields": (("client", "network"), "source")}),
        ("Answer", {"fields": ("shown_outcome", "reply", "code", "shown_rule", "public_id")}),
        ("Transcript", {"fields": ("lines",)}),
    )
    readonly_fields: ClassVar = flatten_fieldsets(fieldsets)

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
        if not term:
            return queryset, False
        if refusal_id := decode_id(Refusal.ID_PREFIX, term):
            return queryset.filter(pk=refusal_id), False
        if rule_id := decode_id(Rule.ID_PREFIX, term):
            return queryset.filter(rule=rule_id), False
        newest = queryset.filter(pk__in=queryset.order_by("-pk").values("pk")[:SEARCHED])
        found = newest.filter(mail_from__istartswith=term) | newest.filter(recipient__istartswith=term)
        return found | newest.filter(client_ip__startswith=term) | newest.filter(code=term), False

    @display(description="Outcome", label=OUTCOMES)
    def shown_outcome(self, row: Refusal) -> str:
        return row.outcome

    @display(description="Sender")
    def sender(self, row: Refusal) -> str:
        return row.mail_from or NULL_SENDER

    @display(description="Handed in by")
    def client(self, row: Refusal) -> str:
        return f"{row.client_ip} ({row.helo})" if row.client_ip else ""

    @display(description="Rule")
    def shown_rule(self, row: Refusal) -> SafeString | str:
        if row.rule is None:
            return ""
        return link(row.rule.public_id, reverse("admin:mailboxes_rule_change", args=[row.rule.pk]))

    @display(description="Size")
    def shown_size(self, row: Refusal) -> str:
        return "" if row.size is None else filesizeformat(row.size)

    @display(description="What was said, in milliseconds since the connection began")
    def lines(self, row: Refusal) -> SafeString | str:
        if not row.transcript:
            return "None is kept."
        said = format_html_join("", "{} {} {}\n", row.transcript)
        return format_html('<pre class="mail-text" dir="auto">{}</pre>', said)

    @display(description="ID")
    def public_id(self, row: Refusal) -> str:
        return row.public_id
