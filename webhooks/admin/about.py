"""What the page of a webhook tells of it beside its form: facts, health, notices, the latest deliveries."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince, timeuntil

from webhooks import health as arithmetic
from webhooks.admin import consequences, show
from webhooks.admin.bindings import bound_to, is_gone, kind_of
from webhooks.models import Delivery, Notice, ReplayJob, Webhook, WebhookHealth
from webhooks.services.webhooks import in_flight_of

LATEST = 10
LATEST_NOTICES = 5


def one(webhook: Any) -> dict[str, Any]:
    """For its page; the webhook comes with the counts of the console's list."""
    now = timezone.now()
    deliveries = show.with_what_delays(Delivery.objects.filter(webhook=webhook).select_related("event__email"))
    notices = Notice.objects.filter(webhook=webhook).order_by("-id")[:LATEST_NOTICES]
    jobs = ReplayJob.objects.filter(webhook=webhook).order_by("-id")
    return {
        "facts": facts(webhook),
        "health": health(webhook, now=now),
        "notices": [notice_row(notice) for notice in notices],
        "notices_url": show.list_url(Notice, webhook=webhook.pk),
        "running": [{"url": show.page_of(job), "job": job} for job in jobs.filter(state=ReplayJob.State.RUNNING)],
        "jobs_url": show.list_url(ReplayJob, webhook=webhook.pk),
        "state": show.webhook_state(webhook),
        "is_gone": is_gone(webhook),
        "latest": [latest(delivery, now=now) for delivery in deliveries.order_by("-id")[:LATEST]],
        "all_url": show.list_url(Delivery, webhook=webhook.pk),
    }


def facts(webhook: Any) -> list[tuple[str, str]]:
    """What is only looked at."""
    bound, key = bound_to(webhook), webhook.created_by
    told = [
        ("Id", show.code(webhook.public_id)),
        (f"For mail to the {kind_of(bound)}", show.link(bound, bound)),
        ("Created", show.instant(webhook.created_at)),
        ("Created by", show.link(key, key) if key else "an administrator, or a command"),
        ("Waiting", show.linked_count(webhook, Delivery.State.PENDING)),
        ("Held", show.linked_count(webhook, Delivery.State.HELD)),
    ]
    if in_flight := in_flight_of(webhook):
        told.append(("In flight now", f"{in_flight} of at most {webhook.max_in_flight} at once"))
    if webhook.held_count and (why := consequences.kept_back(webhook)):
        told.append(("Held back", why))
    until = webhook.previous_secret_until
    if until and until > timezone.now():
        told.append(("The old secret signs as well until", show.instant(until)))
    return told


def health(webhook: Webhook, *, now: datetime) -> list[tuple[str, str]]:
    """How well it takes what it is sent, in sentences: (colour, sentence). Empty: nothing is known against it."""
    known = WebhookHealth.objects.filter(pk=webhook.pk).first()
    if known is None or not webhook.url:
        return []
    told: list[tuple[str, str]] = []
    if known.failing_since is not None:
        told.append(("danger", _failing(webhook, known, now=now)))
    if known.open_for_s:
        told.append(("danger", _open(known, now=now)))
    elif known.cap is not None and known.cap < webhook.max_in_flight:
        at_once = "1 request" if known.cap == 1 else f"{known.cap} requests"
        slow = f"Slow start: {at_once} at once for now, more with each success, up to {webhook.max_in_flight}."
        told.append(("warning", slow))
    return told


def _failing(webhook: Webhook, known: WebhookHealth, *, now: datetime) -> str:
    since, failures = known.failing_since or now, known.failures
    amount = "1 attempt" if failures == 1 else f"{failures:,} attempts"
    ago = timesince(since, now, depth=1)
    said = format_html("Failing since {} ({} ago): {} failed, none succeeded.", show.instant(since), ago, amount)
    if webhook.current_state != Webhook.State.ACTIVE:
        return said
    left = since + arithmetic.DISABLED_AFTER
    days, least = arithmetic.DISABLED_AFTER.days, arithmetic.DISABLED_FROM_FAILURES
    if left <= now:
        return format_html("{} After {} days and {} failures it is disabled.", said, days, least)
    return format_html(
        "{} If that goes on it is disabled in {}, after {} days with at least {} failures.",
        said,
        timeuntil(left, now, depth=2),
        days,
        least,
    )


def _open(known: WebhookHealth, *, now: datetime) -> str:
    if known.open_until is None or known.open_until <= now:
        return "The circuit breaker lets one attempt through: if it succeeds, the others follow."
    return format_html(
        "The circuit breaker is open, because most attempts fail: nothing is sent until {} ({}), then one attempt. "
        "What waits meanwhile does not count as failed.",
        show.instant(known.open_until),
        show.ahead(known.open_until, now=now),
    )


def notice_row(notice: Notice) -> dict[str, Any]:
    kind = show.state(notice.get_kind_display().lower(), "", show.NOTICE_COLOURS)
    return {"at": show.instant(notice.at), "kind": kind, "text": notice.text}


def latest(delivery: Delivery, *, now: datetime) -> dict[str, Any]:
    when, why = show.next_attempt(delivery, now=now)
    return {
        "url": show.page_of(delivery),
        "created": show.instant(delivery.created_at),
        "subject": show.about_event(delivery.event),
        "state": show.delivery_state(delivery),
        "attempts": delivery.attempts,
        "answer": show.answer(delivery.last_status, delivery.last_error),
        "next": when,
        "why": why,
    }
