"""The app for Zapier, run by Node.js against a running installation.

What Zapier does itself is stood in for; its packages are tried by hand, with docs/integrations/zapier/check.mjs.
"""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.installation import SAMPLE_ALIAS, Installation, simple_mail
from tests.integrations.platforms import (
    INTEGRATIONS,
    MakesKey,
    PlatformError,
    Receiver,
    Zap,
    forged,
    node,
    replay,
    wait_until_processed,
    webhooks_at,
)

MAILBOX = "support@example.com"


@pytest.fixture
def zap(installation: Installation, make_key: MakesKey, platform: Receiver, mailbox_id: str) -> Zap:
    return Zap(installation, make_key("zapier"), url=platform.url, input_data={"mailbox_id": mailbox_id})


def test_the_apps_own_tests_pass() -> None:
    folder = INTEGRATIONS / "zapier"
    tests = sorted(map(str, folder.glob("test/*.test.js")))
    done = subprocess.run(
        [node(), "--test", *tests], cwd=folder, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert tests
    assert done.returncode == 0, done.stdout
    assert "# pass 0" not in done.stdout


def test_both_packages_verify_by_the_same_file() -> None:
    in_n8n, in_zapier = (INTEGRATIONS / name / "lib" / "signature.js" for name in ("n8n", "zapier"))
    assert in_n8n.read_bytes() == in_zapier.read_bytes()


def test_zapier_tests_its_connection(zap: Zap) -> None:
    (me,) = zap.do("authentication", "test")
    assert me["name"] == "zapier"  # what the label of the connection is made of
    zap.key += "x"
    with pytest.raises(PlatformError) as refused:
        zap.do("authentication", "test")
    told = json.loads(refused.value.told["message"])
    assert (told["status"], told["code"]) == (401, "malformed_key")
    assert told["message"] == "This is not a whole API key; copy it again."


def test_a_zap_has_one_item_for_each_mail(zap: Zap, installation: Installation, platform: Receiver) -> None:
    zap.turn_on()
    (webhook,) = webhooks_at(installation, platform.url)
    assert webhook["id"] == zap.subscribe_data["id"]
    for subject in ("First", "Second"):
        installation.send(simple_mail(f"Zapier {subject}"))
    first, second = sorted(platform.wait_for(2), key=lambda request: str(request.event["data"]["subject"]))
    replay(installation, first.event["data"]["id"])
    again = platform.wait_for(3)[2]
    assert again.event_id == first.event_id
    (one,), (two,), repeated = zap.items(first, second, again)
    assert (one["subject"], two["subject"], repeated) == ("Zapier First", "Zapier Second", [])
    told = {"id": first.event_id, "type": "email.received", "timestamp": first.event["timestamp"]}
    assert one == first.event["data"] | {"event": told}

    with pytest.raises(PlatformError) as halted:
        zap.items(forged(first))
    assert halted.value.told["name"] == "HaltedError"

    ((sample,),) = zap.trigger("performList")
    assert shape_of(sample) == shape_of(one)
    kept = json.loads((INTEGRATIONS / "zapier" / "lib" / "sample.json").read_text())
    assert kept == sample

    zap.turn_off()
    assert webhooks_at(installation, platform.url) == []
    zap.turn_off()  # Zapier may ask again


def test_a_zap_makes_the_address_that_it_waits_for(
    zap: Zap, installation: Installation, platform: Receiver, domain_id: str
) -> None:
    zap.input_data = {"domain_id": domain_id, "alias_name": "zap-orders"}
    for _ in range(2):  # the second time all is there, and its secret is another one
        zap.turn_on()
    assert len(webhooks_at(installation, platform.url)) == 1
    installation.send(simple_mail("To the new address"), to="zap-orders@example.com")
    ((item,),) = zap.items(*platform.wait_for(1))
    assert item["alias"]["address"] == "zap-orders@example.com"
    zap.turn_off()


def test_a_zap_tells_why_it_may_not(zap: Zap, make_key: MakesKey) -> None:
    zap.key = make_key("zapier", without="webhooks:write")
    with pytest.raises(PlatformError) as refused:
        zap.turn_on()
    assert json.loads(refused.value.told["message"]) == {
        "message": "This needs a key with the scope webhooks:write. The key needs: webhooks:write.",
        "code": "insufficient_scope",
        "status": 403,
    }


@pytest.mark.parametrize(
    ("list_key", "there"),
    [("domain_list", "example.com"), ("mailbox_list", MAILBOX), ("alias_list", SAMPLE_ALIAS)],
)
def test_the_dropdowns_of_zapier_hold_what_the_key_sees(zap: Zap, list_key: str, there: str) -> None:
    (rows,) = zap.do("triggers", list_key, "operation", "perform")
    (chosen,) = [row for row in rows if row["label"] == there]
    assert set(chosen) == {"id", "label"}


def test_zapier_creates_an_alias(zap: Zap, domain_id: str, mailbox_id: str) -> None:
    zap.input_data = {"domain_id": domain_id, "name": "by-zapier", "description": "Made", "mailbox_id": mailbox_id}
    (alias,) = zap.do("creates", "alias", "operation", "perform")
    assert (alias["address"], alias["mailbox_id"], alias["description"]) == (
        "by-zapier@example.com",
        mailbox_id,
        "Made",
    )
    with pytest.raises(PlatformError) as refused:
        zap.do("creates", "alias", "operation", "perform")
    assert json.loads(refused.value.told["message"])["code"] == "address_unavailable"


def test_zapier_hands_mail_in_and_finds_it(zap: Zap, installation: Installation) -> None:
    raw = "From: Ada <ada@example.net>\nSubject: Needle of Zapier\nMessage-ID: <needle@example.net>\n\nHello.\n"
    zap.input_data = {"recipient": [SAMPLE_ALIAS], "mail_from": "ada@example.net", "raw": raw}
    (handed_in,) = zap.do("creates", "mail", "operation", "perform")
    (email,) = handed_in["emails"]
    wait_until_processed(installation, email["id"])
    zap.input_data = {"subject": "Needle of Zapier"}
    (found,) = zap.do("searches", "email", "operation", "perform")
    assert [one["id"] for one in found] == [email["id"]]


def shape_of(value: Any) -> Any:
    """The names in an object and in those that it holds. What an empty list or null would hold is not known."""
    return {name: sorted(one) if isinstance(one, dict) else None for name, one in value.items() if name not in OPEN}


OPEN = {"alias", "auth", "bounce", "list", "calendar", "quarantine", "from", "sender"}  # objects that may be null
