from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from emailgistics.common.errors import ConflictError, DomainError, RefusedError
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, Domain, Mailbox
from mailboxes.services import provision
from mailboxes.services.provision import AddressUnavailableError, UnknownDomainError
from tests.factories import make_alias, make_domain, make_mailbox

pytestmark = pytest.mark.django_db


def test_a_domain_is_born_with_its_default_mailbox() -> None:
    domain = provision.create_domain(name="Bücher.example.")
    assert domain.name == "xn--bcher-kva.example"
    assert domain.default_mailbox is not None
    assert domain.default_mailbox.address == "inbox@xn--bcher-kva.example"
    assert Address.objects.get().owner == domain.default_mailbox


@pytest.mark.parametrize("name", ["example.com", "EXAMPLE.COM."])
def test_a_domain_is_hosted_once(name: str) -> None:
    make_domain()
    with pytest.raises(ConflictError):
        provision.create_domain(name=name)
    assert Domain.objects.count() == 1


def test_a_deleted_domain_rests_and_can_then_be_hosted_again() -> None:
    domain = make_domain()
    provision.delete_domain(domain)
    with pytest.raises(ConflictError):
        provision.create_domain(name="example.com")
    Domain.objects.update(deleted_at=timezone.now() - ADDRESS_RESTS_FOR - timedelta(seconds=1))
    assert provision.create_domain(name="example.com") != domain


@pytest.mark.parametrize(
    "address", ["support@example.com", "Support@EXAMPLE.com", "help@example.com", '"help"@example.com']
)
@pytest.mark.parametrize(
    "create",
    [
        lambda address: provision.create_mailbox(address=address),
        lambda address: provision.create_alias(address=address, mailbox=Mailbox.objects.earliest("id")),
    ],
)
def test_an_address_has_one_owner(address: str, create: Callable[[str], object]) -> None:
    make_alias()
    before = (Mailbox.objects.count(), Alias.objects.count())
    with pytest.raises(AddressUnavailableError):
        create(address)
    assert (Mailbox.objects.count(), Alias.objects.count()) == before


def test_a_deleted_address_rests_before_somebody_else_has_it() -> None:
    alias = make_alias()
    provision.delete_alias(alias)
    with pytest.raises(AddressUnavailableError):
        make_alias(mailbox=alias.mailbox)
    Alias.objects.update(deleted_at=timezone.now() - ADDRESS_RESTS_FOR - timedelta(seconds=1))
    assert make_alias(mailbox=alias.mailbox).address == "help@example.com"


def test_a_catch_all_can_be_replaced_at_once() -> None:
    first = make_alias(address="*@example.com")
    with pytest.raises(AddressUnavailableError):
        make_alias(address="*@example.com", mailbox=first.mailbox)
    provision.delete_alias(first)
    second = make_alias(address="*@example.com", mailbox=first.mailbox)
    assert (second.kind, Address.objects.get(local_key="*").owner) == (Alias.Kind.CATCH_ALL, second)


@pytest.mark.parametrize(
    "address, error",
    [
        ("support@example.org", UnknownDomainError),
        ("support", InvalidAddressError),
        ("*@example.com", RefusedError),
    ],
)
def test_a_mailbox_needs_an_address_of_a_hosted_domain(address: str, error: type[DomainError]) -> None:
    make_domain()
    with pytest.raises(error):
        provision.create_mailbox(address=address)
    assert Mailbox.objects.count() == 1


def test_a_mailbox_may_have_a_name_that_needs_quotes() -> None:
    make_domain()
    mailbox = provision.create_mailbox(address='"front desk"@example.com')
    assert (mailbox.local_part, mailbox.address) == ("front desk", '"front desk"@example.com')


def test_an_alias_leads_to_a_mailbox_that_is_there() -> None:
    mailbox = make_mailbox()
    provision.delete_mailbox(mailbox)
    mailbox.refresh_from_db()
    with pytest.raises(RefusedError):
        provision.create_alias(address="help@example.com", mailbox=mailbox)
    assert Alias.objects.count() == 0


def test_deleting_a_mailbox_deletes_the_aliases_to_it() -> None:
    alias = make_alias()
    other = make_alias(address="sales@example.com", mailbox=make_mailbox(address="other@example.com"))
    provision.delete_mailbox(alias.mailbox)
    assert list(Alias.objects.live()) == [other]
    assert not Mailbox.objects.live().filter(pk=alias.mailbox_id).exists()


def test_a_default_mailbox_cannot_be_deleted() -> None:
    mailbox = make_domain().default_mailbox
    assert mailbox is not None
    with pytest.raises(ConflictError):
        provision.delete_mailbox(mailbox)


def test_deleting_a_domain_deletes_what_is_in_it_and_the_aliases_to_it() -> None:
    here = make_mailbox()
    make_alias(mailbox=here)
    make_alias(address="help@example.org", mailbox=here)
    kept = make_alias(address="help@example.net", mailbox=make_mailbox(address="support@example.net"))
    provision.delete_domain(here.domain)
    assert list(Alias.objects.live()) == [kept]
    assert {mailbox.domain.name for mailbox in Mailbox.objects.live()} == {"example.org", "example.net"}
    assert not Domain.objects.live().filter(name="example.com").exists()
