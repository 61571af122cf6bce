"""Whether this database is the one that it was: it may have been set back, by a restore that nobody told us of.

Once a minute the database gets a watermark, and each host with workers keeps one of them in a file beside its journal.
A database that lacks what a host remembers of it is older than that: what it takes for unsent may have been sent. What
is remembered is a minute old at least, so that a failover that loses the last moment is no false alarm; and another
database, whose first watermark is another one, is none either.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import UUID

from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common import journal
from emailgistics.common.env import replace_private
from emailgistics.common.logs import get_logger
from emailgistics.common.models import Watermark

log = get_logger(__name__)

SETTLED = timedelta(minutes=1)
KEPT_FOR = timedelta(days=15)
KEPT_AT_LEAST = 100  # the last ones, however old: a clock that leaps ahead for a moment must not make all of them old
TELLS_FOR = timedelta(days=14)  # what a host remembers from before that tells nothing: shorter, as clocks differ


@dataclass(frozen=True, slots=True)
class Remembered:
    database: str  # token of its first watermark
    token: str
    at: str

    @classmethod
    def read(cls) -> Self | None:
        try:
            known = json.loads(path().read_text(encoding="utf-8"))
            at = datetime.fromisoformat(known["at"])
            return cls(str(UUID(known["database"])), str(UUID(known["token"])), at.isoformat())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("watermark.unreadable", file=str(path()), error=type(error).__name__)
            return None


def mark() -> None:
    """By whoever looks after the installation, once a minute."""
    first = _first()
    last = Watermark.objects.create(at=Now())
    if first is not None:
        old = Watermark.objects.filter(at__lt=Now() - KEPT_FOR, is_beginning=False, pk__lte=last.pk - KEPT_AT_LEAST)
        old.exclude(pk=first.pk).delete()


def is_set_back() -> bool:
    """Whether this host remembers what the database does not know. A few queries, and one when all is well."""
    remembered = Remembered.read()
    if remembered is None or Watermark.objects.filter(token=remembered.token).exists():
        return False
    first = _first()
    if first is None or str(first.token) != remembered.database:
        return False  # another database
    at = datetime.fromisoformat(remembered.at)
    is_forgotten = at < timezone.now() - TELLS_FOR
    return not is_forgotten and not Watermark.objects.filter(is_beginning=True, at__gte=at).exists()


def remember() -> None:
    """Keeps the newest watermark that is old enough, where it is not kept already."""
    first, newest = _first(), Watermark.objects.filter(at__lte=Now() - SETTLED).order_by("-at").first()
    if first is None or newest is None:
        return
    known = Remembered(str(first.token), str(newest.token), newest.at.isoformat())
    if known != Remembered.read():
        try:
            path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_private(path(), json.dumps(asdict(known)) + "\n")
        except OSError as error:
            log.warning("watermark.not_kept", file=str(path()), error=error.strerror)


def begin_anew() -> None:
    """From now on the database counts as it is, whatever hosts remember of it."""
    Watermark.objects.create(at=Now(), is_beginning=True)


def path() -> Path:
    file = journal.path()
    return file.with_name(f"{file.name}.watermark")


def _first() -> Watermark | None:
    return Watermark.objects.order_by("id").first()
