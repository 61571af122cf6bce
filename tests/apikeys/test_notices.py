"""What system administrators are told of keys: each thing once, in the console and by e-mail."""

import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.core.mail.backends import locmem
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from structlog.testing import capture_logs

from apikeys import notices, upkeep, usage_store
from apikeys.models import ApiKey, KeyCalls, KeyMailboxUse, KeyNotice, KeyRefusals, KeyScopeUse
from apikeys.services import revoke_api_key
from apikeys.tasks import look_after
from emailgistics.common.access import SYSTEM_ADMINISTRATORS
from emailgistics.common.models import AuditEntry
from tests.apikeys.factories import make_expired_key, make_key
from tests.factories import in_days, make_mailbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def counting_for_long() -> Iterator[None]:
    with mock.patch.object(notices, "counted_since", return_value=in_days(-1000)):
        yield


@pytest.fixture
def mailing(settings: Settings) -> User:
    settings.EMAIL_URL = "smtp://mail.example.com"
    return User.objects.create_superuser("grace", email="grace@example.com")


def kinds(key: ApiKey) -> list[str]:
    return sorted(KeyNotice.objects.filter(api_key=key).values_list("kind", flat=True))


def aged(days: float, *, left: float, used: float | None = None) -> ApiKey:
    """A key of so many days, with so many left, used so many days ago."""
    key, _ = make_key(born=in_days(-days), expires_at=in_days(left))
    if used is not None:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=in_days(-used))
        key.refresh_from_db()
    return key


# --- what is told


@pytest.mark.usefixtures("counting_for_long")
@pytest.mark.parametrize(
    "days, left, used, told",
    [
        (40, 31, 1, []),
        (40, 29, 1, ["expires_in_30"]),
        (40, 6, 1, ["expires_in_14", "expires_in_30", "expires_in_7"]),
        (89, 100, 1, []),
        (91, 100, 1, ["aged_90"]),
        (61, 100, None, ["unused_60"]),
        (61, 100, 59, []),
        (100, 100, 61, ["aged_90", "unused_60"]),
    ],
)
def test_what_is_told_of_a_key(days: float, left: float, used: float | None, told: list[str]) -> None:
    key = aged(days, left=left, used=used)
    upkeep.look_after()
    assert kinds(key) == told


def test_of_a_short_life_only_what_is_shorter_is_told() -> None:
    key, _ = make_key(expires_at=in_days(7))
    upkeep.look_after()
    assert kinds(key) == []
    upkeep.look_after(now=in_days(6.5))
    assert kinds(key) == ["expires_in_1"]


def test_a_key_that_has_ended_is_not_told_of() -> None:
    expired, _ = make_expired_key()
    revoked = aged(100, left=5)
    revoke_api_key(revoked)
    upkeep.look_after()
    assert (kinds(expired), kinds(revoked)) == (["ended"], [])


def test_that_nobody_counted_is_not_that_nobody_used_it() -> None:
    key = aged(100, left=100)
    assert notices.counted_since() > in_days(-60)  # the database of tests is new
    upkeep.look_after()
    assert kinds(key) == ["aged_90"]


def test_one_that_ends_sooner_on_purpose_is_not_told_to_expire() -> None:
    key = aged(40, left=6, used=1)
    ApiKey.objects.filter(pk=key.pk).update(revoke_at=in_days(1))
    upkeep.look_after()
    assert kinds(key) == []


def test_the_number_of_queries_does_not_depend_on_the_number_of_keys(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    """It is done each minute, and most installations have keys that nobody uses."""
    for count in (1, 5):
        for _ in range(count):
            aged(100, left=200)
        notices.notice()
        with django_assert_num_queries(3):
            assert notices.notice() == 0


# --- by e-mail


@pytest.mark.usefixtures("counting_for_long")
def test_one_email_tells_all_and_only_once(mailing: User) -> None:
    member = User.objects.create_user("ada", email="ada@example.com")
    member.groups.add(Group.objects.get(name=SYSTEM_ADMINISTRATORS))
    User.objects.create_superuser("without address")
    User.objects.create_superuser("left", email="left@example.com", is_active=False)
    User.objects.create_user("staff", email="staff@example.com", is_staff=True)
    key, plaintext = make_key(
        mailboxes=[make_mailbox()],
        name="Zapier",
        born=in_days(-100),
        expires_at=in_days(6),
    )
    idle = aged(70, left=100)
    for _ in range(3):
        look_after()
    (message,) = mail.outbox
    assert sorted(message.to) == ["ada@example.com", "grace@example.com"]
    assert message.subject == "Emailgistics: 2 API keys need a look"
    body = str(message.body)
    for text in (f"Zapier ({key.identifier}) expires within 7 days.", "is 90 days old", f"({idle.identifier}) was not"):
        assert text in body
    for text in ("30 days", "14 days", "support", plaintext[16:]):
        assert text not in body


@pytest.mark.usefixtures("counting_for_long")
def test_what_is_nearer_later_is_told_then(mailing: User) -> None:
    key = aged(40, left=29, used=1)
    look_after()
    with mock.patch.object(timezone, "now", return_value=in_days(16)):
        look_after()
    assert ["30 days" in str(message.body) for message in mail.outbox] == [True, False]
    assert kinds(key) == ["expires_in_14", "expires_in_30"]


def test_what_could_not_be_sent_is_sent_later_and_what_was_sent_is_not_repeated(
    mailing: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(40, left=29)
    look_after()
    late = aged(40, left=13)

    def refuse(*_: Any) -> int:
        raise ConnectionRefusedError

    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(locmem.EmailBackend, "send_messages", refuse)
        look_after()
    assert "apikeys.notices_not_mailed" in [log["event"] for log in logs]
    look_after()  # not at once: a mail server that is down is left alone for a while
    assert len(mail.outbox) == 1
    upkeep.look_after(now=timezone.now() + notices.CLAIM_FOR)
    assert len(mail.outbox) == 2
    assert str(mail.outbox[1].body).count("emgk_") == 1
    assert late.identifier in str(mail.outbox[1].body)


@pytest.mark.parametrize("setting", ["", "smtp://mail.example.com"])
def test_without_a_mail_server_or_an_address_the_console_alone_tells(settings: Settings, setting: str) -> None:
    settings.EMAIL_URL = setting
    User.objects.create_superuser("grace", email="" if setting else "grace@example.com")
    key = aged(40, left=29)
    look_after()
    assert (mail.outbox, kinds(key)) == ([], ["expires_in_30"])


def test_notices_of_long_ago_are_no_news_once_there_is_a_mail_server(mailing: User) -> None:
    key = aged(40, left=20)
    notices.notice(now=timezone.now() - notices.NEWS_FOR)
    upkeep.look_after()
    assert (kinds(key), mail.outbox) == (["expires_in_30"], [])


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_one_email_and_record_one_end(mailing: User) -> None:
    for _ in range(5):
        aged(40, left=29)
    make_expired_key()
    faults: list[Exception] = []
    start = threading.Barrier(2)

    def work() -> None:
        try:
            start.wait()
            look_after()
        except Exception as error:  # noqa: BLE001 - whatever it is
            faults.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sum(str(message.body).count("emgk_") for message in mail.outbox) == 5
    assert AuditEntry.objects.filter(action="apikey.expired").count() == 1


# --- in the console


@pytest.mark.usefixtures("counting_for_long")
def test_the_console_shows_what_holds(mailing: User) -> None:
    key = aged(100, left=100, used=70)
    look_after()
    client = Client()
    client.force_login(mailing)
    dashboard = client.get(reverse("admin:index"))
    assert [alarm.label for alarm in dashboard.context["alarms"]] == [
        "API keys of 90 days and more",
        "API keys unused for 60 days",
    ]
    page = client.get(dashboard.context["alarms"][1].href)
    assert [row.api_key for row in page.context["cl"].result_list] == [key]
    assert len(client.get(reverse("admin:apikeys_apikey_change", args=[key.pk])).context["notices"]) == 2

    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())
    alarms = client.get(reverse("admin:index")).context["alarms"]
    assert [alarm.label for alarm in alarms] == ["API keys of 90 days and more"]
    revoke_api_key(key)
    assert client.get(reverse("admin:index")).context["alarms"] == []
    assert client.get(reverse("admin:apikeys_apikey_change", args=[key.pk])).context["notices"] == []


# --- ends that came by themselves


def test_an_end_that_came_by_itself_is_on_record_once() -> None:
    expired, _ = make_expired_key()
    planned, _ = make_key()
    ApiKey.objects.filter(pk=planned.pk).update(revoke_at=in_days(-0.01))
    planned.refresh_from_db()
    for _ in range(2):
        look_after()
    ends = AuditEntry.objects.exclude(action="apikey.created").order_by("of")
    assert sorted(ends.values_list("of", "action", "by", "at")) == sorted(
        [
            (expired.identifier, "apikey.expired", "system", expired.expires_at),
            (planned.identifier, "apikey.revoked", "system", planned.revoke_at),
        ]
    )


def test_counts_are_kept_for_so_many_days(settings: Settings) -> None:
    settings.USAGE_DAYS = 100
    key, _ = make_key()
    mailbox = make_mailbox()
    for days in (99, 101):
        day = in_days(-days).date()
        KeyCalls.objects.create(api_key=key, day=day, family="me", status_class=2, count=1)
        KeyRefusals.objects.create(
            api_key=key, day=day, reason="rate_limited", network="", count=1, last_at=in_days(-days)
        )
    KeyScopeUse.objects.create(api_key=key, scope="emails:read", last_on=in_days(-101))
    KeyMailboxUse.objects.create(api_key=key, mailbox=mailbox, last_on=in_days(-101))
    assert usage_store.prune(now=timezone.now()) == 4
    assert (KeyCalls.objects.count(), KeyRefusals.objects.count()) == (1, 1)
