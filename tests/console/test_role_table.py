"""Who may do what: each row of the table for everybody, asked at its address, and what the table has to hold."""

from collections.abc import Callable
from http import HTTPStatus
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client

from emailgistics.common.roles import MAY, Action
from emailgistics.console import access_table
from tests.console import role_world
from tests.console.role_world import WHO, Address, addresses, named_patterns, writes

OK, FORBIDDEN, REDIRECT = HTTPStatus.OK, HTTPStatus.FORBIDDEN, HTTPStatus.FOUND
NOT_ALLOWED = HTTPStatus.METHOD_NOT_ALLOWED

ClientFor = Callable[[str], Client]
Rows = dict[str, Model]

# what opening a page writes, besides the session: who read what mail says
OPENINGS = {"mailboxes_email_html", "mailboxes_email_raw", "mailboxes_email_attachment", "webhooks_eventbody_change"}
# it prepares a secret; and exports are on record
OPENINGS |= {"account_two_factor", "statistics_csv", "mailboxes_alias_export"}


@pytest.fixture
def rows(one_of_each: Rows) -> Rows:
    role_world.add_marked_content(one_of_each)
    return one_of_each


# --- the table is whole


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    names = {pattern.name or "" for pattern, _ in named_patterns()} - role_world.OF_ANYBODY
    assert names == set(access_table.PAGES)


def test_every_action_of_a_list_has_a_row() -> None:
    registered = {
        (f"{model._meta.app_label}_{model._meta.model_name}_changelist", str(name))
        for model, pages in admin.site._registry.items()
        for name in pages.actions or ()
    }
    assert registered == set(access_table.ACTIONS)
    for page, _ in access_table.ACTIONS:
        assert access_table.PAGES[page].send is not None, page


def test_everything_that_is_listed_within_a_page_has_a_row() -> None:
    inlines: list[Any] = [inline for pages in admin.site._registry.values() for inline in pages.inlines]
    models = {f"{inline.model._meta.app_label}_{inline.model._meta.model_name}" for inline in inlines}
    assert models == set(access_table.INLINES)


def test_no_page_but_for_system_administrators_sends_anything_that_is_not_replaying_or_looking_at_dns() -> None:
    harmless = {Action.REPLAY, Action.CONFIRM_DNS, Action.OWN, Action.ENTER}
    theirs = {Action.MANAGE, Action.KEYS, Action.PEOPLE, None}
    asks = {"search", "mailboxes_email_pictures"}  # they change nothing, and are sent so that it is in no address
    assert {page.send for name, page in access_table.PAGES.items() if name not in asks} <= harmless | theirs
    assert {name for name, page in access_table.PAGES.items() if page.send in (Action.OWN, Action.ENTER)} == {
        "logout",
        "password_change",
        "confirm",
        *(name for name in access_table.PAGES if name.startswith("account")),
    }


def test_an_address_without_a_row_is_refused_to_everybody(
    administrator: Client, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    assert administrator.get("/admin/mailboxes/domain/").status_code == OK
    monkeypatch.delitem(access_table.PAGES, "mailboxes_domain_changelist")
    assert administrator.get("/admin/mailboxes/domain/").status_code == FORBIDDEN
    assert administrator.post("/admin/mailboxes/domain/").status_code == FORBIDDEN


# --- each row, for everybody


def said(client: Client, address: Address, method: str) -> tuple[int, str, list[str]]:
    """Status, where to, what it wrote. Nothing of it stays."""
    with transaction.atomic():
        with writes() as written:
            try:
                answer = getattr(client, method)(address.url)
            except RuntimeError as error:
                if "durable" not in str(error):
                    raise
                answer = HttpResponse(status=OK)  # it got as far as a transaction that has to be the outermost
        transaction.set_rollback(True)
    return answer.status_code, answer.get("Location", ""), written


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", sorted(WHO))
def test_each_row_holds(who: str, method: str, client_for: ClientFor, rows: Rows) -> None:
    client = client_for(who)
    wrong = [
        f"{address.name}: {found}"
        for address in addresses(rows)
        if address.name != "logout" and (found := _wrong(said(client, address, method), address, who, method))
    ]
    assert not wrong, "\n".join(wrong)


def _wrong(answer: tuple[int, str, list[str]], address: Address, who: str, method: str) -> str:
    status, location, written = answer
    if not address.is_for(who, method):
        if who == "nobody":
            is_refused = status == REDIRECT and location.startswith("/admin/login/")
        else:
            is_refused = status == FORBIDDEN
        return "" if is_refused and not written else f"not refused: {answer}"
    if location.startswith("/admin/login/") or status in (FORBIDDEN, HTTPStatus.INTERNAL_SERVER_ERROR):
        return f"refused: {answer}"
    if method == "get" and written and address.name not in OPENINGS:
        return f"looking wrote {written}"
    return ""


@pytest.mark.parametrize("who", sorted(WHO))
def test_everybody_who_is_signed_in_may_sign_out(who: str, client_for: ClientFor, db: None) -> None:
    client = client_for(who)
    assert client.get("/admin/logout/").status_code == (REDIRECT if who == "nobody" else NOT_ALLOWED)
    client.post("/admin/logout/")
    assert "_auth_user_id" not in client.session


# --- what is not a page of its own


@pytest.mark.parametrize("who", sorted(WHO))
def test_actions_of_lists_are_done_for_whom_they_are(who: str, client_for: ClientFor, rows: Rows) -> None:
    """Sent by name, whether they are offered or not."""
    client = client_for(who)
    for (page, name), action in access_table.ACTIONS.items():
        _, app, model, _ = ["", *page.split("_")]
        pk = next(row.pk for label, row in rows.items() if label.lower() == f"{app}.{model}")
        sent = {"action": name, "_selected_action": [str(pk)], "index": "0"}
        with transaction.atomic():
            with writes() as written:
                status = client.post(f"/admin/{app}/{model}/", sent).status_code
            transaction.set_rollback(True)
        may = action in MAY[WHO[who]]
        assert may or not written, (page, name)
        assert (status == FORBIDDEN) == (not may and who != "nobody"), (page, name)


def test_an_action_without_a_row_is_offered_to_nobody(
    administrator: Client, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(access_table.ACTIONS, ("mailboxes_domain_changelist", "disable"))
    pk = rows["mailboxes.Domain"].pk
    assert b'value="disable"' not in administrator.get("/admin/mailboxes/domain/").content
    with writes() as written:
        administrator.post("/admin/mailboxes/domain/", {"action": "disable", "_selected_action": [str(pk)]})
    assert not written


@pytest.mark.parametrize("who", ["staff", "auditor", "mail_auditor"])
def test_no_foreign_key_is_completed_for_who_fills_in_no_form(who: str, client_for: ClientFor, rows: Rows) -> None:
    client = client_for(who)
    fields = [
        {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field.name}
        for model in {type(row) for row in rows.values()}
        for field in model._meta.get_fields()
        if field.many_to_one or field.many_to_many
    ]
    assert len(fields) > 20
    for asked in fields:
        assert client.get("/admin/autocomplete/", asked | {"term": "a"}).status_code == FORBIDDEN, asked


@pytest.mark.parametrize("who", ["auditor", "mail_auditor"])
def test_no_parameter_opens_what_is_closed(who: str, client_for: ClientFor, rows: Rows) -> None:
    client = client_for(who)
    parameters = ({"_popup": "1"}, {"_to_field": "id"}, {"_popup": "1", "_to_field": "password"}, {"_facets": "1"})
    for address in addresses(rows):
        if address.is_for(who, "get") or address.is_for(who, "post"):
            continue
        for more in parameters:
            assert client.get(address.url, more).status_code == FORBIDDEN, address.name
            assert client.post(f"{address.url}?_popup=1", more).status_code == FORBIDDEN, address.name


@pytest.mark.parametrize("who", ["auditor", "mail_auditor"])
def test_rows_sent_along_with_a_page_change_nothing(who: str, client_for: ClientFor, rows: Rows) -> None:
    client, email = client_for(who), rows["mailboxes.Email"]
    sent = {
        f"{prefix}-{name}": value
        for prefix in ("recipients", "attachments", "recipient_set", "attachment_set")
        for name, value in {"TOTAL_FORMS": 1, "INITIAL_FORMS": 1, "0-DELETE": "on", "0-id": "1"}.items()
    }
    with writes() as written:
        assert client.post(f"/admin/mailboxes/email/{email.pk}/change/", sent).status_code == FORBIDDEN
    assert not written


# --- the page about it


def test_the_page_of_the_docs_is_as_the_table_is(tmp_path: Path) -> None:
    # if not: manage.py role_table
    written = tmp_path / "console-roles.md"
    call_command("role_table", file=written, stdout=StringIO())
    assert written.read_text() == Path("docs/console-roles.md").read_text()
