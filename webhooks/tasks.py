"""Celery's way in: what a nudge or a sweep starts. Twice is as good as once."""

from celery import shared_task
from celery.signals import worker_shutdown, worker_shutting_down

from webhooks.services.dispatch import engine
from webhooks.services.fan_out import DISPATCH


@shared_task(name=DISPATCH)
def dispatch() -> None:
    engine.wake()


@worker_shutting_down.connect
def stop_claiming(**_: object) -> None:
    engine.stop()


@worker_shutdown.connect
def finish_what_is_in_flight(**_: object) -> None:
    engine.join()
