"""Changing webhooks: their secrets, their own headers, and who may do what at the same time."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common.crypto import DecryptionError
from emailgistics.common.errors import NotFoundError, RefusedError
from mailboxes.services import provision
from tests.factories import make_alias, make_mailbox, make_webhook
from tests.webhooks.rows import URL, again, make_own_webhook
from webhooks import guard
from webhooks.models import Webhook
from webhooks.services import queue, webhooks
from webhooks.services.webhooks import headers_of, secrets_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("loopback_allowed")]

TOKEN = "Bearer a-token-nobody-may-read"
OWN = {"Authorization": TOKEN, "X-Tenant": "support-team"}


def now_secrets(webhook: Webhook) -> list[str]:
    return secrets_of(again(webhook), now=timezone.now())


def row_dump() -> bytes:
    (row,) = Webhook.objects.values_list()
    return b"\n".join(bytes(value) if isinstance(value, memoryview | bytes) else str(value).encode() for value in row)


def at_once(*calls: Callable[[], Any]) -> list[BaseException]:
    """Runs them in threads that begin together; what they raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> None:
        try:
            start.wait(60)
            call()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return raised


def test_headers_are_kept_sealed_for_their_row_alone() -> None:
    webhook, secret = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    assert (webhook.header_names, headers_of(webhook)) == (["Authorization", "X-Tenant"], OWN)
    dumped = row_dump()
    for value in (TOKEN, "a-token-nobody-may-read", "support-team", secret, secret.removeprefix("whsec_")):
        assert value.encode() not in dumped
    other = make_webhook(mailbox=webhook.mailbox)
    Webhook.objects.filter(pk=other.pk).update(sealed_headers=webhook.sealed_headers, header_names=webhook.header_names)
    with pytest.raises(DecryptionError):
        headers_of(again(other))


def test_headers_whose_names_were_altered_do_not_open() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    for altered in ({"header_names": ["Authorization"]}, {"sealed_headers": None}):
        Webhook.objects.update(**altered)  # type: ignore[arg-type]
        with pytest.raises(DecryptionError):
            headers_of(again(webhook))


def test_a_webhook_is_not_made_with_a_header_that_is_ours() -> None:
    mailbox = make_mailbox()
    for headers in ({"Webhook-Id": "evt_mine"}, {"X-Api-Key": "***"}, {"A": "1", "a": "2"}):
        with pytest.raises(RefusedError) as refused:
            make_own_webhook(mailbox=mailbox, headers=headers)
        assert refused.value.field == "headers"
    assert not Webhook.objects.exists()


def test_a_change_of_one_thing_leaves_the_others() -> None:
    webhook, secret = make_own_webhook(mailbox=make_mailbox(), headers=OWN, description="one")
    assert webhooks.update_webhook(webhook, description="two") is None
    assert webhooks.update_webhook(webhook, payload="metadata") is None
    assert webhooks.update_webhook(webhook) is None
    row = again(webhook)
    assert (row.description, row.payload, row.url, headers_of(row)) == ("two", "metadata", URL, OWN)
    assert (webhook.description, webhook.payload) == ("two", "metadata")
    assert now_secrets(webhook) == [secret]


def test_headers_are_replaced_as_a_whole_and_none_keeps_a_value() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    webhooks.update_webhook(webhook, headers={"authorization": None, "X-New": "n"})
    assert headers_of(again(webhook)) == {"authorization": TOKEN, "X-New": "n"}
    assert webhook.header_names == ["authorization", "X-New"]
    webhooks.update_webhook(webhook, headers={})
    row = again(webhook)
    assert (headers_of(row), row.header_names, row.sealed_headers) == ({}, [], None)
    with pytest.raises(RefusedError, match="has no value yet"):
        webhooks.update_webhook(webhook, headers={"X-New": None})


def test_a_refused_change_changes_nothing() -> None:
    webhook, secret = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    before = Webhook.objects.values().get()
    for change in (
        {"url": "http://127.0.0.1:10/", "headers": {"Host": "x"}},
        {"url": "http://192.0.2.1/"},
        {"headers": {"X-Unknown": None}},
        {"description": "x" * 501},
        {"description": "nul\0"},
        {"payload": "some", "description": "new"},
    ):
        with pytest.raises(RefusedError):
            webhooks.update_webhook(webhook, **change)  # type: ignore[arg-type]
    assert Webhook.objects.values().get() == before
    assert now_secrets(webhook) == [secret]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/other", "http://127.0.0.1:9", "HTTP://127.0.0.1:9/hook?x=1"],
)
def test_another_path_is_the_same_receiver(url: str) -> None:
    webhook, secret = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    assert webhooks.update_webhook(webhook, url=url) is None
    assert (headers_of(again(webhook)), now_secrets(webhook)) == (OWN, [secret])


def test_a_default_port_makes_no_other_receiver() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), url="http://127.0.0.1/a", headers=OWN)
    assert webhooks.update_webhook(webhook, url="http://127.0.0.1:80/b") is None
    assert headers_of(again(webhook)) == OWN


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://hooks.example.net/a", "https://HOOKS.example.net:443/b?c", True),
        ("HTTPS://hooks.example.net", "https://hooks.example.net/", True),
        ("http://hooks.example.net/", "http://hooks.example.net:80/", True),
        ("https://bücher.example/", "https://xn--bcher-kva.example/", True),
        ("https://[2001:DB8::1]/", "https://[2001:db8:0::1]:443/", True),
        ("https://hooks.example.net/", "https://hooks.example.net:8443/", False),
        ("https://hooks.example.net/", "http://hooks.example.net/", False),
        ("https://hooks.example.net/", "http://hooks.example.net:443/", False),
        ("https://hooks.example.net/", "https://hooks.example.net./", False),
        ("https://hooks.example.net/", "https://hooks.example.net.evil.example/", False),
        ("nonsense", "nonsense", False),
    ],
)
def test_one_receiver_is_one_scheme_host_and_port_as_they_are_dialled(one: str, other: str, is_same: bool) -> None:
    assert guard.is_same_origin(one, other) is is_same
    assert guard.is_same_origin(other, one) is is_same


@pytest.mark.parametrize("url", ["http://127.0.0.1:10/hook", "https://127.0.0.1:9/hook", "http://127.0.0.2:9/hook"])
def test_another_scheme_host_or_port_is_another_receiver(url: str, settings: Settings) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.0/8"]
    webhook, secret = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    rotated = webhooks.rotate_secret(webhook)
    assert now_secrets(webhook) == [rotated, secret]
    renewed = webhooks.update_webhook(webhook, url=url, headers={"Authorization": None, "X-New": "given"})
    assert renewed is not None
    assert renewed not in (secret, rotated)
    row = again(webhook)
    assert now_secrets(webhook) == [renewed]
    assert (row.sealed_previous_secret, row.previous_secret_until) == (None, None)
    assert headers_of(row) == {"X-New": "given"}
    assert webhooks.update_webhook(webhook, url=URL) is not None
    assert headers_of(again(webhook)) == {}


def test_values_that_do_not_open_any_more_can_be_given_again() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    Webhook.objects.update(sealed_headers=b"\x01\x00\x01" + b"0" * 40)
    with pytest.raises(RefusedError, match="give all of them again"):
        webhooks.update_webhook(webhook, headers={"Authorization": None})
    webhooks.update_webhook(webhook, headers={"Authorization": "anew"})
    assert headers_of(again(webhook)) == {"Authorization": "anew"}


def test_a_rotation_overlaps_by_the_databases_clock_and_is_wiped_after_it() -> None:
    webhook, first = make_own_webhook(mailbox=make_mailbox())
    second = webhooks.rotate_secret(webhook, overlap=timedelta(hours=1))
    assert webhook.previous_secret_until is not None
    until = webhook.previous_secret_until
    assert abs(until - timezone.now() - timedelta(hours=1)) < timedelta(seconds=5)
    assert secrets_of(webhook, now=until - timedelta(milliseconds=1)) == [second, first]
    assert secrets_of(webhook, now=until) == [second]
    queue.settle()
    assert again(webhook).sealed_previous_secret is not None
    Webhook.objects.update(previous_secret_until=Now())
    queue.settle()
    row = again(webhook)
    assert (row.sealed_previous_secret, row.previous_secret_until) == (None, None)
    assert now_secrets(webhook) == [second]


def test_the_default_overlap_is_a_day_and_seven_are_the_most() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    webhooks.rotate_secret(webhook)
    assert webhook.previous_secret_until is not None
    assert abs(webhook.previous_secret_until - timezone.now() - timedelta(hours=24)) < timedelta(seconds=5)
    webhooks.rotate_secret(webhook, overlap=timedelta(days=7), may_end_overlap=True)
    for overlap in (timedelta(days=7, seconds=1), timedelta(seconds=-1)):
        with pytest.raises(RefusedError) as refused:
            webhooks.rotate_secret(webhook, overlap=overlap)
        assert refused.value.field == "overlap"


def test_without_overlap_the_old_secret_ends_at_once() -> None:
    webhook, first = make_own_webhook(mailbox=make_mailbox())
    second = webhooks.rotate_secret(webhook)
    third = webhooks.rotate_secret(webhook, overlap=timedelta(0))
    assert now_secrets(webhook) == [third]
    assert again(webhook).sealed_previous_secret is None
    assert len({first, second, third}) == 3


def test_rotating_within_an_overlap_is_refused_unless_one_says_that_the_previous_one_may_end() -> None:
    webhook, first = make_own_webhook(mailbox=make_mailbox())
    second = webhooks.rotate_secret(webhook)
    with pytest.raises(webhooks.RotationOverlapsError):
        webhooks.rotate_secret(webhook)
    assert now_secrets(webhook) == [second, first]
    third = webhooks.rotate_secret(webhook, may_end_overlap=True)
    assert now_secrets(webhook) == [third, second]


def test_a_previous_secret_does_not_open_as_a_current_one() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    webhooks.rotate_secret(webhook)
    Webhook.objects.update(sealed_secret=again(webhook).sealed_previous_secret)
    with pytest.raises(DecryptionError):
        now_secrets(webhook)


def test_a_secret_that_does_not_open_can_be_rotated_away() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    Webhook.objects.update(sealed_secret=b"\x01\x00\x01" + b"0" * 40)
    fresh = webhooks.rotate_secret(webhook)
    assert (now_secrets(webhook), webhook.previous_secret_until) == ([fresh], None)


@pytest.mark.parametrize("end", ["webhook", "alias", "mailbox"])
@pytest.mark.parametrize("change", ["update", "rotate", "resume"])
def test_what_was_deleted_meanwhile_is_not_found_and_stays_as_it_is(end: str, change: str) -> None:
    alias = make_alias()
    webhook, _ = make_own_webhook(alias=alias)
    {
        "webhook": lambda: webhooks.delete_webhook(webhook),
        "alias": lambda: provision.delete_alias(alias),
        "mailbox": lambda: provision.delete_mailbox(alias.mailbox, with_mail=True),
    }[end]()
    before = Webhook.objects.values().get()
    changes: dict[str, Callable[[], Any]] = {
        "update": lambda: webhooks.update_webhook(webhook, url="http://127.0.0.1:10/", description="new"),
        "rotate": lambda: webhooks.rotate_secret(webhook),
        "resume": lambda: webhooks.resume_webhook(webhook),
    }
    with pytest.raises(NotFoundError):
        changes[change]()
    assert Webhook.objects.values().get() == before


def test_a_change_by_who_read_it_before_a_pause_does_not_undo_the_pause() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    stale = again(webhook)
    webhooks.pause_webhook(webhook, reason="for a while")
    webhooks.update_webhook(stale, url="http://127.0.0.1:10/", description="new", headers={"X-A": "1"})
    webhooks.rotate_secret(stale)
    row = again(webhook)
    assert (row.state, row.state_reason, row.description) == ("paused", "for a while", "new")
    assert (stale.state, stale.state_reason) == ("paused", "for a while")


@pytest.mark.parametrize("change", [webhooks.pause_webhook, webhooks.resume_webhook, webhooks.delete_webhook])
def test_workers_are_nudged_once_the_callers_transaction_has_ended(
    change: Callable[[Webhook], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    nudged: list[bool] = []

    def nudge(_: str) -> None:
        nudged.append(connection.in_atomic_block)
        raise OSError("the broker is away, which is nobody's fault")

    monkeypatch.setattr(webhooks, "nudge", nudge)
    with transaction.atomic():
        change(webhook)
        assert nudged == []
    assert nudged == [False]


def test_a_name_is_not_looked_up_inside_a_transaction_and_a_judged_url_need_not_be() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    url, judged = "https://hooks.example/", guard.check_url("https://hooks.example/", lookup=lambda *_: [])
    for call in (
        lambda: guard.check_url(url),
        lambda: webhooks.create_webhook(url=url, mailbox=webhook.mailbox),
        lambda: webhooks.update_webhook(webhook, url=url),
    ):
        with pytest.raises(transaction.TransactionManagementError, match="outside transactions"), transaction.atomic():
            call()
    with transaction.atomic():
        webhooks.create_webhook(url=judged, mailbox=webhook.mailbox)
        webhooks.update_webhook(webhook, url=judged)
    assert list(Webhook.objects.values_list("url", flat=True)) == [url, url]


def test_two_rotations_at_once_follow_one_another() -> None:
    webhook, first = make_own_webhook(mailbox=make_mailbox())
    made: list[str] = []
    for _ in range(5):
        made.clear()
        raised = at_once(*[lambda: made.append(webhooks.rotate_secret(again(webhook), may_end_overlap=True))] * 2)
        assert raised == []
        current, previous = now_secrets(webhook)
        # each caller has a secret that signs, and nobody has one that never did
        assert {current, previous} == set(made)
        assert first not in (current, previous)


def test_a_rotation_and_a_move_to_another_receiver_at_once_leave_one_of_their_secrets() -> None:
    webhook, first = make_own_webhook(mailbox=make_mailbox())
    shown: dict[str, str | None] = {}
    for number in range(5):
        url = f"http://127.0.0.1:{100 + number}/"
        raised = at_once(
            lambda: shown.update(rotated=webhooks.rotate_secret(again(webhook), may_end_overlap=True)),
            lambda url=url: shown.update(renewed=webhooks.update_webhook(again(webhook), url=url)),
        )
        assert raised == []
        signing, row = now_secrets(webhook), again(webhook)
        assert row.url == url
        assert signing in ([shown["renewed"]], [shown["rotated"], shown["renewed"]])
        assert first not in signing


def test_a_change_waits_for_the_one_before_and_keeps_its_headers() -> None:
    webhook, _ = make_own_webhook(mailbox=make_mailbox(), headers=OWN)
    for number in range(5):
        raised = at_once(
            lambda: webhooks.update_webhook(again(webhook), headers={"Authorization": None, "X-Tenant": None}),
            lambda number=number: webhooks.update_webhook(again(webhook), description=f"number {number}"),
        )
        assert raised == []
        assert (headers_of(again(webhook)), again(webhook).description) == (OWN, f"number {number}")


@pytest.mark.on_postgres
def test_storing_mail_for_a_webhook_does_not_wait_while_it_is_changed() -> None:
    from tests.webhooks.rows import make_delivery_in

    webhook, _ = make_own_webhook(mailbox=make_mailbox())
    assert webhook.mailbox is not None
    mailbox, stored = webhook.mailbox, threading.Event()

    def store() -> None:
        make_delivery_in(mailbox, webhook)
        stored.set()
        connection.close()

    with transaction.atomic():
        webhooks._locked(webhook)
        thread = threading.Thread(target=store)
        thread.start()
        assert stored.wait(60)
    thread.join(10)
