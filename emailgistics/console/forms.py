"""Signing in."""

from typing import Any, ClassVar

from django import forms
from django.contrib.auth.forms import AuthenticationForm as AnybodysForm
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from emailgistics.common.zones import names
from emailgistics.console import two_factor
from emailgistics.console.sign_in import counted


class SignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    error_messages: ClassVar = AnybodysForm.error_messages | {
        "invalid_login": gettext_lazy(
            "User name and password do not fit together, or the account was deactivated. Try again: in "
            "both, capitals count. If you forgot the password, a system administrator can give you another one under "
            "People; the operator can with manage.py users reset-password."
        ),
    }

    def clean(self) -> dict[str, Any]:
        """Raises TooManyFailuresError, besides what forms raise."""
        if not {"username", "password"} <= self.cleaned_data.keys():
            return dict(super().clean())
        with counted(self.request, self.cleaned_data["username"]):
            return dict(super().clean())

    def confirm_login_allowed(self, user: User) -> None:
        """Everybody who is active, not only staff: /docs is for all, and each page says itself for whom it is."""
        AnybodysForm.confirm_login_allowed(self, user)


class CodeForm(forms.Form):
    """A code of the app, or a recovery code."""

    WRONG = gettext_lazy(
        "This code does not fit, or was used before. Wait for the next one that your app shows, or use a recovery "
        "code. If codes of the app never fit, the clock of your phone is wrong."
    )
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=40,
        help_text=gettext_lazy("The six digits that your app shows now, or one of your recovery codes."),
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "autocapitalize": "off", "spellcheck": "false"}
        ),
    )


class PasswordAndCodeForm(forms.Form):
    """Proves again who it is; without a second factor by the password alone."""

    WRONG = gettext_lazy(
        "That does not fit. Try again; a code that was used before, or is older than a minute, does not count."
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        max_length=4096,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=40,
        help_text=gettext_lazy("The six digits that your app shows now, or one of your recovery codes."),
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if two_factor.authenticator_of(user) is None:
            del self.fields["code"]

    def prove(self, request: HttpRequest) -> bool:
        """Whether it is that person; else the form says why not. Raises TooManyFailuresError."""
        if not self.is_valid():
            return False
        try:
            with counted(request, self.user.get_username()):
                self._refuse_wrong()
        except forms.ValidationError as wrong:
            self.add_error(None, wrong)
            return False
        return True

    def _refuse_wrong(self) -> None:
        """The password first: a code that comes with a wrong one is not spent."""
        is_right = self.user.check_password(self.cleaned_data["password"])
        if is_right and "code" in self.fields:
            is_right = two_factor.accepts(self.user, self.cleaned_data["code"])
        if not is_right:
            raise forms.ValidationError(self.WRONG)


class TimeZoneForm(forms.Form):
    time_zone = forms.ChoiceField(
        label=gettext_lazy("Time zone"),
        required=False,
        help_text=gettext_lazy("In which dates and times are shown to you, and in which days of filters begin."),
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("What the browser says")), *((name, name) for name in names())]
