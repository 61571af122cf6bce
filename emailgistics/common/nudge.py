"""Telling workers that there is work, without ever making anybody wait for the telling.

A nudge says "there is work", not "this mail": it may be dropped, doubled or late, and nothing is lost, because the
work is in the database and a sweep finds it. One thread a process publishes; callers only set a flag. While the
broker is away or hangs, flags wait and callers do not notice.
"""

import os
import threading
import time
from datetime import timedelta

from celery import current_app

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

AT_MOST_EVERY = timedelta(milliseconds=100)  # a worker that is awake looks around by itself
AGAIN_AFTER = timedelta(seconds=1)  # a broker that refused
STALE_AFTER = timedelta(seconds=5)  # by then a sweep has come past


class Nudger:
    """Sets of task names waiting to be published: bounded by the number of names, whatever the traffic."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._process = 0

    def nudge(self, task: str) -> None:
        with self._changed:
            self._waiting.add(task)
            self._changed.notify()
            if self._process != os.getpid():  # a fork inherits this object, not its thread
                self._process = os.getpid()
                threading.Thread(target=self._run, name="nudger", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                tasks, self._waiting = self._waiting, set()
            try:
                for task in tasks:
                    publish(task)
            except Exception as error:  # noqa: BLE001 - whatever a broker's client throws, this thread goes on
                log.warning("nudge.not_sent", error=type(error).__name__)
                time.sleep(AGAIN_AFTER.total_seconds())
                with self._changed:
                    self._waiting |= tasks
            time.sleep(AT_MOST_EVERY.total_seconds())


def publish(task: str) -> None:
    """Publishes one nudge now, or raises. Blocks as long as the broker's client does; `nudge` does not."""
    current_app.send_task(task, ignore_result=True, retry=False, expires=STALE_AFTER.total_seconds())


_nudger = Nudger()
nudge = _nudger.nudge
