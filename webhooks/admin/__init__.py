"""The console's pages of webhooks and of what became of each event."""

from webhooks.admin.deliveries import DeliveryAdmin
from webhooks.admin.history import AttemptAdmin, EventAdmin, EventBodyAdmin
from webhooks.admin.jobs import NoticeAdmin, ReplayJobAdmin
from webhooks.admin.webhooks import WebhookAdmin

__all__ = [
    "AttemptAdmin",
    "DeliveryAdmin",
    "EventAdmin",
    "EventBodyAdmin",
    "NoticeAdmin",
    "ReplayJobAdmin",
    "WebhookAdmin",
]
