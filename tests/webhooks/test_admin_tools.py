"""What administrators find out with, in the console: a test, replays, the full payload again, a look at a signature."""

import logging
from datetime import UTC, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.factories import make_delivery, make_email, make_mailbox, make_webhook
from tests.webhooks.browsing import make_job, page, send, text_of, token_in
from webhooks import signing
from webhooks.models import Delivery, Event, Notice, ReplayJob, Webhook, WebhookHealth
from webhooks.services import replay_jobs, webhooks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

State = Delivery.State
LEASE = "00000000-0000-7000-8000-000000000000"
OF_WEBHOOK = ("test", "full", "replay", "signature")


def page_of(delivery: Delivery | ReplayJob, what: str = "change") -> str:
    return f"/admin/webhooks/{delivery._meta.model_name}/{delivery.pk}/{what}/"


def shown(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == HTTPStatus.OK, url
    return " ".join(text_of(answer).split())


# --- who may


def test_everything_is_for_system_administrators_and_nothing_happens_by_looking(admin: Client) -> None:
    webhook = make_webhook()
    ended, waiting, job = make_delivery(webhook, state="failed"), make_delivery(webhook), make_job(webhook)
    urls = [page(webhook, verb) for verb in OF_WEBHOOK]
    urls += [page_of(ended, "replay"), page_of(waiting, "cancel"), page_of(waiting, "retry"), page_of(job, "cancel")]
    urls += [f"/admin/webhooks/delivery/of-email/{ended.event.email_id}/replay/"]
    staff, forged = Client(), Client(enforce_csrf_checks=True)
    staff.force_login(User.objects.create_user("staff", is_staff=True))
    forged.cookies = admin.cookies

    def everything() -> list[Any]:
        return [list(model.objects.order_by("pk").values()) for model in (Webhook, Delivery, ReplayJob, Event)]

    before = everything()
    for url in urls:
        # a look at a signature does nothing, so it may be done twice
        form = {} if "/signature/" in url else {"form_token": token_in(admin.get(url))}
        for client, status in ((staff, HTTPStatus.FORBIDDEN), (Client(), HTTPStatus.FOUND)):
            assert client.get(url).status_code == status, url
            assert client.post(url, form).status_code == status, url
        assert forged.post(url, form).status_code == HTTPStatus.FORBIDDEN, url
        assert admin.post(url, {"form_token": "nonsense"}).status_code == HTTPStatus.OK, url
    assert everything() == before


@pytest.mark.parametrize("verb", OF_WEBHOOK)
def test_nothing_is_offered_for_what_is_deleted(admin: Client, verb: str) -> None:
    webhook = make_webhook()
    webhooks.delete_webhook(webhook)
    assert admin.get(page(webhook, verb)).status_code == HTTPStatus.NOT_FOUND
    assert f"/{verb}/" not in text_of(admin.get(page(webhook)))


# --- a test


def test_the_button_sends_one_test_and_leads_to_what_comes_of_it(admin: Client) -> None:
    webhook = make_webhook()
    url = page(webhook, "test")
    form = {"form_token": token_in(admin.get(page(webhook)), within=f'action="{url}"')}
    answer, again = admin.post(url, form), admin.post(url, form, follow=True)
    delivery = Delivery.objects.get()
    assert (delivery.is_test, delivery.event.type, delivery.event.email) == (True, "webhook.test", None)
    assert answer["Location"] == page_of(delivery)
    assert "this is what it did" in text_of(again)
    text = shown(admin, page_of(delivery))
    assert 'data-refresh-s="1"' in text
    assert "a test is tried once" in text
    for where in ("/admin/webhooks/delivery/", "/admin/webhooks/event/", "/admin/webhooks/eventbody/", page(webhook)):
        assert "a test" in shown(admin, where), where


def test_a_test_that_failed_shows_the_true_error_and_looks_no_longer(admin: Client) -> None:
    webhook = make_webhook()
    answer = send(admin, page(webhook, "test"))
    delivery = Delivery.objects.get()
    delivery.attempt_log.create(
        n=1, started_at=timezone.now(), error="connect_refused", detail="127.0.0.1 port 9: refused.", total_ms=3
    )
    Delivery.objects.update(state="failed", attempts=1, failures=1, last_error="connect_refused")
    text = shown(admin, answer["Location"])
    assert "The test failed. 127.0.0.1 port 9: refused." in text
    assert 'data-refresh-s="0"' in text
    assert "Send another test" in text
    assert page_of(delivery, "replay") not in text


def test_without_a_url_no_test_is_offered(admin: Client) -> None:
    webhook = make_webhook(url="")
    assert page(webhook, "test") not in text_of(admin.get(page(webhook)))
    assert "no URL: deliveries are pulled" in shown(admin, "/admin/webhooks/webhook/")


# --- one delivery


@pytest.mark.parametrize("state", ["delivered", "failed", "canceled", "expired"])
def test_an_ended_delivery_is_replayed_after_a_question(admin: Client, state: str) -> None:
    delivery = make_delivery(make_webhook(), state=state, failures=4)
    text = shown(admin, page_of(delivery))
    assert page_of(delivery, "replay") in text
    assert page_of(delivery, "cancel") not in text
    assert "under the same webhook-id" in shown(admin, page_of(delivery, "replay"))
    assert send(admin, page_of(delivery, "replay"))["Location"] == page_of(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.generation, delivery.failures) == ("pending", 2, 0)
    assert delivery.reason == "replayed by an administrator, in the console"
    assert ">once<" in shown(admin, page_of(delivery))


def test_the_span_of_a_replay_is_of_the_clock_on_the_wall_of_who_asks(admin: Client) -> None:
    admin.cookies["emailgistics_time_zone"] = "Asia/Kolkata"
    webhook = make_webhook()
    assert "In the time zone Asia/Kolkata." in shown(admin, page(webhook, "replay"))
    span = {"since": "2026-06-01T10:00", "until": "2026-06-01T11:00"}
    send(admin, page(webhook, "replay"), **span, of_state="failed", rate_per_minute="60")
    assert ReplayJob.objects.get().since.astimezone(UTC).isoformat() == "2026-06-01T04:30:00+00:00"


def test_what_is_on_its_way_is_not_replayed_and_that_is_said(admin: Client) -> None:
    delivery = make_delivery(make_webhook(), state="failed")
    form = {"form_token": token_in(admin.get(page_of(delivery, "replay")))}
    Delivery.objects.update(state="pending")
    assert "This delivery is on its way already" in text_of(admin.post(page_of(delivery, "replay"), form))
    delivery.refresh_from_db()
    assert delivery.generation == 1


def test_a_waiting_delivery_is_sent_now_or_canceled(admin: Client) -> None:
    later = timezone.now() + timedelta(hours=3)
    delivery = make_delivery(make_webhook(), due_at=later, failures=2)
    text = admin.get(page_of(delivery))
    assert page_of(delivery, "replay") not in text_of(text)
    retry = page_of(delivery, "retry")
    admin.post(retry, {"form_token": token_in(text, within=f'action="{retry}"')})
    delivery.refresh_from_db()
    assert (delivery.state, delivery.failures) == ("pending", 2)
    assert delivery.due_at <= timezone.now() + timedelta(seconds=1)
    assert retry not in shown(admin, page_of(delivery))
    send(admin, page_of(delivery, "cancel"))
    delivery.refresh_from_db()
    assert (delivery.state, delivery.reason) == ("canceled", "canceled by an administrator, in the console")
    assert "It does not go out: canceled by an administrator, in the console." in shown(admin, page_of(delivery))
    assert LogEntry.objects.get(object_id=str(delivery.pk), change_message="Canceled.").user.username == "grace"


def test_the_next_attempt_says_what_keeps_it_back(admin: Client) -> None:
    webhook, now = make_webhook(), timezone.now()
    delivery = make_delivery(webhook)
    assert "the first one" in shown(admin, page_of(delivery))
    Webhook.objects.update(rate_per_minute=30)
    assert "its webhook takes at most 30 a minute" in shown(admin, page_of(delivery))
    Webhook.objects.update(rate_per_minute=None)
    Delivery.objects.update(deferred_since=now, reason="our resolver does not answer")
    assert "put off, which does not count as failed: our resolver does not answer" in shown(admin, page_of(delivery))
    WebhookHealth.objects.filter(webhook=webhook).update(open_until=now + timedelta(minutes=9), open_for_s=600)
    assert "in 8\xa0minutes" in text_of(admin.get(page_of(delivery)))
    assert "circuit breaker open: most attempts fail" in shown(admin, page_of(delivery))


def test_what_is_not_kept_any_more_is_said(admin: Client) -> None:
    delivery = make_delivery(make_webhook(), state="expired")
    Delivery.objects.update(body=None)
    text = shown(admin, page_of(delivery))
    assert "It is not kept any more" in text
    assert "It expired: it was not delivered in time" in text


def test_events_that_are_about_no_email_have_their_pages_everywhere(admin: Client) -> None:
    webhook = make_webhook()
    event = Event.objects.create(type="webhook.disabled", webhook=webhook, created_at=timezone.now())
    body = event.bodies.create(form="full", body=b'{"type":"webhook.disabled"}')
    held = {"state": "held", "due_at": timezone.now()}
    delivery = Delivery.objects.create(event=event, webhook=webhook, body=body, **held)
    urls = [f"/admin/webhooks/{kind}/" for kind in ("delivery", "event", "eventbody")]
    urls += [
        page_of(delivery),
        f"/admin/webhooks/event/{event.pk}/change/",
        f"/admin/webhooks/eventbody/{body.pk}/change/",
    ]
    urls += [page(webhook), page(webhook, "resume"), page(webhook, "delete")]
    for url in urls[:7]:
        assert "another webhook was disabled" in shown(admin, url), url
    for url in urls[7:]:
        assert "1 delivery held" in shown(admin, url), url


# --- all of an email


def test_an_email_is_replayed_to_all_its_webhooks_after_naming_them(admin: Client) -> None:
    mailbox = make_mailbox()
    one, two = make_webhook(mailbox=mailbox), make_webhook(domain=mailbox.domain, url="http://127.0.0.1:9/two")
    email = make_email()
    Delivery.objects.filter(webhook=one).update(state="failed")
    late = make_webhook(mailbox=mailbox, url="http://127.0.0.1:9/late")
    replay = f"/admin/webhooks/delivery/of-email/{email.pk}/replay/"
    assert replay in shown(admin, f"/admin/mailboxes/email/{email.pk}/change/")
    asked = shown(admin, replay)
    assert "http://127.0.0.1:9/: it is failed, and is sent once more." in asked
    assert "http://127.0.0.1:9/two: it is pending, so on its way already" in asked
    assert "http://127.0.0.1:9/late had nothing of it so far" in asked
    told = text_of(admin.post(replay, {"form_token": token_in(admin.get(replay))}, follow=True))
    assert "1 delivery sent once more, 1 delivery sent for the first time, 1 delivery on the way already." in told
    generations = dict(Delivery.objects.values_list("webhook", "generation"))
    assert generations == {one.pk: 2, two.pk: 1, late.pk: 1}


def test_an_email_that_no_webhook_wants_says_so(admin: Client) -> None:
    make_mailbox()
    replay = f"/admin/webhooks/delivery/of-email/{make_email().pk}/replay/"
    assert "No webhook is for mail that came this way" in shown(admin, replay)


# --- a span


def test_a_span_is_replayed_and_its_page_shows_how_far_it_is(admin: Client) -> None:
    webhook = make_webhook()
    failed = [make_delivery(webhook, state="failed") for _ in range(3)]
    make_delivery(webhook, state="delivered")
    url = page(webhook, "replay")
    assert url in text_of(admin.get(page(webhook)))
    initial = admin.get(url).context["form"]
    span = {name: initial[name].value() for name in ("since", "until", "of_state", "rate_per_minute")}
    answer = send(admin, url, **{**span, "rate_per_minute": "6000"})
    job = ReplayJob.objects.get()
    assert (job.total, job.of_state, job.rate_per_minute) == (3, "failed", 6000)
    assert job.created_by == "an administrator, in the console"
    assert LogEntry.objects.get(change_message=f"Started {job.public_id}.").user.username == "grace"
    assert answer["Location"] == page_of(job)
    text = shown(admin, page_of(job))
    assert "0 of 3 deliveries, it goes on by itself" in text
    assert 'data-refresh-s="1"' in text
    assert "A replay is under way" in shown(admin, page(webhook))
    replay_jobs.work_replays()
    text = shown(admin, page_of(job))
    assert "3 of 3 deliveries" in text
    for part in ('value="100"', 'data-refresh-s="0"', ">done<"):
        assert part in text.replace("> ", ">").replace(" <", "<"), part
    assert page_of(job, "cancel") not in text
    assert {row.generation for row in Delivery.objects.filter(pk__in=[row.pk for row in failed])} == {2}
    assert "3 of 3" in shown(admin, "/admin/webhooks/replayjob/")


def test_a_replay_is_canceled_after_a_question(admin: Client) -> None:
    job = make_job(make_webhook(), total=5, replayed=2)
    assert "3 deliveries it has not come to yet stay as they are." in shown(admin, page_of(job, "cancel"))
    send(admin, page_of(job, "cancel"))
    job.refresh_from_db()
    assert job.state == "canceled"
    assert 'data-refresh-s="0"' in shown(admin, page_of(job))


@pytest.mark.parametrize(
    ("wrong", "field", "why"),
    [
        ({"since": "2026-01-02T00:00", "until": "2026-01-01T00:00"}, "until", "before the beginning"),
        ({"since": "yesterday"}, "since", "Enter a valid date/time"),
        ({"rate_per_minute": "0"}, "rate_per_minute", "greater than or equal to 1"),
        ({"of_state": "pending"}, "of_state", "not one of the available choices"),
    ],
)
def test_a_wrong_span_is_refused_at_its_field(admin: Client, wrong: dict[str, str], field: str, why: str) -> None:
    span = {"since": "2026-01-01T00:00", "until": "2026-01-02T00:00", "of_state": "all", "rate_per_minute": "60"}
    answer = send(admin, page(make_webhook(), "replay"), **(span | wrong))
    assert list(answer.context["form"].errors) == [field]
    assert why in answer.context["form"].errors[field][0]
    assert not ReplayJob.objects.exists()


# --- health, notices, the full payload again


def test_the_page_of_a_webhook_tells_how_it_does(admin: Client) -> None:
    webhook, now = make_webhook(), timezone.now()
    assert "Failing since" not in shown(admin, page(webhook))
    WebhookHealth.objects.filter(webhook=webhook).update(
        failing_since=now - timedelta(days=2),
        failures=31,
        open_until=now + timedelta(seconds=100),
        open_for_s=120,
        cap=1,
    )
    Notice.objects.create(webhook=webhook, kind=Notice.Kind.FAILING, text="Half of the way.", at=now)
    text = shown(admin, page(webhook)).replace("\xa0", " ")
    assert "31 attempts failed, none succeeded. If that goes on it is disabled in 2 days, 23 hours" in text
    assert "The circuit breaker is open" in text
    assert "Half of the way." in text
    assert "Half of the way." in shown(admin, "/admin/webhooks/notice/")
    listed = "/admin/webhooks/webhook/?health="
    assert page(webhook) in shown(admin, f"{listed}failing")
    assert "circuit breaker open" in shown(admin, f"{listed}open")
    assert page(webhook) not in shown(admin, f"{listed}thinned")
    WebhookHealth.objects.update(failing_since=None, open_until=None, open_for_s=0, cap=4)
    assert "Slow start: 4 requests at once for now" in shown(admin, page(webhook))


def test_after_413_the_full_payload_is_sent_again_when_somebody_asks(admin: Client) -> None:
    webhook = make_webhook()
    Webhook.objects.update(thinned_at=timezone.now() - timedelta(hours=2))
    text = shown(admin, page(webhook))
    assert "Its receiver answered 413, too large." in text
    assert page(webhook, "full") in text
    assert "Thin, after 413" in shown(admin, "/admin/webhooks/webhook/?health=thinned")
    assert "Raise the receiver&#x27;s limit first" in shown(admin, page(webhook, "full"))
    send(admin, page(webhook, "full"))
    assert Webhook.objects.get().thinned_at is None


# --- a signature


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda body: body, "valid"),
        (lambda body: body.replace(b":", b": "), "body_reserialized"),
        (lambda body: b"", "body_empty"),
        (lambda body: body + b"\n", "body_newline"),
    ],
)
def test_a_pasted_request_is_explained_and_kept_nowhere(
    admin: Client, change: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    webhook, secret = webhooks.create_webhook(url="http://127.0.0.1:9/", mailbox=make_mailbox())
    body = b'{"type":"email.received","data":{"subject":"only-here"}}'
    delivery = make_delivery(webhook, content=body)
    headers = signing.headers(
        event_id=delivery.event.public_id,
        timestamp=int(timezone.now().timestamp()),
        attempt=1,
        body=body,
        secrets=[secret],
        version="1",
    )
    pasted = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
    url = page(webhook, "signature")
    assert "Why does my signature not verify?" in shown(admin, page(webhook))
    with caplog.at_level(logging.DEBUG):
        answer = admin.post(url, {"headers": pasted, "body": change(body).decode()})
    text = text_of(answer)
    assert answer.context["found"].code == code
    for part in (answer.context["found"].reason, code):
        assert part in text
    assert secret not in text
    assert "no-store" in answer["Cache-Control"]
    assert "only-here" not in caplog.text
    assert secret not in caplog.text


def test_headers_alone_are_asked_for(admin: Client) -> None:
    answer = admin.post(page(make_webhook(), "signature"), {"headers": "", "body": "{}"})
    assert list(answer.context["form"].errors) == ["headers"]
    assert answer.context["found"] is None
