"""Requests that may be sent again: with an Idempotency-Key, what one does is done once."""

import json
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apikeys import upkeep
from apikeys.models import ApiKey
from emailgistics.common import crypto, idempotency, sealed
from emailgistics.common.access import Scope
from emailgistics.common.idempotency import KEPT_FOR
from emailgistics.common.models import KeptAnswer
from mailboxes.models import Alias, Domain, Email, Mailbox, Message, Rule
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_client, make_key
from tests.factories import RAW, make_alias, make_delivery, make_domain, make_email, make_mailbox, make_webhook
from tests.mailboxes.api_client import NOT_FOUND_BODY, answered, not_found_in, send
from webhooks.models import Delivery, Webhook
from webhooks.services import webhooks

pytestmark = pytest.mark.django_db

URL = "https://hooks.example.net/mail"


@pytest.fixture(autouse=True)
def _nobody_waits_or_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.api.views.trying.WAIT_AT_MOST", timedelta(0))
    monkeypatch.setattr("webhooks.guard.system_lookup", lambda host, port: ["198.41.0.4"])


@pytest.fixture
def client() -> Client:
    return make_client()


def once(client: Client, name: str, method: str, url: str, body: Any = None) -> Any:
    return send(client, method, url, body, **{"Idempotency-Key": name})


def is_replay(answer: Any) -> bool:
    return bool(answer.headers.get("Idempotency-Replayed") == "true")


def said(answer: Any) -> tuple[Any, ...]:
    """What a replay repeats."""
    return answer.status_code, answer.content, answer.headers.get("Location")


def named(domain: Domain, name: str = "help") -> dict[str, Any]:
    return {"domain_id": domain.public_id, "name": name}


# --- the same again


def test_the_same_request_again_is_answered_the_same_and_does_nothing(client: Client) -> None:
    body = named(make_domain())
    first, second = (once(client, "order-17", "POST", "/v1/aliases", body) for _ in range(2))
    assert (first.status_code, is_replay(first), is_replay(second)) == (201, False, True)
    assert said(second) == said(first)
    assert Alias.objects.count() == 1


def test_without_the_header_nothing_is_kept(client: Client) -> None:
    assert send(client, "POST", "/v1/aliases", named(make_domain())).status_code == 201
    assert send(client, "POST", "/v1/aliases", named(make_domain())).status_code == 409
    assert not KeptAnswer.objects.exists()


def test_a_change_is_answered_as_it_was_though_the_thing_is_another_by_now(client: Client) -> None:
    alias = make_alias()
    url = f"/v1/aliases/{alias.public_id}"
    first = once(client, "one", "PATCH", url, {"description": "First"})
    assert send(client, "PATCH", url, {"description": "Later"}).status_code == 200
    second = once(client, "one", "PATCH", url, {"description": "First"})
    assert (said(second), is_replay(second)) == (said(first), True)
    alias.refresh_from_db()
    assert alias.description == "Later"


def test_names_in_another_order_and_spaces_are_the_same_request(client: Client) -> None:
    domain = make_domain()
    texts = (
        json.dumps(named(domain)),
        f'{{ "name" : "h\\u0065lp",\n"domain_id":"{domain.public_id}" }}',
    )
    answers = [
        client.post("/v1/aliases", text, content_type="application/json", headers={"Idempotency-Key": "x"})
        for text in texts
    ]
    assert [(answer.status_code, is_replay(answer)) for answer in answers] == [(201, False), (201, True)]


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("POST", "/v1/aliases", {"name": "sales"}),
        ("POST", "/v1/aliases?x=1", {}),
        ("POST", "/v1/rules", {}),
        ("PATCH", "/v1/domains/{domain}", {}),
    ],
)
def test_another_request_with_the_same_idempotency_key_is_refused(
    client: Client, method: str, path: str, body: dict[str, Any]
) -> None:
    domain = make_domain()
    assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 201
    answer = once(client, "one", method, path.format(domain=domain.public_id), named(domain) | body)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert (Alias.objects.count(), Rule.objects.count()) == (1, 0)


def test_what_was_refused_is_judged_anew_and_may_be_corrected(client: Client) -> None:
    domain = make_domain()
    assert once(client, "one", "POST", "/v1/aliases", named(domain) | {"nonsense": 1}).status_code == 400
    assert not KeptAnswer.objects.exists()
    corrected = once(client, "one", "POST", "/v1/aliases", named(domain))
    assert (corrected.status_code, is_replay(corrected)) == (201, False)


def test_a_fault_undoes_what_was_done_and_is_not_kept(client: Client) -> None:
    domain = make_domain()
    with mock.patch.object(idempotency, "encrypt", side_effect=RuntimeError("broken")):
        assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 500
    assert (Alias.objects.count(), KeptAnswer.objects.count()) == (0, 0)
    assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 201


@pytest.mark.parametrize("name", ["", " ", "a b", "ä", "x" * 256, "a\tb", "a, b"])
def test_an_idempotency_key_is_visible_ascii_and_not_too_long(client: Client, name: str) -> None:
    answer = once(client, name, "POST", "/v1/aliases", named(make_domain()))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/Idempotency-Key")
    assert not Alias.objects.exists()


def test_the_longest_idempotency_key_will_do(client: Client) -> None:
    assert once(client, "~" * 255, "POST", "/v1/aliases", named(make_domain())).status_code == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_take_no_notice_of_it(client: Client, method: str) -> None:
    url = f"/v1/aliases/{make_alias().public_id}"
    body = {"nonsense": 1} if method == "PUT" else None
    statuses = {once(client, "a b", method, url, body).status_code for _ in range(1)}
    assert statuses == {{"GET": 200, "PUT": 400, "DELETE": 204, "OPTIONS": 200}[method]}
    assert not KeptAnswer.objects.exists()


def test_what_changes_nothing_is_not_kept(client: Client) -> None:
    make_alias()
    for _ in range(2):
        answer = once(client, "one", "POST", "/v1/routing/explain", {"address": "help@example.com"})
        assert (answer.status_code, is_replay(answer)) == (200, False)
    assert once(client, "a b", "POST", "/v1/routing/explain", {"address": "x"}).status_code == 400
    assert not KeptAnswer.objects.exists()


# --- whose, and how long


def test_each_api_key_has_idempotency_keys_of_its_own(client: Client) -> None:
    domain = make_domain()
    assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 201
    other = once(make_client(), "one", "POST", "/v1/aliases", named(domain))
    assert (other.status_code, is_replay(other)) == (409, False)


def test_a_key_without_the_scope_is_told_so_and_no_more(client: Client) -> None:
    domain = make_domain()
    once(client, "one", "POST", "/v1/aliases", named(domain))
    answer = once(make_client(scopes=[Scope.ALIASES_READ]), "one", "POST", "/v1/aliases", named(domain))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


def test_a_revoked_key_gets_no_kept_answer() -> None:
    key, plaintext = make_key()
    client, domain = client_of(plaintext), make_domain()
    once(client, "one", "POST", "/v1/aliases", named(domain))
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 401


@pytest.mark.parametrize("everywhere", [True, False])
def test_once_a_mailbox_is_deleted_there_is_nothing_about_it_any_more(everywhere: bool) -> None:
    mailbox = make_mailbox()
    client = make_client(mailboxes=None if everywhere else [mailbox, make_mailbox(address="b@example.com")])
    body = named(mailbox.domain) | {"mailbox_id": mailbox.public_id}
    assert once(client, "one", "POST", "/v1/aliases", body).status_code == 201
    provision.delete_mailbox(mailbox)
    assert answered(once(client, "one", "POST", "/v1/aliases", body)) == (404, NOT_FOUND_BODY)
    assert answered(send(client, "POST", "/v1/aliases", body)) == (404, not_found_in("mailbox_id"))


def test_what_an_alias_that_was_moved_away_was_given_is_not_told_any_more() -> None:
    alias, other = make_alias(), make_mailbox(address="other@example.com")
    client = make_client(mailboxes=[alias.mailbox])
    body = {"alias_id": alias.public_id, "url": URL}
    assert once(client, "one", "POST", "/v1/webhooks", body).status_code == 201
    provision.update_alias(alias, mailbox=other)
    assert answered(once(client, "one", "POST", "/v1/webhooks", body)) == (404, NOT_FOUND_BODY)
    assert Webhook.objects.count() == 1


def test_after_a_day_it_is_a_new_request(client: Client) -> None:
    domain = make_domain()
    once(client, "one", "POST", "/v1/aliases", named(domain))
    KeptAnswer.objects.update(kept_at=timezone.now() - KEPT_FOR)
    assert once(client, "one", "POST", "/v1/aliases", named(domain)).status_code == 409
    later = once(client, "one", "POST", "/v1/aliases", named(domain, "sales"))
    assert (later.status_code, is_replay(later)) == (201, False)
    assert KeptAnswer.objects.count() == 1


def test_what_is_over_a_day_old_goes_when_keys_are_looked_after(client: Client) -> None:
    for name in ("old", "young"):
        once(client, name, "POST", "/v1/aliases", named(make_domain(), name))
    old = KeptAnswer.objects.order_by("kept_at")[0]
    KeptAnswer.objects.filter(pk=old.pk).update(kept_at=timezone.now() - KEPT_FOR)
    upkeep.look_after()
    assert KeptAnswer.objects.count() == 1
    assert not KeptAnswer.objects.filter(pk=old.pk).exists()


# --- what is kept


def test_nothing_of_an_answer_can_be_read_in_the_database(client: Client) -> None:
    once(client, "order-17", "POST", "/v1/aliases", named(make_domain(), "plainly"))
    row = KeptAnswer.objects.get()
    octets = b"".join(
        bytes(value) if isinstance(value, memoryview | bytes) else str(value).encode() for value in vars(row).values()
    )
    assert b"plainly" not in octets
    assert b"order-17" not in octets
    with pytest.raises(crypto.DecryptionError):
        crypto.decrypt(bytes(row.sealed), context=sealed.context(KeptAnswer, "sealed", "another"))


def test_a_new_encryption_key_seals_it_anew(client: Client, settings: Any) -> None:
    body = named(make_domain())
    first = once(client, "one", "POST", "/v1/aliases", body)
    ring = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = crypto.KeyRing(primary=2, keys={**ring.keys, 2: b"2" * 32})
    (column,) = (column for column in sealed.columns() if column.label == "common.KeptAnswer")
    assert column.rewrite().count == 1
    settings.ENCRYPTION_KEYS = crypto.KeyRing(primary=2, keys={2: b"2" * 32})
    again = once(client, "one", "POST", "/v1/aliases", body)
    assert (said(again), is_replay(again)) == (said(first), True)


def test_large_answers_are_bounded_and_one_too_many_undoes_what_it_was_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "SMALL_BYTES", 10)
    domain = make_domain()
    answers = [once(client, "n0", "POST", "/v1/aliases", named(domain, "n0"))]
    monkeypatch.setattr(idempotency, "MAX_LARGE_BYTES", int(2.5 * KeptAnswer.objects.get().size))
    answers += [once(client, f"n{n}", "POST", "/v1/aliases", named(domain, f"n{n}")) for n in (1, 2)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert (answers[2].json()["code"], answers[2].headers["Retry-After"]) == ("idempotency_full", "300")
    assert (Alias.objects.count(), KeptAnswer.objects.count()) == (2, 2)
    assert once(make_client(), "n9", "POST", "/v1/aliases", named(domain, "n9")).status_code == 201


# --- secrets


def test_the_secret_of_a_new_webhook_is_shown_again_and_is_not_kept(client: Client) -> None:
    body = {"mailbox_id": make_mailbox().public_id, "url": URL}
    with mock.patch.object(idempotency, "encrypt", side_effect=crypto.encrypt) as sealing:
        first = once(client, "one", "POST", "/v1/webhooks", body)
    secret = first.json()["secret"]
    assert secret.startswith("whsec_")
    assert secret not in repr(sealing.call_args_list)
    second = once(client, "one", "POST", "/v1/webhooks", body)
    assert (said(second), is_replay(second)) == (said(first), True)
    assert Webhook.objects.count() == 1


def test_a_rotation_happens_once(client: Client) -> None:
    webhook = make_webhook(url="")
    url = f"/v1/webhooks/{webhook.public_id}/rotate-secret"
    first, second = (once(client, "one", "POST", url, {"overlap_hours": 0}) for _ in range(2))
    assert (first.status_code, said(second), is_replay(second)) == (200, said(first), True)
    row = Webhook.objects.get()
    assert webhooks.secrets_now(row) == [first.json()["secret"]]


def test_a_change_of_the_receiver_shows_its_new_secret_again(client: Client) -> None:
    webhook = make_webhook(url="")
    url = f"/v1/webhooks/{webhook.public_id}"
    first, second = (once(client, "one", "PATCH", url, {"url": URL}) for _ in range(2))
    assert first.json()["secret"].startswith("whsec_")
    assert (said(second), is_replay(second)) == (said(first), True)


def test_the_secret_of_a_webhook_that_was_made_with_its_alias_is_shown_again(client: Client) -> None:
    body = named(make_domain()) | {"url": URL}
    first, second = (once(client, "one", "POST", "/v1/webhooks/alias", body) for _ in range(2))
    assert first.json()["webhook"]["secret"].startswith("whsec_")
    assert (first.status_code, said(second), is_replay(second)) == (201, said(first), True)
    assert (Alias.objects.count(), Webhook.objects.count()) == (1, 1)


def test_a_secret_that_somebody_else_made_later_is_not_shown(client: Client) -> None:
    body = {"mailbox_id": make_mailbox().public_id, "url": URL}
    first = once(client, "one", "POST", "/v1/webhooks", body)
    webhook = Webhook.objects.get()
    webhooks.rotate_secret(webhook)
    assert said(once(client, "one", "POST", "/v1/webhooks", body)) == said(first)  # it signs as well for now
    newest = webhooks.rotate_secret(webhook, overlap=timedelta(0))
    answer = once(client, "one", "POST", "/v1/webhooks", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert newest not in answer.content.decode()
    assert Webhook.objects.count() == 1


# --- what is shown anew


def test_a_test_is_sent_once_and_its_outcome_is_told_to_who_asks_again(client: Client) -> None:
    webhook = make_webhook(url="")
    url = f"/v1/webhooks/{webhook.public_id}/test"
    first, second = (once(client, "one", "POST", url) for _ in range(2))
    assert (first.status_code, second.status_code, is_replay(second)) == (202, 202, True)
    assert first.json()["id"] == second.json()["id"]
    Delivery.objects.update(state="delivered", delivered_at=timezone.now())
    third = once(client, "one", "POST", url)
    assert (third.status_code, third.json()["state"]) == (200, "delivered")
    assert Delivery.objects.count() == 1


def test_a_delivery_is_replayed_once(client: Client) -> None:
    delivery = make_delivery(make_webhook(url=""), state="failed")
    url = f"/v1/deliveries/{delivery.public_id}/replay"
    first = once(client, "one", "POST", url)
    Delivery.objects.update(state="delivered")
    second = once(client, "one", "POST", url)
    assert (first.status_code, first.json()["generation"], is_replay(second)) == (200, 2, True)
    assert (second.json()["state"], second.json()["generation"]) == ("delivered", 2)


def test_an_email_is_released_once_and_nothing_of_it_is_kept(client: Client) -> None:
    mailbox = make_mailbox()
    Rule.objects.create(mailbox=mailbox, action="quarantine", criterion="sender", value="ada@example.net")
    email = make_email()
    assert email.status == "quarantined"
    url = f"/v1/emails/{email.public_id}/release"
    with mock.patch.object(idempotency, "encrypt", side_effect=crypto.encrypt) as sealing:
        answers = [once(client, "one", "POST", url) for _ in range(2)]
    assert [(answer.status_code, is_replay(answer)) for answer in answers] == [(200, False), (200, True)]
    assert answers[0].json()["subject"] == "Broken engine"
    assert sealing.call_count == 1
    kept = json.loads(zlib.decompress(sealing.call_args.args[0]))
    assert (kept["body"], kept["made"]) == (None, email.public_id)


# --- what asks others first


def test_a_name_is_looked_up_before_the_transaction_and_only_for_who_does_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = mock.Mock(return_value=["198.41.0.4"])
    monkeypatch.setattr("webhooks.guard.system_lookup", looking)
    body = {"mailbox_id": make_mailbox().public_id, "url": URL}
    # inside of one, check_url raises
    assert [once(client, "one", "POST", "/v1/webhooks", body).status_code for _ in range(2)] == [201, 201]
    assert looking.call_count == 1


def test_a_domain_is_verified_once_though_its_record_is_gone(client: Client) -> None:
    domain = make_domain()
    url = f"/v1/domains/{domain.public_id}/verify"
    with mock.patch("mailboxes.services.verification.require_record") as looking:
        first, second = (once(client, "one", "POST", url) for _ in range(2))
    assert looking.call_count == 1
    assert first.json()["verified_at"] is not None
    assert (first.status_code, said(second), is_replay(second)) == (200, said(first), True)


# --- mail in


def test_a_mail_is_taken_once_and_its_octets_are_what_makes_it_the_same(client: Client) -> None:
    make_mailbox()

    def hand_in(raw: bytes) -> Any:
        headers = {"Idempotency-Key": "one"}
        return client.post(
            "/v1/emails?recipient=support@example.com", raw, content_type="message/rfc822", headers=headers
        )

    first, second, other = hand_in(RAW), hand_in(RAW), hand_in(RAW + b"!")
    assert (first.status_code, said(second), is_replay(second)) == (201, said(first), True)
    assert not second.json()["resent"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert (Message.objects.count(), Email.objects.count()) == (1, 1)


# --- at the same time


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """An alias is made only when the second event is set; the first says that somebody is at it."""
    begun, go_on = threading.Event(), threading.Event()
    create = provision.create_alias

    def wait(**values: Any) -> Alias:
        begun.set()
        assert go_on.wait(30)
        return create(**values)

    monkeypatch.setattr(provision, "create_alias", wait)
    yield begun, go_on
    go_on.set()


def in_thread(client: Client, body: Any) -> Any:
    try:
        return once(client, "one", "POST", "/v1/aliases", body)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.on_postgres
def test_while_it_is_being_done_who_asks_again_is_told_to_come_again(
    client: Client, slowly: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = slowly
    body = named(make_domain())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(in_thread, client, body)
        assert begun.wait(30)
        early = once(client, "one", "POST", "/v1/aliases", body)
        assert (early.status_code, early.json()["code"]) == (409, "idempotency_in_progress")
        assert early.headers["Retry-After"] == "1"
        # another Idempotency-Key has nothing to do with it
        other = once(client, "two", "PATCH", f"/v1/domains/{make_domain().public_id}", {})
        assert other.status_code == 200
        go_on.set()
        done = first.result(timeout=30)
    later = once(client, "one", "POST", "/v1/aliases", body)
    assert (done.status_code, said(later), is_replay(later)) == (201, said(done), True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.on_sqlite
def test_while_it_is_being_done_who_asks_again_waits_for_the_answer(
    client: Client, slowly: tuple[threading.Event, threading.Event]
) -> None:
    begun, go_on = slowly
    body = named(make_domain())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(in_thread, client, body)
        assert begun.wait(30)
        second = pool.submit(in_thread, client, body)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.3)
        go_on.set()
        answers = [first.result(timeout=30), second.result(timeout=30)]
    assert [(answer.status_code, is_replay(answer)) for answer in answers] == [(201, False), (201, True)]
    assert Alias.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_does_it(client: Client) -> None:
    body = named(make_domain())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: in_thread(client, body), range(16)))
    first = [answer for answer in answers if answer.status_code == 201 and not is_replay(answer)]
    assert len(first) == 1
    for answer in answers:
        assert said(answer) == said(first[0]) or answer.json()["code"] == "idempotency_in_progress"
    assert Alias.objects.count() == 1
    assert Mailbox.objects.count() == 1
