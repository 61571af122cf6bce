"""Two who change the same thing at once: the later one waits for the earlier one, and then sees what it did."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection, transaction

from emailgistics.common.errors import ConflictError, DomainError, NotFoundError, RefusedError
from mailboxes.models import Alias, AliasCopy, Domain, Email, Mailbox
from mailboxes.services import provision
from mailboxes.services.provision import AddressUnavailableError, TooManyPatternsError, UnknownDomainError
from mailboxes.services.route import route
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import send

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], object]


def closing(act: Act) -> DomainError | None:
    """Does it on this thread's own connection; what it was refused with."""
    try:
        act()
    except DomainError as error:
        return error
    else:
        return None
    finally:
        connection.close()


def second_after(first: Act, second: Act) -> DomainError | None:
    """Starts the second while the first is not committed yet; what the second was refused with."""
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            waiting = pool.submit(closing, second)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.4)  # it waits
        return waiting.result(timeout=60)


def fresh(mailbox: Mailbox) -> Mailbox:
    return Mailbox.objects.get(pk=mailbox.pk)


def test_a_mailbox_that_becomes_the_default_is_not_deleted() -> None:
    mailbox = make_mailbox()
    error = second_after(
        lambda: provision.update_domain(mailbox.domain, default_mailbox=mailbox),
        lambda: provision.delete_mailbox(fresh(mailbox)),
    )
    assert isinstance(error, ConflictError)
    assert Mailbox.objects.live().filter(pk=mailbox.pk).exists()


def test_a_mailbox_that_is_deleted_does_not_become_the_default() -> None:
    mailbox = make_mailbox()
    before = Domain.objects.get().default_mailbox
    error = second_after(
        lambda: provision.delete_mailbox(mailbox),
        lambda: provision.update_domain(Domain.objects.get(), default_mailbox=fresh(mailbox)),
    )
    assert isinstance(error, RefusedError)
    assert error.field == "default_mailbox_id"
    assert Domain.objects.get().default_mailbox == before


def test_an_alias_made_to_a_mailbox_that_is_deleted_goes_with_it() -> None:
    mailbox = make_mailbox()
    assert second_after(lambda: make_alias(mailbox=mailbox), lambda: provision.delete_mailbox(fresh(mailbox))) is None
    assert (Alias.objects.count(), Alias.objects.live().count()) == (1, 0)


def test_no_alias_is_made_to_a_mailbox_that_is_deleted() -> None:
    mailbox = make_mailbox()
    error = second_after(lambda: provision.delete_mailbox(mailbox), lambda: make_alias(mailbox=fresh(mailbox)))
    assert isinstance(error, RefusedError)
    assert Alias.objects.count() == 0


def test_an_alias_that_leaves_a_mailbox_is_not_deleted_with_it() -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    left = alias.mailbox
    error = second_after(
        lambda: provision.update_alias(alias, mailbox=other), lambda: provision.delete_mailbox(fresh(left))
    )
    assert error is None
    assert Alias.objects.live().get().mailbox == other


@pytest.mark.parametrize("deletes_first", [True, False])
def test_an_alias_and_the_mailbox_that_it_moves_to(deletes_first: bool) -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    acts: list[Act] = [
        lambda: provision.delete_mailbox(fresh(other)),
        lambda: provision.update_alias(Alias.objects.get(), mailbox=fresh(other)),
    ]
    error = second_after(*(acts if deletes_first else acts[::-1]))
    if deletes_first:
        assert isinstance(error, RefusedError)
        assert Alias.objects.live().get().mailbox == alias.mailbox
    else:
        assert error is None
        assert not Alias.objects.live().exists()
    assert not Alias.objects.live().exclude(mailbox__deleted_at=None).exists()


@pytest.mark.parametrize("make", [
    lambda: provision.create_mailbox(address="new@example.com"),
    lambda: provision.create_alias(address="new@example.com", mailbox=Mailbox.objects.get(local_part="elsewhere")),
    lambda: provision.create_alias(address="new@example.net", mailbox=Mailbox.objects.get(local_part="support")),
])  # fmt: skip
@pytest.mark.parametrize("deletes_first", [True, False])
def test_a_domain_that_is_deleted_takes_along_what_is_being_made_in_it(make: Act, deletes_first: bool) -> None:
    domain = make_mailbox().domain
    make_mailbox(address="elsewhere@example.net")
    acts: list[Act] = [lambda: provision.delete_domain(domain), make]
    error = second_after(*(acts if deletes_first else acts[::-1]))
    if deletes_first:
        assert isinstance(error, UnknownDomainError | RefusedError)
    else:
        assert error is None
    assert not Mailbox.objects.live().exclude(domain__deleted_at=None).exists()
    assert not Alias.objects.live().exists()


def test_a_domain_that_is_being_deleted_rests_for_who_makes_it_again() -> None:
    domain = make_domain()
    error = second_after(lambda: provision.delete_domain(domain), lambda: provision.create_domain(name="example.com"))
    assert isinstance(error, ConflictError)
    assert "rests" in error.message
    assert Domain.objects.count() == 1


@pytest.mark.parametrize("make", [
    lambda: provision.create_mailbox(address="New@example.com"),
    lambda: provision.create_alias(address="new@example.com", mailbox=Mailbox.objects.get(local_part="support")),
])  # fmt: skip
def test_an_address_goes_to_one_of_two(make: Act) -> None:
    make_mailbox()
    error = second_after(lambda: provision.create_mailbox(address="new@example.com"), make)
    assert isinstance(error, AddressUnavailableError)


@pytest.mark.parametrize("delete", [
    lambda: provision.delete_alias(Alias.objects.earliest("id")),
    lambda: provision.delete_mailbox(Mailbox.objects.get(local_part="support")),
    lambda: provision.delete_domain(Domain.objects.get()),
])  # fmt: skip
def test_a_thing_is_deleted_by_one_of_two(delete: Act) -> None:
    make_alias()
    assert isinstance(second_after(delete, delete), NotFoundError)


def test_what_is_deleted_is_not_changed_any_more() -> None:
    alias = make_alias()
    error = second_after(
        lambda: provision.delete_alias(alias), lambda: provision.update_alias(Alias.objects.get(), is_active=False)
    )
    assert isinstance(error, NotFoundError)
    assert Alias.objects.get().is_active


def test_two_changes_of_one_thing_are_both_there() -> None:
    mailbox = make_mailbox()
    stale, alias = fresh(mailbox), make_alias(mailbox=mailbox)
    stale_alias, domain, stale_domain = Alias.objects.get(), Domain.objects.get(), Domain.objects.get()
    other = make_mailbox(address="sales@example.com")

    def first() -> None:
        provision.update_mailbox(mailbox, name="Support", retention={"raw_days": 5})
        provision.update_alias(alias, mailbox=other)
        provision.update_domain(domain, is_test=True)

    def second() -> None:
        provision.update_mailbox(stale, time_zone="Asia/Tokyo", retention={"log_days": 7})
        provision.update_alias(stale_alias, description="x")
        provision.update_domain(stale_domain, is_active=False)

    assert second_after(first, second) is None
    mailbox.refresh_from_db()
    assert (mailbox.name, mailbox.time_zone) == ("Support", "Asia/Tokyo")
    assert (mailbox.raw_days, mailbox.content_days, mailbox.log_days) == (5, None, 7)
    alias.refresh_from_db()
    assert (alias.mailbox, alias.description) == (other, "x")
    domain.refresh_from_db()
    assert (domain.is_test, domain.is_active) == (True, False)


@pytest.mark.on_postgres
@pytest.mark.parametrize("change", [
    provision.delete_mailbox,
    lambda mailbox: provision.delete_domain(mailbox.domain),
    lambda mailbox: provision.update_domain(mailbox.domain, default_mailbox=mailbox),
    lambda mailbox: make_alias(mailbox=mailbox),
])  # fmt: skip
def test_mail_does_not_wait_for_who_changes_the_mailbox_and_is_never_lost(change: Callable[[Mailbox], object]) -> None:
    mailbox = make_mailbox()
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        change(mailbox)
        # routed before the change, so it was told 250
        assert pool.submit(closing, make_message).result(timeout=60) is None
    assert Email.objects.get().mailbox == mailbox


def test_a_mailbox_with_mail_that_has_just_come_is_not_deleted() -> None:
    mailbox = make_mailbox()
    stale = fresh(mailbox)
    make_message()
    with pytest.raises(provision.NotEmptyError):
        provision.delete_mailbox(stale)
    with pytest.raises(provision.NotEmptyError):
        provision.delete_domain(stale.domain)
    assert Mailbox.objects.live().count() == 2


@pytest.mark.on_postgres
def test_nobody_waits_for_somebody_who_waits_for_him() -> None:
    names = ("example.com", "example.net")
    domains = [make_domain(name=name) for name in names]
    boxes = [make_mailbox(address=f"m{n}@{name}") for n in range(3) for name in names]
    acts: list[Act] = [
        lambda: provision.update_domain(Domain.objects.get(pk=domains[0].pk), default_mailbox=boxes[0]),
        lambda: provision.create_alias(address="a@example.com", mailbox=boxes[1]),
        lambda: provision.create_alias(address="a@example.net", mailbox=boxes[0]),
        lambda: provision.delete_domain(domains[0], with_mail=True) or rollback(),
        lambda: provision.delete_domain(domains[1], with_mail=True) or rollback(),
        lambda: provision.delete_mailbox(boxes[2], with_mail=True) or rollback(),
        lambda: provision.update_alias(Alias.objects.live().earliest("id"), mailbox=boxes[3]),
        lambda: make_message(to=("m1@example.com", "m0@example.net", "m0@example.com")),
        lambda: provision.delete_alias(Alias.objects.live().earliest("id")),
    ]
    failed: list[BaseException] = []
    at_once = threading.Barrier(len(acts))

    class Undo(Exception):  # noqa: N818 - no error
        pass

    def rollback() -> None:
        raise Undo

    def again_and_again(act: Act) -> None:
        at_once.wait()
        for _ in range(25):
            try:
                with transaction.atomic():
                    act()
            except OperationalError as error:
                failed.append(error)
            except (DomainError, Undo, Alias.DoesNotExist, RuntimeError):
                pass
        connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(again_and_again, islice(cycle(acts), len(acts))))
    assert failed == []


@pytest.mark.parametrize("deletes_first", [True, False])
def test_a_further_mailbox_that_is_deleted_as_it_is_named(deletes_first: bool) -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    acts: list[Act] = [
        lambda: provision.delete_mailbox(fresh(other)),
        lambda: provision.update_alias(Alias.objects.get(), further_mailboxes=[fresh(other)]),
    ]
    error = second_after(*(acts if deletes_first else acts[::-1]))
    if deletes_first:
        assert isinstance(error, RefusedError)
        assert error.field == "further_mailbox_ids"
    else:
        assert error is None  # routing leaves it out
    assert alias.copies.count() == (0 if deletes_first else 1)
    assert route("help@example.com").mailbox_ids == (alias.mailbox_id,)


def test_of_two_who_name_further_mailboxes_the_later_one_is_right() -> None:
    make_alias()
    a, b = make_mailbox(address="a@example.com"), make_mailbox(address="b@example.com")
    error = second_after(
        lambda: provision.update_alias(Alias.objects.get(), further_mailboxes=[a]),
        lambda: provision.update_alias(Alias.objects.get(), further_mailboxes=[b]),
    )
    assert error is None
    assert list(AliasCopy.objects.values_list("mailbox", flat=True)) == [b.pk]


def test_two_who_swap_an_aliass_mailboxes_do_not_wait_for_each_other_in_a_circle() -> None:
    alias, other = make_alias(), make_mailbox(address="a@example.com")
    own = alias.mailbox

    def swap(mailbox: Mailbox, further: Mailbox) -> object:
        return provision.update_alias(Alias.objects.get(), mailbox=mailbox, further_mailboxes=[further])

    assert second_after(lambda: swap(own, other), lambda: swap(other, own)) is None
    assert (Alias.objects.get().mailbox, AliasCopy.objects.get().mailbox) == (other, own)


def test_of_two_who_make_the_same_pattern_one_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = make_mailbox()
    error = second_after(
        lambda: make_alias(address="sup*@example.com", mailbox=mailbox),
        lambda: make_alias(address="sup*@example.com", mailbox=fresh(mailbox)),
    )
    assert isinstance(error, AddressUnavailableError)
    # nor are there too many of them
    monkeypatch.setattr("mailboxes.services.provision.aliases.MAX_PATTERNS", 2)
    error = second_after(
        lambda: make_alias(address="a*@example.com", mailbox=mailbox),
        lambda: make_alias(address="b*@example.com", mailbox=fresh(mailbox)),
    )
    assert isinstance(error, TooManyPatternsError)
    assert Alias.objects.live().count() == 2


def test_who_moves_an_alias_to_a_mailbox_that_a_batch_only_means_does_not_wait_in_a_circle() -> None:
    default, alias = make_domain().default_mailbox, make_alias()
    make_new = provision.create_alias
    moved: list[Future[DomainError | None]] = []

    def make_while_it_moves(**values: Any) -> Alias:
        moved.append(pool.submit(closing, lambda: provision.update_alias(Alias.objects.get(), mailbox=default)))
        with pytest.raises(TimeoutError):
            moved[0].result(timeout=0.4)  # it waits
        return make_new(**values)

    operations = [
        {"action": "update", "id": alias.public_id, "data": {"active": False}},
        {"action": "create", "data": {"domain_id": alias.domain.public_id, "name": "other"}},
    ]
    with ThreadPoolExecutor(1) as pool, mock.patch.object(provision, "create_alias", make_while_it_moves):
        answer = send(make_client(), "POST", "/v1/aliases/batch", {"operations": operations})
        assert moved[0].result(timeout=60) is None
    assert answer.status_code == 200, answer.content
    assert (Alias.objects.get(name="help").mailbox, Alias.objects.get(name="other").mailbox) == (default, default)
