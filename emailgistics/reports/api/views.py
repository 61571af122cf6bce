"""Statistics over HTTP. A key is told of its mailboxes, and of its own calls."""

from functools import partial
from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from emailgistics.common.access import Scope, principal
from emailgistics.common.filters import Query, one_of
from emailgistics.common.problems import ACCESS_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find_in_query
from emailgistics.common.views import StrictQuery
from emailgistics.reports.api.serializers import StatisticsSerializer
from emailgistics.reports.periods import MAX_PERIODS, WHEN, Interval, parse_when
from emailgistics.reports.statistics import statistics, whose
from mailboxes.models import Alias, Domain, Mailbox

DESCRIPTION = f"""\
How much mail came to the mailboxes that the key may open, what became of it and of its deliveries, and how often this
key was used. Without parameters: the last 30 days, by day.

Everything counts when it happens: a delivery that failed on Monday for a mail of Sunday is Monday's. What was counted
stays so when mail is deleted, an alias moves or a webhook goes; mail counts for the mailbox that it went to. Deliveries
are those of mail, without tests. What a webhook sends that a key for that mailbox alone would not see at that moment,
because it is of a whole domain or its alias leads elsewhere by then, only a key for all mailboxes is told of. To such a
key, mailboxes that were deleted since go on counting in what is asked for without `mailbox_id`; any other key no longer
sees them.

Counts are kept by quarters of an hour: `from` is taken back to the one that it is in, `to` forward to its end, and the
answer says what they are then. Rows begin at full hours, days, Mondays or months of the time zone; the first and the
last may be shorter, and where nothing happened there are zeros. An answer has at most {MAX_PERIODS:,} rows.

A latency is from when a delivery could first go out (its mail was opened, it was replayed, or its webhook was
resumed) until the receiver had it; of a webhook without URL, until its delivery was pulled and acknowledged. The
percentiles are made of counts whose bounds grow by the square root of 2, from 1 ms to 12 days: what they say is at
most 19 % off.

Usage is collected for a few seconds before it is written, so the last calls of the key may not be in `api_calls` yet;
all else is there as soon as it happened.
"""
EXAMPLE = {
    "received": 148,
    "bytes": 9301127,
    "processed": 146,
    "parked": 0,
    "quarantined": 2,
    "delivered": 290,
    "failed": 1,
    "held": 4,
    "retries": 9,
    "latency_p50_ms": 38,
    "latency_p95_ms": 215,
    "api_calls": 512,
}
NOTHING = {**dict.fromkeys(EXAMPLE, 0), "latency_p50_ms": None, "latency_p95_ms": None}


class StatisticsViewSet(StrictQuery, ViewSet):
    required_scopes: ClassVar = {"retrieve": Scope.STATISTICS_READ}

    @property
    def default_response_headers(self) -> dict[str, str]:
        # private: the key may be in a header that caches on the way do not know
        return super().default_response_headers | {"Cache-Control": "private, no-cache"}

    @extend_schema(
        operation_id="statistics",
        summary="Read statistics",
        description=DESCRIPTION,
        parameters=[
            OpenApiParameter("from", str, description=f"Where it begins; 30 days before `to` by default. {WHEN}"),
            OpenApiParameter("to", str, description=f"Before which it ends; the end of today by default. {WHEN}"),
            OpenApiParameter(
                "interval", str, enum=[*Interval], default=Interval.DAY.value, description="What a row is of."
            ),
            OpenApiParameter(
                "time_zone", str, description="IANA name such as Europe/Berlin; the installation's by default."
            ),
            OpenApiParameter("mailbox_id", str, description="Only mail in this mailbox."),
            OpenApiParameter("alias_id", str, description="Only mail that came by this alias."),
            OpenApiParameter("domain_id", str, description="Only mail in the mailboxes of this domain."),
        ],
        responses={
            200: StatisticsSerializer,
            **described(400, "`validation_error` with `errors`, which name the parameter and say what would do."),
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
        },
        examples=[
            OpenApiExample(
                "Two days in Berlin",
                {
                    "from": "2030-01-30T23:00:00.000Z",
                    "to": "2030-02-01T23:00:00.000Z",
                    "interval": "day",
                    "time_zone": "Europe/Berlin",
                    "totals": EXAMPLE,
                    "data": [
                        {"start": "2030-01-30T23:00:00.000Z", "end": "2030-01-31T23:00:00.000Z", **EXAMPLE},
                        {"start": "2030-01-31T23:00:00.000Z", "end": "2030-02-01T23:00:00.000Z", **NOTHING},
                    ],
                },
                response_only=True,
            )
        ],
    )
    def retrieve(self, request: Request) -> Response:
        caller = principal(request)
        of = whose(
            caller,
            mailbox=find_in_query(Mailbox.objects.visible_to(caller), request, "mailbox_id"),
            alias=find_in_query(Alias.objects.visible_to(caller), request, "alias_id"),
            domain=find_in_query(Domain.objects.visible_to(caller), request, "domain_id"),
        )
        query = Query(request)
        for name in ("mailbox_id", "alias_id", "domain_id"):
            query.read(name, str)  # once, as all others
        since, until = (query.read(name, partial(parse_when, field=name)) for name in ("from", "to"))
        interval = Interval(query.read("interval", one_of(*Interval)) or Interval.DAY)
        time_zone = query.read("time_zone", str)
        query.refuse_what_is_wrong()
        found = statistics(of, since=since, until=until, interval=interval, time_zone=time_zone)
        return Response(StatisticsSerializer(found).data)
