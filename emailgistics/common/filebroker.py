"""A broker of files for the embedded default: no server, nothing shared but a folder (`embedded://`).

Built on kombu's virtual transport, beside its `filesystem` one, which kills a worker that meets a half-written file,
polls once a second, keeps exchange tables in files of their own and moves what it reads through the system's temporary
folder. Here a queue is a folder and a message a file in it. A message appears by rename, so it is whole; it is taken
by rename, so one worker has it; what does not read as a message is dropped; folders are made again when they are gone.

A worker killed between taking a message and acting on it loses that message. That is as intended: messages are
wake-ups, the work is in the database.
"""

import json
import os
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import virtual

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

POLL_EVERY_S = 0.02
DELIVER_AT_ONCE = 10
MAX_MESSAGE_BYTES = 64 * 1024  # a wake-up has about 1 KiB; a larger file is not ours
ABANDONED_AFTER_S = 60  # a draft or a taken file lives for milliseconds, unless its process was killed
LOOK_FOR_ABANDONED_EVERY_S = 30
TRIES = 10  # to write into a folder that somebody keeps deleting

SUFFIX = ".msg"


class Channel(virtual.Channel):
    """Queues in folders under the transport option `folder`. Names that start with a dot are not messages (yet)."""

    folder: str
    from_transport_options = (*virtual.Channel.from_transport_options, "folder")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listed: dict[str, deque[str]] = {}
        self._tidied_at: dict[str, float] = {}
        # what a connection stands for here: whoever cannot have it waits and tries again, and does nothing in between
        Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        folder = self._folder_of(queue)
        # by time first, so that names sort in the order of publishing
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}"
        draft = folder / f".{name}"
        content = json.dumps(message).encode()
        for tries_left in reversed(range(TRIES)):
            try:
                draft.write_bytes(content)
                draft.rename(folder / (name + SUFFIX))
            except FileNotFoundError:  # the folder, before or after opening
                if not tries_left:
                    raise
                _make(folder)
            else:
                return

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu's signature
        # a listing is used up before the next one: a backlog is not read anew for each of its messages
        names = self._listed.get(queue)
        if not names:
            names = self._listed[queue] = deque(self._list(queue))
        while names:
            message = self._take(self._folder_of(queue), names.popleft())
            if message is not None:
                return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._list(queue))

    def _purge(self, queue: str) -> int:
        self._listed.pop(queue, None)
        names = self._list(queue)
        for name in names:
            with suppress(OSError):
                (self._folder_of(queue) / name).unlink()
        return len(names)

    def _take(self, folder: Path, name: str) -> dict[str, Any] | None:
        taken = folder / f".{uuid.uuid4().hex}"
        try:
            (folder / name).rename(taken)
        except OSError:
            return None  # another worker was faster, or the folder is gone
        try:
            return self._read(taken)
        except Exception as error:  # noqa: BLE001 - whatever is in there, it must not stop a worker
            log.warning("broker.message_dropped", name=ascii(name), error=type(error).__name__)
            return None
        finally:
            with suppress(OSError):
                taken.unlink()

    def _read(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            content = file.read(MAX_MESSAGE_BYTES + 1)
        if len(content) > MAX_MESSAGE_BYTES:
            raise ValueError("too large to be a message")
        message: dict[str, Any] = json.loads(content)
        # what the worker would do with it first, and would not survive
        self.Message(message, channel=self)
        return message

    def _list(self, queue: str) -> list[str]:
        """Names of the queue's messages, oldest first. Makes its folder if there is none. Raises OSError."""
        folder = self._folder_of(queue)
        self._tidy(queue, folder)
        try:
            with os.scandir(folder) as entries:
                # no pipes, folders or links: nothing that could block or be anything but one file
                names = [entry.name for entry in entries if _is_message(entry)]
        except FileNotFoundError:
            _make(folder)
            return []
        names.sort()
        return names

    def _tidy(self, queue: str, folder: Path) -> None:
        now = time.monotonic()
        if now - self._tidied_at.get(queue, float("-inf")) < LOOK_FOR_ABANDONED_EVERY_S:
            return
        self._tidied_at[queue] = now
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") and time.time() - entry.stat().st_mtime > ABANDONED_AFTER_S:
                    with suppress(OSError):
                        Path(entry.path).unlink()

    def _folder_of(self, queue: str) -> Path:
        return Path(self.folder, queue)


class Transport(virtual.Transport):
    Channel = Channel
    # Asynchronous, so that Celery gives each child of a pool a pipe of its own. They would share one otherwise, and a
    # child that is killed while it waits takes the pipe's lock along: nobody would ever get a task again.
    implements = virtual.Transport.implements.extend(asynchronous=True)
    polling_interval = POLL_EVERY_S
    driver_type = driver_name = "embedded"
    # a full disk or a file where the folder should be: the worker reconnects until that is over, as with any broker
    connection_errors = (*virtual.Transport.connection_errors, OSError)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # noqa: ARG002 - kombu's signature
        loop.call_repeatedly(POLL_EVERY_S, self._deliver_what_is_there)

    def _deliver_what_is_there(self) -> None:
        channels: Any = self.cycle
        with suppress(Empty):
            for _ in range(DELIVER_AT_ONCE):
                channels.get(self._deliver)

    def driver_version(self) -> str:
        return "1"


def _is_message(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(SUFFIX) and not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)


def _make(folder: Path) -> None:
    """Makes the folder. It may be gone again at any moment: whoever needs it tries what it needs it for, and sees."""
    with suppress(FileNotFoundError, FileExistsError):
        # one by one: mkdir would give its mode to the last only, and whoever can write here can start tasks
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
