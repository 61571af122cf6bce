"""The shape of what webhooks get; `webhooks/payloads.py` makes it.

The one source of the `webhooks` section of the OpenAPI document and of the JSON Schemas at /v1/schemas. Tests hold real
payloads against both.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    OpenApiWebhook,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers

from mailboxes.api.auth import AuthenticationSerializer
from webhooks import samples

NOT_IN_METADATA = "not in the form metadata"
ONLY_FULL = "not in the forms thin and metadata"
ONLY_INLINE = "only in the form inline"


def constant(text: str) -> type[serializers.CharField]:
    """A field that is always this."""

    @extend_schema_field({"type": "string", "const": text})
    class Constant(serializers.CharField):
        pass

    return Constant


class EventMailboxSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    address = serializers.CharField()
    name = serializers.CharField()


class EventAliasSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    address = serializers.CharField()


class EventDomainSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class EventRouteSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="how routing found it: exact, plus, reserved, pattern, catch_all")
    tag = serializers.CharField(allow_null=True, help_text="what stood after + in the local part")
    captures = serializers.DictField(
        child=serializers.CharField(),
        help_text="what the pattern's groups matched, by name or number; subdomain: what stood before the domain",
    )


class EventRecipientSerializer(EventRouteSerializer):
    address = serializers.CharField(help_text="as in RCPT TO")
    alias_id = serializers.CharField(allow_null=True, help_text="null as well in a further mailbox of the alias")


class EventEnvelopeSerializer(serializers.Serializer[Any]):
    mail_from = serializers.CharField(help_text="envelope sender; empty is the null sender")
    rcpt_to = serializers.ListField(child=serializers.CharField(), help_text="only those that led to this mailbox")
    client_ip = serializers.CharField(allow_null=True)
    helo = serializers.CharField()
    tls = serializers.CharField(allow_null=True, help_text="protocol version; null without TLS")


class EventPersonSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="empty when the header gives only an address")
    address = serializers.CharField()


class EventAttachmentSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    filename = serializers.CharField(required=False, help_text=NOT_IN_METADATA)
    content_type = serializers.CharField(help_text="as declared in the mail")
    detected_type = serializers.CharField(
        allow_null=True, help_text="by its first octets, whatever is declared; null when they do not tell"
    )
    size = serializers.IntegerField(help_text="octets once decoded")
    sha256 = serializers.CharField(required=False, help_text=f"of the decoded octets; {NOT_IN_METADATA}")
    inline = serializers.BooleanField()
    content_id = serializers.CharField(required=False, allow_null=True, help_text=NOT_IN_METADATA)
    url = serializers.URLField(required=False, help_text=f"opens without a key, for a while; {NOT_IN_METADATA}")
    content = serializers.CharField(required=False, allow_null=True, help_text=f"base64; {ONLY_INLINE}")
    content_omitted = serializers.CharField(
        required=False,
        allow_null=True,
        help_text=f"why content is null: too_large (see url) or unavailable; {ONLY_INLINE}",
    )


class EventReplySerializer(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="without the quoted mail; all of the text if it is no reply")


class EventBounceSerializer(serializers.Serializer[Any]):
    action = serializers.CharField(allow_null=True, help_text="failed, delayed, delivered, relayed, expanded")
    status = serializers.CharField(allow_null=True, help_text="enhanced status code, as 5.1.1 (RFC 3463)")
    diagnostic = serializers.CharField(
        required=False, allow_null=True, help_text=f"what the host said that did not take it; {NOT_IN_METADATA}"
    )
    final_recipient = serializers.CharField(required=False, allow_null=True, help_text=NOT_IN_METADATA)
    original_message_id = serializers.CharField(
        required=False, allow_null=True, help_text=f"of the mail that came back; {NOT_IN_METADATA}"
    )


class EventListSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(allow_null=True, help_text="List-Id, without angle brackets")
    unsubscribe = serializers.ListField(
        child=serializers.CharField(), help_text="https, http and mailto URLs of List-Unsubscribe"
    )
    one_click = serializers.BooleanField(help_text="a POST to the https one does it (RFC 8058)")


class EventCalendarSerializer(serializers.Serializer[Any]):
    method = serializers.CharField(allow_null=True, help_text="REQUEST, REPLY, CANCEL, …")
    uid = serializers.CharField(allow_null=True)
    summary = serializers.CharField(allow_null=True)
    start = serializers.CharField(
        allow_null=True, help_text="a date, an instant in UTC or, without a Z, the reader's local time"
    )
    end = serializers.CharField(allow_null=True, help_text="as start")


class EventParseSerializer(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="ok, partial, failed")
    defects = serializers.ListField(child=serializers.CharField())


class EventQuarantineSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(help_text="for people")
    rule_id = serializers.CharField(allow_null=True, help_text="null if the rule was deleted, or is for more")


class EventRawSerializer(serializers.Serializer[Any]):
    size = serializers.IntegerField()
    sha256 = serializers.CharField(required=False, help_text=NOT_IN_METADATA)
    url = serializers.URLField(
        required=False, help_text=f"the octets as they came, without a key, for a while; {NOT_IN_METADATA}"
    )


class EmailReceivedDataSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="of the email: the message in this mailbox")
    mailbox = EventMailboxSerializer()
    alias = EventAliasSerializer(allow_null=True, help_text="null as well in a further mailbox of it")
    domain = EventDomainSerializer()
    route = EventRouteSerializer()
    recipients = EventRecipientSerializer(many=True, help_text="only those that led to this mailbox")
    received_at = serializers.DateTimeField()
    source = serializers.CharField(help_text="smtp or pipe")  # type: ignore[assignment]  # DRF takes it off the class
    envelope = EventEnvelopeSerializer()
    auth = AuthenticationSerializer(
        allow_null=True, help_text="SPF, DKIM and DMARC when it was first opened; null if they were not checked"
    )
    message_id = serializers.CharField(allow_null=True, help_text="the Message-ID header")
    in_reply_to = serializers.CharField(required=False, allow_null=True, help_text=NOT_IN_METADATA)
    references = serializers.ListField(child=serializers.CharField(), required=False, help_text=NOT_IN_METADATA)
    subject = serializers.CharField()
    date = serializers.DateTimeField(allow_null=True, help_text="the Date header")
    # a keyword, so a class body has no plainer way to say it
    locals()["from"] = EventPersonSerializer(allow_null=True, help_text="the From header")
    sender = EventPersonSerializer(required=False, allow_null=True, help_text=NOT_IN_METADATA)
    reply_to = EventPersonSerializer(many=True, required=False, help_text=NOT_IN_METADATA)
    to = EventPersonSerializer(many=True)
    cc = EventPersonSerializer(many=True)
    text = serializers.CharField(required=False, help_text=ONLY_FULL)
    text_truncated = serializers.BooleanField(required=False, help_text=ONLY_FULL)
    html = serializers.CharField(required=False, help_text=ONLY_FULL)
    html_truncated = serializers.BooleanField(required=False, help_text=ONLY_FULL)
    preview = serializers.CharField(required=False, help_text=ONLY_FULL)
    reply = EventReplySerializer(required=False, help_text=ONLY_FULL)
    headers = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2),
        required=False,
        help_text=f"[name, value] in their order, decoded; {ONLY_FULL}",
    )
    headers_truncated = serializers.BooleanField(required=False, help_text=ONLY_FULL)
    attachments = EventAttachmentSerializer(many=True)
    kind = serializers.CharField(
        help_text="normal, bounce, delivery_status, auto_reply, list, calendar, feedback_report, read_receipt"
    )
    bounce = EventBounceSerializer(allow_null=True, help_text="what a delivery report says; null for other mail")
    list = EventListSerializer(
        required=False, allow_null=True, help_text=f"the list that it came by, or null; {NOT_IN_METADATA}"
    )
    calendar = EventCalendarSerializer(
        required=False, allow_null=True, help_text=f"the first event that it has in it, or null; {NOT_IN_METADATA}"
    )
    marks = serializers.ListField(
        child=serializers.CharField(),
        help_text="encrypted, signed, tnef, partial_message, external_body; api_key and webhook_secret if it has one "
        "of this system's in it, which the form metadata does not say",
    )
    parse = EventParseSerializer()
    quarantine = EventQuarantineSerializer(
        allow_null=True, help_text="why a rule kept it back until it was released; null of all other mail"
    )
    raw = EventRawSerializer()


class EmailReceivedSerializer(serializers.Serializer[Any]):
    type = constant("email.received")()
    timestamp = serializers.DateTimeField(help_text="of the event")
    data = EmailReceivedDataSerializer()  # type: ignore[assignment]  # DRF takes it off the class


class EmailReparsedDataSerializer(EmailReceivedDataSerializer):
    changed = serializers.ListField(
        child=serializers.CharField(),
        help_text="the names in `data` of what differs from before; in the form metadata, of what that has",
    )
    received_event_id = serializers.CharField(
        allow_null=True, help_text="the email.received of this email; null if no webhook wanted that"
    )


class EmailReparsedSerializer(serializers.Serializer[Any]):
    type = constant("email.reparsed")()
    timestamp = serializers.DateTimeField(help_text="of the event")
    data = EmailReparsedDataSerializer()  # type: ignore[assignment]  # DRF takes it off the class


class TestedWebhookSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    description = serializers.CharField()


class WebhookTestDataSerializer(serializers.Serializer[Any]):
    webhook = TestedWebhookSerializer()
    message = serializers.CharField(help_text="for people")


class WebhookTestSerializer(serializers.Serializer[Any]):
    type = constant("webhook.test")()
    timestamp = serializers.DateTimeField(help_text="of the event")
    data = WebhookTestDataSerializer()  # type: ignore[assignment]  # DRF takes it off the class


class DisabledWebhookSerializer(TestedWebhookSerializer):
    alias_id = serializers.CharField(allow_null=True, help_text="what it is bound to: one of the three")
    mailbox_id = serializers.CharField(allow_null=True)
    domain_id = serializers.CharField(allow_null=True)


class WebhookDisabledDataSerializer(serializers.Serializer[Any]):
    webhook = DisabledWebhookSerializer()
    reason = serializers.CharField(help_text="for people")
    disabled_at = serializers.DateTimeField()


class WebhookDisabledSerializer(serializers.Serializer[Any]):
    type = constant("webhook.disabled")()
    timestamp = serializers.DateTimeField(help_text="of the event")
    data = WebhookDisabledDataSerializer()  # type: ignore[assignment]  # DRF takes it off the class


def described(
    sample: Mapping[str, Any], serializer: type[serializers.Serializer[Any]], *, summary: str, description: str
) -> OpenApiWebhook:
    event_type = str(sample["type"])
    return OpenApiWebhook(
        event_type,
        extend_schema(
            operation_id=event_type.replace(".", "_"),
            tags=["Webhooks"],
            summary=summary,
            description=f"{description} The body is the same octets in every attempt.",
            request=serializer,
            examples=[OpenApiExample(event_type, sample)],
            responses={
                "2XX": OpenApiResponse(description="Taken: there will be no further attempt."),
                410: OpenApiResponse(description="Gone: nothing more is sent to this webhook until it is resumed."),
                "default": OpenApiResponse(description="Not taken: tried again later, also without an answer in time."),
            },
        ),
    )


EMAIL_RECEIVED = described(
    samples.EMAIL_RECEIVED,
    EmailReceivedSerializer,
    summary="An email was received and opened",
    description=(
        "Sent to every webhook of the alias, mailbox or domain by which it came. There are four forms: whole; `inline`,"
        " with the octets of attachments; `thin`, without what the mail says, for a receiver that answered 413; and "
        "`metadata`, without what the mail says and without links to it: of its header From, To, Cc, Subject, Date and "
        "Message-ID."
    ),
)
EMAIL_REPARSED = described(
    samples.EMAIL_REPARSED,
    EmailReparsedSerializer,
    summary="A stored email was opened again and is read otherwise now",
    description=(
        "Sent after an operator had mail opened again, as after an upgrade, or once what could not be opened can be; "
        "only where something differs, and only to webhooks with email.reparsed among their `events`, which is not "
        "usual. The email has kept its id, and so has each attachment that has the same octets in the same part. In "
        "the same forms as email.received."
    ),
)
WEBHOOK_TEST = described(
    samples.WEBHOOK_TEST,
    WebhookTestSerializer,
    summary="Somebody tries a webhook out",
    description="Sent once, by the way that mail takes.",
)
WEBHOOK_DISABLED = described(
    samples.WEBHOOK_DISABLED,
    WebhookDisabledSerializer,
    summary="A webhook was disabled",
    description="Sent to the other webhooks that are bound to the same alias, mailbox or domain.",
)
EVENTS = (EMAIL_RECEIVED, EMAIL_REPARSED, WEBHOOK_TEST, WEBHOOK_DISABLED)

# of each attempt: name -> what it is, and an example
HEADERS: Mapping[str, tuple[str, str]] = {
    "webhook-id": (
        "The event. The same in every attempt: by it you know what you have.",
        "evt_01jd2x8ks2f0b9t4k6y1r3m5pz",
    ),
    "webhook-timestamp": ("When this attempt was signed, in Unix seconds.", "1767225600"),
    "webhook-signature": (
        "Standard Webhooks: `v1,` and base64 of HMAC-SHA256 over id, timestamp and body. Two of them in a rotation.",
        "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    ),
    "x-webhook-signature": (
        "Hexadecimal HMAC-SHA256 of the body; with the old secret for as long as that one counts.",
        "2f61cc6a6a3f4c1a5d0c3d6a6f3a0e3b1b0a9d7c0a7c6c1f5a3f9e1f0c8b7a65",
    ),
    "x-webhook-signature-next": ("The same with the new secret, only while an old one still counts.", ""),
    "webhook-attempt": ("Which attempt this is, from 1.", "1"),
}
