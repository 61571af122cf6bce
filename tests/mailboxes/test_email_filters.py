"""What emails are listed by: each filter finds what it says, and nothing that the key may not know."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.expressions import RawSQL
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emailgistics.common.access import Scope
from emailgistics.common.ids import first_id_at, uuid7
from mailboxes import listing
from mailboxes.models import Email, Mailbox, Recipient, SearchEntry
from mailboxes.models.search import mailbox_word
from mailboxes.services import provision, reparse
from mailboxes.services import search as searching
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_domain, make_email, make_mailbox, make_message
from tests.webhooks import invariants

pytestmark = pytest.mark.django_db

LOG = [Scope.EMAILS_READ]
CONTENT = [Scope.EMAILS_READ, Scope.EMAILS_CONTENT]
Find = Callable[..., list[str]]


def mail(
    subject: str = "Broken engine", *, author: str = "Ada Lovelace <ada@example.net>", body: str = "It does not turn.",
    message_id: str = "<1@example.net>", file: str = "",
) -> bytes:  # fmt: skip
    head = f"From: {author}\r\nTo: Support <support@example.com>\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n"
    head += "Reply-To: Answers <answers@example.net>\r\nMIME-Version: 1.0\r\n"
    if not file:
        return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n".encode()
    return (
        f"{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        f"{body}\r\n--b\r\nContent-Disposition: attachment; filename={file}\r\n\r\nplan\r\n--b--\r\n"
    ).encode()


def found(client: Client, **query: Any) -> list[str]:
    answer = client.get("/v1/emails", {name.rstrip("_"): value for name, value in query.items()})
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["pagination"]["total"] == len(body["data"])
    return [one["id"] for one in body["data"]]


@pytest.fixture
def client(db: None) -> Client:
    return make_client()


def test_by_author_or_by_the_authors_domain_however_it_is_spelled(client: Client) -> None:
    make_mailbox()
    ada = make_email(raw=mail()).public_id
    eve = make_email(raw=mail(author="Eve <Eve@Sub.Example.NET>")).public_id
    bob = make_email(raw=mail(author='"bob b"@bücher.example')).public_id
    nobody = make_email(raw=mail(author="nobody at all")).public_id
    assert found(client, from_="ADA@example.NET") == [ada]
    assert found(client, from_="eve@sub.example.net") == [eve]
    assert found(client, from_="@example.net") == [ada]
    assert found(client, from_="@BÜCHER.example") == found(client, from_="@xn--bcher-kva.example") == [bob]
    assert found(client, from_="support@example.com") == []
    assert found(client) == [nobody, bob, eve, ada]


def test_by_envelope_recipient_and_not_by_the_to_header(client: Client) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    direct, tagged = make_email().public_id, make_email(to="help+Urgent@example.com").public_id
    both = make_message(to=("support@example.com", "help@example.com", "Help@Example.com."))
    invariants.process_waiting()
    both_id = both.emails.get().public_id
    assert found(client, to="SUPPORT@example.com") == [both_id, direct]
    assert found(client, to="help@example.com") == [both_id]
    assert found(client, to="help+urgent@example.com") == [tagged]


def test_a_recipient_that_led_to_another_mailbox_is_not_to_be_found_in_this_one() -> None:
    mailbox, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    make_message(to=("support@example.com", "sales@example.com"))
    invariants.process_waiting()
    mine = make_client(mailboxes=[mailbox])
    assert found(mine, to="sales@example.com") == found(mine, q="sales") == []
    assert len(found(mine, to="support@example.com")) == 1
    assert len(found(make_client(mailboxes=[sales]), to="sales@example.com")) == 1


def test_by_message_id_with_or_without_its_brackets(client: Client) -> None:
    make_mailbox()
    one, other = make_email(raw=mail()).public_id, make_email(raw=mail(message_id="<2@Example.net>")).public_id
    assert found(client, message_id="<1@example.net>") == found(client, message_id=" 1@example.net ") == [one]
    assert found(client, message_id="2@Example.net") == [other]
    assert found(client, message_id="2@example.net") == []


def test_by_attachment_of_mail_that_was_opened(client: Client) -> None:
    make_mailbox()
    with_one, without = make_email(raw=mail(file="plan.pdf")).public_id, make_email(raw=mail()).public_id
    make_message()
    assert found(client, has_attachment="true") == [with_one]
    assert found(client, has_attachment="false") == [without]


def test_by_status_and_by_place(client: Client) -> None:
    mailbox, elsewhere = make_mailbox(), make_mailbox(address="box@example.org")
    alias = make_alias(address="other@example.org", mailbox=mailbox)
    done = make_email(to="other@example.org").public_id
    there = make_email(to="box@example.org").public_id
    waiting = make_message().emails.get().public_id
    assert found(client, status="waiting") == [waiting]
    assert found(client, status="processed") == [there, done]
    assert found(client, domain_id=mailbox.domain.public_id) == [waiting, done]
    assert found(client, domain_id=elsewhere.domain.public_id) == [there]
    assert found(client, alias_id=alias.public_id) == [done]
    assert found(client, alias_id=alias.public_id, mailbox_id=elsewhere.public_id) == []
    assert found(client, domain_id=mailbox.domain.public_id, mailbox_id=elsewhere.public_id) == []


def test_by_time_from_an_instant_on_and_before_one(client: Client) -> None:
    make_mailbox()
    days = [datetime(2026, 6, day, 12, tzinfo=UTC) for day in (1, 2, 3)]
    ids = []
    for at in days:
        email = make_message().emails.get()
        # as it was received then, and given its id a moment later
        moved = Email(
            id=first_id_at(at + timedelta(milliseconds=5)), message=make_message(), mailbox=email.mailbox,
            received_at=at, size=1,
        )  # fmt: skip
        Email.objects.filter(message=moved.message).delete()
        moved.save()
        email.delete()
        ids.append(moved.public_id)
    first, second, third = ids
    assert found(client, received_after="2026-06-02T12:00:00Z") == [third, second]
    assert found(client, received_after="2026-06-02T12:00:00.001Z") == [third]
    assert found(client, received_before="2026-06-02T14:00:00+02:00") == [first]
    assert found(client, received_after="2026-06-02", received_before="2026-06-03") == [second]
    assert found(client, received_before="0001-01-01T00:00:00Z", received_after="9999-12-31T23:59:59Z") == []


def test_by_words_of_the_subject(client: Client) -> None:
    make_mailbox()
    broken = make_email(raw=mail("=?utf-8?q?Gr=C3=B6=C3=9Fe_der_broken_engine?=", body="invoice")).public_id
    other = make_email(raw=mail("Invoice", body="broken engine")).public_id
    assert found(client, subject="ENGINE broken") == found(client, subject="grosse") == [broken]
    assert found(client, subject="engin*") == [broken]
    assert found(client, subject="engin") == found(client, subject="engine invoice") == []
    assert found(client, subject="invoice") == [other]


def test_by_words_of_what_the_log_shows_and_of_what_the_mail_says(client: Client) -> None:
    make_mailbox()
    email = make_email(raw=mail(body="Zylinderkopfdichtung 機械故障", file="blueprint.pdf")).public_id
    make_email(raw=mail("Something else", author="Bob <bob@example.org>"))
    in_log = ["lovelace", "ada example.net", "broken support", "1@example.net"]
    in_content = ["zylinderkopf*", "zylinderkopfdichtung engine", "blueprint", "answers", "故障"]
    for question in (*in_log, *in_content):
        assert email in found(client, q=question), question
    for question in ("zylinderkopf", "blueprint lovelace bob", "nothing"):
        assert found(client, q=question) == [], question
    reader = make_client(scopes=LOG)
    assert [found(reader, q=question)[-1] for question in in_log] == [email] * len(in_log)


@pytest.mark.parametrize("word", ["zylinderkopfdichtung", "blueprint", "answers", "turn", "zylinder*", "plan"])
def test_a_key_that_may_not_read_mails_learns_nothing_by_searching_them(word: str) -> None:
    """Word by word one could read all of a mail by asking whether it is there."""
    make_mailbox()
    make_email(raw=mail(body="Zylinderkopfdichtung turn plan", file="blueprint.pdf"))
    reader = make_client(scopes=LOG)

    def seen(question: str, **more: str) -> tuple[Any, ...]:
        with CaptureQueriesContext(connection) as queries:
            answer = reader.get("/v1/emails", {"q": question, **more})
        texts = [query["sql"].replace(question.rstrip("*"), "WORD") for query in queries.captured_queries]
        headers = {name: text for name, text in answer.items() if not name.startswith(("X-Request", "X-RateLimit"))}
        return answer.status_code, answer.content, headers.keys(), len(texts), any("all_words" in sql for sql in texts)

    unknown = "x" * len(word.rstrip("*")) + "*" * word.endswith("*")
    assert seen(word) == seen(unknown)
    assert seen(word)[4] is False
    assert seen(f"engine {word}") == seen(f"engine {unknown}")
    assert found(make_client(scopes=CONTENT), q=word) != []


def test_what_others_were_sent_is_not_found(client: Client) -> None:
    mailbox = make_mailbox()
    make_mailbox(address="sales@example.com")
    make_email(raw=mail(body="secret"), to="sales@example.com")
    mine = make_client(mailboxes=[mailbox])
    for query in (
        {"q": "secret"},
        {"subject": "engine"},
        {"from_": "ada@example.net"},
        {"message_id": "1@example.net"},
    ):
        assert found(mine, **query) == []
        assert len(found(client, **query)) == 1
    provision.delete_mailbox(Mailbox.objects.get(local_part="sales"), with_mail=True)
    assert found(client, q="secret") == found(client, from_="ada@example.net") == []


def test_filters_go_together(client: Client) -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    one = make_email(raw=mail(file="plan.pdf", body="about cogs"), to="help@example.com").public_id
    make_email(raw=mail("Cogs", file="plan.pdf"), to="support@example.com")
    make_email(raw=mail(body="about cogs"), to="help@example.com")
    every = {
        "alias_id": alias.public_id, "mailbox_id": mailbox.public_id, "domain_id": mailbox.domain.public_id,
        "from_": "@example.net", "to": "help@example.com", "subject": "broken", "message_id": "1@example.net",
        "has_attachment": "true", "status": "processed", "received_after": "2020-01-01",
        "received_before": "2100-01-01", "q": "cogs",
    }  # fmt: skip
    assert found(client, **every) == [one]
    for name in every:
        assert one in found(client, **{other: value for other, value in every.items() if other != name}), name
    assert len(found(client, from_="@example.net", has_attachment="true")) == 2
    assert len(found(client, to="help@example.com", q="cogs")) == 2


# --- pages


@pytest.mark.parametrize("query", [{}, {"from": "@example.net"}, {"to": "support@example.com"}, {"q": "engine"}])
@pytest.mark.parametrize("sorted_at_most", [listing.MAX_SORTED, 2])  # what has more words than that is walked
@pytest.mark.parametrize("frequent", [listing.FREQUENT, 0])  # and what the planner expects in so many
def test_pages_and_cursors_go_through_a_filter_over_several_mailboxes(
    query: dict[str, str], sorted_at_most: int, frequent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MAX_SORTED", sorted_at_most)
    monkeypatch.setattr(listing, "FREQUENT", frequent)
    monkeypatch.setattr(listing, "LARGE_PART", 0)
    boxes = [make_mailbox(address=f"{name}@example.com") for name in ("support", "sales", "idle")]
    to = ("support@example.com",) if "to" in query else ("sales@example.com", "support@example.com")
    made = [make_email(raw=mail(f"Engine {n}"), to=to[n % len(to)]).public_id for n in range(7)][::-1]
    client = make_client(mailboxes=boxes)

    def ids(**more: Any) -> list[str]:
        return [one["id"] for one in client.get("/v1/emails", {**query, "limit": 3, **more}).json()["data"]]

    assert [ids(), ids(page=2), ids(page=3), ids(page=4)] == [made[:3], made[3:6], made[6:], []]
    assert [ids(starting_after=made[1]), ids(starting_after=made[6])] == [made[2:5], []]
    assert [ids(ending_before=made[5]), ids(ending_before=made[0])] == [made[2:5], []]
    about = client.get("/v1/emails", {**query, "limit": "3"}).json()["pagination"]
    assert about["has_more"] is True
    assert about["total"] == (min(7, sorted_at_most + 1) if "q" in query else 7)


# --- what is not right


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("from", ["", " ", "ada", "@", "@example", "\0", "a" * 501]),
        ("to", ["", "support", "@example.com", "\0@example.com"]),
        ("subject", ["", "--", "ab*", "\0"]),
        ("message_id", ["", "\0", "x" * 501]),
        ("has_attachment", ["", "True", "1", "yes", "\0"]),
        ("status", ["", "Processed", "\0"]),
        ("received_after", ["", "yesterday", "2026-13-01", "2026-02-30", "2026-06-01T10:00:00",
                            "2026-06-01T10:00:00 02:00", "2026-06-01T25:00:00Z", "0001-01-01T00:00:00+14:00",
                            "9999-12-31T23:59:59-01:00", "1e9", "\0",
                            "２０２６-06-01"]),
        ("received_before", ["", "now", "2026-06-01T10:00:00"]),
        ("q", ["", "*", "--", "\0", "a b*", "x " * 251, " ".join(f"w{n}" for n in range(21))]),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_by_name_with_the_remedy(client: Client, name: str, values: list[str]) -> None:
    for value in [*values, ["2026-06-01", "2026-06-01"]]:
        answer = client.get("/v1/emails", {name: value})
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_error"), value
        [error] = answer.json()["errors"]
        assert error["pointer"] == f"/{name}"
        assert len(error["detail"]) > 10


def test_octets_that_are_no_utf_8_are_no_fault(client: Client) -> None:
    for name in ("from", "to", "subject", "message_id", "q", "status", "received_after", "alias_id"):
        for octets in ("%ff", "%ed%a0%80", "%00", "a%40b%ff", "%f0%9f%98%80", "%25", "%27%27"):
            answer = client.get(f"/v1/emails?{name}={octets}")
            assert answer.status_code in (200, 400, 404), (name, octets)
            json.loads(answer.content)


def test_a_reference_is_given_once_and_looked_for_before_anything_is_found_wrong(client: Client) -> None:
    mailbox = make_mailbox()
    twice = client.get("/v1/emails", {"mailbox_id": [mailbox.public_id, mailbox.public_id]})
    assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (400, "/mailbox_id")
    wrong = {"q": "*", "received_after": "x", "limit": "x"}
    for unknown in ({"mailbox_id": "x"}, {"domain_id": Mailbox(pk=uuid7()).public_id}):
        assert client.get("/v1/emails", {**wrong, **unknown}).status_code == 404
    both = client.get("/v1/emails", {"q": "*", "received_after": "x"}).json()["errors"]
    assert {error["pointer"] for error in both} == {"/q", "/received_after"}


# --- what is written, and when


def test_opening_it_again_renews_what_it_is_found_by(client: Client) -> None:
    make_mailbox()
    email = make_email(raw=mail(body="cogwheel"))
    SearchEntry.objects.update(
        log_words=[], all_words=[mailbox_word(email.mailbox_id), "stale"], from_key="", message_id=""
    )
    assert found(client, q="stale") == [email.public_id]
    reparse._ask([email.message_id], is_dry_run=False)  # and a worker that comes next finds it
    reparse.drain(until=float("inf"))
    assert found(client, q="stale") == []
    renewed = {"q": "cogwheel", "subject": "engine", "from_": "ada@example.net", "message_id": "1@example.net"}
    for name, value in renewed.items():
        assert found(client, **{name: value}) == [email.public_id]


def test_a_command_indexes_what_an_older_release_has_stored(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    monkeypatch.setattr(searching, "AT_ONCE", 2)
    ids = [make_email(raw=mail(body="cogwheel", file="plan.pdf"), to="help@example.com").public_id for _ in range(5)][
        ::-1
    ]
    Recipient.objects.update(mailbox=None, address_key=None)
    kept = SearchEntry.objects.order_by("-email_id")[0]
    SearchEntry.objects.exclude(pk=kept.pk).delete()
    SearchEntry.objects.update(all_words=[mailbox_word(mailbox.pk), "kept"])
    queries: list[dict[str, Any]] = [
        {"subject": "engine"}, {"from_": "ada@example.net"}, {"to": "help@example.com"}, {"has_attachment": "true"},
        {"alias_id": alias.public_id}, {"message_id": "1@example.net"},
    ]  # fmt: skip
    assert [len(found(client, **query)) for query in queries] == [1, 1, 0, 1, 0, 1]
    for expected in (4, 0):
        out = StringIO()
        call_command("emails", "index", "--json", stdout=out)
        assert json.loads(out.getvalue()) == {"indexed": expected}
    assert [found(client, **query) for query in queries] == [ids] * len(queries)
    assert found(client, q="cogwheel") == ids[1:]
    assert found(client, q="kept") == ids[:1]


def test_nothing_that_a_mail_says_keeps_it_from_being_stored(client: Client) -> None:
    make_mailbox()
    long = "a" * 5000
    subjects = ["' & | ! :* <-> \\ %s", "x" * 3000, "\u2028\u202e", "s:x m:y"]
    made = [
        make_email(raw=mail(subject, author=f"{long} <{long}@example.net>", message_id=f"<{long[:900]}@x>", body=text))
        for subject in subjects
        for text in (" ".join(f"{n:064x}" for n in range(20_000)), "機" * 200_000, "' \\ \x07" * 100)
    ]
    assert {email.status for email in made} == {Email.Status.PROCESSED}
    assert found(client, message_id=long[:400]) == [email.public_id for email in made][::-1]


@pytest.mark.on_postgres
def test_several_filters_which_may_agree_on_nothing_are_given_little_time(client: Client) -> None:
    def limits(**query: Any) -> list[str]:
        with CaptureQueriesContext(connection) as made:
            found(client, **query)
        return [one["sql"] for one in made if "statement_timeout" in one["sql"]]

    assert limits(to="help@example.com") == limits(has_attachment="true", received_after="2026-01-01") == []
    assert limits(to="help@example.com", has_attachment="true") != []


@pytest.mark.on_postgres
def test_words_of_a_large_part_are_walked_to_and_else_the_index_is_asked(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(listing, "FREQUENT", 20)
    monkeypatch.setattr(listing, "MAX_SORTED", 3)
    make_mailbox()
    for number in range(40):
        make_email(raw=mail("Engine" if number % 10 else "Rarity", message_id=f"<{number}@example.net>"))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE mailboxes_searchentry, mailboxes_mailbox, mailboxes_domain")

    def ways(word: str) -> list[str]:
        with CaptureQueriesContext(connection) as made:
            answer = client.get("/v1/emails", {"q": word, "limit": 2})
        assert len(answer.json()["data"]) == 2
        assert answer.json()["pagination"]["total"] == 4
        settings = [one["sql"] for one in made if "statement_timeout" in one["sql"]]
        return ["walk" if "1000" in sql else "index" for sql in settings if "1000" in sql or "enable_indexscan" in sql]

    assert (ways("engine"), ways("rarity")) == (["walk"], ["index"])
    # the first of a walk finds nothing in time
    monkeypatch.setattr(listing, "WALK_WITHIN", timedelta(milliseconds=1))
    slow = RawSQL("CASE WHEN pg_sleep(0.05) IS NULL THEN '' ELSE '' END", [])
    leading = listing._leading
    monkeypatch.setattr(
        listing,
        "_leading",
        lambda *given: leading(*given).annotate(slow=slow).filter(slow="") if waits else leading(*given),
    )
    waits = True
    with CaptureQueriesContext(connection) as made:
        assert client.get("/v1/emails", {"q": "engine", "limit": 2}).json()["pagination"]["total"] == 4
    assert any("enable_indexscan" in one["sql"] for one in made)


def test_a_search_where_there_is_nothing_to_be_seen_finds_nothing() -> None:
    make_mailbox()
    make_email()
    mailbox = make_mailbox(address="gone@example.com")
    client = make_client(mailboxes=[mailbox])
    provision.delete_mailbox(mailbox, with_mail=False)
    assert found(client, q="engine") == found(client, subject="engine") == []
    assert found(make_client(), q="engine", domain_id=make_domain(name="empty.example").public_id) == []


@pytest.mark.on_postgres
def test_what_takes_too_long_is_refused_with_what_would_narrow_it(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        listing, "_leading", lambda *_: Email.objects.annotate(slow=RawSQL("pg_sleep(1)::text", [])).filter(slow="")
    )
    monkeypatch.setattr(listing, "SEARCH_WITHIN", timedelta(milliseconds=50))
    make_mailbox()
    make_email()
    answer = client.get("/v1/emails", {"has_attachment": "false", "status": "processed"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "search_too_wide")
    assert "received_after and received_before" in answer.json()["errors"][0]["detail"]
