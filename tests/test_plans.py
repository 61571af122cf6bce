"""No list and no filter reads more as the tables grow: every query of every list, explained where there is much mail.

Of a table of mail no query reads all rows, nor walks by rows that it does not show. A new list or filter fails until
CASES says what it is asked with; one that asks the database more is a line there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from mailboxes.models import Mailbox, RetentionClock
from mailboxes.services import retain
from tests.access.operations import CURSORS, OPERATIONS, Operation, each
from tests.apikeys.factories import make_client
from tests.console import list_pages, list_plans
from tests.explained import Asked, buffers, probes, rows_touched, scans
from tests.many_emails import IDLE, TABLES, ManyEmails

pytestmark = [pytest.mark.on_postgres, pytest.mark.long, pytest.mark.timeout(600)]

COUNTED = 10_001  # of a total, see common/pagination.py
PAGE = 25
# rows of one query: what is shown, with what hangs on it, from each of a few mailboxes
MOST = 40 * PAGE
MOST_COUNTED = 5 * COUNTED
BUFFERS_OF_A_ROW = 5  # three levels of an index, its leaf, and the row
OF_PAGES = {*CURSORS, "page", "limit"}

COUNTING = re.compile(rf"LIMIT {COUNTED}\b|@@|common_seriessum")  # totals, words, and sums of many days

Queries = Mapping[str, Sequence[str]]

# what each parameter is asked with; <name> is the id of that one of ManyEmails. What is rare is old, so that walking to
# it would be long, and what is frequent stands among the newest
CASES: Mapping[str, Queries] = {
    "GET /v1/emails": {
        "alias_id": ("<rare_alias>", "<alias>"),
        "mailbox_id": ("<busy>", "<idle>"),
        "domain_id": ("<domain>",),
        "from": (
            "rare@quiet.example",
            "person5@sender5.example",
            "nobody@example.net",
            "@quiet.example",
            "@sender5.example",
        ),
        "to": ("rare@example.com", "help@example.com", "nobody@example.com"),
        "subject": ("rare", "n101", "order", "engine5", "nothing", "ord*"),
        "message_id": ("101@example.net", "<5@example.net>", "nothing@example.net"),
        "has_attachment": ("true", "false"),
        "status": ("processed", "waiting", "parked", "quarantined"),
        "received_after": ("2020-01-01", "2100-01-01"),
        "received_before": ("2020-01-01", "2100-01-01"),
        "q": ("rare", "n101", "order", "engine5 order", "rare engine5", "cog5", "nothing", "engine5 n101", "ord*"),
    },
    "GET /v1/jobs": {},
    "GET /v1/refusals": {
        "network": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"),
        "recipient": ("rare@example.com", "nobody@example.com", "x@example.com"),
        "code": ("rule", "unknown_recipient", "x"),
        "outcome": ("refused", "discarded"),
        "since": ("2020-01-01", "2100-01-01"),
        "until": ("2020-01-01", "2100-01-01"),
    },
    "GET /v1/domains": {"name": ("example.com", "nowhere.example")},
    "GET /v1/mailboxes": {"domain_id": ("<domain>",), "address": ("busy@example.com", "x@example.com")},
    "GET /v1/aliases": {
        "domain_id": ("<domain>",),
        "mailbox_id": ("<busy>", "<idle>"),
        "name": ("help", "nothing"),
    },
    "GET /v1/rules": {"domain_id": ("<domain>",), "mailbox_id": ("<busy>", "<idle>"), "alias_id": ("<rare_alias>",)},
    "GET /v1/webhooks": {
        "url": ("https://hooks.example.net/", "https://nowhere.example/"),
        "alias_id": ("<rare_alias>",),
        "mailbox_id": ("<busy>", "<idle>"),
        "domain_id": ("<domain>",),
    },
    "GET /v1/webhooks/{id}/deliveries": {
        "state": ("pending", "held", "delivered", "failed", "canceled", "expired"),
    },
    "GET /v1/webhooks/{id}/pull": {"after": ("0", "1"), "limit": ("100",)},
    "GET /v1/emails/{id}/deliveries": {},
    "GET /v1/statistics": {
        "from": ("2026-01-01",),
        "to": ("2100-01-01",),
        "interval": ("hour", "day", "week", "month"),
        "time_zone": ("Asia/Kathmandu",),
        "mailbox_id": ("<busy>", "<idle>"),
        "alias_id": ("<alias>",),
        "domain_id": ("<domain>",),
    },
}
# what people ask for at once: where, and when or what
TOGETHER: Mapping[str, Sequence[Mapping[str, str]]] = {
    "GET /v1/emails": (
        {"mailbox_id": "<busy>", "status": "processed", "received_after": "2020-01-01"},
        {"mailbox_id": "<busy>", "status": "parked", "received_before": "2100-01-01"},
        {"mailbox_id": "<idle>", "status": "waiting"},
        {"domain_id": "<domain>", "received_after": "2020-01-01", "received_before": "2100-01-01"},
        {"alias_id": "<alias>", "q": "engine5"},
        {"alias_id": "<rare_alias>", "q": "order"},
        {"alias_id": "<alias>", "received_after": "2020-01-01", "received_before": "2100-01-01"},
        {"from": "person5@sender5.example", "received_after": "2020-01-01"},
        {"from": "@sender5.example", "mailbox_id": "<busy>"},
        {"from": "rare@quiet.example", "to": "help@example.com"},
        {"to": "help@example.com", "received_after": "2020-01-01"},
        {"has_attachment": "true", "mailbox_id": "<busy>"},
        {"subject": "engine5", "mailbox_id": "<busy>", "received_after": "2020-01-01"},
        {"q": "rare", "status": "processed"},
        {"message_id": "101@example.net", "mailbox_id": "<busy>"},
    ),
    "GET /v1/refusals": (
        {"network": "198.51.100.0/24", "since": "2020-01-01"},
        {"recipient": "rare@example.com", "until": "2100-01-01"},
        {"code": "unknown_recipient", "outcome": "refused"},
    ),
    "GET /v1/aliases": ({"domain_id": "<domain>", "name": "help"}, {"mailbox_id": "<busy>", "domain_id": "<domain>"}),
    "GET /v1/webhooks": ({"mailbox_id": "<busy>", "url": "https://hooks.example.net/"},),
    "GET /v1/webhooks/{id}/deliveries": ({"state": "failed", "limit": "100"}, {"state": "delivered", "page": "2"}),
    "GET /v1/statistics": (
        {"interval": "hour", "from": "2026-01-01", "to": "2026-01-15", "mailbox_id": "<busy>"},
        {"interval": "month", "domain_id": "<domain>", "time_zone": "Asia/Kathmandu"},
    ),
}
# what a path is asked with: things of the busy mailbox, and of an idle one
IDS = {"wh": ("<hook>", "<idle_hook>"), "email": ("<email>",)}
LISTS = [one for one in OPERATIONS if one.is_list or str(one) in CASES]


@pytest.fixture(scope="module")
def clients(many: ManyEmails) -> dict[str, Client]:
    return {
        "all": make_client(),
        "idle": make_client(mailboxes=many.idle),
        "busy": make_client(mailboxes=[many.busy]),
    }


@pytest.fixture(scope="module")
def console(many: ManyEmails) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password=None))
    return client


def ids_of(many: ManyEmails) -> dict[str, str]:
    named = {
        "busy": many.busy, "idle": many.idle[0], "alias": many.alias, "rare_alias": many.rare_alias, "hook": many.hook,
        "idle_hook": many.idle_hook, "domain": many.busy.domain, "email": many.busy.emails.order_by("-id")[0],
    }  # fmt: skip
    return {f"<{name}>": thing.public_id for name, thing in named.items()}


def queries_of(operation: Operation, ids: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """None, each parameter with each of its values, some together, and further pages."""
    cases = CASES[str(operation)]
    yield {}
    for name, values in cases.items():
        yield from ({name: ids.get(value, value)} for value in values)
    for together in TOGETHER.get(str(operation), ()):
        yield {name: ids.get(value, value) for name, value in together.items()}
    if operation.is_list:
        yield from ({"page": "2"}, {"limit": "100"})


def check(asked: Asked, what: str) -> None:
    for sql, plan in asked.plans:
        shown = f"{what}\n{sql}\n{json.dumps(plan, indent=1)}"
        whole = [table for table, scan in scans(plan) if scan["Node Type"] == "Seq Scan" and scan["Actual Loops"]]
        assert not set(whole).intersection(TABLES), f"all rows of a table are read: {shown}"
        most = MOST_COUNTED if COUNTING.search(sql) else MOST
        counts = {of_mail: rows_touched(plan, of_mail=of_mail) for of_mail in (True, False)}
        for of_mail, bound in ((True, most), (False, MOST_COUNTED)):
            assert counts[of_mail] <= bound, f"{counts[of_mail]} rows are looked at, of {bound}: {shown}"
        # an index whose first columns say nothing of where to begin is read like a table, and no row tells of it
        read, few = buffers(plan), BUFFERS_OF_A_ROW * (PAGE + sum(counts.values()) + sum(probes(plan)))
        assert read <= few, f"{read} pages are read, more than {few} for the rows that are looked at: {shown}"


def test_every_list_and_filter_has_a_case() -> None:
    asking = [
        one for one in OPERATIONS if one.method == "GET" and (one.is_list or set(one.query) - {"include", "event"})
    ]
    assert {str(one) for one in asking} - CASES.keys() == set(), "say in CASES what it is asked with"
    for operation in asking:
        named = set(operation.query) - (OF_PAGES if operation.is_list else set())
        assert named == CASES[str(operation)].keys(), f"{operation}: say in CASES what its filters are asked with"


@each(LISTS)
def test_a_list_reads_no_more_than_it_shows(operation: Operation, many: ManyEmails, clients: dict[str, Client]) -> None:
    ids = ids_of(many)
    for name, client in clients.items():
        for kind_ids in IDS[operation.kinds[0]] if operation.kinds else ("",):
            url = operation.url([ids[kind_ids]] if kind_ids else [])
            for query in queries_of(operation, ids):
                asked = Asked()
                with connection.execute_wrapper(asked):
                    answer = client.get(url, query)
                assert answer.status_code in (200, 403, 404), answer.content
                check(asked, f"{operation} {query} for {name}")
                cursor = answer.status_code == 200 and answer.json().get("pagination", {}).get("next_cursor")
                for place in CURSORS if cursor and "page" not in query else ():
                    asked = Asked()
                    with connection.execute_wrapper(asked):
                        assert client.get(url, {**query, place: cursor}).status_code == 200
                    check(asked, f"{operation} {query} {place} for {name}")


def test_a_clock_of_retention_reads_no_more_than_it_takes_however_much_it_has_passed(many: ManyEmails) -> None:
    emails = many.busy.emails.order_by("id").values_list("pk", flat=True)
    half = emails[many.rows // 4]
    with transaction.atomic():
        Mailbox.objects.filter(pk=many.busy.pk).update(raw_days=1)
        for position in (None, half):
            RetentionClock.objects.all().delete()
            RetentionClock.objects.create(
                mailbox=many.busy, kind="raw", days=1, position=position, due_at=timezone.now()
            )
            asked = Asked()
            with connection.execute_wrapper(asked):
                due = retain.take_next(200, now=timezone.now())
            assert due is not None
            assert len(due.ids) == 200
            check(asked, f"a clock at {position}")
        transaction.set_rollback(True)


@pytest.mark.parametrize("name", list_pages.names())
def test_a_list_of_the_console_reads_no_more_than_it_shows(
    name: str, many: ManyEmails, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is narrowed, ordered, searched and paged."""
    list_plans.look_less_far(monkeypatch)
    faults = []
    for query in list_pages.queries_of(console, name, many):
        asked = list_plans.Counted()
        with connection.execute_wrapper(asked):
            answer = console.get(list_pages.address_of(name), query, follow=True)
        assert answer.status_code == 200, (name, query)
        faults += [f"{name} {query}: {fault}" for fault in list_plans.faults_of(asked)]
    assert faults == [], "\n\n".join(faults)


@pytest.mark.parametrize(
    ("of_idle", "of_busy"),
    [
        ({}, {}),
        ({"limit": "100"}, {"limit": "100"}),
        ({"from": "@quiet.example"}, {"from": "@sender5.example"}),
        ({"status": "parked"}, {"status": "processed"}),
        ({"has_attachment": "true"}, {"has_attachment": "false"}),
        ({"q": "rare"}, {"q": "engine5"}),
    ],
)
def test_five_idle_mailboxes_are_answered_as_soon_as_a_busy_one(
    of_idle: dict[str, str], of_busy: dict[str, str], clients: dict[str, Client]
) -> None:
    """By what is read for it, when both have a page to show. Each mailbox is looked into by an index of its own."""
    read = {}
    for name, query in (("idle", of_idle), ("busy", of_busy)):
        asked = Asked()
        with connection.execute_wrapper(asked):
            rows = clients[name].get("/v1/emails", query).json()["data"]
        assert len(rows) == int(query.get("limit", PAGE))
        read[name] = asked.buffers
    assert read["idle"] <= 1.5 * read["busy"] + 5 * IDLE, read


@pytest.mark.parametrize("interval", ["hour", "day"])
def test_statistics_of_many_mailboxes_look_once_at_each_however_many_rows_they_have(
    interval: str, many: ManyEmails
) -> None:
    boxes = [many.busy, *Mailbox.objects.live().exclude(pk=many.busy.pk)[:199]]
    client, asked = make_client(mailboxes=boxes), Asked()
    span = {"from": "2026-06-01", "to": "2026-07-01", "time_zone": "UTC"}
    with connection.execute_wrapper(asked):
        answer = client.get("/v1/statistics", {**span, "interval": interval}).json()
    assert len(answer["data"]) == {"hour": 720, "day": 30}[interval]
    [sums] = [plan for sql, plan in asked.plans if "common_seriessum" in sql]
    looks = [scan["Actual Loops"] for table, scan in scans(sums) if table == "common_seriessum"]
    # of the index and of its rows; and one at what the key has asked itself
    assert set(looks) == {len(boxes) + 1}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM mailboxes_email WHERE subject = 'x'",
        "SELECT id FROM mailboxes_email WHERE kind = 'bounce' ORDER BY id DESC LIMIT 26",
        "SELECT email_id FROM mailboxes_searchentry ORDER BY email_id LIMIT 26 OFFSET 30000",
    ],
)
def test_what_grows_with_the_table_is_found_out(sql: str, many: ManyEmails) -> None:
    """So that the tests here look for what would be found."""
    asked = Asked()
    with connection.execute_wrapper(asked), connection.cursor() as cursor:
        cursor.execute(sql)
    with pytest.raises(AssertionError, match="rows"):
        check(asked, sql)
