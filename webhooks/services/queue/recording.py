"""Writing down what came of attempts: many at once, each write fenced by the lease and the number of its attempt."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple
from uuid import UUID

from django.db import DataError, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks import retry
from webhooks.health import outcome_of
from webhooks.models import Attempt, Delivery, EventBody, Webhook
from webhooks.services import announce, verdicts
from webhooks.services.announce import GONE
from webhooks.services.claimed import Claimed, among
from webhooks.transport import OWN_FAULTS, Answer

log = get_logger(__name__)

State = Delivery.State
CANNOT_RENDER = frozenset({"secret_unreadable", "headers_unreadable", "body_unreadable"})
DEFERRED_FOR = timedelta(seconds=30)
WITH_WHAT_IT_SAYS = frozenset({EventBody.Form.FULL, EventBody.Form.INLINE})

# of a webhook's health: if none of these does, it is spotless
SAYS_SOMETHING = tuple(
    f"webhook__health__{name}" for name in ("failing_since", "window_started_at", "open_for_s", "cap")
)

Fate = dict[str, object]

COLUMNS = {
    "delivery_id": "uuid",
    "n": "smallint",
    "started_at": "timestamptz",
    "status": "smallint",
    "error": "text",
    "detail": "text",
    "dns_ms": "integer",
    "connect_ms": "integer",
    "first_byte_ms": "integer",
    "total_ms": "integer",
    "peer_ip": "inet",
    "response_headers": "bytea",
    "response_excerpt": "bytea",
}


def _parameter(kind: str) -> str:
    """Octets go as octets (%b): escaped they would be twice as long."""
    return f"{'%b' if kind == 'bytea' else '%s'}::{kind}[]"


INSERT = (
    f"INSERT INTO webhooks_attempt ({', '.join(COLUMNS)}) "  # noqa: S608 - names of ours
    f"SELECT * FROM unnest({', '.join(_parameter(kind) for kind in COLUMNS.values())}) "
    "ON CONFLICT DO NOTHING"
)


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


def record(results: Sequence[Result], lease_id: UUID) -> None:
    """Writes down attempts and what follows from them, in one transaction.

    What the database refuses for its content is written again one by one, at last without what the receiver sent. An
    OperationalError goes to the caller: then nothing was written.
    """
    try:
        _record(results, lease_id)
    except (DataError, IntegrityError, ValueError):
        for result in results:
            try:
                _record([result], lease_id)
            except (DataError, IntegrityError, ValueError):
                log.exception("attempt.recorded_bare", delivery=str(result.claimed.delivery_id))
                _record_bare(result, lease_id)


def _record_bare(result: Result, lease_id: UUID) -> None:
    answer = replace(result.answer, response_headers=b"", response_excerpt=b"", detail="", peer_ip=None)
    try:
        _record([replace(result, answer=answer)], lease_id)
    except (DataError, IntegrityError, ValueError):
        # it is taken over as lost, and takes no other along
        log.exception("attempt.not_recorded", delivery=str(result.claimed.delivery_id))


@transaction.atomic
def _record(results: Sequence[Result], lease_id: UUID) -> None:
    there, ours, in_trouble = _locked(results, lease_id)
    insert_attempts([result for result in there if not result.is_own_fault])
    _write_successes([result for result in ours if result.is_success])
    _write_failures([result for result in ours if not result.is_success])
    _judge([result for result in ours if not (result.claimed.is_test or result.is_own_fault)], in_trouble)
    if len(ours) < len(results):
        # taken over meanwhile, which is on record, ended by somebody or erased: what was answered decides nothing
        log.warning("delivery.stale_results", count=len(results) - len(ours))


class Locked(NamedTuple):
    there: list[Result]  # their delivery was not erased
    ours: list[Result]  # of these
    in_trouble: set[UUID]  # webhooks of which something is known


def _locked(results: Sequence[Result], lease_id: UUID) -> Locked:
    """Those whose delivery is there, and still ours: locked, so that both stay so.

    The fence: whoever took one over has ended our lease on it. Locked before anything is written, and in the order of
    their ids, as everybody does.
    """
    ids = [result.claimed.delivery_id for result in results]
    rows = Delivery.objects.filter(among(ids)).order_by("id").select_for_update(of=("self",), no_key=True)
    there: set[UUID] = set()
    ours: set[tuple[UUID, int]] = set()
    in_trouble: set[UUID] = set()
    for pk, n, lease, webhook, *known in rows.values_list("pk", "attempts", "lease_id", "webhook", *SAYS_SOMETHING):
        there.add(pk)
        if lease == lease_id:
            ours.add((pk, n))
        if any(known):
            in_trouble.add(webhook)
    return Locked(
        [result for result in results if result.claimed.delivery_id in there],
        [result for result in results if (result.claimed.delivery_id, result.claimed.n) in ours],
        in_trouble,
    )


def _judge(results: Iterable[Result], in_trouble: set[UUID]) -> None:
    """What they say of their webhooks, one webhook after the other. Successes of one that is spotless say nothing."""
    by_webhook: dict[UUID, list[Result]] = defaultdict(list)
    for result in results:
        by_webhook[result.claimed.webhook_id].append(result)
    for webhook in sorted(by_webhook):
        those = by_webhook[webhook]
        if webhook not in in_trouble and all(result.is_success for result in those):
            continue
        outcomes = [outcome_of(result.answer.status) for result in those if not _says_more(result)]
        verdicts.judge(webhook, outcomes, at_most=those[0].claimed.max_in_flight)
        for url in {result.claimed.url for result in those if result.answer.status == HTTPStatus.GONE}:
            # for good, it says (RFC 9110 section 15.5.11)
            announce.disable(webhook, reason=GONE, url=url)
        for url in {result.claimed.url for result in those if _is_too_large(result)}:
            announce.thin(webhook, url=url)


def _says_more(result: Result) -> bool:
    """An answer from which something of its own follows, and which counts for nothing else."""
    return result.answer.status == HTTPStatus.GONE or _is_too_large(result)


def _is_too_large(result: Result) -> bool:
    """There is a smaller form to send instead."""
    is_smaller = result.claimed.is_about_mail and result.claimed.form in WITH_WHAT_IT_SAYS
    return is_smaller and result.answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _write_successes(results: Iterable[Result]) -> None:
    alike: dict[int | None, list[UUID]] = defaultdict(list)
    for result in results:
        alike[result.answer.status].append(result.claimed.delivery_id)
    for status, ids in alike.items():
        Delivery.objects.filter(among(ids)).update(
            **_done(), state=State.DELIVERED, reason="", last_status=status, last_error="", delivered_at=Now()
        )


def _write_failures(results: Iterable[Result]) -> None:
    for result in results:
        fate = _fate(result)
        Delivery.objects.filter(pk=result.claimed.delivery_id).update(**fate)
        _tell_failure(result, state=str(fate.get("state", State.PENDING)))


def _done() -> Fate:
    # every attempt that comes back, however it went, did not take its dispatcher along
    return {"lease_id": None, "lease_losses": 0, "deferred_since": None, "last_attempt_at": Now()}


def _fate(result: Result, *, jitter: Callable[[], float] = random.random) -> Fate:
    """What becomes of a delivery whose attempt was no success."""
    answer, claimed = result.answer, result.claimed
    said: Fate = {"last_status": answer.status, "last_error": answer.error, "reason": answer.detail[:200]}
    if claimed.is_test:
        return _done() | said | {"state": State.FAILED, "failures": 1}
    if result.is_own_fault:
        return said | _deferred()
    if answer.status == HTTPStatus.GONE:
        return _done() | said | {"failures": F("failures") + 1, "state": State.HELD, "reason": GONE}
    if _is_too_large(result):
        return _done() | said | {"due_at": Now(), "reason": "too large for the receiver: sent again without its text"}
    failures = claimed.failures + 1
    hint = retry.parse_retry_after(answer.retry_after, now=timezone.now())
    delay = retry.next_delay(failures, status=answer.status, retry_after=hint, jitter=jitter)
    if delay is None:
        end = {"state": State.FAILED, "reason": f"exhausted after {claimed.n} attempts"}
        return _done() | said | end | {"failures": failures}
    return _done() | said | {"failures": failures, "due_at": Now() + delay}


def _deferred() -> Fate:
    """The number is handed back: nothing was asked of the receiver. upkeep holds what is deferred for too long."""
    return {
        "lease_id": None,
        "lease_losses": 0,
        "attempts": F("attempts") - 1,
        "due_at": Now() + DEFERRED_FOR,
        "deferred_since": Coalesce(F("deferred_since"), Now()),
    }


def insert_attempts(results: Sequence[Result]) -> None:
    """All in one statement; one whose number is on record already changes nothing."""
    rows = [_attempt(result) for result in results]
    if connection.vendor != "postgresql":
        attempts = (Attempt(**dict(zip(COLUMNS, row, strict=True))) for row in rows)
        Attempt.objects.bulk_create(attempts, ignore_conflicts=True)
    elif rows:
        # column by column: hundreds of rows of a dozen parameters each would cost more to write down than to send
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [list(column) for column in zip(*rows, strict=True)])


def _tell_failure(result: Result, *, state: str) -> None:
    claimed, answer = result.claimed, result.answer
    log.warning(
        "webhook.attempt_deferred" if result.is_own_fault else "webhook.attempt_failed",
        webhook=encode_id(Webhook.ID_PREFIX, claimed.webhook_id),
        delivery=encode_id(Delivery.ID_PREFIX, claimed.delivery_id),
        n=claimed.n,
        status=answer.status,
        error=answer.error,
        detail=answer.detail,
        state=state,
    )


def _attempt(result: Result) -> tuple[object, ...]:
    """In the order of COLUMNS."""
    answer = result.answer
    return (
        result.claimed.delivery_id,
        result.claimed.n,
        answer.started_at,
        answer.status,
        answer.error,
        answer.detail,
        answer.dns_ms,
        answer.connect_ms,
        answer.first_byte_ms,
        answer.total_ms,
        answer.peer_ip,
        answer.response_headers,
        answer.response_excerpt,
    )
