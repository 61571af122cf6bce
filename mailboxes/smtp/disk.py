"""Whether there is room for more mail. With a database on a server, that server says so when it is asked to store."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY_S = 1.0


class Disk:
    def __init__(
        self,
        folder: Path | None,
        *,
        keep_free: int,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """`folder` is None where the disk is not ours to look at; `keep_free` is in octets."""
        self._folder = folder
        self._keep_free = keep_free
        self._free = free
        self._looked_at = float("-inf")
        self._seen = 0

    def has_room(self, octets: int) -> bool:
        """After so many octets more there would be enough left. A folder that cannot be asked has room."""
        if self._folder is None:
            return True
        now = time.monotonic()
        if now - self._looked_at > LOOK_EVERY_S:
            try:
                self._seen = self._free(self._folder)
            except OSError:
                return True
            self._looked_at = now
        return self._seen - octets >= self._keep_free
