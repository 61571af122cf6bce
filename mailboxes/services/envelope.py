"""How a message reaches us: what the client's host said before the mail itself."""

import ipaddress
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from mailboxes.models import Message

Source = Message.Source


@dataclass(frozen=True, slots=True)
class Envelope:
    """An empty mail_from is the null sender <>; texts are free of control characters.

    submitted_by: the API key that handed it in, if one did.
    """

    mail_from: str
    client_ip: str | None = None
    helo: str = ""
    tls: str = ""
    source: Message.Source = Source.SMTP
    submitted_by: UUID | None = None

    @property
    def is_from_outside(self) -> bool:
        """Whether test domains take none of it: it comes by a socket from where they are not tried out."""
        if self.source not in (Source.SMTP, Source.LMTP):
            return False
        if self.client_ip is None:
            return True
        address = ipaddress.ip_address(self.client_ip)
        return not any(address in network for network in settings.TEST_NETWORKS)

    @property
    def network(self) -> str:
        """The client's network, by which hosts are counted: /24, or /64 of IPv6; empty where there is no address."""
        return network_of(self.client_ip) if self.client_ip else ""


def network_of(client_ip: str) -> str:
    address = ipaddress.ip_address(client_ip)
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))  # noqa: PLR2004
