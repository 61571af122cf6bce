"""What integrators write down from the documentation, run against a real installation: only the address of the API, the
key and the ids are other ones.

The Node.js sample runs on axios itself, in its build for browsers, which needs no other package and sends with fetch.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import environment
from tests.installation import Installation, free_ports, send_octets, simple_mail

SAMPLES = Path(__file__).resolve().parent / "samples"
PACKAGES = Path(__file__).resolve().parent / "vendor" / "npm"
DOMAIN = "samples.example"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One whose webhooks may go to any port of this machine, with a domain for the samples."""
    with Installation(
        tmp_path_factory.mktemp("samples"), on_postgres=environment.ON_POSTGRES, is_migrated=True
    ) as running:
        running.env["WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.1/32"
        running.start()
        running.manage("domains", "create", DOMAIN)
        yield running


@pytest.fixture(scope="module")
def domain_id(installation: Installation) -> str:
    found: str = installation.manage("domains", "show", DOMAIN)["id"]
    return found


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        assert os.environ.get("REQUIRE_SERVICES") != "1", f"{name} is needed here"
        pytest.skip(f"{name} is not installed")
    return path


def api_of(installation: Installation) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "API_URL": f"http://127.0.0.1:{installation.http_port}/v1",
        "API_KEY": installation.key,
    }


def run(installation: Installation, *command: str, **env: str) -> Any:
    """The JSON that a sample prints."""
    environ = api_of(installation) | env
    done = subprocess.run(command, cwd=SAMPLES, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def curl(installation: Installation, method: str, *arguments: str) -> Any:
    tool("curl")
    return run(installation, "sh", f"curl_{method}.sh", *arguments)


def spoken(installation: Installation, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
    """Status and JSON of a request as it is written down: nothing is added but Host and the length."""
    connection = http.client.HTTPConnection("127.0.0.1", installation.http_port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body.encode() or None, named)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_python_lists_the_domains(installation: Installation) -> None:
    printed = run(installation, sys.executable, "list_domains.py")
    assert printed["status"] == 200
    names = [domain["name"] for domain in printed["body"]["data"]]
    assert DOMAIN in names
    assert printed["body"]["pagination"]["total"] == len(names)


def test_http_lists_the_domains(installation: Installation) -> None:
    status, answer = spoken(installation, "GET", "/v1/domains", Authorization=f"Bearer {installation.key}")
    assert status == 200
    assert DOMAIN in [domain["name"] for domain in answer["data"]]


def test_curl_lists_the_domains(installation: Installation) -> None:
    assert DOMAIN in [domain["name"] for domain in curl(installation, "get", "/domains")["data"]]


def test_n8n_lists_the_domains_with_its_own_header(installation: Installation) -> None:
    """Its credentials are a header of this name, and it sends no Content-Type with a GET."""
    for name in ("X_API_KEY", "x_api_key"):
        status, answer = spoken(installation, "GET", "/v1/domains", **{name: installation.key})
        assert status == 200
        assert DOMAIN in [domain["name"] for domain in answer["data"]]
    status, answer = spoken(installation, "GET", "/v1/domains", X_API_KEY=installation.key + "x")
    assert (status, answer["code"]) == (401, "malformed_key")


def test_http_creates_an_alias(installation: Installation, domain_id: str) -> None:
    body = f'{{\n"domain_id": "{domain_id}",\n"name": "support",\n"description": "Support ticket intake"\n}}'
    headers = {"Authorization": f"Bearer {installation.key}", "Content_Type": "application/json"}
    status, made = spoken(installation, "POST", "/v1/aliases", body, **headers)
    assert status == 201
    assert made["id"].startswith("alias_")
    assert (made["address"], made["domain_id"], made["description"]) == (
        f"support@{DOMAIN}", domain_id, "Support ticket intake",
    )  # fmt: skip
    assert made["mailbox_id"] == installation.manage("domains", "show", DOMAIN)["default_mailbox_id"]
    assert spoken(installation, "GET", f"/v1/aliases/{made['id']}", **headers) == (200, made)
    status, answer = spoken(installation, "POST", "/v1/aliases", body, **headers)
    assert (status, answer["code"]) == (409, "address_unavailable")


def test_node_creates_an_alias(installation: Installation, domain_id: str) -> None:
    command = (tool("node"), "--conditions=browser", "create_alias.js")
    made = run(installation, *command, domain_id, "billing", NODE_PATH=str(PACKAGES))["alias"]
    assert (made["address"], made["domain_id"], made["active"]) == (f"billing@{DOMAIN}", domain_id, True)
    installation.send(simple_mail("To the alias that Node made"), to=f"billing@{DOMAIN}")
    refused = run(installation, *command, "dom_123", "billing", NODE_PATH=str(PACKAGES))
    assert (refused["status"], refused["body"]["code"]) == (404, "not_found")


def test_http_configures_a_webhook(installation: Installation, domain_id: str) -> None:
    alias = curl(installation, "post", "/aliases", json.dumps({"domain_id": domain_id, "name": "configured"}))
    body = (
        f'{{\n"alias_id": "{alias["id"]}",\n"url": "https://your-app.com/webhook",\n'
        '"headers": {\n"X-Custom-Header": "value"\n}\n}'
    )
    headers = {"Authorization": f"Bearer {installation.key}", "Content_Type": "application/json"}
    status, made = spoken(installation, "POST", "/v1/webhooks", body, **headers)
    assert status == 201
    assert (made["alias_id"], made["url"], made["state"]) == (alias["id"], "https://your-app.com/webhook", "active")


def test_curl_reads_statistics(installation: Installation, domain_id: str) -> None:
    installation.send(simple_mail("To be counted"), to=f"inbox@{DOMAIN}")
    found = curl(installation, "get", "/statistics")
    assert found["totals"]["received"] >= 1
    assert found["interval"] == "day"
    assert sum(row["received"] for row in found["data"]) == found["totals"]["received"]


def test_http_sends_a_batch_without_a_content_type(installation: Installation, domain_id: str) -> None:
    alias = curl(installation, "post", "/aliases", json.dumps({"domain_id": domain_id, "name": "to-be-changed"}))
    create = {"action": "create", "data": {"domain_id": domain_id, "name": "made-in-a-batch"}}
    update = {"action": "update", "data": {"id": alias["id"], "description": "Changed in a batch"}}
    body = json.dumps({"operations": [create, update]}, indent=2)
    status, answer = spoken(installation, "POST", "/v1/aliases/batch", body, Authorization=f"Bearer {installation.key}")
    assert status == 200
    assert [(result["index"], result["status"]) for result in answer["results"]] == [(0, 201), (1, 200)]
    made, changed = (result["data"] for result in answer["results"])
    assert made["address"] == f"made-in-a-batch@{DOMAIN}"
    assert changed == alias | {"description": "Changed in a batch"}
    assert curl(installation, "get", f"/aliases/{alias['id']}") == changed
    body = json.dumps({"operations": [create]})
    status, answer = spoken(installation, "POST", "/v1/aliases/batch", body, Authorization=f"Bearer {installation.key}")
    assert (status, answer["results"][0]["error"]["code"]) == (207, "address_unavailable")


def test_the_headers_that_say_what_is_left_are_numbers(installation: Installation) -> None:
    printed = run(installation, sys.executable, "list_domains.py")
    told = {name: int(value) for name, value in printed["limits"].items()}
    assert 0 < told["Remaining"] < told["Limit"] == curl(installation, "get", "/me")["limits"]["hour"]
    assert 0 < told["Reset"] - time.time() <= 3601


def test_a_webhook_is_made_and_its_delivery_verified_by_the_documented_function(
    installation: Installation, domain_id: str
) -> None:
    node = tool("node")
    alias = curl(installation, "post", "/aliases", json.dumps({"domain_id": domain_id, "name": "orders"}))
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/webhook"
    asked = {"alias_id": alias["id"], "url": url, "headers": {"X-Custom-Header": "value"}}
    webhook = curl(installation, "post", "/webhooks", json.dumps(asked))
    assert (webhook["alias_id"], webhook["url"]) == (alias["id"], url)
    assert list(webhook["headers"]) == ["X-Custom-Header"]
    assert webhook["secret"].startswith("whsec_")
    read = curl(installation, "get", f"/webhooks/{webhook['id']}")
    assert "secret" not in read
    assert "value" not in read["headers"].values()

    with receiver(node, port=port, secret=webhook["secret"]) as lines:
        installation.send(simple_mail("Über den Webhook: 1 Bestellung"), to=f"orders@{DOMAIN}")
        assert json.loads(next(lines)) == {
            "verified": True,
            "type": "email.received",
            "custom": "value",
            "subject": "Über den Webhook: 1 Bestellung",
            "alias": alias["id"],
        }
    with receiver(node, port=port, secret=webhook["secret"] + "x") as lines:
        installation.send(simple_mail("With another secret"), to=f"orders@{DOMAIN}")
        assert json.loads(next(lines))["verified"] is False


@contextmanager
def receiver(node: str, *, port: int, secret: str) -> Iterator[Iterator[str]]:
    """The lines that the sample receiver prints once it listens."""
    environ = {"PATH": os.environ["PATH"], "PORT": str(port), "SECRET": secret}
    with subprocess.Popen(
        [node, "receiver.js"], cwd=SAMPLES, env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{port}\n"
            yield iter(process.stdout)
        finally:
            process.kill()


def test_the_email_log_by_alias_and_by_page(installation: Installation, domain_id: str) -> None:
    alias = curl(installation, "post", "/aliases", json.dumps({"domain_id": domain_id, "name": "log"}))
    with installation.smtp() as client:
        for number in range(103):
            send_octets(client, simple_mail(f"Logged {number}"), to=[f"log@{DOMAIN}"])
    logged = curl(installation, "get", f"/emails?alias_id={alias['id']}")
    assert logged["pagination"]["total"] == 103
    assert {recipient["alias_id"] for email in logged["data"] for recipient in email["recipients"]} == {alias["id"]}

    first = curl(installation, "get", "/emails?page=1&limit=100")
    second = curl(installation, "get", "/emails?page=2&limit=100")
    assert (second["pagination"]["page"], second["pagination"]["limit"]) == (2, 100)
    assert len(first["data"]) == 100
    assert len(second["data"]) == second["pagination"]["total"] - 100 >= 3
    assert not {email["id"] for email in first["data"]} & {email["id"] for email in second["data"]}
    status, answer = spoken(
        installation, "GET", "/v1/emails?alias_id=alias_456", Authorization=f"Bearer {installation.key}"
    )
    assert (status, answer["code"]) == (404, "not_found")
