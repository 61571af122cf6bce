"""People, groups, workers, the audit log. (SpentFormToken has no page: its rows are swept away.)"""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from apikeys.admin.ending import Outlivings, outlivings
from emailgistics.common import leases
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, system_administrators
from emailgistics.common.admin import ConsoleModelAdmin, HistoryAdmin, display, ids_of
from emailgistics.common.commands import readable
from emailgistics.common.models import AuditEntry, Lease
from emailgistics.console import consequences
from emailgistics.console.people import is_on_record, why_not_without
from mailboxes.admin.deletion import also_stops

also_stops.append(consequences.of_deleting)
outlivings.append(Outlivings(of_key=consequences.webhooks_of_key, pause=consequences.pause_webhooks_of_key))

IN_SHORT = 60  # characters of an entry's details, in a list
DEACTIVATE = "{name} made or ended keys or changed something here, and stays on record: deactivate instead."


class PersonForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    acting: ClassVar[User]  # who sends it; set on a class of the request's own

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        groups = {group.name for group in given.get("groups", ())}
        stays = given.get("is_superuser") or SYSTEM_ADMINISTRATORS in groups
        was = system_administrators().filter(pk=self.instance.pk).exists()
        if (
            was
            and not (stays and given.get("is_active"))
            and (reason := why_not_without(self.instance, by=self.acting))
        ):
            self.add_error("is_active" if stays else "groups", reason)
        return given


class AddPersonForm(UserCreationForm):  # type: ignore[misc]
    """Everybody has a password that works: who shall not sign in is deactivated."""

    usable_password = None


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[misc]
    """As above: without this, the only administrator could lock everybody out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.pop("usable_password", None)
        for field in self.fields.values():
            field.required = True


class GroupsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    def clean(self, value: Any) -> Any:
        """Django's own asks the database for numbers that it cannot hold."""
        if refused := set(value or ()) - set(ids_of(Group, value or ())):
            raise ValidationError(self.error_messages["invalid_choice"], params={"value": min(refused)})
        return super().clean(value)


admin.site.unregister((User, Group))  # Django's own pages of them


@admin.register(User)
class PersonAdmin(ConsoleModelAdmin, UserAdmin):  # type: ignore[type-arg, misc]  # not subscriptable at run time
    form = PersonForm
    add_form = AddPersonForm
    change_password_form = PasswordForm
    list_display = ("username", "email", "role", "is_active", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    search_fields = ("username", "email", "first_name", "last_name")
    search_help_text = "User name, e-mail address or name"
    ordering = ("username",)
    filter_horizontal = ()
    actions = ("activate", "deactivate")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Who it is", {"fields": ("first_name", "last_name", "email")}),
        ("What they may do", {"fields": ("is_active", "groups", "is_superuser", "is_staff")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2")}),)
    HELP: ClassVar = {
        "is_active": "Whether they can sign in. Deactivate people who leave; what they did stays on record.",
        "groups": "Members of “System administrators” see and do everything in this console.",
        "is_superuser": "May do everything as well, whatever the groups say.",
        "is_staff": "May sign in and change their own password, no more: system administrators need it not.",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"acting": request.user}) if issubclass(form, PersonForm) else form

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        if db_field.name == "groups":
            kwargs["form_class"] = GroupsField
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and (text := self.HELP.get(db_field.name)):
            field.help_text = text
        if field and db_field.name == "groups":
            field.widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)  # type: ignore[attr-defined]
        return field

    @display(description="Role")
    def role(self, user: User) -> str:
        if user.is_superuser or SYSTEM_ADMINISTRATORS in {group.name for group in user.groups.all()}:
            return "system administrator"
        return "may sign in" if user.is_staff else "none"

    # --- coming and going

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._set_active(request, list(queryset.filter(is_active=False)), is_active=True)

    @admin.action(description="Deactivate: they cannot sign in")
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
                changed.append(user)
            what = "activated" if is_active else "deactivated"
            self.log_changes(request, changed, f"{what} in the list")
        if changed:
            self.message_user(request, f"{', '.join(map(str, changed))}: {what}.", messages.SUCCESS)

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
    """Looked at only: one group means something here, and who is in it is said at each person."""

    list_display = ("name", "member_count")
    search_fields = ("name",)
    fields = readonly_fields = ("name", "what_it_means", "members")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        rows: QuerySet[Group] = super().get_queryset(request)
        return rows.prefetch_related("user_set")

    @display(description="Members")
    def member_count(self, group: Group) -> int:
        return len(group.user_set.all())

    @display(description="Members")
    def members(self, group: Group) -> SafeString | str:
        people = ((reverse("admin:auth_user_change", args=[user.pk]), user) for user in group.user_set.all())
        return format_html_join(", ", '<a class="text-link" href="{}">{}</a>', people) or "nobody"

    @display(description="What it means")
    def what_it_means(self, group: Group) -> str:
        if group.name == SYSTEM_ADMINISTRATORS:
            return "Its members see and do everything in this console. Change who is in it at each person."
        return "Nothing here: only the group “System administrators” gives rights."


@admin.register(Lease)
class WorkerAdmin(HistoryAdmin):
    """Which workers are alive. A row whose worker has gone is swept away by the others."""

    list_display = fields = readonly_fields = ("kind", "host", "pid", "standing", "started_at", "seen_at")
    ordering = ("-seen_at",)
    list_before_template = "console/_workers.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Lease]:
        rows: QuerySet[Lease] = super().get_queryset(request)
        return rows.annotate(is_alive=Exists(leases.alive().filter(pk=OuterRef("pk"))))

    @display(description="State", label={"alive": "success", "gone": "danger"})
    def standing(self, lease: Any) -> str:
        return "alive" if lease.is_alive else "gone"


@admin.register(AuditEntry)
class AuditLogAdmin(HistoryAdmin):
    """What was done, by whom, from where. Newest first."""

    list_display = ("when", "action", "of", "who", "address", "in_short")
    list_filter = ("action",)
    search_fields = ("of__exact", "by__exact")
    search_help_text = "Identifier of a key, or who did it"
    fields = readonly_fields = ("at", "action", "of", "who", "address", "shown_details")
    ordering = ("-id",)
    list_select_related = ("person",)

    @display(description="At", ordering="id")
    def when(self, entry: AuditEntry) -> str:
        return format_html('<span style="white-space: nowrap">{}</span>', date_format(entry.at, "DATETIME_FORMAT"))

    @display(description="By")
    def who(self, entry: AuditEntry) -> str:
        return entry.by

    @display(description="Details")
    def in_short(self, entry: AuditEntry) -> str:
        details = self.shown_details(entry)
        return format_html('<span title="{}">{}</span>', details, Truncator(details).chars(IN_SHORT))

    @display(description="Details")
    def shown_details(self, entry: AuditEntry) -> str:
        return "; ".join(f"{name}: {readable(value)}" for name, value in entry.details.items())
