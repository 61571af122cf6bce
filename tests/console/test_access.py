"""Who may see what: every page of every model, for everybody."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from importlib import import_module

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.roles import AUDITORS, GROUPS, MAIL_READERS
from emailgistics.console.apps import make_groups
from tests.console.conftest import PASSWORD, make_person

OK, FORBIDDEN, REDIRECT = HTTPStatus.OK, HTTPStatus.FORBIDDEN, HTTPStatus.FOUND

ClientFor = Callable[[str], Client]


def pages_of_models(rows: dict[str, Model]) -> Iterator[str]:
    """Lists, forms, details, histories and deletions of all that is registered, whoever registered it."""
    import_module("emailgistics.urls")  # it registers the pages
    assert admin.site._registry
    for model in admin.site._registry:
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pk = rows[model._meta.label].pk
        yield reverse(f"{label}_changelist")
        yield reverse(f"{label}_add")
        for page in ("change", "history", "delete"):
            yield reverse(f"{label}_{page}", args=[pk])


@pytest.mark.parametrize("who", ["superuser", "member"])
def test_system_administrators_see_every_page(who: str, client_for: ClientFor, one_of_each: dict[str, Model]) -> None:
    client = client_for(who)
    statuses = {page: client.get(page).status_code for page in pages_of_models(one_of_each)}
    # 403: nothing is added to history or taken from it
    assert set(statuses.values()) <= {OK, FORBIDDEN}, statuses
    lists_and_details = {page: status for page, status in statuses.items() if not page.endswith(("/add/", "/delete/"))}
    assert set(lists_and_details.values()) == {OK}, lists_and_details


@pytest.mark.parametrize("who", ["staff", "ordinary"])
def test_everybody_else_who_is_signed_in_is_told_that_it_is_not_for_them(
    who: str, client_for: ClientFor, one_of_each: dict[str, Model]
) -> None:
    client = client_for(who)
    for page in pages_of_models(one_of_each):
        for answer in (client.get(page), client.post(page)):
            assert answer.status_code == FORBIDDEN, page
            assert b"System administrators" in answer.content
            assert b"example.com" not in answer.content


def test_signed_out_people_get_the_sign_in_page_and_come_back_from_it(one_of_each: dict[str, Model]) -> None:
    client = Client()
    for page in pages_of_models(one_of_each):
        answer = client.get(page)
        assert (answer.status_code, answer["Location"]) == (REDIRECT, f"/admin/login/?next={page}")
    make_person("superuser")
    form = {"username": "superuser", "password": PASSWORD, "next": "/admin/mailboxes/email/"}
    assert client.post("/admin/login/?next=/admin/mailboxes/email/", form)["Location"] == "/admin/mailboxes/email/"
    assert client.get("/admin/mailboxes/email/").status_code == OK


@pytest.mark.parametrize(("who", "status"), [("superuser", OK), ("member", OK), ("staff", OK), ("ordinary", FORBIDDEN)])
def test_whoever_is_active_signs_in_and_is_told_what_is_not_for_him(db: None, who: str, status: int) -> None:
    make_person(who)
    client = Client()
    assert client.post("/admin/login/", {"username": who, "password": PASSWORD}).status_code == REDIRECT
    page = client.get("/admin/")
    assert page.status_code == status
    assert (b"This page is for system administrators" in page.content) is (status == FORBIDDEN)
    assert client.get("/docs").status_code == OK
    refused = client.post("/admin/login/", {"username": who, "password": "wrong"})
    assert refused.status_code == OK
    assert b"do not fit together" in refused.content
    assert b"manage.py users reset-password" in refused.content  # what there is to do


def test_a_page_that_is_not_for_somebody_is_a_line_in_the_log_and_no_traceback(
    client_for: ClientFor, caplog: pytest.LogCaptureFixture
) -> None:
    assert client_for("staff").get("/admin/apikeys/apikey/").status_code == FORBIDDEN
    (record,) = [record for record in caplog.records if record.name == "django.request"]
    assert record.getMessage() == "Forbidden (Permission denied): /admin/apikeys/apikey/"
    assert record.exc_info is None


def test_an_inactive_member_neither_signs_in_nor_stays_signed_in(client_for: ClientFor) -> None:
    client = client_for("member")
    assert client.get("/admin/mailboxes/email/").status_code == OK
    User.objects.update(is_active=False)
    assert client.get("/admin/mailboxes/email/").status_code == REDIRECT
    assert client.post("/admin/login/", {"username": "member", "password": PASSWORD}).status_code == OK


def test_who_leaves_the_group_loses_its_rights_at_once(client_for: ClientFor) -> None:
    client = client_for("member")
    assert client.get("/admin/mailboxes/email/").status_code == OK
    User.objects.get().groups.clear()
    assert client.get("/admin/mailboxes/email/").status_code == FORBIDDEN


def test_staff_see_whom_to_ask_and_no_numbers(client_for: ClientFor, one_of_each: dict[str, Model]) -> None:
    client = client_for("staff")
    page = client.get("/admin/").content.decode()
    assert "Ask one of them to add you (staff) to the group" in page
    assert "/admin/mailboxes/" not in page
    assert "Received" not in page
    assert "help@example.com" not in page


def test_staff_may_change_their_own_password(client_for: ClientFor) -> None:
    client = client_for("staff")
    new = "another correct horse"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", form)["Location"] == "/admin/password_change/done/"
    assert User.objects.get().check_password(new)


@pytest.mark.parametrize("page", ["/admin/search/?s=mail&extended=1", "/admin/autocomplete/", "/admin/mailboxes/"])
def test_pages_without_a_model_are_for_system_administrators_too(page: str, client_for: ClientFor) -> None:
    for who in ("staff", "ordinary"):
        assert client_for(who).get(page).status_code == FORBIDDEN


@pytest.mark.parametrize("who", ["ordinary", "staff", "superuser"])
def test_everybody_can_sign_out(who: str, client_for: ClientFor) -> None:
    client = client_for(who)
    assert client.get("/admin/logout/").status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert client.post("/admin/logout/").status_code == OK
    assert "_auth_user_id" not in client.session


def test_signing_out_needs_the_token_of_its_form(client_for: ClientFor) -> None:
    client = client_for("ordinary")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    answer = strict.post("/admin/logout/")
    assert (answer.status_code, b"This form is out of date" in answer.content) == (FORBIDDEN, True)


def test_the_groups_come_with_every_migration_and_back_after_a_flush(db: None) -> None:
    def names() -> set[str]:
        return set(Group.objects.values_list("name", flat=True))

    assert names() == {SYSTEM_ADMINISTRATORS, AUDITORS, MAIL_READERS}
    from django.apps import apps
    from django.core.management import call_command

    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert names() == {SYSTEM_ADMINISTRATORS, AUDITORS, MAIL_READERS}
    make_groups(using="default", apps=apps)
    assert Group.objects.count() == len(GROUPS)
