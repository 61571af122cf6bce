"""A webhook carries what mails say to somebody else, so it takes emails:content to have one that does.

Whoever has webhooks:write without that scope has webhooks for metadata, and cannot point a full one elsewhere
or have it told of mail.
"""

from collections.abc import Mapping
from typing import Any

from emailgistics.common.access import Principal, Scope
from emailgistics.common.problems import InsufficientScopeError
from webhooks.headers import masked
from webhooks.models import Webhook

MAIL_EVENTS = (Webhook.EventType.EMAIL_RECEIVED, Webhook.EventType.EMAIL_REPARSED)
CONTENT = "A webhook with `payload: full` carries what mails say, so this needs emails:content as well for such a one."


def default_payload(caller: Principal) -> str:
    return Webhook.Payload.FULL if caller.may(Scope.EMAILS_CONTENT) else Webhook.Payload.METADATA


def refuse_full_payload(body: Mapping[str, Any], caller: Principal) -> None:
    """Told by the body's form alone, before anything is looked for. Raises InsufficientScopeError."""
    if body.get("payload") == Webhook.Payload.FULL or body.get("attachments") == Webhook.Attachments.INLINE:
        _require_content(caller)


def refuse_full_webhook(webhook: Webhook, caller: Principal) -> None:
    """For what may not be done to a full one; that it is one, its caller sees. Raises InsufficientScopeError."""
    if webhook.payload == Webhook.Payload.FULL:
        _require_content(caller)


def is_aimed_anew(webhook: Webhook, body: Mapping[str, Any]) -> bool:
    """Whether a change gives it another url or other headers, or tells it of mail that it was not told of.

    A value that is given counts as another.
    """
    headers = masked(webhook.header_names)
    url = webhook.url or None
    return bool(body.get("url", url) != url or body.get("headers", headers) != headers or _adds_mail(webhook, body))


def _adds_mail(webhook: Webhook, body: Mapping[str, Any]) -> bool:
    given = body.get("events")
    return isinstance(given, list) and any(name in given and name not in webhook.events for name in MAIL_EVENTS)


def _require_content(caller: Principal) -> None:
    if not caller.may(Scope.EMAILS_CONTENT):
        raise InsufficientScopeError([Scope.EMAILS_CONTENT])
