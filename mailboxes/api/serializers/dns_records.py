"""The JSON of what a domain has in its DNS."""

from typing import Any

from rest_framework import serializers

from mailboxes.api.serializers.fields import InstantField
from mailboxes.models import Domain
from mailboxes.services.dns_records import Records, State


class RecordSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="MX or TXT")
    name = serializers.CharField(help_text="where it stands")
    required = serializers.CharField(  # type: ignore[assignment]  # a field: DRF takes it off the class
        allow_null=True, help_text="what to put there; null: nothing is needed"
    )
    recommended = serializers.CharField(allow_null=True, help_text="what may be put there, where nothing is needed")
    zone_line = serializers.CharField(source="line", allow_null=True, help_text="the same as a line of a zone file")
    found = serializers.ListField(child=serializers.CharField(), help_text="what stands there, at most 10 of it")
    state = serializers.ChoiceField(State.choices, help_text="unknown: the DNS does not answer")
    detail = serializers.CharField(help_text="for people")


class RecordsSerializer(serializers.Serializer[Any]):
    mx = RecordSerializer(help_text="leads mail here")
    spf = RecordSerializer(help_text="says who sends mail as the domain; none is required")
    txt = RecordSerializer(help_text="says that the domain is yours")


class DomainStatusSerializer(serializers.Serializer[Any]):
    """What a domain has in its DNS, and what it needs there."""

    domain_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(
        State.choices, help_text="the worst of the records that are required; unknown, too, while that of the MX is"
    )
    verified_at = InstantField(allow_null=True)
    checked_at = InstantField(help_text="when the DNS was asked: now, or a few seconds ago")
    records = RecordsSerializer()


def status_of(domain: Domain, records: Records) -> dict[str, Any]:
    found = {
        "domain_id": domain.public_id,
        "name": domain.name,
        "status": records.state,
        "verified_at": domain.verified_at,
        "checked_at": records.checked_at,
        "records": records,
    }
    return dict(DomainStatusSerializer(found).data)
