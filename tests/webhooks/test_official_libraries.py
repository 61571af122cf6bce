"""1000 mails of every kind, by the way that mail takes, verified by the official libraries."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from apikeys.credentials import new_webhook_secret
from mailboxes import mime
from mailboxes.models import Mailbox, Message
from mailboxes.services.opened import Opened, store
from tests.factories import make_mailbox, make_message, make_webhook
from tests.webhooks.mails import made_mails
from webhooks import signing
from webhooks.models import EventBody, Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed"), pytest.mark.long]

HERE = Path(__file__).parent
COUNT = 1000

Request = tuple[dict[str, str], bytes]


def mailboxes_for_each_form() -> list[Mailbox]:
    wanted: list[dict[str, Any]] = [
        {},
        {"attachments": "inline"},
        {"thinned_at": timezone.now()},
        {"payload": "metadata"},
    ]
    mailboxes = [make_mailbox(address=f"form{number}@example.com") for number in range(len(wanted))]
    for mailbox, fields in zip(mailboxes, wanted, strict=True):
        Webhook.objects.filter(pk=make_webhook(mailbox=mailbox).pk).update(**fields)
    return mailboxes


def requests_of(count: int, *, secrets: list[str]) -> list[Request]:
    mailboxes = mailboxes_for_each_form()
    for number, raw in enumerate(made_mails(count, seed=2)):
        message = make_message(raw=raw, to=(mailboxes[number % len(mailboxes)].address,))
        assert store([Opened(message, mime.parse(raw), raw, Message.State.PROCESSED)], lease_id=None)
    now = int(datetime.now(UTC).timestamp())
    made = []
    for stored in EventBody.objects.select_related("event").order_by("id"):
        event_id, body = stored.event.public_id, bytes(stored.body)
        headers = signing.headers(
            event_id=event_id, timestamp=now, attempt=1, body=body, secrets=secrets, version="0.1.0"
        )
        made.append((headers, body))
    return made


def verified_by_node(node: str, requests: list[Request], secret: str) -> str:
    lines = [json.dumps({"headers": headers, "body": body.hex(), "secret": secret}) for headers, body in requests]
    done = subprocess.run(
        [node, str(HERE / "standard_webhooks.js")],
        input="\n".join(lines),
        env=os.environ | {"NODE_PATH": str(HERE.parent / "vendor" / "npm")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.on_sqlite  # the octets are the same in any database
def test_a_thousand_mails_of_every_kind_verify_everywhere(node: str) -> None:
    secret, previous = new_webhook_secret(), new_webhook_secret()
    requests = requests_of(COUNT, secrets=[secret, previous])
    assert len({headers["webhook-id"] for headers, _ in requests}) == COUNT
    assert set(EventBody.objects.values_list("form", flat=True)) == set(EventBody.Form.values)
    for headers, body in requests:
        for text in (secret, previous):
            assert StandardWebhook(text).verify(body, headers) == json.loads(body)
            SvixWebhook(text).verify(body, headers)
    for text in (secret, previous):
        assert verified_by_node(node, requests, text) == f"{COUNT} verified\n"


def test_the_libraries_refuse_what_was_altered(node: str) -> None:
    secret = new_webhook_secret()
    ((headers, body),) = requests_of(1, secrets=[secret])
    altered = body.replace(b'"source":"smtp"', b'"source":"pipe"')
    assert altered != body
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(secret).verify(altered, headers)
    assert verified_by_node(node, [(headers, altered)], secret) == "request 0: No matching signature found\n"
