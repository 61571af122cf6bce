"""What the page of a webhook tells of it beside its form: facts, health, notices, the latest deliveries."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailgistics.common.instants import NOTHING, instant
from webhooks import health as arithmetic
from webhooks.admin import consequences, rates, show
from webhooks.admin.bindings import bound_to, is_gone, kind_of
from webhooks.admin.rates import Rate
from webhooks.models import Delivery, Notice, ReplayJob, Webhook, WebhookHealth
from webhooks.services.webhooks import in_flight_of

LATEST = 10
LATEST_NOTICES = 5


def one(webhook: Any, *, names_key: bool) -> dict[str, Any]:
    """For its page; the webhook comes with the counts of the console's list. names_key: it says which key made it."""
    now = timezone.now()
    rate = rates.of_each([webhook.pk], now=now)[webhook.pk]
    deliveries = show.with_what_delays(Delivery.objects.filter(webhook=webhook).select_related("event__email"))
    notices = Notice.objects.filter(webhook=webhook).order_by("-id")[:LATEST_NOTICES]
    jobs = ReplayJob.objects.filter(webhook=webhook).order_by("-id")
    return {
        "facts": facts(webhook, rate, names_key=names_key),
        "chart": rates.chart(rate),
        # of an app above this one
        "statistics_url": f"{reverse('admin:statistics')}?{urlencode({'webhook': webhook.public_id})}",
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


def facts(webhook: Any, rate: Rate, *, names_key: bool) -> list[tuple[str, str]]:
    """What is only looked at."""
    bound, key = bound_to(webhook), webhook.created_by
    newest = webhook.newest or {"status": None, "error": ""}
    by_key = show.link(key, key) if names_key else _("an API key")
    told = [
        (_("Id"), show.code(webhook.public_id)),
        (_("For mail to the %(kind)s") % {"kind": kind_of(bound)}, show.link(bound, bound)),
        (_("Created"), instant(webhook.created_at)),
        (_("Created by"), by_key if key else _("an administrator, or a command")),
        (_("Waiting"), show.linked_count(webhook, Delivery.State.PENDING)),
        (_("Held"), show.linked_count(webhook, Delivery.State.HELD)),
    ]
    told += [
        (_("Success in %(days)s days") % {"days": rates.DAYS}, rate.success or _("no attempts")),
        (_("Latency in %(days)s days") % {"days": rates.DAYS}, rate.latency or NOTHING),
        (_("Last answer"), show.answer(newest["status"], newest["error"])),
    ]
    if in_flight := in_flight_of(webhook):
        told.append(
            (
                _("In flight now"),
                _("%(count)s of at most %(most)s at once") % {"count": in_flight, "most": webhook.max_in_flight},
            )
        )
    if webhook.held_count and (why := consequences.kept_back(webhook)):
        told.append((_("Held back"), why))
    until = webhook.previous_secret_until
    if until and until > timezone.now():
        told.append((_("The old secret signs as well until"), instant(until)))
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
        slow = ngettext(
            "Slow start: %(count)s request at once for now, more with each success, up to %(most)s.",
            "Slow start: %(count)s requests at once for now, more with each success, up to %(most)s.",
            known.cap,
        )
        told.append(("warning", slow % {"count": known.cap, "most": webhook.max_in_flight}))
    return told


def _failing(webhook: Webhook, known: WebhookHealth, *, now: datetime) -> str:
    since, failures = known.failing_since or now, known.failures
    said = format_html(
        ngettext(
            "Failing since {since} ({time} ago): {count} attempt failed, none succeeded.",
            "Failing since {since} ({time} ago): {count} attempts failed, none succeeded.",
            failures,
        ),
        since=instant(since),
        time=timesince(since, now, depth=1),
        count=f"{failures:,}",
    )
    if webhook.current_state != Webhook.State.ACTIVE:
        return said
    left = since + arithmetic.DISABLED_AFTER
    days, least = arithmetic.DISABLED_AFTER.days, arithmetic.DISABLED_FROM_FAILURES
    if left <= now:
        rest = _("After %(days)s days and %(count)s failures it is disabled.")
    else:
        rest = _("If that goes on it is disabled in %(time)s, after %(days)s days with at least %(count)s failures.")
    rest %= {"time": timeuntil(left, now, depth=2), "days": days, "count": least}
    return format_html("{} {}", said, rest)


def _open(known: WebhookHealth, *, now: datetime) -> str:
    if known.open_until is None or known.open_until <= now:
        return _("The circuit breaker lets one attempt through: if it succeeds, the others follow.")
    return format_html(
        _(
            "The circuit breaker is open, because most attempts fail: nothing is sent until {at} ({when}), then one "
            "attempt. What waits meanwhile does not count as failed."
        ),
        at=instant(known.open_until),
        when=show.ahead(known.open_until, now=now),
    )


def notice_row(notice: Notice) -> dict[str, Any]:
    kind = show.state(notice.kind, "", show.NOTICE_COLOURS)
    return {"at": instant(notice.at), "kind": kind, "text": notice.text}


def latest(delivery: Delivery, *, now: datetime) -> dict[str, Any]:
    when, why = show.next_attempt(delivery, now=now)
    return {
        "url": show.page_of(delivery),
        "created": instant(delivery.created_at),
        "subject": show.about_event(delivery.event),
        "state": show.delivery_state(delivery),
        "attempts": delivery.attempts,
        "answer": show.answer(delivery.last_status, delivery.last_error),
        "next": when,
        "why": why,
    }
