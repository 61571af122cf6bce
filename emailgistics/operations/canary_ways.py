"""How a canary comes back: the ends of a webhook that the doctor can look at."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Protocol

from django.conf import settings

from apikeys.credentials import new_webhook_secret
from emailgistics.common.ids import encode_id
from emailgistics.operations.answering import why_no_http
from webhooks import guard, signing
from webhooks.models import Delivery, Event
from webhooks.services import pull

LOOPBACK = "127.0.0.1"
MAX_BODY_BYTES = 1024 * 1024
LENGTH = re.compile(r"[0-9]{1,9}")
PULLED_AT_ONCE = 20
BY = "the doctor"

Listen = tuple[str, int]


class Way(Protocol):
    """url is where the webhook leads; empty: nowhere, it is pulled. how says it to people."""

    url: str
    secret: str
    how: str

    def has_arrived(self, delivery: Delivery) -> bool:
        """Whether that delivery has come back, with a signature that verifies. Raises signing.SignatureError."""


@contextmanager
def open_way(*, url: str = "", listen: Listen | None = None) -> Iterator[Way]:
    """The most real one that there is here.

    A receiver of our own, at url if that is given, or on loopback if webhooks may go there; the built-in receiver of an
    embedded installation, which has that port; or a webhook that is pulled, which shows all but the dispatcher.
    Raises OSError if listen cannot be had.
    """
    if url:
        with _receiver(listen or (LOOPBACK, 0)) as receiver:
            receiver.url = url
            yield receiver
        return
    for port in _allowed_ports():
        try:
            opened = _Receiver((LOOPBACK, port))
        except OSError:  # somebody has it
            continue
        with opened.serving():
            yield opened
        return
    yield _BuiltIn() if _has_built_in() else _Pull()


@contextmanager
def _receiver(listen: Listen) -> Iterator["_Receiver"]:
    with (opened := _Receiver(listen)).serving():
        yield opened


def _allowed_ports() -> list[int]:
    """Of loopback, where webhooks may go by WEBHOOK_ALLOW_NETWORKS; 0 is any."""
    entries = guard.parse_allowed(tuple(settings.WEBHOOK_ALLOW_NETWORKS))
    return [entry.port or 0 for entry in entries if ip_address(LOOPBACK) in entry.network]


def _has_built_in() -> bool:
    is_there = settings.EMBEDDED and settings.SINK_SECRET and settings.SINK_PORT in _allowed_ports()
    return bool(is_there and not why_no_http(LOOPBACK, settings.SINK_PORT, "/"))


class _Receiver:
    """Answers 204 to what verifies, and 401 to what does not."""

    def __init__(self, listen: Listen) -> None:
        """Raises OSError."""
        self.secret = new_webhook_secret()
        self._verified: set[str] = set()
        self._error: signing.SignatureError | None = None
        receive = self._receive

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                # with an address of the outside anybody may ask, for what he likes
                body = self.rfile.read(min(int(length), MAX_BODY_BYTES)) if LENGTH.fullmatch(length) else b""
                self.send_response(receive(dict(self.headers.items()), body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the doctor says what there is to say."""

        self._server = ThreadingHTTPServer(listen, Handler)
        host, port = self._server.server_address[:2]
        self.url = f"http://{LOOPBACK}:{port}/"
        self.how = f"to a receiver of its own at {host!s}:{port}"

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def has_arrived(self, delivery: Delivery) -> bool:
        if self._error is not None:
            raise self._error
        return encode_id(Event.ID_PREFIX, delivery.event_id) in self._verified

    def _receive(self, headers: dict[str, str], body: bytes) -> int:
        try:
            signing.verify(headers, body, self.secret, now=int(time.time()))
        except signing.SignatureError as error:
            # with an address of the outside anybody may send something: only what claims to be ours says anything
            if any(name.lower() == "webhook-id" for name in headers):
                self._error = error
            return 401
        self._verified.add(next(value for name, value in headers.items() if name.lower() == "webhook-id"))
        return 204


class _BuiltIn:
    """The receiver that `up` runs beside an embedded installation: it answers 2xx to what verifies alone."""

    def __init__(self) -> None:
        self.url = f"http://{LOOPBACK}:{settings.SINK_PORT}/"
        self.secret = settings.SINK_SECRET
        self.how = f"to the built-in receiver at {LOOPBACK}:{settings.SINK_PORT}"

    def has_arrived(self, delivery: Delivery) -> bool:
        return delivery.state == Delivery.State.DELIVERED


class _Pull:
    url = ""
    how = (
        "by pulling, which shows nothing of the dispatcher: for that allow 127.0.0.0/8 in WEBHOOK_ALLOW_NETWORKS, or "
        "give --canary-url"
    )

    def __init__(self) -> None:
        self.secret = new_webhook_secret()

    def has_arrived(self, delivery: Delivery) -> bool:
        for pulled in pull.pull(delivery.webhook, after=0, limit=PULLED_AT_ONCE):
            if pulled.delivery_id == delivery.pk:
                signing.verify(pulled.headers, pulled.body.encode(), self.secret, now=int(time.time()))
                pull.acknowledge(delivery.webhook, [delivery.pk], by=BY)
                return True
        return False
