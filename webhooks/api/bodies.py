"""What may be sent for webhooks."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from emailgistics.common.bodies import BodySerializer, Reference, Text
from webhooks.api.serializers import LINKS
from webhooks.headers import MASK, MAX_HEADERS
from webhooks.models import Event, Webhook
from webhooks.services.webhooks import MAX_ROTATION_OVERLAP, ROTATION_OVERLAP

HOUR = timedelta(hours=1)
BOUND = "A webhook stays bound to what it was made for: make another one."
SWITCHED = "Ask for pause or resume."


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
    IGNORED: ClassVar[frozenset[str]] = frozenset({"previous_secret_until"})

    events = serializers.ListField(
        child=serializers.ChoiceField(Event.Type.choices), required=False, min_length=1, max_length=1
    )
    attachments = serializers.ChoiceField([LINKS], required=False)


class WebhookChangesSerializer(WebhookFieldsSerializer):
    url = Text(required=False, help_text="https; http only into networks that an operator allows")
    headers = Headers(
        required=False,
        help_text=f"Sent beside ours with every request. These are all of them; {MASK} keeps the value of that name.",
    )
    payload = serializers.ChoiceField(Webhook.Payload.choices, required=False, help_text="full needs emails:content")
    description = Text(required=False, allow_blank=True, help_text="for people")


class WholeWebhookSerializer(WebhookFieldsSerializer):
    """All of it, as it was read; what it shows besides may be sent back as well.

    `previous_secret_until`, which ends by itself, is passed over. A `state` or `state_reason` that is another by now is
    a 400: pause and resume change it.
    """

    url = Text(help_text="https; http only into networks that an operator allows")
    headers = Headers(help_text=f"Sent beside ours with every request; {MASK} keeps the value of that name.")
    payload = serializers.ChoiceField(Webhook.Payload.choices, help_text="full needs emails:content")
    description = Text(allow_blank=True, help_text="for people")


class NewWebhookSerializer(WebhookFieldsSerializer):
    """Bound to exactly one of an alias, a mailbox and a domain."""

    FIXED: ClassVar[Mapping[str, str]] = {}

    alias_id = Reference(source="alias", required=False, allow_null=True)
    mailbox_id = Reference(source="mailbox", required=False, allow_null=True)
    domain_id = Reference(source="domain", required=False, allow_null=True, help_text="needs a key for all mailboxes")
    url = Text(help_text="https; http only into networks that an operator allows")
    headers = Headers(required=False, help_text="Sent beside ours with every request; nobody reads the values again.")
    payload = serializers.ChoiceField(
        Webhook.Payload.choices,
        required=False,
        help_text="full needs emails:content; without that scope it is metadata, unless said",
    )
    description = Text(required=False, allow_blank=True, help_text="for people")
    secret = Text(
        required=False, help_text="whsec_…, to keep a receiver as it is; otherwise a new one is made and answered"
    )


class RotationSerializer(BodySerializer):
    overlap_hours = Hours(
        required=False,
        default=ROTATION_OVERLAP / HOUR,
        min_value=0,
        max_value=MAX_ROTATION_OVERLAP / HOUR,
        help_text="how long the secret before signs as well; 0 ends it at once",
    )


class NothingSerializer(BodySerializer):
    """For what takes no body."""

    def to_internal_value(self, data: Any) -> Any:
        if data:
            raise serializers.ValidationError(dict.fromkeys(data, "Nothing is sent with this; leave it out."))
        return {}
