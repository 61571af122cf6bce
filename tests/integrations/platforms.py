"""The integrations of docs/integrations with what stands around them: their platform's runtime, and its receiver."""

import http.client
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from apikeys.presets import BY_SLUG
from tests.installation import SAMPLE_ALIAS, Installation, wait_for
from tests.shell import ROOT

INTEGRATIONS = ROOT / "docs" / "integrations"
PROGRAMS = Path(__file__).parent / "programs"
STAND_INS = Path(__file__).parent / "stand_ins"

JsonObject = dict[str, Any]


class PlatformError(Exception):
    """What the platform shows a person. `told` has its parts."""

    def __init__(self, told: JsonObject) -> None:
        super().__init__(told["message"], told.get("stack"))
        self.told = told


def node() -> str:
    """The path of Node.js."""
    path = shutil.which("node")
    if path is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", "node is needed here"
        pytest.skip("Node.js is not installed")
    return path


def run_program(name: str, asked: JsonObject) -> JsonObject:
    """What a program prints that is given `asked`. Raises PlatformError."""
    environ = {"PATH": os.environ["PATH"], "NODE_PATH": str(STAND_INS)}
    done = subprocess.run(
        [node(), str(PROGRAMS / name)],
        input=json.dumps(asked), env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: JsonObject = json.loads(done.stdout)
    if "error" in told:
        raise PlatformError(told["error"])
    return told


def ask(
    installation: Installation,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and JSON (None for none) of a request to the API, with the sample's key unless headers have another."""
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=60)
    try:
        sent = {"Authorization": f"Bearer {installation.key}", **(headers or {})}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


def webhooks_at(installation: Installation, url: str) -> list[JsonObject]:
    """All that are not deleted."""
    listed = installation.get_json("/v1/webhooks?limit=100")
    return [webhook for webhook in listed["data"] if webhook["url"] == url]


def replay(installation: Installation, email_id: str) -> None:
    """All its deliveries are made again: of none is it still unknown that it arrived."""
    of_it = f"/v1/emails/{email_id}/deliveries"

    def have_ended() -> bool:
        return all(one["state"] != "pending" for one in installation.get_json(of_it)["data"])

    wait_for(have_ended, within_s=60, what="the end of its deliveries")
    status, answer = ask(installation, "POST", f"/v1/emails/{email_id}/replay")
    assert (status, answer["replayed"] >= 1) == (200, True)


def wait_until_processed(installation: Installation, email_id: str) -> None:
    path = f"/v1/emails/{email_id}"
    wait_for(lambda: installation.get_json(path)["status"] == "processed", within_s=60, what="the email")


def hand_in(installation: Installation, raw: bytes) -> None:
    """To the sample's alias; until it is opened, and can be found."""
    path = f"/v1/emails?recipient={SAMPLE_ALIAS}&mail_from=ada@example.net"
    status, answer = ask(installation, "POST", path, raw, headers={"Content-Type": "message/rfc822"})
    assert status == 201, answer
    wait_until_processed(installation, answer["emails"][0]["id"])


@dataclass(frozen=True, slots=True)
class MakesKey:
    """A key with the scopes of a preset, which are to be enough; but for one where that is what a test is about."""

    installation: Installation

    def __call__(self, preset: str, *, without: str = "", also: str = "") -> str:
        scopes = sorted({str(scope) for scope in BY_SLUG[preset].scopes} - {without} | {also} - {""})
        arguments = [part for scope in scopes for part in ("--scope", scope)]
        made = self.installation.manage(
            "apikeys", "create", "--name", preset, "--expires", "1d", "--all-mailboxes", *arguments
        )
        key: str = made["key"]
        return key


@dataclass(slots=True)
class Request:
    """One that a receiver got."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> JsonObject:
        event: JsonObject = json.loads(self.body)
        return event

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]


def forged(request: Request) -> Request:
    """As somebody would send it who has no secret."""
    return Request(request.headers, request.body.replace(b'"subject":"', b'"subject":"Really: '))


@dataclass(slots=True)
class Receiver:
    """Where a platform is told of mail. It takes everything."""

    url: str
    requests: list[Request] = field(default_factory=list)

    def wait_for(self, count: int) -> list[Request]:
        wait_for(lambda: len(self.requests) >= count, within_s=60, what=f"{count} requests")
        return list(self.requests)


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            there.requests.append(Request({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    there = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True)
class N8n:
    """A workflow of n8n, with what n8n saves of it."""

    installation: Installation
    key: str
    url: str = ""  # of the trigger
    parameters: JsonObject = field(default_factory=dict)
    static_data: JsonObject = field(default_factory=dict)

    def do(self, step: str, *, node: str = "EmailgisticsTrigger", **asked: Any) -> JsonObject:
        credentials = {"baseUrl": f"http://127.0.0.1:{self.installation.http_port}/", "apiKey": self.key}
        known = {
            "credentials": credentials, "url": self.url, "parameters": self.parameters, "staticData": self.static_data,
        }  # fmt: skip
        told = run_program(
            "n8n.cjs", {"folder": str(INTEGRATIONS / "n8n"), "node": node, "step": step, "asked": known | asked}
        )
        self.static_data = told["staticData"]
        return told

    def execute(self, resource: str, operation: str, **parameters: Any) -> list[JsonObject]:
        """The items that the actions node makes of one."""
        asked = {"resource": resource, "operation": operation, **parameters}
        items: list[JsonObject] = self.do("execute", node="Emailgistics", parameters=asked)["result"][0]
        return items

    def activate(self) -> bool:
        """Whether a webhook had to be made, as n8n asks when a workflow is switched on."""
        is_there: bool = self.do("checkExists")["result"]
        if not is_there:
            assert self.do("create")["result"] is True
        return not is_there

    def deactivate(self) -> None:
        assert self.do("delete")["result"] is True

    def receive(self, request: Request) -> JsonObject:
        return self.do("webhook", request={"headers": request.headers, "body": request.body.hex()})

    def items(self, request: Request) -> list[JsonObject]:
        """What the workflow is started with."""
        started = self.receive(request)["result"].get("workflowData", [[]])
        return [item["json"] for item in started[0]]


@dataclass(slots=True)
class Zap:
    """A Zap, with what Zapier keeps of it."""

    installation: Installation
    key: str
    url: str = ""
    input_data: JsonObject = field(default_factory=dict)
    subscribe_data: JsonObject = field(default_factory=dict)

    def do(self, *path: str, bundles: list[JsonObject] | None = None) -> list[Any]:
        """What the function at that place of the app gives for each bundle."""
        known = {
            "authData": {"base_url": f"http://127.0.0.1:{self.installation.http_port}/", "api_key": self.key},
            "inputData": self.input_data,
            "targetUrl": self.url,
            "subscribeData": self.subscribe_data,
            "meta": {},
        }
        folder = str(INTEGRATIONS / "zapier")
        asked = {"folder": folder, "path": path, "bundles": [known | one for one in bundles or [{}]]}
        results: list[Any] = run_program("zapier.cjs", asked)["results"]
        return results

    def trigger(self, function: str, bundles: list[JsonObject] | None = None) -> list[Any]:
        return self.do("triggers", "new_email", "operation", function, bundles=bundles)

    def turn_on(self) -> None:
        (self.subscribe_data,) = self.trigger("performSubscribe")

    def turn_off(self) -> None:
        self.trigger("performUnsubscribe")

    def items(self, *requests: Request) -> list[list[JsonObject]]:
        """What each of them starts, one after the other."""
        return self.trigger("perform", [{"rawRequest": raw_request(request)} for request in requests])


def raw_request(request: Request) -> Mapping[str, Any]:
    """As Zapier has it: `webhook-id` is `Http-Webhook-Id`."""
    headers = {f"Http-{name.title()}": value for name, value in request.headers.items()}
    return {"method": "POST", "querystring": "", "headers": headers, "content": request.body.decode()}
