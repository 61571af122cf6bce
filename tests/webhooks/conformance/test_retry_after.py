"""What a receiver may say about when to come back, and what is made of it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.webhooks.answers import by_host, raw, receiver
from tests.webhooks.conformance.engine import DELIVERED, FAILED, deliver_to_modes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

BASE_S = 5
BUSY_S = 60
MOST_S = 12 * 3600
IN_AN_HOUR = b"<in an hour>"

# (status, header lines, seconds that it waits, without the jitter)
HINTS: list[tuple[int, bytes, int]] = [
    (500, b"", BASE_S),
    (500, b"Retry-After: 7\r\n", 7),
    (500, b"retry-after:120\r\n", 120),
    (500, b"Retry-After:  \t 30 \t \r\n", 30),
    (500, b"Retry-After: 0030\r\n", 30),
    (500, b"Retry-After: 0\r\n", BASE_S),
    (500, b"Retry-After: 3\r\n", BASE_S),
    (500, b"Retry-After: -120\r\n", BASE_S),
    (500, b"Retry-After: +120\r\n", BASE_S),
    (500, b"Retry-After: 120.5\r\n", BASE_S),
    (500, b"Retry-After: 1e3\r\n", BASE_S),
    (500, b"Retry-After: 120 seconds\r\n", BASE_S),
    (500, b"Retry-After: 120, 240\r\n", BASE_S),
    (500, b"Retry-After: 120\r\nRetry-After: 240\r\n", 120),
    (500, b"Retry-After:\r\n", BASE_S),
    (500, b"Retry-After: soon\r\n", BASE_S),
    (500, b"Retry-After: \xe9\xff\r\n", BASE_S),
    (500, "Retry-After: \u0661\u0662\u0660\r\n".encode(), BASE_S),
    (500, b"Retry-After: 43200\r\n", MOST_S),
    (500, b"Retry-After: 43201\r\n", MOST_S),
    (500, b"Retry-After: 999999999999999999999999\r\n", MOST_S),
    (500, b"Retry-After: " + b"9" * 5000 + b"\r\n", MOST_S),
    (500, b"Retry-After: " + IN_AN_HOUR + b"\r\n", 3600),
    (500, b"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", BASE_S),
    (500, b"Retry-After: Thu, 31 Dec 2099 23:59:59 GMT\r\n", MOST_S),
    (500, b"Retry-After: Thursday, 31-Dec-99 23:59:59 GMT\r\n", BASE_S),
    (500, b"Retry-After: Thu Dec 31 23:59:59 2099\r\n", MOST_S),
    (500, b"Retry-After: Fri, 31 Dec 9999 23:59:59 -2359\r\n", MOST_S),
    (500, b"Retry-After: Fri, 99 Foo 2099 99:99:99 GMT\r\n", BASE_S),
    (500, b"Retry-After: 2099-12-31T23:59:59Z\r\n", BASE_S),
    (404, b"Retry-After: 120\r\n", 120),
    (301, b"Retry-After: 120\r\n", 120),
    (429, b"", BUSY_S),
    (429, b"Retry-After: 10\r\n", BUSY_S),
    (429, b"Retry-After: 120\r\n", 120),
    (429, b"Retry-After: soon\r\n", BUSY_S),
    (503, b"", BUSY_S),
    (503, b"Retry-After: 0\r\n", BUSY_S),
    (503, b"Retry-After: " + IN_AN_HOUR + b"\r\n", 3600),
    (503, b"Retry-After: Thu, 31 Dec 2099 23:59:59 GMT\r\n", MOST_S),
]
JITTER_SHARE, MIN_JITTER_S, MAX_JITTER_S = 0.1, 1, 900
SLACK_S = 20  # of the clock's progress, where the hint is a date


def test_each_hint_lengthens_the_wait_as_far_as_it_may() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True).encode()
    modes = {
        f"h{number}": raw(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n%b\r\n" % (status, lines.replace(IN_AN_HOUR, soon)))
        for number, (status, lines, _) in enumerate(HINTS)
    }
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes)
    wrong = []
    for (status, lines, wait_s), outcome in zip(HINTS, outcomes.values(), strict=True):
        assert outcome.brief == (FAILED, status, "")
        waits_s = outcome.waits.total_seconds()
        earliest = wait_s - (SLACK_S if IN_AN_HOUR in lines else 0.01)
        latest = wait_s + min(max(wait_s * JITTER_SHARE, MIN_JITTER_S), MAX_JITTER_S) + 0.01
        if not earliest <= waits_s <= latest:
            wrong.append((status, lines, wait_s, waits_s))
    assert wrong == []


def test_a_success_is_one_whatever_it_says_about_coming_back() -> None:
    modes = {"done": raw(b"HTTP/1.1 202 Yes\r\nContent-Length: 0\r\nRetry-After: 120\r\n\r\n")}
    with receiver(by_host(modes)) as there:
        assert deliver_to_modes(there, modes)["done"].brief == (DELIVERED, 202, "")
