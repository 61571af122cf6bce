"""How rows look on pages of the console: times, states, octets of strangers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin.utils import quote
from django.db.models import Exists, IntegerField, Model, QuerySet, Subquery
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from emailgistics.common import text
from emailgistics.common.ids import decode_id
from emailgistics.common.instants import NOTHING, instant
from emailgistics.common.requests import NOBODY
from mailboxes.models import Email
from webhooks.admin.bindings import is_gone
from webhooks.models import (
    OTHER_MAILBOX,
    STOPPED,
    Attempt,
    Delivery,
    Event,
    OutgoingStop,
    Webhook,
    WebhookHealth,
)
from webhooks.retry import is_success
from webhooks.services.queue.upkeep import KEPT_BACK

STYLE = {"all": ["webhooks/webhooks.css"]}
MAX_COUNTED = 10_000
MAX_OPEN = 1_000  # of each webhook of a list

WEBHOOK_COLOURS = {"active": "success", "paused": "warning", "disabled": "danger", "deleted": ""}
DELIVERY_COLOURS = {
    "pending": "info",
    "held": "warning",
    "delivered": "success",
    "failed": "danger",
    "canceled": "",
    "expired": "",
}
NOTICE_COLOURS = {
    "failing": "danger",
    "disabled": "danger",
    "recovered": "success",
    "thinned": "warning",
    "expiring": "warning",
}
JOB_COLOURS = {"running": "info", "done": "success", "canceled": ""}
# of webhooks, deliveries, notices and replays
STATE_NAMES = {
    "active": gettext_lazy("active"),
    "paused": gettext_lazy("paused"),
    "disabled": gettext_lazy("disabled"),
    "deleted": gettext_lazy("deleted"),
    "pending": gettext_lazy("pending"),
    "held": gettext_lazy("held"),
    "delivered": gettext_lazy("delivered"),
    "failed": gettext_lazy("failed"),
    "canceled": gettext_lazy("canceled"),
    "expired": gettext_lazy("expired"),
    "failing": gettext_lazy("failing"),
    "recovered": gettext_lazy("recovered"),
    "thinned": gettext_lazy("thinned"),
    "expiring": gettext_lazy("expiring"),
    "running": gettext_lazy("running"),
    "done": gettext_lazy("done"),
}


class BoundedCount(Subquery):
    """How many rows a sliced subquery has, or of these those with that state: never looks at more than its slice."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) bounded%(only)s)"
    output_field = IntegerField()

    def __init__(self, rows: QuerySet[Any, Any], *, state: Delivery.State | None = None) -> None:
        super().__init__(rows, only=f" WHERE state = '{state.value}'" if state else "")


def counted(rows: QuerySet[Any]) -> int:
    """Up to MAX_COUNTED + 1."""
    return rows.order_by().values("pk")[: MAX_COUNTED + 1].count()


def amount(count: int, *, at_most: int = MAX_COUNTED) -> str:
    return f"{count:,}" if count <= at_most else _("more than %(count)s") % {"count": f"{at_most:,}"}


def open_count(webhook: Any, state: Delivery.State) -> str:
    """Of a webhook of the console's list, which counts all its open deliveries up to MAX_OPEN."""
    count = webhook.waiting_count if state == Delivery.State.PENDING else webhook.held_count
    is_all = webhook.waiting_count + webhook.held_count <= MAX_OPEN
    return f"{count:,}" if is_all else _("at least %(count)s") % {"count": f"{min(count, MAX_OPEN):,}"}


def linked_count(webhook: Any, state: Delivery.State) -> str:
    """`open_count`, as a link to these deliveries."""
    count = open_count(webhook, state)
    if count == "0":
        return count
    url = list_url(Delivery, webhook=webhook.pk, state__exact=state.value)
    return format_html('<a class="text-link" href="{}">{}</a>', url, count)


def ahead(at: datetime, *, now: datetime) -> str:
    wait = at - now
    if wait <= timedelta(0):
        return _("now")
    if wait < timedelta(minutes=1):
        return _("in %(count)s s") % {"count": wait.seconds + 1}
    return _("in %(time)s") % {"time": timeuntil(at, now, depth=1)}


def state_name(state: str) -> str:
    return str(STATE_NAMES.get(state, state))


def state(name: str, reason: str, colours: dict[str, str]) -> SafeString:
    context = {"name": state_name(name), "reason": reason, "colour": colours.get(name, "")}
    return render_to_string("webhooks/partials/_state.html", context)


def webhook_state(webhook: Webhook) -> SafeString:
    if webhook.deleted_at is not None:
        at = f"{timezone.localtime(webhook.deleted_at):%Y-%m-%d %H:%M}"
        return state("deleted", _("at %(instant)s") % {"instant": at}, WEBHOOK_COLOURS)
    if is_gone(webhook):
        return state("deleted", _("with what it was bound to"), WEBHOOK_COLOURS)
    return state(webhook.current_state, webhook.current_state_reason, WEBHOOK_COLOURS)


def trouble(webhook: Webhook) -> str:
    """What is known against it, in a few words; empty is the usual case."""
    health: WebhookHealth | None = getattr(webhook, "health", None)
    if health is None or webhook.current_state != Webhook.State.ACTIVE or not webhook.url:
        return ""
    if health.open_until and health.open_until > timezone.now():
        return _worry(_("circuit breaker open"))
    if health.failing_since is None:
        return ""
    return _worry(_("failing for %(time)s") % {"time": timesince(health.failing_since, depth=1)})


def _worry(text: str) -> SafeString:
    return format_html('<div class="text-xs wh-worry">{}</div>', text)


def delivery_state(delivery: Delivery) -> SafeString:
    return state(delivery.state, "", DELIVERY_COLOURS)


def answer(status: int | None, error: str, *, detail: str = "") -> SafeString:
    """What a receiver answered, or why there was no answer."""
    if status is None and not error:
        return SafeString(NOTHING)
    colour = "success" if is_success(status) else "danger"
    context = {"name": str(status) if status is not None else error, "colour": colour, "reason": detail}
    return render_to_string("webhooks/partials/_state.html", context)


def with_what_delays(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """With what `next_attempt` asks of a delivery, in the same query."""
    return deliveries.select_related("webhook__health").annotate(is_stopped=Exists(OutgoingStop.objects.all()))


def next_attempt(delivery: Delivery, *, now: datetime) -> tuple[str, str]:
    """When the next attempt is, and why then. Of a delivery `with_what_delays`."""
    if delivery.state == Delivery.State.HELD:
        return _when_released(delivery, now=now), delivery.reason
    if delivery.state != Delivery.State.PENDING:
        return NOTHING, delivery.reason
    if delivery.lease_id is not None:
        return _("being made"), _("attempt %(n)s is on its way") % {"n": delivery.attempts}
    return _when_it_may(delivery, now=now) or _when_due(delivery, now=now)


def is_wait(when: str, delivery: Delivery, *, now: datetime) -> bool:
    """Whether that, of `next_attempt`, is how long it takes, so that the instant says more."""
    health: WebhookHealth | None = getattr(delivery.webhook, "health", None)
    instants = (delivery.due_at, health.open_until if health else None)
    return any(at and at > now and when == ahead(at, now=now) for at in instants)


def _when_released(delivery: Delivery, *, now: datetime) -> str:
    if delivery.reason == OTHER_MAILBOX:
        return _("not now")
    if not delivery.webhook.url:
        return _("when it is pulled")
    return ahead(delivery.due_at, now=now) if delivery.reason == KEPT_BACK else _("when the webhook is active again")


def _when_it_may(delivery: Delivery, *, now: datetime) -> tuple[str, str] | None:
    """Of a waiting one that something keeps back though it is, or soon is, due."""
    webhook = delivery.webhook
    health: WebhookHealth | None = getattr(webhook, "health", None)
    if getattr(delivery, "is_stopped", False):
        return _("when they are started again"), STOPPED
    if health and health.open_until and health.open_until > max(now, delivery.due_at) and not delivery.is_test:
        return ahead(health.open_until, now=now), _("circuit breaker open: most attempts fail")
    if webhook.rate_per_minute and delivery.due_at <= now and not delivery.is_test:
        return _("as soon as it may"), _("its webhook takes at most %(count)s a minute") % {
            "count": f"{webhook.rate_per_minute:,}"
        }
    if delivery.deferred_since is not None:
        deferred = _("put off, which does not count as failed")
        return ahead(delivery.due_at, now=now), f"{deferred}: {delivery.reason}" if delivery.reason else deferred
    return None


def _when_due(delivery: Delivery, *, now: datetime) -> tuple[str, str]:
    if delivery.failures:
        failed = ngettext("after %(count)s failed attempt", "after %(count)s failed attempts", delivery.failures)
        return ahead(delivery.due_at, now=now), failed % {"count": delivery.failures}
    return ahead(delivery.due_at, now=now), delivery.reason or _("the first one")


# --- links


def page_of(row: Model | None) -> str:
    """The console's page of a row; empty if it has none."""
    if row is None:
        return ""
    options = row._meta  # noqa: SLF001 - the only way to its names
    try:
        return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[quote(str(row.pk))])
    except NoReverseMatch:
        return ""


def link(row: Model | None, text: object) -> str:
    url = page_of(row)
    return format_html('<a class="text-link" href="{}">{}</a>', url, text) if url else format_html("{}", text)


def code(text: str) -> str:
    return format_html('<code class="wh-code">{}</code>', text)


def wide(text: object) -> str:
    """For a column that the others must not squeeze."""
    return format_html('<div class="wh-wide">{}</div>', text)


def short(text: str, *, limit: int = 70) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def subject(email: Email) -> str:
    return short(email.subject) if email.subject else _("(no subject)")


def about_event(event: Event) -> str:
    """A few words of what it is about."""
    if event.email is not None:
        return subject(event.email)
    return _("a test") if event.type == Event.Type.WEBHOOK_TEST else _("another webhook was disabled")


def endpoint(webhook: Webhook) -> str:
    return short(webhook.url) if webhook.url else _("no URL: deliveries are pulled")


def pk_of(public_id: str) -> UUID:
    """Of a webhook; for what is no id of one, a key that nothing has."""
    return decode_id(Webhook.ID_PREFIX, public_id) or NOBODY


def list_url(model: type[Model], **filters: object) -> str:
    options = model._meta  # noqa: SLF001 - as above
    return f"{reverse(f'admin:{options.app_label}_{options.model_name}_changelist')}?{urlencode(filters)}"


# --- octets


printable = text.printable


def as_json(octets: bytes) -> str | None:
    """Indented for reading, or None if it is no JSON."""
    try:
        return printable(json.dumps(json.loads(octets), ensure_ascii=False, indent=2))
    except ValueError:
        return None


# --- times of an attempt


@dataclass(frozen=True, slots=True)
class Span:
    """One part of an attempt. start and share are in percent of the bar."""

    name: str
    ms: int
    start: float
    share: float


def spans(attempt: Attempt, *, longest_ms: int) -> list[Span]:
    """The parts of an attempt, in their order; longest_ms is what fills the bar."""
    total = attempt.total_ms or 0
    dns, connect = attempt.dns_ms or 0, attempt.connect_ms or 0
    # first_byte_ms counts from the start, the two before it each for themselves
    waited = max((attempt.first_byte_ms if attempt.first_byte_ms is not None else total) - dns - connect, 0)
    read = max(total - dns - connect - waited, 0) if attempt.first_byte_ms is not None else 0
    parts = (("dns", dns), ("connect", connect), ("wait", waited), ("read", read))
    found: list[Span] = []
    begun = 0
    for name, ms in parts:
        if ms:
            found.append(Span(name, ms, _percent(begun, longest_ms), _percent(ms, longest_ms)))
        begun += ms
    return found


def _percent(ms: int, of_ms: int) -> float:
    return round(100 * ms / max(of_ms, 1), 2)


def times(attempt: Attempt) -> str:
    """In words; what did not happen (no lookup for an IP address, an open connection used again) is left out."""
    parts = (
        (_("DNS %(count)s ms"), attempt.dns_ms),
        (_("connect %(count)s ms"), attempt.connect_ms),
        (_("first byte after %(count)s ms"), attempt.first_byte_ms),
        (_("%(count)s ms in all"), attempt.total_ms),
    )
    return ", ".join(text % {"count": ms} for text, ms in parts if ms is not None)


def bars(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    longest = max((attempt.total_ms or 0 for attempt in attempts), default=0)
    return [
        {
            "attempt": attempt,
            "url": page_of(attempt),
            "started": instant(attempt.started_at),
            "answer": answer(attempt.status, attempt.error),
            "times": times(attempt),
            "spans": spans(attempt, longest_ms=longest),
            "headers": printable(attempt.response_headers),
            "excerpt": printable(attempt.response_excerpt),
        }
        for attempt in attempts
    ]
