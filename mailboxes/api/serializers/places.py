"""The JSON of where mail goes: domains, mailboxes, aliases, and the rules about it."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from emailgistics.common.ids import encode_id
from emailgistics.common.showing import ShownSerializer
from mailboxes.api.serializers.fields import InstantField, PublicIdField, is_visible
from mailboxes.models import Alias, Domain, Mailbox, Rule
from mailboxes.retention import in_force


class RetentionSerializer(serializers.Serializer[Any]):
    """Days to keep things, from when a mail is accepted; null: as the installation says, which is for good by default.

    Nothing is kept longer than what it is a part of; `retention_in_force` says what that comes to.
    """

    raw_days = serializers.IntegerField(allow_null=True, help_text="the raw mail, with the octets of attachments")
    content_days = serializers.IntegerField(
        allow_null=True, help_text="what mails say: texts, headers, names of attachments, words to search for"
    )
    log_days = serializers.IntegerField(
        allow_null=True, help_text="that there was an email at all, its envelope, and what became of its deliveries"
    )


class RetentionInForceSerializer(serializers.Serializer[Any]):
    """Days that things are kept; null is for good."""

    raw_days = serializers.IntegerField(allow_null=True)
    content_days = serializers.IntegerField(allow_null=True)
    log_days = serializers.IntegerField(allow_null=True)


class DomainSerializer(ShownSerializer[Domain]):
    id = PublicIdField()
    created_at = InstantField()
    name = serializers.CharField(help_text="A-label form, lower case")
    active = serializers.BooleanField(source="is_active", help_text="a disabled domain takes no mail")
    test = serializers.BooleanField(source="is_test", help_text="for trying things out; marked as such everywhere")
    subdomains = serializers.BooleanField(
        source="includes_subdomains", help_text="mail to support@any.example.com is mail to support@example.com"
    )
    default_mailbox_id = serializers.SerializerMethodField(
        help_text="takes mail for postmaster and abuse; null if the key may not open it"
    )
    verified_at = InstantField(allow_null=True, help_text="its owner's record was found in its DNS; null: not yet")
    status = serializers.ChoiceField(
        Domain.DnsStatus.choices,
        source="dns_status",
        help_text=(
            "of the DNS records that it needs, when they were last looked at. unchecked: nobody looked yet; unknown: "
            "the DNS did not answer, or MX_HOSTNAME is not set, so nobody can say whether mail comes here"
        ),
    )

    def get_default_mailbox_id(self, domain: Domain) -> str | None:
        """Null for a key whose allowlist lacks it: ids in answers obey the allowlist too."""
        pk = domain.default_mailbox_id
        return encode_id(Mailbox.ID_PREFIX, pk) if pk and is_visible(pk, self.context) else None


class MailboxSerializer(ShownSerializer[Mailbox]):
    id = PublicIdField()
    created_at = InstantField()
    address = serializers.CharField()
    name = serializers.CharField(help_text="for people")
    domain_id = PublicIdField(Domain)
    active = serializers.BooleanField(source="is_active", help_text="a disabled mailbox takes no mail")
    time_zone = serializers.SerializerMethodField(help_text="IANA name")
    retention = RetentionSerializer(source="*")
    retention_in_force = serializers.SerializerMethodField()
    quota_bytes = serializers.IntegerField(
        allow_null=True, help_text="octets of mail that it may hold; null is no limit"
    )
    used_bytes = serializers.IntegerField(help_text="octets of the raw of all its emails, also of those in quarantine")

    @extend_schema_field(RetentionInForceSerializer)
    def get_retention_in_force(self, mailbox: Mailbox) -> dict[str, Any]:
        return dict(RetentionInForceSerializer(in_force(mailbox)).data)

    def get_time_zone(self, mailbox: Mailbox) -> str:
        return mailbox.time_zone or str(settings.TIME_ZONE)


class AliasSerializer(ShownSerializer[Alias]):
    id = PublicIdField()
    created_at = InstantField()
    address = serializers.CharField()
    name = serializers.CharField(help_text="local part, a pattern of them, or * for the catch-all")
    domain_id = PublicIdField(Domain)
    mailbox_id = PublicIdField(Mailbox)
    further_mailbox_ids = serializers.SerializerMethodField(
        help_text="each gets an email of its own, too; only those that the key may open"
    )
    description = serializers.CharField(help_text="for people")
    kind = serializers.ChoiceField(Alias.Kind.choices, help_text="exact, pattern, or catch_all: the rest of the domain")
    priority = serializers.IntegerField(help_text="of patterns that fit, the lowest wins; of no account elsewhere")
    active = serializers.BooleanField(source="is_active", help_text="mail to a disabled alias is refused")

    def get_further_mailbox_ids(self, alias: Alias) -> list[str]:
        """Needs `with_copies`, but for an alias that was made a moment ago."""
        shown = (copy.mailbox_id for copy in alias.copies.all() if is_visible(copy.mailbox_id, self.context))
        return [encode_id(Mailbox.ID_PREFIX, pk) for pk in shown]


class RuleSerializer(ShownSerializer[Rule]):
    id = PublicIdField()
    created_at = InstantField()
    domain_id = PublicIdField(Domain, allow_null=True)
    mailbox_id = PublicIdField(Mailbox, allow_null=True)
    alias_id = PublicIdField(Alias, allow_null=True, help_text="at most one of the three is not null; none: all mail")
    action = serializers.ChoiceField(Rule.Action.choices)
    criterion = serializers.ChoiceField(Rule.Criterion.choices)
    value = serializers.CharField(help_text="in canonical form; an empty sender is the null sender")
    description = serializers.CharField(help_text="for people")
    active = serializers.BooleanField(source="is_active")
