"""The JSON of an API key, as `GET /v1/me` answers it and `manage.py apikeys` prints it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apikeys.models import ApiKey
from apikeys.plans import limits_of
from mailboxes.api.serializers import InstantField, PublicIdField


class AllowedMailboxSerializer(serializers.Serializer[Any]):
    id = PublicIdField()
    address = serializers.CharField()


class LimitsSerializer(serializers.Serializer[Any]):
    minute = serializers.IntegerField()
    hour = serializers.IntegerField()
    day = serializers.IntegerField()


class ApiKeySerializer(serializers.Serializer[ApiKey]):
    id = serializers.CharField(source="identifier", help_text="emgk_ and ten characters, no secret")
    created_at = InstantField()
    name = serializers.CharField()
    expires_at = InstantField()
    revoke_at = InstantField(allow_null=True, help_text="it is revoked then, before it expires; null: it is not")
    status = serializers.SerializerMethodField(
        help_text="expires_soon: within 14 days, as a key made for fewer does from the start, or revoked within them"
    )
    last_used_at = InstantField(allow_null=True, help_text="written down every few seconds; null: never")
    scopes = serializers.ListField(child=serializers.CharField())
    all_mailboxes = serializers.BooleanField(help_text="all mailboxes, also future ones; then mailboxes is empty")
    mailboxes = serializers.SerializerMethodField()
    networks = serializers.ListField(
        child=serializers.CharField(), help_text="from where it may be used, as CIDR; empty: from anywhere"
    )
    plan = serializers.CharField(source="rate_plan")
    limits = serializers.SerializerMethodField(help_text="requests a minute, an hour, a day")
    server_time = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(choices=ApiKey.Standing.values))
    def get_status(self, key: ApiKey) -> str:
        return key.standing(timezone.now()).value

    @extend_schema_field(AllowedMailboxSerializer(many=True))
    def get_mailboxes(self, key: ApiKey) -> Any:
        live = key.mailboxes.live().select_related("domain").order_by("pk")
        return AllowedMailboxSerializer(live, many=True).data

    @extend_schema_field(LimitsSerializer)
    def get_limits(self, key: ApiKey) -> Any:
        return LimitsSerializer(limits_of(key)).data

    @extend_schema_field(InstantField)
    def get_server_time(self, key: ApiKey) -> str:  # noqa: ARG002
        return InstantField().to_representation(timezone.now())
