"""Signing in."""

from django.contrib.auth.models import AbstractUser
from unfold.forms import AuthenticationForm

from emailgistics.common.access import is_system_administrator


class SignInForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    def confirm_login_allowed(self, user: AbstractUser) -> None:
        """Members of the group come in without is_staff; Django's form asks for it."""
        if not is_system_administrator(user):
            super().confirm_login_allowed(user)
