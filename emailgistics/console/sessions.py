"""Where somebody is signed in, and ending it."""

import re
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from emailgistics.common import audit
from emailgistics.common.clients import client_address
from emailgistics.console.models import Session
from emailgistics.console.session_store import ADDRESS, AGENT, BEGUN, digest

SEEN_EVERY = timedelta(minutes=1)  # a row is written at most so often
AGENT_LENGTH = 300
CONFIRMED = "confirmed"  # in the session: when the person last proved to be who it is, in seconds since 1970
# the first that is in a user agent; later ones say that they are like earlier ones
BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser", "Samsung Internet"), ("Firefox", "Firefox"),
            ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrom", "Chrome"), ("Safari", "Safari"))  # fmt: skip
SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"),
           ("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip


def begin(request: HttpRequest, **_: object) -> None:
    """When somebody has signed in. Sweeps away the sessions that are over."""
    now = time.time()
    agent = re.sub(r"[^ -~]", "", request.META.get("HTTP_USER_AGENT", ""))[:AGENT_LENGTH]
    request.session.update({BEGUN: now, CONFIRMED: now, ADDRESS: client_address(request), AGENT: agent})
    Session.objects.filter(expire_date__lt=timezone.now()).delete()


def note_seen(request: HttpRequest) -> None:
    row: Session | None = getattr(request.session, "row", None)
    now = timezone.now()
    if row is not None and row.seen_at < now - SEEN_EVERY:
        Session.objects.filter(pk=row.pk, seen_at__lt=now).update(seen_at=now)


def of(user: Any) -> list[Session]:
    """Those that go on, the one that was seen last first."""
    now = timezone.now()
    rows = Session.objects.filter(user=user, expire_date__gt=now).order_by("-seen_at")
    return [row for row in rows if not row.is_over(now)]


def is_this(session: Session, request: HttpRequest) -> bool:
    return session.pk == digest(request.session.session_key or "")


def end_one(user: User, session_id: UUID, *, by: User, address: str) -> bool:
    """False: there is none such."""
    return bool(_end(Session.objects.filter(user=user, id=session_id), user, by=by, address=address))


def end_all(user: User, *, by: User | None = None, address: str = "", but: str | None = None) -> int:
    """but: the session id of the one that goes on. How many it ended."""
    rows = Session.objects.filter(user=user)
    return _end(rows.exclude(pk=digest(but)) if but else rows, user, by=by, address=address)


def browser_of(session: Session) -> str:
    """`Firefox on Windows`: what the browser says of itself, in words."""
    browser = next((name for mark, name in BROWSERS if mark in session.agent), "")
    system = next((name for mark, name in SYSTEMS if mark in session.agent), "")
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or session.agent.partition(" ")[0] or _("an unknown browser")


@transaction.atomic
def _end(rows: "QuerySet[Session]", user: User, *, by: User | None, address: str) -> int:
    count, _each = rows.delete()
    if count:
        details = {"sessions": count}
        audit.record("person.sessions_ended", of=f"user:{user.pk}", person=by, address=address, details=details)
    return count
