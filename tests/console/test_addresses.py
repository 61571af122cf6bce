"""Domains, mailboxes and aliases in the console: what the services do, and what they refuse, through forms."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from emailgistics.common.ids import uuid7
from mailboxes.admin import counting
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision, verification
from tests.apikeys.factories import make_expired_key, make_key
from tests.console.forms import changed, opened
from tests.factories import make_alias, make_domain, make_email, make_mailbox, make_webhook

OK, FOUND = HTTPStatus.OK, HTTPStatus.FOUND
MAILBOX: dict[str, Any] = {
    "name": "",
    "is_active": "on",
    "time_zone": "",
    "raw_days": "",
    "content_days": "",
    "log_days": "",
}


def add(kind: str) -> str:
    return reverse(f"admin:mailboxes_{kind}_add")


def page(kind: str, row: Any, name: str = "change") -> str:
    return reverse(f"admin:mailboxes_{kind}_{name}", args=[row.pk])


def change(client: Client, kind: str, row: Any, **changes: Any) -> Any:
    """As a browser does; None takes a tick away."""
    return client.post(page(kind, row), changed(opened(client, page(kind, row), kind=kind), **changes))


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == OK
    return dict(answer.context["adminform"].form.errors)


# --- making


def test_a_domain_comes_with_its_default_mailbox(administrator: Client) -> None:
    answer = administrator.post(
        add("domain"), {"name": "Example.COM.", "default_local_part": "office", "is_test": "on"}
    )
    domain = Domain.objects.get()
    assert answer["Location"] == page("domain", domain)  # where the records stand that it needs
    assert (domain.name, domain.is_test, str(domain.default_mailbox)) == ("example.com", True, "office@example.com")
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.is_addition(), entry.user.username) == ("example.com", True, "superuser")


def test_a_mailbox_is_made_with_all_that_the_form_says(administrator: Client) -> None:
    make_domain()
    given = {"address": "support@example.com", "name": "Support", "time_zone": "Europe/Berlin", "raw_days": "7"}
    assert administrator.post(add("mailbox"), {**given, "content_days": "", "log_days": "30"}).status_code == FOUND
    made = Mailbox.objects.get(local_part="support")
    assert (made.name, made.is_active, made.time_zone) == ("Support", False, "Europe/Berlin")
    assert (made.raw_days, made.content_days, made.log_days) == (7, None, 30)


def test_an_alias_is_made_and_the_catch_all_is_one(administrator: Client) -> None:
    mailbox = make_mailbox()
    for address in ("help@example.com", "*@example.com"):
        given = {"address": address, "mailbox": mailbox.pk, "description": "For all", "is_active": "on"}
        assert administrator.post(add("alias"), given).status_code == FOUND
    found = Alias.objects.order_by("pk").values_list("name", "kind", "description", "mailbox", "is_active")
    assert list(found) == [
        ("help", "exact", "For all", mailbox.pk, True),
        ("*", "catch_all", "For all", mailbox.pk, True),
    ]


@pytest.mark.parametrize(
    ("kind", "given", "field", "said"),
    [
        ("domain", {"name": "no domain", "default_local_part": "inbox"}, "name", "not a domain name"),
        ("domain", {"name": "example.com", "default_local_part": "inbox"}, "name", "exists already"),
        ("domain", {"name": "example.org", "default_local_part": "a b"}, "default_local_part", "not a local part"),
        ("domain", {"name": "example.org", "default_local_part": "*"}, "default_local_part", ""),
        ("domain", {"name": "", "default_local_part": "inbox"}, "name", "required"),
        ("mailbox", {"address": "support"}, "address", "not an address"),
        ("mailbox", {"address": "a@b@example.com"}, "address", ""),
        ("mailbox", {"address": "new@example.net"}, "address", "no domain example.net"),
        ("mailbox", {"address": "SUPPORT@example.com"}, "address", "not available"),
        ("mailbox", {"address": "*@example.com"}, "address", ""),
        ("mailbox", {"address": "new@example.com", "time_zone": "Mars/Base"}, "time_zone", "no time zone"),
        ("mailbox", {"address": "new@example.com", "raw_days": "-1"}, "raw_days", ""),
        ("mailbox", {"address": "new@example.com", "raw_days": "99999999999999999999"}, None, "36500"),
        ("mailbox", {"address": "new@example.com", "name": "x" * 201}, "name", ""),
        ("mailbox", {"address": "new\0@example.com"}, "address", "Null"),
        ("alias", {"address": "help", "is_active": "on"}, "address", "not an address"),
        ("alias", {"address": "support@example.com"}, "address", "not available"),
        ("alias", {"address": "/(/@example.com"}, "address", "is not a pattern"),
        ("alias", {"address": "help@example.com", "description": "x" * 501}, "description", ""),
        ("alias", {"address": "help@example.com", "mailbox": "nonsense"}, "mailbox", ""),
        ("alias", {"address": "help@example.com", "mailbox": str(uuid7())}, "mailbox", ""),
    ],
)
def test_what_is_refused_is_said_at_its_field(
    kind: str, given: dict[str, str], field: str | None, said: str, administrator: Client
) -> None:
    mailbox = make_mailbox()
    before = (Domain.objects.count(), Mailbox.objects.count(), Alias.objects.count())
    others: dict[str, Any] = MAILBOX if kind == "mailbox" else {"mailbox": mailbox.pk} if kind == "alias" else {}
    found = errors_of(administrator.post(add(kind), {**others, **given}))
    assert list(found) == [field or "__all__"]
    assert said in found[field or "__all__"][0]
    assert (Domain.objects.count(), Mailbox.objects.count(), Alias.objects.count()) == before
    assert not LogEntry.objects.exists()


def test_a_deleted_mailbox_is_no_place_for_an_alias(administrator: Client) -> None:
    gone, address = make_mailbox(), {"address": "help@example.com"}
    provision.delete_mailbox(gone)
    found = errors_of(administrator.post(add("alias"), {**address, "mailbox": gone.pk}))
    assert found == {"mailbox": ["The mailbox support@example.com is deleted; choose another one."]}


# --- changing


def test_a_domain_is_changed(administrator: Client) -> None:
    mailbox = make_mailbox()
    given = {"is_active": None, "is_test": "on", "default_mailbox": mailbox.pk}
    assert change(administrator, "domain", mailbox.domain, **given).status_code == FOUND
    domain = Domain.objects.get()
    assert (domain.is_active, domain.is_test, domain.default_mailbox) == (False, True, mailbox)


def test_the_default_mailbox_is_one_of_the_domain(administrator: Client) -> None:
    other, domain = make_mailbox(address="support@example.org"), make_domain()
    found = errors_of(change(administrator, "domain", domain, default_mailbox=other.pk))
    assert found == {"default_mailbox": ["The default mailbox of example.com is one of its own mailboxes."]}
    found = errors_of(change(administrator, "domain", domain, default_mailbox=""))
    assert list(found) == ["default_mailbox"]


def test_a_quota_is_given_and_taken_away_and_what_is_used_is_shown(administrator: Client) -> None:
    mailbox = make_mailbox()
    size = make_email().size
    for octets in ("1048576", ""):
        assert change(administrator, "mailbox", mailbox, quota_bytes=octets).status_code == FOUND
        mailbox.refresh_from_db()
        assert mailbox.quota_bytes == (int(octets) if octets else None)
        said = f"{size}\xa0bytes of 1.0\xa0MB" if octets else f"{size}\xa0bytes"
        for where in (page("mailbox", mailbox), reverse("admin:mailboxes_mailbox_changelist")):
            shown = administrator.get(where).content.decode()
            assert said in shown
            assert (" of 1.0" in shown) == bool(octets)
    assert "from 1048576 to" in str(errors_of(change(administrator, "mailbox", mailbox, quota_bytes="5")))


def test_a_mailbox_is_changed_and_its_retention_can_be_emptied(administrator: Client) -> None:
    mailbox = make_mailbox()
    provision.update_mailbox(mailbox, retention={"raw_days": 3, "log_days": 9})
    given = MAILBOX | {"name": "Support", "content_days": "5"}
    assert change(administrator, "mailbox", mailbox, **given).status_code == FOUND
    mailbox.refresh_from_db()
    assert (mailbox.name, mailbox.raw_days, mailbox.content_days, mailbox.log_days) == ("Support", None, 5, None)
    assert "name" in LogEntry.objects.get().get_change_message().lower()


def test_the_form_of_a_mailbox_says_what_its_retention_does_and_refuses_what_cannot_come_true(
    administrator: Client,
) -> None:
    mailbox = make_mailbox()
    assert b"it is removed for good" in administrator.get(page("mailbox", mailbox)).content
    answer = change(administrator, "mailbox", mailbox, **MAILBOX | {"raw_days": "9", "content_days": "5"})
    assert "give raw_days at most 5, or content_days at least 9" in str(errors_of(answer))
    mailbox.refresh_from_db()
    assert (mailbox.raw_days, mailbox.content_days) == (None, None)


def test_an_alias_moves_to_another_mailbox_and_its_address_stays(administrator: Client) -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    given = {"address": "new@example.com", "mailbox": other.pk, "description": "moved", "is_active": "on"}
    assert change(administrator, "alias", alias, **given).status_code == FOUND
    alias.refresh_from_db()
    assert (alias.address, alias.mailbox, alias.description) == ("help@example.com", other, "moved")


# --- deleting


def test_before_a_mailbox_is_deleted_the_page_says_what_stops(administrator: Client, loopback_allowed: None) -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    make_webhook(url="http://127.0.0.1:9/of-alias", alias=alias)
    make_webhook(url="http://127.0.0.1:9/of-mailbox", mailbox=mailbox)
    make_key(mailboxes=[mailbox])
    make_expired_key(mailboxes=[mailbox])  # it opens nothing as it is
    make_key()
    make_email()
    text = administrator.get(page("mailbox", mailbox, "delete")).content.decode()
    for said in (
        "Mail to support@example.com is refused from now on.",
        "1 alias (help@example.com)",
        "2 webhooks bound to it hear nothing any more (http://127.0.0.1:9/of-",
        "1 API key names it",
        "its 1 email any more",
        "30 days",
        "Its mail may go",
    ):
        assert said in text, said
    mailbox.refresh_from_db()
    assert mailbox.deleted_at is None


def test_a_mailbox_with_mail_goes_only_when_its_mail_may(administrator: Client) -> None:
    mailbox = make_mailbox()
    alias = make_alias(mailbox=mailbox)
    make_email()
    answer = administrator.post(page("mailbox", mailbox, "delete"), {})
    assert answer.status_code == OK
    assert "still has mail" in answer.context["form"].errors["with_mail"][0]
    mailbox.refresh_from_db()
    assert mailbox.deleted_at is None
    assert not LogEntry.objects.exists()
    answer = administrator.post(page("mailbox", mailbox, "delete"), {"with_mail": "on"})
    assert answer["Location"] == reverse("admin:mailboxes_mailbox_changelist")
    mailbox.refresh_from_db()
    alias.refresh_from_db()
    assert None not in (mailbox.deleted_at, alias.deleted_at)
    assert LogEntry.objects.get().is_deletion()


def test_an_empty_mailbox_is_not_asked_about_mail(administrator: Client) -> None:
    mailbox = make_mailbox()
    assert b"Its mail may go" not in administrator.get(page("mailbox", mailbox, "delete")).content
    assert administrator.post(page("mailbox", mailbox, "delete"), {}).status_code == FOUND
    mailbox.refresh_from_db()
    assert mailbox.deleted_at is not None


def test_the_default_mailbox_cannot_go_and_the_page_says_why(administrator: Client) -> None:
    inbox = make_domain().default_mailbox
    assert inbox is not None
    text = administrator.get(page("mailbox", inbox, "delete")).content.decode()
    assert "is the default mailbox of example.com" in text
    assert 'type="submit" class="font-medium' not in text
    answer = administrator.post(page("mailbox", inbox, "delete"), {"with_mail": "on"})
    assert "default mailbox" in answer.context["form"].non_field_errors()[0]
    inbox.refresh_from_db()
    assert inbox.deleted_at is None


def test_a_domain_goes_with_everything_in_it(administrator: Client, loopback_allowed: None) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    make_webhook(domain=mailbox.domain)
    text = administrator.get(page("domain", mailbox.domain, "delete")).content.decode()
    assert "2 mailboxes (inbox@example.com, support@example.com) of the domain are deleted with it" in text
    assert "1 alias (help@example.com)" in text
    assert "1 webhook bound to it hears nothing any more" in text
    assert administrator.post(page("domain", mailbox.domain, "delete"), {}).status_code == FOUND
    assert not Domain.objects.live().exists()
    assert not Mailbox.objects.live().exists()
    assert not Alias.objects.live().exists()


def test_an_alias_goes_and_its_name_rests(administrator: Client) -> None:
    alias = make_alias()
    assert administrator.post(page("alias", alias, "delete"), {}).status_code == FOUND
    assert not Alias.objects.live().exists()
    found = errors_of(administrator.post(add("alias"), {"address": "help@example.com", "mailbox": alias.mailbox_id}))
    assert list(found) == ["address"]


def test_what_is_deleted_is_looked_at_only(administrator: Client) -> None:
    alias = make_alias()
    provision.delete_alias(alias)
    text = administrator.get(page("alias", alias)).content.decode()
    assert "_save" not in text
    for name in ("change", "delete"):
        assert administrator.post(page("alias", alias, name), {}).status_code == HTTPStatus.FORBIDDEN


def test_deleting_many_at_once_is_not_offered(administrator: Client) -> None:
    alias = make_alias()
    listed = reverse("admin:mailboxes_alias_changelist")
    assert b"delete_selected" not in administrator.get(listed).content
    administrator.post(listed, {"action": "delete_selected", "_selected_action": [str(alias.pk)], "post": "yes"})
    assert Alias.objects.live().exists()


# --- lists


@pytest.mark.parametrize(("kind", "make"), [("mailbox", make_mailbox), ("alias", make_alias), ("domain", make_domain)])
def test_many_are_disabled_and_enabled_in_the_list(kind: str, make: Callable[[], Any], administrator: Client) -> None:
    row = make()
    listed = reverse(f"admin:mailboxes_{kind}_changelist")
    for action, is_active in (("disable", False), ("enable", True)):
        answer = administrator.post(listed, {"action": action, "_selected_action": [str(row.pk)]}, follow=True)
        assert f"1 {kind} {action}d." in answer.content.decode()
        row.refresh_from_db()
        assert row.is_active is is_active
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == [
        "disabled in the list",
        "enabled in the list",
    ]


def listed(client: Client, kind: str, **filters: str) -> set[str]:
    answer = client.get(reverse(f"admin:mailboxes_{kind}_changelist"), filters)
    assert answer.status_code == OK
    return {str(row) for row in answer.context["cl"].result_list}


def test_lists_are_searched_by_the_parts_of_an_address(administrator: Client) -> None:
    first, other = make_mailbox(), make_mailbox(address="sales@example.org")
    make_alias(mailbox=first)
    assert listed(administrator, "mailbox", q="support") == {"support@example.com"}
    assert listed(administrator, "mailbox", q="SALES@example") == {"sales@example.org"}
    assert listed(administrator, "mailbox", q="example.org") == {"sales@example.org", "inbox@example.org"}
    assert listed(administrator, "mailbox", q="support@example.org") == set()
    assert listed(administrator, "alias", q="help@example.com") == {"help@example.com"}
    assert listed(administrator, "domain", q=".org") == {str(other.domain)}
    assert listed(administrator, "mailbox", domain=str(other.domain_id)) == {"sales@example.org", "inbox@example.org"}
    assert listed(administrator, "mailbox", domain="nonsense") == set()
    assert listed(administrator, "alias", mailbox=str(other.pk)) == set()


def test_what_is_deleted_is_out_of_sight_until_asked_for(administrator: Client) -> None:
    kept, gone = make_mailbox(), make_mailbox(address="gone@example.com")
    provision.delete_mailbox(gone)
    inbox = "inbox@example.com"
    assert listed(administrator, "mailbox") == {str(kept), inbox}
    assert listed(administrator, "mailbox", deleted="yes") == {str(gone)}
    assert listed(administrator, "mailbox", deleted="all") == {str(kept), str(gone), inbox}


def test_test_domains_are_told_from_others(administrator: Client) -> None:
    make_mailbox()
    provision.create_domain(name="test.example.net", is_test=True)
    assert listed(administrator, "mailbox", test="yes") == {"inbox@test.example.net"}
    assert listed(administrator, "domain", is_test__exact="0") == {"example.com"}


def test_counts_are_of_what_is_there(administrator: Client) -> None:
    mailbox = make_mailbox()
    make_alias(mailbox=mailbox)
    provision.delete_alias(make_alias(address="gone@example.com", mailbox=mailbox))
    (domain,) = administrator.get(reverse("admin:mailboxes_domain_changelist")).context["cl"].result_list
    assert (domain.live_mailboxes, domain.live_aliases) == (2, 1)


def test_what_is_very_much_is_not_counted_to_its_end(administrator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MAX_COUNTED", 1)
    mailbox = make_mailbox()
    for name in ("help", "sales", "jobs"):
        make_alias(address=f"{name}@example.com", mailbox=mailbox)
    make_email(to="help@example.com")
    lists = {kind: administrator.get(reverse(f"admin:mailboxes_{kind}_changelist")) for kind in ("domain", "mailbox")}
    (domain,) = lists["domain"].context["cl"].result_list
    assert domain.live_aliases == 2  # one more than it counts: there are more
    assert lists["domain"].content.decode().count(">1+</a>") == 2  # mailboxes and aliases
    counted = {row.address: (row.live_aliases, row.email_count) for row in lists["mailbox"].context["cl"].result_list}
    assert counted == {str(mailbox): (2, 1), "inbox@example.com": (0, 0)}


@pytest.mark.parametrize("kind", ["domain", "mailbox", "alias"])
def test_a_list_takes_as_many_queries_with_many_rows_as_with_few(kind: str, administrator: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            administrator.get(reverse(f"admin:mailboxes_{kind}_changelist"))
        return len(seen)

    make_alias()
    few = queries()
    for number in range(5):
        mailbox = make_mailbox(address=f"box@d{number}.example.com")
        make_alias(address=f"alias@d{number}.example.com", mailbox=mailbox)
    assert queries() == few <= 9


def test_the_picker_of_mailboxes_offers_what_is_there(administrator: Client) -> None:
    make_mailbox()
    Mailbox.objects.filter(local_part="inbox").update(deleted_at=timezone.now())
    asked = {"app_label": "mailboxes", "model_name": "alias", "field_name": "mailbox", "term": ""}
    found = administrator.get(reverse("admin:autocomplete"), asked).json()
    assert [result["text"] for result in found["results"]] == ["support@example.com"]


# --- patterns, several mailboxes, sub-domains


def test_a_pattern_that_leads_to_several_mailboxes_is_made_and_changed(administrator: Client) -> None:
    own, a, b = (make_mailbox(address=f"{name}@example.com") for name in ("own", "a", "b"))
    given = {"address": "/order-([0-9]+)/@example.com", "mailbox": own.pk, "is_active": "on", "priority": "5"}
    also = "B@example.com, a@example.com,, b@example.com"
    assert administrator.post(add("alias"), {**given, "also": also}).status_code == FOUND
    alias = Alias.objects.get()
    assert (alias.kind, alias.priority, str(alias)) == ("pattern", 5, "/order-([0-9]+)/@example.com")
    assert list(alias.copies.values_list("mailbox", flat=True)) == [b.pk, a.pk]
    shown = administrator.get(page("alias", alias)).content.decode()
    assert "b@example.com, a@example.com" in shown
    assert "and 2 more" in administrator.get(reverse("admin:mailboxes_alias_changelist")).content.decode()
    assert change(administrator, "alias", alias, description="x").status_code == FOUND
    assert alias.copies.count() == 2
    assert change(administrator, "alias", alias, also="a@example.com", priority="7").status_code == FOUND
    alias.refresh_from_db()
    assert (list(alias.copies.values_list("mailbox", flat=True)), alias.priority) == ([a.pk], 7)
    assert change(administrator, "alias", alias, also="").status_code == FOUND
    assert not alias.copies.exists()


def test_what_is_wrong_with_patterns_and_further_mailboxes_is_said_at_its_field(administrator: Client) -> None:
    mailbox = make_mailbox()
    given = {"mailbox": mailbox.pk, "is_active": "on"}
    found = errors_of(administrator.post(add("alias"), {**given, "address": "/(/@example.com", "also": ""}))
    assert found == {"address": ["“/(/” is not a pattern: missing ): (."]}
    for also in ("nobody@example.com", "nonsense"):
        found = errors_of(administrator.post(add("alias"), {**given, "address": "a*@example.com", "also": also}))
        assert list(found) == ["also"]
    found = errors_of(administrator.post(add("alias"), {**given, "address": "a*@example.com", "priority": "-1"}))
    assert list(found) == ["priority"]
    assert not Alias.objects.exists()


def test_two_who_change_the_further_mailboxes_are_told(administrator: Client) -> None:
    alias = make_alias()
    make_mailbox(address="a@example.com")
    b = make_mailbox(address="b@example.com")
    sent = changed(opened(administrator, page("alias", alias), kind="alias"), also="a@example.com")
    provision.update_alias(alias, further_mailboxes=[b])
    errors = errors_of(administrator.post(page("alias", alias), sent))
    assert errors == {"also": ["It was changed meanwhile to b@example.com; open the page again and look."]}
    # one that he saw there and that is gone by now is no fault of the page
    sent = changed(opened(administrator, page("alias", alias), kind="alias"), also="a@example.com")
    provision.delete_mailbox(b)
    errors = errors_of(administrator.post(page("alias", alias), sent))
    assert errors == {"also": ["It was changed meanwhile to nothing; open the page again and look."]}


def test_a_domain_shows_the_record_that_verifies_it_and_takes_its_subdomains(administrator: Client) -> None:
    given = {"name": "example.com", "default_local_part": "inbox", "includes_subdomains": "on"}
    assert administrator.post(add("domain"), given).status_code == FOUND
    domain = Domain.objects.get()
    assert domain.includes_subdomains
    assert verification.record_of(domain).value in administrator.get(page("domain", domain)).content.decode()
    assert change(administrator, "domain", domain, includes_subdomains=None).status_code == FOUND
    Domain.objects.update(verified_at=timezone.now())
    domain.refresh_from_db()
    assert not domain.includes_subdomains
    shown = administrator.get(page("domain", domain)).content.decode()
    assert verification.record_of(domain).value not in shown


# --- where mail goes


EXPLAIN = "admin:mailboxes_alias_explain"


def test_the_page_says_where_mail_would_go_and_why(administrator: Client) -> None:
    own, other = make_mailbox(), make_mailbox(address="archive@example.org")
    alias = provision.create_alias(address="order-*@example.com", mailbox=own, further_mailboxes=[other])
    assert administrator.get(reverse(EXPLAIN)).status_code == OK
    shown = administrator.get(reverse(EXPLAIN), {"address": "Order-<b>x</b>@example.com"}).content.decode()
    assert "501 5.1.3" in shown
    assert "<b>x" not in shown
    shown = administrator.get(reverse(EXPLAIN), {"address": "Order-7+x@example.com"}).content.decode()
    for words in ("250 2.1.5 Recipient OK", "Tag: x", "Captured 1: 7", "order-*@example.com fits, with priority 100"):
        assert words in shown
    for row, kind in ((own, "mailbox"), (other, "mailbox"), (alias, "alias")):
        assert page(kind, row) in shown


def test_the_page_says_why_mail_would_be_refused_and_what_is_no_question(administrator: Client) -> None:
    make_mailbox()
    shown = administrator.get(reverse(EXPLAIN), {"address": "nobody@example.com"}).content.decode()
    assert "550 5.1.1 No such recipient here" in shown
    assert "There is no nobody@example.com here." in shown
    for query, wrong in (({"size": "x"}, "size"), ({"client_ip": "here"}, "client_ip")):
        answer = administrator.get(reverse(EXPLAIN), {"address": "support@example.com", **query})
        assert set(answer.context["form"].errors) == {wrong}
        assert answer.context["outlook"] is None


def test_the_page_is_reached_from_the_sidebar_and_from_what_has_an_address(administrator: Client) -> None:
    alias = make_alias()
    made = provision.create_alias(address="a*@example.com", mailbox=alias.mailbox)
    bare = reverse(EXPLAIN)
    assert f'href="{bare}"' in administrator.get(reverse("admin:index")).content.decode()
    assert f"{bare}?address=help%40example.com" in administrator.get(page("alias", alias)).content.decode()
    assert f"{bare}?address=support%40" in administrator.get(page("mailbox", alias.mailbox)).content.decode()
    assert f"{bare}?address" not in administrator.get(page("alias", made)).content.decode()
