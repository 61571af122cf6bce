"""The JSON of statistics."""

from typing import Any

from rest_framework import serializers

from emailgistics.reports.periods import Interval
from mailboxes.api.serializers import InstantField

LATENCY = (
    "milliseconds; null where nothing was delivered. Of what is pulled it goes until the acknowledgement, so it tells "
    "how often a receiver asks; of what was replayed it begins then"
)


class FiguresSerializer(serializers.Serializer[Any]):
    received = serializers.IntegerField(help_text="emails that came to the mailboxes")
    bytes = serializers.IntegerField(help_text="octets of their raws")
    processed = serializers.IntegerField(help_text="emails that were opened")
    parked = serializers.IntegerField(help_text="emails that could not be opened")
    quarantined = serializers.IntegerField(help_text="emails that a rule kept back")
    delivered = serializers.IntegerField(
        help_text=(
            "deliveries that a webhook's receiver has: it answered 2xx, or pulled and acknowledged it. One that is "
            "replayed and arrives again counts again"
        )
    )
    failed = serializers.IntegerField(
        help_text="deliveries that were given up; one that is replayed and given up again counts again"
    )
    held = serializers.IntegerField(help_text="times that a delivery began to wait for its webhook")
    retries = serializers.IntegerField(help_text="attempts that were made again because one had failed")
    latency_p50_ms = serializers.IntegerField(
        allow_null=True, help_text=f"half of these deliveries took no longer; {LATENCY}"
    )
    latency_p95_ms = serializers.IntegerField(
        allow_null=True, help_text=f"95 % of these deliveries took no longer; {LATENCY}"
    )
    api_calls = serializers.IntegerField(help_text="requests of the key that asks, whatever the filters")


class PeriodSerializer(FiguresSerializer):
    start = InstantField()
    end = InstantField(help_text="before which it ends: the start of the next one")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        bounds = {name: self.fields[name].to_representation(getattr(instance, name)) for name in ("start", "end")}
        return bounds | dict(FiguresSerializer(instance.figures).data)


class StatisticsSerializer(serializers.Serializer[Any]):
    # a keyword, so a class body has no plainer way to say it
    locals()["from"] = InstantField(source="since", help_text="when the first one starts")
    to = InstantField(source="until", help_text="when the last one ends")
    interval = serializers.ChoiceField(choices=[interval.value for interval in Interval])
    time_zone = serializers.CharField(help_text="IANA name")
    totals = FiguresSerializer()
    data = PeriodSerializer(many=True)  # type: ignore[assignment]  # a field: DRF takes it off the class
