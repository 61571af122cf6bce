"""Domains: the list, the form, and what a domain has in its DNS and is to have there."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailgistics.common.admin import MAX_COUNTED, display
from emailgistics.common.clients import seconds_to_wait
from emailgistics.common.errors import DomainError, NotFoundError
from emailgistics.common.roles import Action, may
from mailboxes.admin.addresses import OwnerAdmin, link, list_of
from mailboxes.admin.counting import how_many, said
from mailboxes.admin.filters import DeletedFilter
from mailboxes.admin.forms import AddDomainForm, ChangeDomainForm
from mailboxes.models import Alias, Domain, Email, Mailbox
from mailboxes.services import dns_records, provision, verification
from mailboxes.services.dns_records import Record, Records

LOOKED_ANEW_AFTER_S = 5  # by whoever has just changed the DNS; it is not asked more often than that
FRAGMENT = "X-Fragment"  # the header of a script that puts the answer into the page that is open
DNS = Domain.DnsStatus

STATUS_COLOURS = {
    DNS.UNCHECKED: "",
    DNS.OK: "success",
    DNS.MISSING: "warning",
    DNS.WRONG: "danger",
    DNS.UNKNOWN: "info",
}
STATUS_NAMES = {
    DNS.UNCHECKED: gettext_lazy("not looked at"),
    DNS.OK: gettext_lazy("in order"),
    DNS.MISSING: gettext_lazy("missing"),
    DNS.WRONG: gettext_lazy("wrong"),
    DNS.UNKNOWN: gettext_lazy("unknown"),
}
STATUS_MEANS = {
    DNS.UNCHECKED: gettext_lazy("Nobody has looked yet. Put the records below into its DNS, then press Verify now."),
    DNS.OK: gettext_lazy("All records that it needs are there."),
    DNS.MISSING: gettext_lazy("A record that it needs is not there yet: put it into its DNS, then press Verify now."),
    DNS.WRONG: gettext_lazy("A record that it needs says something else: put it right, then press Verify now."),
    DNS.UNKNOWN: gettext_lazy(
        "Nobody can say whether its mail comes here: the DNS did not answer, or this installation has not been told "
        "its own name. The records below say which."
    ),
}
PURPOSES = {
    "mx": gettext_lazy("Leads its mail here"),
    "txt": gettext_lazy("Says that the domain is yours"),
    "spf": gettext_lazy("Says who sends mail as the domain"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as people type it in at their DNS provider. value is what is to stand there; empty: nothing has to."""

    purpose: str
    record: Record
    is_known: bool  # whether anybody looked
    is_settled: bool = False  # nothing is to be done for it any more

    @property
    def colour(self) -> str:
        return str(STATUS_COLOURS.get(DNS(self.record.state), "")) if self.is_known else ""

    @property
    def state_name(self) -> str:
        return str(STATUS_NAMES[DNS(self.record.state) if self.is_known else DNS.UNCHECKED])

    @property
    def preference(self) -> str:
        """Providers have a box of its own for it."""
        return self._wanted.partition(" ")[0] if self.record.type == "MX" and self._wanted else ""

    @property
    def value(self) -> str:
        return self._wanted.partition(" ")[2] if self.record.type == "MX" else self._wanted

    @property
    def _wanted(self) -> str:
        if self.is_settled:
            return ""
        return self.record.required or self.record.recommended or ""


@admin.register(Domain)
class DomainAdmin(OwnerAdmin):
    add_form = AddDomainForm
    change_form = ChangeDomainForm
    list_display = (
        "name", "state", "dns", "for_tests", "mailbox_count", "alias_count", "mail", "default_mailbox", "created_at",
    )  # fmt: skip
    list_filter = ("is_active", "dns_status", "is_test", DeletedFilter)
    list_select_related = ("default_mailbox__domain",)
    search_fields = ("name",)
    search_help_text = gettext_lazy("Name")
    ordering = ("name",)
    autocomplete_fields = ("default_mailbox",)
    change_form_outer_before_template = "mailboxes/domain_dns.html"

    def get_urls(self) -> list[URLPattern]:
        page = path("<uuid:pk>/verify/", self.admin_site.admin_view(self.verify_view), name="mailboxes_domain_verify")
        others: list[URLPattern] = super().get_urls()
        return [page, *others]

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
        return [(None, {"fields": fields}), (_("What it is"), {"fields": self.readonly_fields})]

    def set_active(self, row: Domain, is_active: bool) -> None:
        provision.update_domain(row, is_active=is_active)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Its own page comes next: there stand the records that it needs. Who wants to add another one gets that."""
        if {"_addanother", "_popup"}.isdisjoint(request.POST):
            sent = request.POST.copy()
            sent["_continue"] = "1"
            request.POST = sent  # type: ignore[assignment]
        answer: HttpResponse = super().response_add(request, obj, post_url_continue)
        return answer

    def see_also(self, row: Domain) -> list[tuple[str, str]]:
        return [(_("Webhooks for the whole domain"), list_of("webhooks_webhook", domain__id__exact=row.pk))]

    # --- its DNS

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        domain = self.get_object(request, object_id) if self.has_view_permission(request) else None
        more = dns_context(request, domain) | {"counts": counts_of(domain)} if domain else {}
        answer: HttpResponse = super().change_view(request, object_id, form_url, more | (extra_context or {}))
        return answer

    def verify_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Looks now. To a script it answers the part of the page that has changed, to anybody else the page."""
        if not may(request, Action.CONFIRM_DNS):
            raise PermissionDenied
        domain = Domain.objects.live().filter(pk=pk).first()
        if domain is None:
            raise Http404
        if request.method != "POST":
            return redirect("admin:mailboxes_domain_change", domain.pk)
        status, refusal = self._look(request, domain)
        if FRAGMENT in request.headers:
            context = dns_context(request, domain) | {"refusal": refusal}
            return TemplateResponse(request, "mailboxes/_dns.html", context, status=status, headers={FRAGMENT: "1"})
        told = refusal or str(STATUS_MEANS[DNS(domain.dns_status)])
        good = domain.dns_status == DNS.OK and not refusal
        self.message_user(request, told, messages.SUCCESS if good else messages.WARNING)
        return redirect("admin:mailboxes_domain_change", domain.pk)

    def _look(self, request: HttpRequest, domain: Domain) -> tuple[HTTPStatus, str]:
        """How it went, and why nobody looked, if so."""
        per_minute, person = settings.DNS_LOOKS_PER_MINUTE, f"person {request.user.pk}"
        if wait := seconds_to_wait(request, group="dns_looks", per_minute=per_minute, of=person):
            told = ngettext(
                "You have asked often in this minute. Try again in %(wait)d second.",
                "You have asked often in this minute. Try again in %(wait)d seconds.",
                wait,
            )
            return HTTPStatus.TOO_MANY_REQUESTS, told % {"wait": wait}
        was_verified = domain.verified_at is not None
        try:
            verification.look_at(domain, max_age_s=LOOKED_ANEW_AFTER_S)
        except NotFoundError as error:
            raise Http404 from error
        except DomainError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, error.message
        if domain.verified_at is not None and not was_verified:
            self.log_changes(request, [domain], "verified: its word was found in its DNS")
        return HTTPStatus.OK, ""

    # --- columns

    @display(description=gettext_lazy("DNS"), ordering="dns_status", label=STATUS_COLOURS)
    def dns(self, row: Domain) -> tuple[str, str]:
        return row.dns_status, str(STATUS_NAMES[DNS(row.dns_status)])

    @display(description=gettext_lazy("For"), label={"tests": "info"})
    def for_tests(self, row: Domain) -> str:
        return "tests" if row.is_test else ""

    @display(description=gettext_lazy("Mailboxes"))
    def mailbox_count(self, row: Any) -> SafeString:
        return link(said(row.live_mailboxes), list_of("mailboxes_mailbox", domain=row.pk))

    @display(description=gettext_lazy("Aliases"))
    def alias_count(self, row: Any) -> SafeString:
        return link(said(row.live_aliases), list_of("mailboxes_alias", domain=row.pk))

    @display(description=gettext_lazy("Mail"))
    def mail(self, row: Domain) -> SafeString:
        return link(_("Emails"), list_of("mailboxes_email", domain=row.pk))


def dns_context(request: HttpRequest, domain: Domain) -> dict[str, Any]:
    """What the page of a domain, and the part of it that a look changes, say of its DNS. Nothing is asked here."""
    records = dns_records.last_records_of(domain)
    shown = shown_records(domain, records or dns_records.needed_by(domain), is_known=records is not None)
    status = DNS(domain.dns_status if records else DNS.UNCHECKED)
    return {
        "domain": domain,
        "records": shown,
        "status_name": STATUS_NAMES[status],
        "status_colour": STATUS_COLOURS.get(status, ""),
        "status_means": _means(domain, status),
        "may_look": domain.deleted_at is None and may(request, Action.CONFIRM_DNS),
        "within_s": round(dns_records.WITHIN_S),
        "verify_url": reverse("admin:mailboxes_domain_verify", args=[domain.pk]),
        "needs_word": settings.REQUIRE_DOMAIN_VERIFICATION and not domain.is_test,
    }


def _means(domain: Domain, status: DNS) -> str:
    if domain.deleted_at is not None:
        return _("The domain is deleted: nothing is needed any more.")
    if domain.is_test:
        return _("Nothing is needed: it is for tests.")
    return str(STATUS_MEANS[status])


def shown_records(domain: Domain, records: Records, *, is_known: bool) -> list[Shown]:
    """In the order in which people need them."""
    is_verified = domain.verified_at is not None
    return [
        Shown(str(PURPOSES["mx"]), records.mx, is_known),
        Shown(str(PURPOSES["txt"]), records.txt, is_known or is_verified, is_settled=is_verified),
        Shown(str(PURPOSES["spf"]), records.spf, is_known),
    ]


def counts_of(domain: Domain) -> list[tuple[str, str, str]]:
    """Label, number, and the list behind it. Mail is counted up to MAX_COUNTED."""
    mail = Email.objects.filter(mailbox__domain=domain).order_by().values("pk")[: MAX_COUNTED + 1].count()
    mailboxes = domain.mailboxes.filter(deleted_at=None).count()
    aliases = domain.aliases.filter(deleted_at=None).count()
    return [
        (_("Mailboxes"), f"{mailboxes:,}", list_of("mailboxes_mailbox", domain=domain.pk)),
        (_("Aliases"), f"{aliases:,}", list_of("mailboxes_alias", domain=domain.pk)),
        (
            _("Emails"),
            f"{MAX_COUNTED:,}+" if mail > MAX_COUNTED else f"{mail:,}",
            list_of("mailboxes_email", domain=domain.pk),
        ),
    ]
