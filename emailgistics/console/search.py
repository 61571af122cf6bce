"""One box that finds anything by what people have in hand: an id, an address, a Message-ID, a URL, a name.

Each way to look is by an index or in a small table, and gives a few hits. What somebody may not see is not looked for:
hidden and absent are the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apikeys.models import ApiKey
from emailgistics.common.clients import network_of
from emailgistics.common.ids import SUFFIX_LENGTH, decode_id
from emailgistics.common.key_form import ID_LENGTH, KEY_PREFIX
from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import Action
from mailboxes import addresses
from mailboxes.addresses import InvalidAddressError, ParsedAddress, address_key, domain_key, local_key
from mailboxes.listing import EmailList, Filters
from mailboxes.models import (
    MAX_KEY,
    Address,
    Alias,
    AliasImport,
    Attachment,
    Domain,
    Email,
    ErasureJob,
    Mailbox,
    Message,
    Refusal,
    Rule,
)
from mailboxes.services.search import message_id_key
from webhooks.models import Delivery, Event, ReplayJob, Webhook

FEW = 10  # of each kind
MAX_TERM = 500  # characters
MAX_DOMAINS = 1000  # in which a bare name is looked for
REQUEST_PREFIX = "req_"

May = Callable[[Action], bool]


@dataclass(frozen=True, slots=True)
class Hit:
    kind: str | Promise
    title: str
    url: str
    detail: str = ""
    row: Model | None = None  # it need not have been read whole
    rows: "QuerySet[Any] | None" = None  # it leads to a list of these: no page of one thing

    @property
    def is_list(self) -> bool:
        return self.rows is not None


@dataclass(frozen=True, slots=True)
class Kind:
    """What an id's prefix stands for, and who may find it."""

    name: str | Promise
    model: type[Model]
    action: Action = Action.VIEW


KINDS: tuple[Kind, ...] = (
    Kind(gettext_lazy("Domain"), Domain),
    Kind(gettext_lazy("Mailbox"), Mailbox),
    Kind(gettext_lazy("Alias"), Alias),
    Kind(gettext_lazy("Rule"), Rule),
    Kind(gettext_lazy("Message"), Message),
    Kind(gettext_lazy("Email"), Email),
    Kind(gettext_lazy("Attachment"), Attachment),
    Kind(gettext_lazy("Refused mail"), Refusal),
    Kind(gettext_lazy("Webhook"), Webhook),
    Kind(gettext_lazy("Event"), Event),
    Kind(gettext_lazy("Delivery"), Delivery),
    Kind(gettext_lazy("Replay"), ReplayJob),
    Kind(gettext_lazy("Erasure"), ErasureJob),
    Kind(gettext_lazy("Import"), AliasImport, Action.MANAGE),
    Kind(gettext_lazy("API key"), ApiKey, Action.KEYS),
)


def find(may: May, term: str) -> list[Hit]:
    """The hits, the surest first, of what whoever asks may see. term is of a person: any text."""
    term = term.strip()[:MAX_TERM]
    if not term or "\0" in term:
        return []
    found: dict[str, Hit] = {}
    for way in WAYS:
        for hit in islice(way(may, term), FEW):
            found.setdefault(hit.url, hit)
    return list(found.values())


def is_request_id(term: str) -> bool:
    """Request ids are in answers and in the log, and no row has one."""
    return decode_id(REQUEST_PREFIX.removesuffix("_"), term.strip()) is not None


def by_id(may: May, term: str) -> Iterator[Hit]:
    prefix, underscore, suffix = term.rpartition("_")
    if not underscore or len(suffix) != SUFFIX_LENGTH:
        return
    for kind in KINDS:
        model: Any = kind.model
        pk = decode_id(model.ID_PREFIX, f"{prefix}_{suffix.lower()}")
        if pk and may(kind.action) and (row := _row(model, pk)) is not None:
            yield _hit(kind.name, row)


def by_key_identifier(may: May, term: str) -> Iterator[Hit]:
    if not may(Action.KEYS):
        return
    if term.startswith(KEY_PREFIX):
        for key in ApiKey.objects.filter(identifier=term[: len(KEY_PREFIX) + ID_LENGTH]).only(
            "pk", "name", "identifier"
        ):
            yield Hit(_("API key"), str(key), page_of(key), row=key)


def by_address(may: May, term: str) -> Iterator[Hit]:
    """Whose it is, and where mail to it would go."""
    if not may(Action.VIEW):
        return
    try:
        parsed = ParsedAddress.parse(term)
    except InvalidAddressError:
        parsed = None
    if parsed is not None:
        for row in _addresses(Q(domain__name=parsed.domain, local_key=parsed.local_key)):
            yield _owner(row)
    name, at, domain = term.rpartition("@")
    if at:
        for alias in Alias.objects.live().filter(kind=Alias.Kind.PATTERN, name=name, domain__name=domain.lower()):
            yield _hit(_("Alias"), alias)


def by_mail(may: May, term: str) -> Iterator[Hit]:
    """Emails with that Message-ID, or from or to that address."""
    if "@" not in term or not may(Action.VIEW):
        return
    key = address_key(term)[:MAX_KEY]
    for filters in (
        Filters(message_id=message_id_key(term)), Filters(from_key=key), Filters(recipient_key=key),
    ):  # fmt: skip
        for email in _emails(filters):
            yield _email_hit(email)


def by_domain(may: May, term: str) -> Iterator[Hit]:
    if not may(Action.VIEW):
        return
    try:
        name = domain_key(term.removeprefix("@"))
    except InvalidAddressError:
        return
    for domain in Domain.objects.filter(name=name).order_by("-pk")[:FEW]:
        yield _hit(_("Domain"), domain)


def by_endpoint(may: May, term: str) -> Iterator[Hit]:
    """Webhooks with that URL, or whose URL begins so, or has that host. There are not many webhooks."""
    if not may(Action.VIEW):
        return
    is_url = "://" in term
    if not is_url and ("." not in term or "@" in term or " " in term):
        return
    bare = term if is_url else term.lower()
    hosts = Q()
    for scheme in ("https", "http"):
        for end in ("", "/", ":"):
            hosts |= Q(url__istartswith=f"{scheme}://{bare}{end}") if end else Q(url__iexact=f"{scheme}://{bare}")
    rows = Webhook.objects.filter(Q(url__istartswith=term) if is_url else hosts)
    for webhook in rows.order_by("deleted_at", "-pk").only("pk", "url", "state", "deleted_at")[:FEW]:
        detail = _("deleted") if webhook.deleted_at else webhook.state
        yield Hit(_("Webhook"), webhook.url, page_of(webhook), detail, webhook)


def by_local_part(may: May, term: str) -> Iterator[Hit]:
    """A bare name: the mailbox or alias of that name in each domain."""
    if not may(Action.VIEW) or len(term) > addresses.MAX_LOCAL_PART_OCTETS or "@" in term:
        return
    domains = list(Domain.objects.live().order_by("pk").values_list("pk", flat=True)[:MAX_DOMAINS])
    for row in _addresses(Q(domain__in=domains, local_key=local_key(term))):
        yield _owner(row)


def by_client(may: May, term: str) -> Iterator[Hit]:
    """Mail that was refused to the network of an IP address."""
    if not may(Action.VIEW):
        return
    try:
        address = str(ip_address(term.split("/", maxsplit=1)[0]))
    except ValueError:
        return
    network = network_of(address)
    rows = Refusal.objects.filter(network=network)
    if rows.exists():
        title = _("Mail refused to %(network)s") % {"network": network}
        yield Hit(_("Refused mail"), title, list_of(Refusal, q=network), rows=rows)


def by_refused_recipient(may: May, term: str) -> Iterator[Hit]:
    if "@" not in term or not may(Action.VIEW):
        return
    rows = Refusal.objects.alias(key=Lower("recipient")).filter(key=term.lower())
    if rows.exists():
        title = _("Mail refused to %(address)s") % {"address": term}
        yield Hit(_("Refused mail"), title, list_of(Refusal, q=term), rows=rows)


def by_person(may: May, term: str) -> Iterator[Hit]:
    if may(Action.PEOPLE):
        for person in User.objects.filter(Q(username__iexact=term) | Q(email__iexact=term)).order_by("pk")[:FEW]:
            yield Hit(_("Person"), person.get_username(), page_of(person), row=person)


def by_audit(may: May, term: str) -> Iterator[Hit]:
    """What was done to a thing with that id or identifier."""
    rows = AuditEntry.objects.filter(of=term)
    if may(Action.PEOPLE) and rows.exists():
        yield Hit(_("Audit log"), _("What was done to %(id)s") % {"id": term}, list_of(AuditEntry, q=term), rows=rows)


WAYS: tuple[Callable[[May, str], Iterator[Hit]], ...] = (
    by_id,
    by_key_identifier,
    by_address,
    by_domain,
    by_endpoint,
    by_local_part,
    by_person,
    by_client,
    by_refused_recipient,
    by_mail,
    by_audit,
)


def page_of(row: Model) -> str:
    """The console's page of a row; that of its email for an attachment."""
    if isinstance(row, Attachment):
        return reverse("admin:mailboxes_email_change", args=[row.email_id])
    options = row._meta  # noqa: SLF001 - the only way to its names
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


def list_of(model: type[Model], **filters: str) -> str:
    options = model._meta  # noqa: SLF001 - as above
    return f"{reverse(f'admin:{options.app_label}_{options.model_name}_changelist')}?{urlencode(filters)}"


def _row(model: Any, pk: UUID) -> Model | None:
    """Never with a column that is large or secret: only what names it."""
    rows = model.objects.filter(pk=pk)
    if model in (Mailbox, Alias, Rule, Email):
        return rows.first()  # type: ignore[no-any-return]
    return rows.only("pk", *(["email"] if model is Attachment else [])).first()  # type: ignore[no-any-return]


def _hit(kind: str | Promise, row: Any) -> Hit:
    if isinstance(row, Email):
        return _email_hit(row)
    is_named = isinstance(row, (Domain, Mailbox, Alias))
    title = str(row) if is_named else row.public_id
    detail = _("deleted") if is_named and row.deleted_at else ""
    return Hit(kind, title, page_of(row), detail, row)


def _email_hit(email: Email) -> Hit:
    detail = " · ".join(filter(None, (email.from_address, str(email.mailbox))))
    return Hit(_("Email"), email.subject or _("(no subject)"), page_of(email), detail, email)


def _addresses(of: Q) -> "QuerySet[Address]":
    rows = Address.objects.filter(of).select_related("domain", "mailbox__domain", "alias__domain")
    return rows.order_by("pk")[:FEW]


def _owner(row: Address) -> Hit:
    owner = row.owner
    return _hit(_("Mailbox") if isinstance(owner, Mailbox) else _("Alias"), owner)


def _emails(filters: Filters) -> list[Email]:
    shown = Email.objects.select_related("mailbox__domain").only(
        "pk", "subject", "from_address", "mailbox__local_part", "mailbox__domain__name"
    )
    return EmailList(shown, Mailbox.objects.all(), filters).newest(FEW)
