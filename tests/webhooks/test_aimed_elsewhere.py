"""A webhook that is pointed elsewhere takes nothing along that the receiver before was trusted with."""

import asyncio
from typing import Any, cast

import pytest
from django.test import Client

from mailboxes.models import Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox
from tests.webhooks.invariants import Dispatcher, answer
from tests.webhooks.rows import make_delivery_in, make_own_webhook
from webhooks import signing
from webhooks.headers import MASK
from webhooks.models import Webhook
from webhooks.services.dispatch import attempt
from webhooks.transport import Answer, Outgoing, Transport

pytestmark = pytest.mark.django_db

TOKEN = "Bearer 3rS7w9-of-the-old-receiver"
URL = "https://192.0.2.1/hook"
ELSEWHERE = (
    "https://192.0.2.2/hook", "https://192.0.2.1:8443/hook", "http://192.0.2.1/hook", "https://192.0.2.1.example.net/hook",
    "https://192.0.2.2/hook#https://192.0.2.1/hook", "https://192.0.2.2\\@192.0.2.1/", "https://[2001:db8::1]/hook",
)  # fmt: skip
THE_SAME = ("https://192.0.2.1/other", "https://192.0.2.1:443/hook?x=1", "https://192.0.2.1/")


@pytest.fixture
def mailbox() -> Mailbox:
    return make_mailbox()


@pytest.fixture(autouse=True)
def _documentation_addresses_are_allowed(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["192.0.2.0/24", "2001:db8::/32"]


class Recorder:
    """In place of a transport."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    async def post(self, outgoing: Outgoing, **_: object) -> Answer:
        self.sent.append(outgoing)
        return answer()


def send_what_is_due() -> list[Outgoing]:
    recorder, dispatcher = Recorder(), Dispatcher()
    for one in dispatcher.claim():
        dispatcher.record([one], asyncio.run(attempt(one, cast("Transport", recorder))))
    return recorder.sent


def make_trusting(mailbox: Mailbox) -> tuple[Webhook, str]:
    """With a header of its own, and a mail that waits."""
    webhook, secret = make_own_webhook(mailbox=mailbox, url=URL, headers={"Authorization": TOKEN})
    make_delivery_in(mailbox, webhook)
    return webhook, secret


def patch(client: Client, webhook: Webhook, **changes: Any) -> Any:
    return client.patch(f"/v1/webhooks/{webhook.public_id}", changes, content_type="application/json")


def assert_nothing_of_it_goes_along(sent: list[Outgoing], old_secret: str) -> None:
    for one in sent:
        assert TOKEN not in str(dict(one.headers))
        with pytest.raises(signing.SignatureError):
            signing.verify(one.headers, one.body, old_secret, now=int(one.headers["webhook-timestamp"]))


@pytest.mark.parametrize("url", ELSEWHERE)
@pytest.mark.parametrize(
    ("by_way_of", "is_masked"),
    [((), False), ((), True), ((None,), False), (("https://192.0.2.1/other",), True)],
    ids=["at once", "as they were read", "by none", "by a path"],
)
def test_the_old_header_values_and_the_old_secret_stay_behind(
    url: str, by_way_of: tuple[str | None, ...], is_masked: bool, mailbox: Mailbox
) -> None:
    webhook, secret = make_trusting(mailbox)
    client = make_client(mailboxes=[mailbox])
    for step in by_way_of:
        assert patch(client, webhook, url=step).status_code == 200
    changes: dict[str, Any] = {"url": url} | ({"headers": {"Authorization": MASK}} if is_masked else {})
    moved = patch(client, webhook, **changes)
    if moved.status_code != 200:  # no URL that anything is sent to
        assert moved.status_code == 400
        return
    assert moved.json()["headers"] == {}
    sent = send_what_is_due()
    assert [one.url for one in sent] == [moved.json()["url"]]
    assert_nothing_of_it_goes_along(sent, secret)


@pytest.mark.parametrize("url", THE_SAME)
def test_another_path_at_the_same_receiver_keeps_both(url: str, mailbox: Mailbox) -> None:
    webhook, secret = make_trusting(mailbox)
    moved = patch(make_client(mailboxes=[mailbox]), webhook, url=url).json()
    assert (moved["headers"], "secret" in moved) == ({"Authorization": "***"}, False)
    (sent,) = send_what_is_due()
    assert sent.headers["Authorization"] == TOKEN
    signing.verify(sent.headers, sent.body, secret, now=int(sent.headers["webhook-timestamp"]))
