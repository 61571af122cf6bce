"""Deliveries through the whole engine, to receivers of every kind, and what is on record of them afterwards.

Each receiver is a name of its own, so that none meets a connection, or the trouble, of another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from tests.factories import make_delivery, make_mailbox
from tests.webhooks.answers import Mode, Receiver
from tests.webhooks.posting import resolving_to
from tests.webhooks.rows import make_own_webhook
from webhooks.guard import JudgedUrl
from webhooks.models import Attempt, Delivery
from webhooks.services import dispatch
from webhooks.transport import Transport

SOON = timedelta(milliseconds=200)
CONTENT = b'{"type":"email.received"}'


@dataclass(frozen=True, slots=True)
class Outcome:
    delivery: Delivery
    attempts: list[Attempt]

    @property
    def attempt(self) -> Attempt:
        (attempt,) = self.attempts
        return attempt

    @property
    def brief(self) -> tuple[str, int | None, str]:
        """(state of the delivery, status, error code) after one attempt, on which both rows agree."""
        delivery, attempt = self.delivery, self.attempt
        assert (delivery.last_status, delivery.last_error) == (attempt.status, attempt.error)
        assert (delivery.lease_id, delivery.attempts, attempt.n) == (None, 1, 1)
        assert delivery.failures == (0 if delivery.state == "delivered" else 1)
        assert (delivery.delivered_at is not None) == (delivery.state == "delivered")
        return delivery.state, attempt.status, attempt.error

    @property
    def waits(self) -> timedelta:
        """From the end of the attempt until it is due again."""
        assert self.delivery.due_at is not None
        assert self.delivery.last_attempt_at is not None
        return self.delivery.due_at - self.delivery.last_attempt_at


DELIVERED, FAILED = "delivered", "pending"


def urls_of(there: Receiver, names: Mapping[str, Any]) -> dict[str, str]:
    scheme = there.url.partition(":")[0]
    return {name: f"{scheme}://{name}.example:{there.port}/hook" for name in names}


def deliver(urls: Mapping[str, str], *, total_s: float = 5, connect_s: float = 2) -> dict[str, Outcome]:
    """One event to each URL, all at once. Every name leads to this machine."""
    mailbox = make_mailbox()
    webhooks = [make_own_webhook(url=JudgedUrl(url), mailbox=mailbox)[0] for url in urls.values()]
    first = make_delivery(webhooks[0], content=CONTENT)
    event = {"event": first.event, "body": first.body, "state": first.state, "due_at": first.due_at}
    rest = Delivery.objects.bulk_create(Delivery(webhook=webhook, **event) for webhook in webhooks[1:])
    run(total_s=total_s, connect_s=connect_s)
    return {name: outcome_of(delivery.pk) for name, delivery in zip(urls, [first, *rest], strict=True)}


def run(**transport: Any) -> None:
    make_transport = partial(Transport, **{"lookup": resolving_to("127.0.0.1")} | transport)
    dispatch.run_until_idle(idle_for=SOON, make_transport=make_transport)


def outcome_of(pk: Any) -> Outcome:
    return Outcome(Delivery.objects.get(pk=pk), list(Attempt.objects.filter(delivery=pk).order_by("n")))


def deliver_to_modes(there: Receiver, modes: Mapping[str, Mode], **times: float) -> dict[str, Outcome]:
    return deliver(urls_of(there, modes), **times)
