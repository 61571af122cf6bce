"""People, groups, workers; beside it, the audit log. (SpentFormToken has no page: its rows are swept away.)"""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apikeys.admin.ending import Outlivings, outlivings
from emailgistics.common import leases
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, system_administrators
from emailgistics.common.admin import HistoryAdmin, display
from emailgistics.common.clients import client_address
from emailgistics.common.models import Lease
from emailgistics.common.roles import AUDITORS, MAIL_READERS, Role, role_by
from emailgistics.console import consequences, sessions
from emailgistics.console.audit_log import AuditLogAdmin
from emailgistics.console.people import groups_of, is_on_record, note, set_groups, why_not_without
from emailgistics.console.person_forms import AddPersonForm, PasswordForm, PersonForm
from emailgistics.console.person_sign_in import SignInPages
from emailgistics.console.reach_page import links_to
from emailgistics.console.would_tell import webhooks_of
from mailboxes.admin.addresses import further_links
from mailboxes.admin.deletion import also_stops
from mailboxes.admin.fate import beyond
from mailboxes.admin.routing import would_tell
from webhooks.admin.fate import Deliveries

__all__ = ("AuditLogAdmin", "GroupAdmin", "PersonAdmin", "WorkerAdmin")

also_stops.append(consequences.of_deleting)
beyond.append(Deliveries())
further_links.append(links_to)
would_tell.append(webhooks_of)
outlivings.append(Outlivings(of_key=consequences.webhooks_of_key, pause=consequences.pause_webhooks_of_key))

ROLES = {
    Role.SYSTEM_ADMINISTRATOR: gettext_lazy("system administrator"),
    Role.MAIL_AUDITOR: gettext_lazy("auditor, may read mail"),
    Role.AUDITOR: gettext_lazy("auditor"),
    Role.STAFF: gettext_lazy("may sign in"),
}
AT_EACH = gettext_lazy("Change who is in it at each person.")
MEANINGS = {
    SYSTEM_ADMINISTRATORS: format_lazy(
        "{} {}", gettext_lazy("Its members see and do everything in this console."), AT_EACH
    ),
    AUDITORS: format_lazy(
        "{} {}",
        gettext_lazy("Its members see configuration and metadata, and change nothing. They see no keys and no people."),
        AT_EACH,
    ),
    MAIL_READERS: format_lazy("{} {}", gettext_lazy("Auditors who are in it read what mail says as well."), AT_EACH),
}
DEACTIVATE = gettext_lazy(
    "{name} made or ended keys or changed something here, and stays on record: deactivate instead."
)


admin.site.unregister((User, Group))  # Django's own pages of them


@admin.register(User)
class PersonAdmin(SignInPages, UserAdmin):  # type: ignore[type-arg, misc]  # not subscriptable at run time
    form = PersonForm
    add_form = AddPersonForm
    change_password_form = PasswordForm
    list_display = ("username", "email", "role", "is_active", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    search_fields = ("username", "email", "first_name", "last_name")
    search_help_text = gettext_lazy("User name, e-mail address or name")
    ordering = ("username",)
    filter_horizontal = ()
    actions = ("activate", "deactivate")
    readonly_fields = ("last_login", "date_joined", "signing_in")
    fieldsets = (
        (None, {"fields": ("username", "password", "signing_in")}),
        (gettext_lazy("Who it is"), {"fields": ("first_name", "last_name", "email")}),
        (
            gettext_lazy("What they may do"),
            {"fields": ("is_active", *PersonForm.GROUP_OF, "is_staff")},
        ),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)
    HELP: ClassVar = {
        "is_active": gettext_lazy(
            "Whether they can sign in. Deactivate people who leave; what they did stays on record."
        ),
        "is_staff": gettext_lazy(
            "May sign in and change their own password, no more: who is one of the above needs it not."
        ),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"acting": request.user}) if issubclass(form, PersonForm) else form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and (text := self.HELP.get(db_field.name)):
            field.help_text = text
        return field

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            note(request, "person.created", obj)
        elif "is_active" in form.changed_data:
            note(request, "person.activated" if obj.is_active else "person.deactivated", obj)
        self._end_sessions(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if isinstance(form, PersonForm):
            by: Any = request.user
            set_groups(form.instance, form.groups_chosen, by=by, address=client_address(request))

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        note(request, "person.deleted", obj)
        super().delete_model(request, obj)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """On record, as whoever sets it can sign in as that person; and whoever knows the old one is signed out."""
        response: HttpResponse = super().user_change_password(request, id, form_url)
        user = self.get_object(request, unquote(id))
        if user and isinstance(response, HttpResponseRedirect):
            note(request, "person.password_set", user)
            by: Any = request.user
            goes_on = request.session.session_key if user == request.user else None
            sessions.end_all(user, by=by, address=client_address(request), but=goes_on)
        return response

    @display(description=gettext_lazy("Role"))
    def role(self, user: User) -> str:
        role = role_by(is_staff=user.is_staff, groups=groups_of(user))
        return str(ROLES.get(role, _("none")))

    # --- coming and going

    @admin.action(description=gettext_lazy("Activate"))
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, list(queryset.filter(is_active=False)), is_active=True)

    @admin.action(description=gettext_lazy("Deactivate: they cannot sign in"))
    def deactivate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, list(queryset.filter(is_active=True)), is_active=False)

    def _set_active(self, request: HttpRequest, people: list[User], *, is_active: bool) -> None:
        with transaction.atomic():
            changed = []
            for user in people:
                if not is_active and (reason := self._why_not(user, request)):
                    self.message_user(request, f"{user}: {reason}", messages.ERROR)
                    continue
                user.is_active = is_active
                user.save(update_fields=["is_active"])
                note(request, "person.activated" if is_active else "person.deactivated", user)
                self._end_sessions(request, user)
                changed.append(user)
            what = "activated" if is_active else "deactivated"
            self.log_changes(request, changed, f"{what} in the list")
        if changed:
            self.message_user(request, f"{', '.join(map(str, changed))}: {what}.", messages.SUCCESS)

    def _end_sessions(self, request: HttpRequest, user: User) -> None:
        if not user.is_active:
            by: Any = request.user
            sessions.end_all(user, by=by, address=client_address(request))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asks, unless it cannot be; then says why, and leads to where the person is deactivated."""
        with transaction.atomic():
            user = self.get_object(request, unquote(object_id))
            reason = self.has_delete_permission(request) and user and self._why_stays(user, request)
            if reason:
                self.message_user(request, reason, messages.ERROR)
                return HttpResponseRedirect(reverse("admin:auth_user_change", args=[object_id]))
            answer: HttpResponse = super().delete_view(request, object_id, extra_context)
            return answer

    def _why_not(self, user: User, request: HttpRequest) -> str:
        is_one = system_administrators().filter(pk=user.pk).exists()
        return why_not_without(user, by=request.user) if is_one else ""

    def _why_stays(self, user: User, request: HttpRequest) -> str:
        return self._why_not(user, request) or (DEACTIVATE.format(name=user) if is_on_record(user) else "")


@admin.register(Group)
class GroupAdmin(HistoryAdmin):
    """Looked at only: three mean something here, and who is in them is said at each person."""

    list_display = ("name", "member_count")
    search_fields = ("name",)
    fields = readonly_fields = ("name", "what_it_means", "members")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows: QuerySet[Group] = super().get_queryset(request)
        return rows.prefetch_related("user_set")

    @display(description=gettext_lazy("Members"))
    def member_count(self, group: Group) -> int:
        return len(group.user_set.all())

    @display(description=gettext_lazy("Members"))
    def members(self, group: Group) -> SafeString | str:
        people = ((reverse("admin:auth_user_change", args=[user.pk]), user) for user in group.user_set.all())
        return format_html_join(", ", '<a class="text-link" href="{}">{}</a>', people) or "nobody"

    @display(description=gettext_lazy("What it means"))
    def what_it_means(self, group: Group) -> str:
        return str(MEANINGS.get(group.name, _("Nothing here.")))


@admin.register(Lease)
class WorkerAdmin(HistoryAdmin):
    """Which workers are alive. A row whose worker has gone is swept away by the others."""

    list_display = fields = readonly_fields = ("kind", "host", "pid", "standing", "started_at", "seen_at")
    ordering = ("-seen_at",)
    list_before_template = "console/_workers.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lease]:
        rows: QuerySet[Lease] = super().get_queryset(request)
        return rows.annotate(is_alive=Exists(leases.alive().filter(pk=OuterRef("pk"))))

    @display(description=gettext_lazy("State"), label={"alive": "success", "gone": "danger"})
    def standing(self, lease: Any) -> str:
        return "alive" if lease.is_alive else "gone"
