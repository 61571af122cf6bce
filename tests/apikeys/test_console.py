"""The API Access page over the test client: who may, what is made and shown once, what is ended."""

import logging
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core.cache import caches
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from apikeys.models import ApiKey
from apikeys.presets import PRESETS
from apikeys.services import revoke_api_key
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, Scope
from emailgistics.common.one_use import LASTS
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_expired_key, make_key
from tests.apikeys.pages import (
    ADD,
    LIST,
    WHOLE_KEY,
    address_of,
    client_for,
    errors_in,
    filled_in,
    form_token,
    made,
    make_user,
    token_in,
)
from tests.factories import in_days, make_alias, make_mailbox

PREVIEW = f"{ADD}preview/"
MAILBOXES = f"{LIST}mailboxes/"

pytestmark = pytest.mark.django_db


# --- making a key


def test_a_key_is_made_as_chosen_and_works_at_once(admin: Client) -> None:
    support, _ = make_mailbox(), make_mailbox(address="sales@example.com")
    key, plaintext = made(admin.post(ADD, filled_in(token_in(admin))))
    assert (key.name, key.created_by, key.rate_plan) == ("Zapier", User.objects.get(), "standard")
    assert key.scopes == ["emails:content", "emails:read"]
    assert list(key.mailboxes.all()) == [support]
    answer = client_of(plaintext).get("/v1/me").json()
    assert answer["id"] == key.identifier
    assert [entry["address"] for entry in answer["mailboxes"]] == ["support@example.com"]
    assert LogEntry.objects.get().object_id == str(key.pk)


def test_the_answer_shows_the_key_in_every_form_it_is_needed_and_is_kept_nowhere(
    admin: Client, settings: Settings
) -> None:
    settings.BASE_URL = "https://mail.example.com"
    make_mailbox()
    answer = admin.post(ADD, filled_in(token_in(admin)))
    _, plaintext = made(answer)
    page = answer.content.decode()
    for text in (
        f'value="{plaintext}"',
        f'value="Authorization: Bearer {plaintext}"',
        f'value="EMAILGISTICS_API_KEY={plaintext}"',
        f"curl -H &quot;Authorization: Bearer {plaintext}&quot; https://mail.example.com/v1/me",
    ):
        assert text in page
    assert page.count(plaintext) == 4
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"
    assert "unsafe-inline" not in answer["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)


def test_the_plaintext_is_in_no_table_session_cache_message_header_or_log(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    make_mailbox()
    token = token_in(admin)
    with caplog.at_level(logging.DEBUG):
        answer = admin.post(ADD, filled_in(token))
        again = admin.post(ADD, filled_in(token))
        pages = [admin.get(url) for url in (LIST, ADD, address_of(ApiKey.objects.get(), "change"))]
    key, plaintext = made(answer)
    secret = plaintext.removeprefix(key.identifier).strip("_")
    dump = everything_stored()
    assert key.identifier in dump  # the dump is one
    assert "emailgistics.one_use" not in dump
    records = repr([vars(record) for record in caplog.records])
    assert "/admin/apikeys/apikey/add/" in records  # something is recorded at all: the second answer
    elsewhere = [
        dump,
        repr(dict(admin.session)),
        repr([vars(cache) for cache in caches.all()]),
        repr([*answer.headers.items(), *again.headers.items(), *answer.cookies.values(), *admin.cookies.values()]),
        repr([str(message) for message in answer.context.get("messages", ())]),
        records,
        repr([page.content for page in (again, *pages)]),
    ]
    for place in elsewhere:
        assert secret not in place
        assert secret[:12] not in place


def everything_stored() -> str:
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += [repr([bytes(value) if isinstance(value, memoryview) else value for value in row])
                     for row in cursor.fetchall()]  # fmt: skip
    return "\n".join(rows)


def test_full_and_90_days_are_preselected_and_no_mailbox_is(admin: Client) -> None:
    make_mailbox()
    page = admin.get(ADD).content.decode()
    assert re.findall(r'name="expiry" value="(\w+)" checked', page) == ["90"]
    assert re.findall(r'name="reach" value="(\w+)" checked', page) == ["chosen"]
    assert set(re.findall(r'name="scopes" value="([\w:]+)" checked', page)) == set(Scope.values)
    assert re.findall(r'name="mailboxes" value="([^"]+)"', page) == ["inbox@example.com", "support@example.com"]
    assert not re.search(r'name="mailboxes" value="[^"]+" checked', page)
    for preset in PRESETS:
        (scopes,) = re.findall(rf'data-scopes="([^"]*)"[^>]*>{preset.name}<', page)
        assert set(scopes.split()) == {scope.value for scope in preset.scopes}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
def test_a_lifetime_ends_at_the_start_of_a_day_of_the_installation(
    admin: Client, zone: str, settings: Settings
) -> None:
    settings.TIME_ZONE = zone
    make_mailbox()
    key, _ = made(admin.post(ADD, filled_in(token_in(admin), expiry="30")))
    local = key.expires_at.astimezone(ZoneInfo(zone))
    today = datetime.now(UTC).astimezone(ZoneInfo(zone)).date()
    assert (local.date(), local.time().isoformat()) == (today + timedelta(days=30), "00:00:00")


def test_a_date_is_good_from_tomorrow_to_the_longest_life(admin: Client, settings: Settings) -> None:
    settings.APIKEY_MAX_DAYS = 60
    make_mailbox()
    today = timezone.localdate()
    for days, is_good in ((0, False), (1, True), (60, True), (61, False)):
        date = (today + timedelta(days=days)).isoformat()
        answer = admin.post(ADD, filled_in(token_in(admin), expiry="date", expires_on=date))
        if is_good:
            key, _ = made(answer)
            assert key.expires_at.date().isoformat() == date
        else:
            assert errors_in(answer) == {"expires_on"}
            assert b"within 60 days" in answer.content
    assert errors_in(admin.post(ADD, filled_in(token_in(admin), expiry="90"))) == {"expiry"}  # too long, not offered


@pytest.mark.parametrize(("change", "field", "told"), [
    ({"name": ""}, "name", "A key needs a name"), ({"name": "   "}, "name", "A key needs a name"),
    ({"name": "x" * 201}, "name", "at most 200 characters"), ({"name": "a\nb"}, "name", "one line"),
    ({"name": "a\0b"}, "name", "Null characters"),
    ({"expiry": None}, "expiry", "Choose how long"), ({"expiry": "9999"}, "expiry", "not one of the available"),
    ({"expiry": "date"}, "expires_on", "Give the date"),
    ({"expiry": "date", "expires_on": "tomorrow"}, "expires_on", "like 2030-01-31"),
    ({"expiry": "date", "expires_on": "01/02/2030"}, "expires_on", "like 2030-01-31"),
    ({"reach": None}, "reach", "Choose mailboxes"), ({"reach": "some"}, "reach", "not one of the available"),
    ({"mailboxes": None}, "mailboxes", "Choose at least one mailbox"),
    ({"mailboxes": ["nobody@example.com"]}, "mailboxes", "There is no mailbox “nobody@example.com”"),
    ({"mailboxes": ["help@example.com"]}, "mailboxes", "An alias is not a mailbox"),
    ({"mailboxes": ["gone@example.com"]}, "mailboxes", "There is no mailbox “gone@example.com”"),
    ({"mailboxes": ["not an address"]}, "mailboxes", "is not an address"),
    ({"scopes": None}, "scopes", "at least one scope"),
    ({"scopes": ["emails:read", "root"]}, "scopes", "root is not one of the available choices"),
])  # fmt: skip
def test_a_mistake_is_told_at_its_field_keeps_what_was_typed_and_the_form_works_again(
    admin: Client, change: dict[str, Any], field: str, told: str
) -> None:
    make_alias()
    provision.delete_mailbox(make_mailbox(address="gone@example.com"))
    typed = {"name": "Typed <b>name</b>", "scopes": ["emails:read"]} | change
    answer = admin.post(ADD, filled_in(token_in(admin), **typed))
    page = answer.content.decode()
    assert errors_in(answer) == {field}
    assert told.replace("'", "&#x27;") in page
    assert not WHOLE_KEY.search(page)
    assert not ApiKey.objects.exists()
    if "name" not in change:
        assert 'value="Typed &lt;b&gt;name&lt;/b&gt;"' in page
    if "scopes" not in change:
        assert re.findall(r'name="scopes" value="([\w:]+)" checked', page) == ["emails:read"]
    for address in change.get("mailboxes") or []:
        assert address in page  # to be mended, not typed again
    made(admin.post(ADD, filled_in(form_token(page))))


def test_a_name_that_quotes_a_key_makes_none(admin: Client) -> None:
    make_mailbox()
    pasted = "CI emgk_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef1GIO1e"
    answer = admin.post(ADD, filled_in(token_in(admin), name=pasted))
    assert errors_in(answer) == {"name"}
    assert "write emgk_0123456789 alone" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_ticking_every_mailbox_of_today_is_a_list_and_never_all(admin: Client) -> None:
    make_mailbox()
    today = [str(mailbox) for mailbox in Mailbox.objects.live()]
    key, plaintext = made(admin.post(ADD, filled_in(token_in(admin), mailboxes=today)))
    make_mailbox(address="later@example.com")
    assert not key.all_mailboxes
    assert {entry["address"] for entry in client_of(plaintext).get("/v1/me").json()["mailboxes"]} == set(today)


def test_all_mailboxes_are_chosen_on_purpose_and_boxes_beside_it_count_for_nothing(admin: Client) -> None:
    make_mailbox()
    typed = {"reach": "all", "mailboxes": ["support@example.com", "nobody@example.com"], "expires_on": "nonsense"}
    key, _ = made(admin.post(ADD, filled_in(token_in(admin), **typed)))
    assert key.all_mailboxes
    assert not key.mailboxes.exists()
    assert "All mailboxes, also future ones" in admin.get(address_of(key, "change")).content.decode()


def test_a_mailbox_is_found_however_its_address_is_written_and_counts_once(admin: Client) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    typed = {
        "mailboxes": ["SUPPORT@Example.COM."],
        "mailboxes_more": ' "support"@example.com \r\n\r\nsales@example.com',
    }
    key, _ = made(admin.post(ADD, filled_in(token_in(admin), **typed)))
    assert set(key.mailboxes.all()) == {support, sales}


def test_hundreds_of_mailboxes_make_a_short_page_and_any_of_them_a_list(
    admin: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    support = make_mailbox()
    addresses = [f"team{number:03}@example.com" for number in range(120)]
    for address in addresses:
        provision.create_mailbox(address=address, name=f"Team of {address[4:7]}")
    page = admin.get(ADD).content.decode()
    assert page.count('name="mailboxes"') == 50
    assert "122 in all" in page  # with the domain's inbox; by address without script
    found = admin.get(MAILBOXES, {"q": "TEAM00"}).json()
    assert ([row["address"] for row in found["mailboxes"]], found["count"]) == (addresses[:10], 10)
    assert admin.get(MAILBOXES, {"q": "of 119"}).json()["mailboxes"] == [
        {"address": "team119@example.com", "name": "Team of 119"}
    ]
    assert len(admin.get(MAILBOXES).json()["mailboxes"]) == 50
    every = [row["address"] for row in admin.get(MAILBOXES, {"whole": "1"}).json()["mailboxes"]]
    assert len(every) == 122
    token = token_in(admin)
    with django_assert_max_num_queries(40):
        answer = admin.post(ADD, filled_in(token, mailboxes=None, mailboxes_more="\n".join(every)))
    key, _ = made(answer)
    assert (key.mailboxes.count(), key.all_mailboxes, support in key.mailboxes.all()) == (122, False, True)
    listed = admin.get(LIST).content.decode()
    assert "and 120 more" in listed


def test_more_mailboxes_than_a_list_may_have_are_refused(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apikeys.forms.MAX_CHOSEN", 1)
    make_mailbox()
    answer = admin.post(ADD, filled_in(token_in(admin), mailboxes=["support@example.com", "inbox@example.com"]))
    assert errors_in(answer) == {"mailboxes"}
    assert b"choose at most 1" in answer.content


# --- the live sentence


@pytest.mark.parametrize(("query", "sentence"), [
    ({"expiry": "90", "reach": "chosen", "count": "2", "scopes": ["emails:read"]},
     r"This key will read the email log, for 2 mailboxes, until .* 00:00 UTC \(in 89 days\)\. It cannot read .*"),
    ({"expiry": "90", "reach": "all", "scopes": ["emails:submit"], "networks": "192.0.2.7\n2001:db8::/32\n10.0.0.0/8"},
     r".* for all mailboxes, also future ones, only from 10\.0\.0\.0/8, 192\.0\.2\.7/32 and 1 more, until .*"),
    ({"expiry": "90", "reach": "all", "scopes": ["emails:read"], "networks": "here"},
     r"Still to choose: the networks, one a line\."),
    ({"expiry": "7", "reach": "all", "count": "0", "scopes": Scope.values},
     r"This key will do everything .* for all mailboxes, also future ones, until .* \(in 6 days\)\."),
    ({"expiry": "90", "reach": "chosen", "count": "0", "scopes": []},
     r"Still to choose: at least one mailbox and at least one scope\."),
    ({"expiry": "date", "expires_on": "", "reach": "all", "scopes": ["emails:read"]},
     r"Still to choose: when it ends\."),
    ({"expiry": "x", "reach": "chosen", "count": "-1", "scopes": ["x"]},
     r"Still to choose: when it ends, at least one mailbox and at least one scope\."),
    ({}, r"Still to choose: when it ends and at least one scope\."),
])  # fmt: skip
def test_the_sentence_says_what_the_key_would_be(admin: Client, query: dict[str, Any], sentence: str) -> None:
    told = admin.get(PREVIEW, query).json()["sentence"]
    assert re.fullmatch(sentence, told), told


def test_the_preview_prints_the_instant_or_what_is_wrong_with_the_date(admin: Client, settings: Settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    date = timezone.localdate() + timedelta(days=10)
    ends = admin.get(PREVIEW, {"expiry": "date", "expires_on": date.isoformat()}).json()["ends"]
    assert ends == f"Ends {date} 00:00 Europe/Berlin, in 9 days."
    assert (
        "tomorrow at the earliest" in admin.get(PREVIEW, {"expiry": "date", "expires_on": "2020-01-01"}).json()["ends"]
    )


# --- one form, one key


def test_a_reload_makes_no_second_key_and_says_what_to_do(admin: Client) -> None:
    make_mailbox()
    token = token_in(admin)
    key, plaintext = made(admin.post(ADD, filled_in(token)))
    for changes in ({}, {"name": "Another"}, {"name": ""}, {"scopes": None}):  # spent is spent, whatever is in it
        answer = admin.post(ADD, filled_in(token, **changes))
        page = answer.content.decode()
        assert answer.status_code == 409
        assert "no-store" in answer["Cache-Control"]
        assert "made and shown already" in page
        assert key.identifier in page
        assert address_of(key, "change") in page
        assert plaintext not in page
    assert ApiKey.objects.get() == key


def test_two_tabs_with_forms_of_their_own_make_two_keys(admin: Client) -> None:
    make_mailbox()
    tokens = [token_in(admin), token_in(admin)]
    keys = [made(admin.post(ADD, filled_in(token)))[0] for token in tokens]
    assert len(set(keys)) == 2


@pytest.mark.parametrize("how", ["missing", "altered", "old", "another person's"])
def test_a_stale_form_makes_nothing_keeps_what_was_typed_and_can_be_sent_again(
    admin: Client, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_mailbox()
    token: str | None = token_in(admin)
    match how:
        case "missing":
            token = None
        case "altered":
            token = f"{token}x"
        case "old":
            real = datetime.now(UTC).timestamp()
            with monkeypatch.context() as patch:
                patch.setattr("django.core.signing.time.time", lambda: real - LASTS.total_seconds() - 60)
                token = token_in(admin)
        case _:
            token = token_in(client_for(make_user("eve", is_superuser=True)))
    answer = admin.post(ADD, filled_in("", form_token=token, name="Kept"))
    page = answer.content.decode()
    assert errors_in(answer) == {"__all__"}
    assert "open it again" in page
    assert 'value="Kept"' in page
    assert not ApiKey.objects.exists()
    made(admin.post(ADD, filled_in(form_token(page))))


def test_a_form_from_another_site_makes_nothing() -> None:
    make_mailbox()
    client = client_for(make_user("ada", is_superuser=True), enforce_csrf_checks=True)
    token = token_in(client)
    assert client.post(ADD, filled_in(token)).status_code == 403
    key, _ = make_key()
    assert client.post(address_of(key, "delete")).status_code == 403
    key.refresh_from_db()
    assert (ApiKey.objects.get(), key.revoked_at) == (key, None)


@pytest.mark.django_db(transaction=True)
def test_of_many_posts_at_once_one_makes_the_key_and_the_others_name_it() -> None:
    make_mailbox()
    user = make_user("ada", is_superuser=True)
    clients = [client_for(user) for _ in range(5)]
    token, start = token_in(clients[0]), threading.Barrier(len(clients))
    answers: list[tuple[int, str]] = []

    def send(client: Client) -> None:
        start.wait()
        try:
            answer = client.post(ADD, filled_in(token))
            answers.append((answer.status_code, answer.content.decode()))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    key = ApiKey.objects.get()
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    for status, page in answers:
        assert bool(WHOLE_KEY.search(page)) == (status == 200)
        assert key.identifier in page


# --- the list and the page of a key


@pytest.mark.usefixtures("real_limits")
def test_the_list_says_what_each_key_is(admin: Client) -> None:
    support, sales, billing = (make_mailbox(address=f"{name}@example.com") for name in ("support", "sales", "billing"))
    make_key(name="Zapier <i>", mailboxes=[support, sales, billing], scopes=[Scope.EMAILS_READ, Scope.EMAILS_SUBMIT],
             plan="pro", expires_at=in_days(89.5))  # fmt: skip
    make_key(name="Everything")
    page = admin.get(LIST).content.decode()
    for text in (
        "Zapier &lt;i&gt;", "emails:read and emails:submit", "support@example.com, sales@example.com and 1 more",
        "in 89 days", "Pro", "200/min, 2,000/h, 20,000/day", "Full (13)", "all mailboxes, also future ones",
        "API Access", "never", "no calls",
    ):  # fmt: skip
        assert text in page, text
    for key in ApiKey.objects.all():
        assert key.identifier in page
    provision.delete_mailbox(support)
    assert "sales@example.com and billing@example.com" in admin.get(LIST).content.decode()


def names_in(answer: Any) -> list[str]:
    return [key.name for key in answer.context["cl"].result_list]


def test_the_list_is_filtered_by_status_and_hides_revoked_keys(admin: Client) -> None:
    make_key(name="Soon", expires_at=in_days(3))
    make_key(name="Active", expires_at=in_days(30))
    key, _ = make_expired_key()
    old, _ = make_key(name="Revoked")
    revoke_api_key(old)
    assert names_in(admin.get(LIST)) == [key.name, "Active", "Soon"]
    found = {status: names_in(admin.get(LIST, {"status": status}))
             for status in ("active", "expires_soon", "expired", "revoked")}  # fmt: skip
    assert found == {"active": ["Active"], "expires_soon": ["Soon"], "expired": [key.name], "revoked": ["Revoked"]}
    assert names_in(admin.get(LIST, {"status": "all"})) == [key.name, "Active", "Soon", "Revoked"]
    assert names_in(admin.get(LIST, {"status": "nonsense"})) == [key.name, "Active", "Soon"]


def test_a_key_is_found_by_name_and_identifier_revoked_ones_too(admin: Client) -> None:
    key, _ = make_key(name="Nightly export")
    revoke_api_key(key)
    make_key(name="Other")
    for text in ("nightly", key.identifier, key.identifier[5:]):
        assert names_in(admin.get(LIST, {"q": text})) == ["Nightly export"]


@pytest.mark.parametrize("text", ["{key}", "  {key} ", "Bearer {key}", "{key}{key}", "{cut}"])
@pytest.mark.parametrize("method", ["post", "get"])
def test_a_whole_key_in_the_search_is_cut_down_and_goes_no_further(
    admin: Client, method: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    key, plaintext = make_key(name="Pasted")
    secret = plaintext[16:]
    pasted = text.format(key=plaintext, cut=plaintext[:-3])
    with caplog.at_level(logging.DEBUG):
        answer = getattr(admin, method)(LIST, {"q": pasted, "status": "all"})
    assert answer.status_code == 302
    assert secret[:12] not in answer["Location"] + answer.content.decode() + repr([vars(one) for one in caplog.records])
    assert key.identifier in answer["Location"]
    assert "status=all" in answer["Location"]
    found = admin.get(answer["Location"])
    assert "You pasted a whole key: treat it as leaked" in found.content.decode()
    if text.strip() in ("{key}", "{cut}"):
        assert names_in(found) == ["Pasted"]


def test_a_search_is_sent_as_a_form_and_keeps_the_filter(admin: Client) -> None:
    make_key(name="Nightly export")
    form = re.search(
        r'<form id="changelist-search".*?</form>', admin.get(LIST, {"status": "active"}).content.decode(), re.DOTALL
    )
    assert form
    assert 'method="post"' in form[0]
    assert '<input type="hidden" name="status" value="active">' in form[0]
    answer = admin.post(LIST, {"q": "nightly", "status": "active"}, follow=True)
    assert answer.redirect_chain == [(f"{LIST}?q=nightly&status=active", 302)]
    assert names_in(answer) == ["Nightly export"]
    assert "You pasted a whole key" not in answer.content.decode()
    cut_by_script = admin.post(LIST, {"q": "nightly", "cut": "1"}, follow=True)
    assert cut_by_script.redirect_chain == [(f"{LIST}?q=nightly", 302)]
    assert "You pasted a whole key" in cut_by_script.content.decode()


def test_the_list_needs_as_many_queries_for_many_keys_as_for_one(
    admin: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mailboxes = [make_mailbox(), make_mailbox(address="sales@example.com")]
    make_key(mailboxes=mailboxes)
    admin.get(LIST)
    with connection.execute_wrapper(counting := Counting()):
        admin.get(LIST)
    for _ in range(12):
        make_key(mailboxes=mailboxes)
    with django_assert_num_queries(counting.count):
        admin.get(LIST)


class Counting:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.count += 1
        return execute(*arguments)


@pytest.mark.usefixtures("real_limits")
def test_the_page_of_a_key_says_all_that_is_fixed_and_has_no_form(admin: Client, settings: Settings) -> None:
    settings.BASE_URL = "https://mail.example.com"
    support, gone = make_mailbox(), make_mailbox(address="gone@example.com")
    key, plaintext = make_key(mailboxes=[support, gone], scopes=[Scope.EMAILS_READ, Scope.EMAILS_CONTENT])
    provision.delete_mailbox(gone)
    page = admin.get(address_of(key, "change")).content.decode()
    for text in (
        "A key never changes", key.identifier, "emails:content", "Read what emails say: bodies, attachments, raw",
        "support@example.com", "deleted: opens nothing", "Standard: 100/min, 1,000/h, 10,000/day", "by a command",
        "$EMAILGISTICS_API_KEY&quot; https://mail.example.com/v1/me", address_of(key, "delete"),
    ):  # fmt: skip
        assert text in page, text
    assert plaintext[16:] not in page
    content = page[page.index('id="content"') :]
    assert "<form" not in content
    assert "1 mailbox" in content


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_key_cannot_be_changed_over_its_page(admin: Client, method: str) -> None:
    key, _ = make_key()
    before = ApiKey.objects.filter(pk=key.pk).values().get()
    answer = getattr(admin, method)(address_of(key, "change"), {"name": "Mine", "_save": "1"})
    assert answer.status_code == 403
    assert ApiKey.objects.filter(pk=key.pk).values().get() == before


def test_an_unknown_key_has_no_page(admin: Client) -> None:
    make_key()
    for verb in ("change", "delete"):
        for unknown in ("00000000-0000-7000-8000-000000000000", "nonsense"):
            answer = admin.get(reverse(f"admin:apikeys_apikey_{verb}", args=[unknown]), follow=True)
            assert answer.redirect_chain[0][0] == "/admin/"


# --- ending a key


def test_deleting_asks_first_says_what_stops_and_then_revokes(admin: Client) -> None:
    make_mailbox()
    key, plaintext = make_key(name="Nightly export", scopes=[Scope.EMAILS_READ])
    question = admin.get(address_of(key, "delete")).content.decode()
    for text in ("Nightly export", key.identifier, "answers 401", "webhooks go on", "read the email log"):
        assert text in question
    assert client_of(plaintext).get("/v1/me").status_code == 200  # asking ends nothing
    answer = admin.post(address_of(key, "delete"), {"reason": "Replaced by Zapier"})
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    assert client_of(plaintext).get("/v1/me").json()["code"] == "key_revoked"
    key.refresh_from_db()
    assert (key.revoked_by, key.revoke_reason) == (User.objects.get(username="ada"), "Replaced by Zapier")
    listed = admin.get(LIST).content.decode()
    assert f"Nightly export ({key.identifier}) is revoked" in listed
    page = admin.get(address_of(key, "change")).content.decode()
    for text in ("by ada", "Replaced by Zapier", "Could", "has ended"):
        assert text in page
    assert address_of(key, "delete") not in page
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def test_revoking_is_final_and_the_first_reason_stays(admin: Client) -> None:
    key, _ = make_key()
    admin.post(address_of(key, "delete"), {"reason": "first"})
    key.refresh_from_db()
    when = key.revoked_at
    for send in (admin.get, admin.post):
        answer = send(address_of(key, "delete"), {"reason": "second"}, follow=True)
        assert "was revoked before" in answer.content.decode()
    key.refresh_from_db()
    assert (key.revoked_at, key.revoke_reason) == (when, "first")


def test_a_reason_that_is_too_long_is_told_at_its_field_and_ends_nothing(admin: Client) -> None:
    key, _ = make_key()
    answer = admin.post(address_of(key, "delete"), {"reason": "x" * 201})
    assert errors_in(answer) == {"reason"}
    assert b"at most 200 characters" in answer.content
    key.refresh_from_db()
    assert key.revoked_at is None


def test_there_is_no_action_on_many_keys(admin: Client) -> None:
    key, _ = make_key()
    admin.post(LIST, {"action": "delete_selected", "_selected_action": [str(key.pk)], "post": "yes"})
    key.refresh_from_db()
    assert key.revoked_at is None
    assert 'name="action"' not in admin.get(LIST).content.decode()


# --- who may


METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
STRANGERS = {
    "a person": {},
    "staff": {"is_staff": True},
}


def every_address(key: ApiKey) -> list[str]:
    own = [
        LIST,
        ADD,
        PREVIEW,
        MAILBOXES,
        *(address_of(key, verb) for verb in ("change", "rotate", "plan", "delete", "history")),
    ]
    return [*own, f"{LIST}{key.pk}/", f"{LIST}00000000-0000-7000-8000-000000000000/delete/"]


@pytest.mark.parametrize("fields", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("method", METHODS)
def test_everybody_else_gets_403_everywhere_and_nothing_happens(fields: dict[str, bool], method: str) -> None:
    make_mailbox()
    key, _ = make_key()
    token = token_in(client_for(make_user("ada", is_superuser=True)))
    stranger = client_for(make_user("eve", **fields))
    for url in every_address(key):
        answer = getattr(stranger, method)(url, filled_in(token) if method == "post" else None, follow=True)
        assert answer.status_code == 403, (method, url)
        assert key.identifier not in answer.content.decode()
    key.refresh_from_db()
    assert (ApiKey.objects.get(), key.revoked_at) == (key, None)


@pytest.mark.parametrize("method", METHODS)
def test_signed_out_people_get_the_sign_in_page(client: Client, method: str) -> None:
    key, _ = make_key()
    for url in every_address(key):
        answer = getattr(client, method)(url)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/admin/login/"), (method, url)
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_person_who_was_deactivated_is_signed_out() -> None:
    user = make_user("ada", is_superuser=True)
    client = client_for(user)
    User.objects.update(is_active=False)
    assert client.get(LIST).status_code == 302


@pytest.mark.parametrize("method", [method for method in METHODS if method != "post"])
def test_nothing_is_made_or_ended_but_by_post(admin: Client, method: str) -> None:
    make_mailbox()
    key, _ = make_key()
    for url in (f"{ADD}?name=x&reach=all&expiry=90&form_token={token_in(admin)}", address_of(key, "delete")):
        getattr(admin, method)(url)
    key.refresh_from_db()
    assert (ApiKey.objects.get(), key.revoked_at) == (key, None)


def test_a_member_of_the_group_may_everything_that_a_superuser_may() -> None:
    make_mailbox()
    user = make_user("grace")
    user.groups.add(Group.objects.get_or_create(name=SYSTEM_ADMINISTRATORS)[0])
    client = client_for(user)
    key, plaintext = made(client.post(ADD, filled_in(token_in(client))))
    for url in (
        LIST,
        PREVIEW,
        MAILBOXES,
        *(address_of(key, verb) for verb in ("change", "rotate", "plan", "delete", "history")),
    ):
        assert client.get(url).status_code == 200
    client.post(address_of(key, "delete"))
    assert client_of(plaintext).get("/v1/me").status_code == 401


@pytest.mark.parametrize("url", ["/settings", "/settings/"])
def test_settings_lead_there(admin: Client, client: Client, url: str) -> None:
    assert admin.get(url, follow=True).redirect_chain == [(LIST, 302)]
    assert client.get(url, follow=True).redirect_chain[-1][0].startswith("/admin/login/?next=")
    assert client_for(make_user("eve")).get(url, follow=True).status_code == 403
