"""Counted usage in its tables: written in one transaction, by one statement for each of them, and pruned.

Two web processes do it at the same time. The rows of the keys are locked first, all in one order, so that neither can
wait for what the other has; all else that is written belongs to a key that is held then. Only what changes a key waits
for it, for the milliseconds of one flush.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model

from apikeys.models import ApiKey, KeyCalls, KeyMailboxUse, KeyRefusals, KeyScopeUse
from apikeys.usage_counts import Counts, LastUse, Refused
from emailgistics.common import audit, series
from emailgistics.common.bulk import delete_little_by_little
from emailgistics.common.series import Kind
from mailboxes.models import Alias, Mailbox

ROWS = 200  # of one statement: databases bound its parameters
MAX_NETWORKS = 50  # of one key, day and reason: a stolen key may be tried from anywhere
ELSEWHERE = "elsewhere"  # stands for all networks beyond those

Refusals = Mapping[tuple[UUID, date, str, str], Refused]


def write(counts: Counts) -> None:
    """All of it or nothing. What was counted for keys that are no longer there is dropped. Raises DatabaseError."""
    with transaction.atomic():
        keys = _locked(_key_ids(counts))
        _write_last_uses(keys, counts.last_uses)
        calls = [
            KeyCalls(api_key_id=key, day=day, family=family, status_class=status_class, count=count)
            for (key, day, family, status_class), count in counts.calls.items()
            if key in keys
        ]
        _upsert(calls, once="api_key_id, day, family, status_class", add=["count"])
        _count_calls(keys, counts.quarters)
        refusals = [
            KeyRefusals(api_key_id=key, day=day, reason=reason, network=network, count=count, last_at=last_at)
            for (key, day, reason, network), (count, last_at) in _from_few_networks(counts.refusals).items()
            if key in keys
        ]
        _upsert(refusals, once="api_key_id, day, reason, network", add=["count"], later=["last_at"])
        scopes = [
            KeyScopeUse(api_key_id=key, scope=scope, last_on=day)
            for (key, scope), day in counts.scopes.items()
            if key in keys
        ]
        _upsert(scopes, once="api_key_id, scope", later=["last_on"])
        mailboxes = [
            KeyMailboxUse(api_key_id=key, mailbox_id=mailbox, last_on=day)
            for (key, mailbox), day in _mailboxes(counts).items()
            if key in keys
        ]
        _upsert(mailboxes, once="api_key_id, mailbox_id", later=["last_on"])


def prune(*, now: datetime) -> int:
    """Deletes what is older than USAGE_DAYS; returns how many rows went."""
    kept_from = (now - timedelta(days=settings.USAGE_DAYS)).date()
    return (
        delete_little_by_little(KeyCalls.objects.filter(day__lt=kept_from))
        + delete_little_by_little(KeyRefusals.objects.filter(day__lt=kept_from))
        + delete_little_by_little(KeyScopeUse.objects.filter(last_on__lt=kept_from))
        + delete_little_by_little(KeyMailboxUse.objects.filter(last_on__lt=kept_from))
    )


def _key_ids(counts: Counts) -> set[UUID]:
    # whatever is used of a key is used by a call, so these two name them all
    return counts.last_uses.keys() | {key for key, *_ in counts.refusals}


def _locked(ids: set[UUID]) -> dict[UUID, ApiKey]:
    """Those that there are, held until we commit. `no_key`: rows that refer to them can be added meanwhile."""
    rows = ApiKey.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    return {key.pk: key for key in rows.only("identifier", "last_used_at")}


def _count_calls(keys: Mapping[UUID, ApiKey], quarters: Mapping[tuple[UUID, int], int]) -> None:
    """For statistics, which are of days in any time zone: those of KeyCalls are in UTC."""
    calls = series.Counts()
    for (key, quarter), count in quarters.items():
        if key in keys:
            calls.add(Kind.API_CALLS, subject=key, at=series.begins(quarter), times=count)
    calls.write()


def _write_last_uses(keys: Mapping[UUID, ApiKey], last_uses: Mapping[UUID, LastUse]) -> None:
    """Only forwards: what another process wrote meanwhile may be later."""
    later = []
    for pk, use in last_uses.items():
        key = keys.get(pk)
        if key is None or (key.last_used_at is not None and key.last_used_at >= use.at):
            continue
        if key.last_used_at is None:
            # once: whoever else flushes sees it only when we have committed
            audit.record("apikey.first_used", of=key.identifier, by=key.identifier, address=use.address, at=use.at)
        key.last_used_at, key.last_used_address, key.last_used_agent = use.at, use.address or None, use.agent
        later.append(key)
    ApiKey.objects.bulk_update(later, ["last_used_at", "last_used_address", "last_used_agent"], batch_size=ROWS)


def _from_few_networks(refusals: Refusals) -> Refusals:
    """The same with MAX_NETWORKS for each key, day and reason, those that are written already among them."""
    if not refusals:
        return refusals
    written = KeyRefusals.objects.filter(
        api_key__in={key for key, *_ in refusals}, day__in={day for _, day, *_ in refusals}
    )
    known: dict[tuple[UUID, date, str], set[str]] = defaultdict(set)
    for key, day, reason, network in written.values_list("api_key", "day", "reason", "network"):
        known[key, day, reason].add(network)
    few: dict[tuple[UUID, date, str, str], Refused] = {}
    for (key, day, reason, network), refused in refusals.items():
        networks = known[key, day, reason]
        if len(networks) < MAX_NETWORKS:
            networks.add(network)
        entry = (key, day, reason, network if network in networks else ELSEWHERE)
        few[entry] = few[entry].and_also(refused) if entry in few else refused
    return few


def _mailboxes(counts: Counts) -> dict[tuple[UUID, UUID], date]:
    """With those that the aliases lead to by now, and without those whose rows are gone."""
    led_to = dict(Alias.objects.filter(pk__in={alias for _, alias in counts.aliases}).values_list("pk", "mailbox"))
    used: dict[tuple[UUID, UUID], date] = dict(counts.mailboxes)
    for (key, alias), day in counts.aliases.items():
        if mailbox := led_to.get(alias):
            used[key, mailbox] = max(day, used.get((key, mailbox), day))
    there = set(Mailbox.objects.filter(pk__in={mailbox for _, mailbox in used}).values_list("pk", flat=True))
    return {pair: day for pair, day in used.items() if pair[1] in there}


def _upsert(rows: Sequence[Model], *, once: str, add: Sequence[str] = (), later: Sequence[str] = ()) -> None:
    """Inserts them; where there is one with the same values of `once`, adds to it, or takes the later of the two.

    The ORM's own `update_conflicts` can only replace.
    """
    for start in range(0, len(rows), ROWS):
        _upsert_some(rows[start : start + ROWS], once=once, add=add, later=later)


def _upsert_some(rows: Sequence[Model], *, once: str, add: Sequence[str], later: Sequence[str]) -> None:
    options = rows[0]._meta  # noqa: SLF001 - documented
    table, fields = options.db_table, [field for field in options.local_concrete_fields if not field.primary_key]
    changes = [f"{name} = {table}.{name} + excluded.{name}" for name in add] + [
        f"{name} = CASE WHEN excluded.{name} > {table}.{name} THEN excluded.{name} ELSE {table}.{name} END"
        for name in later
    ]
    places = f"({', '.join(['%s'] * len(fields))})"
    statement = (
        f"INSERT INTO {table} ({', '.join(str(field.column) for field in fields)}) "  # noqa: S608 - names of ours alone
        f"VALUES {', '.join([places] * len(rows))} ON CONFLICT ({once}) DO UPDATE SET {', '.join(changes)}"
    )
    values = [
        field.get_db_prep_save(getattr(row, field.attname), connection=connection) for row in rows for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
