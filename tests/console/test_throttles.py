"""Who is told to wait: whoever tries passwords out, sends key forms by the dozen, or reads /docs in a loop."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apikeys.models import ApiKey
from emailgistics.console.sign_in import COOKIE
from tests.apikeys.factories import make_key
from tests.console.conftest import PASSWORD, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_counts")]

LIMIT = 3


@pytest.fixture(autouse=True)
def _limits(settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_MINUTE = settings.KEY_FORMS_PER_MINUTE = settings.DOCS_PER_MINUTE = LIMIT


def browser(address: str = "198.51.100.1") -> Client:
    return Client(REMOTE_ADDR=address)


def sign_in(client: Client, name: str = "superuser", password: str = PASSWORD) -> int:
    """302 for a good password, 200 for a wrong one."""
    answer = client.post("/admin/login/", {"username": name, "password": password})
    if answer.status_code == 429:
        check_that_it_says_what_to_do(answer)
    return answer.status_code


def check_that_it_says_what_to_do(answer: HttpResponse) -> None:
    wait_s = int(answer["Retry-After"])
    assert 1 <= wait_s <= 60
    assert f"Wait {wait_s} second" in answer.content.decode()


def test_wrong_passwords_of_an_address_end_in_waiting_even_for_the_right_one() -> None:
    make_person("superuser")
    tries = [sign_in(browser(), name, "wrong") for name in ("a", "b", "superuser", "c")]
    assert tries == [200, 200, 200, 429]
    assert sign_in(browser()) == 429
    assert sign_in(browser("203.0.113.1")) == 302


def test_wrong_passwords_for_a_name_end_in_waiting_wherever_they_come_from() -> None:
    make_person("superuser")
    tries = [sign_in(browser(f"203.0.113.{n}"), name, "x") for n, name in enumerate(["superuser", "Superuser"] * 2)]
    assert tries == [200, 200, 200, 429]
    assert sign_in(browser()) == 429
    # as for a name that nobody has: it does not tell which there are
    assert [sign_in(browser(f"192.0.2.{n}"), "nobody", "x") for n in range(LIMIT + 1)] == tries


def test_good_passwords_are_no_failures() -> None:
    make_person("superuser")
    assert [sign_in(browser()) for _ in range(LIMIT + 2)] == [302] * (LIMIT + 2)
    assert sign_in(browser(), password="wrong") == 200
    # nor is a form that was sent empty
    assert [sign_in(browser(), password="") for _ in range(LIMIT + 2)] == [200] * (LIMIT + 2)
    assert sign_in(browser()) == 302


def test_nobody_is_kept_out_of_a_browser_in_which_they_have_signed_in() -> None:
    make_person("superuser")
    known = browser()
    assert sign_in(known) == 302
    known.post("/admin/logout/")
    assert COOKIE in known.cookies
    for n in range(LIMIT + 1):
        sign_in(browser(f"203.0.113.{n}"), password="wrong")  # under the name
        sign_in(browser(), f"somebody {n}", "wrong")  # behind the same address
    assert sign_in(browser()) == sign_in(browser("192.0.2.1")) == 429
    assert sign_in(known) == 302


def test_the_mark_of_a_browser_opens_nothing_and_is_counted_too() -> None:
    make_person("superuser")
    User.objects.create_user("other", password=PASSWORD)
    known = browser()
    sign_in(known)
    mark = known.cookies[COOKIE]
    assert mark["httponly"]
    assert mark["samesite"] == "Lax"
    thief = browser("203.0.113.9")
    thief.cookies[COOKIE] = mark.value
    assert thief.get("/admin/").status_code == 302  # to the sign-in page
    assert [sign_in(thief, password="wrong") for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    assert sign_in(thief) == 429
    # another's name, or a mark that was made up, counts as without one
    assert [sign_in(thief, "other", "x") for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
    forger = browser("203.0.113.10")
    forger.cookies[COOKIE] = mark.value[:-1]
    assert [sign_in(forger, "third", "x") for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]


def test_a_page_behind_the_sign_in_page_asks_for_the_password_under_the_same_limit() -> None:
    make_person("superuser")
    form = {"username": "superuser", "password": "wrong", "next": "/docs"}
    assert [browser().post("/admin/login/?next=/docs", form).status_code for _ in range(LIMIT + 1)][-1] == 429


def test_the_forms_about_keys_count_for_the_person_who_sends_them(client_for: Callable[[str], Client]) -> None:
    client = client_for("superuser")
    key, _ = make_key()
    add, delete = "/admin/apikeys/apikey/add/", f"/admin/apikeys/apikey/{key.pk}/delete/"
    assert [client.post(add, {}).status_code for _ in range(LIMIT)] == [200] * LIMIT
    for path in (add, delete):
        answer = client.post(path, {"reason": "left in a chat"})
        assert answer.status_code == 429
        check_that_it_says_what_to_do(answer)
    assert ApiKey.objects.in_force().count() == 1
    assert client.get(add).status_code == client.get(delete).status_code == 200
    assert client_for("member").post(delete, {"reason": "left in a chat"}).status_code == 302
    assert not ApiKey.objects.in_force().exists()


def test_forms_about_other_things_are_not_counted(client_for: Callable[[str], Client]) -> None:
    client = client_for("superuser")
    path = "/admin/mailboxes/domain/add/"
    assert {client.post(path, {}).status_code for _ in range(LIMIT + 2)} == {200}


def test_docs_and_the_openapi_document_are_read_so_often_by_an_address() -> None:
    client, other = browser(), browser("203.0.113.1")
    _, plaintext = make_key()
    answers = [client.get(path).status_code for path in ("/docs", "/docs/", "/docs/openapi.json", "/docs")]
    assert answers == [302, 302, 302, 429]
    answer = client.get("/docs")
    assert f"try again in {answer['Retry-After']} seconds" in answer.content.decode()
    headers = {"Authorization": f"Bearer {plaintext}"}
    refused = client.get("/v1/openapi.json", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert f"try again in {refused['Retry-After']} seconds" in refused.json()["detail"]
    assert other.get("/v1/openapi.json", headers=headers).status_code == 200
    assert client.get("/v1/me", headers=headers).status_code == 200
