"""The JSON of domains, mailboxes, aliases and emails, as the API answers it and the commands print it.

What may be sent for them is in `bodies.py`.
"""

from mailboxes.api.serializers.dns_records import DomainStatusSerializer, status_of
from mailboxes.api.serializers.emails import (
    CONTENT_MARKS,
    LARGE,
    AttachmentListSerializer,
    AttachmentSerializer,
    EmailDetailSerializer,
    EmailSerializer,
    EmailWithContentSerializer,
)
from mailboxes.api.serializers.fields import InstantField, PublicIdField
from mailboxes.api.serializers.jobs import ErasureJobSerializer
from mailboxes.api.serializers.places import AliasSerializer, DomainSerializer, MailboxSerializer, RuleSerializer
from mailboxes.api.serializers.refusals import RefusalSerializer
from mailboxes.api.serializers.routing import OutlookSerializer

__all__ = (
    "CONTENT_MARKS",
    "LARGE",
    "AliasSerializer",
    "AttachmentListSerializer",
    "AttachmentSerializer",
    "DomainSerializer",
    "DomainStatusSerializer",
    "EmailDetailSerializer",
    "EmailSerializer",
    "EmailWithContentSerializer",
    "ErasureJobSerializer",
    "InstantField",
    "MailboxSerializer",
    "OutlookSerializer",
    "PublicIdField",
    "RefusalSerializer",
    "RuleSerializer",
    "status_of",
)
