"""One process that removes mail: `python -m benchmarks.rig.removal prune`, or `erase ADDRESS`. Prints JSON."""

import json
import statistics
import sys
import time
from typing import Any

import django


def main(what: str, *arguments: str) -> None:
    django.setup()
    from webhooks.services import erase
    from webhooks.services.prune import prune_mail

    begun = time.perf_counter()
    if what == "prune":
        done, _ = prune_mail(for_at_most=None)
        count, batches = done.total, done.batches_s
    else:
        took: list[float] = []
        erase_one = erase._erase_if_there  # noqa: SLF001 - each is a transaction

        def timed(*args: Any, **options: Any) -> erase.Erased:
            at = time.perf_counter()
            erased = erase_one(*args, **options)
            took.append(time.perf_counter() - at)
            return erased

        erase._erase_if_there = timed  # noqa: SLF001 - as above
        count, batches = len(erase.erase_address(arguments[0], by="benchmark").emails), took
    seconds = time.perf_counter() - begun
    found = {
        "emails": count,
        "seconds": round(seconds, 1),
        "emails_per_s": round(count / seconds),
        "transactions": len(batches),
        "transaction_ms_median": round(statistics.median(batches or [0]) * 1000, 1),
        "transaction_ms_longest": round(max(batches, default=0) * 1000, 1),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
