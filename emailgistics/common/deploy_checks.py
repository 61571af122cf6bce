"""`manage.py check --deploy`: what settings tell of an installation that others reach, and what to do about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004 - Django's name


@register(Tags.security, deploy=True)
def others_can_rely_on_it(**_: Any) -> list[CheckMessage]:
    return [Warning(wrong, hint=remedy, id=f"common.{code}") for code, wrong, remedy in _doubts()]


def _doubts() -> Iterator[tuple[str, str, str]]:
    """(code, what is doubtful, what to do)"""
    if "*" in settings.ALLOWED_HOSTS:
        yield "W001", "ALLOWED_HOSTS takes every name.", "Name the host of BASE_URL, and what looks at its health."
    if any(network.prefixlen == 0 for network in settings.TRUSTED_PROXIES):
        yield (
            "W002",
            "TRUSTED_PROXIES believes everybody.",
            "Whoever connects could say that he is somebody else: name the proxy's own network.",
        )
    if settings.ALERT_EMAILS and not settings.EMAIL_URL:
        yield "W003", "ALERT_EMAILS are told nothing: there is no EMAIL_URL.", "Set EMAIL_URL."
    for name in ("SMTP_TLS_CERT", "SMTP_TLS_KEY"):
        if (path := getattr(settings, name)) and not Path(path).is_file():
            yield "W004", f"{name}: there is no file {path}.", "The listener would not start."
    if not settings.EMBEDDED and not settings.REDIS_URL:
        yield (
            "W005",
            "There is no REDIS_URL.",
            "Each web process counts the requests of a key for itself, and workers are found on this machine alone.",
        )
