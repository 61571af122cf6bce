"""What the statistics page is asked for. It is in the address, so that it can be kept and passed on."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailgistics.common.ids import decode_id, encode_id
from emailgistics.console import time_spans
from emailgistics.console.time_spans import Span
from emailgistics.reports.breakdown import By
from emailgistics.reports.periods import FIRST_YEAR, LAST_YEAR, Interval
from mailboxes.models import Domain, Mailbox
from webhooks.models import Webhook

CUSTOM, BY_TIME = "custom", "time"
DEFAULT = "30d"
OFFERED = 100  # of each, to choose from; more are found by what is typed

PERIODS = [*time_spans.NAMES.items(), (CUSTOM, gettext_lazy("From … to …"))]
INTERVALS = [
    ("", gettext_lazy("as it fits")),
    (Interval.HOUR.value, gettext_lazy("hour")),
    (Interval.DAY.value, gettext_lazy("day")),
    (Interval.WEEK.value, gettext_lazy("week")),
    (Interval.MONTH.value, gettext_lazy("month")),
]
WAYS = [
    (BY_TIME, gettext_lazy("over time")),
    (By.MAILBOX.value, gettext_lazy("by mailbox")),
    (By.DOMAIN.value, gettext_lazy("by domain")),
    (By.WEBHOOK.value, gettext_lazy("by webhook")),
]


@dataclass(frozen=True, slots=True)
class Question:
    span: Span
    by: str  # BY_TIME, or one of By
    mailbox: Mailbox | None
    domain: Domain | None
    webhook: Webhook | None


class PickedField(forms.CharField):
    """One of many rows, by what they are called or their id; the first of them are offered."""

    def __init__(self, rows: Any, kind: Any, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=2100, **kwargs)
        self.rows: Any = rows
        self.kind = kind

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        found = self.rows(text)
        if found is None:
            message = _("There is no %(kind)s %(text)s. Take one of the list, or its whole name or id.")
            raise ValidationError(message % {"kind": self.kind, "text": text[:100]})
        return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def find_mailbox(text: str) -> Mailbox | None:
    rows = Mailbox.objects.select_related("domain")
    if pk := _uuid(text) or decode_id(Mailbox.ID_PREFIX, text):
        return rows.filter(pk=pk).first()
    local_part, _at, domain = text.rpartition("@")
    # a live one before those of the past, which an address may have had
    named = rows.filter(local_part__iexact=local_part, domain__name__iexact=domain)
    return named.filter(deleted_at=None).first() or named.order_by("-pk").first()


def find_domain(text: str) -> Domain | None:
    if pk := _uuid(text) or decode_id(Domain.ID_PREFIX, text):
        return Domain.objects.filter(pk=pk).first()
    named = Domain.objects.filter(name__iexact=text)
    return named.filter(deleted_at=None).first() or named.order_by("-pk").first()


def find_webhook(text: str) -> Webhook | None:
    pk = _uuid(text) or decode_id(Webhook.ID_PREFIX, text)
    return Webhook.objects.filter(pk=pk).first() if pk else None


class StatisticsForm(forms.Form):
    period = forms.ChoiceField(choices=PERIODS, required=False, label=gettext_lazy("Time"))
    since = forms.DateField(required=False, label=gettext_lazy("From"))
    until = forms.DateField(required=False, label=gettext_lazy("To, and with that day"))
    interval = forms.ChoiceField(choices=INTERVALS, required=False, label=gettext_lazy("Each row of one"))
    by = forms.ChoiceField(choices=WAYS, required=False, label=gettext_lazy("Shown"))
    mailbox = PickedField(find_mailbox, gettext_lazy("mailbox"), label=gettext_lazy("Mailbox"))
    domain = PickedField(find_domain, gettext_lazy("domain"), label=gettext_lazy("Domain"))
    webhook = PickedField(find_webhook, gettext_lazy("webhook"), label=gettext_lazy("Webhook"))

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        by = given.get("by") or BY_TIME
        is_custom = given.get("period") == CUSTOM or (not given.get("period") and given.get("since"))
        if is_custom and not self.errors:
            self._clean_dates(given.get("since"), given.get("until"))
        if given.get("webhook") and (given.get("mailbox") or given.get("domain")):
            self.add_error("webhook", _("A webhook's deliveries are counted as a whole: choose it alone."))
        elif by == By.WEBHOOK and (given.get("mailbox") or given.get("domain")):
            self.add_error("by", _("A webhook's deliveries are counted as a whole: leave mailbox and domain empty."))
        elif given.get("webhook") and by in (By.MAILBOX, By.DOMAIN):
            self.add_error("by", _("A webhook's deliveries are counted as a whole: over time, or by webhook."))
        elif by == By.DOMAIN and given.get("mailbox"):
            self.add_error("by", _("A mailbox is in one domain: leave the mailbox empty, or choose by mailbox."))
        return given

    def _clean_dates(self, since: date | None, until: date | None) -> None:
        if since is None:
            self.add_error("since", _("Say on which day it begins."))
        elif not FIRST_YEAR < since.year < LAST_YEAR or not FIRST_YEAR < (until or since).year < LAST_YEAR:
            self.add_error("since", _("Choose days of years from %(first)s to %(last)s.") % {
                "first": FIRST_YEAR + 1, "last": LAST_YEAR - 1,
            })  # fmt: skip
        elif since > (until or timezone.localdate()):
            self.add_error("until", _("It ends before it begins: choose a later day, or an earlier one to begin with."))

    def question(self) -> Question:
        """Of a form that is valid."""
        given = self.cleaned_data
        period = given["period"] or (CUSTOM if given["since"] else DEFAULT)
        if period == CUSTOM:
            last = given["until"] or timezone.localdate()
            span = Span(given["since"], last + timedelta(days=1), time_spans.fitting((last - given["since"]).days + 1))
        else:
            span = time_spans.up_to_now(period, timezone.now())
        interval = Interval(given["interval"]) if given["interval"] else span.interval
        return Question(
            span=Span(span.since, span.until, interval),
            by=given["by"] or BY_TIME,
            mailbox=given["mailbox"],
            domain=given["domain"],
            webhook=given["webhook"],
        )


def offered() -> dict[str, Any]:
    """What can be chosen from: for lists beside the fields, and the newest webhooks."""
    mailboxes = Mailbox.objects.live().select_related("domain").order_by("domain__name", "local_part")
    webhooks: QuerySet[Webhook] = Webhook.objects.live().order_by("-pk")
    return {
        "mailboxes": [str(mailbox) for mailbox in mailboxes[:OFFERED]],
        "domains": list(Domain.objects.live().order_by("name").values_list("name", flat=True)[:OFFERED]),
        "webhooks": [
            (encode_id(Webhook.ID_PREFIX, pk), url) for pk, url in webhooks.values_list("pk", "url")[:OFFERED]
        ],
    }
