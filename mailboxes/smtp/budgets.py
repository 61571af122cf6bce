"""What connections share and none may take alone: places, octets in flight, messages a minute.

All of it is of one process, and nothing here waits: what is not to be had is refused at once.
"""

import ipaddress
import math
from collections import Counter

IPV6_PREFIX = 64  # what one customer gets; within it, addresses are free
MINUTE_S = 60


def client_key(client_ip: str | None, *, is_loopback_known: bool) -> str | None:
    """By what a client is counted: its address, or the /64 of IPv6. None for whom no share is reckoned.

    That is a client without an address (a socket on this host) and, unless `is_loopback_known`, one on loopback: a mail
    server in front of us brings everybody's mail.
    """
    if client_ip is None:
        return None
    address = ipaddress.ip_address(client_ip)
    if address.is_loopback and not is_loopback_known:
        return None
    if address.version == 4:  # noqa: PLR2004
        return client_ip
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))


class Places:
    """Connections, in all and of one client."""

    def __init__(self, *, at_most: int, per_client: int) -> None:
        self._at_most = at_most
        self._per_client = per_client
        self._taken = 0
        self._by_client: Counter[str] = Counter()

    def take(self, key: str | None) -> bool:
        if self._taken >= self._at_most or (key is not None and self._by_client[key] >= self._per_client):
            return False
        self._taken += 1
        if key is not None:
            self._by_client[key] += 1
        return True

    def give_back(self, key: str | None) -> None:
        self._taken -= 1
        if key is None:
            return
        self._by_client[key] -= 1
        if not self._by_client[key]:
            del self._by_client[key]


class OctetBudget:
    """Octets of mail that are held in memory, from the first ones until the mail is stored or refused."""

    def __init__(self, *, at_most: int, per_client: int) -> None:
        self._at_most = at_most
        self._per_client = per_client
        self._by_client: Counter[str] = Counter()
        self.taken = 0

    def reservation(self, key: str | None) -> "Reservation":
        return Reservation(self, key)

    def has_room(self, key: str | None, octets: int) -> bool:
        if self.taken + octets > self._at_most:
            return False
        return key is None or self._by_client[key] + octets <= self._per_client

    def _take(self, key: str | None, octets: int) -> bool:
        if not self.has_room(key, octets):
            return False
        if key is not None:
            self._by_client[key] += octets
        self.taken += octets
        return True

    def _give_back(self, key: str | None, octets: int) -> None:
        self.taken -= octets
        if key is None:
            return
        self._by_client[key] -= octets
        if not self._by_client[key]:
            del self._by_client[key]


class Reservation:
    """The part of the budget that one mail has."""

    def __init__(self, budget: OctetBudget, key: str | None) -> None:
        self._budget = budget
        self._key = key
        self.octets = 0

    def grow_to(self, octets: int) -> bool:
        """False, and nothing changes, where so much is not to be had."""
        if octets > self.octets:
            if not self._budget._take(self._key, octets - self.octets):  # noqa: SLF001 - one thing in two classes
                return False
            self.octets = octets
        return True

    def release(self) -> None:
        """As often as anybody likes."""
        if self.octets:
            self._budget._give_back(self._key, self.octets)  # noqa: SLF001
            self.octets = 0


class MessageRate:
    """Messages of one client in a minute, the same one for all; 0 is as many as it likes."""

    def __init__(self, *, per_minute: int) -> None:
        self._per_minute = per_minute
        self._ends_at = 0.0
        self._by_client: Counter[str] = Counter()

    def count(self, key: str | None, *, now: float) -> int:
        """0 if one more may come, otherwise the seconds to wait; now is of any clock that goes on."""
        if not self._per_minute or key is None:
            return 0
        if now >= self._ends_at:
            self._by_client.clear()
            self._ends_at = now + MINUTE_S
        if self._by_client[key] >= self._per_minute:
            return max(math.ceil(self._ends_at - now), 1)
        self._by_client[key] += 1
        return 0
