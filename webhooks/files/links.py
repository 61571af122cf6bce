"""Links to the raw and to attachments in the bodies of events: they need no key, and what they open ends.

A link is `/files/<event>/<part>/<token>`. The token numbers the encryption key that it was made with and is a MAC over
event and part; there is no time in it, so that the bodies stay the same octets for ever. Whether it still opens
something is asked of the event's deliveries.
"""

import base64
import hmac
import re
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emailgistics.common import derived_keys, journal
from emailgistics.common.ids import decode_id
from mailboxes.models import Attachment, Email, RawMessage
from webhooks.models import Delivery, Event

RAW = "raw"  # the part that is the whole mail; every other part is an attachment's id

# emailgistics.common.logs masks what looks like it
_TOKEN = re.compile(r"k(0|[1-9]\d{0,4})_([A-Za-z0-9_-]{43})", re.ASCII)


def url(event: Event, part: str) -> str:
    """The part is RAW or an attachment's public id."""
    number, key = derived_keys.primary_key(derived_keys.LINKS)
    token = f"k{number}_{_mac(key, event.pk, part)}"
    return f"{settings.BASE_URL}/files/{event.public_id}/{part}/{token}"


def verified(event: str, part: str, token: str) -> UUID | None:
    """The event's key if we made this link; None for any other text.

    It asks the database for the keys of links whose encryption key was dropped, and for nothing else.
    """
    event_id, match = decode_id(Event.ID_PREFIX, event), _TOKEN.fullmatch(token)
    if event_id is None or match is None or not part.isascii():
        return None
    key = derived_keys.key_of(derived_keys.LINKS, int(match[1]))
    if key is None:
        return None
    return event_id if hmac.compare_digest(match[2], _mac(key, event_id, part)) else None


def opened(event_id: UUID, *, now: datetime) -> Email | None:
    """The event's email, with its message, as long as its links are good; None once they have ended.

    They are good while a delivery of the event is on its way or held, and LINK_TTL after the last attempt or replay.
    They end with the mailbox, with the raw, and by `revoke_links`.
    """
    event = (
        Event.objects.filter(pk=event_id, links_revoked_at=None, email__mailbox__deleted_at=None)
        .select_related("email__message")
        .first()
    )
    if event is None or event.email is None or event.email.raw_removed_at is not None:
        return None
    since = now - settings.LINK_TTL
    is_open = Q(state__in=[Delivery.State.PENDING, Delivery.State.HELD])
    # what was pulled was delivered without an attempt; a replay that was canceled had none either
    is_open |= Q(last_attempt_at__gt=since) | Q(delivered_at__gt=since) | Q(begun_at__gt=since)
    if not Delivery.objects.filter(is_open, event=event).exists():
        return None
    return event.email if RawMessage.objects.filter(pk=event.email.message_id).exists() else None


def attachment_of(email: Email, part: str) -> Attachment | None:
    pk = decode_id(Attachment.ID_PREFIX, part)
    return Attachment.objects.filter(pk=pk, email=email).first() if pk else None


def revoke_links(email: Email) -> datetime | None:
    """Ends all links to the email and its attachments at once, also in bodies that go out later.

    Since when; None if there was never an event with links to it. Twice is as good as once.
    """
    with transaction.atomic():
        if Event.objects.filter(email=email, links_revoked_at=None).update(links_revoked_at=timezone.now()):
            journal.note("email.links_revoked", of=email.public_id)
    return revoked_at(email)


def revoked_at(email: Email) -> datetime | None:
    """Since when its links open nothing, which holds for those of later events as well. None: they may."""
    return Event.objects.filter(email=email).order_by("id").values_list("links_revoked_at", flat=True).first()


def _mac(key: bytes, event_id: UUID, part: str) -> str:
    digest = hmac.digest(key, event_id.bytes + part.encode(), sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
