"""The built-in receiver: verifies what arrives as any receiver should, and shows it.

For trying things out and for tests; it listens on loopback and keeps a line for each request in a file.
"""

import asyncio
import contextlib
import hashlib
import json
import signal
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from aiohttp import web

from webhooks import signing

KEPT = 100  # shown on the page; the file has all
MAX_BODY_BYTES = 32 * 1024 * 1024

KNOWS = "This receiver knows one secret; start `manage.py webhook_sink` with --port and --secret-file for another."

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Webhook receiver</title>
<meta http-equiv="refresh" content="2"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1f2937}}
table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #e5e7eb}}
th{{font-weight:600}} .ok{{color:#047857}} .no{{color:#b91c1c}} code{{font-size:.85em;white-space:nowrap}}
td:first-child{{white-space:nowrap}}
@media (prefers-color-scheme:dark){{body{{background:#111827;color:#e5e7eb}}th,td{{border-color:#374151}}
.ok{{color:#34d399}}.no{{color:#f87171}}}}
</style></head><body>
<h1>Webhook receiver</h1>
<p>Signed webhooks sent here are verified and listed, newest first. {count} so far.</p>
<table><thead><tr><th>When (UTC)<th>Signature<th>Event<th>What<th>Attempt</tr></thead><tbody>{rows}</tbody></table>
{empty}</body></html>
"""


class Sink:
    """Answers 204 to what verifies and 401, with the reason, to what does not."""

    def __init__(self, *, secret: str, record: Path | None, say: Callable[[str], object]) -> None:
        self._secret = secret
        self._record = record
        self._say = say
        self._latest: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._count = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/", self.page)
        app.router.add_get("/received", self.received)
        app.router.add_post("/{path:.*}", self.receive)
        return app

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            signing.verify(request.headers, body, self._secret, now=int(time.time()))
            reason = ""
        except signing.SignatureError as error:
            reason = f"{error} {KNOWS}"
        entry = describe(request, body, reason=reason)
        # written down before the answer: what was answered 204 is in the file, whatever happens to this process
        self._remember(entry)
        if reason:
            return web.json_response({"error": reason}, status=401)
        return web.Response(status=204)

    async def received(self, _: web.Request) -> web.Response:
        return web.json_response({"data": list(self._latest)})

    async def page(self, _: web.Request) -> web.Response:
        rows = "".join(map(_row, reversed(self._latest)))
        empty = "" if rows else "<p>Nothing yet: send a mail.</p>"
        return web.Response(
            text=PAGE.format(rows=rows, count=self._count, empty=empty),
            content_type="text/html",
            headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"},
        )

    def _remember(self, entry: dict[str, Any]) -> None:
        self._count += 1
        self._latest.append(entry)
        if self._record is not None:
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        verdict = "verified" if entry["verified"] else f"REFUSED ({printable(entry['reason'])})"
        with contextlib.suppress(OSError):  # whoever read our output is gone; the webhook has arrived all the same
            self._say(
                f"{verdict} {printable(entry['type'])} {printable(entry['webhook_id'])} "
                f"attempt {printable(entry['attempt'])}: {printable(entry['summary'])}"
            )


def describe(request: web.Request, body: bytes, *, reason: str) -> dict[str, Any]:
    """One request as a line of the record. Nothing in it is trusted, verified or not."""
    try:
        payload = json.loads(body)
        kind, data = payload["type"], payload["data"]
        is_mail = "webhook" not in data
        what = {"type": kind, "email_id": data.get("id") if is_mail else None, "subject": data.get("subject", "")}
        summary = _of_an_email(data) if is_mail else _of_a_webhook(kind, data)
    except (ValueError, KeyError, TypeError, AttributeError):
        what, summary = {"type": "?", "email_id": None, "subject": ""}, f"{len(body)} octets that are no event"
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "verified": not reason,
        "reason": reason,
        "webhook_id": request.headers.get("webhook-id", ""),
        "attempt": request.headers.get("webhook-attempt", ""),
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "summary": summary,
        **what,
    }


def _of_an_email(data: dict[str, Any]) -> str:
    sender = (data.get("from") or {}).get("address") or data["envelope"].get("mail_from") or "<>"
    return f"“{data.get('subject', '')}” from {sender} to {', '.join(data['envelope']['rcpt_to'])}"


def _of_a_webhook(kind: str, data: dict[str, Any]) -> str:
    return f"{'a test' if kind == 'webhook.test' else 'about webhook'} {data['webhook']['id']}"


def printable(text: object) -> str:
    """Mail from anybody ends up on a terminal: controls are escaped, long text is cut."""
    flat = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return flat if len(flat) <= 200 else flat[:200] + "…"  # noqa: PLR2004


async def serve(sink: Sink, *, host: str, port: int, ready: Callable[[], object]) -> None:
    """Listens until SIGTERM or SIGINT. Raises OSError when the port is taken."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner = web.AppRunner(sink.app(), access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        ready()
        await stopped.wait()
    finally:
        await runner.cleanup()


def _row(entry: dict[str, Any]) -> str:
    verdict = '<td class="ok">verified' if entry["verified"] else f'<td class="no">{escape(entry["reason"])}'
    cells = (f"<code>{escape(entry['webhook_id'])}</code>", escape(entry["summary"]), escape(str(entry["attempt"])))
    return (
        f"<tr><td>{escape(entry['at'][:19].replace('T', ' '))}{verdict}"
        + "".join(f"<td>{cell}" for cell in cells)
        + "</tr>"
    )
