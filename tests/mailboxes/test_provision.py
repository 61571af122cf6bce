from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from emailgistics.common.access import AllowlistRestrictedError
from emailgistics.common.errors import ConflictError, DomainError, NotFoundError, RefusedError
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import ADDRESS_RESTS_FOR, Address, Alias, AliasCopy, Domain, Email, Mailbox
from mailboxes.patterns import InvalidPatternError
from mailboxes.services import provision
from mailboxes.services.provision import (
    AddressUnavailableError,
    NotEmptyError,
    Retention,
    TooManyPatternsError,
    UnknownDomainError,
)
from tests.factories import make_alias, make_domain, make_mailbox, make_message

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


# --- changing


def test_a_change_leaves_alone_what_is_not_named() -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    mailbox, domain = alias.mailbox, alias.domain
    assert provision.update_mailbox(mailbox, name="Support", time_zone="Europe/Berlin") is mailbox
    provision.update_mailbox(mailbox, is_active=False)
    provision.update_alias(alias, description="Tickets")
    provision.update_alias(alias, mailbox=other, is_active=False)
    provision.update_domain(domain, is_test=True)
    provision.update_domain(domain, default_mailbox=other)
    for row in (mailbox, alias, domain):
        kept = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
        row.refresh_from_db()
        assert kept == {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    assert (mailbox.name, mailbox.time_zone, mailbox.is_active) == ("Support", "Europe/Berlin", False)
    assert (alias.mailbox, alias.description, alias.is_active) == (other, "Tickets", False)
    assert (domain.is_test, domain.is_active, domain.default_mailbox) == (True, True, other)


def test_a_change_of_nothing_writes_nothing(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    mailbox = make_mailbox()
    with django_assert_num_queries(0):
        provision.update_mailbox(mailbox)


def test_retention_is_kept_where_it_is_not_named_and_none_keeps_things() -> None:
    make_domain()
    mailbox = provision.create_mailbox(address="a@example.com", retention=Retention(raw_days=1, log_days=36_500))
    provision.update_mailbox(mailbox, retention=Retention(content_days=7, log_days=None))
    mailbox.refresh_from_db()
    assert (mailbox.raw_days, mailbox.content_days, mailbox.log_days) == (1, 7, None)


@pytest.mark.parametrize(("change", "field"), [
    ({"time_zone": "Mars/Olympus"}, "time_zone"), ({"time_zone": "Europe"}, "time_zone"),
    ({"time_zone": "../UTC"}, "time_zone"), ({"name": "x" * 201}, "name"), ({"name": "a\0b"}, "name"),
    ({"name": "\ud800"}, "name"), ({"retention": {"raw_days": 0}}, "retention"),
    ({"retention": {"log_days": 36_501}}, "retention"), ({"retention": {"log_days": 2.5}}, "retention"),
])  # fmt: skip
def test_what_a_mailbox_cannot_have_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    mailbox = make_mailbox()
    for act in (
        lambda: provision.update_mailbox(mailbox, is_active=False, **change),
        lambda: provision.create_mailbox(address="new@example.com", **change),
    ):
        with pytest.raises(RefusedError) as refusal:
            act()
        assert refusal.value.field == field
    mailbox.refresh_from_db()
    assert (mailbox.is_active, mailbox.name, mailbox.time_zone, mailbox.raw_days) == (True, "", "", None)
    assert Mailbox.objects.count() == 2


@pytest.mark.parametrize("description", ["x" * 501, "\0"])
def test_a_description_that_does_not_fit_is_refused(description: str) -> None:
    alias = make_alias()
    for act in (
        lambda: provision.update_alias(alias, description=description),
        lambda: provision.create_alias(address="n@example.com", mailbox=alias.mailbox, description=description),
    ):
        with pytest.raises(RefusedError) as refusal:
            act()
        assert refusal.value.field == "description"
    assert Alias.objects.get().description == ""


def test_the_default_mailbox_is_a_live_one_of_the_domain() -> None:
    domain, deleted = make_domain(), make_mailbox()
    provision.delete_mailbox(deleted)
    for mailbox in (make_mailbox(address="a@example.net"), deleted):
        with pytest.raises(RefusedError) as refusal:
            provision.update_domain(domain, default_mailbox=mailbox)
        assert refusal.value.field == "default_mailbox_id"


def test_an_alias_moves_only_to_a_live_mailbox() -> None:
    alias, deleted = make_alias(), make_mailbox(address="gone@example.com")
    provision.delete_mailbox(deleted)
    with pytest.raises(RefusedError) as refusal:
        provision.update_alias(alias, mailbox=deleted)
    assert refusal.value.field == "mailbox_id"


# --- names of aliases


@pytest.mark.parametrize("address, name, shown", [
    ("sup*@Example.COM.", "sup*", "sup*@example.com"),
    ('"*x"@example.com', "*x", "*x@example.com"),
    (" a?@example.com ", "a?", "a?@example.com"),
    ("/order-([0-9]+)@?x/@example.com", "/order-([0-9]+)@?x/", "/order-([0-9]+)@?x/@example.com"),
    ("/E\u0301/@example.com", "/É/", "/É/@example.com"),
])  # fmt: skip
def test_a_name_with_wildcards_or_between_slashes_is_a_pattern(address: str, name: str, shown: str) -> None:
    mailbox = make_mailbox()
    alias = provision.create_alias(address=address, mailbox=mailbox, priority=3)
    assert (alias.kind, alias.name, alias.address, alias.priority) == (Alias.Kind.PATTERN, name, shown, 3)
    assert not Address.objects.filter(alias=alias).exists()  # it is nobody's address


def test_a_pattern_that_re2_cannot_read_is_refused_at_its_field() -> None:
    mailbox = make_mailbox()
    with pytest.raises(InvalidPatternError, match=r"is not a pattern: missing \)") as refusal:
        provision.create_alias(address="/(/@example.com", mailbox=mailbox)
    assert refusal.value.field == "name"
    assert Alias.objects.count() == 0


def test_a_domain_has_each_pattern_once() -> None:
    mailbox = make_mailbox()
    make_domain(name="example.org")
    first = provision.create_alias(address="sup*@example.com", mailbox=mailbox)
    with pytest.raises(AddressUnavailableError, match=r"There is a pattern sup\*@example\.com already"):
        provision.create_alias(address="sup*@example.com", mailbox=mailbox)
    provision.create_alias(address="sup*@example.org", mailbox=mailbox)
    provision.delete_alias(first)
    provision.create_alias(address="sup*@example.com", mailbox=mailbox)


def test_a_domain_has_a_thousand_patterns_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provision.MAX_PATTERNS == 1000
    monkeypatch.setattr("mailboxes.services.provision.aliases.MAX_PATTERNS", 2)
    mailbox = make_mailbox()
    first = provision.create_alias(address="a*@example.com", mailbox=mailbox)
    provision.create_alias(address="b*@example.com", mailbox=mailbox)
    with pytest.raises(TooManyPatternsError):
        provision.create_alias(address="c*@example.com", mailbox=mailbox)
    provision.create_alias(address="*@example.com", mailbox=mailbox)
    provision.delete_alias(first)
    provision.create_alias(address="c*@example.com", mailbox=mailbox)


@pytest.mark.parametrize("priority", [-1, 32_768])
def test_a_priority_is_a_small_number(priority: int) -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    for act in (
        lambda: provision.create_alias(address="a*@example.com", mailbox=mailbox, priority=priority),
        lambda: provision.update_alias(alias, priority=priority),
    ):
        with pytest.raises(RefusedError) as refusal:
            act()
        assert refusal.value.field == "priority"


# --- several mailboxes


def further(alias: Alias) -> list[str]:
    return [copy.mailbox.address for copy in alias.copies.select_related("mailbox__domain")]


def test_an_alias_leads_to_further_mailboxes_each_once_and_never_twice_to_its_own() -> None:
    own, a, b = (make_mailbox(address=f"{name}@example.com") for name in ("own", "a", "b"))
    alias = provision.create_alias(address="help@example.com", mailbox=own, further_mailboxes=[b, own, a, b])
    assert further(alias) == ["b@example.com", "a@example.com"]
    provision.update_alias(alias, description="x")
    assert further(alias) == ["b@example.com", "a@example.com"]
    provision.update_alias(alias, mailbox=a)
    assert (alias.mailbox, further(alias)) == (a, ["b@example.com"])
    provision.update_alias(alias, further_mailboxes=[own, b])
    assert further(alias) == ["b@example.com", "own@example.com"]
    provision.update_alias(alias, mailbox=own, further_mailboxes=[own, a])
    assert (alias.mailbox, further(alias)) == (own, ["a@example.com"])
    provision.update_alias(alias, further_mailboxes=[])
    assert further(alias) == []


def test_who_knows_some_mailboxes_replaces_only_those() -> None:
    own, a, b, c = (make_mailbox(address=f"{name}@example.com") for name in ("own", "a", "b", "c"))
    alias = provision.create_alias(address="help@example.com", mailbox=own, further_mailboxes=[a, b])
    provision.update_alias(alias, further_mailboxes=[c], among=Mailbox.objects.filter(pk__in=[a.pk, c.pk]))
    assert further(alias) == ["b@example.com", "c@example.com"]


def test_a_further_mailbox_is_a_live_one_and_they_are_not_many() -> None:
    alias = make_alias()
    deleted = make_mailbox(address="gone@example.com")
    provision.delete_mailbox(deleted)
    too_many = [make_mailbox(address=f"m{n}@example.com") for n in range(provision.MAX_FURTHER_MAILBOXES + 1)]
    for mailboxes in ([deleted], too_many):
        for act in (
            lambda: provision.update_alias(alias, further_mailboxes=mailboxes),  # noqa: B023
            lambda: provision.create_alias(
                address="x@example.com",
                mailbox=alias.mailbox,
                further_mailboxes=mailboxes,  # noqa: B023
            ),
        ):
            with pytest.raises(RefusedError) as refusal:
                act()
            assert refusal.value.field == "further_mailbox_ids"
    assert AliasCopy.objects.count() == 0
    assert Alias.objects.count() == 1


@pytest.mark.parametrize("local_part", ["postmaster", "Abuse"])
def test_a_reserved_name_is_for_those_who_speak_for_the_domain(local_part: str) -> None:
    mailbox = make_mailbox()
    address = f"{local_part}@example.com"
    with pytest.raises(AddressUnavailableError, match=f"The address {address} is not available"):
        provision.create_alias(address=address, mailbox=mailbox, may_take_reserved=False)
    assert Alias.objects.count() == 0
    assert provision.create_alias(address=address, mailbox=mailbox).address == address


@pytest.mark.parametrize(("name", "expected"), [
    ("*", True), ("a+b", True), ("a*", True), ("a?", True), ("/a/", True), (" /a/\n", True), ('"/a/"', True),
    ('"\\/a\\/"', True), ("help", False), ("front desk", False), ("a/b", False), ("/a", False),
])  # fmt: skip
def test_which_names_take_what_others_would_get(name: str, expected: bool) -> None:
    assert provision.acts_on_whole_domain(name) is expected


@pytest.mark.parametrize("name", [" /a/", '"/a/"', '"\\/a/"', "a?", "*", "a+b"])
def test_who_does_not_speak_for_the_domain_takes_nobodys_mail_however_it_is_written(name: str) -> None:
    mailbox = make_mailbox()
    with pytest.raises(AllowlistRestrictedError):
        provision.create_alias(address=f"{name}@example.com", mailbox=mailbox, may_take_reserved=False)
    assert Alias.objects.count() == 0


# --- deleting what has mail


def test_what_has_mail_is_deleted_only_on_purpose_and_the_mail_stays() -> None:
    mailbox = make_mailbox()
    other = make_mailbox(address="empty@example.com")
    make_message()
    with pytest.raises(NotEmptyError, match=r"support@example\.com still has mail"):
        provision.delete_mailbox(mailbox)
    with pytest.raises(NotEmptyError, match=r"^example\.com still has mail"):
        provision.delete_domain(mailbox.domain)
    assert Mailbox.objects.live().count() == 3
    provision.delete_mailbox(other)
    provision.delete_mailbox(mailbox, with_mail=True)
    assert Email.objects.count() == 1
    provision.delete_domain(mailbox.domain)  # mail of deleted mailboxes is nobody's
    assert Domain.objects.live().count() == 0


def test_what_is_gone_is_not_deleted_again() -> None:
    alias = make_alias()
    for delete, row in (
        (provision.delete_alias, alias), (provision.delete_mailbox, alias.mailbox),
        (provision.delete_domain, alias.domain),
    ):  # fmt: skip
        delete(row)
        row.refresh_from_db()
        ended_at = row.deleted_at
        with pytest.raises(NotFoundError):
            delete(row)
        row.refresh_from_db()
        assert row.deleted_at == ended_at
