"""The blueprints for Make, module by module, against a running installation."""

import json
from typing import Any

import pytest

from tests.installation import Installation, simple_mail
from tests.integrations.make import ModuleFailedError, Scenario
from tests.integrations.platforms import INTEGRATIONS, MakesKey, Receiver, Request, forged, replay

BLUEPRINTS = ("setup.blueprint.json", "emails.blueprint.json")


@pytest.fixture
def settings(installation: Installation, make_key: MakesKey) -> dict[str, str]:
    return {"base_url": f"http://127.0.0.1:{installation.http_port}", "api_key": make_key("make")}


@pytest.fixture
def setup(installation: Installation, platform: Receiver, settings: dict[str, str]) -> Scenario:
    return Scenario.imported(
        "setup.blueprint.json", installation, **settings, domain="example.com", alias="make", hook_url=platform.url
    )


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_what_is_yours_stands_in_one_module(name: str) -> None:
    blueprint = json.loads((INTEGRATIONS / "make" / name).read_text())
    modules = blueprint["flow"]
    assert [module["id"] for module in modules] == list(range(1, len(modules) + 1))
    (settings,) = [one for one in modules if one["metadata"]["designer"]["name"] == "Settings: the one place"]
    elsewhere = json.dumps([one for one in modules if one is not settings])
    assert "mail.example.com" not in elsewhere
    assert "REPLACE_ME" not in elsewhere
    for module in modules:
        if module["module"] == "http:ActionSendData":
            assert module["mapper"]["url"].startswith(f"{{{{{settings['id']}.base_url}}}}/v1/")
            assert module["mapper"]["followRedirect"] is False


def test_setup_makes_an_address_and_its_webhook_once(setup: Scenario, platform: Receiver) -> None:
    done = setup.run()
    assert done[2]["data"]["name"] == "make"
    made = done[4]
    assert made["statusCode"] == 201
    assert (made["data"]["alias"]["address"], made["data"]["webhook"]["url"]) == ("make@example.com", platform.url)
    again = setup.run()[4]
    assert (again["statusCode"], again["data"]["webhook"]["id"]) == (200, made["data"]["webhook"]["id"])
    assert "secret" not in again["data"]["webhook"]


def test_setup_tells_what_is_wrong_with_a_key(setup: Scenario, installation: Installation) -> None:
    wrong = Scenario.imported(
        "setup.blueprint.json",
        installation,
        base_url=f"http://127.0.0.1:{installation.http_port}",
        api_key="emgk_wrong",
    )
    with pytest.raises(ModuleFailedError) as refused:
        wrong.run()
    assert refused.value.args == (401, "This is not a whole API key; copy it again.")


def test_each_email_is_read_once_if_it_is_signed(
    installation: Installation, platform: Receiver, settings: dict[str, str], mailbox_id: str
) -> None:
    webhook = subscribed(installation, platform, mailbox_id)
    emails = Scenario.imported("emails.blueprint.json", installation, **settings, webhook_secret=webhook["secret"])
    for subject in ("First", "Second"):
        installation.send(simple_mail(f"Make {subject}", body=f"{subject} text."))
    first, second = sorted(platform.wait_for(2), key=lambda request: str(request.event["data"]["subject"]))

    assert last_of(emails, forged(first)) == 4  # the filter after what is signed
    unsigned = {name: value for name, value in first.headers.items() if name != "webhook-signature"}
    assert last_of(emails, Request(unsigned, first.body)) == 4
    assert emails.store == {}

    done = emails.run(first)
    assert done[6] == first.event
    assert done[7]["data"]["text"].strip() == "First text."
    assert done[8]["data"]["data"] == []
    assert last_of(emails, second) == 9
    assert emails.store == {request.event_id: {"email_id": request.event["data"]["id"]} for request in (first, second)}

    replay(installation, first.event["data"]["id"])
    again = platform.wait_for(3)[2]
    assert again.event_id == first.event_id
    assert last_of(emails, again) == 5  # the filter after the data store

    installation.manage("webhooks", "test", webhook["id"])
    assert last_of(emails, platform.wait_for(4)[3]) == 6  # it is about no email
    installation.manage("webhooks", "delete", webhook["id"])


def subscribed(installation: Installation, platform: Receiver, mailbox_id: str) -> dict[str, Any]:
    made: dict[str, Any] = installation.manage(
        "webhooks", "create", "--url", platform.url, "--mailbox", "support@example.com"
    )
    assert made["mailbox_id"] == mailbox_id
    return made


def last_of(emails: Scenario, request: Request) -> int:
    """The module that was run last."""
    return max(emails.run(request))
