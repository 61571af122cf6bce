"""What each status means for a delivery: the contract, the same on both databases."""

from datetime import timedelta

import pytest

from tests.webhooks.answers import Mode, by_host, in_pieces, raw, receiver
from tests.webhooks.conformance.engine import DELIVERED, FAILED, deliver_to_modes
from webhooks import retry
from webhooks.models import Webhook

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

MORE_THAN_A_STATUS = (410, 413)  # see test_consequences


def answering(status: int) -> Mode:
    return raw(f"HTTP/1.1 {status} Said\r\nContent-Length: 4\r\n\r\nsaid".encode())


def test_every_status_from_200_to_599_has_its_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "DELAYS", (timedelta(hours=1),) * len(retry.DELAYS))  # not while the others still go out
    statuses = [status for status in range(200, 600) if status not in MORE_THAN_A_STATUS]
    modes = {f"s{status}": answering(status) for status in statuses}
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes, total_s=15)
        assert len(there.received) == len(statuses)
    assert {name: outcome.brief for name, outcome in outcomes.items()} == {
        f"s{status}": (DELIVERED if 200 <= status < 300 else FAILED, status, "") for status in statuses
    }
    # of an answer that can have no body, what follows it is no part
    silent = {name for name, outcome in outcomes.items() if bytes(outcome.attempt.response_excerpt) != b"said"}
    assert silent == {"s204", "s304"}
    assert not Webhook.objects.exclude(state=Webhook.State.ACTIVE).exists()


@pytest.mark.parametrize("location", ["", "Location: http://127.0.0.1:9/new?token=secret\r\n"])
def test_no_redirect_is_followed_and_the_hint_says_what_to_do(location: str) -> None:
    modes = {
        f"r{status}": raw(f"HTTP/1.1 {status} Moved\r\n{location}Content-Length: 0\r\n\r\n".encode())
        for status in (300, 301, 302, 303, 304, 305, 306, 307, 308)
    }
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes)
        assert len(there.received) == len(modes)
    for name, outcome in outcomes.items():
        answered = f"The receiver answered {name[1:]}."
        hint = " Redirects are not followed: update the webhook's URL"
        assert outcome.attempt.detail == answered + hint + ("; it leads to http://127.0.0.1:9" if location else ".")
        assert outcome.delivery.reason == outcome.attempt.detail


ODD = {
    "000": "HTTP/1.1 000 Odd",
    "099": "HTTP/1.1 099 Odd",
    "600": "HTTP/1.1 600 Odd",
    "999": "HTTP/1.1 999 Odd",
    "1000": "HTTP/1.1 1000 Odd",
    "20": "HTTP/1.1 20 Odd",
    "-200": "HTTP/1.1 -200 Odd",
    "+200": "HTTP/1.1 +200 Odd",
    "2e2": "HTTP/1.1 2e2 Odd",
    "0x0c8": "HTTP/1.1 0c8 Odd",
    "none": "HTTP/1.1 OK",
    "of other digits": "HTTP/1.1 \u0662\u0660\u0660 OK",
}


def test_a_number_that_is_no_status_is_never_a_success() -> None:
    modes = {f"o{n}": raw(f"{line}\r\nContent-Length: 0\r\n\r\n".encode()) for n, line in enumerate(ODD.values())}
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes, total_s=1)
    said = dict(zip(ODD, (outcome.brief for outcome in outcomes.values()), strict=True))
    assert {name: state for name, (state, _, _) in said.items()} == dict.fromkeys(ODD, FAILED)
    assert {name: status for name, (_, status, _) in said.items() if status is not None} == {
        "000": 0,
        "099": 99,
        "600": 600,
        "999": 999,
    }


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERIM = {
    "one-100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "one-102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "hints-103": b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n",
    "one-199": b"HTTP/1.1 199 Odd\r\n\r\n",
    "many-100": b"HTTP/1.1 100 Continue\r\n\r\n" * 500,
    "all": b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\n" * 50,
}


def test_interim_answers_are_passed_over() -> None:
    modes = {name: raw(before + OK) for name, before in INTERIM.items()}
    modes |= {f"{name}-slowly": in_pieces(before, OK) for name, before in INTERIM.items()}
    with receiver(by_host(modes)) as there:
        outcomes = deliver_to_modes(there, modes)
        assert len(there.received) == len(modes)
    assert {name: outcome.brief for name, outcome in outcomes.items()} == dict.fromkeys(modes, (DELIVERED, 200, ""))
    assert {bytes(outcome.attempt.response_excerpt) for outcome in outcomes.values()} == {b"ok"}
