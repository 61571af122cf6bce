"""A server that is away is waited for by one request in a while, and all others go on without it at once."""

import threading
import time

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

ASK_AGAIN_AFTER_S = 5
LOG_EVERY_S = 60


class Away:
    """For all threads of a process. Logs that it is away once in a while, and that it is back, by these events."""

    def __init__(self, *, away: str, back: str) -> None:
        self._events = away, back
        self._lock = threading.Lock()
        self._ask_at = 0.0
        self._is_away = False
        self._logged_at = float("-inf")

    def is_to_be_asked(self) -> bool:
        if not self._is_away:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._ask_at:
                return False
            self._ask_at = now + ASK_AGAIN_AFTER_S  # before the asking: no other request waits meanwhile
            return True

    def note_away(self, error: Exception) -> None:
        with self._lock:
            now = time.monotonic()
            self._is_away, self._ask_at = True, now + ASK_AGAIN_AFTER_S
            if now < self._logged_at + LOG_EVERY_S:
                return
            self._logged_at = now
        log.warning(self._events[0], error=type(error).__name__)

    def note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info(self._events[1])
