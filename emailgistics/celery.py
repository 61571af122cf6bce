"""The Celery app: what a worker or beat process does besides running tasks.

How it behaves is in settings.py (the CELERY block); the tasks are in each app's tasks.py.
"""

import os
import warnings
from contextlib import suppress
from typing import Any

from billiard import current_process
from celery import Celery, bootsteps
from celery.app.amqp import AMQP
from celery.exceptions import SecurityWarning
from celery.signals import beat_init, setup_logging, worker_init, worker_process_init
from kombu import Connection
from kombu.transport import TRANSPORT_ALIASES

from emailgistics.common.pulse import Pulse
from emailgistics.lifeline import watch_supervisor
from emailgistics.operations.roles import DISPATCHER, ROLE_OF_QUEUE

try:
    import resource
except ImportError:  # not everywhere
    resource = None  # type: ignore[assignment]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailgistics.settings")

RETRY_AT_MOST_EVERY_S = 1


_pulses: list[Pulse] = []  # of a worker's first process; others that have connections have none


def beat() -> None:
    """A worker has gone round its loop."""
    for pulse in _pulses:
        pulse.beat()


class PromptConnection(Connection):
    """Asks for a lost broker every second. Kombu's waits grow to 30 s, and mail would wait with them."""

    def _ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs |= {"interval_start": 0.5, "interval_step": 0.5, "interval_max": RETRY_AT_MOST_EVERY_S}
        asked = kwargs.get("callback")

        def go_round() -> None:
            beat()  # who waits for a broker that is away does what there is to do
            if asked:
                asked()

        kwargs["callback"] = go_round
        return super()._ensure_connection(*args, **kwargs)


class Beating(bootsteps.StartStopStep):
    """A worker's pulse is that of its loop, which turns while there is a broker."""

    def register_with_event_loop(self, _consumer: object, hub: Any) -> None:
        hub.on_tick.add(beat)


class PromptAMQP(AMQP):
    Connection = PromptConnection


# running as root is dangerous to workers that accept pickles; Celery warns also where, as here, only JSON is accepted
warnings.filterwarnings("ignore", category=SecurityWarning)

TRANSPORT_ALIASES["embedded"] = "emailgistics.common.filebroker:Transport"

app = Celery("emailgistics", amqp=PromptAMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(Beating)
# also for threads that did not see it made: the nudger's, for one
app.set_default()

# the way in of `celery worker` and `celery beat`; manage.py and wsgi.py are the others
watch_supervisor()


@setup_logging.connect
def keep_our_logging(**_: object) -> None:
    """That somebody listens to this signal is what makes Celery leave logging alone."""


@worker_init.connect
def take_pulse(sender: Any, **_: object) -> None:
    """One for each kind of worker that this is."""
    from webhooks.services.dispatch import engine  # noqa: PLC0415 - it needs models

    troubles = {DISPATCHER: engine.trouble}
    roles = {ROLE_OF_QUEUE.get(name) for name in sender.app.amqp.queues.consume_from}
    _pulses[:] = [Pulse(role, trouble=troubles.get(role, lambda: "")) for role in roles if role]


@worker_init.connect
def refuse_wrong_settings(**_: object) -> None:
    """Celery runs Django's checks before this, and looks at nothing that they find."""
    from django.core.management.base import BaseCommand, SystemCheckError  # noqa: PLC0415 - as below

    try:
        BaseCommand().check()
    except SystemCheckError as error:
        raise SystemExit(str(error)) from None  # any other exception of a receiver is logged and forgotten
    refuse_wrong_secrets()


@beat_init.connect
def refuse_wrong_secrets(**_: object) -> None:
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - as below

    from emailgistics.common import selftest  # noqa: PLC0415 - it needs models

    try:
        selftest.wait_and_refuse()
    except ImproperlyConfigured as error:
        raise SystemExit(f"Wrong setting: {error}") from None  # see above


@worker_process_init.connect
def begin_worker_child(**_: object) -> None:
    """In each child that runs tasks, before the first. (Celery itself lets go of inherited database connections.)"""
    from django.conf import settings  # noqa: PLC0415 - a child of a worker has settings; whoever imports this may not

    watch_supervisor()
    # a solo pool sends the signal too, from the worker itself: that is the dispatcher, which opens no mail
    if resource is not None and current_process().name != "MainProcess":
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = settings.MAIL_CHILD_MEMORY_BYTES
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        with suppress(ValueError):  # a platform that knows the limit and does not set it
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
