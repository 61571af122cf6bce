"""Sending a test: an event of its own that goes the way of every other, and what came of it."""

import time
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from emailgistics.common.errors import ConflictError, NotFoundError
from emailgistics.common.logs import get_logger
from webhooks.models import PULLED, Delivery, Webhook
from webhooks.services import bodies, counted
from webhooks.services.replay import OPEN, State, nudge_after_commit
from webhooks.services.stop import outgoing_stop

log = get_logger(__name__)

LOOK_EVERY = timedelta(milliseconds=50)


class UnfinishedTestError(ConflictError):
    """The webhook was sent a test that has not ended."""

    code = "test_under_way"


def send_test(webhook: Webhook, *, by: str) -> Delivery:
    """A `webhook.test` on its way: tried once, also while the webhook is paused or disabled.

    Without a URL it waits to be pulled. It says nothing of how well the webhook takes mail. Raises UnfinishedTestError
    while the one before has not ended, and NotFoundError for a deleted webhook.
    """
    with transaction.atomic():
        # locked, so that none is made for a webhook that is being deleted, and of several at once one is
        rows = Webhook.objects.live().filter(pk=webhook.pk).select_for_update(of=("self",), no_key=True)
        row = rows.first()
        if row is None:
            raise NotFoundError(f"The webhook {webhook.public_id} was deleted meanwhile.")
        if _has_unfinished(row):
            raise UnfinishedTestError("The test before has not ended yet: wait for it, or cancel that delivery.")
        body = bodies.store_test_event(row)
        delivery = Delivery.objects.create(
            event_id=body.event_id,
            webhook=row,
            body=body,
            is_test=True,
            state=State.PENDING if row.url else State.HELD,
            reason="" if row.url else PULLED,
            due_at=Now(),
        )
        counted.came([delivery])
        nudge_after_commit()
    log.info("webhook.test", webhook=row.public_id, delivery=delivery.public_id, by=by)
    delivery.refresh_from_db()
    return delivery


def wait_for_end(delivery: Delivery, *, at_most: timedelta) -> Delivery:
    """The delivery as it is once it is no longer pending, or when that time is over. Not for inside a transaction.

    While all outgoing webhooks are stopped there is nothing to wait for.
    """
    until = time.monotonic() + (0 if outgoing_stop() else at_most.total_seconds())
    while True:
        delivery.refresh_from_db()
        if delivery.state != State.PENDING or time.monotonic() >= until:
            return delivery
        time.sleep(LOOK_EVERY.total_seconds())


def _has_unfinished(webhook: Webhook) -> bool:
    tests = Delivery.objects.filter(webhook=webhook, is_test=True)
    if not webhook.url:
        return tests.filter(state__in=OPEN).exists()
    # one by one: each has a small index of its own, however much mail waits
    return tests.filter(state=State.PENDING, lease_id=None).exists() or tests.filter(lease_id__isnull=False).exists()
