"""The JSON of where a mail would go, and why."""

from typing import Any

from rest_framework import serializers

from mailboxes.api.serializers.fields import PublicIdField
from mailboxes.models import Rule
from mailboxes.services.explain import Outlook


class VerdictSerializer(serializers.Serializer[Any]):
    action = serializers.CharField(help_text="what a rule says: allow, block, discard, quarantine")
    rule_id = PublicIdField(Rule, allow_null=True, help_text="null: no rule fits")
    reason = serializers.CharField(help_text="for people")


class DestinationSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(source="mailbox.public_id")
    address = serializers.CharField(source="mailbox.address")
    copy = serializers.BooleanField(source="is_copy", help_text="a further mailbox of the alias")
    verdict = VerdictSerializer()


class OutlookSerializer(serializers.Serializer[Any]):
    """What would become of a mail. Where it is refused, nothing is known but the answer and why."""

    address = serializers.CharField(help_text="as it was asked for")
    accepted = serializers.BooleanField(source="is_accepted")
    reply = serializers.CharField(
        help_text="what the sender's host is told at RCPT (or, for what is too large, at MAIL)"
    )
    code = serializers.CharField(allow_null=True, help_text="of the refusal, stable: unknown_recipient, …")
    kind = serializers.CharField(allow_null=True, help_text="exact, plus, reserved, pattern, catch_all")
    tag = serializers.SerializerMethodField(help_text="what stands after + in the local part")
    captures = serializers.DictField(child=serializers.CharField(), help_text="see the recipients of an email")
    domain_id = serializers.SerializerMethodField()
    alias_id = serializers.SerializerMethodField()
    mailboxes = DestinationSerializer(
        source="destinations", many=True, help_text="where it would be, and what rules say"
    )
    explanation = serializers.ListField(
        child=serializers.CharField(), help_text="the decisions in their order; the last one ended the search"
    )

    def get_tag(self, outlook: Outlook) -> str | None:
        return outlook.tag or None

    def get_domain_id(self, outlook: Outlook) -> str | None:
        return outlook.domain.public_id if outlook.domain else None

    def get_alias_id(self, outlook: Outlook) -> str | None:
        return outlook.alias.public_id if outlook.alias else None
