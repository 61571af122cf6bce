"""Who may do everything, and that somebody always may."""

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db.models import Q

from apikeys.models import ApiKey
from emailgistics.common.access import system_administrators
from emailgistics.common.models import AuditEntry


def why_not_without(user: User, *, by: object) -> str:
    """Why somebody may not lose the rights of a system administrator; empty if he may.

    Call it inside the transaction of the change: it holds the others, so that two cannot take each other's.
    """
    if user == by:
        return "These are your own rights. Ask another system administrator to take them away."
    ids = set(system_administrators().values_list("pk", flat=True))
    # locked in one order, then asked again: somebody may have gone while we waited
    list(User.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    if user.pk in ids and not system_administrators().exclude(pk=user.pk).exists():
        return "Nobody else is a system administrator: make somebody one first."
    return ""


def is_on_record(user: User) -> bool:
    """Whether a key, the audit log or the history of changes names the person."""
    return (
        LogEntry.objects.filter(user=user).exists()
        or ApiKey.objects.filter(Q(created_by=user) | Q(revoked_by=user)).exists()
        or AuditEntry.objects.filter(person=user).exists()
    )
