"""Who may do what in the console: the roles, and what each of them may.

Which page asks for which action is one table, `emailgistics/console/access_table.py`.
"""

from enum import StrEnum
from typing import TYPE_CHECKING

from django.http import HttpRequest

from emailgistics.common.access import SYSTEM_ADMINISTRATORS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import AbstractUser, AnonymousUser

AUDITORS = "Auditors"
MAIL_READERS = "May read mail"  # means something for auditors only: system administrators may anyway
GROUPS = (SYSTEM_ADMINISTRATORS, AUDITORS, MAIL_READERS)


class Action(StrEnum):
    """What a page asks for. What is none of the others is MANAGE."""

    OWN = "sign out, and see to one's own account"
    ENTER = "see the frame of the console, and change one's own password"
    VIEW = "see configuration and metadata: addresses, subjects, dates, states"
    READ_MAIL = "read what mail says: text, headers, attachments, raw, payloads, answers of receivers"
    REPLAY = "send again what webhooks that exist were sent, or should have been"
    CONFIRM_DNS = "have the DNS of a domain looked at"
    MANAGE = "change, send out, import, export, delete"
    KEYS = "see and make API keys"
    PEOPLE = "see people, and say what they may"


class Role(StrEnum):
    """What somebody is, by the strongest thing."""

    NOBODY = "not signed in"
    ORDINARY = "signed in"
    STAFF = "staff"
    AUDITOR = "auditor"
    MAIL_AUDITOR = "auditor who may read mail"
    SYSTEM_ADMINISTRATOR = "system administrator"


_AUDITOR = frozenset({Action.OWN, Action.ENTER, Action.VIEW, Action.REPLAY, Action.CONFIRM_DNS})

MAY: dict[Role, frozenset[Action]] = {
    Role.NOBODY: frozenset(),
    Role.ORDINARY: frozenset({Action.OWN}),
    Role.STAFF: frozenset({Action.OWN, Action.ENTER}),
    Role.AUDITOR: _AUDITOR,
    Role.MAIL_AUDITOR: _AUDITOR | {Action.READ_MAIL},
    Role.SYSTEM_ADMINISTRATOR: frozenset(Action),
}


def role_of(user: "AbstractUser | AnonymousUser") -> Role:
    """Asks the database for the groups, unless they were fetched along or the user is a superuser."""
    if not (user.is_authenticated and user.is_active):
        return Role.NOBODY
    if user.is_superuser:
        return Role.SYSTEM_ADMINISTRATOR
    return role_by(is_staff=user.is_staff, groups=(group.name for group in user.groups.all()))


def role_by(*, is_staff: bool, groups: "Iterable[str]") -> Role:
    """Of somebody active who is no superuser."""
    names = frozenset(groups)
    if SYSTEM_ADMINISTRATORS in names:
        return Role.SYSTEM_ADMINISTRATOR
    if AUDITORS in names:
        return Role.MAIL_AUDITOR if MAIL_READERS in names else Role.AUDITOR
    return Role.STAFF if is_staff else Role.ORDINARY


def may(request: HttpRequest, action: Action) -> bool:
    """Whether the person who asks may do that. The database is asked once for each request: a page asks often."""
    return action in MAY[_role(request)]


def _role(request: HttpRequest) -> Role:
    known: tuple[object, Role] | None = getattr(request, "_role", None)
    if known is None or known[0] != request.user.pk:  # signing in makes another user of the same request
        known = request.user.pk, role_of(request.user)
        request._role = known  # type: ignore[attr-defined]  # noqa: SLF001 - ours
    return known[1]
