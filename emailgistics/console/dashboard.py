"""The dashboard: how the installation is doing in a few numbers, and what to do first in a new one.

Every query is bounded. Counts stop at MAX_COUNTED, and what no index finds is looked for among the newest SCANNED rows.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, F, Min, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.timesince import timesince

from apikeys.models import EXPIRES_SOON, ApiKey, KeyNotice
from emailgistics.common.admin import MAX_COUNTED, by_system_administrator
from mailboxes.models import Alias, Domain, Email, Mailbox
from webhooks.admin.filters import FAILING
from webhooks.models import STAYED, Delivery, Webhook

SCANNED = 100_000
DAY, WEEK = timedelta(days=1), timedelta(days=7)
NONE = "none"
PARKED = "Mail that could not be opened. It is stored as it came, and its webhooks were told just that."
DISABLED = "Nothing is sent to them, and their mail is held, until somebody resumes them."


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


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    text: str
    href: str
    is_done: bool


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """For unfold's DASHBOARD_CALLBACK."""
    if not by_system_administrator(request):
        return context
    now = timezone.now()
    mail, mail_scanned = _mail(now)
    sent, sent_scanned = _sent(now)
    webhooks, has_webhook = _webhooks()
    steps = _steps(has_webhook=has_webhook, has_mail=mail_scanned > 0)
    groups = [
        ("Mail", mail),
        ("Deliveries", [*sent, *_waiting(now)]),
        ("Webhooks and keys", [*webhooks, _expiring_keys(now), *_noticed_keys(now)]),
    ]
    return context | {
        "may_see": True,
        "groups": groups,
        "alarms": [figure for _, figures in groups for figure in figures if figure.is_worry],
        "steps": [] if all(step.is_done for step in steps) else steps,
        "scanned": f"{SCANNED:,}" if max(mail_scanned, sent_scanned) == SCANNED else "",
    }


def _mail(now: datetime) -> tuple[list[Figure], int]:
    newest = Email.objects.order_by("-pk")[:SCANNED]
    found = newest.aggregate(
        scanned=Count("pk"),
        day=Count("pk", filter=Q(received_at__gte=now - DAY)),
        week=Count("pk", filter=Q(received_at__gte=now - WEEK)),
        parked=Count("pk", filter=Q(status=Email.Status.PARKED)),
    )
    figures = [
        Figure("Received in 24 hours", _shown(found["day"]), _list("mailboxes_email", received="24h")),
        Figure("Received in 7 days", _shown(found["week"]), _list("mailboxes_email", received="7d")),
        Figure(
            "Parked",
            _shown(found["parked"]),
            _list("mailboxes_email", status__exact=Email.Status.PARKED.value),
            worry=_if(found["parked"], PARKED),
        ),
    ]
    return figures, found["scanned"]


def _sent(now: datetime) -> tuple[list[Figure], int]:
    delivered, failed = Delivery.State.DELIVERED.value, Delivery.State.FAILED.value
    newest = Delivery.objects.order_by("-pk")[:SCANNED]
    found = newest.aggregate(
        scanned=Count("pk"),
        delivered=Count("pk", filter=Q(state=delivered, delivered_at__gte=now - DAY)),
        # not of tests: those are tried once, and nobody waits for them
        failed=Count("pk", filter=Q(state=failed, is_test=False, created_at__gte=now - WEEK)),
    )
    figures = [
        Figure(
            "Delivered in 24 hours",
            _shown(found["delivered"]),
            _list("webhooks_delivery", state__exact=delivered, delivered_at__gte=(now - DAY).isoformat()),
        ),
        Figure(
            "Failed in 7 days",
            _shown(found["failed"]),
            _list(
                "webhooks_delivery", state__exact=failed, is_test__exact="0", created_at__gte=(now - WEEK).isoformat()
            ),
            worry=_if(found["failed"], "Given up after all attempts. Replay them once their receivers work again."),
        ),
    ]
    return figures, found["scanned"]


def _waiting(now: datetime) -> list[Figure]:
    pending = _list("webhooks_delivery", state__exact=Delivery.State.PENDING.value)
    # each from the index of what is unfinished
    waiting = _some(Delivery.objects.filter(state=Delivery.State.PENDING)).aggregate(
        count=Count("pk"), since=Min("created_at")
    )
    held = _some(Delivery.objects.filter(state=Delivery.State.HELD)).count()
    since: datetime | None = waiting["since"]
    return [
        Figure("Waiting", _shown(waiting["count"]), pending),
        Figure("Oldest waiting", timesince(since, now, depth=1) if since else NONE, pending),
        Figure(
            "Held",
            _shown(held),
            _list("webhooks_delivery", state__exact=Delivery.State.HELD.value),
            worry=_if(held, "They wait until their webhooks are resumed, or until they are pulled."),
        ),
    ]


def _webhooks() -> tuple[list[Figure], bool]:
    states = Webhook.State
    # by what holds now, as `Webhook.current_state`: one whose alias moved is paused
    now = Case(When(~STAYED & Q(state=states.ACTIVE), then=Value(states.PAUSED.value)), default=F("state"))
    is_failing, is_open = FAILING, Q(health__open_until__gt=Now())
    found = _some(Webhook.objects.live().annotate(now=now)).aggregate(
        **{state.value: Count("pk", filter=Q(now=state)) for state in states},
        failing=Count("pk", filter=is_failing),
        open=Count("pk", filter=is_open),
    )
    figures = [
        Figure(
            f"Webhooks {state.value}",
            _shown(found[state.value]),
            _list("webhooks_webhook", state=state.value),
            worry=_if(found[state.value], DISABLED) if state is states.DISABLED else "",
        )
        for state in (states.ACTIVE, states.PAUSED, states.DISABLED)
    ]
    figures += [
        Figure(
            "Webhooks failing",
            _shown(found["failing"]),
            _list("webhooks_webhook", health="failing"),
            worry=_if(found["failing"], "Their last attempts failed. After some days of that they are disabled."),
        ),
        Figure(
            "Circuit breakers open",
            _shown(found["open"]),
            _list("webhooks_webhook", health="open"),
            worry=_if(found["open"], "Most of their attempts failed, so they are left alone for a while."),
        ),
    ]
    return figures, any(found.values())


def _expiring_keys(now: datetime) -> Figure:
    until = now + EXPIRES_SOON
    count = _some(ApiKey.objects.not_revoked().filter(expires_at__gt=now, expires_at__lte=until)).count()
    href = _list("apikeys_apikey", status=ApiKey.Standing.EXPIRES_SOON.value)
    worry = _if(count, "Make new ones before, and change the programs that use them.")
    return Figure(f"API keys that expire in {EXPIRES_SOON.days} days", _shown(count), href, worry=worry)


def _noticed_keys(now: datetime) -> list[Figure]:
    kinds = KeyNotice.Kind
    labels = {
        kinds.AGED_90: ("API keys of 90 days and more", "Rotate them, so that an old copy of one is worth nothing."),
        kinds.UNUSED_60: ("API keys unused for 60 days", "If nothing needs them any more, delete them."),
    }
    found = _some(KeyNotice.objects.standing(now=now).filter(kind__in=labels)).aggregate(
        **{kind.value: Count("pk", filter=Q(kind=kind)) for kind in labels}
    )
    return [
        Figure(
            label,
            _shown(found[kind]),
            _list("apikeys_keynotice", kind__exact=kind.value),
            worry=_if(found[kind], worry),
        )
        for kind, (label, worry) in labels.items()
    ]


def _steps(*, has_webhook: bool, has_mail: bool) -> list[Step]:
    to = Alias.objects.live().select_related("domain").first()
    address = to.address if to else "your alias"
    return [
        Step(
            "Add a domain",
            "One whose mail comes here. A default mailbox, inbox, comes with it.",
            reverse("admin:mailboxes_domain_add"),
            Domain.objects.live().exists(),
        ),
        Step(
            "Add a mailbox",
            "A shared mailbox with an address of its own, such as support.",
            reverse("admin:mailboxes_mailbox_add"),
            Mailbox.objects.live().exclude(pk__in=Domain.objects.values("default_mailbox")).exists(),
        ),
        Step(
            "Add an alias",
            "A further address that leads to a mailbox, or * for whatever no other address takes.",
            reverse("admin:mailboxes_alias_add"),
            to is not None,
        ),
        Step(
            "Add a webhook",
            "The endpoint that is told of each mail, and the secret by which it knows us.",
            reverse("admin:webhooks_webhook_add"),
            has_webhook,
        ),
        Step(
            "Make an API key",
            "For programs that read mail or manage mailboxes.",
            reverse("admin:apikeys_apikey_changelist"),
            ApiKey.objects.exists(),
        ),
        Step(
            "Send a mail",
            f"To {address}, over SMTP at {settings.SMTP_HOST} port {settings.SMTP_PORT}.",
            reverse("admin:mailboxes_email_changelist"),
            has_mail,
        ),
    ]


def _if(count: int, worry: str) -> str:
    return worry if count else ""


def _some(rows: QuerySet[Any]) -> QuerySet[Any]:
    """One more than is counted, so that it shows."""
    return rows.order_by()[: MAX_COUNTED + 1]


def _shown(count: int) -> str:
    return f"{MAX_COUNTED:,}+" if count > MAX_COUNTED else f"{count:,}"


def _list(page: str, **filters: str) -> str:
    return f"{reverse(f'admin:{page}_changelist')}?{urlencode(filters)}"
