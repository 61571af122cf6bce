"""Celery's way in: what a sweep starts. Twice is as good as once."""

from celery import shared_task

from emailgistics.common import journal, watermark
from emailgistics.operations import alarms, ledger
from webhooks.services import restored

WATCH = "emailgistics.tasks.watch"


@shared_task(name=WATCH)
def watch() -> None:
    """What has no line in the journal yet gets one, the ledger is balanced, then it is looked whether all is well."""
    journal.catch_up()
    restored.stop_if_set_back()  # before the next watermark
    watermark.mark()
    ledger.check()
    alarms.watch()
