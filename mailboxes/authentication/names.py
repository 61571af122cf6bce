"""Domain names as the checks compare them."""

from functools import lru_cache
from typing import Any

from mailboxes import addresses


class NotANameError(ValueError):
    """It is no fully qualified domain name."""


def a_labels(name: str) -> str:
    """The A-label form, lower case, without the root's dot; at least two labels. Raises NotANameError."""
    try:
        return addresses.domain_key(name)
    except addresses.InvalidAddressError:
        raise NotANameError(name) from None


def is_under(name: str, domain: str) -> bool:
    """Whether it is the domain, or one below it."""
    return f".{name}".endswith(f".{domain}")


@lru_cache(maxsize=1000)
def organisation(domain: str) -> str:
    """The organisational domain (RFC 7489 section 3.2): one label more than the public suffix, or the domain itself."""
    return _suffixes().privatesuffix(domain) or domain


@lru_cache(maxsize=1)
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - reads its list, for who asks for it

    return PublicSuffixList()
