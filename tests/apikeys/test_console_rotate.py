"""The page that makes a key in the place of another, presets and networks of the form."""

import re
from datetime import UTC, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apikeys.models import ApiKey, KeyCalls, KeyMailboxUse, KeyScopeUse
from apikeys.rotation import rotate_api_key
from apikeys.services import revoke_api_key
from emailgistics.common.access import Scope
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_expired_key, make_key
from tests.apikeys.pages import ADD, LIST, WHOLE_KEY, address_of, errors_in, filled_in, form_token, made, token_in
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


def old_key() -> tuple[ApiKey, str]:
    gone = make_mailbox(address="gone@example.com")
    key, plaintext = make_key(
        name="Nightly export",
        mailboxes=[make_mailbox(), gone],
        scopes=[Scope.EMAILS_READ, Scope.STATISTICS_READ],
        networks=["127.0.0.0/8", "2001:db8::/32"],
        plan="pro",
    )
    provision.delete_mailbox(gone)
    return key, plaintext


def rotation(admin: Client, key: ApiKey, **changes: Any) -> dict[str, Any]:
    """The form as it comes, with changes; None leaves a field out."""
    page = admin.get(address_of(key, "rotate")).content.decode()
    networks = re.search(r'<textarea name="networks"[^>]*>([^<]*)<', page)
    name = re.search(r'name="name"[^>]*? value="([^"]*)"', page)
    assert networks
    assert name
    as_it_comes = {field: re.findall(rf'name="{field}" value="([^"]+)" checked', page)
                   for field in ("expiry", "reach", "mailboxes", "scopes", "old_ends")}  # fmt: skip
    return filled_in(form_token(page), **{**as_it_comes, "name": name[1], "networks": networks[1], **changes})


def test_the_new_key_is_as_the_old_one_unless_changed_and_both_work_meanwhile(admin: Client) -> None:
    old, old_plaintext = old_key()
    answer = admin.post(address_of(old, "rotate"), rotation(admin, old))
    new, plaintext = made(answer)
    assert (new.name, new.scopes, new.networks, new.rate_plan, new.rotated_from) == (
        "Nightly export", ["emails:read", "statistics:read"], ["127.0.0.0/8", "2001:db8::/32"], "pro", old,
    )  # fmt: skip
    assert [str(mailbox) for mailbox in new.mailboxes.all()] == ["support@example.com"]  # what is deleted is left out
    old.refresh_from_db()
    assert old.revoke_at is not None
    assert abs(old.revoke_at - in_days(1)) < timedelta(minutes=1)  # 24 hours are preselected
    assert client_of(old_plaintext).get("/v1/me").status_code == 200
    assert client_of(plaintext).get("/v1/me").json()["id"] == new.identifier
    assert f"takes the place of {old.name}" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    pages = [admin.get(address_of(key, "change")).content.decode() for key in (old, new)]
    assert new.identifier in pages[0]
    assert old.identifier in pages[1]
    assert plaintext[16:] not in "".join(pages)


def test_everything_may_differ_and_the_old_one_may_end_at_once(admin: Client) -> None:
    old, old_plaintext = old_key()
    make_mailbox(address="sales@example.com")
    changes = {"name": "Export", "mailboxes": ["sales@example.com"], "scopes": ["emails:read"], "networks": "",
               "expiry": "7", "old_ends": "now"}  # fmt: skip
    answer = admin.post(address_of(old, "rotate"), rotation(admin, old, **changes))
    new, _ = made(answer)
    assert (new.name, new.scopes, new.networks) == ("Export", ["emails:read"], [])
    assert list(new.mailboxes.all()) == [Mailbox.objects.get(local_part="sales")]
    assert "which is revoked: every call with it answers 401 now" in answer.content.decode()
    assert client_of(old_plaintext).get("/v1/me").status_code == 401


def test_a_reload_makes_no_second_key_even_when_the_old_one_has_ended(admin: Client) -> None:
    old, _ = old_key()
    sent = rotation(admin, old, old_ends="now")
    new, plaintext = made(admin.post(address_of(old, "rotate"), sent))
    again = admin.post(address_of(old, "rotate"), sent)
    assert again.status_code == 409
    assert new.identifier in again.content.decode()
    assert plaintext not in again.content.decode()
    assert ApiKey.objects.count() == 2


def test_a_form_belongs_to_the_key_that_it_rotates(admin: Client) -> None:
    old, _ = old_key()
    other, _ = make_key()
    sent = rotation(admin, old)
    assert errors_in(admin.post(address_of(other, "rotate"), sent)) == {"__all__"}
    assert errors_in(admin.post(ADD, sent)) == {"__all__"}
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize(("changes", "field"), [
    ({"old_ends": None}, "old_ends"), ({"old_ends": "never"}, "old_ends"), ({"name": ""}, "name"),
    ({"scopes": None}, "scopes"), ({"networks": "here"}, "networks"),
])  # fmt: skip
def test_a_mistake_keeps_what_was_typed_and_ends_nothing(admin: Client, changes: dict[str, Any], field: str) -> None:
    old, _ = old_key()
    answer = admin.post(address_of(old, "rotate"), rotation(admin, old, **{"name": "Typed", **changes}))
    assert errors_in(answer) == {field}
    assert "Rotate Nightly export" in answer.content.decode()
    assert not WHOLE_KEY.search(answer.content.decode())
    old.refresh_from_db()
    assert (ApiKey.objects.get(), old.revoke_at) == (old, None)


def test_a_key_that_has_ended_is_not_rotated(admin: Client) -> None:
    expired, _ = make_expired_key()
    for send in (admin.get, admin.post):
        answer = send(address_of(expired, "rotate"), follow=True)
        assert "Rotate…" not in answer.content.decode()
    old, _ = old_key()
    sent = rotation(admin, old)
    revoke_api_key(old)  # while somebody filled in the form
    answer = admin.post(address_of(old, "rotate"), sent, follow=True)
    assert "has ended: add a new key" in answer.content.decode()
    assert ApiKey.objects.count() == 2


def test_a_key_that_has_more_than_it_uses_is_rotated_into_a_narrower_one(admin: Client) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    old, _ = make_key(mailboxes=[support, sales], scopes=[Scope.EMAILS_READ, Scope.ALIASES_WRITE])
    assert "narrower" not in admin.get(address_of(old, "change")).content.decode()
    today = timezone.now().astimezone(UTC).date()
    KeyCalls.objects.create(api_key=old, day=today - timedelta(days=40), family="emails", status_class=2, count=1)
    KeyScopeUse.objects.create(api_key=old, scope="emails:read", last_on=today)
    KeyMailboxUse.objects.create(api_key=old, mailbox=sales, last_on=today)
    page = admin.get(address_of(old, "change")).content.decode()
    advised = page[page.index("It has more than it uses") : page.index("Rotate into a narrower key")]
    assert "aliases:write" in advised
    assert "support@example.com" in advised
    assert not {"emails:read", "sales@example.com"} & set(re.findall(r"[\w:@.]+", advised))
    narrower = admin.get(address_of(old, "rotate"), {"narrower": "1"}).content.decode()
    assert re.findall(r'name="scopes" value="([\w:]+)" checked', narrower) == ["emails:read"]
    assert re.findall(r'name="mailboxes" value="([^"]+)" checked', narrower) == ["sales@example.com"]
    as_it_is = admin.get(address_of(old, "rotate")).content.decode()
    assert re.findall(r'name="scopes" value="([\w:]+)" checked', as_it_is) == ["aliases:write", "emails:read"]


def test_the_page_of_the_old_key_says_who_still_calls_with_it_and_when_nobody_does(admin: Client) -> None:
    old, _ = make_key(name="Old", born=in_days(-60), expires_at=in_days(30))
    ApiKey.objects.filter(pk=old.pk).update(
        last_used_at=timezone.now() - timedelta(hours=2, minutes=1),
        last_used_address="192.0.2.9",
        last_used_agent="curl",
    )
    assert "Moving to the new key" not in admin.get(address_of(old, "change")).content.decode()
    new, _ = make_key(name="New", rotated_from=old, born=in_days(-2), expires_at=in_days(60))
    page = admin.get(address_of(old, "change")).content.decode()
    for text in ("it has not been quiet for 24 h", "last called 2 hours ago, from 192.0.2.9", "curl", new.identifier):
        assert text in page, text
    ApiKey.objects.filter(pk=old.pk).update(last_used_at=in_days(-1.5))
    assert "may have stopped altogether" in admin.get(address_of(old, "change")).content.decode()
    ApiKey.objects.filter(pk=new.pk).update(last_used_at=timezone.now())
    assert "Quiet for 24 h: safe to delete" in admin.get(address_of(old, "change")).content.decode()


# --- presets and networks


def test_a_preset_is_linked_to_and_fills_in_what_it_says(admin: Client) -> None:
    make_mailbox()
    provision.create_domain(name="acme.com")
    provision.create_mailbox(address="real@acme.com")
    page = admin.get(ADD, {"preset": "development"}).content.decode()
    assert re.findall(r'name="expiry" value="(\w+)" checked', page) == ["30"]
    assert re.findall(r'name="mailboxes" value="([^"]+)" checked', page) == ["inbox@example.com", "support@example.com"]
    assert not {"domains:write", "mailboxes:write"} & set(re.findall(r'name="scopes" value="([\w:]+)" checked', page))
    assert re.findall(r'value="(\S+)"[^>]*aria-pressed="true"', page) == ["development"]
    assert re.findall(r'name="expiry" value="(\w+)" checked', admin.get(ADD, {"preset": "ci-cd"}).content.decode()) == [
        "7"
    ]
    assert admin.get(ADD, {"preset": "nonsense"}).status_code == 200


def test_without_script_a_preset_is_a_button_that_keeps_what_was_typed_and_makes_nothing(admin: Client) -> None:
    make_mailbox()
    answer = admin.post(ADD, filled_in(token_in(admin), take="zapier", name="Kept", networks="192.0.2.7", expiry="180"))
    page = answer.content.decode()
    assert 'value="Kept"' in page
    assert ">192.0.2.7</textarea>" in page
    assert re.findall(r'name="expiry" value="(\w+)" checked', page) == ["180"]
    assert re.findall(r'name="mailboxes" value="([^"]+)" checked', page) == ["support@example.com"]
    assert "emails:submit" in re.findall(r'name="scopes" value="([\w:]+)" checked', page)
    assert not ApiKey.objects.exists()
    made(admin.post(ADD, filled_in(form_token(page))))


def test_the_first_button_which_enter_presses_makes_the_key(admin: Client) -> None:
    form = admin.get(ADD).content.decode().partition("data-key-form")[2]
    assert re.findall(r"<button ([^>]*)>", form)[0].startswith('type="submit" class="ak-first"')


def test_production_needs_networks_and_the_others_do_not(admin: Client) -> None:
    make_mailbox()
    sent = {"preset": "production", "scopes": Scope.values}
    refused = admin.post(ADD, filled_in(token_in(admin), **sent))
    assert errors_in(refused) == {"networks"}
    assert "Production: name the networks" in refused.content.decode()
    key, _ = made(admin.post(ADD, filled_in(token_in(admin), **sent, networks=" 192.0.2.9\r\n\r\n2001:db8::/32 \n")))
    assert key.networks == ["192.0.2.9/32", "2001:db8::/32"]
    made(admin.post(ADD, filled_in(token_in(admin), **{**sent, "preset": "full"})))


def test_the_form_says_from_where_it_is_seen_and_the_page_from_where_the_key_works(admin: Client) -> None:
    make_mailbox()
    assert "<code data-own-address>192.0.2.44</code>" in admin.get(ADD, REMOTE_ADDR="192.0.2.44").content.decode()
    key, plaintext = made(admin.post(ADD, filled_in(token_in(admin), networks="192.0.2.0/24")))
    assert "192.0.2.0/24" in admin.get(address_of(key, "change")).content.decode()
    assert "only from 192.0.2.0/24" in admin.get(LIST).content.decode()
    assert client_of(plaintext).get("/v1/me").json()["code"] == "network_not_allowed"


def test_a_preset_that_is_not_known_is_said_and_nothing_is_filled_in(admin: Client) -> None:
    page = admin.get(f"{ADD}?preset=zapper").content.decode()
    assert "There is no preset “zapper”, so none was filled in" in page
    assert "zapier" in page
    assert "There is no preset" not in admin.get(f"{ADD}?preset=zapier").content.decode()
    assert "There is no preset" not in admin.get(ADD).content.decode()


def test_the_page_of_a_key_that_was_rotated_twice_names_all_that_took_its_place(admin: Client) -> None:
    old, _ = make_key()
    first, _ = rotate_api_key(old, expires_at=in_days(90), old_ends="stays")
    page = address_of(old, "change")
    assert "keys in its place" not in admin.get(page).content.decode()
    second, _ = rotate_api_key(old, expires_at=in_days(90), old_ends="stays")
    told = f"2 keys in its place are in force: {second.identifier} and {first.identifier}. Delete what nothing uses."
    assert told in admin.get(page).content.decode()
    revoke_api_key(second)
    shown = admin.get(page)
    assert "keys in its place" not in shown.content.decode()
    assert shown.context["cut_over"]["meter"].successor == first  # nobody is to move to one that has ended
