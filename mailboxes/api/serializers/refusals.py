"""The JSON of mail that was not taken in."""

from typing import Any

from rest_framework import serializers

from emailgistics.common.access import Principal, Scope
from mailboxes.api.serializers.fields import InstantField, PublicIdField
from mailboxes.models import Refusal, Rule


class RefusalSerializer(serializers.Serializer[Any]):
    id = PublicIdField()
    created_at = InstantField(source="at")
    outcome = serializers.ChoiceField(
        Refusal.Outcome.choices, help_text="refused: it was never taken in; discarded: taken, and not kept"
    )
    source = serializers.CharField(help_text="smtp, lmtp, pipe; api: discarded only")  # type: ignore[assignment]  # DRF takes it off the class
    network = serializers.CharField(help_text="of the host: /24, or /64 of IPv6; empty without an address")
    client_ip = serializers.CharField(allow_null=True)
    helo = serializers.CharField()
    mail_from = serializers.CharField(help_text="envelope sender; empty is the null sender, or none was named yet")
    recipient = serializers.CharField(help_text="as in RCPT TO; empty where none was named yet")
    reply = serializers.CharField(help_text="what the host was told")
    code = serializers.CharField(help_text="stable, for programs; rule: a rule says so")
    rule_id = PublicIdField(Rule, allow_null=True, help_text="the rule that says so, while there is a record of it")
    size = serializers.IntegerField(allow_null=True, help_text="octets of the raw, where they were read")
    sha256 = serializers.SerializerMethodField(help_text="of the raw, where it was read; null without emails:content")
    transcript = serializers.ListField(
        child=serializers.ListField(),
        help_text="what host and listener said until then: [milliseconds since the connection began, C or S, text]",
    )

    def get_sha256(self, refusal: Refusal) -> str | None:
        caller: Principal | None = self.context.get("principal")
        may_know = caller is None or caller.may(Scope.EMAILS_CONTENT)
        return refusal.sha256 or None if may_know else None
