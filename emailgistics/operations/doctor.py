"""What an installation needs to work, looked at one by one: what was seen, and what to do about what is wrong.

Each look is bounded, and none stops another. docs/operations/doctor.md lists them.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from shutil import disk_usage
from typing import Any
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings
from django.core import checks
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.http.request import validate_host
from django.utils import timezone

from emailgistics.common import pulse, selftest, triggers
from emailgistics.common.errors import DomainError
from emailgistics.common.nudge import PUBLISHER_OPTIONS
from emailgistics.operations import answering, canary, health, ledger, roles
from emailgistics.operations.canary import CanaryBusyError, CanaryError
from emailgistics.operations.canary_ways import LOOPBACK, Listen
from mailboxes.models import Domain
from mailboxes.services import dns_records
from mailboxes.services.dns_records import State as DnsState

CLOCK_WARNS, CLOCK_FAILS = timedelta(seconds=2), timedelta(seconds=30)
DNS_WITHIN_S = 6.0  # for all domains; the last look that is begun may take a few seconds more
MAX_DOMAINS = 20
SHOWN = 5


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """seen is what there was; to_do what is to be done, empty if nothing is."""

    state: State
    seen: str
    to_do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator says: what is left out, and where the parts are if not where the settings say."""

    with_dns: bool = True
    with_canary: bool = True
    http: Listen | None = None
    smtp: Listen | None = None
    canary_url: str = ""
    canary_listen: Listen | None = None
    canary_within: timedelta = canary.WITHIN


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    look: Callable[[Wish], Finding]
    needs_database: bool = True


def examine(wish: Wish) -> Iterator[tuple[str, Finding]]:
    """Every check, in their order, each as soon as it is done."""
    has_database = True
    for check in CHECKS:
        if check.needs_database and not has_database:
            yield check.name, Finding(State.SKIPPED, "the database cannot be used")
            continue
        finding = _looked(check, wish)
        if check.name == DATABASE:
            has_database = finding.state != State.FAILED
        yield check.name, finding


def _looked(check: Check, wish: Wish) -> Finding:
    try:
        return check.look(wish)
    except DatabaseError as error:
        return Finding(State.FAILED, f"the database does not answer: {_named(error)}", "Is it running, and reachable?")
    except Exception as error:  # noqa: BLE001 - one that breaks down is not to hide what the others find
        return Finding(State.FAILED, f"the look itself failed: {_named(error)}", "Its message says why, if anything.")


def _named(error: BaseException) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


# --- settings and secrets


def _settings(_wish: Wish) -> Finding:
    """What Django and the apps check of them, and whether others can reach what they name."""
    found = checks.run_checks(include_deployment_checks=not settings.EMBEDDED)
    heard = [one for one in found if not one.is_silenced()]
    wrong = [_in_short(one) for one in heard if one.is_serious()]
    doubtful = [_in_short(one) for one in heard if not one.is_serious()]
    host = urlsplit(settings.BASE_URL).hostname or ""
    if not validate_host(host, settings.ALLOWED_HOSTS):
        wrong.append(f"ALLOWED_HOSTS lacks {host}, the host of BASE_URL: the console answers it with 400")
    if not settings.EMBEDDED:
        if not settings.IS_HTTPS:
            doubtful.append("BASE_URL is not https: sign-in, keys and links go in the clear")
        if host in ("localhost", LOOPBACK, "::1"):
            doubtful.append("BASE_URL names this host alone: links in webhooks open nothing elsewhere")
        if "*" in settings.ALLOWED_HOSTS:
            doubtful.append("ALLOWED_HOSTS is *: any name is believed")
    if wrong or doubtful:
        state = State.FAILED if wrong else State.WARNING
        return Finding(state, "; ".join([*wrong, *doubtful]), "docs/operations/settings.md has each of them.")
    return Finding(State.OK, f"{settings.BASE_URL}; {len(settings.ALLOWED_HOSTS)} allowed hosts")


def _in_short(message: checks.CheckMessage) -> str:
    """Without what Django goes on to explain."""
    return f"{message.id}: {message.msg.partition('. ')[0].rstrip('.')}"


def _secrets(_wish: Wish) -> Finding:
    try:
        selftest.refuse_wrong_secrets()
    except ImproperlyConfigured as error:
        return Finding(State.FAILED, str(error), "README.md, Rotating secrets. No part starts like this.")
    return Finding(State.OK, "those that this database was used with")


# --- what it stands on


def _database(_wish: Wish) -> Finding:
    connection.close()  # not one from before it was restarted
    ready = health.readiness()
    if not ready.is_well:
        return Finding(State.FAILED, " ".join(ready.reasons), "Is DATABASE_URL or DATA_DIR the right one?")
    try:
        triggers.refuse_unguarded(connection)
    except ImproperlyConfigured as error:
        return Finding(State.FAILED, str(error), "manage.py migrate")
    where = "SQLite" if settings.EMBEDDED else f"PostgreSQL at {connection.settings_dict['HOST'] or 'a socket'}"
    return Finding(State.OK, f"{where}; all migrations are applied, what guards keys and the audit log is there")


def _broker(_wish: Wish) -> Finding:
    what = "Redis (REDIS_URL)" if settings.REDIS_URL else f"files in {settings.BROKER_DIR}"
    broker: Any = current_app.connection(transport_options=PUBLISHER_OPTIONS)
    try:
        counts = {name: broker.default_channel.queue_declare(name).message_count for name in roles.ROLE_OF_QUEUE}
        if not settings.REDIS_URL:
            probe = Path(settings.BROKER_DIR) / f".doctor-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
    except Exception as error:  # noqa: BLE001 - whatever a broker's client throws
        return Finding(State.FAILED, f"{what} cannot be used: {_named(error)}", BROKER_AWAY)
    finally:
        broker.collect(socket_timeout=1)
    waiting = ", ".join(f"{count} nudges wait in {name}" for name, count in counts.items())
    return Finding(State.OK, f"{what}; {waiting}")


BROKER_AWAY = "Mail is accepted and kept, and nobody wakes workers to open it: is it running, may it be written?"


def _cache(_wish: Wish) -> Finding:
    key, value = f"doctor-{secrets.token_hex(8)}", secrets.randbits(32)  # the one in Redis takes numbers alone
    cache = caches["default"]
    try:
        cache.set(key, value, 10)
        is_kept = cache.get(key) == value
        cache.delete(key)
    except Exception as error:  # noqa: BLE001 - whatever its client throws
        return Finding(State.WARNING, f"it cannot be used: {_named(error)}", CACHE_AWAY)
    if not is_kept:
        return Finding(State.WARNING, "it keeps nothing", CACHE_AWAY)
    return Finding(State.OK, "what is put in comes out")


CACHE_AWAY = "Requests of keys are limited, by each web process alone, until it is back."


def _clock(_wish: Wish) -> Finding:
    if settings.EMBEDDED:
        return Finding(State.OK, "the database has this host's")
    before = timezone.now()
    at = database_now()
    middle = before + (timezone.now() - before) / 2
    skew = abs(at - middle)
    seen = f"this host's and the database's differ by {skew.total_seconds():.1f} s"
    if skew <= CLOCK_WARNS:
        return Finding(State.OK, seen)
    to_do = "Run NTP on all hosts: signatures carry the time, and receivers refuse old ones."
    return Finding(State.FAILED if skew > CLOCK_FAILS else State.WARNING, seen, to_do)


def database_now() -> datetime:
    """By PostgreSQL's clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        at: datetime = cursor.fetchone()[0]
    return at


def _disk(_wish: Wish) -> Finding:
    free, least = disk_usage(settings.DATA_DIR).free, settings.MIN_FREE_DISK_BYTES
    seen = f"{free // 2**20} MiB are free at {settings.DATA_DIR}"
    if free >= 2 * least:
        return Finding(State.OK, seen)
    if free >= least:
        return Finding(State.WARNING, f"{seen}; below {least // 2**20} mail has to wait", "Make room.")
    return Finding(State.FAILED, f"{seen}, less than MIN_FREE_DISK_BYTES ({least // 2**20} MiB)", NO_ROOM)


NO_ROOM = "Make room: with the embedded database the listener asks senders to come again later."


# --- the parts


def _web(wish: Wish) -> Finding:
    host, port = wish.http or (settings.HTTP_HOST, settings.HTTP_PORT)
    if trouble := answering.why_no_http(host, port):
        return Finding(
            State.FAILED, trouble, "Is `web` running, and are HTTP_HOST and HTTP_PORT its own? Or say --http."
        )
    return Finding(State.OK, f"{host}:{port}{answering.LIVE} answers 200")


def _listener(wish: Wish) -> Finding:
    host, port = wish.smtp or (settings.SMTP_HOST, settings.SMTP_PORT)
    if trouble := answering.why_no_smtp(host, port):
        return Finding(State.FAILED, trouble, canary.NO_LISTENER)
    return Finding(State.OK, f"{host}:{port} greets")


def _processes(_wish: Wish) -> Finding:
    """Those without a port. An embedded installation has them all here; others may have them elsewhere."""
    troubles, absent, counts = [], [], []
    for role in (roles.WORKER, roles.DISPATCHER, roles.BEAT):
        signs = pulse.signs_of(role)
        troubles += [f"{role} {sign.pid}: {sign.trouble}" for sign in signs if sign.trouble]
        absent += [] if signs else [role]
        counts += [f"{len(signs)} {role}"] if signs else []
    if troubles:
        return Finding(State.FAILED, "; ".join(troubles), "Start it again; its log may say what it hangs on.")
    if absent and settings.EMBEDDED:
        return Finding(State.FAILED, f"not running: {', '.join(absent)}", "Start `manage.py up`, or what is missing.")
    here = ", ".join(counts) or "none"
    return Finding(State.OK, f"on this machine: {here}" + (f"; elsewhere: {', '.join(absent)}" if absent else ""))


def _dns(wish: Wish) -> Finding:
    if not wish.with_dns:
        return Finding(State.SKIPPED, "--no-dns")
    domains = Domain.objects.live().filter(is_test=False, is_active=True).order_by("dns_checked_at", "pk")
    until = time.monotonic() + DNS_WITHIN_S
    looked, wrong = 0, []
    for domain in domains[:MAX_DOMAINS]:
        if time.monotonic() > until:
            break
        looked += 1
        try:
            state = dns_records.records_of(domain).state
        except DomainError as error:
            wrong.append(f"{domain.name} ({error.message})")
            continue
        if state != DnsState.OK:
            wrong.append(f"{domain.name} ({state})")
    count = domains.count()
    seen = f"{looked} of {count} domains looked at"
    if not wrong:
        return Finding(State.OK if count else State.SKIPPED, seen if count else "there are no domains but for tests")
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    to_do = "`manage.py domains show NAME`, or its page in the console, says which record is to be there."
    return Finding(State.WARNING, f"{seen}; not as they should be: {', '.join(wrong[:SHOWN])}{more}", to_do)


# --- the work


def _work(_wish: Wish) -> Finding:
    found = health.work()
    if found.is_well:
        waits = (f"{found.facts[f'oldest_{what}_s']} s" for what in ("waiting_mail", "due_delivery"))
        return Finding(State.OK, "the oldest mail waits {}, the oldest due delivery {}".format(*waits))
    # what the canary is about it says itself, of now
    reasons = [reason for reason in found.reasons if not reason.startswith("canary_failed")]
    if not reasons:
        return Finding(State.OK, "nothing waits; only that the last canary failed stands as an alarm")
    return Finding(State.FAILED, " ".join(reasons), "docs/operations/alarms.md says what to do about each.")


def _ledger(_wish: Wish) -> Finding:
    today = timezone.now().astimezone(UTC).date()
    wrong = [one for one in (ledger.mail(), *ledger.balances(today)) if one.difference]
    if wrong:
        differs = ", ".join(f"{one.account} {one.difference:+}" for one in wrong)
        return Finding(State.FAILED, f"it does not balance today: {differs}", "manage.py ledger; see alarms.md.")
    return Finding(State.OK, "what came today is there, or is known to have gone")


def _canary(wish: Wish) -> Finding:
    if not wish.with_canary:
        return Finding(State.SKIPPED, "--no-canary")
    try:
        flight = canary.fly(smtp=wish.smtp, within=wish.canary_within, url=wish.canary_url, listen=wish.canary_listen)
    except CanaryBusyError as error:
        return Finding(State.SKIPPED, error.message)
    except CanaryError as error:
        return Finding(State.FAILED, error.where, error.remedy)
    return Finding(State.OK, f"{flight.message} came back in {flight.took_ms} ms, signed, {flight.how}")


DATABASE = "database"
CHECKS = (
    Check("settings", _settings, needs_database=False),
    Check(DATABASE, _database, needs_database=False),
    Check("secrets", _secrets),
    Check("broker", _broker, needs_database=False),
    Check("cache", _cache, needs_database=False),
    Check("clock", _clock),
    Check("disk", _disk, needs_database=False),
    Check("web", _web, needs_database=False),
    Check("listener", _listener, needs_database=False),
    Check("processes", _processes, needs_database=False),
    Check("dns", _dns),
    Check("work", _work),
    Check("ledger", _ledger),
    Check("canary", _canary),
)
