"""Among 100,000 emails one is found, and its fate is told, in the browser and quickly: for PostgreSQL."""

import re
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django.live_server_helper import LiveServer

from mailboxes.models import Email, SearchEntry
from tests.browser import Visitor, chromium
from tests.console.conftest import make_person
from tests.many_emails import FIRST_RARE, fill

pytestmark = [
    pytest.mark.on_postgres,
    pytest.mark.long,
    pytest.mark.timeout(900),  # filling takes a minute by itself, and more beside others
    pytest.mark.django_db(transaction=True),
]

ROWS = 100_000
LOG = "/admin/mailboxes/email/"
DATABASE_MS = 300  # of one page of the log
SECONDS = 5  # of one page in the browser, on a machine that is busy as well
MOST_QUERIES = 10
SEARCHES = {
    "": 50,
    "q=order": 50,
    "q=rare": 3 + FIRST_RARE - 1,
    "q=n90001": 1,
    "q=n90001&says=on": 1,
    "q=cog5&says=on": 50,
    "q=nothing": 0,
    "author=rare@quiet.example": 50,
    "author=@sender5.example": 50,
    "to=rare@example.com": 50,
    "subject=n90001": 1,
    "message_id=<90001@example.net>": 1,
    "mailbox=busy@example.com": 50,
    "mailbox=@example.com&status=parked": 50,
    "status=parked": 50,
    "status=waiting": 0,
    "attachment=1": 50,
    "received=24h": 50,
    "since=2020-01-01&until=2020-02-01": 0,
    "mailbox=second@example.com&author=@sender6.example&attachment=0": 50,
}


def test_one_of_many_emails_is_found_and_its_fate_told(live_server: LiveServer) -> None:
    fill(ROWS, others=100)
    email = Email.objects.get(pk=SearchEntry.objects.get(message_id="90001@example.net").pk)
    client = Client()
    client.force_login(make_person("superuser"))
    for search, most in SEARCHES.items():
        found = measured(client, f"{LOG}?{search}")
        assert len(found) == min(most, 50), search
    measured(client, f"{LOG}?before={email.public_id}")
    measured(client, f"{LOG}?after={email.public_id}")
    in_the_browser(live_server, client.cookies["sessionid"].value, email)


def measured(client: Client, address: str) -> list[Email]:
    with CaptureQueriesContext(connection) as seen:
        answer = client.get(address)
    asked = [
        query
        for query in seen
        if not re.match(r"SAVEPOINT|RELEASE|BEGIN|COMMIT|ROLLBACK|SELECT set_config", query["sql"])
    ]
    assert len(asked) <= MOST_QUERIES, (address, [query["sql"][:120] for query in asked])
    assert sum(float(query["time"]) for query in seen) * 1000 <= DATABASE_MS, address
    return list(answer.context["found"].result_list)


def in_the_browser(live_server: LiveServer, session: str, email: Email) -> None:
    public_id, pk = email.public_id, email.pk
    with chromium() as browser, Visitor(browser, live_server.url) as visitor:
        visitor.page.context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = visitor.page
        begun = time.monotonic()
        page.goto(LOG)
        page.get_by_label("Words, an address").fill("n90001")
        page.get_by_role("button", name="Search", exact=True).click()
        page.get_by_text("1 email, newest first.").wait_for()
        page.locator("#result_list tbody").get_by_role("link").first.click()
        page.wait_for_url(f"**/{pk}/change/")
        page.get_by_text(public_id).first.wait_for()
        for said in ("Received", "Stored", "Processed", "Webhooks were told", "https://hooks.example.net/"):
            assert page.locator("#fate").get_by_text(said, exact=True).first.is_visible(), said
        assert time.monotonic() - begun < 3 * SECONDS
        assert visitor.problems == []
