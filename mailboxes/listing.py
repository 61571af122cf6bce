"""Lists of emails whose cost does not grow with the table.

On PostgreSQL the newest of each mailbox are taken by an index that begins with the mailbox, and merged: who looks into
idle mailboxes does not walk by the mail of busy ones, nor anybody by that of deleted ones. Each filter by itself has
such an index; of several one leads, and the others sort out what it finds, within SEARCH_WITHIN: they may agree on
nothing. SQLite, which is for installations that are small, is asked plainly.

Words are found by GIN indexes, which know no order: up to MAX_SORTED emails are found, whatever they are, and sorted.
What more emails have than that is met so often among the newest that those are walked instead. Where one stands is one
list of the index, which is read whole: of words that a large part of many emails has, by the statistics of the table,
the walk comes first.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import OperationalError, connection
from django.db.models import Exists, Func, OuterRef, QuerySet, UUIDField
from psycopg.errors import QueryCanceled

from emailgistics.common.access import Principal
from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import first_id_at
from emailgistics.common.planning import IN_ORDER, only, planned, rows_expected
from mailboxes.models import Alias, Domain, Email, Mailbox, Recipient, SearchEntry
from mailboxes.models.search import IN_SUBJECT, SearchEntryQuerySet
from mailboxes.words import Term

MAX_SORTED = 10_000
FREQUENT = 100_000  # emails that have the words: of fewer, their list in the index is read within milliseconds
LARGE_PART = 0.2  # of the emails that are looked at; of less, MAX_SORTED are met later than that list is read
WALK_WITHIN = timedelta(seconds=1)  # the statistics know nothing of what comes where: then it is the index after all
MAX_NAMED = 100  # mailboxes that a search names to the index; of more, it looks at all and sorts out
SEARCH_WITHIN = timedelta(seconds=5)
# between the id of an email and when it was received: one process makes both, one a moment after the other
ID_WITHIN = timedelta(minutes=5)
# for words, no walk by everything in search of one that the planner takes for frequent
BY_BITMAP = ("enable_seqscan", "enable_indexscan", "enable_indexonlyscan")


TOO_WIDE = (
    f"This takes longer than {SEARCH_WITHIN.seconds} s: narrow it by mailbox_id, received_after and received_before, "
    "or by rarer words."
)


class SearchTooWideError(RefusedError):
    code = "search_too_wide"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Only emails of which all that is given holds. Keys are those of SearchEntry and Recipient."""

    mailbox: Mailbox | None = None
    domain: Domain | None = None  # that the mailbox is in
    alias: Alias | None = None
    status: str | None = None
    from_key: str | None = None
    from_domain: str | None = None
    recipient_key: str | None = None
    message_id: str | None = None
    has_attachment: bool | None = None
    received_from: datetime | None = None
    received_until: datetime | None = None  # not included
    subject: tuple[Term, ...] = ()
    anywhere: tuple[Term, ...] = ()  # in what the log shows and, for who has emails:content, in what the mail says
    reads_content: bool = False


class Unnest(Func):
    function = "unnest"
    set_returning = True
    output_field = UUIDField()


def list_emails(shown: QuerySet[Email], caller: Principal, filters: Filters) -> "EmailList":
    """The emails that the caller may see and that pass the filters; `shown` says what is loaded of each."""
    mailboxes = Mailbox.objects.visible_to(caller)
    if filters.mailbox is not None:
        mailboxes = mailboxes.filter(pk=filters.mailbox.pk)
    if filters.domain is not None:
        mailboxes = mailboxes.filter(domain=filters.domain)
    kind = EmailSearch if filters.subject or filters.anywhere else EmailList
    return kind(shown, mailboxes, filters)


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a list: newest first, but oldest first after an id."""

    most: int
    skip: int = 0
    before: UUID | None = None
    after: UUID | None = None

    @property
    def sign(self) -> str:
        return "-" if self.after is None else ""

    def of(self, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
        """Those rows up to its end, in its order: what is skipped is among them."""
        if self.before is not None:
            rows = rows.filter(**{f"{column}__lt": self.before})
        if self.after is not None:
            rows = rows.filter(**{f"{column}__gt": self.after})
        found = rows.order_by(self.sign + column).values(column)
        if rows.model is Recipient:
            # an alias may have led to one email twice, as help+a and as help+b; in the order of the index, both stand
            # side by side
            found = found.distinct()
        return found[: self.skip + self.most]


class EmailList:
    """See `common.pagination.Rows`."""

    def __init__(self, shown: QuerySet[Email], mailboxes: QuerySet[Mailbox], filters: Filters) -> None:
        self._shown, self._mailboxes, self._filters = shown, mailboxes, filters

    def newest(self, most: int, *, skip: int = 0, before: UUID | None = None) -> list[Email]:
        return self._shown_at(Place(most, skip, before))

    def oldest(self, most: int, *, after: UUID) -> list[Email]:
        return self._shown_at(Place(most, after=after))

    def count(self, most: int) -> int:
        with self._walking():
            return self._merged(Place(most), is_ordered=False)[:most].count()

    def _shown_at(self, place: Place) -> list[Email]:
        ids = self._ids(place)
        return list(self._shown.filter(pk__in=ids).order_by(f"{place.sign}pk"))

    def _ids(self, place: Place) -> "QuerySet[Any] | list[UUID]":
        found = self._merged(place)[place.skip : place.skip + place.most]
        if connection.vendor != "postgresql":
            return found
        with self._walking():
            return [row["found"] for row in found]

    def _merged(self, place: Place, *, is_ordered: bool = True) -> QuerySet[Any]:
        """The ids of emails; of each mailbox, no more than up to the place's end."""
        rows = _leading(self._filters, self._entries())
        column = _id_in(rows)
        if connection.vendor != "postgresql":
            return place.of(rows.filter(mailbox__in=self._mailboxes), column)
        each = place.of(rows.filter(**only("mailbox", OuterRef("pk"))), column)
        found = self._mailboxes.annotate(found=Unnest(ArraySubquery(each))).values("found")
        return found.order_by(f"{place.sign}found") if is_ordered else found.order_by()

    def _walking(self) -> AbstractContextManager[None]:
        """One filter is walked by at any size; of several, nothing may pass, however many are looked at."""
        columns = OF_ENTRY | OF_RECIPIENT | {"status": "status"}
        return _searching(without=IN_ORDER) if len(_given(self._filters, columns)) > 1 else planned(without=IN_ORDER)

    def _entries(self) -> QuerySet[SearchEntry] | None:
        given = _given(self._filters, OF_ENTRY)
        return SearchEntry.objects.filter(**given) if given else None


class EmailSearch(EmailList):
    """A list of emails that have some words."""

    def count(self, most: int) -> int:
        return min(most, self._count)

    def _ids(self, place: Place) -> "QuerySet[Any] | list[UUID]":
        if self._count > MAX_SORTED:
            with _searching():
                return super()._ids(place)
        with _searching(without=BY_BITMAP):
            return list(place.of(self._found(), "email_id")[place.skip :].values_list("email_id", flat=True))

    @cached_property
    def _count(self) -> int:
        """No further than to one more than can be sorted."""
        if self._are_frequent():
            with suppress(SearchTooWideError), _searching(without=IN_ORDER, within=WALK_WITHIN):
                return self._merged(Place(MAX_SORTED + 1), is_ordered=False)[: MAX_SORTED + 1].count()
        with _searching(without=BY_BITMAP):
            return self._found().values("pk")[: MAX_SORTED + 1].count()

    def _are_frequent(self) -> bool:
        """Whether so much has the words, as the planner expects, that it is met among the newest sooner than found."""
        if connection.vendor != "postgresql":
            return False
        looked_at = SearchEntry.objects.filter(mailbox__in=self._mailboxes)
        expected = rows_expected(self._having(looked_at, None))
        return expected >= FREQUENT and expected >= LARGE_PART * rows_expected(looked_at)

    def _found(self) -> QuerySet[Any]:
        entries = self._having(SearchEntry.objects.filter(**_given(self._filters, OF_ENTRY)), self._named)
        return _joined([entries, *_others(self._filters)], self._filters).filter(mailbox__in=self._mailboxes)

    def _entries(self) -> QuerySet[SearchEntry]:
        """For a walk, which is by the mailbox anyway."""
        return self._having(SearchEntry.objects.filter(**_given(self._filters, OF_ENTRY)), None)

    def _having(self, rows: SearchEntryQuerySet, mailbox_ids: list[UUID] | None) -> SearchEntryQuerySet:
        """Of these those with the words; within these mailboxes, if the index is to look at theirs only."""
        filters = self._filters
        in_subject = [replace(term, text=f"{IN_SUBJECT}{term.text}") for term in filters.subject]
        column = "all_words" if filters.reads_content else "log_words"
        for name, terms in (("log_words", in_subject), (column, filters.anywhere)):
            if terms:
                rows = rows.having(name, terms, mailbox_ids)
        return rows

    @cached_property
    def _named(self) -> list[UUID] | None:
        """The mailboxes, if they are few: so that others' mail with the same words is not even looked at."""
        if connection.vendor != "postgresql":
            return None
        if self._filters.mailbox is not None:
            return [self._filters.mailbox.pk]  # whether it may be seen is asked beside
        few = list(self._mailboxes.order_by("pk").values_list("pk", flat=True)[: MAX_NAMED + 1])
        return few if len(few) <= MAX_NAMED else None


# columns by the names that they have in Filters
OF_ENTRY = {name: name for name in ("from_key", "from_domain", "message_id", "has_attachment")}
OF_RECIPIENT = {"alias": "alias", "recipient_key": "address_key"}
OF_EMAIL = {"status": "status", "received_from": "received_at__gte", "received_until": "received_at__lt"}


def _given(filters: Filters, columns: Mapping[str, str]) -> dict[str, Any]:
    values = {column: getattr(filters, name) for name, column in columns.items()}
    return {column: value for column, value in values.items() if value is not None}


def _others(filters: Filters) -> "list[QuerySet[Any]]":
    """What is asked of recipients and of emails themselves."""
    of_recipient, of_email = _given(filters, OF_RECIPIENT), _given(filters, OF_EMAIL)
    return [
        *([Recipient.objects.filter(**of_recipient)] if of_recipient else []),
        *([Email.objects.filter(**of_email)] if of_email else []),
    ]


def _leading(filters: Filters, entries: QuerySet[SearchEntry] | None) -> QuerySet[Any]:
    """The emails that pass, as rows of the table by whose index they are found: the narrowest that there is."""
    of_entry = _given(filters, OF_ENTRY)
    others = _others(filters)
    own = [] if entries is None else [entries]
    if not of_entry.keys().isdisjoint(("from_key", "message_id")):
        return _joined([*own, *others], filters)
    if of_entry:
        # an address or an alias has fewer emails than a domain, or than all attachments
        return _joined([*others[:1], *own, *others[1:]] if _given(filters, OF_RECIPIENT) else [*own, *others], filters)
    return _joined([*(others or [Email.objects.all()]), *own], filters)


def _joined(tables: "Sequence[QuerySet[Any]]", filters: Filters) -> QuerySet[Any]:
    """Rows of the first of these whose email is in all others."""
    rows, *others = tables
    column = _id_in(rows)
    for other in others:
        rows = rows.filter(Exists(other.filter(**{_id_in(other): OuterRef(column)})))
    # ids sort by time: what the index leads to ends where the span does
    if filters.received_from is not None:
        rows = rows.filter(**{f"{column}__gte": first_id_at(filters.received_from - ID_WITHIN)})
    if filters.received_until is not None:
        rows = rows.filter(**{f"{column}__lt": first_id_at(filters.received_until + ID_WITHIN)})
    return rows


def _id_in(rows: QuerySet[Any]) -> str:
    return "id" if rows.model is Email else "email_id"


@contextmanager
def _searching(*, without: Sequence[str] = (), within: timedelta | None = None) -> Iterator[None]:
    """Reading within that time, or SEARCH_WITHIN. Raises SearchTooWideError."""
    try:
        with planned(without=without, within=within or SEARCH_WITHIN):
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise SearchTooWideError(TOO_WIDE, field="received_after") from error
        raise
