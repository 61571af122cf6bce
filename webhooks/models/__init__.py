"""Endpoints, what happened, and how far the news of it has come.

An event is rendered once; a delivery is that event for one webhook; an attempt is one HTTP request. The delivery table
is the queue: whatever is unfinished has a due time, or is held and looked at by a sweep.
"""

from webhooks.models.delivery import (
    BEFORE_RESTORE,
    CONFIRMED,
    MAILBOX_DELETED,
    Attempt,
    Delivery,
    why_mailbox_gone,
)
from webhooks.models.event import Event, EventBody
from webhooks.models.job import ReplayJob
from webhooks.models.webhook import (
    ALIVE,
    DELETED,
    MAX_IN_FLIGHT,
    MOVED,
    OTHER_MAILBOX,
    PULLED,
    STAYED,
    STOPPED,
    Notice,
    OutgoingStop,
    Webhook,
    WebhookHealth,
    WebhookQuerySet,
    usual_event_types,
)

__all__ = [
    "ALIVE",
    "BEFORE_RESTORE",
    "CONFIRMED",
    "DELETED",
    "MAILBOX_DELETED",
    "MAX_IN_FLIGHT",
    "MOVED",
    "OTHER_MAILBOX",
    "PULLED",
    "STAYED",
    "STOPPED",
    "Attempt",
    "Delivery",
    "Event",
    "EventBody",
    "Notice",
    "OutgoingStop",
    "ReplayJob",
    "Webhook",
    "WebhookHealth",
    "WebhookQuerySet",
    "usual_event_types",
    "why_mailbox_gone",
]
