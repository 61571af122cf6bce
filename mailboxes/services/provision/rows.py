"""Rows of domains, mailboxes and aliases: holding, changing and ending them.

What several of them lock, they lock in this order: domain, mailbox, alias.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from typing import TypeVar

from django.db.models import Q, QuerySet

from emailgistics.common.access import Actor
from emailgistics.common.errors import ConflictError, NotFoundError, RefusedError
from mailboxes.models import ACTOR_LENGTH, Alias, Domain, Email, Mailbox, Rule


class UnknownDomainError(NotFoundError):
    code = "unknown_domain"


class NotEmptyError(ConflictError):
    """It still has mail."""

    code = "not_empty"


class Leave(Enum):
    """For what may be given as None."""

    AS_IT_IS = "as it is"


@contextmanager
def about(field: str) -> Iterator[None]:
    """Whatever is refused within is refused because of that field."""
    try:
        yield
    except RefusedError as error:
        error.field = error.field or field
        raise


Row = TypeVar("Row", Domain, Mailbox, Alias)
Agree = Callable[[Row], None]


def locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    # no_key: mail that comes in meanwhile refers to these rows, and has not to wait for us
    return rows.select_for_update(no_key=True)


def hold(row: Row, agree: Agree[Row] | None = None) -> None:
    """Whoever is at it has to be done first; whoever comes later waits until the transaction ends.

    agree is asked then, and raises if it is not to be changed as it is now.
    """
    locked(type(row).objects.filter(pk=row.pk)).first()
    if agree is not None:
        agree(row)


def hold_all(rows: QuerySet[Row]) -> None:
    """In the order of their ids: for who will change many of them in another one."""
    found = rows.model._default_manager.filter(pk__in=rows.order_by().values("pk"))  # noqa: SLF001
    list(locked(found).order_by("pk").values_list("pk"))


def hold_domain(name: str) -> Domain:
    """The domain, which stays as it is until the transaction ends. Raises UnknownDomainError."""
    try:
        return locked(Domain.objects.live()).get(name=name)
    except Domain.DoesNotExist as error:
        raise UnknownDomainError(f"There is no domain {name} here; create it first.", field="domain_id") from error


def hold_mailboxes(mailbox: Mailbox | None, further: Sequence[Mailbox]) -> None:
    """In the order of their ids, so that nobody waits for somebody who waits for him."""
    fields = {one.pk: (one, "further_mailbox_ids") for one in further}
    if mailbox is not None:
        fields[mailbox.pk] = (mailbox, "mailbox_id")
    for _, (one, field) in sorted(fields.items()):
        hold_mailbox(one, field=field)


def hold_mailbox(mailbox: Mailbox, *, field: str) -> None:
    """Locks the mailbox, read again: one that is deleted meanwhile would leave an address that leads nowhere."""
    if locked(Mailbox.objects.live().filter(pk=mailbox.pk)).first() is None:
        raise RefusedError(f"The mailbox {mailbox.address} is deleted; choose another one.", field=field)


def change(row: Row, nullable: Mapping[str, object] | None = None, **values: object) -> Row:
    """Writes what is given, and only that: whoever changes something else at the same time loses nothing.

    Raises NotFoundError if the row was deleted meanwhile.
    """
    given = {name: value for name, value in values.items() if value is not None} | dict(nullable or {})
    if given and not type(row).objects.live().filter(pk=row.pk).update(**given):
        raise NotFoundError(f"{row} is deleted.")
    for name, value in given.items():
        setattr(row, name, value)
    return row


def mark_deleted(row: Row, *, at: datetime, by: Actor) -> None:
    """Raises NotFoundError if it was deleted meanwhile."""
    change(row, deleted_at=at, deleted_by=by.name[:ACTOR_LENGTH])


def mark_all_deleted(rows: QuerySet[Row], *, at: datetime, by: Actor) -> None:
    hold_all(rows)
    rows.update(deleted_at=at, deleted_by=by.name[:ACTOR_LENGTH])


def end_rules(of: Q, *, at: datetime) -> None:
    """What is deleted takes its rules with it; who makes one holds what it is for."""
    Rule.objects.filter(of, deleted_at=None).update(deleted_at=at)


def refuse_if_it_has_mail(what: str, emails: QuerySet[Email]) -> None:
    if emails.exists():
        raise NotEmptyError(
            f"{what} still has mail, which no key could read any more. Disable it instead, or delete it with its mail: "
            "?with=mail in the API, --with-mail in a command."
        )
