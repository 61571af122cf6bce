"""What would become of a mail to an address, and why: the same decisions as for a real one, and nothing is written."""

import ipaddress
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from django.conf import settings

from emailgistics.common.errors import DomainError, RefusedError
from mailboxes import addresses
from mailboxes.models import Alias, Domain, Mailbox, Message
from mailboxes.services.admit import Admission, admit
from mailboxes.services.envelope import Envelope
from mailboxes.services.rules import Verdict
from mailboxes.smtp import replies, syntax

TOO_LARGE = "message_too_large"


@dataclass(frozen=True, slots=True)
class Destination:
    mailbox: Mailbox
    is_copy: bool  # a further mailbox of the alias
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the sender's host would be told, and where the mail would be.

    code is the error's where it is refused; without an error all of the rest is known.
    """

    address: str
    is_accepted: bool
    reply: str
    explanation: tuple[str, ...]
    code: str | None = None
    kind: str | None = None
    tag: str = ""
    captures: dict[str, str] = field(default_factory=dict)
    domain: Domain | None = None
    alias: Alias | None = None
    destinations: tuple[Destination, ...] = ()


def explain(address: str, *, mail_from: str = "", client_ip: str | None = None, size: int | None = None) -> Outlook:
    """mail_from is the envelope sender, empty for the null sender; size is in octets.

    Without client_ip the mail does not come by SMTP but from the installation itself, so that test domains take it.
    Raises RefusedError for what could be no envelope.
    """
    envelope = _envelope(mail_from=mail_from, client_ip=client_ip)
    if size is not None and size > settings.MAX_MESSAGE_BYTES:
        step = f"no mail has more than {settings.MAX_MESSAGE_BYTES} octets here"
        return Outlook(address, is_accepted=False, reply=replies.TOO_BIG, explanation=(step,), code=TOO_LARGE)
    try:
        admission = admit(address, envelope=envelope, size=size)
    except DomainError as error:
        reply, explanation = replies.refusal(error), error.explanation
        return Outlook(address, is_accepted=False, reply=reply, explanation=explanation, code=error.code)
    return _outlook(admission)


def _envelope(*, mail_from: str, client_ip: str | None) -> Envelope:
    """Raises RefusedError."""
    if not syntax.is_storable_sender(mail_from):
        raise RefusedError(f"{addresses.shown(mail_from)} is no envelope sender.", field="mail_from")
    if client_ip is None:
        return Envelope(mail_from=mail_from, source=Message.Source.PIPE)
    try:
        ip = ipaddress.ip_address(client_ip.strip())
    except ValueError as error:
        message = f"{addresses.shown(client_ip)} is no IP address; write it like 192.0.2.1."
        raise RefusedError(message, field="client_ip") from error
    return Envelope(mail_from=mail_from, client_ip=str(ip))


def _outlook(admission: Admission) -> Outlook:
    route = admission.route
    mailboxes = Mailbox.objects.select_related("domain").in_bulk(route.mailbox_ids)
    return Outlook(
        address=route.address,
        is_accepted=True,
        reply=replies.RECIPIENT_OK,
        explanation=route.explanation,
        kind=str(route.kind),
        tag=route.tag,
        captures=route.captures,
        domain=Domain.objects.get(pk=route.domain_id),
        alias=Alias.objects.select_related("domain").filter(pk=cast("UUID", route.alias_id)).first(),
        destinations=tuple(
            Destination(mailboxes[pk], route.is_copy(pk), verdict)
            for pk, verdict in zip(route.mailbox_ids, admission.verdicts, strict=True)
        ),
    )
