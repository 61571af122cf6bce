"""What rules look at: how it is written in a rule, and how it is found in a mail.

Both come to the same canonical text, so that a rule is found by looking its value up, however many rules there are. Of
networks, domains and files a mail has several values, the most particular of which counts first.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

from emailgistics.common.errors import RefusedError
from mailboxes import addresses
from mailboxes.addresses import InvalidAddressError, ParsedAddress, shown
from mailboxes.models import Rule

Criterion = Rule.Criterion
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Values = Mapping[tuple[str, str], int]  # (criterion, value): how far it is from the most particular one, 0

NULL_SENDER = "<>"
MAX_VALUE_LENGTH = 320  # of Rule.value; letters may become several when they are folded
MAX_SIZE_OCTETS = 2**31 - 1  # no mail is as large; a database's integers are
MAX_ENDING_DOTS = 3  # .tar.gz.gpg; so many endings of each filename are looked up
MAX_ENDING_LENGTH = 64

_TOKEN = r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}"  # noqa: S105 - RFC 6838 section 4.2
_MEDIA_TYPE = re.compile(rf"\*/\*|{_TOKEN}/(?:\*|{_TOKEN})")
_ENDING = re.compile(rf"(?:\.[^.\s/\\*?<>|:\"]+){{1,{MAX_ENDING_DOTS}}}")
_DIGITS = re.compile("[0-9]{1,10}", re.ASCII)


class InvalidRuleValueError(RefusedError):
    code = "invalid_rule_value"

    def __init__(self, message: str) -> None:
        super().__init__(message, field="value")


# --- in a rule


def parse_value(criterion: str, text: str) -> str:
    """The canonical form of a rule's value. Raises InvalidRuleValueError, which says how to write it."""
    parse: Mapping[str, Callable[[str], str]] = {
        Criterion.SENDER: _parse_sender,
        Criterion.SENDER_DOMAIN: _parse_sender_domain,
        Criterion.NETWORK: _parse_network,
        Criterion.ATTACHMENT: _parse_attachment,
        Criterion.SIZE: _parse_size,
    }
    value = parse[criterion](text.strip())
    if len(value) > MAX_VALUE_LENGTH:
        raise InvalidRuleValueError(f"{shown(text)} is too long.")
    return value


def _parse_sender(text: str) -> str:
    if text in ("", NULL_SENDER):
        return ""
    local, at, domain = text.rpartition("@")
    if local in ("", "*"):
        whole = domain if at else text
        raise InvalidRuleValueError(
            f"{shown(text)} is not one address. For all senders of a domain use the criterion sender_domain with the "
            f"value {whole or 'example.com'}."
        )
    if "*" in text and not text.startswith('"'):
        raise InvalidRuleValueError(
            f"{shown(text)} has a * in it, and there are no patterns: write one address, such as news@example.com, or "
            "use the criterion sender_domain."
        )
    try:
        ParsedAddress.parse(text)
    except InvalidAddressError as error:
        raise InvalidRuleValueError(
            f"{error.message} The value of a sender is an address, or empty for the null sender <>."
        ) from error
    return _sender_key(text)


def _parse_sender_domain(text: str) -> str:
    bare = text.rpartition("@")[2].removeprefix("*").removeprefix(".")
    if bare != text:
        raise InvalidRuleValueError(
            f"{shown(text)} is more than a domain: write {bare or 'example.com'}, which includes its sub-domains. For "
            "one address use the criterion sender."
        )
    if text.startswith("["):
        raise InvalidRuleValueError(f"{shown(text)} is no domain; for hosts use the criterion network.")
    name = sender_domain_key(text)
    if name is None:
        raise InvalidRuleValueError(f"{shown(text)} is not a domain; write it like example.com.")
    return name


def _parse_network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidRuleValueError(
            f"{shown(text)} is not a network; write it like 192.0.2.0/24, 2001:db8::/32, or 192.0.2.1 for one host. A "
            "range that is no network needs several rules."
        ) from error
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.scope_id is not None:
        raise InvalidRuleValueError(f"{shown(text)} has a zone: write it without the % and what follows.")
    given = ipaddress.ip_address(text.partition("/")[0])
    if given != network.network_address:
        raise InvalidRuleValueError(
            f"{shown(text)} is a host and the size of its network: write {network} for all of it, or {given} for that "
            "host."
        )
    return str(_unmapped(network))


def _parse_attachment(text: str) -> str:
    if "/" in text:
        media_type = text.lower()
        if not _MEDIA_TYPE.fullmatch(media_type):
            raise InvalidRuleValueError(
                f"{shown(text)} is not a media type; write it like application/pdf or image/*, without parameters."
            )
        return media_type
    ending = _folded(text)
    if not _ENDING.fullmatch(ending) or len(ending) > MAX_ENDING_LENGTH:
        bare = ending.lstrip("*.")
        hint = f".{bare}" if _ENDING.fullmatch(f".{bare}") else ".exe"
        raise InvalidRuleValueError(
            f"{shown(text)} is neither a media type such as image/* nor the end of a filename. An ending begins with "
            f"a dot and has no *: {hint}."
        )
    return ending


def _parse_size(text: str) -> str:
    if not _DIGITS.fullmatch(text) or int(text) > MAX_SIZE_OCTETS:
        raise InvalidRuleValueError(
            f"{shown(text)} is not a size: it is a whole number of octets up to {MAX_SIZE_OCTETS}, such as 10485760 "
            "for 10 MiB. The rule is about larger mail."
        )
    return str(int(text))


# --- in a mail


def values_of_envelope(mail_from: str, client_ip: str | None) -> Values:
    """Of the envelope sender, empty for the null sender, and of the client's address."""
    return {**_of_sender(mail_from), **(_of_client(client_ip) if client_ip else {})}


def values_of_file(filename: str, content_type: str, detected_type: str = "") -> Values:
    """Of one attachment: the ends of its name, the longest first, then its media type, declared and as it looks.

    Either will do: a program that calls itself a document is no document.
    """
    endings = {ending: MAX_ENDING_DOTS - ending.count(".") for ending in _endings(filename)}
    values = dict(endings)
    for said in filter(None, (detected_type, content_type)):
        media_type = said.partition(";")[0].strip().lower()
        for distance, value in enumerate((media_type, f"{media_type.partition('/')[0]}/*", "*/*")):
            values.setdefault(value, MAX_ENDING_DOTS + distance)
    return {(Criterion.ATTACHMENT.value, value): distance for value, distance in values.items()}


def values_of_any_file(value: str) -> Values:
    """What every file has that an attachment rule with this value fits, and no more: the least that is known of it."""
    return values_of_file("", value) if "/" in value else values_of_file(f"x{value}", "*/*")


def size_of(value: str) -> int:
    """Octets in a rule's canonical form."""
    return int(value)


def sender_domain_key(text: str) -> str | None:
    """As `addresses.domain_key`, but for a top-level domain as well: nobody sends from one, many send from below it."""
    try:
        return addresses.domain_key(text)
    except InvalidAddressError:
        pass
    try:
        # a label that would do below another one will do alone
        return addresses.domain_key(f"{text.removesuffix('.')}.test").removesuffix(".test")
    except InvalidAddressError:
        return None


def _sender_key(text: str) -> str:
    """One spelling of an address, which may be written again as it is; what is none comes in mail, too."""
    try:
        parsed = ParsedAddress.parse(text)
    except InvalidAddressError:
        return text.strip().casefold()
    if "*" in parsed.local_key:  # in quotes, because without them it is taken for a pattern, which there are none of
        escaped = parsed.local_key.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"@{parsed.domain}'
    return addresses.join(parsed.local_key, parsed.domain)


def _of_sender(mail_from: str) -> Values:
    found = {(Criterion.SENDER.value, _sender_key(mail_from) if mail_from else ""): 0}
    domain = mail_from.rpartition("@")[2]
    labels = (sender_domain_key(domain) or "").split(".")
    return found | {
        (Criterion.SENDER_DOMAIN.value, ".".join(labels[distance:])): distance for distance in range(len(labels))
    }


@lru_cache(maxsize=1024)  # hosts that send come again: 129 networks of each IPv6 address
def _of_client(client_ip: str) -> Values:
    address = ipaddress.ip_address(client_ip)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    bits, number, kind = address.max_prefixlen, int(address), type(address)
    return {
        # the network's address by shifting: the library's own way takes ten times as long
        (Criterion.NETWORK.value, f"{kind((number >> distance) << distance)}/{bits - distance}"): distance
        for distance in range(bits + 1)
    }


def _unmapped(network: Network) -> Network:
    """Clients that come by IPv4 are known by that, whatever the socket says (RFC 4291 section 2.5.5.2)."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:  # noqa: PLR2004 - the mapped ones
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _endings(filename: str) -> list[str]:
    # Windows drops dots and blanks at the end of a name: `a.exe. ` is run there, too
    labels = _folded(filename).rstrip(". \t").split(".")
    if len(labels) == 1:
        return []
    return [f".{'.'.join(labels[-count:])}" for count in range(1, min(MAX_ENDING_DOTS, len(labels) - 1) + 1)]


def _folded(text: str) -> str:
    """However its letters are written: those of full width are the same file to many systems."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
