"""Aliases into a file and out of one, as people do it."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from emailgistics.common.models import AuditEntry
from mailboxes.models import Alias, AliasImport
from mailboxes.services import alias_files
from tests.factories import make_alias, make_domain, make_mailbox

IMPORT, EXPORT = "/admin/mailboxes/alias/import/", "/admin/mailboxes/alias/export/"

pytestmark = pytest.mark.django_db


def upload(client: Client, text: str, *, name: str = "aliases.csv") -> Any:
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, text.encode(), content_type="text/csv")})


def exported(client: Client, query: str = "") -> str:
    answer = client.get(EXPORT + query)
    assert answer.status_code == HTTPStatus.OK
    assert answer["Content-Disposition"] == 'attachment; filename="aliases.csv"'
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def test_a_file_is_checked_looked_at_and_imported(administrator: Client) -> None:
    make_mailbox()
    page = upload(administrator, "address,mailbox\nnew@example.com,support@example.com\n<b>x,\n", name="<i>.csv")
    job = AliasImport.objects.get()
    url = reverse("admin:mailboxes_aliasimport_change", args=[job.pk])
    assert (page.status_code, page["Location"]) == (HTTPStatus.FOUND, url)
    shown = administrator.get(url).content.decode()
    assert "This is what would happen. Nothing is changed yet." in shown
    assert "Import 1 alias" in shown
    assert "&lt;b&gt;x" in shown
    assert "<b>x" not in shown
    assert not Alias.objects.exists()
    errors = b"".join(administrator.get(url.replace("change", "errors")).streaming_content).decode("utf-8-sig")
    assert errors.splitlines()[0] == "line,column,error,address,mailbox"
    assert errors.splitlines()[1].startswith("3,address,")
    confirm = reverse("admin:mailboxes_aliasimport_confirm", args=[job.pk])
    assert administrator.get(confirm).status_code == HTTPStatus.METHOD_NOT_ALLOWED
    for _ in range(2):
        assert administrator.post(confirm)["Location"] == url
    assert "The import is done" in administrator.get(url).content.decode()
    assert Alias.objects.get().address == "new@example.com"
    history = administrator.get(reverse("admin:mailboxes_alias_history", args=[Alias.objects.get().pk]))
    assert job.public_id in history.content.decode()


def test_a_file_that_is_none_is_refused_with_what_to_do(administrator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no column" in upload(administrator, "address,colour\na,b").content.decode()
    assert "This field is required" in administrator.post(IMPORT, {}).content.decode()
    monkeypatch.setattr(alias_files, "MAX_FILE_BYTES", 5)
    assert "split it" in upload(administrator, "address\na@example.com").content.decode()
    assert not AliasImport.objects.exists()


def test_an_import_can_be_canceled_before_it_begins(administrator: Client) -> None:
    make_mailbox()
    upload(administrator, "address\nnew@example.com")
    job = AliasImport.objects.get()
    administrator.post(reverse("admin:mailboxes_aliasimport_cancel", args=[job.pk]))
    administrator.post(reverse("admin:mailboxes_aliasimport_confirm", args=[job.pk]))
    job.refresh_from_db()
    assert job.state == "canceled"
    assert not Alias.objects.exists()


def test_what_is_listed_is_exported_and_that_is_on_record(administrator: Client) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    make_alias(address="sales@example.com", mailbox=mailbox)
    other = make_alias(address="a@example.net", mailbox=mailbox)
    assert len(exported(administrator).splitlines()) == 4
    lines = exported(administrator, f"?domain={make_domain(name='example.net').pk}").splitlines()
    assert lines[1:] == ["a@example.net,support@example.com,,yes,100,"]
    assert len(exported(administrator, "?q=sales").splitlines()) == 2
    Alias.objects.filter(pk=other.pk).update(deleted_at="2026-01-01T00:00:00Z")
    assert len(exported(administrator, "?deleted=all").splitlines()) == 3
    entries = AuditEntry.objects.filter(action="aliases.exported").order_by("id")
    assert [entry.details for entry in entries] == [
        {}, {"filters": "domain"}, {"filters": "q"}, {"filters": "deleted"},
    ]  # fmt: skip
    assert administrator.post(EXPORT).status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("who", ["auditor", "mail_auditor", "staff", "ordinary"])
def test_nobody_else_gets_there(who: str, client_for: Callable[[str], Client], administrator: Client) -> None:
    make_mailbox()
    upload(administrator, "address\nnew@example.com")
    job = AliasImport.objects.get()
    client = client_for(who)
    pages = [IMPORT, EXPORT, reverse("admin:mailboxes_aliasimport_changelist")]
    steps = ("change", "confirm", "cancel", "errors")
    pages += [reverse(f"admin:mailboxes_aliasimport_{step}", args=[job.pk]) for step in steps]
    for page in pages:
        for answer in (client.get(page), client.post(page)):
            assert answer.status_code == HTTPStatus.FORBIDDEN, page
            assert b"example.com" not in answer.content
    assert not Alias.objects.exists()
