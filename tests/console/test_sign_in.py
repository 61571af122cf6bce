"""Signing in: password, code, sessions, and being asked again."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from pytest_django import Settings

from emailgistics.common import sealed
from emailgistics.common.models import AuditEntry
from emailgistics.console import two_factor
from emailgistics.console.models import Authenticator, Preferences, RecoveryCode, Session
from emailgistics.console.session_store import digest
from tests.apikeys.factories import make_key
from tests.console.conftest import PASSWORD, make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_counts")]

LOGIN = "/admin/login/?next=/admin/auth/user/"
CODE = "/admin/login/code/"
Clients = Callable[[str], Client]


def with_two_factor(name: str = "superuser") -> tuple[User, list[str]]:
    """The person, and the recovery codes. The code of the app's last step is spent."""
    user = make_person(name)
    two_factor.prepare(user)
    device = Authenticator.objects.get(user=user)
    codes = two_factor.confirm(user, code_of(user, -1), address="")
    assert codes is not None
    device.refresh_from_db()
    return user, codes


def code_of(user: User, offset: int = 0) -> str:
    secret = two_factor._secret_of(Authenticator.objects.get(user=user))
    return two_factor.code_at(secret, int(time.time()) // two_factor.STEP_S + offset)


def wrong_code_of(user: User) -> str:
    taken = {code_of(user, offset) for offset in (-2, -1, 0, 1, 2)}
    return next(code for code in map("{:06d}".format, range(9)) if code not in taken)


def give_password(client: Client, address: str = LOGIN, name: str = "superuser") -> HttpResponse:
    return client.post(address, {"username": name, "password": PASSWORD})  # type: ignore[return-value]


def is_signed_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def session_id(client: Client) -> str:
    return client.cookies["sessionid"].value


def audited(action: str) -> list[str]:
    return [entry.by for entry in AuditEntry.objects.filter(action=f"person.{action}")]


# --- password, then code


def test_the_password_leads_to_the_code_and_the_code_to_where_one_wanted() -> None:
    user, _ = with_two_factor()
    client = Client()
    assert give_password(client)["Location"] == CODE
    assert not is_signed_in(client)
    answer = client.post(CODE, {"code": code_of(user)})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/auth/user/")
    assert is_signed_in(client)


def test_between_password_and_code_no_page_opens(one_of_each: dict[str, Any]) -> None:
    with_two_factor()
    client = Client()
    give_password(client)
    pages = list(pages_of(get_resolver().url_patterns))
    assert len(pages) > 50
    for page in pages:
        answer = client.get(page)
        # 404 and 405 come from what needs no sign-in and is not there
        assert answer.status_code in (301, 302, 401, 404, 405) or page in (CODE, "/admin/login/"), page
        if (
            answer.status_code == 302
            and page.startswith("/admin/")
            and page not in ("/admin/login/", "/admin/logout/", CODE)
        ):
            assert answer["Location"].startswith("/admin/login/"), page


def pages_of(patterns: Any, prefix: str = "/") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from pages_of(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and prefix.startswith("/admin/"):
            yield re.sub(r"\(\?P.*", "x", re.sub(r"<[^>]+>", "1", path)).rstrip("$")


def test_a_code_counts_once_and_one_step_beside_its_time() -> None:
    user, _ = with_two_factor()
    code, later = code_of(user), code_of(user, 1)
    assert not two_factor.accepts(user, code_of(user, -1))  # spent as it was set up
    assert two_factor.accepts(user, code)
    assert not two_factor.accepts(user, code)
    assert two_factor.accepts(user, later)
    assert not two_factor.accepts(user, code_of(user, 3))


def test_a_recovery_code_counts_once_however_it_is_typed() -> None:
    user, codes = with_two_factor()
    client = Client()
    give_password(client)
    assert client.post(CODE, {"code": codes[0].upper().replace("-", " ")}).status_code == 302
    assert is_signed_in(client)
    again = Client()
    give_password(again)
    assert "does not fit" in again.post(CODE, {"code": codes[0]}).content.decode()
    assert not is_signed_in(again)
    assert two_factor.codes_left(user) == two_factor.RECOVERY_CODES - 1


def test_a_recovery_code_opens_nothing_of_somebody_else() -> None:
    _, codes = with_two_factor()
    other, _ = with_two_factor("member")
    assert not two_factor.accepts(other, codes[0])


@pytest.mark.on_postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_two_uses_at_once_one_is_let_in(kind: str) -> None:
    user, codes = with_two_factor()
    code = code_of(user) if kind == "app" else codes[0]

    def use(_: int) -> bool:
        try:
            return two_factor.accepts(user, code)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(use, range(4))) == [False, False, False, True]


def test_wrong_codes_count_with_wrong_passwords(settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_MINUTE = 3
    user, _ = with_two_factor()
    client = Client()
    give_password(client)
    wrong = wrong_code_of(user)
    assert [client.post(CODE, {"code": wrong}).status_code for _ in range(3)] == [200, 200, 200]
    assert client.post(CODE, {"code": code_of(user)}).status_code == 429
    assert give_password(Client()).status_code == 429


def test_after_five_wrong_codes_the_password_is_asked_for_again() -> None:
    user, _ = with_two_factor()
    client = Client()
    give_password(client)
    wrong = wrong_code_of(user)
    answers = [client.post(CODE, {"code": wrong}) for _ in range(5)]
    assert answers[-1]["Location"] == "/admin/login/"
    assert client.post(CODE, {"code": code_of(user)})["Location"] == "/admin/login/"


@pytest.mark.parametrize("change", ["password", "deactivated", "late"])
def test_the_first_step_is_worth_nothing_when_things_have_changed(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    user, _ = with_two_factor()
    client = Client()
    give_password(client)
    if change == "password":
        user.set_password("another one that is long")
    user.is_active = change != "deactivated"
    user.save()
    code = code_of(user)
    if change == "late":
        now = time.time()
        monkeypatch.setattr("emailgistics.console.second_step.time.time", lambda: now + 301)
    assert client.post(CODE, {"code": code})["Location"] == "/admin/login/"
    assert not Session.objects.filter(user=user).exists()


@pytest.mark.parametrize(
    "strange", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_signing_in_leads_to_no_other_place(strange: str) -> None:
    user, _ = with_two_factor()
    client = Client()
    client.post("/admin/login/", {"username": "superuser", "password": PASSWORD, "next": strange})
    answer = client.post(CODE, {"code": code_of(user)})
    assert answer["Location"].startswith("/admin/") or answer["Location"] == "/accounts/profile/", answer["Location"]
    confirmed = client.get("/admin/confirm/", {"next": strange})
    assert confirmed.status_code == 200
    data = {"password": PASSWORD, "code": code_of(user, 1)}
    assert client.post(f"/admin/confirm/?{'next=' + strange}", data)["Location"] == "/admin/"


def test_each_step_begins_another_session() -> None:
    user, _ = with_two_factor()
    client = Client()
    client.post(LOGIN, {"username": "superuser", "password": PASSWORD})
    half = session_id(client)
    client.post(CODE, {"code": code_of(user)})
    whole = session_id(client)
    assert half != whole
    planted = Client()
    planted.cookies["sessionid"] = half
    assert not is_signed_in(planted)
    client.post("/admin/confirm/", {"password": PASSWORD, "code": code_of(user, 1)})
    assert session_id(client) != whole


# --- setting it up


def set_up(client: Client, user: User) -> str:
    page = client.get("/admin/account/two-factor/").content.decode()
    assert "data:image/svg+xml" in page
    return client.post("/admin/account/two-factor/", {"code": code_of(user)}).content.decode()


def test_it_is_set_up_with_a_code_and_shows_recovery_codes_once(client_for: Clients) -> None:
    client, elsewhere = client_for("superuser"), client_for("superuser")
    user = User.objects.get(username="superuser")
    page = set_up(client, user)
    shown = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", unescape(page.partition("</textarea>")[0]))
    assert len(set(shown)) == two_factor.RECOVERY_CODES
    assert not any(code in client.get("/admin/account/").content.decode() for code in shown)
    assert is_signed_in(client)
    assert not is_signed_in(elsewhere)  # begun by the password alone
    assert audited("two_factor_on") == ["superuser"]
    assert two_factor.accepts(user, shown[3])


def test_nothing_at_rest_signs_in(client_for: Clients) -> None:
    user, codes = with_two_factor()
    secret = two_factor._secret_of(Authenticator.objects.get(user=user))
    device = Authenticator.objects.values().get(user=user)
    assert secret not in bytes(device["sealed_secret"])
    kept = [bytes(row) for row in RecoveryCode.objects.values_list("digest", flat=True)]
    assert not any(code.replace("-", "").encode() in row for code in codes for row in kept)
    assert "secrets of authenticators" in {column.of for column in sealed.columns()}


def test_a_wrong_code_switches_nothing_on(client_for: Clients) -> None:
    client = client_for("superuser")
    user = User.objects.get(username="superuser")
    client.get("/admin/account/two-factor/")
    assert "does not fit" in client.post("/admin/account/two-factor/", {"code": wrong_code_of(user)}).content.decode()
    assert two_factor.authenticator_of(user) is None


def test_new_recovery_codes_make_the_others_worthless(client_for: Clients) -> None:
    user, codes = with_two_factor()
    client = client_for("superuser")
    assert client.get("/admin/account/recovery-codes/").status_code == 405
    assert client.post("/admin/account/recovery-codes/").status_code == 200
    assert not two_factor.accepts(user, codes[0])


def test_switching_it_off_takes_password_and_code(client_for: Clients) -> None:
    user, _ = with_two_factor()
    client = client_for("superuser")
    off = "/admin/account/two-factor/off/"
    code = code_of(user)
    client.post(off, {"password": "wrong", "code": code})
    client.post(off, {"password": PASSWORD, "code": wrong_code_of(user)})
    assert two_factor.authenticator_of(user)
    client.post(off, {"password": PASSWORD, "code": code})  # which the wrong password did not spend
    assert two_factor.authenticator_of(user) is None
    assert audited("two_factor_off") == ["superuser"]


def test_an_administrator_resets_it_and_that_ends_the_sessions(client_for: Clients) -> None:
    user, _ = with_two_factor("staff")
    client, theirs = client_for("superuser"), client_for("staff")
    page = reverse("admin:auth_user_sessions", args=[user.pk])
    assert "Reset two-factor sign-in" in client.get(page).content.decode()
    assert theirs.post(page, {"reset": "1"}).status_code == 403
    client.post(page, {"reset": "1"})
    assert two_factor.authenticator_of(user) is None
    assert not is_signed_in(theirs)
    assert audited("two_factor_reset") == ["superuser"]


def test_nobody_resets_his_own(client_for: Clients) -> None:
    user, _ = with_two_factor()
    client_for("superuser").post(reverse("admin:auth_user_sessions", args=[user.pk]), {"reset": "1"})
    assert two_factor.authenticator_of(user)


def test_the_operator_resets_it(client_for: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    with_two_factor()
    client = client_for("superuser")
    call_command("users", "reset-2fa", "superuser", "--json")
    assert '"two_factor": false' in capsys.readouterr().out
    assert not is_signed_in(client)
    assert audited("two_factor_reset") == ["command"]
    with pytest.raises(CommandError, match="has no two-factor"):
        call_command("users", "reset-2fa", "superuser")
    with pytest.raises(CommandError, match="no user"):
        call_command("users", "reset-2fa", "nobody")


# --- required of all


@pytest.mark.parametrize("page", ["/admin/", "/admin/auth/user/", "/admin/account/", "/docs", "/docs/openapi.json"])
def test_where_it_is_required_nothing_opens_before(page: str, client_for: Clients, settings: Settings) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client = client_for("superuser")
    assert client.get(page)["Location"] == "/admin/account/two-factor/"
    set_up(client, User.objects.get(username="superuser"))
    assert client.get(page).status_code == 200


def test_where_it_is_required_people_without_rights_set_it_up_too(client_for: Clients, settings: Settings) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client = client_for("ordinary")
    set_up(client, User.objects.get(username="ordinary"))
    assert client.get("/docs").status_code == 200


# --- sessions


def test_one_sees_and_ends_ones_sessions_and_no_ids(client_for: Clients) -> None:
    client, elsewhere, third = (client_for("superuser") for _ in range(3))
    page = client.get("/admin/account/").content.decode()
    assert page.count("this one") == 1
    for each in (client, elsewhere, third):
        assert session_id(each) not in page
        assert digest(session_id(each)) not in page
    row = Session.objects.get(pk=digest(session_id(elsewhere)))
    client.post("/admin/account/sessions/end/", {"session": str(row.id)})
    assert (is_signed_in(elsewhere), is_signed_in(third)) == (False, True)
    client.post("/admin/account/sessions/end/", {"others": "1"})
    assert (is_signed_in(third), is_signed_in(client)) == (False, True)
    assert audited("sessions_ended") == ["superuser"] * 2


def test_nobody_ends_a_session_of_somebody_else(client_for: Clients) -> None:
    client, theirs = client_for("staff"), client_for("superuser")
    row = Session.objects.get(pk=digest(session_id(theirs)))
    client.post("/admin/account/sessions/end/", {"session": str(row.id)})
    assert client.post("/admin/account/sessions/end/", {"session": "x"}).status_code == 404
    assert is_signed_in(theirs)


def test_administrators_end_the_sessions_of_others(client_for: Clients) -> None:
    client, theirs = client_for("superuser"), client_for("staff")
    user = User.objects.get(username="staff")
    page = reverse("admin:auth_user_sessions", args=[user.pk])
    row = Session.objects.get(user=user)
    client.post(page, {"session": str(row.id)})
    assert not is_signed_in(theirs)
    client.post(page, {"all": "1"})


@pytest.mark.parametrize("limit", ["SESSION_IDLE", "SESSION_COOKIE_AGE"])
def test_sessions_end_by_themselves(limit: str, client_for: Clients, settings: Settings) -> None:
    client = client_for("superuser")
    assert is_signed_in(client)
    field = "seen_at" if limit == "SESSION_IDLE" else "begun_at"
    span = settings.SESSION_IDLE if limit == "SESSION_IDLE" else timedelta(seconds=settings.SESSION_COOKIE_AGE)
    Session.objects.update(**{field: timezone.now() - span - timedelta(seconds=1)})
    assert not is_signed_in(client)


def test_a_session_is_written_once_a_minute_at_most(client_for: Clients, django_assert_num_queries: Any) -> None:
    client = client_for("superuser")
    before = Session.objects.get().seen_at
    is_signed_in(client)
    assert Session.objects.get().seen_at == before
    Session.objects.update(seen_at=before - timedelta(seconds=61))
    is_signed_in(client)
    assert Session.objects.get().seen_at >= before


def test_a_new_password_ends_the_other_sessions(client_for: Clients) -> None:
    client, elsewhere = client_for("superuser"), client_for("superuser")
    new = "a much better password"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", data).status_code == 302
    assert is_signed_in(client)
    assert not is_signed_in(elsewhere)
    assert Session.objects.filter(user__username="superuser").count() == 1


def test_who_is_deactivated_has_no_session_left(client_for: Clients) -> None:
    client, theirs = client_for("superuser"), client_for("staff")
    user = User.objects.get(username="staff")
    data = {"action": "deactivate", "_selected_action": [user.pk]}
    client.post("/admin/auth/user/", data)
    assert not Session.objects.filter(user=user).exists()
    assert not is_signed_in(theirs)


# --- a sign-in of the last minutes


def grow_old(client: Client, by: timedelta) -> None:
    session = client.session
    session["confirmed"] -= by.total_seconds()
    session.save()


def fresh_pages() -> list[str]:
    key, _ = make_key()
    user = User.objects.get(username="superuser")
    pages = [reverse(f"admin:apikeys_apikey_{page}", args=[key.pk]) for page in ("rotate", "delete", "plan")]
    pages += [reverse(f"admin:auth_user_{page}", args=[user.pk]) for page in ("change", "delete", "sessions")]
    return [*pages, reverse("admin:auth_user_password_change", args=[user.pk]), "/admin/apikeys/apikey/add/"]


def test_keys_and_people_are_for_whoever_has_just_signed_in(client_for: Clients) -> None:
    client = client_for("superuser")
    pages = fresh_pages()
    assert {client.get(page).status_code for page in pages} <= {200, 302}
    grow_old(client, timedelta(minutes=16))
    for page in pages:
        assert client.get(page)["Location"].startswith("/admin/confirm/?next="), page
    asked = client.get(pages[0])["Location"]
    assert client.post(asked, {"password": "wrong"}).status_code == 200
    assert client.post(asked, {"password": PASSWORD})["Location"] == pages[0]
    assert client.get(pages[0]).status_code == 200
    assert client.get("/admin/mailboxes/mailbox/").status_code == 200


def test_what_was_opened_in_time_may_be_sent_later_but_not_hours_later(client_for: Clients) -> None:
    client = client_for("superuser")
    grow_old(client, timedelta(minutes=50))
    assert client.post("/admin/apikeys/apikey/add/", {}).status_code == 200  # the form, and what is wrong in it
    grow_old(client, timedelta(minutes=50))
    answer = client.post("/admin/apikeys/apikey/add/", {})
    assert (answer.status_code, "still in it" in answer.content.decode()) == (403, True)
    assert client.post("/admin/auth/user/", {"action": "deactivate"})["Location"].startswith("/admin/confirm/")


def test_confirming_takes_the_code_too_and_is_counted(client_for: Clients, settings: Settings) -> None:
    settings.SIGN_IN_FAILURES_PER_MINUTE = 2
    user, _ = with_two_factor()
    client = client_for("superuser")
    assert client.post("/admin/confirm/", {"password": PASSWORD}).status_code == 200
    wrong = wrong_code_of(user)
    for _ in range(2):
        assert client.post("/admin/confirm/", {"password": PASSWORD, "code": wrong}).status_code == 200
    assert client.post("/admin/confirm/", {"password": PASSWORD, "code": code_of(user)}).status_code == 429


# --- dates


def test_dates_are_shown_in_the_time_zone_of_whoever_looks(client_for: Clients) -> None:
    client = client_for("superuser")
    user = User.objects.get(username="superuser")
    User.objects.filter(pk=user.pk).update(last_login="2030-01-31T23:30:00Z")
    page = reverse("admin:auth_user_change", args=[user.pk])
    exactly = 'title="2030-01-31T23:30:00.000+00:00"'
    for told, chosen, shown in (
        ("", "", "2030-01-31 23:30:00"),
        ("Asia/Tokyo", "", "2030-02-01 08:30:00"),
        ("Asia%2FTokyo", "America/New_York", "2030-01-31 18:30:00"),
        ("../../etc/passwd", "", "2030-01-31 23:30:00"),
    ):
        client.cookies["emailgistics_time_zone"] = told
        Preferences.objects.update_or_create(user=user, defaults={"time_zone": chosen})
        for address in (page, "/admin/auth/user/"):
            text = client.get(address).content.decode()
            assert f"{shown}</time>" in text, (told, chosen, address)
            assert exactly in text
    assert timezone.get_current_timezone_name() == "UTC"


def test_the_time_zone_is_chosen(client_for: Clients) -> None:
    client = client_for("staff")
    assert client.post("/admin/account/", {"time_zone": "Europe/Atlantis"}).status_code == 200
    assert not Preferences.objects.exists()
    client.post("/admin/account/", {"time_zone": "Europe/Berlin"})
    assert Preferences.objects.get().time_zone == "Europe/Berlin"
