"""The JSON of webhooks, as the API answers it and `manage.py webhooks --json` prints it."""

from rest_framework import serializers

from mailboxes.api.serializers import InstantField, PublicIdField
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook


class WebhookSerializer(serializers.Serializer[Webhook]):
    """Without the secret: that stands beside this in the one answer that creates the webhook."""

    id = PublicIdField()
    created_at = InstantField()
    url = serializers.URLField()
    alias_id = PublicIdField(Alias)
    mailbox_id = PublicIdField(Mailbox)
    domain_id = PublicIdField(Domain)
    payload = serializers.ChoiceField(Webhook.Payload.choices)
    description = serializers.CharField()
    state = serializers.ChoiceField(Webhook.State.choices)
    state_reason = serializers.CharField()
