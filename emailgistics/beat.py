"""The sweep: wakes every worker every few seconds, for whatever a lost nudge left behind.

Keeps nothing on disk. Several may run; more sweeps do no harm.
"""

from typing import Any

from celery.beat import ScheduleEntry, Scheduler

from emailgistics.common.logs import get_logger
from emailgistics.common.nudge import Publisher
from emailgistics.common.pulse import Pulse
from emailgistics.operations.roles import BEAT

log = get_logger(__name__)


class Sweeper(Scheduler):
    """Celery's in-memory scheduler, publishing as nudges are published: it waits a second for a broker, no longer."""

    # Scheduler.producer would wait for the broker, inside a tick
    producer = None  # type: ignore[assignment]  # and so this one has none

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._publisher = Publisher()
        self._pulse = Pulse(BEAT)
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        wait_s = super().tick(*args, **kwargs)
        self._pulse.beat()
        return wait_s

    def apply_entry(self, entry: ScheduleEntry, producer: object = None) -> None:  # noqa: ARG002 - Celery's signature
        try:
            self._publisher.publish(str(entry.task))
        except Exception as error:  # noqa: BLE001 - the next sweep comes anyway
            log.warning("sweep.not_sent", task=entry.task, error=type(error).__name__)

    def close(self) -> None:
        super().close()
        self._publisher.close()
