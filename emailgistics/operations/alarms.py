"""Alarms: what is wrong with the installation now, since when, and what to do about it.

One list, for the console, `/healthz/work`, the metrics, e-mail and docs/operations/alarms.md. Each looks at little: it
runs once a minute, however much is stored.
"""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.logs import get_logger
from emailgistics.common.models import Alarm, Canary, JournalEntry, LedgerDay, Tally
from emailgistics.operations import backlog, ledger
from mailboxes.models import Email
from webhooks.models import OutgoingStop, Webhook

log = get_logger(__name__)

LATE_AFTER = timedelta(minutes=5)  # mail and deliveries are worked on within seconds
STOPPED_FOR = timedelta(hours=1)
CLOCK_SKEW = timedelta(seconds=5)
CERTIFICATE_LEFT = timedelta(days=14)
PARKED_WITHIN = timedelta(days=1)
TELL_AGAIN_AFTER = timedelta(minutes=10)  # while an e-mail cannot be sent
LOOKED_AT = 100  # of what is counted for a text


@dataclass(frozen=True, slots=True)
class Kind:
    """code is the alarm's name everywhere. look says what is wrong, in one sentence; empty: nothing is."""

    code: str
    look: Callable[[datetime], str]
    what_to_do: str


def watch(*, now: datetime | None = None) -> list[Alarm]:
    """Looks at everything, writes down what is wrong, and tells of what is new and what is over by e-mail."""
    now = now or timezone.now()
    found = {kind.code: text for kind in KINDS if (text := kind.look(now))}
    with transaction.atomic():
        before = {alarm.code: alarm for alarm in Alarm.objects.select_for_update()}
        for code, text in found.items():
            values = {"text": text[:500], "seen_at": now}
            Alarm.objects.update_or_create(code=code, defaults=values, create_defaults={**values, "since": now})
        over = [alarm for code, alarm in before.items() if code not in found]
        Alarm.objects.filter(code__in=[alarm.code for alarm in over]).delete()
    for code in sorted(found.keys() - before.keys()):
        log.error("alarm.begins", alarm=code, text=found[code])
    for alarm in over:
        log.warning("alarm.ends", alarm=alarm.code, since=alarm.since.isoformat())
    _tell(over=[alarm for alarm in over if alarm.told_at], now=now)
    return list(Alarm.objects.order_by("since"))


def standing(*, but: Iterable[str] = ()) -> list[tuple[Alarm, str]]:
    """What is wrong now, the oldest first, each with what to do; without those codes."""
    return [(alarm, what_to_do(alarm.code)) for alarm in Alarm.objects.exclude(code__in=list(but)).order_by("since")]


def what_to_do(code: str) -> str:
    return next((kind.what_to_do for kind in KINDS if kind.code == code), "")


def _tell(*, over: Iterable[Alarm], now: datetime) -> None:
    """By one e-mail to ALERT_EMAILS. One that cannot be sent is tried again, later; what is over then is not told."""
    new = list(Alarm.objects.filter(told_at=None).order_by("since"))
    ended = list(over)
    if not (settings.ALERT_EMAILS and settings.EMAIL_URL and (new or ended)):
        return
    lines = [f"{alarm.code}: {alarm.text}\n    {what_to_do(alarm.code)}" for alarm in new]
    lines += [f"Over: {alarm.code}, since {alarm.since:%Y-%m-%d %H:%M} UTC" for alarm in ended]
    subject = f"Emailgistics: {', '.join(alarm.code for alarm in new) or 'all is well again'}"
    text = "\n\n".join([*lines, f"{settings.BASE_URL}/admin/"])
    try:
        EmailMessage(subject, text, to=settings.ALERT_EMAILS).send()
    except OSError as error:  # smtplib's errors are of this kind
        log.warning("alarm.not_told", error=type(error).__name__)
        return
    Alarm.objects.filter(code__in=[alarm.code for alarm in new]).update(told_at=now)


# --- what is looked at


def _ledger(_now: datetime) -> str:
    wrong = list(LedgerDay.objects.filter(is_balanced=False).order_by("day")[:LOOKED_AT])
    if (of_mail := ledger.mail().difference) and not wrong:
        return f"What was answered 250 and what was stored, resent or discarded differ by {of_mail}."
    days = ", ".join(f"{row.day.isoformat()} ({_differences(row)})" for row in wrong[:3])
    return f"The accounts of {len(wrong)} days do not balance: {days}." if wrong else ""


def _differences(row: LedgerDay) -> str:
    return ", ".join(f"{account} {difference:+}" for account, difference in row.differs.items())


def _mail_waits(now: datetime) -> str:
    since = backlog.oldest_waiting_mail()
    return f"Mail that came at {_shown(since)} has not been opened yet." if _is_late(since, now) else ""


def _deliveries_late(now: datetime) -> str:
    since = backlog.oldest_due_delivery()
    return f"A delivery has been due since {_shown(since)}, and nobody has taken it." if _is_late(since, now) else ""


def _parked(now: datetime) -> str:
    newest = Email.objects.filter(status=Email.Status.PARKED, received_at__gt=now - PARKED_WITHIN)
    count = len(newest.values_list("pk", flat=True)[:LOOKED_AT])
    return f"{_at_most(count)} emails of the last day could not be opened and are parked." if count else ""


def _disk(_now: datetime) -> str:
    places = {Path(settings.DATA_DIR)}
    free = min(shutil.disk_usage(place).free for place in places)
    if free >= 2 * settings.MIN_FREE_DISK_BYTES:
        return ""
    return f"{free // 2**20} MiB are free where DATA_DIR is; below {settings.MIN_FREE_DISK_BYTES // 2**20} mail waits."


def _disabled(_now: datetime) -> str:
    count = len(Webhook.objects.live().filter(state=Webhook.State.DISABLED).values_list("pk", flat=True)[:LOOKED_AT])
    return f"{_at_most(count)} webhooks are disabled, because their receivers failed for days." if count else ""


def _stopped(now: datetime) -> str:
    stop = OutgoingStop.objects.filter(stopped_at__lte=now - STOPPED_FOR, is_restore=False).first()
    return f"All outgoing webhooks have been stopped since {_shown(stop.stopped_at)}." if stop else ""


def _restored(_now: datetime) -> str:
    stop = OutgoingStop.objects.filter(is_restore=True).first()
    return f"Nothing is sent since {_shown(stop.stopped_at)}: {stop.reason}." if stop else ""


def _journal(now: datetime) -> str:
    since = JournalEntry.objects.filter(written_at=None).order_by("at").values_list("at", flat=True).first()
    late = f"What was revoked or erased since {_shown(since)} has no line in JOURNAL_FILE."
    return late if _is_late(since, now) else ""


def _clock(_now: datetime) -> str:
    before = timezone.now()
    row = Tally.objects.annotate(at=Now()).values_list("at", flat=True).first()
    if row is None:
        return ""
    middle = before + (timezone.now() - before) / 2
    skew = abs(row.replace(tzinfo=row.tzinfo or UTC) - middle)
    return f"The clocks of this host and of the database differ by {skew.seconds} s." if skew > CLOCK_SKEW else ""


def _certificate(now: datetime) -> str:
    if not settings.SMTP_TLS_CERT:
        return ""
    try:
        certificate = x509.load_pem_x509_certificates(Path(settings.SMTP_TLS_CERT).read_bytes())[0]
    except (OSError, ValueError):
        return "The file that SMTP_TLS_CERT names cannot be read as a PEM certificate."
    ends = certificate.not_valid_after_utc
    return f"The certificate of the SMTP listener ends at {_shown(ends)}." if ends - now < CERTIFICATE_LEFT else ""


def _canary(_now: datetime) -> str:
    canary = Canary.objects.exclude(failure="").first()
    return f"The canary of {_shown(canary.at)} did not come back: {canary.failure}." if canary else ""


def _is_late(since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since > LATE_AFTER


def _shown(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "-"


def _at_most(count: int) -> str:
    return f"{LOOKED_AT} or more" if count == LOOKED_AT else str(count)


KINDS: tuple[Kind, ...] = (
    Kind(
        "ledger_differs",
        _ledger,
        "Something was lost, made twice, or changed by hand. `manage.py ledger` shows which account of which day; look "
        "into the logs of that day. Once it is understood: `manage.py ledger accept DAY --reason …`.",
    ),
    Kind(
        "mail_waits",
        _mail_waits,
        "Is a worker running (queue mail), and does it reach the database and the broker? Its log says what keeps it.",
    ),
    Kind(
        "deliveries_late",
        _deliveries_late,
        "Is a dispatcher running (queue webhooks)? Its log says what keeps it. If it works and does not keep up, start "
        "another one.",
    ),
    Kind(
        "mail_parked",
        _parked,
        "The raws are safe. Find them under Emails, status parked; after an upgrade, `manage.py emails reparse`.",
    ),
    Kind(
        "disk_low",
        _disk,
        "Make room before the listener asks senders to come again later: nothing is lost, but mail is late.",
    ),
    Kind(
        "webhooks_disabled",
        _disabled,
        "Their mail is held, for WEBHOOK_HELD_DAYS at most. Repair the receivers, then resume the webhooks.",
    ),
    Kind("outgoing_stopped", _stopped, "Start them again under Webhooks, or with `manage.py webhooks start-all`."),
    Kind(
        "restored",
        _restored,
        "Follow docs/operations/backup.md: apply the journals of all hosts, then `manage.py resume --since …`.",
    ),
    Kind(
        "journal_late",
        _journal,
        "Can the workers and the web write that file? Until they can, a restore would bring back what was revoked.",
    ),
    Kind("clock_skew", _clock, "Run NTP on all hosts: signatures carry the time, and receivers refuse old ones."),
    Kind("certificate_ends", _certificate, "Renew it: the listener reads changed files by itself."),
    Kind("canary_failed", _canary, "`manage.py doctor` sends another one, and says where it stands and what to do."),
)
