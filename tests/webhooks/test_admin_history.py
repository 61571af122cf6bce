"""The console's pages of deliveries, attempts and events: all is shown, nothing can be changed, lists stay small."""

import json
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib import admin as django_admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emailgistics.common.admin import first_id_since
from tests.factories import RAW, make_delivery, make_domain, make_email, make_mailbox, make_webhook
from tests.webhooks.browsing import make_job
from webhooks.admin import show
from webhooks.models import (
    Attempt,
    Delivery,
    Event,
    EventBody,
    Notice,
    OutgoingStop,
    ReplayJob,
    Webhook,
    WebhookHealth,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

HISTORY = {
    model: f"/admin/webhooks/{model._meta.model_name}/"
    for model in (Delivery, Attempt, Event, EventBody, ReplayJob, Notice)
}
LEASE = UUID("00000000-0000-7000-8000-000000000000")


def page(row: Any, what: str = "change") -> str:
    return f"/admin/webhooks/{row._meta.model_name}/{row.pk}/{what}/"


def get(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query)
    assert answer.status_code == HTTPStatus.OK, url
    text: str = answer.content.decode()
    return text


def listed(client: Client, model: Any, **query: str) -> list[Any]:
    answer = client.get(HISTORY[model], query)
    assert answer.status_code == HTTPStatus.OK, query
    return [row.pk for row in answer.context["cl"].result_list]


def make_attempt(delivery: Delivery, *, n: int = 1, **fields: Any) -> Attempt:
    values = {"started_at": timezone.now(), "status": 500, "total_ms": 100} | fields
    return Attempt.objects.create(delivery=delivery, n=n, **values)


# --- who may, and what


def test_every_model_of_the_app_has_its_page() -> None:
    models = set(apps.get_app_config("webhooks").get_models())
    # health is on the page of its webhook, the stop on top of every page
    on_other_pages = {WebhookHealth, OutgoingStop}
    assert {model for model in models if django_admin.site.is_registered(model)} == models - on_other_pages
    assert models == {*HISTORY, Webhook, *on_other_pages}


def test_history_is_for_system_administrators_and_nobody_changes_it(admin: Client) -> None:
    attempt = make_attempt(make_delivery(make_webhook()))
    webhook = attempt.delivery.webhook
    notice = Notice.objects.create(webhook=webhook, kind=Notice.Kind.RECOVERED, text="again", at=timezone.now())
    rows = (attempt, attempt.delivery, attempt.delivery.event, attempt.delivery.body, make_job(webhook), notice)
    others = Client()
    others.force_login(User.objects.create_user("staff", is_staff=True))
    for row in rows:
        for url in (HISTORY[type(row)], page(row)):
            assert admin.get(url).status_code == HTTPStatus.OK
            assert others.get(url).status_code == HTTPStatus.FORBIDDEN
            assert Client().get(url).status_code == HTTPStatus.FOUND
        assert admin.post(page(row), {"state": "delivered"}).status_code == HTTPStatus.FORBIDDEN
        assert admin.post(page(row, "delete"), {"post": "yes"}).status_code == HTTPStatus.FORBIDDEN
        assert admin.get(HISTORY[type(row)] + "add/").status_code == HTTPStatus.FORBIDDEN


# --- lists


def test_lists_take_as_many_queries_for_many_rows_as_for_one_and_load_no_body(admin: Client) -> None:
    webhooks = [make_webhook(), make_webhook(domain=make_domain())]

    def fill() -> None:
        for webhook in webhooks:
            make_job(webhook)
            Notice.objects.create(webhook=webhook, kind=Notice.Kind.RECOVERED, text="again", at=timezone.now())
            make_attempt(make_delivery(webhook, content=b"a body that no list loads"))

    def queries(url: str) -> list[str]:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            get(admin, url)
        return [query["sql"] for query in captured.captured_queries]

    fill()
    before = {url: len(queries(url)) for url in HISTORY.values()}
    for _ in range(5):
        fill()
    after = {url: queries(url) for url in HISTORY.values()}
    assert {url: len(sql) for url, sql in after.items()} == before
    # the session and user, its groups, whether all is stopped, how many there are, the rows; the webhooks that the
    # filter offers
    with_webhooks = ("/delivery/", "/replayjob/", "/notice/")
    assert before == {url: 7 if any(name in url for name in with_webhooks) else 6 for url in before}
    for url, sql in after.items():
        columns = " ".join(statement.partition(" FROM ")[0] for statement in sql)
        for column in ('"body"."body"', 'eventbody"."body"', "sealed_", "response_"):
            assert column not in columns.replace('LENGTH("webhooks_eventbody"."body")', ""), url


def test_deliveries_are_narrowed_by_state_webhook_and_time(admin: Client) -> None:
    one, other = make_webhook(), make_webhook(domain=make_domain())
    pending, failed = make_delivery(one), make_delivery(other, state="failed")
    long_ago = first_id_since(timezone.now() - timedelta(days=3))
    old = make_delivery(one, pk=long_ago)
    assert listed(admin, Delivery) == [failed.pk, pending.pk, old.pk]
    assert listed(admin, Delivery, state__exact="failed") == [failed.pk]
    assert listed(admin, Delivery, webhook=str(one.pk)) == [pending.pk, old.pk]
    assert listed(admin, Delivery, since="24h") == [failed.pk, pending.pk]
    assert listed(admin, Delivery, since="7d", webhook=str(one.pk)) == [pending.pk, old.pk]
    assert listed(admin, Delivery, webhook="nonsense") == []


def test_rows_are_found_by_a_pasted_id_of_theirs_or_of_what_they_belong_to(admin: Client) -> None:
    webhook = make_webhook()
    delivery = make_delivery(webhook)
    make_attempt(make_delivery(webhook))
    attempt, event = make_attempt(delivery), delivery.event
    for text in (delivery.public_id, event.public_id, f" {event.email.public_id} "):
        assert listed(admin, Delivery, q=text) == [delivery.pk], text
        assert listed(admin, Event, q=text) == [event.pk], text
    assert len(listed(admin, Delivery, q=webhook.public_id)) == 2
    assert listed(admin, Attempt, q=delivery.public_id) == [attempt.pk]
    assert listed(admin, EventBody, q=event.public_id) == [delivery.body_id]
    for nothing in ("Broken engine", "dlv_nonsense", "mbx_" + delivery.public_id[4:]):
        assert listed(admin, Delivery, q=nothing) == []


def test_counts_stop_where_they_are_told_to(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = make_webhook()
    for _ in range(4):
        make_delivery(webhook, state="held")
    make_delivery(webhook)

    def open_ones() -> tuple[int, int]:
        (row,) = admin.get("/admin/webhooks/webhook/").context["cl"].result_list
        return row.waiting_count, row.held_count

    assert open_ones() == (1, 4)
    monkeypatch.setattr(show, "MAX_OPEN", 2)
    monkeypatch.setattr(show, "MAX_COUNTED", 2)
    assert sum(open_ones()) == 3
    assert ">at least 2</a>" in get(admin, "/admin/webhooks/webhook/")
    assert "at least 3 deliveries held" in get(admin, page(webhook, "delete"))


# --- one delivery


def test_a_delivery_tells_when_the_next_attempt_is_and_why(admin: Client) -> None:
    webhook = make_webhook()
    soon = timezone.now() + timedelta(minutes=10, seconds=30)
    told = {
        "in 10\xa0minutes": make_delivery(webhook, due_at=soon, failures=3, attempts=3, reason="answered 500"),
        "after 3 failed attempts": make_delivery(webhook, due_at=soon, failures=3, attempts=3),
        "the first one": make_delivery(webhook),
        "being made": make_delivery(webhook, lease_id=LEASE, attempts=1),
        "when the webhook is active again": make_delivery(webhook, state="held", reason="the webhook is paused"),
        "the webhook is paused": make_delivery(webhook, state="held", reason="the webhook is paused"),
        "exhausted after 16 attempts": make_delivery(webhook, state="failed", reason="exhausted after 16 attempts"),
    }
    for text, delivery in told.items():
        assert text in get(admin, page(delivery)), text
        assert text in get(admin, HISTORY[Delivery], q=delivery.public_id), text
    exact = timezone.localtime(soon).strftime("%Y-%m-%d %H:%M:%S")
    assert f"{exact}</time>" in get(admin, page(told["in 10\xa0minutes"]))


def test_a_delivery_shows_its_attempts_with_times_answer_and_address(admin: Client) -> None:
    delivery = make_delivery(make_webhook(), attempts=3, failures=3)
    make_attempt(delivery, n=1, dns_ms=10, connect_ms=20, first_byte_ms=90, total_ms=200, peer_ip="192.0.2.7")
    make_attempt(delivery, n=2, status=None, error="connect_timeout", detail="No answer within 5 s.", total_ms=50)
    make_attempt(delivery, n=3, status=None, error="lost", total_ms=None)
    text = get(admin, page(delivery))
    assert "DNS 10 ms, connect 20 ms, first byte after 90 ms, 200 ms in all" in text
    widths = [
        (name, share)
        for bar in show.bars(list(delivery.attempt_log.all()))
        for name, _, share in map(parts, bar["spans"])
    ]
    assert widths == [("dns", 5.0), ("connect", 10.0), ("wait", 30.0), ("read", 55.0), ("wait", 25.0)]
    assert '<rect class="wh-connect" x="5.0" width="10.0" height="12"/>' in text
    for part in ("to 192.0.2.7", "connect_timeout", "No answer within 5 s.", "lost"):
        assert part in text


def parts(span: show.Span) -> tuple[str, int, float]:
    return span.name, span.ms, span.share


def test_what_strangers_sent_is_shown_as_text_with_its_controls_written_out(admin: Client) -> None:
    content = json.dumps({"subject": "<script>alert(1)</script>\u202egpj.exe"}, ensure_ascii=False).encode()
    delivery = make_delivery(make_webhook(), content=content)
    answer = b"\x1b[31mred</pre><script>evil()</script>\xff\x00\r\nnext line \xe2\x80\xae"
    attempt = make_attempt(delivery, response_headers=b"Server: <b>x</b>\r\nX: \x07", response_excerpt=answer)
    for url in (page(delivery), page(attempt), page(delivery.event), page(delivery.body)):
        text = get(admin, url)
        assert "<script>alert(1)" not in text
        assert "<script>evil" not in text
        assert "<b>x" not in text
        assert not {"\x1b", "\x00", "\x07", "\u202e"} & set(text)
    shown = get(admin, page(delivery.body)) + get(admin, page(attempt))
    for written_out in (r"\x1b[31mred", r"\xff\x00", r"\u202egpj.exe", r"X: \x07", "&lt;script&gt;alert(1)"):
        assert written_out in shown


def test_of_a_large_body_only_the_beginning_leaves_the_database(admin: Client) -> None:
    content = b'{"text":"' + b"x" * 1_000_000 + b'"}'
    delivery = make_delivery(make_webhook(), content=content)
    for url in (page(delivery), page(delivery.event)):  # they look again by themselves, and do not show it
        text = get(admin, url)
        assert "1,000,011 octets" in text
        assert page(delivery.body) in text
        assert "xxx" not in text
    text = get(admin, page(delivery.body))
    assert "1,000,011 octets" in text
    assert "Only the first 16,384 octets are shown." in text
    assert text.count("x" * 1000) == 16
    assert "Indented here for reading" in get(admin, page(make_delivery(make_webhook(domain=make_domain())).body))


def test_an_event_shows_its_deliveries_and_each_of_its_bodies(admin: Client) -> None:
    mailbox = make_mailbox()
    full = make_webhook(mailbox=mailbox)
    thin = make_webhook(domain=mailbox.domain)
    Webhook.objects.filter(pk=thin.pk).update(payload="metadata")
    email = make_email(raw=RAW.replace(b"Broken engine", b"=?utf-8?q?Caf=C3=A9?="))
    event = Event.objects.get(email=email)
    text = get(admin, page(event))
    assert "Full form" in text
    assert "Metadata form" in text
    assert "It does not turn." not in text
    full_body = EventBody.objects.get(event=event, form="full")
    assert page(full_body) in text
    assert "It does not turn." in get(admin, page(full_body))
    for delivery in event.deliveries.all():
        assert page(delivery) in text
    assert {delivery.webhook_id for delivery in event.deliveries.all()} == {full.pk, thin.pk}
    assert "Café" in get(admin, HISTORY[Delivery])


def test_a_page_takes_few_queries_however_many_attempts(admin: Client) -> None:
    delivery = make_delivery(make_webhook())
    for n in range(1, 16):
        make_attempt(delivery, n=n)
    with CaptureQueriesContext(connection) as captured:
        get(admin, page(delivery))
    # the session, the user, the delivery, its attempts, the beginning of its body, whether all is stopped
    assert len(captured) == 6
