"""What may be sent for webhooks."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from emailgistics.common.bodies import BodySerializer, Choice, Flag, Reference, Text, Whole
from mailboxes.api.bodies import NewAliasSerializer
from webhooks.headers import MASK, MAX_HEADERS
from webhooks.models import MAX_IN_FLIGHT, Webhook
from webhooks.services import replay_jobs
from webhooks.services.pull import MAX_ACKNOWLEDGED
from webhooks.services.webhooks import MAX_RATE_PER_MINUTE, MAX_ROTATION_OVERLAP, ROTATION_OVERLAP

HOUR = timedelta(hours=1)
BOUND = "A webhook stays bound to what it was made for: make another one."
SWITCHED = "Ask for pause or resume."
URL = "https; http only into networks that an operator allows; null: nothing is sent, its deliveries are pulled"


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": MAX_HEADERS})
class Headers(serializers.Field[dict[str, str], Any, Any, Any]):
    """An object of strings; `webhooks.headers` knows which."""

    default_error_messages: ClassVar = {
        "invalid": 'This is an object of names and values, such as {{"Authorization": "Bearer …"}}.',
        "not_text": "The value of each header is text, in quotes.",
    }

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, Mapping):
            self.fail("invalid")
        if not all(isinstance(value, str) for value in data.values()):
            self.fail("not_text")
        return dict(data)


class Hours(serializers.FloatField):
    """A JSON number."""

    default_error_messages: ClassVar = {"invalid": "This is a number of hours, without quotes."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return data  # as a float, a large one is none: the bounds refuse it


class WebhookFieldsSerializer(BodySerializer):
    FIXED: ClassVar[Mapping[str, str]] = dict.fromkeys(("alias_id", "mailbox_id", "domain_id"), BOUND) | dict.fromkeys(
        ("state", "state_reason"), SWITCHED
    )
    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"previous_secret_until", "thinned_at", "health", "attempts_in_flight"}
    )

    events = serializers.ListField(
        child=Choice(Webhook.EventType.choices),
        required=False,
        min_length=1,
        max_length=len(Webhook.EventType),
        help_text="what it is told of; all but email.reparsed, unless said",
    )
    attachments = Choice(
        Webhook.Attachments.choices,
        required=False,
        help_text="with a full payload: links, or inline: with their octets, which needs emails:content",
    )
    max_in_flight = Whole(required=False, min_value=1, max_value=MAX_IN_FLIGHT, help_text="requests at once")
    rate_per_minute = Whole(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_RATE_PER_MINUTE,
        help_text="requests; null is no limit",
    )

    def validate_events(self, chosen: list[str]) -> list[str]:
        if len(set(chosen)) < len(chosen):
            raise serializers.ValidationError("Each event stands here once: leave out the second.", "repeated")
        return chosen


class WebhookChangesSerializer(WebhookFieldsSerializer):
    url = Text(required=False, allow_null=True, help_text=URL)
    headers = Headers(
        required=False,
        help_text=f"Sent beside ours with every request. These are all of them; {MASK} keeps the value of that name.",
    )
    payload = Choice(Webhook.Payload.choices, required=False, help_text="full needs emails:content")
    description = Text(required=False, allow_blank=True, help_text="for people")


class WholeWebhookSerializer(WebhookFieldsSerializer):
    """All of it, as it was read; what it shows besides may be sent back as well.

    What changes by itself (`previous_secret_until`, `thinned_at`, `health`, `attempts_in_flight`) is passed over. A
    `state` or `state_reason` that is another by now is a 400: pause and resume change it.
    """

    url = Text(allow_null=True, help_text=URL)
    headers = Headers(help_text=f"Sent beside ours with every request; {MASK} keeps the value of that name.")
    payload = Choice(Webhook.Payload.choices, help_text="full needs emails:content")
    description = Text(allow_blank=True, help_text="for people")


class NewWebhookSerializer(WebhookFieldsSerializer):
    """Bound to exactly one of an alias, a mailbox and a domain."""

    FIXED: ClassVar[Mapping[str, str]] = {}

    alias_id = Reference(source="alias", required=False, allow_null=True)
    mailbox_id = Reference(source="mailbox", required=False, allow_null=True)
    domain_id = Reference(source="domain", required=False, allow_null=True, help_text="needs a key for all mailboxes")
    url = Text(allow_null=True, help_text=URL)
    headers = Headers(required=False, help_text="Sent beside ours with every request; nobody reads the values again.")
    payload = Choice(
        Webhook.Payload.choices,
        required=False,
        help_text="full needs emails:content; without that scope it is metadata, unless said",
    )
    description = Text(required=False, allow_blank=True, help_text="for people")
    secret = Text(
        required=False, help_text="whsec_…, to keep a receiver as it is; otherwise a new one is made and answered"
    )


class NewAliasWebhookSerializer(NewAliasSerializer, WebhookFieldsSerializer):
    """What `POST /v1/aliases` takes, and what `POST /v1/webhooks` takes besides; `description` is for both."""

    FIXED: ClassVar[Mapping[str, str]] = {}
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    FOR_ALIAS: ClassVar = ("further_mailboxes", "priority", "description", "is_active")

    url = Text(allow_null=True, help_text=URL)
    headers = Headers(required=False, help_text="Sent beside ours with every request; nobody reads the values again.")
    payload = Choice(
        Webhook.Payload.choices,
        required=False,
        help_text="full needs emails:content; without that scope it is metadata, unless said",
    )
    secret = Text(
        required=False, help_text="whsec_…, to keep a receiver as it is; otherwise a new one is made and answered"
    )
    first_or_create = Flag(
        required=False,
        default=False,
        help_text="an alias that is there is taken as it is, and so is a webhook of it with this url",
    )


class RotationSerializer(BodySerializer):
    overlap_hours = Hours(
        required=False,
        default=ROTATION_OVERLAP / HOUR,
        min_value=0,
        max_value=MAX_ROTATION_OVERLAP / HOUR,
        help_text="how long the secret before signs as well; 0 ends it at once",
    )


class Moment(serializers.DateTimeField):
    """A JSON string, RFC 3339, with its offset. Its value is in UTC."""

    default_error_messages: ClassVar = {
        "invalid": "This is a time with its offset, such as 2030-01-31T18:00:00Z.",
        "naive": "Say the offset as well, such as the Z in 2030-01-31T18:00:00Z.",
        "not_text": "This is a time in quotes, such as 2030-01-31T18:00:00Z.",
        "too_far": "This is beyond all calendars: give a time within the years 1 to 9999.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("not_text")
        return super().to_internal_value(value)

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            self.fail("naive")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            self.fail("too_far")


class ReplaySerializer(BodySerializer):
    since = Moment(help_text="deliveries made from then on; from the year 2000 on")
    until = Moment(required=False, help_text="and before then, at most a day ahead; without it, up to now")
    status = Choice(replay_jobs.OF_STATES, required=False, default="failed", help_text="how they had ended")
    rate_per_minute = Whole(
        required=False,
        default=replay_jobs.RATE_PER_MINUTE,
        min_value=1,
        max_value=replay_jobs.MAX_RATE_PER_MINUTE,
        help_text="deliveries that become due in a minute",
    )


@extend_schema_field({"oneOf": [{"type": "object", "additionalProperties": {}}, {"type": "string"}]})
class PastedHeaders(serializers.Field[Any, Any, Any, Any]):
    """As somebody copied them."""

    default_error_messages: ClassVar = {
        "invalid": "These are the lines of a request, or an object of names and values."
    }

    def to_internal_value(self, data: Any) -> dict[str, Any] | str:
        if not isinstance(data, dict | str):
            self.fail("invalid")
        return data


class CheckSerializer(BodySerializer):
    headers = PastedHeaders(help_text="of the request that was received: an object, or its lines as text")
    body = Text(
        required=False,
        allow_blank=True,
        help_text=(
            "of that request, as it was received. Without it, as for one that is too large to be sent here, the "
            "headers are looked at with the body that was sent under that `webhook-id`"
        ),
    )


class Id(serializers.CharField):
    """Of what the view looks for: one that is none at all is a 404 like any other, and not a matter of form."""

    def run_validation(self, data: Any = empty) -> str:
        return data if isinstance(data, str) else ""


class AcknowledgementSerializer(BodySerializer):
    ids = serializers.ListField(
        child=Id(),
        min_length=1,
        max_length=MAX_ACKNOWLEDGED,
        help_text="the `delivery_id` of each that has arrived",
    )
