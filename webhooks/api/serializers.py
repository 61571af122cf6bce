"""The JSON of webhooks and deliveries, as the API shapes it and the commands print it."""

from rest_framework import serializers

from emailgistics.common.ids import encode_id
from mailboxes.api.serializers import InstantField, PublicIdField
from mailboxes.models import Alias, Domain, Email, Mailbox
from webhooks.models import Attempt, Delivery, Event, Webhook


class WebhookSerializer(serializers.Serializer[Webhook]):
    """Without the secret: that stands beside this in the one answer that creates the webhook."""

    id = PublicIdField()
    created_at = InstantField()
    url = serializers.URLField()
    alias_id = PublicIdField(Alias)
    mailbox_id = PublicIdField(Mailbox)
    domain_id = PublicIdField(Domain)
    events = serializers.SerializerMethodField()
    payload = serializers.ChoiceField(Webhook.Payload.choices)
    description = serializers.CharField()
    state = serializers.ChoiceField(Webhook.State.choices)
    state_reason = serializers.CharField()

    def get_events(self, _: Webhook) -> list[str]:
        return list(Event.Type.values)  # a webhook hears of all there are


class DeliverySerializer(serializers.Serializer[Delivery]):
    id = PublicIdField()
    created_at = InstantField()
    webhook_id = PublicIdField(Webhook)
    email_id = serializers.SerializerMethodField()
    event_id = PublicIdField(Event)
    state = serializers.ChoiceField(Delivery.State.choices)
    reason = serializers.CharField()
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.SerializerMethodField()
    last_status = serializers.IntegerField()
    last_error = serializers.CharField()
    delivered_at = InstantField()

    def get_email_id(self, delivery: Delivery) -> str:
        return encode_id(Email.ID_PREFIX, delivery.event.email_id)

    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        is_waiting = delivery.state == Delivery.State.PENDING
        return InstantField().to_representation(delivery.due_at) if is_waiting else None


class AttemptSerializer(serializers.Serializer[Attempt]):
    n = serializers.IntegerField()
    started_at = InstantField()
    status = serializers.IntegerField()
    error = serializers.CharField()
    detail = serializers.CharField()
    dns_ms = serializers.IntegerField()
    connect_ms = serializers.IntegerField()
    first_byte_ms = serializers.IntegerField()
    total_ms = serializers.IntegerField()
    peer = serializers.CharField(source="peer_ip")


class DeliveryDetailSerializer(DeliverySerializer):
    """With every attempt; of what a receiver answered, only the status."""

    attempt_log = AttemptSerializer(many=True)
