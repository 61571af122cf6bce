"""The JSON of what SPF, DKIM and DMARC said, for the API and for events."""

from typing import Any

from rest_framework import serializers


class SpfSerializer(serializers.Serializer[Any]):
    result = serializers.CharField(help_text="RFC 8601: none, neutral, pass, fail, softfail, temperror, permerror")
    domain = serializers.CharField(allow_null=True, help_text="whose record counted; null if no domain was asked")
    scope = serializers.CharField(allow_null=True, help_text="mfrom, or helo for the null sender")
    reason = serializers.CharField(allow_null=True, help_text="why it is not pass, for people")


class DkimSerializer(serializers.Serializer[Any]):
    result = serializers.CharField(help_text="pass, fail, policy, temperror, permerror")
    domain = serializers.CharField(allow_null=True, help_text="d=")
    selector = serializers.CharField(allow_null=True, help_text="s=")
    aligned = serializers.BooleanField(help_text="whether that domain belongs with the one in From, as DMARC compares")
    reason = serializers.CharField(allow_null=True, help_text="why it is not pass, for people")


class DmarcSerializer(serializers.Serializer[Any]):
    result = serializers.CharField(help_text="none, pass, fail, temperror, permerror")
    policy = serializers.CharField(
        allow_null=True, help_text="what the domain asks for on fail: none, quarantine, reject"
    )
    aligned_by = serializers.ListField(child=serializers.CharField(), help_text="what passed for it: dkim, spf")
    domain = serializers.CharField(allow_null=True, help_text="the one in From")
    pct = serializers.IntegerField(allow_null=True, help_text="reported, not applied")
    reason = serializers.CharField(allow_null=True, help_text="why it is not pass, for people")


class AuthenticationSerializer(serializers.Serializer[Any]):
    spf = SpfSerializer()
    dkim = DkimSerializer(many=True, help_text="of each signature, the topmost first; at most 10")
    dmarc = DmarcSerializer()
    checked_at = serializers.DateTimeField()
