"""Who is what, and what of it may be done."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import RequestFactory

from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.roles import AUDITORS, MAIL_READERS, MAY, Action, Role, may, role_of

A, M, S = AUDITORS, MAIL_READERS, SYSTEM_ADMINISTRATORS


@pytest.mark.parametrize(
    ("groups", "flags", "role"),
    [
        ((), {}, Role.ORDINARY),
        ((), {"is_staff": True}, Role.STAFF),
        ((M,), {}, Role.ORDINARY),  # by itself it says nothing
        ((M,), {"is_staff": True}, Role.STAFF),
        ((A,), {}, Role.AUDITOR),
        ((A,), {"is_staff": True}, Role.AUDITOR),
        ((A, M), {}, Role.MAIL_AUDITOR),
        ((S,), {}, Role.SYSTEM_ADMINISTRATOR),
        ((S, A), {}, Role.SYSTEM_ADMINISTRATOR),
        ((A,), {"is_superuser": True}, Role.SYSTEM_ADMINISTRATOR),
        ((S, A, M), {"is_active": False, "is_superuser": True}, Role.NOBODY),
    ],
)
def test_somebody_is_the_strongest_of_what_he_was_made(
    groups: tuple[str, ...], flags: dict[str, Any], role: Role, db: None
) -> None:
    user = User.objects.create(username="grace", **flags)
    user.groups.add(*Group.objects.filter(name__in=groups))
    assert role_of(user) == role


def test_only_system_administrators_change_things_and_see_keys_and_people() -> None:
    for action in (Action.MANAGE, Action.KEYS, Action.PEOPLE):
        assert {role for role in Role if action in MAY[role]} == {Role.SYSTEM_ADMINISTRATOR}
    assert MAY[Role.SYSTEM_ADMINISTRATOR] == set(Action)
    assert {role for role in Role if Action.READ_MAIL in MAY[role]} == {Role.SYSTEM_ADMINISTRATOR, Role.MAIL_AUDITOR}


def test_the_database_is_asked_once_for_a_request(db: None, django_assert_num_queries: Any) -> None:
    user = User.objects.create(username="grace")
    user.groups.add(Group.objects.get(name=AUDITORS))
    request = RequestFactory().get("/")
    request.user = User.objects.get()
    with django_assert_num_queries(1):
        assert [action for action in Action if may(request, action)] == [
            action for action in Action if action in MAY[Role.AUDITOR]
        ]


def test_who_signs_in_is_asked_about_anew(db: None) -> None:
    request: Any = SimpleNamespace(user=AnonymousUser())
    assert not may(request, Action.MANAGE)
    request.user = User.objects.create(username="grace", is_superuser=True)
    assert may(request, Action.MANAGE)
