"""Sending a test: an event of its own that goes the way of every other, and what came of it."""

import time
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from emailgistics.common.errors import NotFoundError
from emailgistics.common.logs import get_logger
from webhooks.models import PULLED, Delivery, Webhook
from webhooks.services import bodies
from webhooks.services.replay import nudge_after_commit

log = get_logger(__name__)

LOOK_EVERY = timedelta(milliseconds=50)


def send_test(webhook: Webhook, *, by: str) -> Delivery:
    """A `webhook.test` on its way: tried once, also while the webhook is paused or disabled.

    Without a URL it waits to be pulled. It says nothing of how well the webhook takes mail. Raises NotFoundError for a
    deleted webhook.
    """
    with transaction.atomic():
        # locked, so that none is made for a webhook that is being deleted
        rows = Webhook.objects.live().filter(pk=webhook.pk).select_for_update(of=("self",), no_key=True)
        row = rows.first()
        if row is None:
            raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
        body = bodies.store_test_event(row)
        delivery = Delivery.objects.create(
            event_id=body.event_id,
            webhook=row,
            body=body,
            is_test=True,
            state=Delivery.State.PENDING if row.url else Delivery.State.HELD,
            reason="" if row.url else PULLED,
            due_at=Now(),
        )
        nudge_after_commit()
    log.info("webhook.test", webhook=row.public_id, delivery=delivery.public_id, by=by)
    delivery.refresh_from_db()
    return delivery


def wait_for_end(delivery: Delivery, *, at_most: timedelta) -> Delivery:
    """The delivery as it is once it is no longer pending, or when that time is over. Not for inside a transaction."""
    until = time.monotonic() + at_most.total_seconds()
    while True:
        delivery.refresh_from_db()
        if delivery.state != Delivery.State.PENDING or time.monotonic() >= until:
            return delivery
        time.sleep(LOOK_EVERY.total_seconds())
