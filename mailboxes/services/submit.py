"""Mail in over HTTP: as by SMTP, for the mailboxes that a key may open."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django import db

from emailgistics.common.access import Principal
from emailgistics.common.errors import DomainError, NotFoundError, UnavailableError
from emailgistics.common.requests import NOBODY
from mailboxes.addresses import InvalidAddressError
from mailboxes.models import Mailbox, Message
from mailboxes.services.admit import Admission, Request, admit_all
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Receipt, receive_message
from mailboxes.services.route import Question, Route, find_routes

FIELD = "recipient"
MOST_QUERIES = 4  # of find_routes: for domains, addresses, patterns and further mailboxes


def submit_mail(
    *, by: Principal, mail_from: str, recipients: Sequence[str], raw: bytes, joins: bool = False
) -> Receipt:
    """Stores a mail for all of these recipients or for none. Returns once committed; joins is as for `receive_message`.

    To the key, a recipient that belongs to a mailbox which it may not open is one that does not exist, whatever else
    there is to say of it. An alias of its own may lead to others' mailboxes as well: they get their copies, and are
    nothing that it could notice. Only the mailboxes that it may open say whether the mail is taken, and a resend is
    only what the same key handed in before. Raises InvalidAddressError, NotFoundError, AddressDisabledError,
    BlockedByRuleError, MailboxFullError, RoutingLoopError, and UnavailableError when the database does not take it.
    """
    envelope = Envelope(mail_from=mail_from, source=Message.Source.API, submitted_by=by.key_id)
    deciding = None if by.all_mailboxes else by.mailbox_ids
    try:
        if not by.all_mailboxes:
            _require_reachable(by, recipients)
        admissions = _admissions(by, [Request(address, envelope, len(raw), deciding) for address in recipients])
        return receive_message(envelope=envelope, admissions=admissions, raw=raw, joins=joins)
    except db.Error as error:
        raise UnavailableError("The mail could not be stored. Try again in a moment.") from error


def _require_reachable(by: Principal, recipients: Sequence[str]) -> None:
    """Before any rule is asked: what a rule of somebody else's says is as hidden as its mailbox.

    A refusal takes MOST_QUERIES, whatever it is for: routing asks more for a pattern than for a domain that is not
    here.
    """
    asked = Asked()
    with db.connection.execute_wrapper(asked):
        found = find_routes([Question(address) for address in recipients])
    try:
        _require_all_visible(by, found)
    except NotFoundError:
        for _ in range(asked.count, MOST_QUERIES):
            Mailbox.objects.filter(pk=NOBODY).exists()
        raise


class Asked:
    """Counts queries."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


def _require_all_visible(by: Principal, found: Sequence[Route | DomainError]) -> None:
    _raise_first(error for error in found if isinstance(error, InvalidAddressError))
    if not all(isinstance(route, Route) and _is_visible(route, by) for route in found):
        raise NotFoundError("No such recipient, or none that this key may see.", field="recipient")


def _is_visible(route: Route, by: Principal) -> bool:
    """Whose it is does not depend on whether that mailbox is disabled; but one of the key's has to take the mail."""
    owner = route.own_mailbox_id or route.mailbox_id
    return owner in by.mailbox_ids and not by.mailbox_ids.isdisjoint(route.mailbox_ids)


def _admissions(by: Principal, requests: Sequence[Request]) -> list[Admission]:
    answers = admit_all(requests)
    _raise_first(answer for answer in answers if isinstance(answer, DomainError))
    admissions = [answer for answer in answers if isinstance(answer, Admission)]
    if not by.all_mailboxes:
        # an alias may have been moved since
        _require_all_visible(by, [admission.route for admission in admissions])
    return admissions


def _raise_first(errors: Iterable[DomainError]) -> None:
    for error in errors:
        error.field = FIELD
        raise error
