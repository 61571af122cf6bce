"""Celery's way in: what a sweep starts. Twice is as good as once."""

from celery import shared_task

from apikeys import upkeep

LOOK_AFTER = "apikeys.tasks.look_after"


@shared_task(name=LOOK_AFTER)
def look_after() -> None:
    upkeep.look_after()
