"""What an installation's database says at the end, as JSON. Run in its environment: `python -m tests.campaign_rows`."""

import json
import os
import sys
from collections import Counter, defaultdict
from typing import Any
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")
django.setup()

from django.db.models import Count  # noqa: E402

from emailgistics.common import tallies  # noqa: E402
from emailgistics.common.ids import encode_id  # noqa: E402
from mailboxes.models import Email, Message  # noqa: E402
from webhooks.models import Attempt, Delivery, Event, Webhook  # noqa: E402


def unfinished() -> dict[str, int]:
    """What is still to be done."""
    waiting = Message.objects.filter(state=Message.State.WAITING).count()
    states = (Delivery.State.PENDING, Delivery.State.HELD)
    return {"waiting": waiting, **{state.value: Delivery.objects.filter(state=state).count() for state in states}}


def stored_twice() -> list[str]:
    """By Message-ID, which each mail of the campaign has one of its own. One that was never opened shows none."""
    rows = Email.objects.exclude(message_id_header="").order_by().values("message_id_header")
    twice = rows.annotate(messages=Count("message", distinct=True)).filter(messages__gt=1)
    return [row["message_id_header"] for row in twice]


def everything() -> dict[str, Any]:
    numbers: dict[UUID, list[int]] = defaultdict(list)
    lost: Counter[UUID] = Counter()
    for delivery, n, error in Attempt.objects.order_by("delivery", "n").values_list("delivery", "n", "error"):
        numbers[delivery].append(n)
        lost[delivery] += error == "lost"
    columns = ("pk", "event__email__message", "webhook", "event", "state", "reason", "attempts", "failures")
    return {
        "unfinished": unfinished(),
        "lost_attempts": lost.total(),
        "most_lost_of_one": max(lost.values(), default=0),
        "messages": Message.objects.count(),
        "stored_twice": stored_twice(),
        "counts": tallies.totals(),
        "parked": Message.objects.filter(state=Message.State.PARKED).count(),
        "deliveries": [
            {
                "delivery": encode_id(Delivery.ID_PREFIX, pk),
                "message": encode_id(Message.ID_PREFIX, message) if message else None,
                "webhook": encode_id(Webhook.ID_PREFIX, webhook),
                "event": encode_id(Event.ID_PREFIX, event),
                "state": state,
                "reason": reason,
                "attempts": attempts,
                "failures": failures,
                "numbers": numbers[pk],
            }
            for pk, message, webhook, event, state, reason, attempts, failures in Delivery.objects.values_list(*columns)
        ],
    }


if __name__ == "__main__":
    json.dump(unfinished() if "--unfinished" in sys.argv else everything(), sys.stdout)
