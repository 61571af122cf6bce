"""What the connections of a listener have in common."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mailboxes.services.admit import Admission
from mailboxes.services.envelope import Envelope
from mailboxes.smtp.budgets import MessageRate, OctetBudget, Places
from mailboxes.smtp.disk import Disk
from mailboxes.smtp.handler import Mail, Outcome
from mailboxes.smtp.limits import Limits
from mailboxes.smtp.reading import DataReader
from mailboxes.smtp.refusals import RefusalWriter
from mailboxes.smtp.tls import Certificate

if TYPE_CHECKING:
    from mailboxes.smtp.conversation import Conversation


class Mailroom(Protocol):
    """What connections ask of the handler. Both raise DomainErrors and nothing else."""

    async def admit(self, address: str, *, envelope: Envelope, size: int | None) -> Admission: ...

    async def store(self, mail: Mail) -> Outcome:
        """Once committed: one receipt for all recipients; or for each admission, in their order, what became of it.

        By SMTP there is one answer for all, 250 if one of them has it: what the others lack has to be on record then.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    mailroom: Mailroom
    hostname: str
    limits: Limits
    places: Places
    octets: OctetBudget
    rate: MessageRate
    disk: Disk
    certificate: Certificate | None
    requires_tls: bool
    refusals: RefusalWriter
    reader: type[DataReader]
    connections: "set[Conversation]"
