"""The delivery table as a queue: claiming what is due, writing down what came of it, and owning whatever is stuck.

All of it is synchronous and short; the dispatcher calls it from one thread of its own. Every write to a claimed row
matches the lease that claimed it, so that a dispatcher that comes back late changes nothing.
"""

from webhooks.models import DELETED
from webhooks.services.announce import GONE
from webhooks.services.claimed import Claimed
from webhooks.services.queue.candidates import FIRST, Rotation, in_flight_per_webhook
from webhooks.services.queue.claiming import (
    ALONE_WAITS_FOR,
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_PER_WEBHOOK,
    RESERVED,
    claim,
    is_anything_due,
    must_make_way,
)
from webhooks.services.queue.ending import Result
from webhooks.services.queue.recording import record
from webhooks.services.queue.upkeep import settle, take_over

LEASE_KIND = "dispatch"

__all__ = [
    "ALONE_WAITS_FOR",
    "DELETED",
    "FIRST",
    "GONE",
    "LEASE_KIND",
    "MAX_IN_FLIGHT",
    "MAX_IN_FLIGHT_PER_WEBHOOK",
    "RESERVED",
    "Claimed",
    "Result",
    "Rotation",
    "claim",
    "in_flight_per_webhook",
    "is_anything_due",
    "must_make_way",
    "record",
    "settle",
    "take_over",
]
