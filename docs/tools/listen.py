#!/usr/bin/env python3
"""Passes a webhook's deliveries on to a program of yours on this machine, by pulling them.

    EMAILGISTICS_API_KEY=emgk_… python3 listen.py https://mail.example.com wh_… http://127.0.0.1:3000/hook

For trying things out, and for receivers that nothing can reach from outside. The same octets are posted with the same
signed headers as if they had been sent, and acknowledged once the program has answered with a 2xx, several in one
call; what it refuses comes again. The key needs webhooks:write and emails:content. It is read from the environment,
because arguments are seen by every user of a machine.

Needs Python 3.11 and nothing else. Ends with Ctrl-C or SIGTERM, after the request in hand.
"""

import argparse
import email.utils
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from typing import Any, TextIO

PULL_AT_ONCE = 100  # as many as are acknowledged in one call
ACKNOWLEDGE_WITHIN_S = 2.0  # so that little comes twice, whatever ends this program
LOOK_AFTER_S = (1.0, 5.0, 10.0)  # while nothing comes, the last again and again: a key has so many calls an hour
TIMEOUT_S = 30
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
LONGEST_HINT_S = 3600.0  # of Retry-After
OK, MULTIPLE_CHOICES, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 300, 401, 403, 404
TOO_MANY_REQUESTS, UNAVAILABLE = 429, 503
LONGEST_TEXT = 200

stopped = threading.Event()


class RefusedError(Exception):
    """The API will not answer otherwise, however often it is asked."""


class LaterError(OSError):
    """The API asks to be left alone for so many seconds."""

    def __init__(self, text: str, after_s: float) -> None:
        super().__init__(text)
        self.after_s = after_s


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key goes to the address that was given, and the mail to the program that was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


api = urllib.request.build_opener(NoRedirects)
local = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))  # no proxy reads what mails say


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="The API key is read from EMAILGISTICS_API_KEY. It needs the scopes webhooks:write and emails:content.",
    )
    parser.add_argument("server", help="the address of Emailgistics, such as https://mail.example.com")
    parser.add_argument("webhook", help="the id of the webhook: wh_…")
    parser.add_argument("target", help="where to post what comes, such as http://127.0.0.1:3000/hook")
    given = parser.parse_args(arguments)
    key = os.environ.get("EMAILGISTICS_API_KEY", "").strip()
    if not key:
        say("put an API key into the environment variable EMAILGISTICS_API_KEY", to=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    base = f"{given.server.rstrip('/')}/v1/webhooks/{urllib.parse.quote(given.webhook, safe='')}"
    try:
        listen(base, key, given.target)
    except RefusedError as error:
        say(error, to=sys.stderr)
        return 1
    say("stopped")
    return 0


def listen(base: str, key: str, target: str) -> None:
    """Until it is stopped. Raises RefusedError."""
    say(f"passing what comes on to {target}")
    pause, idle = FIRST_PAUSE_S, 0
    while not stopped.is_set():
        hint = 0.0
        try:
            came, refused = pass_on(base, key, target)
        except (OSError, ValueError, http.client.HTTPException) as error:
            came, refused, hint = 0, 1, getattr(error, "after_s", 0.0)
            say(f"trouble: {error}")
        if refused:
            stopped.wait(max(pause, hint))
            pause = min(2 * pause, LONGEST_PAUSE_S)
        else:
            idle = 0 if came else idle
            stopped.wait(LOOK_AFTER_S[min(idle, len(LOOK_AFTER_S) - 1)])
            pause, idle = FIRST_PAUSE_S, idle + 1


def pass_on(base: str, key: str, target: str) -> tuple[int, int]:
    """Once through all that waits: how many there were, and how many were not taken. Raises OSError, RefusedError."""
    came = refused = after = 0
    while not stopped.is_set():
        waiting = call(f"{base}/pull?after={after}&limit={PULL_AT_ONCE}", key)["data"]
        if not waiting:
            break
        taken: list[str] = []
        since = time.monotonic()
        try:
            for delivery in waiting:
                if stopped.is_set():
                    break
                came, after = came + 1, delivery["position"]
                if post(target, delivery):
                    taken.append(delivery["delivery_id"])
                else:
                    refused += 1
                if time.monotonic() - since >= ACKNOWLEDGE_WITHIN_S:
                    acknowledge(base, key, taken)
                    since = time.monotonic()
        finally:
            acknowledge(base, key, taken)
    return came, refused


def acknowledge(base: str, key: str, taken: list[str]) -> None:
    """Empties taken: what cannot be acknowledged comes again."""
    ids = taken[:]
    taken.clear()
    if ids:
        call(f"{base}/ack", key, {"ids": ids})


def post(target: str, delivery: dict[str, Any]) -> bool:
    """Whether the program took it. One line either way."""
    # what urllib sets itself is about this connection
    headers = {name: value for name, value in delivery["headers"].items() if name != "accept-encoding"}
    request = urllib.request.Request(target, delivery["body"].encode(), headers, method="POST")  # noqa: S310 - theirs
    began = time.monotonic()
    try:
        with local.open(request, timeout=TIMEOUT_S) as answer:
            result, is_taken = str(answer.status), OK <= answer.status < MULTIPLE_CHOICES
    except urllib.error.HTTPError as error:
        result, is_taken = f"{error.code} {error.reason}", False
    except (OSError, http.client.HTTPException) as error:
        result, is_taken = str(getattr(error, "reason", error)), False
    took = round((time.monotonic() - began) * 1000)
    say(f"{delivery['event_type']} {delivery['event_id']} -> {result} ({took} ms)")
    return is_taken


def call(url: str, key: str, body: Any = None) -> Any:
    """What the API answers. Raises OSError for what may pass, RefusedError for what will not."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())  # noqa: S310 - theirs
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    try:
        with api.open(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        detail = detail_of(error)
        if error.code in (UNAUTHORIZED, FORBIDDEN) or (error.code == NOT_FOUND and body is None):
            raise RefusedError(f"{error.code}: {detail}") from error
        text = f"the API answered {error.code}: {detail}"
        if error.code in (TOO_MANY_REQUESTS, UNAVAILABLE):
            raise LaterError(text, seconds_of(error.headers.get("Retry-After", ""))) from error
        raise OSError(text) from error


def seconds_of(retry_after: str) -> float:
    """Of seconds or of a date (RFC 9110 section 10.2.3), at most LONGEST_HINT_S; 0 for what is neither."""
    try:
        seconds = float(int(retry_after))
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            seconds = 0.0
    return max(0.0, min(seconds, LONGEST_HINT_S))


def detail_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (OSError, ValueError, LookupError, TypeError):
        return str(error.reason)


def say(text: object, *, to: TextIO = sys.stdout) -> None:
    print(f"{time.strftime('%H:%M:%S')} {printable(text)}", file=to, flush=True)


def printable(text: object) -> str:
    """On one line, without anything that a terminal would obey."""
    flat: Iterable[str] = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return "".join(flat)[:LONGEST_TEXT]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
