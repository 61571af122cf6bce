"""The people who sign in to the console, for the operator."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth.models import User
from rest_framework import serializers

from emailgistics.common.commands import Json, RecordCommand, Verbs
from emailgistics.common.errors import NotFoundError, RefusedError
from emailgistics.common.roles import role_of
from emailgistics.console import sessions, two_factor


class NoTwoFactorError(RefusedError):
    code = "no_two_factor"


class UserSerializer(serializers.ModelSerializer[User]):
    role = serializers.SerializerMethodField()
    two_factor = serializers.SerializerMethodField()
    sessions = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ("id", "username", "email", "role", "is_active", "two_factor", "sessions", "last_login")

    def get_role(self, user: User) -> str:
        return role_of(user).value

    def get_two_factor(self, user: User) -> bool:
        return two_factor.authenticator_of(user) is not None

    def get_sessions(self, user: User) -> int:
        return len(sessions.of(user))


class Command(RecordCommand[User]):
    help = (
        "Show the people who sign in to the console; reset the two-factor sign-in of who has lost app and recovery "
        "codes.  Example: manage.py users reset-2fa ada"
    )
    noun = "user"
    handle_help = "a user name"
    serializer = UserSerializer
    columns: ClassVar = ("username", "role", "is_active", "two_factor", "last_login")

    def rows(self, options: Json) -> Iterable[User]:
        return User.objects.order_by("username").prefetch_related("groups")

    def find(self, text: str) -> User:
        user = User.objects.filter(username=text).first()
        if user is None:
            raise NotFoundError(f"There is no user {text!r}.")
        return user

    def add_verbs(self, verbs: Verbs) -> None:
        help_text = "take the second factor away, and end all sessions: the password alone signs in then"
        verbs.add("reset-2fa", help_text, self._reset).add_argument("which", help=self.handle_help)

    def _reset(self, options: dict[str, Any] | Json) -> None:
        user = self.find(options["which"])
        if not two_factor.switch_off(user, by=None):
            raise NoTwoFactorError(f"{user} has no two-factor sign-in.")
        sessions.end_all(user)
        self.print_one(user, options)
