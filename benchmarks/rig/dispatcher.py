"""One dispatcher process: sends what is due, and prints how long it took and how many SQL statements it needed.

Reads a line from standard input before each run, and ends with the input.
"""

import json
import sys
import time
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.db import connection
    from django.db.backends.signals import connection_created

    from webhooks.models import Attempt
    from webhooks.services import dispatch

    statements = 0

    def count(execute: Any, *rest: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(*rest)

    def watch(connection: Any, **_: Any) -> None:
        if count not in connection.execute_wrappers:  # it is told again each time a thread's connection is made anew
            connection.execute_wrappers.append(count)

    connection_created.connect(watch)
    print("ready", flush=True)
    for _ in sys.stdin:
        before = Attempt.objects.count()
        statements, started, cpu = 0, time.perf_counter(), time.process_time()
        dispatch.run_until_idle(idle_for=dispatch.IDLE_FOR)
        seconds, used = time.perf_counter() - started - dispatch.IDLE_FOR.total_seconds(), statements
        found = {
            "seconds": seconds,
            "ended_at": started + seconds,
            "cpu_s": time.process_time() - cpu,
            "statements": used,
            "attempts": Attempt.objects.count() - before,
        }
        print(json.dumps(found), flush=True)
        connection.close()


if __name__ == "__main__":
    main()
