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
from mailboxes.api.serializers import InstantField, PublicIdField
from mailboxes.models import Alias, Domain, Email, Mailbox
from webhooks import guard
from webhooks.headers import MASK, masked
from webhooks.models import Attempt, Delivery, Event, Webhook

LINKS = "links"  # how attachments come with an event: each has the URL where a key reads it


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


class WebhookSerializer(serializers.Serializer[Webhook]):
    """A webhook. Needs `alias`. Its secret stands beside this in the one answer that makes or renews it."""

    id = PublicIdField()
    created_at = InstantField()
    url = serializers.CharField()
    alias_id = PublicIdField(Alias, allow_null=True)
    mailbox_id = PublicIdField(Mailbox, allow_null=True)
    domain_id = PublicIdField(Domain, allow_null=True)
    events = serializers.SerializerMethodField(help_text="what it is told of")
    payload = serializers.ChoiceField(
        Webhook.Payload.choices, help_text="full, or metadata: without what the mail says, and without links to it"
    )
    attachments = serializers.SerializerMethodField(help_text="how attachments come with a full payload")
    headers = serializers.SerializerMethodField(
        help_text=f"its own headers; in place of each value, which nobody reads again, stands {MASK}"
    )
    description = serializers.CharField()
    state = StateField(
        Webhook.State.choices,
        name="WebhookState",
        source="current_state",
        help_text="active; paused: by somebody, or because its alias was moved; disabled: its receiver answered 410",
    )
    state_reason = serializers.CharField(source="current_state_reason", help_text="for people; empty while active")
    previous_secret_until = InstantField(
        allow_null=True, help_text="until then the secret before the last rotation signs as well"
    )

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(Event.Type.choices)))
    def get_events(self, webhook: Webhook) -> list[str]:  # noqa: ARG002
        return list(Event.Type.values)  # a webhook hears of all there are

    @extend_schema_field(serializers.ChoiceField([LINKS]))
    def get_attachments(self, webhook: Webhook) -> str:  # noqa: ARG002
        return LINKS

    def get_headers(self, webhook: Webhook) -> dict[str, str]:
        return masked(webhook.header_names)


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.CharField(help_text="whsec_…; verify signatures with it. It is not shown again.")


class ChangedWebhookSerializer(WebhookSerializer):
    secret = serializers.CharField(
        required=False,
        help_text="only if the scheme, host or port of url changed: the new secret, which is not shown again",
    )


class DeliverySerializer(serializers.Serializer[Delivery]):
    """An event on its way to a webhook. Needs `event`."""

    id = PublicIdField()
    created_at = InstantField()
    webhook_id = PublicIdField(Webhook)
    email_id = serializers.SerializerMethodField()
    event_id = PublicIdField(Event)
    state = StateField(Delivery.State.choices, name="DeliveryState")
    reason = serializers.CharField(help_text="why it is where it is, for people")
    attempts = serializers.IntegerField(help_text="requests made so far, or under way")
    next_attempt_at = serializers.SerializerMethodField(help_text="while pending")
    last_status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the last answer")
    last_error = serializers.CharField(help_text="why the last attempt had no answer: timeout, dns, connect, tls, …")
    delivered_at = InstantField(allow_null=True)

    def get_email_id(self, delivery: Delivery) -> str:
        return encode_id(Email.ID_PREFIX, delivery.event.email_id)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        is_waiting = delivery.state == Delivery.State.PENDING
        return instant(delivery.due_at) if is_waiting else None


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


class AttemptSerializer(serializers.Serializer[Attempt]):
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


def instant(at: datetime) -> str:
    return InstantField().to_representation(at)


def text_of(octets: bytes | memoryview) -> str:
    return bytes(octets).decode("utf-8", "replace")
