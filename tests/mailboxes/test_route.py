from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emailgistics.common.errors import DomainError
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import ADDRESS_RESTS_FOR, Alias, Domain, Mailbox, Recipient
from mailboxes.services import provision
from mailboxes.services.provision import UnknownDomainError
from mailboxes.services.route import AddressDisabledError, DomainForTestsError, UnknownRecipientError, route
from tests.factories import make_alias, make_domain, make_mailbox

pytestmark = pytest.mark.django_db
Kind = Recipient.Kind


def set_active(row: Domain | Mailbox | Alias, *, active: bool) -> None:
    row.is_active = active
    row.save()


@pytest.mark.parametrize(
    "spelling",
    [
        "support@example.com",
        "SUPPORT@Example.COM",
        "support@example.com.",
        '"support"@example.com',
        '"s\\upport"@example.com',
        " support@example.com ",
    ],
)
def test_every_spelling_of_a_mailbox_reaches_it(spelling: str) -> None:
    mailbox = make_mailbox()
    found = route(spelling)
    assert (found.mailbox_id, found.domain_id, found.alias_id) == (mailbox.pk, mailbox.domain_id, None)
    assert (found.address, found.kind, found.tag) == (spelling, Kind.EXACT, "")
    assert found.explanation == ("example.com is hosted", "support@example.com is a mailbox")


@pytest.mark.parametrize("domain", ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"])
def test_an_internationalised_domain_is_found_in_both_its_forms(domain: str) -> None:
    make_domain(name="bücher.example")
    mailbox = provision.create_mailbox(address="jürgen@bücher.example")
    assert route(f"JÜRGEN@{domain}").mailbox_id == mailbox.pk


def test_an_alias_leads_to_its_mailbox() -> None:
    alias = make_alias()
    found = route("help@example.com")
    assert (found.mailbox_id, found.alias_id, found.kind) == (alias.mailbox_id, alias.pk, Kind.EXACT)
    assert found.explanation == ("example.com is hosted", "help@example.com is an alias of support@example.com")


def test_a_tag_is_kept_as_written_when_the_address_without_it_is_found() -> None:
    alias = make_alias()
    found = route("Help+Order-7+x@example.com")
    assert (found.alias_id, found.kind, found.tag) == (alias.pk, Kind.PLUS, "Order-7+x")
    assert found.explanation == (
        "example.com is hosted",
        "Help+Order-7+x@example.com without its tag is help@example.com",
        "help@example.com is an alias of support@example.com",
    )


def test_an_address_with_a_plus_of_its_own_comes_before_the_one_without() -> None:
    make_mailbox()
    own = provision.create_mailbox(address="support+vip@example.com")
    assert (route("support+vip@example.com").mailbox_id, route("support+vip@example.com").tag) == (own.pk, "")


@pytest.mark.parametrize("local_part", ["postmaster", "Abuse", "abuse+report"])
def test_reserved_names_reach_the_default_mailbox_without_an_alias(local_part: str) -> None:
    domain = make_domain()
    found = route(f"{local_part}@example.com")
    assert (found.mailbox_id, found.alias_id, found.kind) == (domain.default_mailbox_id, None, Kind.RESERVED)
    assert found.explanation[-1].endswith("is a reserved name, which the default mailbox inbox@example.com takes")


def test_reserved_names_come_before_the_catch_all_and_after_an_alias() -> None:
    mailbox = make_mailbox()
    make_alias(address="*@example.com", mailbox=mailbox)
    assert route("postmaster@example.com").kind == Kind.RESERVED
    alias = make_alias(address="postmaster@example.com", mailbox=mailbox)
    assert (route("postmaster@example.com").alias_id, route("postmaster@example.com").kind) == (alias.pk, Kind.EXACT)
    provision.delete_alias(alias)
    assert route("postmaster@example.com").kind == Kind.RESERVED


def test_postmaster_without_a_domain_is_the_one_of_the_oldest_domain() -> None:
    with pytest.raises(UnknownRecipientError):
        route("Postmaster")
    disabled, oldest, _ = (make_domain(name=f"{name}.example") for name in ("z", "y", "a"))
    set_active(disabled, active=False)
    found = route("Postmaster")
    assert (found.address, found.mailbox_id, found.kind) == ("Postmaster", oldest.default_mailbox_id, Kind.RESERVED)
    assert found.explanation[0] == "postmaster without a domain is meant for y.example, the oldest one"


def test_a_test_domain_is_marked_and_takes_nothing_from_outside() -> None:
    domain = provision.create_domain(name="trial.example", is_test=True)
    found = route("inbox@trial.example")
    assert (found.mailbox_id, found.explanation[0]) == (domain.default_mailbox_id, "trial.example is hosted, for tests")
    for address in ("inbox@trial.example", "nobody@trial.example", "postmaster@trial.example"):
        with pytest.raises(DomainForTestsError):
            route(address, from_outside=True)
    make_mailbox()
    assert route("support@example.com", from_outside=True).explanation[0] == "example.com is hosted"
    with pytest.raises(InvalidAddressError):
        route("a..b@trial.example", from_outside=True)


def test_the_bare_postmaster_is_not_one_of_a_test_domain_for_clients_outside() -> None:
    trial = provision.create_domain(name="trial.example", is_test=True)
    assert route("postmaster").domain_id == trial.pk
    with pytest.raises(UnknownRecipientError):
        route("postmaster", from_outside=True)
    domain = make_domain()
    assert route("postmaster", from_outside=True).domain_id == domain.pk


def test_the_catch_all_takes_what_nobody_else_takes() -> None:
    alias = make_alias(address="*@example.com")
    found = route("nobody+tag@example.com")
    assert (found.mailbox_id, found.alias_id, found.kind) == (alias.mailbox_id, alias.pk, Kind.CATCH_ALL)
    assert found.tag == "tag"
    assert found.explanation == (
        "example.com is hosted",
        "nobody+tag@example.com is no address of its own",
        "*@example.com is the catch-all of support@example.com",
    )
    assert route("support@example.com").kind == Kind.EXACT
    assert {route(f"{star}@example.com").kind for star in ("*", '"*"', "*+x")} == {Kind.CATCH_ALL}


@pytest.mark.parametrize("address", ["nobody@example.com", "nobody+support@example.com", "*@example.com"])
def test_an_unknown_recipient_is_refused(address: str) -> None:
    make_mailbox()
    with pytest.raises(UnknownRecipientError):
        route(address)


@pytest.mark.parametrize("address", ["support@example.org", "support@sub.example.com", "support@com.example"])
def test_a_domain_that_is_not_hosted_is_refused(address: str) -> None:
    make_mailbox()
    with pytest.raises(UnknownDomainError):
        route(address)


@pytest.mark.parametrize("address", ["", "support", "@example.com", "a b@example.com", "x@[192.0.2.1]", "x@\udcff.com"])
def test_what_is_no_address_is_refused(address: str) -> None:
    make_mailbox()
    with pytest.raises(InvalidAddressError):
        route(address)


@pytest.mark.parametrize("address", ["help@example.com", "help+tag@example.com"])
@pytest.mark.parametrize("which", [lambda alias: alias, lambda alias: alias.mailbox, lambda alias: alias.domain])
def test_a_disabled_match_ends_the_search(address: str, which: Callable[[Alias], Any]) -> None:
    alias = make_alias()
    make_alias(address="*@example.com", mailbox=make_mailbox(address="other@example.com"))
    assert route(address).alias_id == alias.pk
    set_active(which(alias), active=False)
    with pytest.raises(AddressDisabledError):
        route(address)


def test_a_disabled_catch_all_is_none() -> None:
    alias = make_alias(address="*@example.com")
    set_active(alias, active=False)
    with pytest.raises(UnknownRecipientError):
        route("nobody@example.com")


@pytest.mark.parametrize(
    "delete",
    [
        provision.delete_alias,
        lambda alias: provision.delete_mailbox(alias.mailbox),
    ],
)
def test_mail_of_a_deleted_owner_is_refused_until_its_address_has_rested(delete: Callable[[Alias], None]) -> None:
    alias = make_alias()
    catch_all = make_alias(address="*@example.com", mailbox=make_mailbox(address="other@example.com"))
    delete(alias)
    with pytest.raises(UnknownRecipientError):
        route("help@example.com")
    long_ago = timezone.now() - ADDRESS_RESTS_FOR - timedelta(seconds=1)
    Alias.objects.filter(pk=alias.pk).update(deleted_at=long_ago)
    assert route("help@example.com").alias_id == catch_all.pk


def test_an_alias_whose_mailbox_is_gone_is_refused() -> None:
    alias = make_alias()
    Mailbox.objects.filter(pk=alias.mailbox_id).update(deleted_at=timezone.now())
    with pytest.raises(UnknownRecipientError):
        route("help@example.com")


def test_a_deleted_domain_is_not_hosted() -> None:
    provision.delete_domain(make_mailbox().domain)
    with pytest.raises(UnknownDomainError):
        route("support@example.com")


@pytest.mark.parametrize(
    "address, queries",
    [
        ("help@example.com", 2),
        ("help+tag@example.com", 2),
        ("abuse@example.com", 2),
        ("nobody@example.com", 2),
        ("postmaster", 2),
        ("x@example.org", 1),
        ("support@disabled.example", 1),
    ],
)
def test_routing_asks_the_database_at_most_twice(
    address: str, queries: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    make_alias()
    set_active(make_domain(name="disabled.example"), active=False)
    with django_assert_num_queries(queries):
        try:
            route(address)
        except DomainError:
            assert address in ("nobody@example.com", "x@example.org", "support@disabled.example")
