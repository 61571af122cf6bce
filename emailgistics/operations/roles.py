"""Whether the processes of one kind on this machine live and do their work. Neither broker nor database is asked."""

from collections.abc import Callable

from django.conf import settings

from emailgistics.common import pulse
from emailgistics.operations.answering import why_no_http, why_no_smtp

WORKER, DISPATCHER, BEAT = "worker", "dispatcher", "beat"
# by the queue that a Celery worker takes tasks from
ROLE_OF_QUEUE = {"mail": WORKER, "webhooks": DISPATCHER}


def why_not(role: str) -> str:
    """What is wrong with that kind of process; empty: nothing is. role is one of ROLES."""
    return ROLES[role]()


def _of_pulse(role: str) -> Callable[[], str]:
    def look() -> str:
        signs = pulse.signs_of(role)
        if not signs:
            return f"no {role} lives on this machine, with this DATA_DIR ({settings.DATA_DIR})"
        return "; ".join(f"{role} {sign.pid}: {sign.trouble}" for sign in signs if sign.trouble)

    return look


ROLES: dict[str, Callable[[], str]] = {
    "web": lambda: why_no_http(settings.HTTP_HOST, settings.HTTP_PORT),
    "smtp": lambda: why_no_smtp(settings.SMTP_HOST, settings.SMTP_PORT),
    **{role: _of_pulse(role) for role in (WORKER, DISPATCHER, BEAT)},
}
