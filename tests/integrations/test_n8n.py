"""The package for n8n, run by Node.js against a running installation.

What n8n does itself is stood in for; the real one is tried by hand, with docs/integrations/n8n/check.mjs.
"""

import base64
import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.installation import SAMPLE_ALIAS, Installation, simple_mail
from tests.integrations.platforms import (
    INTEGRATIONS,
    MakesKey,
    N8n,
    PlatformError,
    Receiver,
    Request,
    forged,
    hand_in,
    replay,
    wait_until_processed,
    webhooks_at,
)

MAILBOX = "support@example.com"
PDF = (b"%PDF-1.4 " + bytes(range(256))) * 4
MAIL_WITH_ATTACHMENT = (
    b"From: Ada Lovelace <ada@example.net>\r\nTo: help@example.com\r\nSubject: With an invoice\r\n"
    b"Message-ID: <invoice@example.net>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nIt is attached.\r\n--b\r\n"
    b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=invoice.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(PDF).replace(b"\n", b"\r\n") + b"--b--\r\n"
)  # fmt: skip


@pytest.fixture
def n8n(installation: Installation, make_key: MakesKey, platform: Receiver, mailbox_id: str) -> N8n:
    """A workflow for the sample's mailbox, not active yet."""
    parameters = {"receive": "mailbox", "mailboxId": mailbox_id, "events": ["email.received"], "options": {}}
    return N8n(installation, make_key("n8n"), url=platform.url, parameters=parameters)


def test_n8n_finds_what_the_package_says_that_it_has(installation: Installation) -> None:
    described = N8n(installation, "").do("describe")["result"]
    manifest = json.loads((INTEGRATIONS / "n8n" / "package.json").read_text())
    assert "n8n-community-node-package" in manifest["keywords"]
    assert all(
        (INTEGRATIONS / "n8n" / path).is_file() for kind in ("nodes", "credentials") for path in manifest["n8n"][kind]
    )
    fields = {field["name"]: field for field in described["credential"]["properties"]}
    assert fields["apiKey"]["typeOptions"] == {"password": True}
    assert fields["baseUrl"]["type"] == "string"
    for kind in ("trigger", "node"):
        description = described[kind]["description"]
        assert description["credentials"] == [{"name": described["credential"]["name"], "required": True}]
        assert (INTEGRATIONS / "n8n" / "nodes" / "Emailgistics" / description["icon"].removeprefix("file:")).is_file()


def test_n8n_tests_its_credentials(n8n: N8n) -> None:
    assert n8n.do("test")["result"]["name"] == "n8n"
    n8n.key += "x"
    with pytest.raises(PlatformError) as refused:
        n8n.do("test")
    assert refused.value.told["httpCode"] == 401


@pytest.mark.parametrize(
    ("step", "there"),
    [("getDomains", "example.com"), ("getMailboxes", MAILBOX), ("getAliases", SAMPLE_ALIAS)],
)
def test_the_dropdowns_of_n8n_hold_what_the_key_sees(n8n: N8n, step: str, there: str) -> None:
    for node in ("Emailgistics", "EmailgisticsTrigger"):
        choices = n8n.do(step, node=node)["result"]
        (chosen,) = [choice for choice in choices if choice["name"] == there]
        assert set(chosen) == {"name", "value"}
        assert "_" in chosen["value"]


def test_a_workflow_of_n8n_starts_once_for_each_mail(n8n: N8n, installation: Installation, platform: Receiver) -> None:
    assert n8n.activate()
    assert not n8n.activate()  # it is there
    (webhook,) = webhooks_at(installation, platform.url)
    assert (webhook["id"], webhook["state"]) == (n8n.static_data["webhookId"], "active")

    for subject in ("First", "Second"):
        installation.send(simple_mail(f"n8n {subject}"))
    requests = sorted(platform.wait_for(2), key=lambda request: str(request.event["data"]["subject"]))
    items = [item for request in requests for item in n8n.items(request)]
    assert [item["subject"] for item in items] == ["n8n First", "n8n Second"]
    for item, request in zip(items, requests, strict=True):
        event = request.event
        told = {"id": request.event_id, "type": "email.received", "timestamp": event["timestamp"]}
        assert item == event["data"] | {"event": told}

    replay(installation, items[0]["id"])
    again = platform.wait_for(3)[2]
    assert again.event_id == requests[0].event_id
    assert n8n.items(again) == []  # sent again, under another time
    assert n8n.items(requests[1]) == []
    n8n.parameters["options"] = {"skipRepeated": False}
    assert [item["subject"] for item in n8n.items(again)] == ["n8n First"]

    n8n.deactivate()
    assert webhooks_at(installation, platform.url) == []
    assert n8n.static_data == {}


def test_n8n_starts_nothing_that_is_not_signed(n8n: N8n, installation: Installation, platform: Receiver) -> None:
    n8n.activate()
    installation.send(simple_mail("Signed"))
    (request,) = platform.wait_for(1)
    old = Request(
        request.headers | {"webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 301)}, request.body
    )
    unsigned = {name: value for name, value in request.headers.items() if name != "webhook-signature"}
    for refused in (forged(request), old, Request(unsigned, request.body)):
        told = n8n.receive(refused)
        assert told["result"] == {"noWebhookResponse": True}
        assert told["answered"]["status"] == 401
    kept, n8n.static_data = n8n.static_data, {}
    assert n8n.receive(request)["answered"]["status"] == 401  # the secret was lost: nobody's signature is good enough
    n8n.static_data = kept
    assert len(n8n.items(request)) == 1  # and none of them was remembered as having come
    n8n.deactivate()


def test_n8n_passes_over_the_test_button(n8n: N8n, installation: Installation, platform: Receiver) -> None:
    n8n.activate()
    installation.manage("webhooks", "test", n8n.static_data["webhookId"])
    (request,) = platform.wait_for(1)
    assert n8n.receive(request)["result"] == {
        "webhookResponse": {"started": False, "reason": "no workflow is for webhook.test"}
    }
    n8n.deactivate()


def test_n8n_takes_over_its_webhook_when_it_lost_the_secret(
    n8n: N8n, installation: Installation, platform: Receiver
) -> None:
    n8n.activate()
    first, n8n.static_data = n8n.static_data, {}
    assert n8n.activate()
    assert n8n.static_data["webhookId"] == first["webhookId"]
    assert n8n.static_data["secret"] != first["secret"]
    assert len(webhooks_at(installation, platform.url)) == 1
    installation.send(simple_mail("After it was lost"))
    assert len(n8n.items(platform.wait_for(1)[0])) == 1
    n8n.deactivate()


def test_mail_waits_while_a_workflow_that_holds_it_is_inactive(
    n8n: N8n, installation: Installation, platform: Receiver
) -> None:
    n8n.parameters["options"] = {"holdMail": True}
    n8n.activate()
    n8n.deactivate()
    (webhook,) = webhooks_at(installation, platform.url)
    assert webhook["state"] == "paused"
    installation.send(simple_mail("While n8n was restarted"))
    assert n8n.activate()
    (request,) = platform.wait_for(1)
    assert [item["subject"] for item in n8n.items(request)] == ["While n8n was restarted"]
    n8n.parameters["options"] = {}
    n8n.deactivate()
    assert webhooks_at(installation, platform.url) == []


def test_a_workflow_under_test_leaves_nothing_behind(n8n: N8n, installation: Installation, platform: Receiver) -> None:
    n8n.parameters["options"] = {"holdMail": True}
    n8n.do("create", activationMode="manual")
    assert len(webhooks_at(installation, platform.url)) == 1
    n8n.deactivate()
    assert webhooks_at(installation, platform.url) == []


def test_another_choice_is_another_webhook_at_the_same_url(
    n8n: N8n, installation: Installation, platform: Receiver
) -> None:
    n8n.activate()
    alias_id = installation.manage("aliases", "show", SAMPLE_ALIAS)["id"]
    n8n.parameters |= {"receive": "alias", "aliasId": alias_id}
    assert n8n.activate()
    (webhook,) = webhooks_at(installation, platform.url)
    assert (webhook["alias_id"], webhook["mailbox_id"]) == (alias_id, None)
    n8n.deactivate()


def test_n8n_makes_the_address_that_it_waits_for(
    n8n: N8n, installation: Installation, platform: Receiver, domain_id: str
) -> None:
    n8n.parameters |= {"receive": "newAlias", "aliasDomainId": domain_id, "aliasName": "n8n-orders"}
    for number in range(2):  # the address is there the second time
        assert n8n.activate()
        installation.send(simple_mail(f"To the new address {number}"), to="n8n-orders@example.com")
        request = platform.wait_for(1)[0]
        (item,) = n8n.items(request)
        assert item["alias"]["address"] == "n8n-orders@example.com"
        n8n.deactivate()
        platform.requests.clear()


def test_n8n_tells_why_it_may_not(n8n: N8n, make_key: MakesKey) -> None:
    n8n.key = make_key("n8n", without="webhooks:write")
    with pytest.raises(PlatformError) as refused:
        n8n.activate()
    told = refused.value.told
    assert told["message"] == "This needs a key with the scope webhooks:write."
    assert told["description"] == "The key needs: webhooks:write. insufficient_scope"
    assert told["httpCode"] == "403"
    n8n.key += "x"
    with pytest.raises(PlatformError) as refused:
        n8n.execute("domain", "getAll")
    assert refused.value.told["description"] == "malformed_key"


def test_n8n_makes_changes_and_deletes_an_alias(n8n: N8n, domain_id: str, mailbox_id: str) -> None:
    fields = {"mailboxId": mailbox_id, "description": "Made by n8n"}
    (made,) = n8n.execute("alias", "create", domainId=domain_id, name="by-n8n", fields=fields)
    alias = made["json"]
    assert (alias["address"], alias["description"], made["pairedItem"]) == (
        "by-n8n@example.com",
        "Made by n8n",
        {"item": 0},
    )
    (changed,) = n8n.execute("alias", "update", aliasId=alias["id"], fields={"active": False})
    assert changed["json"] == alias | {"active": False}
    assert n8n.execute("alias", "get", aliasId=alias["id"])[0]["json"] == changed["json"]
    listed = n8n.execute("alias", "getAll", returnAll=True, filters={"mailboxId": mailbox_id})
    assert changed["json"] in [item["json"] for item in listed]
    assert n8n.execute("alias", "delete", aliasId=alias["id"])[0]["json"] == {"id": alias["id"], "deleted": True}
    with pytest.raises(PlatformError) as refused:
        n8n.execute("alias", "get", aliasId=alias["id"])
    assert refused.value.told["httpCode"] == "404"


def test_what_n8n_tries_again_is_done_once(n8n: N8n, domain_id: str) -> None:
    asked = {"resource": "alias", "operation": "create", "domainId": domain_id, "name": "once-by-n8n", "fields": {}}
    first, again = (
        n8n.do("execute", node="Emailgistics", parameters=asked, executionId="7")["result"] for _ in range(2)
    )
    assert first == again
    assert first[0][0]["json"]["address"] == "once-by-n8n@example.com"


def test_an_item_that_fails_does_not_stop_a_workflow_that_goes_on(n8n: N8n) -> None:
    asked = {"resource": "alias", "operation": "get", "aliasId": "alias_none"}
    (items,) = n8n.do("execute", node="Emailgistics", parameters=asked, items=2, continueOnFail=True)["result"]
    gone = {"error": "There is nothing here, or nothing that this key may see."}
    assert items == [{"json": gone, "pairedItem": {"item": index}} for index in range(2)]


def test_n8n_hands_in_reads_and_downloads_mail(n8n: N8n, installation: Installation) -> None:
    (handed_in,) = n8n.execute(
        "email", "submit", recipients=f"{SAMPLE_ALIAS}, {MAILBOX}", mailFrom="ada@example.net",
        raw=MAIL_WITH_ATTACHMENT.decode("ascii"),
    )  # fmt: skip
    (email,) = handed_in["json"]["emails"]
    wait_until_processed(installation, email["id"])

    (read,) = n8n.execute("email", "get", emailId=email["id"], include=["text"])
    assert (read["json"]["subject"], read["json"]["text"].strip()) == ("With an invoice", "It is attached.")
    (raw,) = n8n.execute("email", "getRaw", emailId=email["id"])
    assert base64.b64decode(raw["binary"]["data"]["data"]).endswith(MAIL_WITH_ATTACHMENT)
    assert raw["binary"]["data"]["fileName"] == f"{email['id']}.eml"
    (attachment,) = n8n.execute("email", "getAttachments", emailId=email["id"])
    assert (attachment["json"]["filename"], attachment["json"]["content_type"]) == ("invoice.pdf", "application/pdf")
    assert base64.b64decode(attachment["binary"]["data"]["data"]) == PDF
    asked = {"emailId": email["id"], "attachmentId": "att_other"}
    assert n8n.execute("email", "getAttachments", **asked) == []
    with pytest.raises(PlatformError) as refused:
        n8n.execute("email", "getRaw", emailId="email_none")
    assert refused.value.told["message"] == "There is nothing here, or nothing that this key may see."


def test_n8n_lists_as_many_emails_as_are_asked_for(n8n: N8n, installation: Installation, mailbox_id: str) -> None:
    for number in range(3):
        installation.send(simple_mail(f"One of three {number}"))
    assert len(n8n.execute("email", "getAll", limit=2, filters={"mailboxId": mailbox_id})) == 2
    everything = n8n.execute("email", "getAll", returnAll=True)
    assert len({item["json"]["id"] for item in everything}) == len(everything) >= 3
    assert n8n.execute("mailbox", "getAll", limit=1)[0]["json"]["id"].startswith("mbx_")


def test_n8n_searches_emails(n8n: N8n, installation: Installation) -> None:
    hand_in(installation, simple_mail("Needle of n8n"))
    filters = {"subject": "Needle of n8n", "from": "ada@example.net"}
    found = n8n.execute("email", "getAll", filters=filters)
    assert [item["json"]["subject"] for item in found] == ["Needle of n8n"]
    received = datetime.fromisoformat(found[0]["json"]["received_at"]).astimezone(ZoneInfo("Asia/Kathmandu"))
    for minutes, count in ((-1, 1), (1, 0)):  # as a form has it: by the clock of the workflow, and without an offset
        picked = (received + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")
        assert len(n8n.execute("email", "getAll", filters={**filters, "receivedAfter": picked})) == count


def test_n8n_replays_an_email(n8n: N8n, installation: Installation, platform: Receiver, make_key: MakesKey) -> None:
    n8n.key = make_key("n8n", also="emails:write")
    n8n.activate()
    installation.send(simple_mail("To be replayed"))
    (request,) = platform.wait_for(1)
    (replayed,) = n8n.execute("email", "replay", emailId=request.event["data"]["id"])
    assert replayed["json"]["replayed"] >= 1
    assert platform.wait_for(2)[1].event_id == request.event_id
    n8n.deactivate()


def test_n8n_reads_statistics(n8n: N8n) -> None:
    (read,) = n8n.execute("statistics", "get", filters={"interval": "day"})
    assert read["json"]["totals"]["received"] >= 0
