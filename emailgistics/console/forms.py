"""Signing in."""

from typing import Any

from django.contrib.auth.forms import AuthenticationForm as AnybodysForm
from django.contrib.auth.models import User
from unfold.forms import AuthenticationForm

from emailgistics.console.sign_in import counted


class SignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    def clean(self) -> dict[str, Any]:
        """Raises TooManyFailuresError, besides what forms raise."""
        if not {"username", "password"} <= self.cleaned_data.keys():
            return dict(super().clean())
        with counted(self.request, self.cleaned_data["username"]):
            return dict(super().clean())

    def confirm_login_allowed(self, user: User) -> None:
        """Everybody who is active, not only staff: /docs is for all, and each page says itself for whom it is."""
        AnybodysForm.confirm_login_allowed(self, user)
