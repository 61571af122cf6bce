"""What may be sent for domains, mailboxes, aliases and rules."""

from collections.abc import Mapping
from typing import ClassVar

from emailgistics.common.bodies import BodySerializer, Choice, Flag, Reference, References, Text, Unchanged, Whole
from mailboxes import addresses
from mailboxes.models import Rule
from mailboxes.services.provision import (
    DEFAULT_MAILBOX,
    MAX_DESCRIPTION_LENGTH,
    MAX_FURTHER_MAILBOXES,
    MAX_NAME_LENGTH,
    MAX_PRIORITY,
    MAX_QUOTA_BYTES,
    MAX_RETENTION_DAYS,
    MIN_QUOTA_BYTES,
)

TIME_ZONE = "IANA name such as Europe/Berlin; empty is the installation's"
MOVING = "Another mailbox moves the alias."
FURTHER = (
    f"at most {MAX_FURTHER_MAILBOXES} further mailboxes, each of which gets an email of its own. They take the place "
    "of those that the key may open; others stay."
)
PRIORITY = "of patterns that fit, the lowest wins; 100, unless said"
SUBDOMAINS = "mail to support@any.example.com is mail to support@example.com; false, unless said"
VERIFIED = "Ask for verify, which finds that out."
MAX_ASKED_LENGTH = 1_000  # of an address that need not be one
FIXED_ADDRESS = "An address does not change: make another mailbox, or an alias that leads to this one."
FIXED_NAME = "The name of an alias does not change: make another alias and delete this one."
FIXED_SCOPE = "A rule stays with what it is for: make another one and delete this one."
VALUE = (
    "`sender`: an address, empty for the null sender. `sender_domain`: a domain, with its sub-domains. `network`: in "
    "CIDR, or one address. `attachment`: a media type, as in `image/*`, or the end of a filename, as in `.exe`. "
    "`size`: larger than so many octets."
)
QUOTA = "octets of mail that it may hold; further mail is refused for now (452 4.2.2); null is no limit"
FIXED_DOMAIN = "An alias stays in its domain: make another one there and delete this one."


class NewDomainSerializer(BodySerializer):
    name = Text(max_length=addresses.MAX_DOMAIN_OCTETS, help_text="such as example.com")
    test = Flag(source="is_test", required=False, help_text="false, unless said")
    subdomains = Flag(source="includes_subdomains", required=False, help_text=SUBDOMAINS)
    default_mailbox = Text(
        source="default_local_part",
        required=False,
        help_text=f"local part of the mailbox that is made with it; {DEFAULT_MAILBOX}, unless said",
    )


class DomainChangesSerializer(BodySerializer):
    FIXED: ClassVar[Mapping[str, str]] = {
        "name": "A domain keeps its name: make another one.",
        "verified_at": VERIFIED,
        "status": "It is what the DNS was found to have: ask for its status, and it is looked at again.",
    }

    active = Flag(source="is_active", required=False)
    test = Flag(source="is_test", required=False)
    subdomains = Flag(source="includes_subdomains", required=False)
    default_mailbox_id = Reference(
        source="default_mailbox", required=False, help_text="one of its own mailboxes; takes postmaster and abuse"
    )


class RetentionBodySerializer(BodySerializer):
    """Days to keep things, from when a mail is accepted. What is not named stays as it is.

    null, as in a new mailbox, is what the installation says. Nothing is kept longer than what it is a part of, so
    raw_days is at most content_days, and that at most log_days, where both are numbers.
    """

    raw_days = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_RETENTION_DAYS)
    content_days = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_RETENTION_DAYS)
    log_days = Whole(required=False, allow_null=True, min_value=1, max_value=MAX_RETENTION_DAYS)


class MailboxChangesSerializer(BodySerializer):
    FIXED: ClassVar[Mapping[str, str]] = {
        "address": FIXED_ADDRESS,
        "domain_id": FIXED_ADDRESS,
        "used_bytes": "It is counted; nobody sets it.",
        "retention_in_force": "It is what comes of `retention` and of what the installation says: change `retention`.",
    }
    IGNORED: ClassVar[frozenset[str]] = frozenset(("used_bytes", "retention_in_force"))

    name = Text(required=False, allow_blank=True, max_length=MAX_NAME_LENGTH, help_text="for people")
    active = Flag(source="is_active", required=False, help_text="a disabled mailbox takes no mail")
    time_zone = Text(required=False, allow_blank=True, help_text=TIME_ZONE)
    retention = RetentionBodySerializer(required=False)
    quota_bytes = Whole(
        required=False, allow_null=True, min_value=MIN_QUOTA_BYTES, max_value=MAX_QUOTA_BYTES, help_text=QUOTA
    )


class NewMailboxSerializer(MailboxChangesSerializer):
    address = Text(help_text="such as support@example.com, in a domain that exists")


class NewAliasSerializer(BodySerializer):
    domain_id = Reference(source="domain")
    name = Text(
        help_text="Local part, such as help. With * or ? in it, as in sales-*, or between slashes, as in "
        "/order-([0-9]+)/ (RE2), it is a pattern of local parts; * alone is the catch-all.",
    )
    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_LENGTH, help_text="for people")
    mailbox_id = Reference(
        source="mailbox",
        required=False,
        allow_null=True,
        help_text="Where it leads. Without one: the only mailbox in the domain that the key may open, else the "
        "domain's default mailbox if the key may open that, else 400 with the choices.",
    )
    further_mailbox_ids = References(source="further_mailboxes", required=False, help_text=FURTHER)
    priority = Whole(required=False, min_value=0, max_value=MAX_PRIORITY, help_text=PRIORITY)
    active = Flag(source="is_active", required=False, help_text="true, unless said")


class AliasChangesSerializer(BodySerializer):
    FIXED: ClassVar[Mapping[str, str]] = {"name": FIXED_NAME, "domain_id": FIXED_DOMAIN}

    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_LENGTH, help_text="for people")
    mailbox_id = Reference(source="mailbox", required=False, help_text=MOVING)
    further_mailbox_ids = References(source="further_mailboxes", required=False, help_text=FURTHER)
    priority = Whole(required=False, min_value=0, max_value=MAX_PRIORITY, help_text=PRIORITY)
    active = Flag(source="is_active", required=False, help_text="mail to a disabled alias is refused")


class WholeAliasSerializer(BodySerializer):
    """All of it, as it was read; what it shows besides may be sent back as well."""

    FIXED = AliasChangesSerializer.FIXED

    domain_id = Unchanged(help_text="as it is")
    name = Unchanged(help_text="as it is")
    description = Text(allow_blank=True, max_length=MAX_DESCRIPTION_LENGTH)
    mailbox_id = Reference(source="mailbox", help_text=MOVING)
    further_mailbox_ids = References(source="further_mailboxes", required=False, help_text=FURTHER)
    priority = Whole(required=False, min_value=0, max_value=MAX_PRIORITY, help_text=PRIORITY)
    active = Flag(source="is_active")


class RuleChangesSerializer(BodySerializer):
    FIXED: ClassVar[Mapping[str, str]] = dict.fromkeys(("domain_id", "mailbox_id", "alias_id"), FIXED_SCOPE)

    action = Choice(Rule.Action.choices, required=False)
    criterion = Choice(Rule.Criterion.choices, required=False)
    value = Text(required=False, allow_blank=True, help_text=VALUE)
    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_LENGTH, help_text="for people")
    active = Flag(source="is_active", required=False)


class NewRuleSerializer(BodySerializer):
    domain_id = Reference(source="domain", required=False, allow_null=True, help_text="for mail to its addresses")
    mailbox_id = Reference(source="mailbox", required=False, allow_null=True, help_text="for mail that reaches it")
    alias_id = Reference(source="alias", required=False, allow_null=True, help_text="for mail that came by it")
    action = Choice(Rule.Action.choices)
    criterion = Choice(Rule.Criterion.choices)
    value = Text(allow_blank=True, help_text=VALUE)
    description = Text(required=False, allow_blank=True, max_length=MAX_DESCRIPTION_LENGTH, help_text="for people")
    active = Flag(source="is_active", required=False, help_text="true, unless said")


class QuestionSerializer(BodySerializer):
    address = Text(max_length=MAX_ASKED_LENGTH, help_text="envelope recipient")
    mail_from = Text(required=False, allow_blank=True, help_text="envelope sender; without one, the null sender")
    client_ip = Text(
        required=False,
        allow_null=True,
        help_text="of the sender's host; without one, the mail comes from the installation itself",
    )
    size = Whole(required=False, allow_null=True, min_value=0, help_text="octets")
