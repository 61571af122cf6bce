"""Writing down what came of attempts: many at once, each write fenced by the lease and the number of its attempt."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from emailgistics.common.series import Kind
from webhooks import retry
from webhooks.health import outcome_of
from webhooks.models import Attempt, Delivery, EventBody, Webhook
from webhooks.services import announce, counted, verdicts
from webhooks.services.announce import GONE
from webhooks.services.queue.ending import Result, came_back, write_ended

log = get_logger(__name__)

State = Delivery.State
DEFERRED_FOR = timedelta(seconds=30)
WITH_WHAT_IT_SAYS = frozenset({EventBody.Form.FULL, EventBody.Form.INLINE})

Fate = dict[str, object]

successes = verdicts.Successes()


def record(results: Sequence[Result], lease_id: UUID) -> None:
    """Writes down attempts and what follows from them, in one transaction.

    Where that fails, be it for what a receiver sent or by a fault of ours, they are written one by one, at last without
    what the receiver sent: no result takes another along. An OperationalError or InterfaceError goes to the caller:
    then nothing was written.
    """
    try:
        _record(results, lease_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("attempts.recorded_one_by_one", count=len(results))
        for result in results:
            _record_one(result, lease_id)


def _record_one(result: Result, lease_id: UUID) -> None:
    delivery = str(result.claimed.delivery_id)
    for one in (result, _bare(result)):
        try:
            _record([one], lease_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("attempt.not_recorded", delivery=delivery, is_bare=one is not result)
        else:
            return
    _give_up(result, lease_id)


def _bare(result: Result) -> Result:
    answer = replace(result.answer, response_headers=b"", response_excerpt=b"", detail="", peer_ip=None)
    return replace(result, answer=answer)


@transaction.atomic
def _give_up(result: Result, lease_id: UUID) -> None:
    """What came of it cannot be written down: it is lost, as if with its dispatcher, and takes no other along."""
    claimed = result.claimed
    ours = Delivery.objects.filter(pk=claimed.delivery_id, lease_id=lease_id, attempts=claimed.n)
    if ours.update(lease_id=None, lease_losses=F("lease_losses") + 1, due_at=Now() + DEFERRED_FOR):
        lost = Attempt(delivery_id=claimed.delivery_id, n=claimed.n, started_at=timezone.now(), error="lost")
        Attempt.objects.bulk_create([lost], ignore_conflicts=True)


@transaction.atomic
def _record(results: Sequence[Result], lease_id: UUID) -> None:
    ours, in_trouble = write_ended(results, lease_id)
    _write_failures([result for result in ours if not result.is_success])
    _judge([result for result in ours if not (result.claimed.is_test or result.is_own_fault)], in_trouble)
    if len(ours) < len(results):
        # taken over meanwhile, which is on record, ended by somebody or erased: what was answered decides nothing
        log.warning("delivery.stale_results", count=len(results) - len(ours))


def _judge(results: Iterable[Result], in_trouble: set[UUID]) -> None:
    """What they say of their webhooks, one webhook after the other. Successes of one that is spotless say nothing."""
    by_webhook: dict[UUID, list[Result]] = defaultdict(list)
    for result in results:
        by_webhook[result.claimed.webhook_id].append(result)
    for webhook in sorted(by_webhook):
        those = by_webhook[webhook]
        if webhook not in in_trouble and all(result.is_success for result in those):
            successes.add(webhook, len(those))
            continue
        outcomes = [outcome_of(result.answer.status) for result in those if not _says_more(result)]
        at_most = those[0].claimed.max_in_flight
        verdicts.judge(webhook, outcomes, at_most=at_most, remembered=successes.of(webhook))
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


def _write_failures(results: Iterable[Result]) -> None:
    became: dict[object, list[UUID]] = defaultdict(list)
    for result in results:
        fate = _fate(result)
        Delivery.objects.filter(pk=result.claimed.delivery_id).update(**fate)
        became[fate.get("state", State.PENDING)].append(result.claimed.delivery_id)
        _tell_failure(result, state=str(fate.get("state", State.PENDING)))
    counted.count(Kind.FAILED, became[State.FAILED])
    counted.count(Kind.HELD, became[State.HELD])


def _fate(result: Result, *, jitter: Callable[[], float] = random.random) -> Fate:
    """What becomes of a delivery whose attempt was no success."""
    answer, claimed = result.answer, result.claimed
    said: Fate = {"last_status": answer.status, "last_error": answer.error, "reason": answer.detail[:200]}
    if claimed.is_test:
        return came_back() | said | {"state": State.FAILED, "failures": 1}
    if result.is_own_fault:
        return said | _deferred()
    if answer.status == HTTPStatus.GONE:
        return came_back() | said | {"failures": F("failures") + 1, "state": State.HELD, "reason": GONE}
    if _is_too_large(result):
        return (
            came_back() | said | {"due_at": Now(), "reason": "too large for the receiver: sent again without its text"}
        )
    failures = claimed.failures + 1
    hint = retry.parse_retry_after(answer.retry_after, now=timezone.now())
    delay = retry.next_delay(failures, status=answer.status, retry_after=hint, jitter=jitter)
    if delay is None:
        end = {"state": State.FAILED, "reason": f"exhausted after {claimed.n} attempts"}
        return came_back() | said | end | {"failures": failures}
    return came_back() | said | {"failures": failures, "due_at": Now() + delay}


def _deferred() -> Fate:
    """The number is handed back: nothing was asked of the receiver. upkeep holds what is deferred for too long."""
    return {
        "lease_id": None,
        "lease_losses": 0,
        "attempts": F("attempts") - 1,
        "due_at": Now() + DEFERRED_FOR,
        "deferred_since": Coalesce(F("deferred_since"), Now()),
    }


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
