"""The way to this release's tables and back, with rows in them, while the release before goes on working."""

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import OperationalError

from tests.factories import make_alias, make_delivery, make_webhook
from webhooks import migrations
from webhooks.models import Delivery, Webhook
from webhooks.services.queue import upkeep

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("loopback_allowed", "_to_the_latest"),
    pytest.mark.long,
]

LATEST = max(path.stem for path in Path(migrations.__file__).parent.glob("0*.py"))
OWN_LISTS = {"delivery_of_webhook", "delivery_not_delivered"}


@pytest.fixture
def _to_the_latest() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def migrate(to: str) -> None:
    call_command("migrate", "webhooks", to, verbosity=0)


def indexes() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "webhooks_delivery")
    return {name: about["columns"] for name, about in found.items() if about["index"] and not about["unique"]}


def rows(table: str) -> list[dict[str, object]]:
    """With the columns that it has now."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor.fetchall()]


def statements_of(migration: str, *, backwards: bool = False) -> str:
    out = io.StringIO()
    call_command("sqlmigrate", "webhooks", migration, backwards=backwards, stdout=out, no_color=True)
    return out.getvalue()


def test_forth_and_back_with_rows_nothing_is_lost() -> None:
    webhook = make_webhook(alias=make_alias())
    delivery = make_delivery(webhook)
    deliveries, webhooks = rows("webhooks_delivery"), list(Webhook.objects.values())
    after = indexes()
    assert after.keys() >= OWN_LISTS
    migrate("0004")
    before = indexes()
    assert before.keys() & OWN_LISTS == set()
    assert ["webhook_id"] in before.values()  # the foreign key's own
    assert [deliveries[0] | row for row in rows("webhooks_delivery")] == deliveries
    migrate(LATEST)
    assert indexes() == after
    assert ["webhook_id"] not in after.values()
    assert (list(Webhook.objects.values()), Delivery.objects.get()) == (webhooks, delivery)


def test_an_index_that_an_earlier_try_left_is_built_anew() -> None:
    make_delivery(make_webhook())
    migrate("0005")
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX delivery_of_webhook ON webhooks_delivery (created_at)")
    migrate("0006")
    assert indexes()["delivery_of_webhook"] == ["webhook_id", "id"]


def test_the_release_before_makes_webhooks_and_knows_no_headers() -> None:
    webhook = make_webhook()
    migrate("0001")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM webhooks_webhook")
        columns = [column[0] for column in cursor.description]
    migrate(LATEST)
    listed = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE written_before AS SELECT {listed} FROM webhooks_webhook")
        cursor.execute("DELETE FROM webhooks_webhookhealth")
        cursor.execute("DELETE FROM webhooks_webhook")
        cursor.execute(f"INSERT INTO webhooks_webhook ({listed}) SELECT {listed} FROM written_before")
        cursor.execute("DROP TABLE written_before")
    again = Webhook.objects.get()
    assert (again.pk, again.header_names, again.sealed_headers) == (webhook.pk, [], None)
    assert (again.events, again.attachments, again.max_in_flight) == (webhook.events, "links", 20)
    upkeep.settle()  # gives it the row without which nothing is claimed for it
    assert again.health.known.is_spotless


@pytest.mark.on_postgres
def test_big_indexes_are_built_alone_and_concurrently() -> None:
    for backwards in (False, True):
        sql = statements_of("0006", backwards=backwards)
        assert re.findall(r"INDEX (?!CONCURRENTLY)|ALTER|BEGIN", sql) == []
        assert set(re.findall(r"\w+", sql)) > {"delivery_of_webhook", "delivery_undelivered"}


@pytest.mark.on_postgres
@pytest.mark.parametrize(("start", "to"), [("0004", "0005"), ("0006", "0007"), ("0007", "0006")])
def test_a_table_in_use_is_not_waited_for_long_and_the_next_try_gets_it(start: str, to: str) -> None:
    migrate(start)
    held, done = threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE webhooks_webhook, webhooks_delivery IN ROW EXCLUSIVE MODE")
            held.set()
            done.wait(30)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(60)
    try:
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate(to)
    finally:
        done.set()
        thread.join(10)
    migrate(to)
