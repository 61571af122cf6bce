"""The numbers of the dashboard: each with the list of just its rows, and what is wrong if it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, F, Min, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Now
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from apikeys.models import EXPIRES_SOON, ApiKey, KeyNotice
from emailgistics.common import bounded
from emailgistics.common.admin import MAX_COUNTED
from emailgistics.console import places
from emailgistics.console.places import list_of
from emailgistics.reports.statistics import Statistics
from mailboxes.models import Email
from webhooks.admin.filters import FAILING
from webhooks.models import STAYED, Delivery, Webhook

OPENED_WITHIN = timedelta(minutes=2)  # mail is, while a worker runs
State = Delivery.State
Status = Email.Status


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that leads to the list behind it. worry says what is wrong, and what comes of it; empty: nothing is."""

    label: str
    value: str
    href: str
    worry: str = ""

    @property
    def is_worry(self) -> bool:
        return bool(self.worry)


def standing(found: Statistics, now: datetime) -> dict[str, QuerySet[Any]]:
    """What is counted by `bounded.counts`. Each from an index of what is unfinished, or over few rows."""
    failed = Delivery.objects.filter(
        state=State.FAILED,
        is_test=False,
        event__email__isnull=False,
        last_attempt_at__gte=found.since,
        last_attempt_at__lt=found.until,
    )
    noticed = KeyNotice.objects.standing(now=now)
    return {
        "unopened": Email.objects.filter(status=Status.WAITING),
        "stuck": Email.objects.filter(status=Status.WAITING, received_at__lt=now - OPENED_WITHIN),
        "parked": Email.objects.filter(status=Status.PARKED),
        "quarantined": Email.objects.filter(status=Status.QUARANTINED),
        "failed": failed,
        "waiting": Delivery.objects.filter(state=State.PENDING),
        "failing": Delivery.objects.filter(state=State.PENDING, failures__gte=1),
        "held": Delivery.objects.filter(state=State.HELD),
        "expiring": ApiKey.objects.not_revoked().filter(expires_at__gt=now, expires_at__lte=now + EXPIRES_SOON),
        "aged": noticed.filter(kind=KeyNotice.Kind.AGED_90),
        "unused": noticed.filter(kind=KeyNotice.Kind.UNUSED_60),
    }


def of_mail(found: Statistics, counts: Mapping[str, int]) -> list[Figure]:
    def by_status(status: Email.Status) -> str:
        return list_of("mailboxes_email", status__exact=status.value)

    return [
        Figure(_("Received"), f"{found.totals.received:,}", places.received(found.since, found.until)),
        _figure(
            _("Not opened yet"),
            counts["unopened"],
            by_status(Status.WAITING),
            counts["stuck"] and _("It waits for longer than usual: see under Workers whether one of mail is there."),
        ),
        _figure(
            _("Parked"),
            counts["parked"],
            by_status(Status.PARKED),
            _("Mail that could not be opened. It is stored as it came, and its webhooks were told just that."),
        ),
        _figure(_("In quarantine"), counts["quarantined"], by_status(Status.QUARANTINED)),
    ]


def of_deliveries(found: Statistics, counts: Mapping[str, int], now: datetime) -> list[Figure]:
    def by_state(state: Delivery.State, **more: object) -> str:
        return list_of("webhooks_delivery", state__exact=state.value, **more)

    since = _oldest()
    return [
        Figure(_("Delivered"), f"{found.totals.delivered:,}", places.delivered(found.since, found.until)),
        _figure(
            _("Failed"),
            counts["failed"],
            places.failed(found.since, found.until),
            _("Given up after all attempts. Replay them once their receivers work again."),
        ),
        _figure(_("Waiting"), counts["waiting"], by_state(State.PENDING)),
        _figure(
            _("Failing"),
            counts["failing"],
            by_state(State.PENDING, failures__gte=1),
            _("At least one attempt failed. They are tried again, less and less often."),
        ),
        _figure(
            _("Held"),
            counts["held"],
            by_state(State.HELD),
            _("They wait until their webhooks are resumed, or until they are pulled."),
        ),
        Figure(
            _("Oldest waiting"),
            timesince(since, now, depth=1) if since else _("none"),
            by_state(State.PENDING, **({"created_at__lte": since.isoformat()} if since else {})),
        ),
    ]


def _oldest() -> datetime | None:
    """When the oldest delivery that waits was made: the first of each webhook, by the index delivery_open.

    In the order of that index and not `webhook=`: see WebhookAdmin.get_queryset.
    """
    of_webhook = Delivery.objects.filter(
        webhook__gte=OuterRef("pk"), webhook__lte=OuterRef("pk"), state__in=[State.PENDING, State.HELD]
    ).filter(state=State.PENDING)
    first = of_webhook.order_by("webhook_id", "id").values("created_at")[:1]
    found: datetime | None = Webhook.objects.order_by().aggregate(since=Min(Subquery(first)))["since"]
    return found


def of_webhooks() -> list[Figure]:
    states = Webhook.State
    # by what holds now, as `Webhook.current_state`: one whose alias moved is paused
    now = Case(When(~STAYED & Q(state=states.ACTIVE), then=Value(states.PAUSED.value)), default=F("state"))
    rows = Webhook.objects.live().annotate(now=now).order_by()[: MAX_COUNTED + 1]
    found = rows.aggregate(
        **{state.value: Count("pk", filter=Q(now=state)) for state in states},
        failing=Count("pk", filter=FAILING),
        open=Count("pk", filter=Q(health__open_until__gt=Now())),
    )
    figures = [
        _figure(label, found[state.value], list_of("webhooks_webhook", state=state.value), worry)
        for state, label, worry in (
            (states.ACTIVE, _("Webhooks active"), ""),
            (states.PAUSED, _("Webhooks paused"), ""),
            (
                states.DISABLED,
                _("Webhooks disabled"),
                _("Nothing is sent to them, and their mail is held, until somebody resumes them."),
            ),
        )
    ]
    return [
        *figures,
        _figure(
            _("Webhooks failing"),
            found["failing"],
            list_of("webhooks_webhook", health="failing"),
            _("Their last attempts failed. After some days of that they are disabled."),
        ),
        _figure(
            _("Circuit breakers open"),
            found["open"],
            list_of("webhooks_webhook", health="open"),
            _("Most of their attempts failed, so they are left alone for a while."),
        ),
    ]


def of_keys(counts: Mapping[str, int]) -> list[Figure]:
    def noticed(kind: KeyNotice.Kind) -> str:
        return list_of("apikeys_keynotice", kind__exact=kind.value)

    return [
        _figure(
            _("API keys that expire in %(days)s days") % {"days": EXPIRES_SOON.days},
            counts["expiring"],
            list_of("apikeys_apikey", status=ApiKey.Standing.EXPIRES_SOON.value),
            _("Make new ones before, and change the programs that use them."),
        ),
        _figure(
            _("API keys of 90 days and more"),
            counts["aged"],
            noticed(KeyNotice.Kind.AGED_90),
            _("Rotate them, so that an old copy of one is worth nothing."),
        ),
        _figure(
            _("API keys unused for 60 days"),
            counts["unused"],
            noticed(KeyNotice.Kind.UNUSED_60),
            _("If nothing needs them any more, delete them."),
        ),
    ]


def _figure(label: str, count: int, href: str, worry: str | int = "") -> Figure:
    """With its worry, if there are any."""
    return Figure(label, bounded.shown(count, at_most=MAX_COUNTED), href, str(worry) if count and worry else "")
