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
from mailboxes.services.route import (
    AT_ONCE,
    AddressDisabledError,
    DomainForTestsError,
    DomainNotVerifiedError,
    Question,
    Route,
    UnknownRecipientError,
    find_routes,
    route,
)
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


# --- the domain


@pytest.mark.parametrize("address", ["straße.example", "STRAẞE.example."])
def test_sharp_s_is_a_letter_of_its_own_in_a_domain(address: str) -> None:
    own, other = make_domain(name="straße.example"), make_domain(name="strasse.example")
    assert own.name == "xn--strae-oqa.example"
    assert route(f"postmaster@{own.name}").domain_id == own.pk
    assert route("postmaster@straße.example").domain_id == own.pk
    assert route("postmaster@STRASSE.example").domain_id == other.pk


@pytest.mark.parametrize("local_part, is_taken", [("x" * 64, True), ("x" * 65, False)])
def test_a_local_part_has_at_most_64_octets(local_part: str, is_taken: bool) -> None:
    make_alias(address="*@example.com")
    if is_taken:
        assert route(f"{local_part}@example.com").kind == Kind.CATCH_ALL
    else:
        with pytest.raises(InvalidAddressError):
            route(f"{local_part}@example.com")


def with_subdomains(name: str) -> Domain:
    return provision.create_domain(name=name, includes_subdomains=True)


def test_mail_to_a_subdomain_is_mail_to_the_domain_that_includes_it() -> None:
    with_subdomains("example.com")
    mailbox = make_mailbox()
    found = route("Support+x@Any.Deep.example.com.")
    assert (found.mailbox_id, found.kind, found.tag) == (mailbox.pk, Kind.PLUS, "x")
    assert found.captures == {"subdomain": "any.deep"}
    assert found.explanation == (
        "any.deep.example.com is a sub-domain of example.com, which takes the mail of its sub-domains",
        "example.com is hosted",
        "Support+x@example.com without its tag is support@example.com",
        "support@example.com is a mailbox",
    )
    assert route("support@example.com").captures == {}
    assert route("postmaster@any.example.com").kind == Kind.RESERVED
    for address in ("support@notexample.com", "support@com"):
        with pytest.raises((UnknownDomainError, InvalidAddressError)):
            route(address)


def test_a_domain_that_does_not_include_its_subdomains_takes_none_of_their_mail() -> None:
    make_mailbox()
    with pytest.raises(UnknownDomainError) as caught:
        route("support@any.example.com")
    assert caught.value.explanation == ("any.example.com is not hosted here.",)


def test_a_subdomain_that_is_hosted_itself_keeps_its_mail_whatever_state_it_is_in() -> None:
    with_subdomains("example.com")
    make_mailbox()
    own = make_domain(name="own.example.com")
    with pytest.raises(UnknownRecipientError):
        route("support@own.example.com")
    set_active(own, active=False)
    with pytest.raises(AddressDisabledError):
        route("support@own.example.com")
    provision.delete_domain(own)
    with pytest.raises(UnknownDomainError):  # it rests: what was meant for its owner is not for this one
        route("support@own.example.com")
    Domain.objects.filter(pk=own.pk).update(deleted_at=timezone.now() - ADDRESS_RESTS_FOR - timedelta(seconds=1))
    assert route("support@own.example.com").captures == {"subdomain": "own"}


def test_of_domains_that_include_it_the_nearest_takes_the_mail_of_a_subdomain() -> None:
    with_subdomains("example.com")
    near = with_subdomains("b.example.com")
    make_domain(name="c.b.example.com")  # nearer, and without its sub-domains
    found = route("postmaster@x.c.b.example.com")
    assert (found.domain_id, found.captures) == (near.pk, {"subdomain": "x.c"})
    set_active(near, active=False)
    with pytest.raises(AddressDisabledError):
        route("postmaster@x.b.example.com")


# --- verification


def test_a_domain_that_is_not_verified_has_to_wait_where_that_is_required(settings: Any) -> None:
    make_mailbox()
    trial = provision.create_domain(name="trial.example", is_test=True)
    settings.REQUIRE_DOMAIN_VERIFICATION = True
    for address in ("support@example.com", "nobody@example.com", "postmaster@example.com"):
        with pytest.raises(DomainNotVerifiedError) as caught:
            route(address)
        assert caught.value.explanation == ("example.com is hosted", "example.com is not verified yet.")
    assert route("postmaster@trial.example").domain_id == trial.pk
    assert route("postmaster").domain_id == trial.pk
    with pytest.raises(UnknownRecipientError):
        route("postmaster", from_outside=True)
    Domain.objects.filter(name="example.com").update(verified_at=timezone.now())
    assert route("support@example.com").kind == Kind.EXACT
    assert route("postmaster", from_outside=True).kind == Kind.RESERVED
    set_active(Domain.objects.get(name="example.com"), active=False)
    with pytest.raises(AddressDisabledError):
        route("support@example.com")


# --- patterns


def pattern(name: str, *, to: str = "", **values: Any) -> Alias:
    mailbox = make_mailbox(address=to) if to else Mailbox.objects.get(local_part="support")
    return provision.create_alias(address=f"{name}@example.com", mailbox=mailbox, **values)


def test_a_pattern_takes_what_fits_and_says_so() -> None:
    make_mailbox()
    made = pattern("sales-*", priority=7)
    found = route("Sales-EU@example.com")
    assert (found.mailbox_ids, found.alias_id, found.kind) == ((made.mailbox_id,), made.pk, Kind.PATTERN)
    assert (found.tag, found.captures) == ("", {"1": "EU"})
    assert found.explanation == (
        "example.com is hosted",
        "Sales-EU@example.com is no address of its own",
        "sales-*@example.com fits, with priority 7",
        "sales-*@example.com is a pattern of support@example.com",
    )
    with pytest.raises(UnknownRecipientError) as caught:
        route("nobody@example.com")
    assert caught.value.explanation == (
        "example.com is hosted",
        "no pattern of example.com that is active fits, of 1",
        "There is no nobody@example.com here.",
    )


def test_a_tag_is_none_of_a_patterns_business_unless_it_asks_for_it() -> None:
    make_mailbox()
    pattern("sales-*")
    found = route("sales-eu+Order-7@example.com")
    assert (found.captures, found.tag) == ({"1": "eu"}, "Order-7")
    pattern(r"/(?P<user>[a-z]+)\+(?P<token>[0-9]+)/")
    found = route("ada+77@example.com")
    assert (found.captures, found.tag) == ({"user": "ada", "token": "77"}, "77")
    pattern(r"/plus\+/")
    assert route("plus+@example.com").tag == ""


def test_patterns_come_after_addresses_and_reserved_names_and_before_the_catch_all() -> None:
    support = make_mailbox()
    everything = pattern("/.*/", to="all@example.com")
    catch_all = make_alias(address="*@example.com", mailbox=support)
    assert route("support@example.com").kind == Kind.EXACT
    assert route("support+x@example.com").kind == Kind.PLUS
    assert {route(f"{name}@example.com").kind for name in ("postmaster", "abuse+x")} == {Kind.RESERVED}
    assert route("nobody@example.com").alias_id == everything.pk
    set_active(everything, active=False)
    found = route("nobody@example.com")
    assert found.alias_id == catch_all.pk
    assert "/.*/@example.com fits, but it is disabled and passed over" in found.explanation
    set_active(support, active=False)
    with pytest.raises(AddressDisabledError):
        route("support@example.com")  # ends the search, as ever


def test_patterns_are_tried_by_priority_then_wildcards_then_by_age() -> None:
    make_mailbox()
    in_order = [
        pattern("*-a", priority=1),
        pattern("b-*"),
        pattern("b-?"),
        pattern("/b-./"),
        pattern("c-*", priority=200),
        pattern("/./", priority=300),
    ]
    made = [pattern("/b.*/", priority=0), *in_order]
    tried = {route(f"{name}@example.com").alias_id for name in ("b-a", "b-x", "bx")}
    assert tried == {made[0].pk}
    provision.update_alias(made[0], priority=250)
    expected = [("b-a", 0), ("b-x", 1), ("c-a", 0), ("c-x", 4), ("x", 5)]
    assert [
        (name, in_order.index(Alias.objects.get(pk=route(f"{name}@example.com").alias_id))) for name, _ in expected
    ] == expected
    set_active(in_order[1], active=False)
    assert route("b-x@example.com").alias_id == in_order[2].pk
    set_active(in_order[2], active=False)
    assert route("b-x@example.com").alias_id == in_order[3].pk
    provision.delete_alias(in_order[3])
    assert route("b-x@example.com").alias_id == made[0].pk


def test_a_change_of_patterns_counts_for_the_next_mail() -> None:
    make_mailbox()
    first = pattern("sales-*")
    assert route("sales-x@example.com").alias_id == first.pk
    provision.delete_alias(first)
    with pytest.raises(UnknownRecipientError):
        route("sales-x@example.com")
    again = pattern("sales-*")  # it need not rest: it was nobody's address
    assert route("sales-x@example.com").alias_id == again.pk


def test_of_many_disabled_patterns_that_fit_a_few_are_named() -> None:
    make_mailbox()
    for number in range(9):
        set_active(pattern(f"a{'*' * (number + 1)}"), active=False)
    made = pattern("*x")
    found = route("abx@example.com")
    assert found.alias_id == made.pk
    assert sum("passed over" in step for step in found.explanation) == 5


def test_a_patterns_own_name_is_not_an_address() -> None:
    make_mailbox()
    pattern("ab?")
    found = route("ab?@example.com")
    assert (found.kind, found.captures) == (Kind.PATTERN, {})
    with pytest.raises(UnknownRecipientError):
        route("ab@example.com")


def test_a_pattern_to_a_mailbox_that_is_disabled_or_gone() -> None:
    make_mailbox()
    made = pattern("sales-*", to="sales@example.com")
    rest = make_alias(address="*@example.com", mailbox=Mailbox.objects.get(local_part="support"))
    set_active(made.mailbox, active=False)
    with pytest.raises(AddressDisabledError):
        route("sales-x@example.com")
    provision.delete_mailbox(made.mailbox)
    assert route("sales-x@example.com").alias_id == rest.pk
    Alias.objects.filter(pk=made.pk).update(deleted_at=None)  # as in the moment between
    assert route("sales-x@example.com").alias_id == rest.pk


# --- several mailboxes


def shared_alias(*further: str, address: str = "help@example.com") -> Alias:
    make_domain()
    own = make_mailbox()
    mailboxes = [make_mailbox(address=one) for one in further]
    return provision.create_alias(address=address, mailbox=own, further_mailboxes=mailboxes)


@pytest.mark.parametrize("address", ["help@example.com", "*@example.com", "h*@example.com"])
def test_an_alias_leads_to_all_of_its_mailboxes_its_own_first(address: str) -> None:
    alias = shared_alias("a@example.com", "b@example.org", address=address)
    further = [copy.mailbox_id for copy in alias.copies.all()]
    found = route("help@example.com")
    assert found.mailbox_ids == (alias.mailbox_id, *further)
    assert (found.own_mailbox_id, [found.is_copy(pk) for pk in found.mailbox_ids]) == (
        alias.mailbox_id,
        [False, True, True],
    )
    assert found.explanation[-2:] == ("it leads to a@example.com as well", "it leads to b@example.org as well")


def test_a_further_mailbox_that_is_disabled_or_deleted_is_left_out() -> None:
    alias = shared_alias("a@example.com", "b@example.com", "c@example.com")
    a, b, c = (copy.mailbox for copy in alias.copies.all())
    set_active(a, active=False)
    provision.delete_mailbox(b)
    found = route("help@example.com")
    assert found.mailbox_ids == (alias.mailbox_id, c.pk)
    assert found.explanation[-3:] == (
        "its further mailbox a@example.com is disabled and gets nothing",
        "its further mailbox b@example.com was deleted and gets nothing",
        "it leads to c@example.com as well",
    )


def test_a_mail_is_taken_for_further_mailboxes_though_the_first_is_disabled() -> None:
    alias = shared_alias("a@example.com")
    a = alias.copies.get().mailbox
    set_active(alias.mailbox, active=False)
    found = route("help@example.com")
    assert (found.mailbox_ids, found.own_mailbox_id, found.is_copy(a.pk)) == ((a.pk,), alias.mailbox_id, True)
    assert found.explanation[-2:] == (
        "help@example.com is an alias of support@example.com, which is disabled and gets nothing",
        "it leads to a@example.com as well",
    )
    set_active(a, active=False)
    with pytest.raises(AddressDisabledError):
        route("help@example.com")
    set_active(a, active=True)
    set_active(alias, active=False)
    with pytest.raises(AddressDisabledError):
        route("help@example.com")


def test_an_alias_whose_own_mailbox_was_deleted_is_gone_whatever_it_leads_to() -> None:
    alias = shared_alias("a@example.com")
    provision.delete_mailbox(alias.mailbox)
    with pytest.raises(UnknownRecipientError):
        route("help@example.com")


# --- why not


@pytest.mark.parametrize(
    "address, steps",
    [
        ("x", ("“x” is not an address; write it like support@example.com.",)),
        ("x@example.org", ("example.org is not hosted here.",)),
        ("x@off.example", ("off.example is hosted", "off.example is disabled.")),
        ("x@example.com", ("example.com is hosted", "There is no x@example.com here.")),
        (
            "help+x@example.com",
            (
                "example.com is hosted",
                "help+x@example.com without its tag is help@example.com",
                "The alias help@example.com is disabled.",
            ),
        ),
        (
            "support@example.com",
            (
                "example.com is hosted",
                "support@example.com is a mailbox",
                "The mailbox support@example.com is disabled.",
            ),
        ),
    ],
)  # fmt: skip
def test_a_refusal_says_which_decision_ended_the_search(address: str, steps: tuple[str, ...]) -> None:
    alias = make_alias()
    set_active(alias, active=False)
    set_active(alias.mailbox, active=False)
    set_active(make_domain(name="off.example"), active=False)
    with pytest.raises(DomainError) as caught:
        route(address)
    assert caught.value.explanation == steps


# --- many at once, and what they cost


def many(count: int = 1) -> list[Question]:
    """Each kind that there is so many times, without patterns and copies."""
    return [
        Question(address.format(number), from_outside=from_outside)
        for number in range(count)
        for from_outside in (False, True)
        for address in (
            "help@example.com",
            "support+{}@example.com",
            "abuse@example.com",
            "nobody-{}@example.com",
            "help@sub{}.example.net",
            "x@unknown{}.example",
            "x@trial.example",
            "x@disabled.example",
            "no address {}",
            "postmaster",
        )
    ]


def make_many() -> None:
    make_alias()
    set_active(make_domain(name="disabled.example"), active=False)
    provision.create_domain(name="trial.example", is_test=True)
    with_subdomains("example.net")
    make_alias(address="*@example.net", mailbox=Mailbox.objects.get(local_part="support"))


def summary(answer: Any) -> tuple[Any, ...]:
    if isinstance(answer, DomainError):
        return type(answer), answer.message, answer.explanation
    return (answer,)


def test_many_are_answered_as_one_by_one_each_error_apart() -> None:
    make_many()
    questions = many(2)
    one_by_one = [summary(answer) for question in questions for answer in find_routes([question])]
    assert [summary(answer) for answer in find_routes(questions)] == one_by_one
    kinds = {type(answer).__name__ for answer in find_routes(questions)}
    assert kinds == {
        "Route",
        "UnknownRecipientError",
        "UnknownDomainError",
        "DomainForTestsError",
        "AddressDisabledError",
        "InvalidAddressError",
    }
    assert find_routes([]) == []


@pytest.mark.parametrize("count", [1, 9])
def test_many_cost_two_queries(count: int, django_assert_num_queries: Callable[[int], Any]) -> None:
    make_many()
    with django_assert_num_queries(2):
        find_routes(many(count))


def test_more_than_are_asked_at_once_are_asked_in_rounds(django_assert_num_queries: Callable[[int], Any]) -> None:
    make_alias()
    questions = [Question(f"help+{number}@example.com") for number in range(2 * AT_ONCE + 1)]
    with django_assert_num_queries(6):
        answers = find_routes(questions)
    assert [answer.tag for answer in answers if isinstance(answer, Route)] == [str(n) for n in range(2 * AT_ONCE + 1)]


def test_patterns_are_asked_for_once_and_only_where_there_are_some_and_nobody_else_takes_the_mail(
    django_assert_num_queries: Callable[[int], Any],
) -> None:
    make_many()
    pattern("sales-*", further_mailboxes=[make_mailbox(address="a@example.org")])
    pattern("x-*")
    with django_assert_num_queries(2):
        find_routes([Question("help@example.com"), Question("support+x@example.com"), Question("abuse@example.com")])
    with django_assert_num_queries(2):
        find_routes([Question("nobody@example.net")])
    with django_assert_num_queries(3):
        find_routes([Question(f"x-{number}@example.com") for number in range(20)])
    with django_assert_num_queries(4):
        answers = find_routes([*many(9), *(Question(f"sales-{number}@example.com") for number in range(20))])
    assert sum(isinstance(answer, Route) and len(answer.mailbox_ids) == 2 for answer in answers) == 20


def test_addresses_of_one_domain_are_not_those_of_another_that_is_asked_for_at_once() -> None:
    make_alias(address="a@example.com")
    make_alias(address="b@example.org", mailbox=Mailbox.objects.get(local_part="support"))
    names = [f"{local_part}@{domain}" for local_part in "ab" for domain in ("example.com", "example.org")]
    found = [isinstance(answer, Route) for answer in find_routes([Question(name) for name in names])]
    assert found == [True, False, False, True]


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
