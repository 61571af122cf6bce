"""One process that opens mail, as a worker's child does: prints when the last was done, and what it took.

Reads a line from standard input before it begins.
"""

import json
import sys
import time
from datetime import timedelta

import django


def main() -> None:
    django.setup()
    from mailboxes.models import Message
    from mailboxes.services import process

    Message.objects.filter(state=Message.State.WAITING).exists()  # connected
    print("ready", flush=True)
    sys.stdin.readline()
    cpu = time.process_time()
    ended_at = time.perf_counter()
    while process.drain(linger=timedelta(0)):
        ended_at = time.perf_counter()
    print(json.dumps({"ended_at": ended_at, "cpu_s": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    main()
