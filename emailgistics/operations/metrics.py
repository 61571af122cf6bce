"""What Prometheus scrapes: of the whole installation, out of the database, so that any web process can answer.

Gauges and counters of indexes and of sums that are kept anyway: a scrape costs the same however much is stored. Labels
are ids and codes, never an address.
"""

import math
import shutil
from collections.abc import Iterator

from django.conf import settings
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from emailgistics.common import series, tallies
from emailgistics.common.ids import encode_id
from emailgistics.common.models import Alarm, Canary, LedgerDay
from emailgistics.common.series import Kind, Selection
from emailgistics.operations import alarms, backlog
from mailboxes.models import Mailbox, Message
from webhooks.models import Delivery, Webhook

__all__ = ["CONTENT_TYPE_LATEST", "scrape"]

PREFIX = "emailgistics_"
MAIL = {
    "mail_accepted": "Mails that were answered 250.",
    "mail_stored": "Of these, those that were stored.",
    "mail_resent": "Of these, those that were known again as sent before.",
    "mail_discarded": "Of these, those that a rule threw away.",
}
LAST_HOUR = {
    Kind.RECEIVED: ("received", "Emails that came, one for each mailbox."),
    Kind.PROCESSED: ("processed", "Emails that were opened."),
    Kind.PARKED: ("parked", "Emails that could not be opened."),
    Kind.QUARANTINED: ("quarantined", "Emails that a rule keeps back."),
    Kind.FAILED: ("failed", "Deliveries that were given up."),
    Kind.HELD: ("held", "Deliveries that have to wait for their webhook."),
    Kind.RETRIES: ("retried", "Attempts that failed and are made again."),
}
MAX_COUNTED = 100_000
PERCENTILES = (0.5, 0.95, 0.99)


def scrape() -> bytes:
    """In the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Installation())
    return generate_latest(registry)


class _Installation(Collector):
    def collect(self) -> Iterator[Metric]:
        yield _gauge("info", "The release.", [("version", settings.VERSION)])
        yield from _mail()
        yield from _backlog()
        yield from _last_hour()
        yield from _trouble()


def _mail() -> Iterator[Metric]:
    totals = tallies.totals(list(MAIL))
    for name, text in MAIL.items():
        yield CounterMetricFamily(PREFIX + name, text, value=totals.get(name, 0))


def _backlog() -> Iterator[Metric]:
    now = timezone.now()
    for name, text, since in (
        (
            "oldest_waiting_mail_seconds",
            "How long the mail has waited to be opened that came first.",
            backlog.oldest_waiting_mail(),
        ),
        (
            "oldest_due_delivery_seconds",
            "How long the delivery has been due that was due first.",
            backlog.oldest_due_delivery(),
        ),
    ):
        yield GaugeMetricFamily(PREFIX + name, text, value=max(0.0, (now - since).total_seconds()) if since else 0)
    waiting = Message.objects.filter(state=Message.State.WAITING).values_list("pk")[:MAX_COUNTED]
    yield GaugeMetricFamily(
        PREFIX + "mail_waiting", f"Mails to be opened; at most {MAX_COUNTED}.", value=waiting.count()
    )
    family = GaugeMetricFamily(
        PREFIX + "deliveries_open",
        f"Deliveries that have not ended; at most {MAX_COUNTED} of each state.",
        labels=["state"],
    )
    for state in (Delivery.State.PENDING, Delivery.State.HELD):
        rows = Delivery.objects.filter(state=state).values_list("pk")[:MAX_COUNTED]
        family.add_metric([state.value], rows.count())
    yield family


def _last_hour() -> Iterator[Metric]:
    """Of the four quarters before the one that is running, so that they are whole."""
    end = series.quarter_of(timezone.now())
    everything = Selection(
        subjects=[series.EVERYTHING],
        members=Mailbox.objects.values("pk"),
        part=series.HOWEVER,
        key_id=None,
        knows_all=True,
    )
    found = series.totals(everything, [(end - 4, end)]).get(0, {})
    for kind, (name, text) in LAST_HOUR.items():
        times = found[kind].times if kind in found else 0
        yield GaugeMetricFamily(f"{PREFIX}{name}_last_hour", f"{text} In the last whole hour by quarters.", value=times)
    delivered = {kind: total.times for kind, total in sorted(found.items()) if kind >= Kind.DELIVERED}
    count = sum(delivered.values())
    yield GaugeMetricFamily(
        f"{PREFIX}delivered_last_hour", "Deliveries that their receivers took. In the last whole hour.", value=count
    )
    family = GaugeMetricFamily(
        f"{PREFIX}delivery_seconds_last_hour",
        "How long deliveries took from when they could go out, to a fifth. In the last whole hour.",
        labels=["quantile"],
    )
    for share in PERCENTILES:
        family.add_metric([str(share)], _percentile(delivered, share) if count else math.nan)
    yield family


def _percentile(delivered: dict[int, int], share: float) -> float:
    """Seconds. delivered is by kind, rising."""
    left = math.ceil(sum(delivered.values()) * share)
    for kind, times in delivered.items():
        left -= times
        if left <= 0:
            return series.typical_ms(kind) / 1000
    return math.nan


def _trouble() -> Iterator[Metric]:
    standing = set(Alarm.objects.values_list("code", flat=True))
    family = GaugeMetricFamily(
        PREFIX + "alarm", "1 while the alarm stands; see docs/operations/alarms.md.", labels=["code"]
    )
    for kind in alarms.KINDS:
        family.add_metric([kind.code], int(kind.code in standing))
    yield family
    family = GaugeMetricFamily(
        PREFIX + "ledger_difference",
        "Rows too many, or missing, where an account does not balance.",
        labels=["account"],
    )
    by_account: dict[str, int] = {}
    for differs in LedgerDay.objects.filter(is_balanced=False).values_list("differs", flat=True):
        for account, difference in differs.items():
            by_account[account] = by_account.get(account, 0) + abs(difference)
    for account, difference in by_account.items():
        family.add_metric([account], difference)
    yield family
    yield _webhooks_in_trouble()
    yield from _canary()
    watched = LedgerDay.objects.order_by("-checked_at").values_list("checked_at", flat=True).first()
    yield GaugeMetricFamily(
        PREFIX + "watched_seconds",
        "Since a worker last looked for alarms.",
        value=(timezone.now() - watched).total_seconds() if watched else math.nan,
    )
    yield GaugeMetricFamily(
        PREFIX + "disk_free_bytes", "Where DATA_DIR is.", value=shutil.disk_usage(settings.DATA_DIR).free
    )


def _canary() -> Iterator[Metric]:
    """How it went is the alarm canary_failed."""
    canary = Canary.objects.first()
    yield GaugeMetricFamily(
        PREFIX + "canary_age_seconds",
        "Since the doctor last sent a canary.",
        value=(timezone.now() - canary.at).total_seconds() if canary else math.nan,
    )
    yield GaugeMetricFamily(
        PREFIX + "canary_seconds",
        "How long the last canary took; NaN if it did not come back.",
        value=canary.took_ms / 1000 if canary and canary.took_ms is not None else math.nan,
    )


def _webhooks_in_trouble() -> Metric:
    family = GaugeMetricFamily(
        PREFIX + "webhook_failing_seconds",
        "By webhook, since its first failure after the last success; those that do not fail are left out.",
        labels=["webhook_id"],
    )
    now = timezone.now()
    failing = Webhook.objects.live().filter(health__failing_since__isnull=False).order_by("health__failing_since")
    for pk, since in failing.values_list("pk", "health__failing_since")[:1000]:
        if since is not None:
            family.add_metric([encode_id(Webhook.ID_PREFIX, pk)], max(0.0, (now - since).total_seconds()))
    return family


def _gauge(name: str, text: str, labels: list[tuple[str, str]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=[label for label, _ in labels])
    family.add_metric([value for _, value in labels], 1)
    return family
