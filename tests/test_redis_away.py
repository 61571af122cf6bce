"""The broker only wakes: while it is gone mail is accepted as ever, and all of it is delivered once it is back."""

import statistics
import time

import pytest

from tests.installation import Installation, simple_mail

pytestmark = pytest.mark.on_postgres

AWAY_FOR_S = 8
DELIVERED_WITHIN_S = 15  # 5 where nothing else runs; whoever backs off while it is away comes back later than this


@pytest.mark.parametrize("how", ["stopped", "hanging"])
def test_mail_is_accepted_at_once_and_delivered_soon_after_the_return(installation: Installation, how: str) -> None:
    assert installation.redis is not None
    installation.send(simple_mail(f"Before {how}"))
    installation.wait_until_received({f"Before {how}"}, within_s=60)

    if how == "stopped":
        installation.redis.stop()
    else:
        installation.redis.hang()
    subjects, took = set(), []
    until = time.monotonic() + AWAY_FOR_S
    while time.monotonic() < until:
        subject = f"While {how} {len(subjects)}"
        started = time.monotonic()
        installation.send(simple_mail(subject))
        took.append(time.monotonic() - started)
        subjects.add(subject)
        time.sleep(0.1)
    if how == "stopped":
        installation.redis.start()
    else:
        installation.redis.go_on()

    assert installation.wait_until_received(subjects, within_s=60) < DELIVERED_WITHIN_S
    assert len(subjects) > AWAY_FOR_S
    assert statistics.median(took) < 0.3  # at once; the odd one may wait for its turn on a busy machine
