"""What stops an installation from starting, because its webhooks could not go out as meant."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured


@register()
def outgoing_settings_are_sound(**_: Any) -> list[CheckMessage]:
    from webhooks import guard, transport  # noqa: PLC0415 - aiohttp: most processes are never checked

    found: list[CheckMessage] = []
    try:
        guard.parse_allowed(tuple(settings.WEBHOOK_ALLOW_NETWORKS))
    except ImproperlyConfigured as error:
        found.append(Error(str(error), id="webhooks.E001"))
    try:
        transport.tls_context()
    except ImproperlyConfigured as error:
        found.append(Error(str(error), id="webhooks.E002"))
    return found
