"""Celery's way in: what a nudge or a sweep starts. Twice is as good as once."""

from celery import shared_task

from mailboxes.services import process as processing

PROCESS = "mailboxes.tasks.process"


@shared_task(name=PROCESS)
def process() -> None:
    processing.drain()
