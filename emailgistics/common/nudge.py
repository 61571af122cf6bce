"""Telling workers that there is work, without ever making anybody wait for the telling.

A nudge says "there is work", not "this mail": it may be dropped, doubled or late, and nothing is lost, because the
work is in the database and a sweep finds it. One thread a process publishes; callers only set a flag. While the
broker is away or hangs, flags wait and callers do not notice.
"""

import os
import threading
import time
from datetime import timedelta
from typing import Any

from celery import current_app

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

AT_MOST_EVERY = timedelta(milliseconds=100)  # a worker that is awake looks around by itself
AGAIN_AFTER = timedelta(seconds=1)  # a broker that refused
ENOUGH = 20  # nudges that nobody has read yet: while workers are away, a queue does not grow
# For a connection that only publishes. It may give up sooner than a worker's, which has to outwait its own blocking
# read; and it tries once, because who publishes comes back by himself.
PUBLISHER_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 1, "max_retries": 0}


class Publisher:
    """A broker connection for nudges. Not for several threads at once."""

    def __init__(self) -> None:
        self._connection: Any = None

    def publish(self, task: str) -> None:
        """Publishes one nudge, unless plenty are waiting to be read. Raises after about a second if it cannot."""
        try:
            self._publish(task)
        except Exception:
            # the next one begins with a new connection, whatever became of this one
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # not release(): that would talk to a broker that may not answer
            connection.collect(socket_timeout=PUBLISHER_OPTIONS["socket_timeout"])

    def _publish(self, task: str) -> None:
        if self._connection is None:
            self._connection = current_app.connection(transport_options=PUBLISHER_OPTIONS)
        queue = current_app.amqp.router.route({}, task)["queue"].name
        if self._connection.default_channel.queue_declare(queue).message_count >= ENOUGH:
            return
        current_app.send_task(
            task,
            connection=self._connection,
            retry=False,
            ignore_result=True,
            # no expiry: a worker whose clock is ahead would find every nudge expired
        )


class Nudger:
    """Names of tasks waiting to be published: as many as there are tasks, whatever the traffic."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._changed = threading.Condition()
        self._waiting: set[str] = set()
        self._is_running = False
        # a fork inherits this object, but not its thread, and a condition that the thread may have held
        os.register_at_fork(after_in_child=self._start_anew)

    def nudge(self, task: str) -> None:
        with self._changed:
            self._waiting.add(task)
            self._changed.notify()
            if not self._is_running:
                threading.Thread(target=self._run, name="nudger", daemon=True).start()  # may fail; the next one tries
                self._is_running = True

    def _start_anew(self) -> None:
        self._publisher = Publisher()
        self._changed = threading.Condition()
        self._waiting = set()
        self._is_running = False

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                tasks, self._waiting = self._waiting, set()
            try:
                for task in tasks:
                    self._publisher.publish(task)
            except Exception as error:  # noqa: BLE001 - whatever a broker's client throws, this thread goes on
                log.warning("nudge.not_sent", error=type(error).__name__)
                with self._changed:
                    self._waiting |= tasks
                time.sleep(AGAIN_AFTER.total_seconds())
            time.sleep(AT_MOST_EVERY.total_seconds())


_nudger = Nudger(Publisher())
nudge = _nudger.nudge
