"""What the links in events open, to whom, and for how long."""

import base64
import json
import math
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from emailgistics.common.access import Scope
from emailgistics.common.crypto import KeyRing
from mailboxes.models import Email, Mailbox
from tests.apikeys.factories import make_client
from tests.factories import make_mailbox
from tests.webhooks.events import data_of, email_of, make_event
from webhooks.files import links, views
from webhooks.models import Delivery, Event
from webhooks.services import replay

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback_allowed")]

PDF = b"%PDF-" + bytes(range(100))
MAIL = (
    b"Subject: Plan\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nSee the plan.\r\n"
    b"--b\r\nContent-Type: Application/PDF\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''Pl%C3%A4ne.pdf\r\n\r\n" + base64.encodebytes(PDF) +
    b"--b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=a.html\r\n\r\n<script>1</script>\r\n"
    b"--b--\r\n"
)  # fmt: skip
GUARDS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@pytest.fixture
def event() -> Event:
    return make_event(MAIL)


@pytest.fixture
def paths(event: Event) -> dict[str, str]:
    """Of each part's link in the event's body: raw, pdf, html."""
    data = data_of(event)
    pdf, html = data["attachments"]
    urls = {"raw": data["raw"]["url"], "pdf": pdf["url"], "html": html["url"]}
    return {name: urlsplit(url).path for name, url in urls.items()}


def refused(path: str, *, method: str = "get", **kwargs: Any) -> None:
    """The one answer that there is to whatever opens nothing."""
    answer = getattr(Client(raise_request_exception=True), method)(path, **kwargs)
    assert (answer.status_code, answer.content) == (404, b"" if method == "head" else b"There is nothing here.\n")
    others = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "23", "X-Frame-Options": "DENY"}
    assert GUARDS.items() <= answer.headers.items()
    unexpected = answer.headers.keys() - GUARDS.keys() - others.keys()
    assert unexpected <= {"Cross-Origin-Opener-Policy", "Permissions-Policy"}, unexpected
    assert not answer.cookies


def end_deliveries(event: Event, *, hours_ago: float | None, state: str = "delivered") -> None:
    at = None if hours_ago is None else timezone.now() - timedelta(hours=hours_ago)
    Delivery.objects.filter(event=event).update(state=state, last_attempt_at=at, delivered_at=at)


# --- what they open


def test_the_raw_comes_octet_for_octet(paths: dict[str, str], event: Event) -> None:
    answer = Client().get(paths["raw"])
    assert (answer.status_code, answer.content) == (200, MAIL)
    assert answer["Content-Type"] == "message/rfc822"
    assert answer["Content-Disposition"] == f'attachment; filename="{email_of(event).public_id}.eml"'
    assert GUARDS.items() <= answer.headers.items()
    assert not answer.cookies


def test_an_attachment_comes_decoded_and_is_saved_never_shown(paths: dict[str, str]) -> None:
    answer = Client().get(paths["pdf"])
    assert (answer.status_code, answer.content) == (200, PDF)
    assert answer["Content-Type"] == "application/pdf"
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Pl%C3%A4ne.pdf"
    assert GUARDS.items() <= answer.headers.items()


def test_what_a_browser_would_run_is_nothing_but_octets(paths: dict[str, str]) -> None:
    answer = Client().get(paths["html"])
    assert (answer.content, answer["Content-Type"]) == (b"<script>1</script>", "application/octet-stream")


def test_head_tells_the_size_and_sends_nothing(paths: dict[str, str]) -> None:
    answer = Client().head(paths["pdf"])
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", str(len(PDF)))
    assert answer["Content-Type"] == "application/pdf"
    # RFC 9110 section 14.2: a range is for GET
    assert Client().head(paths["pdf"], headers={"Range": "bytes=0-1"}).status_code == 200


@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("bytes=0-0", 0, 0), ("bytes=0-", 0, 104), ("bytes=5-9", 5, 9), ("bytes=104-", 104, 104),
        ("bytes=0-9999999999", 0, 104), ("bytes=-1", 104, 104), ("bytes=-9999", 0, 104), ("BYTES=1-2", 1, 2),
    ],
)  # fmt: skip
def test_a_range_is_answered_with_that_range(paths: dict[str, str], asked: str, first: int, last: int) -> None:
    answer = Client().get(paths["pdf"], headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, PDF[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/{len(PDF)}"
    assert answer["Accept-Ranges"] == "bytes"
    assert GUARDS.items() <= answer.headers.items()


@pytest.mark.parametrize("asked", ["bytes=105-", "bytes=9999-99999", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_416_that_tells_the_length(paths: dict[str, str], asked: str) -> None:
    answer = Client().get(paths["pdf"], headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"]) == (416, f"bytes */{len(PDF)}")
    assert PDF[:5] not in answer.content
    assert GUARDS.items() <= answer.headers.items()


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=-", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "0-1", "bytes=٣-"]
)
def test_a_range_that_is_none_or_several_is_answered_with_all(paths: dict[str, str], asked: str) -> None:
    answer = Client().get(paths["pdf"], headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, PDF)


def test_a_download_goes_on_only_if_it_is_the_same_file(paths: dict[str, str]) -> None:
    etag = Client().get(paths["pdf"])["ETag"]
    same = Client().get(paths["pdf"], headers={"Range": "bytes=5-", "If-Range": etag})
    other = Client().get(paths["pdf"], headers={"Range": "bytes=5-", "If-Range": '"other"'})
    assert (same.status_code, other.status_code, other.content) == (206, 200, PDF)


def test_a_link_is_the_same_for_ever(event: Event) -> None:
    assert links.url(event, "raw") == links.url(Event.objects.get(pk=event.pk), "raw")
    assert re.fullmatch(r"http://\S+/files/evt_[0-9a-z]{26}/raw/k\d+_[A-Za-z0-9_-]{43}", links.url(event, "raw"))


# --- whom they refuse


def test_no_part_of_a_link_can_be_exchanged(paths: dict[str, str], event: Event) -> None:
    other = make_event(MAIL, mailbox=make_mailbox(address="sales@example.com"))
    _, _, event_id, part, token = paths["pdf"].split("/")
    raw_token = paths["raw"].rpartition("/")[2]
    assert Client().get(f"/files/{event_id}/{part}/{token}").status_code == 200
    for wrong in (
        f"/files/{other.public_id}/{part}/{token}",
        f"/files/{event_id}/raw/{token}",
        f"/files/{event_id}/{part}/{raw_token}",
        f"/files/{event_id}/{part.upper()}/{token}",
        f"/files/{event_id.upper()}/{part}/{token}",
        f"/files/{event_id}/{part}/{token[:-1]}",
        f"/files/{event_id}/{part}/{token}=",
        f"/files/{event_id}/{part}/{token}/",
        f"/files/{event_id}/{part}//{token}",
        f"/files/{event_id}/{part}/k0{token[1:]}",
        f"/files/{event_id}/{part}/k2{token[2:]}",
        f"/files/{event_id}/{part}/k99999{token[2:]}",
        f"/files/{event_id}/{part}/k%D9%A1{token[2:]}",
        f"/files/{event_id}/{part}/{token[3:]}",
        f"/files/{event_id}/{part}",
        f"/files/{event_id}",
        f"/files/{event_id}/%00/{token}",
        f"/files/{event_id}/ä/{token}",
        "/files/",
        "/files/x",
        "/files/a/b/c/d/e",
    ):
        refused(wrong)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_another_method_is_refused_like_everything_else(paths: dict[str, str], method: str) -> None:
    refused(paths["raw"], method=method)


def test_a_wrong_mac_asks_nothing_of_the_database(paths: dict[str, str], django_assert_num_queries: Any) -> None:
    wrong = paths["raw"][:-4] + "AAAA"
    with django_assert_num_queries(0):
        refused(wrong)


def test_links_of_a_key_before_the_present_one_open_as_long_as_it_is_kept(
    paths: dict[str, str], settings: Any, event: Event
) -> None:
    old: KeyRing = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = KeyRing(primary=7, keys={7: b"n" * 32, **old.keys})
    assert Client().get(paths["raw"]).status_code == 200
    assert "/k7_" in links.url(event, "raw")
    assert Client().get(urlsplit(links.url(event, "raw")).path).status_code == 200
    settings.ENCRYPTION_KEYS = KeyRing(primary=7, keys={7: b"n" * 32})
    refused(paths["raw"])


def test_the_mac_is_made_with_a_key_of_its_own(paths: dict[str, str], settings: Any, event: Event) -> None:
    import hmac

    ring = settings.ENCRYPTION_KEYS
    plain = hmac.digest(ring.keys[ring.primary], event.pk.bytes + b"raw", "sha256")
    assert base64.urlsafe_b64encode(plain).rstrip(b"=").decode() not in paths["raw"]


# --- how long


def test_they_open_while_a_delivery_is_on_its_way_or_held(paths: dict[str, str], event: Event) -> None:
    for state in ("pending", "held"):
        end_deliveries(event, hours_ago=24 * 365, state=state)
        assert Client().get(paths["raw"]).status_code == 200, state


@pytest.mark.parametrize("state", ["delivered", "failed", "canceled", "expired"])
def test_they_open_for_link_ttl_after_the_last_attempt(
    paths: dict[str, str], event: Event, settings: Any, state: str
) -> None:
    settings.LINK_TTL = timedelta(hours=10)
    end_deliveries(event, hours_ago=9.9, state=state)
    assert Client().get(paths["pdf"]).status_code == 200
    end_deliveries(event, hours_ago=10.1, state=state)
    for path in paths.values():
        refused(path)
    end_deliveries(event, hours_ago=None, state=state)
    refused(paths["pdf"])


def test_what_was_pulled_counts_from_its_acknowledgement(paths: dict[str, str], event: Event) -> None:
    Delivery.objects.filter(event=event).update(state="delivered", last_attempt_at=None, delivered_at=timezone.now())
    assert Client().get(paths["raw"]).status_code == 200


def test_a_replay_opens_them_again(paths: dict[str, str], event: Event) -> None:
    end_deliveries(event, hours_ago=24 * 365)
    refused(paths["raw"])
    Delivery.objects.filter(event=event).update(state="pending")
    assert Client().get(paths["raw"]).status_code == 200


def test_a_replay_that_was_canceled_opens_them_for_link_ttl_as_well(
    paths: dict[str, str], event: Event, settings: Any
) -> None:
    settings.LINK_TTL = timedelta(hours=10)
    end_deliveries(event, hours_ago=24 * 365)
    delivery = Delivery.objects.get(event=event)
    replay.replay_delivery(delivery, by="Ada")
    replay.cancel_delivery(delivery, by="Ada")
    assert Client().get(paths["pdf"]).status_code == 200
    Delivery.objects.update(begun_at=timezone.now() - timedelta(hours=10.1))
    refused(paths["pdf"])


def test_they_end_with_the_mailbox(paths: dict[str, str], event: Event) -> None:
    Mailbox.objects.update(deleted_at=timezone.now())
    refused(paths["raw"])


def test_they_end_with_the_raw(paths: dict[str, str], event: Event) -> None:
    email_of(event).message.raw.delete()
    for path in paths.values():
        refused(path)
        refused(path, method="head")


def test_a_raw_that_does_not_unpack_is_refused_and_told_to_the_operator(
    paths: dict[str, str], event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    stored = email_of(event).message.raw
    stored.data = b"broken"
    stored.save()
    refused(paths["raw"])
    assert "files.unreadable" in caplog.text


# --- revoking


def revoke(client: Client, email: Email) -> Any:
    return client.post(f"/v1/emails/{email.public_id}/revoke-links", content_type="application/json")


CONTENT_AND_WRITE = [Scope.EMAILS_CONTENT, Scope.EMAILS_WRITE]


def test_revoking_ends_all_links_at_once_also_those_still_to_be_sent(paths: dict[str, str], event: Event) -> None:
    client, email = make_client(scopes=CONTENT_AND_WRITE), email_of(event)
    first = revoke(client, email)
    assert (first.status_code, first["Cache-Control"]) == (200, "no-store")
    assert first.json()["email_id"] == email.public_id
    assert first.json()["links_revoked_at"].endswith("Z")
    for path in paths.values():
        refused(path)
    refused(urlsplit(data_of(event, "thin")["raw"]["url"]).path)
    Delivery.objects.filter(event=event).update(state="pending", generation=2)
    refused(paths["raw"])
    assert revoke(client, email).json() == first.json()


def test_revoking_touches_no_other_email(paths: dict[str, str], event: Event) -> None:
    other = make_event(MAIL, mailbox=make_mailbox(address="sales@example.com"))
    revoke(make_client(scopes=CONTENT_AND_WRITE), email_of(other))
    refused(urlsplit(links.url(other, "raw")).path)
    assert Client().get(paths["raw"]).status_code == 200


@pytest.mark.parametrize("scopes", [[Scope.EMAILS_CONTENT], [Scope.EMAILS_WRITE], [Scope.WEBHOOKS_WRITE]])
def test_revoking_needs_both_scopes(paths: dict[str, str], event: Event, scopes: list[Scope]) -> None:
    answer = revoke(make_client(scopes=scopes), email_of(event))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert Client().get(paths["raw"]).status_code == 200


def test_a_key_revokes_in_its_mailboxes_only(paths: dict[str, str], event: Event) -> None:
    stranger = make_client(mailboxes=[make_mailbox(address="sales@example.com")], scopes=CONTENT_AND_WRITE)
    assert revoke(stranger, email_of(event)).json()["code"] == "not_found"
    assert Client().get(paths["raw"]).status_code == 200
    owner = make_client(mailboxes=[email_of(event).mailbox], scopes=CONTENT_AND_WRITE)
    assert revoke(owner, email_of(event)).status_code == 200
    refused(paths["raw"])


# --- how often, and what is on record


@pytest.mark.parametrize("address", ["198.51.100.9", "2001:db8:9::1"])
def test_who_asks_too_often_waits(paths: dict[str, str], settings: Any, address: str) -> None:
    settings.FILES_PER_MINUTE = 3
    client = Client(REMOTE_ADDR=address)
    answers = [client.get(path) for path in (paths["raw"], "/files/x", paths["raw"], paths["raw"], "/files/x")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429, 429]
    assert 1 <= int(answers[3]["Retry-After"]) <= 60
    assert GUARDS.items() <= answers[3].headers.items()
    assert Client(REMOTE_ADDR="198.51.100.10").get(paths["raw"]).status_code == 200


@pytest.mark.usefixtures("fresh_counts")
def test_reading_is_counted_by_size_and_any_mail_can_be_read(
    paths: dict[str, str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FILES_PER_MINUTE = 8
    monkeypatch.setattr(views, "READ_UNIT_BYTES", math.ceil(len(MAIL) / 3))

    def asked(number: int, path: str, method: str = "get", **headers: str) -> int:
        client = Client(REMOTE_ADDR=f"198.51.100.{number}")
        status: int = getattr(client, method)(path, headers=headers).status_code
        return status

    # any range of any part reads all of the raw
    assert [asked(20, paths["pdf"], Range="bytes=0-0") for _ in range(3)] == [206, 206, 429]
    # which is three each; what reads nothing costs nothing of it
    assert [asked(21, paths["raw"], "head") for _ in range(4)] == [200] * 4
    assert [asked(21, paths["raw"]) for _ in range(3)] == [200, 200, 429]
    # larger than all that one may read in a minute: once
    monkeypatch.setattr(views, "READ_UNIT_BYTES", 1)
    assert [asked(22, paths["raw"]) for _ in range(2)] == [200, 429]


def test_a_cache_that_is_away_takes_no_files_away(paths: dict[str, str], settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }
    assert Client().get(paths["raw"]).status_code == 200


def test_each_access_is_on_record_without_the_token(paths: dict[str, str], event: Event, caplog: Any) -> None:
    caplog.set_level("INFO", logger="webhooks.files.views")
    Client(REMOTE_ADDR="198.51.100.11").get(paths["pdf"], headers={"Range": "bytes=0-4"})
    (record,) = [entry.msg for entry in caplog.records if entry.name == "webhooks.files.views"]
    assert record["event"] == "files.read"
    assert (record["email"], record["ip"]) == (email_of(event).public_id, "198.51.100.11")
    assert (record["event_id"], record["part"]) == (event.public_id, paths["pdf"].split("/")[3])
    assert record["range"] == "bytes=0-4"
    assert paths["pdf"].rpartition("/")[2] not in json.dumps(record, default=str)
