import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailboxes.models import Alias, Domain, Mailbox
from tests.factories import make_alias, make_domain, make_mailbox, make_message
from tests.mailboxes.api_client import shape

pytestmark = pytest.mark.django_db


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue()


def run_json(*args: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run(*args, "--json"))
    return answer


def test_a_domain_is_made_with_its_default_mailbox() -> None:
    made = run_json("domains", "create", "EXAMPLE.com.", "--test")
    domain = Domain.objects.get()
    default = Mailbox.objects.get()
    assert list(made)[:2] == ["id", "created_at"]
    assert made == {
        "id": domain.public_id,
        "created_at": made["created_at"],
        "name": "example.com",
        "active": True,
        "test": True,
        "subdomains": False,
        "default_mailbox_id": default.public_id,
        "verified_at": None,
        "status": "unchecked",
    }
    assert default.address == "inbox@example.com"
    run("domains", "create", "example.net", "--default-mailbox", "all")
    assert Mailbox.objects.get(domain__name="example.net").address == "all@example.net"


def test_a_mailbox_is_made_in_its_domain() -> None:
    domain = make_domain()
    made = run_json("mailboxes", "create", "Support@example.com", "--name", "Support")
    mailbox = Mailbox.objects.get(local_part="Support")
    assert list(made)[:2] == ["id", "created_at"]
    assert made == {
        "id": mailbox.public_id,
        "created_at": made["created_at"],
        "address": "Support@example.com",
        "name": "Support",
        "domain_id": domain.public_id,
        "active": True,
        "time_zone": "UTC",
        "retention": {"raw_days": None, "content_days": None, "log_days": None},
        "retention_in_force": {"raw_days": None, "content_days": None, "log_days": None},
        "quota_bytes": None,
        "used_bytes": 0,
    }


def test_an_alias_is_made_for_a_mailbox_by_address_or_id() -> None:
    mailbox = make_mailbox()
    made = run_json(
        "aliases", "create", "help@example.com", "--mailbox", "SUPPORT@example.com", "--description", "Tickets"
    )
    alias = Alias.objects.get()
    assert list(made)[:2] == ["id", "created_at"]
    assert made == {
        "id": alias.public_id,
        "created_at": made["created_at"],
        "address": "help@example.com",
        "name": "help",
        "domain_id": mailbox.domain.public_id,
        "mailbox_id": mailbox.public_id,
        "further_mailbox_ids": [],
        "description": "Tickets",
        "kind": "exact",
        "priority": 100,
        "active": True,
    }
    rest = run_json("aliases", "create", "*@example.com", "--mailbox", mailbox.public_id)
    assert (rest["name"], rest["kind"]) == ("*", "catch_all")
    assert run_json("aliases", "show", "*@example.com") == rest


@pytest.mark.parametrize(("command", "spellings"), [
    ("domains", ("example.com", "EXAMPLE.com.")),
    ("mailboxes", ("support@example.com", "Support@Example.COM", '"support"@example.com')),
    ("aliases", ("help@example.com", "HELP@example.com")),
])  # fmt: skip
def test_a_thing_is_shown_listed_and_deleted_by_any_of_its_names(command: str, spellings: tuple[str, ...]) -> None:
    make_alias()
    things = run_json(command, "list")["data"]
    thing = things[-1]
    for name in (thing["id"], *spellings):
        assert run_json(command, "show", name) == thing
    assert run_json(command, "delete", spellings[0]) == thing
    assert run_json(command, "list") == {"data": things[:-1]}
    for name in (thing["id"], *spellings):
        for verb in ("show", "delete"):
            with pytest.raises(CommandError, match="There is no") as refusal:
                run(command, verb, name)
            assert refusal.value.returncode == 1


def test_people_get_one_fact_a_line_and_aligned_lists() -> None:
    alias = make_alias()
    assert run("aliases", "list").splitlines() == [
        "id                                address           kind   priority  mailbox_id                      active",
        f"{alias.public_id}  help@example.com  exact  100       {alias.mailbox.public_id}  yes",
    ]
    assert run("domains", "show", "example.com").splitlines()[2:5] == [
        "name                example.com",
        "active              yes",
        "test                no",
    ]
    assert run("aliases", "delete", "help@example.com") == f"deleted {alias.public_id}\n"
    assert run("aliases", "list") == "id  address  kind  priority  mailbox_id  active\n"


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    mailbox = make_mailbox()
    Mailbox.objects.filter(pk=mailbox.pk).update(name="\x1b[2Jevil\nid  fake")
    assert "\ufffd[2Jevil\ufffdid  fake" in run("mailboxes", "show", mailbox.public_id)
    assert run_json("mailboxes", "show", mailbox.public_id)["name"] == "\x1b[2Jevil\nid  fake"


@pytest.mark.parametrize(("args", "message"), [
    (("domains", "create", "example.com"), "exists already"),
    (("domains", "create", "not a domain"), "not a domain name"),
    (("domains", "show", "nope.example"), "no domain"),
    (("mailboxes", "create", "support@example.com"), "not available"),
    (("mailboxes", "create", "x@nope.example"), "no domain nope.example"),
    (("mailboxes", "delete", "inbox@example.com"), "default mailbox"),
    (("mailboxes", "show", "help@example.com"), "no mailbox"),
    (("mailboxes", "show", "nonsense"), "not an address"),
    (("aliases", "create", "help@example.com", "--mailbox", "support@example.com"), "not available"),
    (("aliases", "create", "new@example.com", "--mailbox", "nobody@example.com"), "no mailbox"),
    (("aliases", "show", "support@example.com"), "no alias"),
    (("aliases", "create", "/(/@example.com", "--mailbox", "support@example.com"), "is not a pattern: missing"),
    (("aliases", "create", "a@example.com", "--mailbox", "support@example.com", "--also", "x@x.example"), "no mailbox"),
    (("aliases", "update", "help@example.com", "--priority", "-1"), "A priority is"),
    (("aliases", "create", "a@example.com", "--mailbox", "support@example.com", "--description", "\0"), "NUL"),
    (("aliases", "create", "a@example.com", "--mailbox", "support@example.com", "--description", "\udcff"), "UTF-8"),
    (("aliases", "move", "help@example.com", "--mailbox", "nobody@example.com"), "no mailbox"),
    (("aliases", "disable", "nobody@example.com"), "no alias"),
    (("aliases", "update", "help@example.com", "--description", "x" * 501), "501 characters"),
    (("mailboxes", "create", "a@example.com", "--time-zone", "Nowhere"), "no time zone"),
    (("mailboxes", "update", "support@example.com", "--time-zone", "Nowhere"), "no time zone"),
    (("mailboxes", "update", "support@example.com", "--raw-days", "0"), "from 1 to 36500"),
    (("mailboxes", "update", "support@example.com", "--log-days", "forever"), "from 1 to 36500, or keep"),
    (("mailboxes", "update", "support@example.com", "--log-days", "٣"), "log_days is a number"),
    (("domains", "update", "example.com", "--default-mailbox", "nobody@example.com"), "no mailbox"),
    (("domains", "enable", "nope.example"), "no domain"),
])  # fmt: skip
def test_what_is_refused_says_why_and_changes_nothing(args: tuple[str, ...], message: str) -> None:
    make_alias()
    before = [run(command, "list") for command in ("domains", "mailboxes", "aliases")]
    with pytest.raises(CommandError, match=message) as refusal:
        run(*args)
    assert refusal.value.returncode == 1
    assert [run(command, "list") for command in ("domains", "mailboxes", "aliases")] == before


def test_a_mailbox_is_made_as_it_is_wished_and_changed_where_it_is_named() -> None:
    make_domain()
    made = run_json(
        "mailboxes", "create", "a@example.com", "--name", "A", "--time-zone", "Asia/Tokyo", "--raw-days", "30"
    )
    mailbox = Mailbox.objects.get(local_part="a")
    assert made == shape(mailbox, name="A", time_zone="Asia/Tokyo")
    assert made["retention"] == {"raw_days": 30, "content_days": None, "log_days": None}
    changed = run_json(
        "mailboxes", "update", "a@example.com", "--name", "", "--time-zone", "", "--raw-days", "keep", "--log-days", "9"
    )
    assert changed == shape(mailbox)
    assert (changed["name"], changed["time_zone"]) == ("", "UTC")
    assert changed["retention"] == {"raw_days": None, "content_days": None, "log_days": 9}


def test_a_domain_is_changed_where_it_is_named() -> None:
    mailbox = make_mailbox()
    domain = mailbox.domain
    changed = run_json("domains", "update", "example.com", "--test", "--default-mailbox", "support@example.com")
    assert changed == shape(domain, test=True, default_mailbox_id=mailbox.public_id)
    assert run_json("domains", "update", domain.public_id, "--no-test") == shape(domain, test=False)


def test_an_alias_is_changed_and_moved() -> None:
    alias, other = make_alias(), make_mailbox(address="sales@example.com")
    assert run_json("aliases", "update", "help@example.com", "--description", "x") == shape(alias, description="x")
    moved = run_json("aliases", "move", "help@example.com", "--mailbox", "sales@example.com")
    assert moved == shape(alias, mailbox_id=other.public_id)


@pytest.mark.parametrize(("command", "which"), [
    ("domains", "example.com"), ("mailboxes", "support@example.com"), ("aliases", "help@example.com"),
])  # fmt: skip
def test_a_thing_is_disabled_and_enabled(command: str, which: str) -> None:
    make_alias()
    before = run_json(command, "show", which)
    for _ in range(2):
        assert run_json(command, "disable", which) == before | {"active": False}
    assert run_json(command, "show", which)["active"] is False
    assert run_json(command, "enable", which) == before
    assert "active" in run(command, "disable", which)


@pytest.mark.parametrize("command", ["domains", "mailboxes", "aliases"])
def test_a_change_of_nothing_is_wrong_usage(command: str) -> None:
    with pytest.raises(CommandError, match="Say what to change") as refusal:
        run(command, "update", "anything")
    assert refusal.value.returncode == 2


@pytest.mark.parametrize(("command", "which"), [("domains", "example.com"), ("mailboxes", "support@example.com")])
def test_what_has_mail_is_deleted_only_on_purpose(command: str, which: str) -> None:
    make_mailbox()
    make_message()
    with pytest.raises(CommandError, match=r"still has mail.*--with-mail") as refusal:
        run(command, "delete", which)
    assert refusal.value.returncode == 1
    thing = run_json(command, "show", which)
    assert run_json(command, "delete", which, "--with-mail") == thing
    with pytest.raises(CommandError, match="There is no"):
        run(command, "show", which)


def test_patterns_and_further_mailboxes_by_command() -> None:
    own, a, b = (make_mailbox(address=f"{name}@example.com") for name in ("support", "a", "b"))
    create = ("aliases", "create", "/Order-([0-9]+)/@example.com", "--mailbox", "support@example.com")
    made = run_json(*create, "--also", "b@example.com", "--also", a.public_id, "--priority", "5")
    assert (made["address"], made["kind"], made["priority"]) == ("/Order-([0-9]+)/@example.com", "pattern", 5)
    assert (made["mailbox_id"], made["further_mailbox_ids"]) == (own.public_id, [b.public_id, a.public_id])
    assert run_json("aliases", "show", "/Order-([0-9]+)/@EXAMPLE.com") == made
    changed = run_json("aliases", "update", made["id"], "--priority", "0", "--also", "a@example.com")
    assert changed == {**made, "priority": 0, "further_mailbox_ids": [a.public_id]}
    assert run_json("aliases", "list") == {"data": [changed]}
    moved = run_json("aliases", "move", made["address"], "--mailbox", "a@example.com")
    assert (moved["mailbox_id"], moved["further_mailbox_ids"]) == (a.public_id, [])
    run("aliases", "update", made["id"], "--also", "b@example.com")
    assert run_json("aliases", "update", made["id"], "--only")["further_mailbox_ids"] == []


def test_a_domain_takes_the_mail_of_its_subdomains_by_command() -> None:
    assert run_json("domains", "create", "example.com", "--subdomains")["subdomains"] is True
    assert run_json("domains", "update", "example.com", "--no-subdomains")["subdomains"] is False
    assert run_json("domains", "update", "example.com", "--test")["subdomains"] is False
