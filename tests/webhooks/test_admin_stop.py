"""Stopping all outgoing webhooks in the console, and that every page says so."""

from http import HTTPStatus

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from tests.factories import make_delivery, make_webhook
from tests.webhooks.browsing import LIST, send, text_of, token_in
from webhooks.models import Delivery, OutgoingStop
from webhooks.services import restored
from webhooks.services.stop import outgoing_stop, stop_outgoing

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

STOP, START = f"{LIST}stop/", f"{LIST}start/"
PAGES = ("/admin/", LIST, f"{LIST}add/", "/admin/mailboxes/email/", "/admin/auth/user/", "/admin/webhooks/delivery/")
BANNER = "All outgoing webhooks are stopped."


def test_every_page_says_who_stopped_them_when_and_why_until_somebody_starts_them_again(admin: Client) -> None:
    make_delivery(make_webhook(), lease_id="00000000-0000-7000-8000-000000000000")
    assert STOP in text_of(admin.get(LIST))
    asked = text_of(admin.get(STOP))
    assert "1 attempt is in flight and will still end in its own way." in asked
    assert outgoing_stop() is None
    assert send(admin, STOP, reason="<b>leak</b>")["Location"] == LIST
    stopped = OutgoingStop.objects.get()
    assert (stopped.stopped_by, stopped.reason) == ("grace", "<b>leak</b>")
    for page in (*PAGES, f"/admin/webhooks/delivery/{Delivery.objects.get().pk}/change/"):
        text = text_of(admin.get(page))
        assert BANNER in text, page
        assert "grace stopped them on" in text
        assert "&lt;b&gt;leak&lt;/b&gt;" in text
        assert START in text
    assert STOP not in text_of(admin.get(LIST))
    assert "grace stopped them" in text_of(admin.get(START))
    assert outgoing_stop() is not None
    assert send(admin, START)["Location"] == LIST
    assert outgoing_stop() is None
    assert BANNER not in "".join(text_of(admin.get(page)) for page in PAGES)
    assert LogEntry.objects.filter(user__username="grace").count() == 2


def test_who_stops_second_changes_nothing_and_sees_who_was_first(admin: Client) -> None:
    token = token_in(admin.get(STOP))
    stop_outgoing(by="ada", reason="first")
    answer = admin.post(STOP, {"form_token": token, "reason": "second"}, follow=True)
    assert "ada stopped them on" in text_of(answer)
    assert OutgoingStop.objects.get().reason == "first"
    assert admin.get(STOP)["Location"] == LIST


def test_a_form_to_start_that_is_sent_again_does_not_undo_a_later_stop(admin: Client) -> None:
    stop_outgoing(by="grace")
    form = {"form_token": token_in(admin.get(START))}
    admin.post(START, form)
    assert "Nothing is stopped" in text_of(admin.post(START, form, follow=True))
    stop_outgoing(by="ada", reason="again")
    assert "was sent before" in text_of(admin.post(START, form))
    assert OutgoingStop.objects.get().stopped_by == "ada"


def test_a_waiting_delivery_says_that_it_waits_for_the_start(admin: Client) -> None:
    delivery = make_delivery(make_webhook())
    stop_outgoing(by="grace")
    for page in (f"/admin/webhooks/delivery/{delivery.pk}/change/", "/admin/webhooks/delivery/"):
        text = text_of(admin.get(page))
        assert "when they are started again" in text
        assert "all outgoing webhooks are stopped" in text


def test_stopping_and_starting_are_for_system_administrators(admin: Client) -> None:
    staff = Client()
    staff.force_login(User.objects.create_user("staff", is_staff=True))
    stop_outgoing(by="grace", reason="a reason that is not for everybody")
    assert "a reason" not in text_of(staff.get("/admin/"))
    for url in (STOP, START):
        for client, status in ((staff, HTTPStatus.FORBIDDEN), (Client(), HTTPStatus.FOUND)):
            assert client.get(url).status_code == status
            assert client.post(url, {"form_token": token_in(admin.get(START))}).status_code == status
    assert OutgoingStop.objects.get().stopped_by == "grace"


def test_after_a_restore_nobody_starts_them_here_before_an_operator_has_resumed(admin: Client) -> None:
    restored.stop_sending()
    assert "restore stopped them on" in text_of(admin.get(LIST))
    answer = admin.post(START, {"form_token": token_in(admin.get(START))})
    assert "manage.py resume" in text_of(answer)
    assert OutgoingStop.objects.get().is_restore
