"""The arguments of MAIL and RCPT (RFC 5321 section 4.1.2), read as liberally as goes without guessing."""

import ipaddress
import re
from dataclasses import dataclass

MAX_SENDER_LENGTH = 320
MAX_HELO_LENGTH = 255

# In angle brackets, where a quoted local part may hold spaces and brackets of its own, or (many senders) without them.
# Possessive, so that no input makes it try twice.
_PATH = re.compile(
    r'\s*+(?:<(?P<path>(?:"(?:[^"\\]|\\.)*+"|[^"<>])*+)>|(?P<bare>[^\s<>]++))(?P<parameters>(?:\s.*)?)', re.DOTALL
)
_SOURCE_ROUTE = re.compile(r'@[^:"]*+:')  # section 4.1.1.3: to be accepted and ignored
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([\x21-\x3c\x3e-\x7e]++))?")


class BadArgumentError(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class PathArgument:
    """`path` is without brackets and source route, empty for `<>`; parameters are by upper-case keyword."""

    path: str
    parameters: dict[str, str | None]


def parse_path(argument: str | None, *, keyword: str) -> PathArgument:
    """Reads `FROM:<path> KEY=value …`. Raises BadArgumentError."""
    head, colon, tail = (argument or "").partition(":")
    match = _PATH.fullmatch(tail)
    if head.strip().upper() != keyword or not colon or match is None:
        raise BadArgumentError
    path = match["bare"] or match["path"] or ""
    return PathArgument(
        _SOURCE_ROUTE.sub("", path.strip(), count=1) if path.startswith("@") else path.strip(),
        dict(map(_parse_parameter, match["parameters"].split())),
    )


def bare_path(text: str, *, keyword: str) -> str | None:
    """What MAIL or RCPT would make of an address that stands alone, in brackets or not; None when that is nothing."""
    bare = text.strip()
    if not (bare.startswith("<") and bare.endswith(">")):
        bare = f"<{bare}>"
    try:
        argument = parse_path(f"{keyword}:{bare}", keyword=keyword)
    except BadArgumentError:
        return None
    return None if argument.parameters else argument.path


def _parse_parameter(text: str) -> tuple[str, str | None]:
    match = _PARAMETER.fullmatch(text)
    if match is None:
        raise BadArgumentError
    return match[1].upper(), match[2]


def is_storable_sender(path: str) -> bool:
    """Whatever can be kept as text is taken: a sender is not asked for an address of our taste."""
    # not printable are controls, NUL and what was no UTF-8; spaces may stand in a quoted local part
    return len(path) <= MAX_SENDER_LENGTH and path.isprintable()


def cleaned_helo(name: str) -> str:
    """The name that a client gives itself, fit to be stored; it proves nothing."""
    return "".join(character if character.isprintable() else "?" for character in name[:MAX_HELO_LENGTH])


def client_ip(peer: object) -> str | None:
    """The address of a socket's peer: without a zone, and IPv4 as IPv4. None for a peer that has none."""
    if not isinstance(peer, tuple):
        return None
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
