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
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, Scope
from emailgistics.common.leases import LEASE_FOR
from emailgistics.common.models import AuditEntry, Lease
from emailgistics.common.roles import AUDITORS, MAIL_READERS, Role, role_of
from emailgistics.console.people import groups_of, system_administrators
from emailgistics.console.person_forms import PersonForm
from tests.console.conftest import PASSWORD, make_person
from tests.factories import in_days

PEOPLE = "/admin/auth/user/"
NOTHING: dict[str, Any] = {"first_name": "", "last_name": "", "email": ""}


def page(user: User, name: str = "change") -> str:
    return reverse(f"admin:auth_user_{name}", args=[user.pk])


def group() -> Group:
    return Group.objects.get(name=SYSTEM_ADMINISTRATORS)


def form_of(user: User, **changed: Any) -> dict[str, Any]:
    """What the browser would send."""
    flags = {name: "on" for name in ("is_active", "is_staff") if getattr(user, name)}
    ticks = {name: "on" for name, group in PersonForm.GROUP_OF.items() if group in groups_of(user)}
    sent = NOTHING | {"username": user.username} | flags | ticks | changed
    return {name: value for name, value in sent.items() if value is not None}


def test_a_person_is_added_and_becomes_a_system_administrator(administrator: Client) -> None:
    given = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
    answer = administrator.post("/admin/auth/user/add/", given)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    grace = User.objects.get(username="grace")
    assert answer["Location"] == page(grace)
    assert (grace.check_password(PASSWORD), grace.is_staff, grace.is_superuser) == (True, False, False)
    assert administrator.post(page(grace), form_of(grace, is_system_administrator="on"))["Location"] == PEOPLE
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
    assert all(f'name="{tick}"' in text for tick in PersonForm.GROUP_OF)
    assert not any(f'name="{name}"' in text for name in ("user_permissions", "groups", "is_superuser"))


@pytest.mark.parametrize("who", ["superuser", "member"])
def test_nobody_gives_himself_rights_or_takes_them_away(who: str, client_for: Callable[[str], Client]) -> None:
    client = client_for(who)
    make_person("superuser" if who == "member" else "member")
    me = User.objects.get(username=who)
    answer = client.post(page(me), form_of(me, is_active=None))
    assert "These are your own rights" in str(answer.context["adminform"].form.errors)
    had = groups_of(me)
    own = {"is_system_administrator": None, "is_auditor": "on", "may_read_mail": "on"}
    others = {"groups": [group().pk], "is_superuser": "on", "user_permissions": [1]}  # of forms that there are not
    assert client.post(page(me), form_of(me, email="me@example.net", **own, **others)).status_code == 302
    me = User.objects.get(pk=me.pk)
    assert (me.email, groups_of(me), me.is_superuser) == ("me@example.net", had, who == "superuser")
    assert me in system_administrators()
    assert not me.user_permissions.exists()
    assert not AuditEntry.objects.filter(action__startswith="person.").exists()


def entries() -> list[tuple[str, str, str, dict[str, Any]]]:
    people = AuditEntry.objects.filter(action__startswith="person.").order_by("id")
    return [(entry.action, entry.of, entry.by, entry.details) for entry in people]


def test_what_somebody_may_is_ticked_and_each_change_of_it_is_on_record(administrator: Client) -> None:
    grace = make_person("ordinary")

    def tick(**changed: Any) -> Role:
        assert administrator.post(page(grace), form_of(grace, **changed)).status_code == 302
        return role_of(User.objects.get(pk=grace.pk))

    assert tick(is_auditor="on") == Role.AUDITOR
    assert tick(may_read_mail="on") == Role.MAIL_AUDITOR
    assert tick(email="grace@example.net") == Role.MAIL_AUDITOR  # no role is changed, nothing is on record
    assert tick(is_auditor=None, may_read_mail=None) == Role.ORDINARY
    assert tick(is_system_administrator="on") == Role.SYSTEM_ADMINISTRATOR
    assert tick(is_active=None) == Role.NOBODY
    changed = "person.roles_changed"
    assert entries() == [
        (changed, "ordinary", "superuser", {"given": [AUDITORS], "taken": []}),
        (changed, "ordinary", "superuser", {"given": [MAIL_READERS], "taken": []}),
        (changed, "ordinary", "superuser", {"given": [], "taken": [AUDITORS, MAIL_READERS]}),
        (changed, "ordinary", "superuser", {"given": [SYSTEM_ADMINISTRATORS], "taken": []}),
        ("person.deactivated", "ordinary", "superuser", {}),
    ]
    assert set(AuditEntry.objects.values_list("address", flat=True)) == {"127.0.0.1"}


def test_a_superuser_is_a_system_administrator_until_that_is_taken(client_for: Callable[[str], Client]) -> None:
    client, other = client_for("member"), make_person("superuser")
    assert form_of(other)["is_system_administrator"] == "on"
    assert client.post(page(other), form_of(other, email="root@example.net")).status_code == 302
    assert User.objects.get(pk=other.pk).is_superuser
    assert entries() == []
    assert client.post(page(other), form_of(other, is_system_administrator=None)).status_code == 302
    assert not User.objects.get(pk=other.pk).is_superuser
    assert entries() == [
        ("person.roles_changed", "superuser", "member", {"given": [], "taken": [SYSTEM_ADMINISTRATORS]})
    ]


def test_reading_mail_alone_is_no_role(administrator: Client) -> None:
    grace = make_person("ordinary")
    answer = administrator.post(page(grace), form_of(grace, may_read_mail="on"))
    assert "This is for auditors" in str(answer.context["adminform"].form.errors)
    assert groups_of(grace) == set()


def test_who_comes_goes_and_is_given_a_password_is_on_record(administrator: Client) -> None:
    given = {"username": "grace", "password1": PASSWORD, "password2": PASSWORD}
    administrator.post("/admin/auth/user/add/", given)
    grace = User.objects.get(username="grace")
    address = reverse("admin:auth_user_password_change", args=[grace.pk])
    administrator.post(address, {"password1": "another correct horse", "password2": "another correct horse"})
    for action in ("deactivate", "activate"):
        administrator.post(PEOPLE, {"action": action, "_selected_action": [str(grace.pk)]})
    administrator.post(address, {"password1": "short", "password2": "short"})  # refused, so not on record
    assert [entry[:3] for entry in entries()] == [
        (f"person.{what}", "grace", "superuser") for what in ("created", "password_set", "deactivated", "activated")
    ]


def test_who_is_deleted_is_on_record(administrator: Client) -> None:
    grace = make_person("staff")
    administrator.post(page(grace, "delete"), {"post": "yes"})
    assert [entry[:3] for entry in entries()] == [("person.deleted", "staff", "superuser")]


@pytest.mark.parametrize("changed", [{"is_system_administrator": None}, {"is_active": None}])
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
def test_groups_that_no_form_of_ours_sends_count_for_nothing(strange: str, administrator: Client) -> None:
    member = make_person("member")
    auditors = Group.objects.get(name=AUDITORS).pk
    sent = form_of(member, groups=[auditors, strange], email="new@example.net")
    assert administrator.post(page(member), sent).status_code == 302
    member.refresh_from_db()
    assert (member.email, list(member.groups.all())) == ("new@example.net", [group()])
