"""From stored octets to emails that can be read and told about.

A worker claims messages by a committed lease before it opens them, so that octets that kill it cannot kill the next one
for ever: a message whose worker was lost twice is opened alone, and one that was lost alone is parked: visible, its raw
safe, its webhooks told so.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Least

from emailgistics.common import leases
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import mime, raw
from mailboxes.mime import ParsedMail
from mailboxes.models import Email, Message, RawMessage
from mailboxes.services import authenticate
from mailboxes.services.opened import PORTION, Opened, say_lost, store

log = get_logger(__name__)

LEASE_KIND = "mail"
BATCH = 16  # no more: who is claimed behind a slow mail waits for it, and for the lease if it kills the worker
BATCH_ONCE_LOST = 2  # of those that a worker was lost with: one of them may have killed it
SMALL_OCTETS = 256 * 1024  # of a message: what is larger is opened and stored by itself
TOGETHER = timedelta(milliseconds=20)  # who was opened waits no longer than that for others, to be stored with them
SLOW = timedelta(seconds=0.5)  # of what is claimed and not begun by then, others may be sooner
SLICE = timedelta(seconds=10)  # no message is begun after it; Celery's hard limit leaves the last one 30 s more
LINGER = timedelta(seconds=0.5)  # mail comes in swarms: staying awake is cheaper than being woken
LOOK_EVERY = timedelta(milliseconds=20)
ALONE_FROM_LOSSES = 2
PARK_FROM_LOSSES = ALONE_FROM_LOSSES + 1
LOST = (1, ALONE_FROM_LOSSES)  # how often: of each kind, see `claim`
MAX_LOSSES = 1000  # counted no further, should even parking fail again and again


def drain(*, for_at_most: timedelta = SLICE, linger: timedelta = LINGER) -> int:
    """Processes what waits, until nothing has come for `linger` or the time is up. Returns how many were done."""
    if not claimable().exists():
        return 0
    done = 0
    until = time.monotonic() + for_at_most.total_seconds()
    with leases.held(LEASE_KIND) as lease:

        def goes_on() -> bool:
            return time.monotonic() <= until and not lease.is_lost

        # some that were lost before come first, so that no stream of new mail keeps them waiting for ever; the others
        # at the end
        for lost in LOST:
            done += process_messages(claim(lease.id, lost=lost), lease.id, goes_on=goes_on)
        idle_since = time.monotonic()
        while goes_on():
            if claimable().exists() and (claimed := claim_some(lease.id)):
                done += process_messages(claimed, lease.id, goes_on=goes_on)
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > linger.total_seconds():
                break
            else:
                time.sleep(LOOK_EVERY.total_seconds())
    return done


def claim_some(lease_id: UUID) -> list[UUID]:
    """Of those that no worker was lost with, or else of the others: see `claim`."""
    return next((claimed for lost in (0, *LOST) if (claimed := claim(lease_id, lost=lost))), [])


def claimable() -> QuerySet[Message]:
    """Messages that wait and that no living worker holds."""
    held = leases.alive().filter(pk=OuterRef("lease_id"))
    return Message.objects.filter(state=Message.State.WAITING).filter(Q(lease_id=None) | ~Exists(held))


def claim(lease_id: UUID, *, lost: int = 0) -> list[UUID]:
    """Marks messages as ours, oldest first: up to BATCH of those that no worker was lost with.

    lost: of those that one was lost with once, a few; or twice, or more often, one alone. The loss is written down now
    and taken back by success: a worker that is killed cannot write anything.
    """
    is_alone = lost >= ALONE_FROM_LOSSES
    wanted = claimable().filter(Q(losses__gte=lost) if is_alone else Q(losses=lost)).order_by("losses", "id")
    at_most = 1 if is_alone else BATCH_ONCE_LOST if lost else BATCH
    if not wanted.exists():  # a plain read: no write lock on SQLite while there is nothing to do
        return []
    with transaction.atomic():
        # SQLite ignores skip_locked, and needs none: the transaction holds the only write lock from its start
        ids = list(wanted.select_for_update(skip_locked=True).values_list("pk", flat=True)[:at_most])
        # asked again now that they are locked: the first statement may have seen neither a lease nor the claim under it
        claimable().filter(pk__in=ids).update(lease_id=lease_id, losses=Least(F("losses") + 1, MAX_LOSSES))
        return list(Message.objects.filter(pk__in=ids, lease_id=lease_id).order_by("id").values_list("pk", flat=True))


def release(ids: Collection[UUID], lease_id: UUID) -> None:
    """Gives back claimed messages that were not begun; that is no loss."""
    if not ids:
        return
    ours = Message.objects.filter(pk__in=ids, lease_id=lease_id)
    with transaction.atomic():
        list(ours.order_by("pk").select_for_update(no_key=True).values_list("pk"))  # in the order of all who lock many
        ours.update(lease_id=None, losses=F("losses") - 1)


def process_messages(ids: Sequence[UUID], lease_id: UUID, *, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Opens claimed messages and stores what is in them. Returns how many were done.

    Those that take little are stored together: most of what one costs is a transaction and its statements. One whose
    claim was lost meanwhile stays as it is. What is not begun when it no longer `goes_on`, or when those before took
    long, is given back.
    """
    return _Work(ids, lease_id).do(goes_on)


class _Work:
    """Claimed messages: some are left, others under way, which is opened and not stored yet."""

    def __init__(self, ids: Sequence[UUID], lease_id: UUID) -> None:
        self._left = deque(ids)
        self._under_way: set[UUID] = set()
        self._lease_id = lease_id

    def do(self, goes_on: Callable[[], bool]) -> int:
        done, slow_at = 0, time.monotonic() + SLOW.total_seconds()
        try:
            self._read()
            while self._left and goes_on():
                done += self._store_or_each(self._open_some(goes_on))
                if time.monotonic() > slow_at:
                    break
        except (OperationalError, InterfaceError) as error:
            # the database, not the mail: give all of it back, and let the next sweep try
            log.warning("processing.database_away", error=type(error).__name__)
            connection.close()
            release([*self._under_way, *self._left], self._lease_id)
            raise
        release(self._left, self._lease_id)
        return done

    def _read(self) -> None:
        self._messages = Message.objects.in_bulk(self._left)
        emails = Email.objects.filter(message__in=self._left).order_by().values_list("message")
        self._emails = dict(emails.annotate(Count("pk")))
        small = (
            pk
            for pk, message in self._messages.items()
            if message.size <= SMALL_OCTETS and message.losses <= PARK_FROM_LOSSES
        )
        try:
            self._raws = RawMessage.objects.in_bulk(list(small))
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - what is damaged in one takes no other along: each is read by itself
            log.warning("messages.read_one_by_one", error=type(error).__name__)
            self._raws = {}

    def _open_some(self, goes_on: Callable[[], bool]) -> list[Opened]:
        """The first of those that are left, and those behind it while nobody waits long for that."""
        opened: list[Opened] = []
        begun = emails = 0
        until = time.monotonic() + TOGETHER.total_seconds()
        while self._left:
            pk = self._left[0]
            emails += self._emails.get(pk, 0)
            is_alone = pk in self._messages and pk not in self._raws
            if begun and (is_alone or emails > PORTION or time.monotonic() > until or not goes_on()):
                break
            self._left.popleft()
            begun += 1
            if one := self._opened(pk):
                opened.append(one)
                self._under_way.add(pk)
            if is_alone:
                break
        return opened

    def _opened(self, pk: UUID) -> Opened | None:
        message = self._messages.get(pk)
        if message is None:
            say_lost(pk)
            return None
        try:
            return _open(message, self._raws.pop(pk, None))
        except (OperationalError, InterfaceError):
            self._under_way.add(pk)
            raise
        except Exception as error:  # noqa: BLE001 - said with all there is to say
            _say_not_processed(pk, error)
            return None

    def _store_or_each(self, opened: Sequence[Opened]) -> int:
        """Stores all of them together; if that fails, each by itself, so that one takes no other along."""
        done = 0
        try:
            done = store(opened, lease_id=self._lease_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            if len(opened) > 1:
                log.warning("messages.stored_one_by_one", error=type(error).__name__)
                return sum(self._store_or_each([one]) for one in opened)
            # a fault of ours in this one. It keeps its loss, and our lease until the slice ends: so it is tried again
            # a little later, at most twice, and then parked
            _say_not_processed(opened[0].message.pk, error)
        self._under_way.difference_update(one.message.pk for one in opened)
        return done


def _open(message: Message, stored: RawMessage | None) -> Opened | None:
    """stored: its raw, if that was read. None if the message was erased meanwhile."""
    if message.losses > PARK_FROM_LOSSES:
        log.error("message.parked", message=message.public_id, losses=message.losses - 1)
        return Opened(message, unparsed("processing_lost"), None, Message.State.PARKED)
    try:
        octets = raw.unpacked(message, stored) if stored else raw.read_raw(message)
    except raw.RawGoneError:
        if Message.objects.filter(pk=message.pk).exists():
            raise
        say_lost(message.pk)
        return None
    except raw.CorruptRawError as error:
        log.error("message.raw_unreadable", message=message.public_id, error=str(error))  # noqa: TRY400 - all is said
        return Opened(message, unparsed("raw_unreadable"), None, Message.State.PARKED)
    parsed = mime.parse(octets, is_null_sender=not message.mail_from)
    # asks the DNS, so before the transaction
    checked = authenticate.results(message, octets)
    return Opened(message, parsed, octets, Message.State.PROCESSED, checked)


def _say_not_processed(message_id: UUID, error: Exception) -> None:
    log.error("message.not_processed", message=encode_id(Message.ID_PREFIX, message_id), exc_info=error)


def unparsed(defect: str) -> ParsedMail:
    """What is known of a mail that could not be opened: nothing but why."""
    return ParsedMail(
        status="failed",
        defects=(defect,),
        headers=(),
        subject="",
        date=None,
        message_id="",
        in_reply_to="",
        references=(),
        from_=None,
        sender=None,
        reply_to=(),
        to=(),
        cc=(),
        text="",
        text_truncated=False,
        html="",
        html_truncated=False,
        preview="",
        attachments=(),
        kind="normal",
    )
