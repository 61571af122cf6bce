"""What stops an installation from starting, because its webhooks could not go out as meant."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured

from emailgistics.common import leases

MAX_TIMEOUT_S = 30  # of receivers, and of those who wait for a worker to stop
WRITE_DOWN_WITHIN_S = 3  # what a webhook in flight came to, after its deadline
RENEWALS_IN_A_LEASE = 4  # so that one that comes late loses nothing
TAKE_OVER_EVERY = timedelta(seconds=2)  # a dispatcher looks for what a dead one held
TAKEN_OVER_WITHIN = timedelta(seconds=20)


@register()
def outgoing_settings_are_sound(**_: Any) -> list[CheckMessage]:
    from webhooks import guard, transport, tunnel  # noqa: PLC0415 - they need settings, and most processes are never checked

    readings: dict[str, Callable[[], object]] = {
        "webhooks.E001": lambda: guard.parse_allowed(tuple(settings.WEBHOOK_ALLOW_NETWORKS)),
        "webhooks.E002": transport.tls_context,
        "webhooks.E004": lambda: tunnel.parse_proxy(settings.WEBHOOK_PROXY),
    }
    found: list[CheckMessage] = []
    for code, read in readings.items():
        try:
            read()
        except ImproperlyConfigured as error:
            found.append(Error(str(error), id=code))
    return found


@register()
def times_fit_together(**_: Any) -> list[CheckMessage]:
    return [Error(wrong, hint=remedy, id="webhooks.E003") for wrong, remedy in times_that_do_not_fit()]


def times_that_do_not_fit() -> Iterator[tuple[str, str]]:
    """(what is wrong, what to do), with the variables' names."""
    dns_s, connect_s = settings.WEBHOOK_DNS_TIMEOUT_S, settings.WEBHOOK_CONNECT_TIMEOUT_S
    total_s, stop_s = settings.WEBHOOK_TIMEOUT_S, settings.STOP_WITHIN_S
    if total_s > MAX_TIMEOUT_S:
        yield f"WEBHOOK_TIMEOUT_S is {total_s}.", f"Set it to {MAX_TIMEOUT_S} or less."
    if dns_s + connect_s >= total_s:
        wrong = (
            f"WEBHOOK_DNS_TIMEOUT_S ({dns_s}) and WEBHOOK_CONNECT_TIMEOUT_S ({connect_s}) leave nothing of "
            f"WEBHOOK_TIMEOUT_S ({total_s}) for sending and for the answer."
        )
        yield wrong, f"Set WEBHOOK_TIMEOUT_S to more than {dns_s + connect_s}, or the other two to less."
    if total_s + WRITE_DOWN_WITHIN_S >= stop_s:
        wrong = (
            f"WEBHOOK_TIMEOUT_S ({total_s}) is too long for STOP_WITHIN_S ({stop_s}): a webhook in flight would be "
            "killed before what came of it is written down, and be sent again."
        )
        enough_s = total_s + WRITE_DOWN_WITHIN_S + 1
        yield wrong, f"Set STOP_WITHIN_S to {enough_s} or more, and let whatever stops the processes wait as long."
    if leases.RENEW_EVERY * RENEWALS_IN_A_LEASE > leases.LEASE_FOR:
        yield (
            f"A lease of {leases.LEASE_FOR} that is renewed every {leases.RENEW_EVERY} is lost by one late renewal.",
            f"Let emailgistics.common.leases.LEASE_FOR be {leases.RENEW_EVERY * RENEWALS_IN_A_LEASE} or more.",
        )
    taken_over_within = leases.LEASE_FOR + TAKE_OVER_EVERY + settings.SWEEP_EVERY
    if taken_over_within > TAKEN_OVER_WITHIN:
        yield (
            f"What a dead dispatcher held waits for {taken_over_within}, longer than {TAKEN_OVER_WITHIN}.",
            "Let LEASE_FOR (emailgistics.common.leases), TAKE_OVER_EVERY (webhooks.checks) and SWEEP_EVERY be less.",
        )
