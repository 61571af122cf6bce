"""Attempts that have ended, on record: fenced, and together with what is the same for all that went well.

On PostgreSQL one statement for all of it: in the ordinary case, all went well, it is the only one. Elsewhere several,
which cost next to nothing there.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from emailgistics.common.series import Kind
from webhooks import retry
from webhooks.models import Attempt, Delivery
from webhooks.services import counted
from webhooks.services.claimed import Claimed
from webhooks.services.queue.postgres import rows_of
from webhooks.transport import OWN_FAULTS, Answer

CANNOT_RENDER = frozenset({"secret_unreadable", "headers_unreadable", "body_unreadable"})

# of a webhook's health: if none of these does, it is spotless
SAYS_SOMETHING = ("failing_since", "window_started_at", "open_for_s", "cap")


@dataclass(frozen=True, slots=True)
class Result:
    claimed: Claimed
    answer: Answer

    @property
    def is_success(self) -> bool:
        return retry.is_success(self.answer.status)

    @property
    def is_own_fault(self) -> bool:
        """Nothing was asked of the receiver, so nothing is held against it, or against the delivery.

        A test shows it all the same: it is tried once.
        """
        is_ours = self.answer.status is None and self.answer.error in OWN_FAULTS | CANNOT_RENDER
        return is_ours and not self.claimed.is_test

    @property
    def is_retry(self) -> bool:
        """The receiver was asked again, because it failed before."""
        return self.claimed.failures > 0 and not self.is_own_fault


def write_ended(results: Sequence[Result], lease_id: UUID) -> tuple[list[Result], set[UUID]]:
    """Writes down all attempts, but of what was erased meanwhile, and as delivered those that went well.

    Returns the results whose delivery is still ours, and is locked from now on; and the webhooks of those of which
    something is known. The fence: whoever took a delivery over has ended our lease on it. They are locked before
    anything is written, and in the order of their ids, as everybody does.
    """
    write = _in_one_statement if connection.vendor == "postgresql" else _one_after_the_other
    numbers, in_trouble = write(results, lease_id)
    return [result for result in results if numbers.get(result.claimed.delivery_id) == result.claimed.n], in_trouble


# octets are written in hexadecimal, in the JSON that carries all rows as one parameter
COLUMNS = {
    "delivery_id": "(one->>0)::uuid",
    "n": "(one->>1)::smallint",
    "started_at": "(one->>2)::timestamptz",
    "status": "(one->>3)::smallint",
    "error": "one->>4",
    "detail": "one->>5",
    "dns_ms": "(one->>6)::integer",
    "connect_ms": "(one->>7)::integer",
    "first_byte_ms": "(one->>8)::integer",
    "total_ms": "(one->>9)::integer",
    "peer_ip": "(one->>10)::inet",
    "response_headers": "decode(one->>11, 'hex')",
    "response_excerpt": "decode(one->>12, 'hex')",
}
NAMES = ", ".join(COLUMNS)

# `there` is read to its end, and all of it locked, before the first attempt is written
STATEMENT = f"""
WITH ended AS MATERIALIZED (
    SELECT {", ".join(f"{read} AS {name}" for name, read in COLUMNS.items())},
           (one->>13)::boolean AS is_success, (one->>14)::boolean AS is_own_fault, (one->>15)::boolean AS is_retry
      FROM jsonb_array_elements(%(ended)s::jsonb) AS one
), there AS MATERIALIZED (
    SELECT id, attempts, webhook_id, event_id, is_test, created_at, begun_at,
           COALESCE(lease_id = %(lease)s, false) AS is_ours
      FROM webhooks_delivery
     WHERE id = ANY(ARRAY(SELECT delivery_id FROM ended))
     ORDER BY id FOR NO KEY UPDATE
), written AS (
    INSERT INTO webhooks_attempt ({NAMES})
    SELECT {NAMES} FROM ended WHERE NOT is_own_fault AND delivery_id IN (SELECT id FROM there)
    ON CONFLICT DO NOTHING
), delivered AS (
    UPDATE webhooks_delivery d
       SET state = 'delivered', reason = '', delivered_at = statement_timestamp(), last_status = ended.status,
           last_error = '', last_attempt_at = statement_timestamp(), lease_id = NULL, lease_losses = 0,
           deferred_since = NULL
      FROM there JOIN ended ON ended.delivery_id = there.id AND ended.n = there.attempts
     WHERE d.id = there.id AND there.is_ours AND ended.is_success
), counted AS (
{counted.STATEMENT}
)
SELECT there.id, there.attempts, there.webhook_id, {", ".join(f"h.{name}" for name in SAYS_SOMETHING)}
  FROM there LEFT JOIN webhooks_webhookhealth h ON h.webhook_id = there.webhook_id
 WHERE there.is_ours
"""  # noqa: S608 - made of constants of ours


def _in_one_statement(results: Sequence[Result], lease_id: UUID) -> tuple[dict[UUID, int], set[UUID]]:
    ended = json.dumps([_as_json(result) for result in results])
    return _known(rows_of(STATEMENT, {"ended": ended, "lease": lease_id}))


def _as_json(result: Result) -> tuple[object, ...]:
    """In the order of COLUMNS."""
    claimed, answer = result.claimed, result.answer
    return (
        claimed.delivery_id.hex,
        claimed.n,
        answer.started_at.isoformat(),
        answer.status,
        answer.error,
        answer.detail,
        answer.dns_ms,
        answer.connect_ms,
        answer.first_byte_ms,
        answer.total_ms,
        answer.peer_ip,
        answer.response_headers.hex(),
        answer.response_excerpt.hex(),
        result.is_success,
        result.is_own_fault,
        result.is_retry,
    )


def _one_after_the_other(results: Sequence[Result], lease_id: UUID) -> tuple[dict[UUID, int], set[UUID]]:
    """For SQLite, where a transaction has the only write lock from its start."""
    ids = [result.claimed.delivery_id for result in results]
    health = [f"webhook__health__{name}" for name in SAYS_SOMETHING]
    rows = Delivery.objects.filter(pk__in=ids)
    numbers, in_trouble = _known(rows.filter(lease_id=lease_id).values_list("pk", "attempts", "webhook", *health))
    there = set(rows.values_list("pk", flat=True))
    ended = (result for result in results if not result.is_own_fault and result.claimed.delivery_id in there)
    Attempt.objects.bulk_create(map(_attempt, ended), ignore_conflicts=True)
    ours = [one for one in results if numbers.get(one.claimed.delivery_id) == one.claimed.n]
    delivered = [one for one in ours if one.is_success]
    counted.delivered(Delivery.objects.filter(pk__in=[one.claimed.delivery_id for one in delivered]))
    counted.count(Kind.RETRIES, [one.claimed.delivery_id for one in ours if one.is_retry])
    failed = [one.claimed.delivery_id for one in ours if not one.is_success and not one.is_own_fault]
    counted.count(Kind.FAILURES, failed)
    _write_delivered(delivered)
    return numbers, in_trouble


def _known(rows: Iterable[tuple[UUID, int, UUID, *tuple[object, ...]]]) -> tuple[dict[UUID, int], set[UUID]]:
    """The number of the attempt that each delivery is at; and the webhooks of which something is known."""
    numbers: dict[UUID, int] = {}
    in_trouble: set[UUID] = set()
    for pk, n, webhook, *health in rows:
        numbers[pk] = n
        if any(health):
            in_trouble.add(webhook)
    return numbers, in_trouble


def _write_delivered(results: Iterable[Result]) -> None:
    alike: dict[int | None, list[UUID]] = defaultdict(list)
    for result in results:
        alike[result.answer.status].append(result.claimed.delivery_id)
    for status, ids in alike.items():
        Delivery.objects.filter(pk__in=ids).update(
            **came_back(),
            state=Delivery.State.DELIVERED,
            reason="",
            last_status=status,
            last_error="",
            delivered_at=Now(),
        )


def came_back() -> dict[str, object]:
    """Of every attempt that did, however it went: it did not take its dispatcher along."""
    return {"lease_id": None, "lease_losses": 0, "deferred_since": None, "last_attempt_at": Now()}


def _attempt(result: Result) -> Attempt:
    answer = result.answer
    return Attempt(
        delivery_id=result.claimed.delivery_id,
        n=result.claimed.n,
        started_at=answer.started_at,
        status=answer.status,
        error=answer.error,
        detail=answer.detail,
        dns_ms=answer.dns_ms,
        connect_ms=answer.connect_ms,
        first_byte_ms=answer.first_byte_ms,
        total_ms=answer.total_ms,
        peer_ip=answer.peer_ip,
        response_headers=answer.response_headers,
        response_excerpt=answer.response_excerpt,
    )
