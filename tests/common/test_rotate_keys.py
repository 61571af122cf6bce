"""From one encryption key, or pepper, to the next: nothing is lost on the way, and what is left is said."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import BinaryField
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import sealed, tombstones
from emailgistics.common.crypto import DecryptionError, KeyRing, number_of
from emailgistics.common.ids import uuid7
from emailgistics.common.models import KeptKey
from emailgistics.common.selftest import refuse_wrong_secrets
from tests.apikeys.factories import client_of, make_key
from tests.factories import make_mailbox
from webhooks.apps import SEALED
from webhooks.files import links
from webhooks.models import Event, Webhook
from webhooks.services.webhooks import create_webhook, headers_of, rotate_secret, secrets_of

pytestmark = pytest.mark.django_db

KEYS = {1: b"1" * 32, 2: b"2" * 32}
HEADERS = {"X-Token": "for the receiver"}


@pytest.fixture(autouse=True)
def _begun_with_one(settings: Settings) -> None:
    settings.API_KEY_PEPPERS = ring(1)
    settings.ENCRYPTION_KEYS = ring(1)
    refuse_wrong_secrets()


def ring(*numbers: int) -> KeyRing:
    """The first is primary."""
    return KeyRing(primary=numbers[0], keys={number: KEYS[number] for number in numbers})


def rotate_keys(*arguments: str) -> Any:
    out = StringIO()
    call_command("rotate_keys", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def rows(report: Any, name: str, number: int) -> dict[str, int]:
    (found,) = [one for one in report["data"] if one["name"] == name]
    return next((entry["rows"] for entry in found["numbers"] if entry["number"] == number), {})


def make_webhook() -> tuple[Webhook, list[str]]:
    """With everything sealed that there is, and what is in it."""
    mailbox = make_mailbox(address=f"box{Webhook.objects.count()}@example.com")
    webhook, _ = create_webhook(mailbox=mailbox, url="", headers=HEADERS)
    rotate_secret(webhook)
    return webhook, secrets_of(webhook, now=timezone.now())


def numbers_of(webhook: Webhook) -> list[int]:
    webhook.refresh_from_db()
    return [number_of(bytes(getattr(webhook, column))) for column in SEALED]


def test_step_by_step_to_the_next_encryption_key(settings: Settings) -> None:
    webhook, secrets = make_webhook()
    tombstones.bury("email", ["email_1"], by="grace")
    link = links.url(event := Event(), links.RAW).rpartition("/")[2]

    settings.ENCRYPTION_KEYS = ring(1, 2)  # every host can read it
    refuse_wrong_secrets()
    settings.ENCRYPTION_KEYS = ring(2, 1)  # it becomes primary
    refuse_wrong_secrets()
    before = rows(rotate_keys(), "ENCRYPTION_KEYS", 1)
    assert before == dict.fromkeys(SEALED.values(), 1) | {"derived keys (links, tombstones)": 2}

    report = rotate_keys("--rewrite")
    assert report["rewritten"] == 5
    assert rows(report, "ENCRYPTION_KEYS", 1) == {}
    assert numbers_of(webhook) == [2, 2, 2]
    assert rotate_keys("--rewrite")["rewritten"] == 0

    settings.ENCRYPTION_KEYS = ring(2)  # the old one is dropped
    refuse_wrong_secrets()
    assert secrets_of(webhook, now=timezone.now()) == secrets
    assert headers_of(webhook) == HEADERS
    assert tombstones.buried("email", ["email_1"]) == {"email_1"}
    assert links.verified(event.public_id, links.RAW, link) == event.pk
    # what is kept of the dropped one goes on to the one after it
    settings.ENCRYPTION_KEYS = KeyRing(primary=3, keys={3: b"3" * 32, 2: KEYS[2]})
    rotate_keys("--rewrite")
    settings.ENCRYPTION_KEYS = KeyRing(primary=3, keys={3: b"3" * 32})
    refuse_wrong_secrets()
    assert links.verified(event.public_id, links.RAW, link) == event.pk


def test_a_number_that_was_never_primary_may_go_at_once(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = ring(1, 2)
    refuse_wrong_secrets()
    assert rows(rotate_keys(), "ENCRYPTION_KEYS", 2) == {}
    settings.ENCRYPTION_KEYS = ring(1)
    refuse_wrong_secrets()


def test_what_does_not_open_is_named_and_left(settings: Settings) -> None:
    webhook, _ = make_webhook()
    broken = bytes(webhook.sealed_headers or b"")[:-1] + b"?"
    Webhook.objects.filter(pk=webhook.pk).update(sealed_headers=broken)
    settings.ENCRYPTION_KEYS = ring(2, 1)
    out = StringIO()
    with pytest.raises(CommandError, match="do not open"):
        call_command("rotate_keys", "--rewrite", stdout=out)
    assert f"does not open: webhooks.Webhook {webhook.pk}: webhook headers" in out.getvalue()
    assert numbers_of(webhook) == [2, 2, 1]
    assert bytes(webhook.sealed_headers or b"") == broken


def test_who_changes_a_row_while_it_is_rewritten_wins(settings: Settings) -> None:
    webhook, _ = make_webhook()
    settings.ENCRYPTION_KEYS = ring(2, 1)
    column = sealed.SealedColumn("webhooks.Webhook", "sealed_secret", "webhook secrets")
    encrypt = sealed.encrypt
    fresh: list[str] = []

    def change_first(plaintext: bytes, *, context: str) -> bytes:
        if not fresh:
            fresh.append(rotate_secret(webhook, may_end_overlap=True))
        return encrypt(plaintext, context=context)

    with mock.patch.object(sealed, "encrypt", change_first):
        assert column.rewrite().count == 0
    webhook.refresh_from_db()
    assert secrets_of(webhook, now=timezone.now())[0] == fresh[0]


@pytest.mark.django_db(transaction=True)
def test_twice_at_once_beside_rotations_nothing_is_lost(settings: Settings) -> None:
    webhooks = [make_webhook()[0] for _ in range(12)]
    settings.ENCRYPTION_KEYS = ring(2, 1)
    current: dict[Any, str] = {}
    begin = threading.Barrier(3)

    def rewrite() -> None:
        with closing(connection):
            begin.wait()
            rotate_keys("--rewrite")

    def renew() -> None:
        with closing(connection):
            begin.wait()
            for webhook in webhooks[::2]:
                current[webhook.pk] = rotate_secret(webhook, may_end_overlap=True)

    with ThreadPoolExecutor(3) as pool, mock.patch.object(sealed, "BATCH", 5):
        for running in [pool.submit(rewrite), pool.submit(rewrite), pool.submit(renew)]:
            running.result(timeout=120)
    settings.ENCRYPTION_KEYS = ring(2)
    for webhook in webhooks:
        assert numbers_of(webhook) == [2, 2, 2]
        assert headers_of(webhook) == HEADERS
        assert secrets_of(webhook, now=timezone.now())[0] == current.get(webhook.pk, mock.ANY)


def test_keys_of_the_api_go_over_when_they_are_made_anew(settings: Settings) -> None:
    key, plaintext = make_key()
    settings.API_KEY_PEPPERS = ring(2, 1)
    _, later = make_key()
    report = rotate_keys("--rewrite")
    assert rows(report, "API_KEY_PEPPERS", 1) == rows(report, "API_KEY_PEPPERS", 2) == {"API keys in force": 1}
    peppers = report["data"][0]
    assert peppers["numbers"][0]["needed_until"] == key.expires_at.isoformat(timespec="seconds")
    assert client_of(plaintext).get("/v1/me").status_code == client_of(later).get("/v1/me").status_code == 200
    out = StringIO()
    call_command("rotate_keys", stdout=out)
    assert re.search(r"1  1 API keys in force \(the last expires .*\)  until these keys are rotated\n", out.getvalue())


def sealed_fields() -> Iterator[tuple[str, str]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, BinaryField) and field.name.startswith("sealed"):
                yield model._meta.label, field.name


def test_every_sealed_column_can_be_rewritten() -> None:
    assert {(column.label, column.column) for column in sealed.columns()} == set(sealed_fields())
    # and nothing is sealed anywhere else
    base = django_settings.BASE_DIR
    apps_of_ours = ("emailgistics", "mailboxes", "apikeys", "webhooks")
    sources = [path for app in apps_of_ours for path in (base / app).rglob("*.py")]
    sealing = [path for path in sources if re.search(r"(?<![\w.])encrypt\(", path.read_text())]
    callers = {str(path.relative_to(base)) for path in sealing}
    assert callers == {
        "emailgistics/common/crypto.py",
        "emailgistics/common/idempotency.py",
        "emailgistics/common/sealed.py",
        "emailgistics/common/derived_keys.py",
        "emailgistics/console/two_factor.py",
        "webhooks/services/webhooks.py",
    }


def test_a_ciphertext_opens_in_its_row_and_column_alone() -> None:
    webhook, _ = make_webhook()
    other, _ = make_webhook()
    mine = {column: bytes(getattr(webhook, column)) for column in SEALED}
    others = {column: bytes(getattr(other, column)) for column in SEALED}

    def reads(**columns: bytes) -> None:
        Webhook.objects.filter(pk=webhook.pk).update(**mine | columns)
        webhook.refresh_from_db()
        secrets_of(webhook, now=timezone.now())
        headers_of(webhook)

    reads()
    for column in SEALED:
        for moved in (others[column], *(sealed_text for name, sealed_text in mine.items() if name != column)):
            with pytest.raises(DecryptionError):
                reads(**{column: moved})


def test_a_webhook_that_is_put_back_under_another_id_signs_nothing() -> None:
    webhook, _ = make_webhook()
    webhook.pk = uuid7()
    webhook.save(force_insert=True)
    with pytest.raises(DecryptionError):
        secrets_of(webhook, now=timezone.now())
    with pytest.raises(DecryptionError):
        headers_of(webhook)


def test_a_kept_key_opens_in_its_row_alone(settings: Settings) -> None:
    link = links.url(event := Event(), links.RAW).rpartition("/")[2]
    settings.ENCRYPTION_KEYS = ring(2, 1)
    rotate_keys("--rewrite")
    settings.ENCRYPTION_KEYS = ring(2)
    assert links.verified(event.public_id, links.RAW, link) == event.pk
    other = KeptKey.objects.get(pk="tombstones:1")
    KeptKey.objects.filter(pk="links:1").update(sealed=other.sealed)
    assert links.verified(event.public_id, links.RAW, link) is None
