"""The people who sign in to the console, for the operator."""

import getpass
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from rest_framework import serializers

from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.commands import Json, RecordCommand, Verbs, read_secret
from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from emailgistics.common.roles import AUDITORS, MAIL_READERS, Role, role_of
from emailgistics.console import people, sessions, two_factor

GENERATED_BYTES = 15
# what --role takes: the groups that make it
GROUPS_OF = {
    "administrator": frozenset({SYSTEM_ADMINISTRATORS}),
    "auditor": frozenset({AUDITORS}),
    "mail-auditor": frozenset({AUDITORS, MAIL_READERS}),
}


class NoTwoFactorError(RefusedError):
    code = "no_two_factor"


class DeactivatedError(RefusedError):
    code = "deactivated"


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
        "The people who sign in to the console: make one, and help who cannot sign in any more. All of it is in the "
        "audit log.  Example: manage.py users create ada --role administrator"
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
        create = verbs.add("create", "make one, who can sign in at once", self._create)
        create.add_argument("name", help="to sign in with")
        create.add_argument("--role", required=True, choices=GROUPS_OF, help="what they may; see docs/console-roles.md")
        create.add_argument("--email", default="", help="for notices")
        _add_password_arguments(create)
        reset = verbs.add("reset-password", "give one a new password, and end all their sessions", self._reset_password)
        reset.add_argument("which", help=self.handle_help)
        _add_password_arguments(reset)
        help_text = "make one a system administrator: when nobody is left who could, in the console"
        verbs.add("promote", help_text, self._promote).add_argument("which", help=self.handle_help)
        help_text = "take the second factor away, and end all sessions: the password alone signs in then"
        verbs.add("reset-2fa", help_text, self._reset).add_argument("which", help=self.handle_help)

    def _create(self, options: Json) -> None:
        password = _password(options)
        groups = GROUPS_OF[options["role"]]
        user = people.create_person(name=options["name"], password=password, email=options["email"], groups=groups)
        self._print_with_password(user, password, options)

    def _reset_password(self, options: Json) -> None:
        user = self.find(options["which"])
        password = _password(options)
        people.set_password(user, password)
        self._print_with_password(user, password, options)

    def _promote(self, options: Json) -> None:
        user = self.find(options["which"])
        if not user.is_active:
            raise DeactivatedError(
                f"{user} is deactivated, and cannot sign in: make somebody else with `users create`."
            )
        if role_of(user) == Role.SYSTEM_ADMINISTRATOR:
            raise ConflictError(f"{user} is a system administrator already.")
        people.set_groups(user, people.groups_of(user) | {SYSTEM_ADMINISTRATORS}, by=None)
        self.print_one(user, options)

    def _reset(self, options: Json) -> None:
        user = self.find(options["which"])
        if not two_factor.switch_off(user, by=None):
            raise NoTwoFactorError(f"{user} has no two-factor sign-in.")
        sessions.end_all(user)
        self.print_one(user, options)

    def _print_with_password(self, user: User, password: str, options: Json) -> None:
        self.print_one(user, options, **({"password": password} if options["generate"] else {}))


def _add_password_arguments(parser: CommandParser) -> None:
    """Never the password itself: every user of the machine sees what a command was given."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--password-file", type=Path, help="a file that holds the password; without, it is asked for")
    how.add_argument("--generate", action="store_true", help="make one, printed this once")


def _password(options: Json) -> str:
    """Raises CommandError."""
    if options["generate"]:
        return secrets.token_urlsafe(GENERATED_BYTES)
    if options["password_file"]:
        return read_secret(options["password_file"], flag="--password-file")
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask for the password: --password-file or --generate.", returncode=2)
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise CommandError("These are two different passwords.")
    return password
