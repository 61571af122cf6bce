"""The console's pages of webhooks and of what became of each event."""

from webhooks.admin.history import AttemptAdmin, DeliveryAdmin, EventAdmin, EventBodyAdmin
from webhooks.admin.webhooks import WebhookAdmin

__all__ = ["AttemptAdmin", "DeliveryAdmin", "EventAdmin", "EventBodyAdmin", "WebhookAdmin"]
