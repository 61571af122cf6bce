"""People: made, changed, let go; and that there is always a system administrator."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apikeys.services import create_api_key
from emailgistics.common.access import Scope
from emailgistics.common.leases import LEASE_FOR
from emailgistics.common.models import Lease
from emailgistics.console.people import system_administrators
from tests.console.conftest import PASSWORD, make_person
from tests.factories import in_days

PEOPLE = "/admin/auth/user/"
NOTHING: dict[str, Any] = {"first_name": "", "last_name": "", "email": ""}


def page(user: User, name: str = "change") -> str:
    return reverse(f"admin:auth_user_{name}", args=[user.pk])


def group() -> Group:
    return Group.objects.get()


def form_of(user: User, **changed: Any) -> dict[str, Any]:
    """What the browser would send."""
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    groups = list(user.groups.values_list("pk", flat=True))
    sent = NOTHING | {"username": user.username, "groups": groups} | flags | changed
    return {name: value for name, value in sent.items() if value is not None}


def test_a_person_is_added_and_becomes_a_system_administrator(administrator: Client) -> None:
    given = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
    answer = administrator.post("/admin/auth/user/add/", given)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    grace = User.objects.get(username="grace")
    assert answer["Location"] == page(grace)
    assert (grace.check_password(PASSWORD), grace.is_staff, grace.is_superuser) == (True, False, False)
    assert administrator.post(page(grace), form_of(grace, groups=[group().pk]))["Location"] == PEOPLE
    client = Client()
    assert client.post("/admin/login/", {"username": "grace", "password": PASSWORD}).status_code == 302
    assert client.get(PEOPLE).status_code == 200


def test_a_weak_password_is_refused(administrator: Client) -> None:
    given = {"username": "grace", "password1": "password", "password2": "password"}
    answer = administrator.post("/admin/auth/user/add/", given)
    assert "too common" in str(answer.context["adminform"].form.errors["password2"])
    assert not User.objects.filter(username="grace").exists()


def test_somebody_elses_password_is_changed(administrator: Client) -> None:
    grace = make_person("staff")
    address = reverse("admin:auth_user_password_change", args=[grace.pk])
    assert administrator.get(address).status_code == 200
    new = "another correct horse"
    given = {"password1": new, "password2": new}
    assert administrator.post(address, given).status_code == 302
    grace.refresh_from_db()
    assert grace.check_password(new)


def test_the_form_shows_what_means_something_and_no_other_permissions(administrator: Client) -> None:
    text = administrator.get(page(make_person("staff"))).content.decode()
    assert "System administrators" in text
    assert 'name="user_permissions"' not in text


@pytest.mark.parametrize("taken", ["is_superuser", "is_active"])
def test_nobody_takes_his_own_rights_away(taken: str, administrator: Client) -> None:
    make_person("member")
    me = User.objects.get(username="superuser")
    answer = administrator.post(page(me), form_of(me, **{taken: None}))
    assert "These are your own rights" in str(answer.context["adminform"].form.errors)
    assert me in system_administrators()
    # other things of his own he may change, and one of two ways to the same rights
    assert administrator.post(page(me), form_of(me, email="me@example.net", groups=[group().pk])).status_code == 302
    assert administrator.post(page(me), form_of(me, is_superuser=None, groups=[group().pk])).status_code == 302
    me.refresh_from_db()
    assert (me.is_superuser, me in system_administrators()) == (False, True)


@pytest.mark.parametrize("changed", [{"groups": []}, {"is_active": None}])
def test_others_lose_their_rights(changed: dict[str, Any], administrator: Client) -> None:
    member = make_person("member")
    assert administrator.post(page(member), form_of(member, **changed)).status_code == 302
    assert member not in system_administrators()


def test_the_last_one_keeps_his_rights(administrator: Client) -> None:
    """Whoever asks was one until now: the two of them have asked about each other at once."""
    from emailgistics.console.people import why_not_without

    me, other = User.objects.get(username="superuser"), make_person("member")
    assert why_not_without(other, by=me) == ""
    User.objects.filter(pk=me.pk).update(is_superuser=False)
    assert "Nobody else is a system administrator" in why_not_without(other, by=me)


def test_people_are_deactivated_and_activated_in_the_list(administrator: Client) -> None:
    member, me = make_person("member"), User.objects.get(username="superuser")

    def act(action: str) -> str:
        sent = {"action": action, "_selected_action": [str(member.pk), str(me.pk)]}
        return administrator.post(PEOPLE, sent, follow=True).content.decode()

    text = act("deactivate")
    assert "superuser: These are your own rights" in text
    assert "member: deactivated." in text
    assert set(User.objects.filter(is_active=True)) == {me}
    assert "member: activated." in act("activate")
    assert set(User.objects.filter(is_active=True)) == {me, member}


def test_who_is_on_no_record_is_deleted(administrator: Client) -> None:
    grace = make_person("staff")
    assert b"Are you sure" in administrator.get(page(grace, "delete")).content
    assert administrator.post(page(grace, "delete"), {"post": "yes"})["Location"] == PEOPLE
    assert not User.objects.filter(pk=grace.pk).exists()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("record", ["key", "change", "self"])
def test_who_is_on_record_stays_and_the_page_says_what_to_do(record: str, method: str, administrator: Client) -> None:
    user = User.objects.get() if record == "self" else make_person("staff")
    if record == "key":
        create_api_key(name="CI", expires_at=in_days(1), scopes=[Scope.EMAILS_READ], mailboxes=None, created_by=user)
    if record == "change":
        LogEntry.objects.log_actions(user.pk, [user], 2, "something")  # type: ignore[arg-type]
    answer = getattr(administrator, method)(page(user, "delete"), {"post": "yes"}, follow=True)
    assert answer.redirect_chain == [(page(user), 302)]
    said = "These are your own rights" if record == "self" else "stays on record: deactivate instead."
    assert said in answer.content.decode()
    assert User.objects.filter(pk=user.pk).exists()


def test_groups_are_looked_at_only(client_for: Callable[[str], Client]) -> None:
    client = client_for("member")
    address = reverse("admin:auth_group_change", args=[group().pk])
    text = client.get(address).content.decode()
    assert "Its members see and do everything" in text
    assert page(User.objects.get()) in text
    for sent_to in (address, reverse("admin:auth_group_add"), reverse("admin:auth_group_delete", args=[group().pk])):
        assert client.post(sent_to, {"name": "x", "post": "yes"}).status_code == 403
    assert group().name == "System administrators"


def test_workers_are_alive_or_gone(administrator: Client) -> None:
    now = timezone.now()
    Lease.objects.create(kind="mail", host="one.example.net", pid=1, seen_at=now)
    Lease.objects.create(kind="dispatch", host="two.example.net", pid=2, seen_at=now - 2 * LEASE_FOR)
    rows = administrator.get("/admin/common/lease/").context["cl"].result_list
    assert [(row.host, row.is_alive) for row in rows] == [("one.example.net", True), ("two.example.net", False)]


# --- what no page of ours sends


def test_a_password_is_never_taken_away(administrator: Client) -> None:
    me = User.objects.get(username="superuser")
    address = reverse("admin:auth_user_password_change", args=[me.pk])
    assert b"usable_password" not in administrator.get(address).content
    answer = administrator.post(address, {"usable_password": "false", "unset-password": "1"})
    assert set(answer.context["form"].errors) == {"password1", "password2"}
    me.refresh_from_db()
    assert me.check_password(PASSWORD)


def test_nobody_is_added_without_a_password(administrator: Client) -> None:
    answer = administrator.post("/admin/auth/user/add/", {"username": "grace", "usable_password": "false"})
    assert set(answer.context["adminform"].form.errors) == {"password1", "password2"}
    assert not User.objects.filter(username="grace").exists()


@pytest.mark.parametrize("strange", ["9" * 24, "-1", "abc", "a\0b", ""])
def test_strange_groups_are_an_error_of_the_form(strange: str, administrator: Client) -> None:
    member = make_person("member")
    answer = administrator.post(page(member), form_of(member, groups=[group().pk, strange], email="new@example.net"))
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) == {"groups"}
    member.refresh_from_db()
    assert (member.email, list(member.groups.all())) == ("", [group()])
