"""The JSON of emails and attachments."""

from typing import Any, ClassVar, TypedDict

from rest_framework import serializers

from emailgistics.common.access import Principal, Scope
from emailgistics.common.showing import ShownSerializer
from mailboxes.api.auth import AuthenticationSerializer
from mailboxes.api.serializers.fields import InstantField, OrNullField, PublicIdField, is_visible
from mailboxes.mime import Mark
from mailboxes.models import Email, EmailContent, Mailbox, Message, Recipient
from mailboxes.services.quarantine import quarantine_of

CONTENT_MARKS = frozenset((Mark.API_KEY, Mark.WEBHOOK_SECRET))  # found in what a mail says, not in how it is built
LARGE = ("text", "html", "html_safe", "headers")  # of EmailContent: not loaded where nobody asks


class Quarantined(TypedDict):
    """rule_id is null for a rule that was deleted, or that the key may not see."""

    reason: str
    rule_id: str | None


class Person(TypedDict):
    """Somebody in a header; name is empty when the header gives only an address."""

    name: str
    address: str


class RecipientSerializer(ShownSerializer[Recipient]):
    """Needs `alias`."""

    address = serializers.CharField(help_text="as in RCPT TO")
    alias_id = serializers.SerializerMethodField(help_text="null as well if the key may not see the alias")
    kind = serializers.CharField(help_text="how routing found it: exact, plus, reserved, pattern, catch_all")
    tag = serializers.SerializerMethodField(help_text="what stood after + in the local part")
    captures = serializers.DictField(
        child=serializers.CharField(),
        help_text="what the pattern's groups matched, by name or number; subdomain: what stood before the domain",
    )

    def get_alias_id(self, recipient: Recipient) -> str | None:
        alias = recipient.alias
        return alias.public_id if alias and is_visible(alias.mailbox_id, self.context) else None

    def get_tag(self, recipient: Recipient) -> str | None:
        return recipient.tag or None


class EmailSerializer(ShownSerializer[Any]):
    """An email in a list: the log, not what the mail says."""

    id = PublicIdField()
    created_at = InstantField(source="received_at")
    message_id = serializers.SerializerMethodField(help_text="the Message-ID header")
    mailbox_id = PublicIdField(Mailbox)
    recipients = RecipientSerializer(many=True, help_text="only those that led to this mailbox")
    mail_from = serializers.CharField(source="message.mail_from", help_text="envelope sender; empty is the null sender")
    # a keyword, so a class body has no plainer way to say it
    locals()["from"] = serializers.SerializerMethodField(help_text="the From header")
    subject = serializers.CharField()
    date = InstantField(allow_null=True, help_text="the Date header")
    received_at = InstantField()
    size = serializers.IntegerField(help_text="octets of the raw")
    status = serializers.CharField(
        help_text="waiting; processed; parked: not to be opened, its raw is safe; quarantined: a rule keeps it back"
    )
    kind = serializers.CharField(
        help_text="normal, bounce, delivery_status, auto_reply, list, calendar, feedback_report, read_receipt"
    )
    has_attachment = serializers.BooleanField()
    quarantine = serializers.SerializerMethodField(
        help_text="why it is kept back, or was until it was released; null of all other mail"
    )

    raw_removed_at = InstantField(
        allow_null=True, help_text="since then its mailbox does not keep the raw, nor the octets of attachments"
    )
    content_removed_at = InstantField(
        allow_null=True,
        help_text="since then its mailbox does not keep what it says: subject, from, date and all else of its header "
        "are empty, too",
    )

    def get_message_id(self, email: Email) -> str | None:
        return email.message_id_header or None

    def get_quarantine(self, email: Email) -> Quarantined | None:
        caller: Principal | None = self.context.get("principal")
        found = quarantine_of(email, knows_all_rules=caller is None or caller.all_mailboxes)
        return {"reason": found.reason, "rule_id": found.rule_id} if found else None

    def get_from(self, email: Email) -> Person | None:
        if not (email.from_name or email.from_address):
            return None
        return {"name": email.from_name, "address": email.from_address}


class EnvelopeSerializer(serializers.Serializer[Message]):
    mail_from = serializers.CharField(help_text="empty is the null sender")
    client_ip = serializers.CharField(allow_null=True)
    helo = serializers.CharField()
    tls = serializers.SerializerMethodField(help_text="protocol version; null without TLS")

    def get_tls(self, message: Message) -> str | None:
        return message.tls or None


class ParseSerializer(serializers.Serializer[Message]):
    status = serializers.CharField(source="parse_status", help_text="ok, partial, failed; empty while waiting")
    defects = serializers.ListField(source="parse_defects", child=serializers.CharField())


class RawSerializer(serializers.Serializer[Message]):
    size = serializers.IntegerField()
    sha256 = serializers.SerializerMethodField(
        help_text="null without emails:content: whoever guesses what the mail says would know by it that he is right"
    )

    def get_sha256(self, message: Message) -> str | None:
        caller: Principal | None = self.context.get("principal")
        return message.sha256 if caller is None or caller.may(Scope.EMAILS_CONTENT) else None


class EmailDetailSerializer(EmailSerializer):
    """One email, still without what it says. Needs `message` and `content`, whose large fields may be deferred."""

    to = serializers.SerializerMethodField()
    cc = serializers.SerializerMethodField()
    accepted_as = PublicIdField(Message, source="message_id", help_text="the id in the 250 of SMTP")
    source = serializers.CharField(source="message.source")  # type: ignore[assignment]  # DRF takes it off the class
    envelope = EnvelopeSerializer(source="message")
    auth = AuthenticationSerializer(
        source="message.authentication",
        allow_null=True,
        help_text="SPF, DKIM and DMARC when it was first opened; null while it waits, or if they were not checked",
    )
    parse = ParseSerializer(source="message")
    marks = serializers.SerializerMethodField(
        help_text="encrypted, signed, tnef, partial_message, external_body; with `details` also api_key and "
        "webhook_secret, if it has one of this system's in it"
    )
    raw = RawSerializer(source="message")

    def get_to(self, email: Email) -> list[Person]:
        return _people(email, "to")

    def get_cc(self, email: Email) -> list[Person]:
        return _people(email, "cc")

    def get_marks(self, email: Email) -> list[str]:
        try:
            marks: list[str] = email.content.marks
        except EmailContent.DoesNotExist:  # it waits
            return []
        if "details" in self.context.get("include", ()):
            return marks
        return [mark for mark in marks if mark not in CONTENT_MARKS]


class EmailBounceSerializer(serializers.Serializer[Any]):
    """What a delivery report says."""

    action = OrNullField(help_text="failed, delayed, delivered, relayed, expanded")
    status = OrNullField(help_text="enhanced status code, as 5.1.1 (RFC 3463)")
    diagnostic = OrNullField(help_text="what the host said that did not take it")
    final_recipient = OrNullField()
    original_message_id = OrNullField(help_text="of the mail that came back")


class EmailListSerializer(serializers.Serializer[Any]):
    """The list that a mail came by."""

    id = OrNullField(help_text="List-Id, without angle brackets")
    unsubscribe = serializers.ListField(
        child=serializers.CharField(), help_text="https, http and mailto URLs of List-Unsubscribe"
    )
    one_click = serializers.BooleanField(help_text="a POST to the https one does it (RFC 8058)")


class EmailCalendarSerializer(serializers.Serializer[Any]):
    """The first event that a mail has in it."""

    method = OrNullField(help_text="REQUEST, REPLY, CANCEL, …")
    uid = OrNullField()
    summary = OrNullField()
    start = OrNullField(help_text="a date, an instant in UTC or, without a Z, the reader's local time")
    end = OrNullField(help_text="as start")


class EmailWithContentSerializer(EmailDetailSerializer):
    """One email. What it says is there as far as `include` asks for it (context["include"]; all, if that is absent)."""

    PARTS: ClassVar = {
        "text": ("text", "text_truncated"),
        "html": ("html", "html_truncated"),
        "headers": ("headers",),
        "details": ("bounce", "list", "calendar"),
    }

    # null while the email waits to be opened, and once its content was removed
    text = serializers.CharField(source="content.text", required=False, allow_null=True)
    text_truncated = serializers.BooleanField(source="content.text_truncated", required=False, allow_null=True)
    html = serializers.CharField(source="content.html", required=False, allow_null=True)
    html_truncated = serializers.BooleanField(source="content.html_truncated", required=False, allow_null=True)
    headers = serializers.ListField(
        source="content.headers",
        child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2),
        required=False,
        allow_null=True,
        help_text="[name, value] in their order, decoded",
    )

    # null also for mail that is none
    bounce = EmailBounceSerializer(source="content.bounce", required=False, allow_null=True)
    list = EmailListSerializer(source="content.mailing_list", required=False, allow_null=True)
    calendar = EmailCalendarSerializer(source="content.calendar", required=False, allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        include = self.context.get("include", self.PARTS)
        dropped = {name for part, names in self.PARTS.items() if part not in include for name in names}
        return {name: field for name, field in super().get_fields().items() if name not in dropped}


class AttachmentSerializer(ShownSerializer[Any]):
    id = PublicIdField()
    created_at = InstantField(source="email.received_at")
    filename = serializers.CharField()
    content_type = serializers.CharField(help_text="as declared in the mail")
    detected_type = OrNullField(help_text="by its first octets, whatever is declared; null when they do not tell")
    size = serializers.IntegerField(help_text="octets once decoded")
    sha256 = serializers.CharField(help_text="of the decoded octets")
    inline = serializers.BooleanField(source="is_inline")


class AttachmentListSerializer(serializers.Serializer[Any]):
    data = AttachmentSerializer(many=True)  # type: ignore[assignment]  # DRF takes it off the class


def _people(email: Email, header: str) -> list[Person]:
    try:
        people: list[Person] = email.content.addresses.get(header, [])
    except EmailContent.DoesNotExist:  # it waits
        return []
    return people
