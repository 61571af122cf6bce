"""Who there is and what they may, that somebody always may do everything, and that each change of it is on record."""

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from apikeys.models import ApiKey
from emailgistics.common import audit, journal
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, system_administrators
from emailgistics.common.clients import client_address
from emailgistics.common.errors import RefusedError
from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import GROUPS
from emailgistics.console import sessions

NAME_LENGTH = 80  # of a person, in the audit log
# what holds after a restore too: who may not sign in, or has fewer rights; and that it was taken back since
LASTING = ("person.deactivated", "person.activated", "person.deleted", "person.roles_changed")


def groups_of(user: User) -> frozenset[str]:
    """Those that mean something here. Superusers are as members of the system administrators."""
    names = {group.name for group in user.groups.all()} & set(GROUPS) if user.pk else set()
    return frozenset(names | {SYSTEM_ADMINISTRATORS} if user.is_superuser else names)


def set_groups(user: User, names: frozenset[str], *, by: User | None, address: str | None = None) -> None:
    """The person is in these, of the groups that mean something, and in no other of them. by None: an operator."""
    had = groups_of(user)
    if names == had:
        return
    with transaction.atomic():
        if user.is_superuser and SYSTEM_ADMINISTRATORS not in names:
            user.is_superuser = False
            user.save(update_fields=["is_superuser"])
        user.groups.remove(*Group.objects.filter(name__in=set(GROUPS) - names))
        # of a superuser the rights are there already; the membership is added to what is new
        user.groups.add(*Group.objects.filter(name__in=names - had))
        given, taken = sorted(names - had), sorted(had - names)
        put_on_record("person.roles_changed", user, by=by, address=address, given=given, taken=taken)


def note(request: HttpRequest, action: str, user: User, **details: object) -> None:
    """Puts on record what was done to a person in the console, by whom, from where."""
    by = request.user
    assert isinstance(by, User)
    put_on_record(action, user, by=by, address=client_address(request), **details)


def put_on_record(action: str, user: User, *, by: User | None, address: str | None = None, **details: object) -> None:
    """Whoever it was: a person, from an address, or without one an operator at the shell."""
    name = user.get_username()[:NAME_LENGTH]
    audit.record(action, of=name, person=by, address=address, details=details)
    if action in LASTING:
        journal.note_person(action, user, taken=details.get("taken", []))


@transaction.atomic
def create_person(
    *,
    name: str,
    password: str,
    email: str = "",
    groups: frozenset[str] = frozenset(),
    by: User | None = None,
    address: str | None = None,
) -> User:
    """Somebody who can sign in from now on. Raises RefusedError for a name, address or password that will not do."""
    user = User(username=name, email=email)
    check_password(password, user)
    user.set_password(password)
    try:
        user.full_clean()
    except ValidationError as error:
        raise RefusedError(" ".join(error.messages)) from error
    user.save()
    put_on_record("person.created", user, by=by, address=address)
    set_groups(user, groups, by=by, address=address)
    return user


@transaction.atomic
def set_password(user: User, password: str, *, by: User | None = None, address: str | None = None) -> None:
    """And whoever knows the one before is signed out. Raises RefusedError."""
    check_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    put_on_record("person.password_set", user, by=by, address=address)
    sessions.end_all(user, by=by, address=address or "")


def check_password(password: str, user: User) -> None:
    """As the forms do. Raises RefusedError."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise RefusedError(" ".join(error.messages), field="password") from error


def why_not_without(user: User, *, by: object) -> str:
    """Why somebody may not lose the rights of a system administrator; empty if he may.

    Call it inside the transaction of the change: it holds the others, so that two cannot take each other's.
    """
    if user == by:
        return _("These are your own rights. Ask another system administrator to take them away.")
    ids = set(system_administrators().values_list("pk", flat=True))
    # locked in one order, then asked again: somebody may have gone while we waited
    list(User.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if user.pk in ids and not system_administrators().exclude(pk=user.pk).exists():
        return _("Nobody else is a system administrator: make somebody one first.")
    return ""


def is_on_record(user: User) -> bool:
    """Whether a key, the audit log or the history of changes names the person."""
    return (
        LogEntry.objects.filter(user=user).exists()
        or ApiKey.objects.filter(Q(created_by=user) | Q(revoked_by=user)).exists()
        or AuditEntry.objects.filter(person=user).exists()
    )
