"""One world for all tests of a file, and what each test does to it is undone: making it costs as much as asking it."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoDbBlocker

from mailboxes.models import Domain
from mailboxes.services import dns_records
from tests.access.keys import Callers, Refused, refused_keys
from tests.access.table import TABLE
from tests.access.world import World, everything, make_world
from tests.worlds.standing import undone

LOOKED_AT = datetime(2026, 1, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    # each test has a transaction of its own within this one: pytest-django leaves the connection open
    # thousands of refusals are meant; a line for each would take longer than they do
    logger = logging.getLogger("django.request")
    logger.disabled = True
    with django_db_blocker.unblock(), undone():
        made = make_world()
        # looking at the DNS writes down what it says: of all this is known already
        Domain.objects.update(
            dns_status="unknown", dns_checked_at=LOOKED_AT, dns_found={"mx": None, "own_texts": None, "word": None}
        )
        yield made
    logger.disabled = False


@pytest.fixture(scope="module")
def callers(world: World) -> Callers:
    return Callers(world.allowed, rows=TABLE.values())


@pytest.fixture(scope="module")
def refused(world: World) -> list[Refused]:
    return refused_keys()


def silent_dns(_: str) -> dns_records._Found:
    """It answers nothing."""
    return dns_records._Found(LOOKED_AT, 0.0, None, None, None)


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.api.views.trying.WAIT_AT_MOST", timedelta(0))  # nobody dispatches here
    monkeypatch.setattr("mailboxes.services.dns_records._look_at", silent_dns)


@pytest.fixture
def nothing_is_changed(db: None, world: World) -> Iterator[None]:
    """For tests of requests that are all refused, or undone."""
    before = everything()
    yield
    assert everything() == before
