"""Signing in."""

from django.contrib.auth.forms import AuthenticationForm as AnybodysForm
from django.contrib.auth.models import User
from unfold.forms import AuthenticationForm


class SignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    def confirm_login_allowed(self, user: User) -> None:
        """Everybody who is active, not only staff: /docs is for all, and each page says itself for whom it is."""
        AnybodysForm.confirm_login_allowed(self, user)
