"""Rules, refused mail, blocking a sender and releasing mail in the console."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Email, Refusal, Rule
from mailboxes.services import process, rule_book
from tests.console.conftest import make_person
from tests.factories import make_alias, make_domain, make_email, make_message
from webhooks.models import Event

RULES, REFUSED = "/admin/mailboxes/rule/", "/admin/mailboxes/refusal/"


def page_of(email: Email, step: str = "") -> str:
    return f"/admin/mailboxes/email/{email.pk}/{step or 'change/'}"


@pytest.fixture
def email(db: None) -> Email:
    make_alias()
    return make_email(to="help@example.com")


@pytest.fixture
def held(db: None) -> Email:
    make_alias()
    rule_book.create_rule(action="quarantine", criterion="sender_domain", value="example.net")
    message = make_message(to=("help@example.com",))
    process.drain(linger=timedelta(0))
    return message.emails.get()


def test_a_rule_is_made_changed_disabled_and_deleted(administrator: Client) -> None:
    domain = make_domain()
    form = {"action": "block", "criterion": "network", "value": "192.0.2.0/24", "is_active": "on", "domain": domain.pk}
    assert administrator.post(f"{RULES}add/", form).status_code == 302
    rule = Rule.objects.get()
    assert (rule.value, rule.domain) == ("192.0.2.0/24", domain)
    page = f"{RULES}{rule.pk}/change/"
    seen = {f"initial-{name}": value for name, value in form.items()}
    changed = {**form, **seen, "initial-description": "", "description": "A bad neighbour"}
    assert administrator.post(page, changed).status_code == 302
    rule.refresh_from_db()
    assert rule.description == "A bad neighbour"
    administrator.post(RULES, {"action": "disable", "_selected_action": [str(rule.pk)]})
    rule.refresh_from_db()
    assert not rule.is_active
    asks = administrator.get(f"{RULES}{rule.pk}/delete/").content.decode()
    assert "Mail that it keeps back stays until it is released." in asks
    assert administrator.post(f"{RULES}{rule.pk}/delete/").status_code == 302
    assert not Rule.objects.live().exists()
    assert Rule.objects.exists()
    assert b"192.0.2.0/24" not in administrator.get(RULES).content
    assert administrator.get(page).status_code == 200


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"value": "192.0.2.7/24"}, "write 192.0.2.0/24 for all of it"),
        ({"criterion": "size"}, "whole number of octets"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(administrator: Client, changes: dict[str, str], told: str) -> None:
    form = {"action": "block", "criterion": "network", "value": "192.0.2.0/24"} | changes
    answer = administrator.post(f"{RULES}add/", form)
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not Rule.objects.exists()


def test_the_sender_of_an_email_is_blocked_for_its_mailbox_or_for_all(administrator: Client, email: Email) -> None:
    assert "Block this sender" in administrator.get(page_of(email)).content.decode()
    asks = administrator.get(page_of(email, "block/")).content.decode()
    assert "ada@example.net" in asks
    assert not Rule.objects.exists()
    for _ in range(2):
        administrator.post(page_of(email, "block/"))
    rule = Rule.objects.get()
    assert (rule.action, rule.criterion, rule.value) == ("block", "sender", "ada@example.net")
    assert rule.mailbox == email.mailbox
    administrator.post(page_of(email, "block/"), {"is_everywhere": "on"})
    assert Rule.objects.filter(mailbox=None).count() == 1


def test_what_is_kept_back_says_why_and_is_released_once(administrator: Client, held: Email) -> None:
    shown = administrator.get(page_of(held)).content.decode()
    assert "keeps it back: sender_domain example.net" in shown
    assert page_of(held, "release/") in shown
    assert str(held.pk) in administrator.get("/admin/mailboxes/email/?status__exact=quarantined").content.decode()
    assert "That is not undone." in administrator.get(page_of(held, "release/")).content.decode()
    assert Email.objects.get().status == "quarantined"
    for said in ("It is released: its webhooks are told of it.", "It was released before"):
        assert said in administrator.post(page_of(held, "release/"), follow=True).content.decode()
    assert Email.objects.get().status == "processed"
    assert LogEntry.objects.filter(change_message__contains="Released").count() == 1
    assert "Released" in administrator.get(page_of(held)).content.decode()


def test_what_is_not_kept_back_is_not_released(administrator: Client, email: Email) -> None:
    answer = administrator.post(page_of(email, "release/"))
    assert (answer.status_code, Event.objects.count()) == (200, 0)
    assert "This email is not in quarantine." in answer.content.decode()


@pytest.mark.parametrize("who", ["staff", "ordinary"])
@pytest.mark.parametrize("step", ["release/", "block/"])
def test_nobody_else_does_any_of_it(who: str, step: str, held: Email) -> None:
    client = Client()
    client.force_login(make_person(who))
    for method in (client.get, client.post):
        assert method(page_of(held, step)).status_code == 403
    assert Email.objects.get().status == "quarantined"
    assert Rule.objects.count() == 1


def test_refused_mail_is_found_by_sender_recipient_address_and_rule(
    administrator: Client, one_of_each: dict[str, object]
) -> None:
    refusal = Refusal.objects.get()
    Refusal.objects.update(mail_from="spam@example.net", client_ip="192.0.2.9")
    rule = Rule.objects.get()
    for term in ("spam@", "help@", "192.0.2.", "blocked_by_rule", refusal.public_id, rule.public_id):
        assert b"550 5.7.1 Refused" in administrator.get(REFUSED, {"q": term}).content, term
    assert b"550 5.7.1 Refused" not in administrator.get(REFUSED, {"q": "nobody@"}).content
    shown = administrator.get(f"{REFUSED}{refusal.pk}/change/").content.decode()
    assert "MAIL FROM:&lt;spam@example.net&gt;" in shown
    for query in ({"when": "24h"}, {"outcome__exact": "refused"}, {"rule__id__exact": str(rule.pk)}):
        assert b"550 5.7.1 Refused" in administrator.get(REFUSED, query).content, query


@pytest.mark.parametrize("rows", [3, 30])
def test_lists_take_as_many_queries_however_long_they_are(
    administrator: Client, rows: int, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    alias = make_alias()
    for n in range(rows):
        rule = rule_book.create_rule(action="block", criterion="sender", value=f"a{n}@example.net", alias=alias)
        Refusal.objects.create(at=rule.created_at, source="smtp", reply="550", code="x", rule=rule)
    for page in (RULES, REFUSED):
        with django_assert_max_num_queries(14):
            assert administrator.get(page).status_code == 200
