"""The shape of what webhooks get, for the `webhooks` section of the OpenAPI document; `webhooks/payloads.py` makes it.

A test holds real payloads against it.
"""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, OpenApiWebhook, extend_schema
from rest_framework import serializers

NOT_IN_METADATA = "not in the form metadata"


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
    kind = serializers.CharField(help_text="how routing found it: exact, plus, reserved, catch_all")
    tag = serializers.CharField(allow_null=True, help_text="what stood after + in the local part")


class EventRecipientSerializer(EventRouteSerializer):
    address = serializers.CharField(help_text="as in RCPT TO")
    alias_id = serializers.CharField(allow_null=True)


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
    size = serializers.IntegerField(help_text="octets once decoded")
    sha256 = serializers.CharField(help_text="of the decoded octets")
    inline = serializers.BooleanField()
    content_id = serializers.CharField(required=False, allow_null=True, help_text=NOT_IN_METADATA)
    url = serializers.URLField(
        required=False, help_text=f"read it there with a key that has emails:content; {NOT_IN_METADATA}"
    )


class EventParseSerializer(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="ok, partial, failed")
    defects = serializers.ListField(child=serializers.CharField())


class EventRawSerializer(serializers.Serializer[Any]):
    size = serializers.IntegerField()
    sha256 = serializers.CharField()
    url = serializers.URLField(
        required=False, help_text=f"the octets as they came, for a key that has emails:content; {NOT_IN_METADATA}"
    )


class EmailReceivedDataSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="of the email: the message in this mailbox")
    mailbox = EventMailboxSerializer()
    alias = EventAliasSerializer(allow_null=True)
    domain = EventDomainSerializer()
    route = EventRouteSerializer()
    recipients = EventRecipientSerializer(many=True, help_text="only those that led to this mailbox")
    received_at = serializers.DateTimeField()
    source = serializers.CharField(help_text="smtp or pipe")  # type: ignore[assignment]  # DRF takes it off the class
    envelope = EventEnvelopeSerializer()
    message_id = serializers.CharField(allow_null=True, help_text="the Message-ID header")
    in_reply_to = serializers.CharField(allow_null=True)
    references = serializers.ListField(child=serializers.CharField())
    subject = serializers.CharField()
    date = serializers.DateTimeField(allow_null=True, help_text="the Date header")
    # a keyword, so a class body has no plainer way to say it
    locals()["from"] = EventPersonSerializer(allow_null=True, help_text="the From header")
    sender = EventPersonSerializer(allow_null=True)
    reply_to = EventPersonSerializer(many=True)
    to = EventPersonSerializer(many=True)
    cc = EventPersonSerializer(many=True)
    text = serializers.CharField(required=False, help_text=NOT_IN_METADATA)
    text_truncated = serializers.BooleanField(required=False, help_text=NOT_IN_METADATA)
    html = serializers.CharField(required=False, help_text=NOT_IN_METADATA)
    html_truncated = serializers.BooleanField(required=False, help_text=NOT_IN_METADATA)
    preview = serializers.CharField(required=False, help_text=NOT_IN_METADATA)
    headers = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField(), min_length=2, max_length=2),
        required=False,
        help_text=f"[name, value] in their order, decoded; {NOT_IN_METADATA}",
    )
    headers_truncated = serializers.BooleanField(required=False, help_text=NOT_IN_METADATA)
    attachments = EventAttachmentSerializer(many=True)
    kind = serializers.CharField(help_text="normal, bounce, auto_reply, …")
    parse = EventParseSerializer()
    raw = EventRawSerializer()


class EmailReceivedSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="email.received")
    timestamp = serializers.DateTimeField(help_text="of the event")
    data = EmailReceivedDataSerializer()  # type: ignore[assignment]  # DRF takes it off the class


EMAIL = "https://mail.example.com/v1/emails/email_01jd2x8kt6n4v8r1c5w9z2b7ha"
EXAMPLE: dict[str, Any] = {
    "type": "email.received",
    "timestamp": "2030-01-31T18:00:01.250Z",
    "data": {
        "id": "email_01jd2x8kt6n4v8r1c5w9z2b7ha",
        "mailbox": {
            "id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
            "address": "support@example.com",
            "name": "Support",
        },
        "alias": {"id": "alias_01jd2x8krp3s6t9v2x5z8b1d4f", "address": "help@example.com"},
        "domain": {"id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e", "name": "example.com"},
        "route": {"kind": "plus", "tag": "order-7"},
        "recipients": [
            {
                "address": "help+order-7@example.com",
                "alias_id": "alias_01jd2x8krp3s6t9v2x5z8b1d4f",
                "kind": "plus",
                "tag": "order-7",
            }
        ],
        "received_at": "2030-01-31T18:00:00.000Z",
        "source": "smtp",
        "envelope": {
            "mail_from": "ada@example.net",
            "rcpt_to": ["help+order-7@example.com"],
            "client_ip": "192.0.2.1",
            "helo": "mx.example.net",
            "tls": None,
        },
        "message_id": "<1@example.net>",
        "in_reply_to": None,
        "references": [],
        "subject": "Broken engine",
        "date": "2030-01-31T17:59:58.000Z",
        "from": {"name": "Ada Lovelace", "address": "ada@example.net"},
        "sender": None,
        "reply_to": [],
        "to": [{"name": "", "address": "help+order-7@example.com"}],
        "cc": [],
        "text": "It does not turn.\n",
        "text_truncated": False,
        "html": "",
        "html_truncated": False,
        "preview": "It does not turn.",
        "headers": [["From", "Ada Lovelace <ada@example.net>"], ["Subject", "Broken engine"]],
        "headers_truncated": False,
        "attachments": [
            {
                "id": "att_01jd2x8kv1g5j9m3q7s0u4x8za",
                "filename": "engine.jpg",
                "content_type": "image/jpeg",
                "size": 48213,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "inline": False,
                "content_id": None,
                "url": f"{EMAIL}/attachments/att_01jd2x8kv1g5j9m3q7s0u4x8za",
            }
        ],
        "kind": "normal",
        "parse": {"status": "ok", "defects": []},
        "raw": {
            "size": 67104,
            "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            "url": f"{EMAIL}/raw",
        },
    },
}

EMAIL_RECEIVED = OpenApiWebhook(
    "email.received",
    extend_schema(
        operation_id="email_received",
        tags=["Webhooks"],
        summary="An email was received and opened",
        description=(
            "Sent to every webhook of the alias, mailbox or domain by which it came. A webhook of the form `metadata` "
            "gets it without what the mail says. The body is the same octets in every attempt."
        ),
        request=EmailReceivedSerializer,
        examples=[OpenApiExample("A mail with an attachment", EXAMPLE)],
        responses={
            "2XX": OpenApiResponse(description="Taken: there will be no further attempt."),
            410: OpenApiResponse(description="Gone: nothing more is sent to this webhook until somebody resumes it."),
            "default": OpenApiResponse(description="Not taken: tried again later, also if there is no answer in time."),
        },
    ),
)

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
