"""Forms about people."""

from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldBooleanSwitchWidget

from emailgistics.common.access import SYSTEM_ADMINISTRATORS, system_administrators
from emailgistics.common.roles import AUDITORS, MAIL_READERS
from emailgistics.console.people import groups_of, why_not_without


class PersonForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    acting: ClassVar[User]  # who sends it; set on a class of the request's own

    is_system_administrator = forms.BooleanField(
        label=gettext_lazy("System administrator"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("Sees and does everything in this console."),
    )
    is_auditor = forms.BooleanField(
        label=gettext_lazy("Auditor"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy(
            "Sees how everything is set, and of mail who, to whom, when, the subject, and what became of it. May "
            "replay to webhooks that exist, and have the DNS of domains looked at. Sees no keys and no people, and "
            "changes nothing."
        ),
    )
    may_read_mail = forms.BooleanField(
        label=gettext_lazy("May read mail"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy(
            "For auditors: text, headers and attachments of mail as well, and what webhooks were sent. Each time is "
            "put on record in the audit log. System administrators may anyway."
        ),
    )
    GROUP_OF: ClassVar = {
        "is_system_administrator": SYSTEM_ADMINISTRATORS,
        "is_auditor": AUDITORS,
        "may_read_mail": MAIL_READERS,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        has = groups_of(self.instance)
        for name, group in self.GROUP_OF.items():
            self.initial[name] = group in has
            if self.instance == self.acting:  # what is sent of it then counts for nothing
                self.fields[name].disabled = True
                self.fields[name].help_text = _("Nobody sets their own rights: another system administrator does.")

    @property
    def groups_chosen(self) -> frozenset[str]:
        return frozenset(group for name, group in self.GROUP_OF.items() if self.cleaned_data.get(name))

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        stays = given.get("is_system_administrator")
        was = system_administrators().filter(pk=self.instance.pk).exists()
        if (
            was
            and not (stays and given.get("is_active"))
            and (reason := why_not_without(self.instance, by=self.acting))
        ):
            self.add_error("is_active" if stays else "is_system_administrator", reason)
        if given.get("may_read_mail") and not (given.get("is_auditor") or stays):
            self.add_error("may_read_mail", _("This is for auditors: tick that as well, or neither."))
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
