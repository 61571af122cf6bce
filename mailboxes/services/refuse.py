"""Mail that was not taken in, on record: every one counted, the first few of a network in an hour with a row.

More would let anybody fill the database by being refused. Who comes from this host has many more: it is the mail server
in front of us, with everybody's mail, and twenty would be those of the whole installation. They are still bounded, and
not counted by the recipient's domain instead, because a sender may name as many domains as it likes.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from mailboxes.models import Refusal, RefusalCount, Rule
from mailboxes.services.envelope import Envelope
from mailboxes.services.receive import Line

ROWS_PER_HOUR = 20  # of one network
ROWS_PER_HOUR_OF_THIS_HOST = 1000  # by loopback and socket files, each

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One command that was refused; code is the error's, reply what the client was told.

    Its texts are free of control characters. `is_only_counted`: there is nothing that a row could say.
    """

    at: datetime
    envelope: Envelope
    reply: str
    code: str
    recipient: str = ""
    size: int | None = None
    rule_id: UUID | None = None
    transcript: Sequence[Line] = field(default=())
    is_only_counted: bool = False

    @property
    def key(self) -> Key:
        return self.envelope.network, self.at.replace(minute=0, second=0, microsecond=0)

    @property
    def rows_per_hour(self) -> int:
        client_ip = self.envelope.client_ip
        is_of_this_host = client_ip is None or ipaddress.ip_address(client_ip).is_loopback
        return ROWS_PER_HOUR_OF_THIS_HOST if is_of_this_host else ROWS_PER_HOUR


def record(refused: Sequence[Refused]) -> None:
    """In one transaction, with as many statements for many as for one. Raises what the database raises."""
    if not refused:
        return
    with transaction.atomic():
        counted = _count(Counter(each.key for each in refused))
        rows = []
        for each in refused:
            if not each.is_only_counted and counted[each.key] < each.rows_per_hour:
                rows.append(each)
            counted[each.key] += 1
        _insert(rows)


def _count(amounts: Counter[Key]) -> dict[Key, int]:
    """Adds to the counters, and returns what they said before."""
    table = connection.ops.quote_name(RefusalCount._meta.db_table)  # noqa: SLF001 - documented all the same
    hour = RefusalCount._meta.get_field("hour")  # noqa: SLF001
    keys = sorted(amounts)  # in one order, so that no two processes wait for each other
    values = ", ".join(["(%s, %s, %s)"] * len(keys))
    with connection.cursor() as cursor:
        # the ORM's bulk_create can replace what is there, but not add to it
        cursor.execute(
            f"INSERT INTO {table} (network, hour, refused) VALUES {values} "  # noqa: S608 - our table's name
            f"ON CONFLICT (network, hour) DO UPDATE SET refused = {table}.refused + excluded.refused",
            [
                value
                for key in keys
                for value in (key[0], hour.get_db_prep_value(key[1], connection=connection), amounts[key])
            ],
        )
    found = RefusalCount.objects.filter(network__in={key[0] for key in keys}, hour__in={key[1] for key in keys})
    totals = {(network, hour): total for network, hour, total in found.values_list("network", "hour", "refused")}
    return {key: totals[key] - amounts[key] for key in keys}


def _insert(refused: Sequence[Refused]) -> None:
    named = {each.rule_id for each in refused if each.rule_id}
    rules = set(Rule.objects.filter(pk__in=named).values_list("pk", flat=True)) if named else set()
    Refusal.objects.bulk_create(
        Refusal(
            at=each.at,
            outcome=Refusal.Outcome.REFUSED,
            source=each.envelope.source,
            network=each.envelope.network,
            client_ip=each.envelope.client_ip,
            helo=each.envelope.helo,
            mail_from=each.envelope.mail_from,
            recipient=each.recipient[:320],
            reply=each.reply[:200],
            code=each.code,
            rule_id=each.rule_id if each.rule_id in rules else None,
            size=each.size,
            transcript=list(each.transcript),
        )
        for each in refused
    )
