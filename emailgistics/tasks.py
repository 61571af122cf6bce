"""Celery's way in: what a sweep starts. Twice is as good as once."""

from celery import shared_task

from emailgistics.operations import alarms, ledger

WATCH = "emailgistics.tasks.watch"


@shared_task(name=WATCH)
def watch() -> None:
    """Balances the ledger, then looks whether anything is wrong."""
    ledger.check()
    alarms.watch()
