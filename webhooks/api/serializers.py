"""The JSON of webhooks and deliveries, as the API shapes it and the commands print it.

With `context["principal"]` it is for the holder of a key; without, for an operator, who may see all of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypedDict

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from emailgistics.common.access import Principal, Scope
from emailgistics.common.ids import encode_id
from emailgistics.common.showing import ShownSerializer
from mailboxes.api.serializers import AliasSerializer, InstantField, PublicIdField
from mailboxes.models import Alias, Domain, Email, Mailbox
from webhooks import guard
from webhooks.api.waiting import expected
from webhooks.headers import MASK, masked
from webhooks.models import Attempt, Delivery, Event, ReplayJob, Webhook, WebhookHealth
from webhooks.services.webhooks import in_flight_of


class StateField(serializers.ChoiceField):
    """The state of a thing that has states of its own; the OpenAPI document calls them by `name`."""

    def __init__(self, choices: Any, *, name: str, **kwargs: Any) -> None:
        self.name = name
        super().__init__(choices, **kwargs)


class StateSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]  # theirs
    target_class = StateField

    def get_name(self) -> str:
        return str(self.target.name)

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"type": "string", "enum": list(self.target.choices)}


class HealthSerializer(serializers.Serializer[WebhookHealth]):
    """How well its receiver takes what it is sent."""

    failing_since = InstantField(allow_null=True, help_text="the first failure since the last success")
    failures = serializers.IntegerField(help_text="since then")
    circuit = serializers.SerializerMethodField(
        help_text="open: so much failed that nothing is sent before open_until, and then one request that tells"
    )
    open_until = InstantField(allow_null=True)

    @extend_schema_field({"type": "string", "enum": ["closed", "open"]})
    def get_circuit(self, health: WebhookHealth) -> str:
        return "open" if health.open_for_s else "closed"


class WebhookSerializer(ShownSerializer[Webhook]):
    """A webhook. Needs `alias`. Its secret stands beside this in the one answer that makes or renews it."""

    id = PublicIdField()
    created_at = InstantField()
    url = serializers.SerializerMethodField(help_text="null: nothing is sent, its deliveries are pulled")
    alias_id = PublicIdField(Alias, allow_null=True)
    mailbox_id = PublicIdField(Mailbox, allow_null=True)
    domain_id = PublicIdField(Domain, allow_null=True)
    events = serializers.ListField(
        child=serializers.ChoiceField(Webhook.EventType.choices), help_text="what it is told of"
    )
    payload = serializers.ChoiceField(
        Webhook.Payload.choices, help_text="full, or metadata: without what the mail says, and without links to it"
    )
    attachments = serializers.ChoiceField(
        Webhook.Attachments.choices,
        help_text="how they come with a full payload: links, or inline: with their octets, up to a size",
    )
    max_in_flight = serializers.IntegerField(help_text="requests at once")
    rate_per_minute = serializers.IntegerField(allow_null=True, help_text="requests; null is no limit")
    thinned_at = InstantField(
        allow_null=True,
        help_text="since its receiver answered 413: events go without what mails say, with links to it",
    )
    headers = serializers.SerializerMethodField(
        help_text=f"its own headers; in place of each value, which nobody reads again, stands {MASK}"
    )
    description = serializers.CharField()
    state = StateField(
        Webhook.State.choices,
        name="WebhookState",
        source="current_state",
        help_text=(
            "active; paused: by somebody, or because its alias was moved; disabled: its receiver answered 410, or has "
            "failed for days"
        ),
    )
    state_reason = serializers.CharField(source="current_state_reason", help_text="for people; empty while active")
    previous_secret_until = InstantField(
        allow_null=True, help_text="until then the secret before the last rotation signs as well"
    )

    health = serializers.SerializerMethodField()
    attempts_in_flight = serializers.SerializerMethodField(
        help_text="requests under way now: what pausing and a new secret cannot take back"
    )

    def get_url(self, webhook: Webhook) -> str | None:
        return webhook.url or None

    @extend_schema_field(HealthSerializer)
    def get_health(self, webhook: Webhook) -> dict[str, Any]:
        # one that is just being made may have none yet
        return dict(HealthSerializer(getattr(webhook, "health", None) or WebhookHealth()).data)

    def get_attempts_in_flight(self, webhook: Webhook) -> int:
        """Annotated where many are listed."""
        counted: int | None = getattr(webhook, "attempts_in_flight", None)
        return in_flight_of(webhook) if counted is None else counted

    def get_headers(self, webhook: Webhook) -> dict[str, str]:
        return masked(webhook.header_names)


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="whsec_…; verify signatures with it. It is not shown again.")


class ChangedWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(
        required=False,
        help_text="only of a new webhook, or if the scheme, host or port of url changed; it is not shown again",
    )


class AliasWebhookSerializer(serializers.Serializer[Any]):
    """An alias and its webhook, whose `secret` is there only if it is a new one."""

    alias = AliasSerializer()
    webhook = ChangedWebhookSerializer()


class DeliverySerializer(ShownSerializer[Delivery]):
    """An event on its way to a webhook. Needs what `waiting.with_what_keeps_back` loads."""

    id = PublicIdField()
    created_at = InstantField()
    webhook_id = PublicIdField(Webhook)
    email_id = serializers.SerializerMethodField(help_text="null for an event that is about no email")
    event_id = PublicIdField(Event)
    event_type = serializers.ChoiceField(Event.Type.choices, source="event.type")
    is_test = serializers.BooleanField(help_text="tried once, also while the webhook is paused")
    generation = serializers.IntegerField(help_text="1, and one more by each replay")
    state = StateField(
        Delivery.State.choices,
        name="DeliveryState",
        help_text="pending, held (see reason), or ended; expired: what it was about is no longer kept",
    )
    reason = serializers.SerializerMethodField(help_text="why it is where it is, for people")
    attempts = serializers.IntegerField(help_text="requests made so far, or under way")
    next_attempt_at = serializers.SerializerMethodField(
        help_text="while pending: not before; null while the webhook is paused or disabled, or all are stopped"
    )
    last_status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the last answer")
    last_error = serializers.CharField(help_text="why the last attempt had no answer: timeout, dns, connect, tls, …")
    delivered_at = InstantField(allow_null=True)

    def get_email_id(self, delivery: Delivery) -> str | None:
        email_id = delivery.event.email_id
        return encode_id(Email.ID_PREFIX, email_id) if email_id else None

    def get_reason(self, delivery: Delivery) -> str:
        return expected(delivery).reason

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        at = expected(delivery).at
        return instant(at) if at else None


class ReceiverAnswer(TypedDict):
    """What a receiver answered, as text; octets that are no UTF-8 are U+FFFD."""

    headers: Sequence[Sequence[str]]
    body: str


class ReceiverAnswerSerializer(serializers.Serializer[Any]):
    headers = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2),
        help_text="[name, value] as received, the first 8 KiB",
    )
    body = serializers.CharField(help_text="the first 16 KiB")


class AttemptSerializer(ShownSerializer[Attempt]):
    """One HTTP request."""

    n = serializers.IntegerField(help_text="from 1")
    started_at = InstantField()
    status = serializers.IntegerField(allow_null=True, help_text="HTTP status, if there was an answer")
    error = serializers.CharField(help_text="a code, if there was none")
    detail = serializers.CharField(help_text="for people")
    dns_ms = serializers.IntegerField(allow_null=True)
    connect_ms = serializers.IntegerField(allow_null=True, help_text="TCP and TLS")
    first_byte_ms = serializers.IntegerField(allow_null=True, help_text="since the start")
    total_ms = serializers.IntegerField(allow_null=True)
    peer = serializers.SerializerMethodField(
        help_text="the address that was called; null for one that is not public: a key learns nothing of inner networks"
    )
    response = serializers.SerializerMethodField(
        help_text="what was answered, with emails:content; null without that scope or without an answer"
    )

    def get_peer(self, attempt: Attempt) -> str | None:
        ip = attempt.peer_ip
        is_told = self._caller() is None or (ip is not None and guard.is_public(ip))
        return ip if is_told else None

    @extend_schema_field(ReceiverAnswerSerializer(allow_null=True))
    def get_response(self, attempt: Attempt) -> ReceiverAnswer | None:
        caller = self._caller()
        if attempt.status is None or not (caller is None or caller.may(Scope.EMAILS_CONTENT)):
            return None
        lines = text_of(attempt.response_headers).split("\r\n")
        headers = [[name, value.strip()] for name, colon, value in (line.partition(":") for line in lines) if colon]
        return {"headers": headers, "body": text_of(attempt.response_excerpt)}

    def _caller(self) -> Principal | None:
        caller: Principal | None = self.context.get("principal")
        return caller


class DeliveryDetailSerializer(DeliverySerializer):
    """With every attempt."""

    attempt_log = AttemptSerializer(many=True)


class ReplayJobSerializer(serializers.Serializer[ReplayJob]):
    """A replay of a span of time. replayed, skipped and content_expired are how far it is: at the end, the total."""

    KIND = "replay"

    id = PublicIdField()
    created_at = InstantField()
    kind = serializers.SerializerMethodField(help_text="what it does: replay")
    webhook_id = PublicIdField(Webhook)
    state = StateField(ReplayJob.State.choices, name="JobState")
    since = InstantField(help_text="deliveries made from then on")
    until = InstantField(help_text="and before then")
    status = serializers.CharField(source="of_state", help_text="how they had ended")
    rate_per_minute = serializers.IntegerField()
    total = serializers.IntegerField(help_text="deliveries that it is for, counted when it was made")
    replayed = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="on their way again by the time it came to them")
    content_expired = serializers.IntegerField(help_text="what was to be sent is no longer kept")
    ended_at = InstantField(allow_null=True)

    def get_kind(self, job: ReplayJob) -> str:  # noqa: ARG002
        return self.KIND


class EmailReplaySerializer(serializers.Serializer[Any]):
    """Counted in deliveries."""

    replayed = serializers.IntegerField(help_text="had ended, and are on their way again")
    made = serializers.IntegerField(help_text="for webhooks that had none of it")
    on_their_way = serializers.IntegerField(help_text="had not ended, and are left alone")
    content_expired = serializers.IntegerField(help_text="what was to be sent is no longer kept")


class DiagnosisSerializer(serializers.Serializer[Any]):
    """Why a request does not verify, or that it does."""

    is_valid = serializers.BooleanField()  # type: ignore[assignment]  # a field: DRF takes it off the class
    code = serializers.CharField(help_text="for programs: valid, timestamp_too_old, body_reserialized, …")
    reason = serializers.CharField(help_text="for people")
    remedy = serializers.CharField(help_text="what to do about it; empty for a valid one")


class PulledSerializer(serializers.Serializer[Any]):
    """One delivery as it would be sent, signed now."""

    position = serializers.IntegerField(help_text="go on after the last one that you saw")
    delivery_id = PublicIdField(Delivery)
    event_id = serializers.CharField(help_text="the webhook-id; by it you recognise what you have already")
    event_type = serializers.ChoiceField(Event.Type.choices)
    headers = serializers.DictField(child=serializers.CharField(), help_text="as they would be sent, signature and all")
    body = serializers.CharField(help_text="the octets that are signed, as UTF-8 text")


class PulledListSerializer(serializers.Serializer[Any]):
    data = PulledSerializer(many=True)  # type: ignore[assignment]  # a field: DRF takes it off the class


class AcknowledgedSerializer(serializers.Serializer[Any]):
    acknowledged = serializers.IntegerField(help_text="those that were not known to have arrived")


def instant(at: datetime) -> str:
    return InstantField().to_representation(at)


def text_of(octets: bytes | memoryview) -> str:
    return bytes(octets).decode("utf-8", "replace")
