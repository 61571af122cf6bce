"""Who a mail is from: SPF, DKIM and DMARC, in the words of RFC 8601. No Django.

`check` gives an answer whatever the mail is and whatever the DNS does: a fault in one of the three is its result alone.
What a mail says of itself (Authentication-Results) is not looked at.

Own code on dnspython, cryptography and publicsuffixlist: pyspf has had no release since 2020 and asks the DNS in its
own way; dkimpy hashes the body once for each signature and says only yes or no. Neither knows a budget.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeVar

from emailgistics.common.logs import get_logger
from mailboxes.authentication import dkim, dmarc, message, spf
from mailboxes.authentication.dns import Address, Lookups, Resolver
from mailboxes.authentication.results import Authentication, Dkim, Dmarc, Result, Spf

__all__ = ["Authentication", "Resolver", "Result", "check"]

log = get_logger(__name__)
Said = TypeVar("Said")

FAULT = "it could not be checked"
# who connects from there hands on what somebody else sent, or is at home here; what TEST-NETs are for tests
OURS = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "::/128", "::1/128", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip


def check(
    octets: bytes, *, client_ip: str | None, helo: str, mail_from: str, received_at: datetime, resolver: Resolver
) -> Authentication:
    """Of the raw. mail_from is empty for the null sender. For the DNS it takes `resolver.patience.mail` at most."""
    now = datetime.now(UTC)
    lookups = resolver.for_mail()
    said_spf = _isolated(
        "spf", lambda: _spf(client_ip, mail_from, helo, lookups.share(0.4)), Spf(Result.TEMPERROR, reason=FAULT)
    )
    mail = _isolated("message", lambda: message.read(octets), None)
    if mail is None:
        return Authentication(said_spf, (), Dmarc(Result.TEMPERROR, reason=FAULT), now)
    signatures = _isolated(
        "dkim",
        lambda: dkim.check(mail=mail, received_at=received_at, lookups=lookups.share(0.7)),
        [Dkim(Result.TEMPERROR, reason=FAULT)],
    )
    said_dmarc, aligned = _isolated(
        "dmarc",
        lambda: dmarc.check(mail=mail, spf=said_spf, dkim=signatures, lookups=lookups),
        (Dmarc(Result.TEMPERROR, reason=FAULT), tuple(signatures)),
    )
    return Authentication(said_spf, aligned, said_dmarc, now)


def _spf(client_ip: str | None, mail_from: str, helo: str, lookups: Lookups) -> Spf:
    if client_ip is None:
        return Spf(Result.NONE, reason="the mail did not come over a network")
    client = ip_address(client_ip)
    if is_ours(client):
        return Spf(Result.NONE, reason="the mail came from a private address")
    return spf.check(client=client, mail_from=mail_from, helo=helo, lookups=lookups)


def is_ours(client: Address) -> bool:
    plain = client.ipv4_mapped or client if isinstance(client, IPv6Address) else client
    return any(plain in network for network in OURS)


def _isolated(checker: str, call: Callable[[], Said], otherwise: Said) -> Said:
    try:
        return call()
    except Exception:  # its fault must not be the mail's, nor the other checkers'
        log.exception("authentication.fault", checker=checker)
        return otherwise
