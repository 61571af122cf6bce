"""Who a message is from, asked once, when it is opened for the first time.

What is found is kept for good: the DNS of another day says nothing about the day on which the mail came, so opening it
again does not ask again.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from mailboxes.models import Message

if TYPE_CHECKING:
    from mailboxes.authentication import Resolver


def results(message: Message, octets: bytes) -> dict[str, Any] | None:
    """For Message.authentication; None where it is switched off. Not for inside a transaction: it asks the DNS."""
    if not settings.MAIL_AUTHENTICATION:
        return None
    from mailboxes.authentication import check  # noqa: PLC0415 - only for who opens mail, and checks it

    return check(
        octets,
        client_ip=message.client_ip,
        helo=message.helo,
        mail_from=message.mail_from,
        received_at=message.received_at,
        resolver=resolver(),
    ).stored()


@cache
def resolver() -> "Resolver":
    """The process's own, made by the first mail: what it knows of the DNS holds for all the next."""
    from mailboxes.authentication.dns import Resolver, system_servers  # noqa: PLC0415 - as above

    return Resolver(lambda: settings.DNS_SERVERS or system_servers())
