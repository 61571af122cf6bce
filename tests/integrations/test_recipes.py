"""Each recipe, call by call as it is written, against a running installation."""

import http.client
import importlib.util
import json
from types import ModuleType
from typing import Any

import pytest

from tests.installation import Installation
from tests.integrations import recipes
from tests.integrations.platforms import MakesKey, Receiver
from tests.shell import ROOT

SIX = ["make-approvals", "make-invoices", "make-leads", "zapier-crm", "zapier-google-sheets", "zapier-slack"]


def verify_helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify", ROOT / "docs" / "verify" / "verify.py")
    assert spec is not None
    assert spec.loader is not None
    helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    return helper


def test_every_recipe_is_here_and_in_the_list() -> None:
    assert recipes.NAMES == SIX
    listed = (recipes.FOLDER / "README.md").read_text()
    assert all(f"({name}.md)" in listed for name in SIX)


@pytest.mark.parametrize("name", SIX)
def test_what_a_recipe_maps_is_in_an_event(installation: Installation, name: str) -> None:
    event = installation.get_json("/v1/webhooks/sample?event=email.received")
    event["data"]["reply_to"] = [event["data"]["from"]]  # the sample has none
    fields = recipes.fields_of(name)
    assert len(fields) >= 5
    for path in fields:
        recipes.found_at(event, path)


@pytest.mark.parametrize("name", SIX)
def test_a_recipe_works_as_it_is_written(
    installation: Installation, platform: Receiver, make_key: MakesKey, name: str
) -> None:
    cook = recipes.Cook(
        installation,
        {
            "base_url": f"http://127.0.0.1:{installation.http_port}",
            "api_key": make_key(name.split("-", maxsplit=1)[0]),
            "domain": "example.com",
            "hook_url": platform.url,
        },
    )
    mails = 0
    for call in [*recipes.calls_of("README"), *recipes.calls_of(name)]:
        status, answer = sent(cook, call)
        assert status == call.status, (call, answer)
        cook.keep(call, answer)
        if call.hands_mail_in:
            mails += 1
            request = platform.wait_for(mails)[mails - 1]
            cook.event = verify_helper().verify(request.headers, request.body, cook.known["secret"])
    assert mails >= 1
    assert cook.known.get("newest") in (None, cook.event["data"]["id"])
    if name == "make-approvals":
        assert cook.event["data"]["route"]["tag"] == cook.known["request_id"]
        assert cook.event["data"]["reply"]["text"].strip() == "Approve"
    for path in recipes.fields_of(name) - {"data.auth.dmarc.result"}:  # nobody is asked about domains in tests
        recipes.found_at(cook.event, path)


def sent(cook: recipes.Cook, call: recipes.Call) -> tuple[int, Any]:
    """Status, and the JSON of an answer that has some."""
    body = cook.filled(call.body)
    if call.hands_mail_in:
        body = body.replace("\n", "\r\n")
    headers = {header: cook.filled(value) for header, value in call.headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", cook.installation.http_port, timeout=60)
    try:
        connection.request(call.method, cook.path_of(call), body.encode() or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, json.loads(content) if is_json else content
    finally:
        connection.close()
