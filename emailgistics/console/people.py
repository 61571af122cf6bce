"""What people may, that somebody always may do everything, and that each change of it is on record."""

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from apikeys.models import ApiKey
from emailgistics.common import audit, journal
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, system_administrators
from emailgistics.common.clients import client_address
from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import GROUPS

NAME_LENGTH = 80  # of a person, in the audit log
# what holds after a restore too: who may not sign in, or has fewer rights; and that it was taken back since
LASTING = ("person.deactivated", "person.activated", "person.deleted", "person.roles_changed")


def groups_of(user: User) -> frozenset[str]:
    """Those that mean something here. Superusers are as members of the system administrators."""
    names = {group.name for group in user.groups.all()} & set(GROUPS) if user.pk else set()
    return frozenset(names | {SYSTEM_ADMINISTRATORS} if user.is_superuser else names)


def set_groups(user: User, names: frozenset[str], *, request: HttpRequest) -> None:
    """The person is in these, of the groups that mean something, and in no other of them."""
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
        note(request, "person.roles_changed", user, given=sorted(names - had), taken=sorted(had - names))


def note(request: HttpRequest, action: str, user: User, **details: object) -> None:
    """Puts on record what was done to a person, by whom, from where."""
    by = request.user
    assert isinstance(by, User)
    name = user.get_username()[:NAME_LENGTH]
    audit.record(action, of=name, person=by, address=client_address(request), details=details)
    if action in LASTING:
        journal.note(action, of=user.pk, taken=details.get("taken", []))


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
