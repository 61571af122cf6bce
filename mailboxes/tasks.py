"""Celery's way in: what a nudge or a sweep starts. Twice is as good as once."""

import time

from celery import shared_task

from mailboxes.services import alias_imports, reparse, tidy
from mailboxes.services import process as processing

PROCESS = "mailboxes.tasks.process"
TIDY = "mailboxes.tasks.tidy_up"


@shared_task(name=PROCESS)
def process() -> None:
    ends_at = time.monotonic() + processing.SLICE.total_seconds()  # all together have the time of one slice
    processing.drain()
    reparse.drain(until=ends_at)
    alias_imports.drain(until=ends_at)


@shared_task(name=TIDY)
def tidy_up() -> None:
    tidy.tidy()
