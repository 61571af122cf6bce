"""Who can reach this: what the page says is what the API does."""

from collections.abc import Callable
from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from apikeys.models import ApiKey
from emailgistics.common.access import Scope
from emailgistics.console import reach
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_key
from tests.factories import make_alias, make_domain, make_mailbox, make_webhook
from webhooks.models import Webhook

pytestmark = pytest.mark.django_db

READ = [Scope.DOMAINS_READ, Scope.MAILBOXES_READ, Scope.ALIASES_READ, Scope.WEBHOOKS_READ]


def support() -> Mailbox:
    return Mailbox.objects.get(local_part="support")


@pytest.fixture
def place() -> dict[str, reach.Place]:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    return {"domains": alias.domain, "mailboxes": mailbox, "aliases": alias}


def listed(place: reach.Place) -> set[str]:
    return {key.name for key in reach.keys_of(place)}


def test_a_key_that_is_listed_reads_it_and_one_that_is_not_gets_404(place: dict[str, reach.Place]) -> None:
    mailbox = support()
    other, away = make_mailbox(address="sales@example.com"), make_mailbox(address="a@example.net")
    clients = {
        "named": client_of(make_key(mailboxes=[mailbox, away], scopes=READ, name="named")[1]),
        "all": client_of(make_key(scopes=READ, name="all")[1]),
        "neighbour": client_of(make_key(mailboxes=[other], scopes=READ, name="neighbour")[1]),
        "away": client_of(make_key(mailboxes=[away], scopes=READ, name="away")[1]),
    }
    expected = {
        "domains": {"named", "all", "neighbour"},
        "mailboxes": {"named", "all"},
        "aliases": {"named", "all"},
    }
    for kind, row in place.items():
        assert listed(row) == expected[kind], kind
        for name, client in clients.items():
            status = client.get(f"/v1/{kind}/{row.public_id}").status_code
            assert status == (HTTPStatus.OK if name in expected[kind] else HTTPStatus.NOT_FOUND), (kind, name)


def test_keys_that_have_ended_are_only_counted(place: dict[str, reach.Place], administrator: Client) -> None:
    mailbox = support()
    make_key(mailboxes=[mailbox], name="revoked")
    make_key(mailboxes=[mailbox], name="in force")
    ApiKey.objects.filter(name="revoked").update(revoked_at=timezone.now())
    assert listed(mailbox) == {"in force"}
    text = administrator.get(reach.url_of(mailbox)).content.decode()
    assert "1 key that named it has ended." in text
    assert "revoked (" not in text


def test_nobody_reaches_what_is_deleted(place: dict[str, reach.Place]) -> None:
    make_key()
    alias = Alias.objects.get()
    provision.delete_alias(alias)
    alias.refresh_from_db()
    assert not reach.keys_of(alias).exists()
    domain = Domain.objects.get()
    provision.delete_domain(domain)
    for row in (Domain.objects.get(), support()):
        assert not reach.keys_of(row).exists()


def test_webhooks_are_those_that_are_told(place: dict[str, reach.Place], loopback_allowed: None) -> None:
    mailbox, alias, domain = support(), Alias.objects.get(), Domain.objects.get()
    other = make_mailbox(address="sales@example.com")
    elsewhere = make_domain(name="example.net")
    provision.create_alias(address="x@example.net", mailbox=mailbox)
    of = {
        "alias": make_webhook(alias=alias),
        "mailbox": make_webhook(mailbox=mailbox),
        "domain": make_webhook(domain=domain),
        "elsewhere": make_webhook(domain=elsewhere),
        "other": make_webhook(mailbox=other),
        "gone": make_webhook(alias=alias),
    }
    Webhook.objects.filter(pk=of["gone"].pk).update(deleted_at=timezone.now())

    def told(row: reach.Place) -> set[str]:
        pks = {webhook.pk for webhook in reach.webhooks_of(row)}
        return {name for name, webhook in of.items() if webhook.pk in pks}

    assert told(alias) == {"alias", "mailbox", "domain"}
    assert told(mailbox) == {"alias", "mailbox", "domain", "elsewhere"}
    assert told(domain) == {"alias", "mailbox", "domain", "elsewhere", "other"}


def test_ways_in_and_out_are_told(place: dict[str, reach.Place], administrator: Client) -> None:
    mailbox = support()
    sales = make_mailbox(address="sales@example.com")
    provision.create_alias(address="*@example.com", mailbox=mailbox)
    provision.create_alias(address="both@example.com", mailbox=mailbox, further_mailboxes=[sales])
    text = administrator.get(reach.url_of(mailbox)).content.decode()
    for said in ("*@example.com", "whatever nothing else takes", "both@example.com gives a copy to sales@example.com"):
        assert said in text
    assert "a copy" in administrator.get(reach.url_of(sales)).content.decode()
    assert reach.url_of(mailbox) in administrator.get(f"/admin/mailboxes/mailbox/{mailbox.pk}/change/").content.decode()


def test_auditors_are_told_numbers_of_keys_and_people_and_no_names(
    client_for: Callable[[str], Client], place: dict[str, reach.Place]
) -> None:
    make_key(name="Zapier key")
    client_for("superuser")
    client = client_for("auditor")
    answer = client.get(reach.url_of(support()))
    assert answer.status_code == HTTPStatus.OK
    text = answer.content.decode()
    assert "1 key can reach it." in text
    assert "Zapier key" not in text
    assert "superuser" not in text


def test_what_is_not_there_is_not_found(administrator: Client, place: dict[str, reach.Place]) -> None:
    pk = support().pk
    for kind in ("domain", "email", "webhook"):
        assert administrator.get(f"/admin/reach/{kind}/{pk}/").status_code == HTTPStatus.NOT_FOUND
