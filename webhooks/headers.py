"""The headers that a webhook has of its own: which there may be, and that nobody reads their values afterwards.

Checked when they are saved, and again before they are sent: what a row holds may be older than these rules, or forged.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from emailgistics.common.errors import RefusedError
from mailboxes.addresses import shown

FIELD = "headers"
MASK = "***"  # what is shown for a value; sent back, it keeps the value
MAX_HEADERS = 20
MAX_NAME_LENGTH = 100
MAX_VALUE_LENGTH = 4096  # a large token; many servers end at 8 KiB for all headers together
MAX_TOTAL_LENGTH = 6 * 1024
SHORTEST_SECRET = 8  # in an answer, shorter ones are found everywhere and are nobody's secret

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
VALUE = re.compile(r"[\x21-\x7e]([\t\x20-\x7e]*[\x21-\x7e])?")  # section 5.5, without octets that are not ASCII

# Ours, the connection's, or what proxies and servers believe about who is asking; `_` is read as `-`, as CGI does
RESERVED = frozenset(
    {
        "accept-encoding", "connection", "cookie", "cookie2", "date", "expect", "forwarded", "host", "http2-settings",
        "keep-alive", "set-cookie", "set-cookie2", "te", "trailer", "trailers", "transfer-encoding", "upgrade",
        "user-agent", "via", "x-forwarded", "x-real-ip",
    }
)  # fmt: skip
RESERVED_PREFIXES = ("content-", "proxy-", "webhook-", "x-forwarded-", "x-webhook-")


def check(headers: Mapping[str, str]) -> None:
    """Raises RefusedError, with field headers, that names the header and what to do, and quotes no value."""
    if len(headers) > MAX_HEADERS:
        raise _refused(f"A webhook has at most {MAX_HEADERS} headers of its own; these are {len(headers)}.")
    check_names(headers)
    for name, value in headers.items():
        _check_value(name, value)
    total = sum(len(name) + len(value) for name, value in headers.items())
    if total > MAX_TOTAL_LENGTH:
        raise _refused(f"The headers are {total} characters long; together they may have {MAX_TOTAL_LENGTH}.")


def check_names(names: Iterable[str]) -> None:
    """Raises RefusedError for a name that may not be set, and for two that are one to a receiver."""
    seen: dict[str, str] = {}
    for name in names:
        _check_name(name)
        other = seen.setdefault(folded(name), name)
        if other is not name:
            raise _refused(f"{shown(other)} and {shown(name)} are the same header to a receiver; give it once.")


def folded(name: str) -> str:
    """How names are compared: in any case, and with the underscore as the hyphen that many receivers make of it."""
    return name.lower().replace("_", "-")


def masked(names: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(names, MASK)


def redacted(octets: bytes, headers: Mapping[str, str]) -> bytes:
    """What a receiver answered, without the values that it was sent: some receivers answer with the whole request.

    Octet for octet, and as JSON writes them; a receiver that encodes them otherwise has them on record. An answer may
    end within a value, where it was cut or broke off: the beginning of one is masked at the end.
    """
    values = {part for value in headers.values() for part in (value, *value.split()) if len(part) >= SHORTEST_SECRET}
    forms = {form.encode() for value in values for form in (value, json.dumps(value)[1:-1])}
    # all are found before any is masked: they may overlap
    found = [span for form in forms for span in _spans(octets, form)]
    found += [(len(octets) - cut, len(octets)) for form in forms if (cut := _cut_at_the_end(octets, form))]
    kept, end = b"", 0
    for start, until in sorted(found):
        if start >= end:
            kept += octets[end:start] + MASK.encode()
        end = max(end, until)
    return kept + octets[end:]


def _spans(octets: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    """Where it stands; find, not a pattern: many words of many values are looked for while others wait."""
    start = octets.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = octets.find(form, start + 1)


def _cut_at_the_end(octets: bytes, form: bytes) -> int:
    """How many octets at the end are how it begins; 0 if too few to tell."""
    longest = min(len(octets), len(form))
    return next((n for n in range(longest, SHORTEST_SECRET - 1, -1) if octets.endswith(form[:n])), 0)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise _refused(
            f"{shown(name)} is no name of a header: that has ASCII letters, digits and hyphens, no spaces and no colon."
        )
    if len(name) > MAX_NAME_LENGTH:
        raise _refused(f"The header name {shown(name)} is longer than {MAX_NAME_LENGTH} characters.")
    if folded(name) in RESERVED or folded(name).startswith(RESERVED_PREFIXES):
        raise _refused(
            f"The header {shown(name)} cannot be set: the request itself, its signature or proxies on the way use it. "
            "Choose another name, such as Authorization or X-Api-Key."
        )


def _check_value(name: str, value: str) -> None:
    if value == MASK:
        raise _refused(
            f"{MASK} stands for the value that the header {shown(name)} has, and it has none yet; give its value."
        )
    if not VALUE.fullmatch(value):
        raise _refused(
            f"The value of the header {shown(name)} cannot be sent: it is visible ASCII on one line, not empty, and "
            "without spaces or tabs around it."
        )
    if len(value) > MAX_VALUE_LENGTH:
        raise _refused(
            f"The value of the header {shown(name)} is {len(value)} characters long; it may have {MAX_VALUE_LENGTH}."
        )


def _refused(message: str) -> RefusedError:
    return RefusedError(message, field=FIELD)
