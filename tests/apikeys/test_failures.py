"""Wrong keys, by the dozen: who is told to wait, and who is not."""

import re
from ipaddress import ip_network

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from apikeys.credentials import new_key
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key
from tests.apikeys.factories import make_expired_key, make_key

pytestmark = pytest.mark.django_db

ME = "/v1/me"
LIMIT = 3
UNKNOWN, MALFORMED = (401, "invalid_key"), (401, "malformed_key")
TOO_MANY = (429, "too_many_failures")
OFFICE = "198.51.100.1"


@pytest.fixture(autouse=True)
def _limit(settings: Settings, fresh_counts: None) -> None:
    settings.KEY_FAILURES_PER_MINUTE = LIMIT


def call(address: str, plaintext: str | None) -> tuple[int, str]:
    headers = {} if plaintext is None else {"Authorization": f"Bearer {plaintext}"}
    answer = Client(headers=headers, REMOTE_ADDR=address).get(ME)
    body = answer.json()
    if answer.status_code == 429:
        assert answer["Content-Type"] == "application/problem+json"
        assert 1 <= int(answer["Retry-After"]) <= 60
        assert re.search(rf"try again in {answer['Retry-After']} seconds|stop what uses it", body["detail"])
        assert "WWW-Authenticate" not in answer
    return answer.status_code, body.get("code", "")


def test_unknown_and_malformed_keys_of_an_address_are_refused_and_then_told_to_wait() -> None:
    tries = [new_key().plaintext, "emgk_", new_key().plaintext, new_key().plaintext, "emgk_"]
    assert [call(OFFICE, key) for key in tries] == [UNKNOWN, MALFORMED, UNKNOWN, TOO_MANY, TOO_MANY]
    assert call("203.0.113.1", new_key().plaintext) == UNKNOWN


def test_a_good_key_never_pays_for_its_neighbours_nor_counts() -> None:
    _, good = make_key()
    assert [call(OFFICE, good) for _ in range(LIMIT + 1)] == [(200, "")] * (LIMIT + 1)
    answers = [call(OFFICE, new_key().plaintext) for _ in range(LIMIT + 1)]
    assert answers == [UNKNOWN] * LIMIT + [TOO_MANY]
    assert call(OFFICE, good) == (200, "")


def test_a_request_without_a_key_is_no_guess() -> None:
    missing = (401, "missing_credentials")
    assert [call(OFFICE, None) for _ in range(LIMIT + 2)] == [missing] * (LIMIT + 2)
    assert call(OFFICE, new_key().plaintext) == UNKNOWN
    for _ in range(LIMIT):
        call(OFFICE, new_key().plaintext)
    assert call(OFFICE, None) == missing


@pytest.mark.parametrize("how", ["revoked", "expired", "elsewhere"])
def test_a_key_that_is_refused_counts_for_itself_and_bans_nobody(how: str) -> None:
    if how == "expired":
        key, plaintext = make_expired_key()
    else:
        key, plaintext = make_key(networks=["192.0.2.0/24"] if how == "elsewhere" else [])
    if how == "revoked":
        revoke_api_key(key)
    code = {"revoked": "key_revoked", "expired": "key_expired", "elsewhere": "network_not_allowed"}[how]
    assert [call(OFFICE, plaintext) for _ in range(LIMIT + 2)] == [(401, code)] * LIMIT + [TOO_MANY] * 2
    # from everywhere, for it is the key that is tried too often
    assert call("203.0.113.2", plaintext) == TOO_MANY
    other, its_plaintext = make_key()
    revoke_api_key(other)
    assert call(OFFICE, its_plaintext) == (401, "key_revoked")
    assert call(OFFICE, new_key().plaintext) == UNKNOWN


def test_a_key_that_was_tried_elsewhere_too_often_is_good_at_home() -> None:
    _, plaintext = make_key(networks=["192.0.2.0/24"])
    assert [call(OFFICE, plaintext) for _ in range(LIMIT + 1)][-1] == TOO_MANY
    assert call("192.0.2.1", plaintext) == (200, "")


def test_the_secret_of_a_known_key_is_guessed_like_an_unknown_key() -> None:
    key, plaintext = make_key()
    guess = new_key().plaintext
    assert [call(OFFICE, guess) for _ in range(LIMIT + 1)][-1] == TOO_MANY
    assert call(OFFICE, plaintext) == (200, "")
    assert ApiKey.objects.in_force().get() == key


def test_the_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    assert [call(f"2001:db8::{n}", "x")[0] for n in range(LIMIT + 1)] == [401, 401, 401, 429]
    assert call("2001:db8:0:1::1", "x") == MALFORMED


def test_a_forged_forwarded_for_neither_frees_nor_bans(settings: Settings) -> None:
    def guess(peer: str, forwarded: str) -> int:
        headers = {"Authorization": "Bearer x", "X-Forwarded-For": forwarded}
        return Client(headers=headers, REMOTE_ADDR=peer).get(ME).status_code

    assert [guess(OFFICE, f"203.0.113.{n}") for n in range(LIMIT + 1)][-1] == 429
    assert call("203.0.113.3", "x") == MALFORMED  # whom it named
    settings.TRUSTED_PROXIES = [ip_network("192.0.2.0/24")]
    # behind a proxy each client counts for itself
    assert [guess("192.0.2.1", f"203.0.113.{10 + n}") for n in range(LIMIT + 1)] == [401] * (LIMIT + 1)


def test_being_told_to_wait_costs_no_query_more(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(LIMIT + 1):
        call(OFFICE, "x")
    with django_assert_num_queries(0):
        assert call(OFFICE, "x") == TOO_MANY
    with django_assert_num_queries(1):
        assert call(OFFICE, new_key().plaintext) == TOO_MANY


def test_while_the_cache_is_away_it_is_counted_in_the_process_and_nothing_is_a_500(settings: Settings) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }
    address = f"2001:db8:{new_key().plaintext[-4:].encode().hex()[:4]}::1"
    assert [call(address, new_key().plaintext) for _ in range(LIMIT + 1)] == [UNKNOWN] * LIMIT + [TOO_MANY]
    assert call(address, make_key()[1]) == (200, "")
