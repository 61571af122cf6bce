"""The filters of the lists of emails and of refusals."""

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_interface
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Lower
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from emailgistics.common.access import Principal, Scope
from emailgistics.common.filters import Query, boolean, instant, one_of
from emailgistics.common.ids import first_id_at
from emailgistics.common.pagination import PARAMETERS
from emailgistics.common.requests import find_in_query
from mailboxes.addresses import InvalidAddressError, address_key, domain_key
from mailboxes.listing import ID_WITHIN, SEARCH_WITHIN, Filters
from mailboxes.models import MAX_KEY, Alias, Domain, Email, Mailbox, Refusal
from mailboxes.services.envelope import network_of
from mailboxes.services.search import message_id_key
from mailboxes.words import MAX_TERMS, MIN_PREFIX, Term, terms

HOW_WORDS = (
    f"All of the words, up to {MAX_TERMS}, have to be there, in any order; `engin*`, of at least {MIN_PREFIX} letters, "
    "stands for every word that begins so. Case, accents and signs make no difference, and no language is assumed: "
    "`engines` does not find `engine`."
)
FOR_EMAILS = [
    OpenApiParameter("alias_id", str, description="Only mail that came by this alias."),
    OpenApiParameter("mailbox_id", str, description="Only mail in this mailbox."),
    OpenApiParameter("domain_id", str, description="Only mail in the mailboxes of this domain."),
    OpenApiParameter(
        "from",
        str,
        description="Only mail of this author, as the From header has it, or of a whole domain: `@example.net`. "
        "However it is spelled; not the envelope sender. A sub-domain is another domain.",
    ),
    OpenApiParameter(
        "to",
        str,
        description="Only mail for this envelope recipient, among those that led to the mailbox; not the To header. "
        "However it is spelled; a +tag makes another address.",
    ),
    OpenApiParameter("subject", str, description=f"Only mail with these words in its subject. {HOW_WORDS}"),
    OpenApiParameter(
        "message_id",
        str,
        description="Only mail with exactly this Message-ID header, with or without `<>`, which are written %3C and "
        "%3E in a query, as + is %2B.",
    ),
    OpenApiParameter(
        "has_attachment",
        bool,
        description="Only mail with (`true`) or without (`false`) an attachment that is none of its text. Mail that "
        "waits to be opened is neither.",
    ),
    OpenApiParameter("status", str, enum=Email.Status.values, description="Only mail that stands there."),
    OpenApiParameter(
        "received_after",
        OpenApiTypes.DATETIME,
        description="Only mail received at this instant (RFC 3339) or later. A date alone is its start in UTC.",
    ),
    OpenApiParameter(
        "received_before",
        OpenApiTypes.DATETIME,
        description="Only mail received before this instant (RFC 3339). A date alone is its start in UTC.",
    ),
    OpenApiParameter(
        "q",
        str,
        description="Only mail with these words in its subject, addresses, names of people, Message-ID or envelope "
        "and, for a key with emails:content, in its text, in other names and addresses of its header and in the "
        "names of its attachments. To a key without that scope such a mail is not found by what it says, and nothing "
        f"tells that it would be. {HOW_WORDS} Of very long mails only the beginning is searched. What takes longer "
        f"than {SEARCH_WITHIN.seconds} s, as several filters together may, is refused: `search_too_wide`.",
    ),
]

FOR_REFUSALS = [
    OpenApiParameter(
        "network",
        str,
        description="Only of hosts in this network, as refusals show it: a /24, or a /64 of IPv6. An address stands "
        "for the network that it is in.",
    ),
    OpenApiParameter("recipient", str, description="Only for this recipient, as the host named it, but for case."),
    OpenApiParameter("code", str, description="Only with this code: `unknown_recipient`, `rule`, …"),
    OpenApiParameter("outcome", str, enum=Refusal.Outcome.values, description="Only with this outcome."),
    OpenApiParameter(
        "since",
        OpenApiTypes.DATETIME,
        description="Only from this instant (RFC 3339) on. A date alone is its start in UTC.",
    ),
    OpenApiParameter(
        "until",
        OpenApiTypes.DATETIME,
        description="Only before this instant (RFC 3339). A date alone is its start in UTC.",
    ),
]


def things_in(request: Request, caller: Principal) -> dict[str, Any]:
    """What the query names by its id. Raises NotFoundError for what the key may not see."""
    return {
        "alias": find_in_query(Alias.objects.visible_to(caller), request, "alias_id"),
        "mailbox": find_in_query(Mailbox.objects.visible_to(caller), request, "mailbox_id"),
        "domain": find_in_query(Domain.objects.visible_to(caller), request, "domain_id"),
    }


def filters_in(request: Request, caller: Principal, things: Mapping[str, Any]) -> Filters:
    """All that the query says of emails. Raises ValidationError."""
    query = Query(request, *PARAMETERS)
    for name in things:
        query.read(f"{name}_id", str)  # once, as all others
    author: dict[str, Any] | None = query.read("from", _author)
    anywhere = query.read("q", _terms)
    filters = Filters(
        **things,
        **(author or {}),
        recipient_key=query.read("to", _address),
        subject=query.read("subject", _terms) or (),
        message_id=query.read("message_id", message_id_key),
        has_attachment=query.read("has_attachment", boolean),
        status=query.read("status", one_of(*Email.Status.values)),
        received_from=query.read("received_after", instant),
        received_until=query.read("received_before", instant),
        anywhere=anywhere or (),
        reads_content=anywhere is not None and caller.may(Scope.EMAILS_CONTENT),
    )
    query.refuse_what_is_wrong()
    return filters


def refusals_in(request: Request) -> QuerySet[Refusal]:
    """Those that the query asks for. Raises ValidationError."""
    query = Query(request, *PARAMETERS)
    rows = refusals_with(
        network=query.read("network", parse_network),
        recipient=query.read("recipient", str),
        code=query.read("code", str),
        outcome=query.read("outcome", one_of(*Refusal.Outcome.values)),
        since=query.read("since", instant),
        until=query.read("until", instant),
    )
    query.refuse_what_is_wrong()
    return rows


def refusals_with(
    *,
    network: str | None = None,
    recipient: str | None = None,
    code: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[Refusal]:
    """By what is given; network is as `parse_network` gives it."""
    rows = Refusal.objects.all()
    if network:
        rows = rows.filter(network=network)
    if recipient:
        rows = rows.alias(recipient_key=Lower("recipient")).filter(recipient_key=recipient.lower())
    if code:
        rows = rows.filter(code=code)
    if outcome:
        rows = rows.filter(outcome=outcome)
    if since:
        rows = rows.filter(at__gte=since, pk__gte=first_id_at(since - ID_WITHIN))
    if until:
        rows = rows.filter(at__lt=until, pk__lt=first_id_at(until + ID_WITHIN))
    return rows


def parse_network(text: str) -> str:
    """The network that refusals are kept by. Raises ValueError."""
    try:
        return network_of(str(ip_interface(text.strip()).ip))
    except ValueError as error:
        raise ValueError("This is a network, as 192.0.2.0/24 or 2001:db8::/64, or an address in it.") from error


def _author(text: str) -> dict[str, str]:
    if not text.strip().startswith("@"):
        return {"from_key": _address(text)}
    try:
        return {"from_domain": domain_key(text.strip()[1:])}
    except InvalidAddressError as error:
        raise ValueError("This is an address, as ada@example.net, or a domain, as @example.net.") from error


def _address(text: str) -> str:
    if "@" not in text.strip().strip("@"):
        raise ValueError("This is an address, as support@example.com.")
    return address_key(text)[:MAX_KEY]


def _terms(text: str) -> tuple[Term, ...]:
    return tuple(terms(text))
