import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mailboxes.models import Alias, Domain, Mailbox
from tests.factories import make_alias, make_domain, make_mailbox

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
        "default_mailbox_id": default.public_id,
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
        "description": "Tickets",
        "kind": "exact",
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
        "id                                address           kind   mailbox_id                      active",
        f"{alias.public_id}  help@example.com  exact  {alias.mailbox.public_id}  yes",
    ]
    assert run("domains", "show", "example.com").splitlines()[2:5] == [
        "name                example.com",
        "active              yes",
        "test                no",
    ]
    assert run("aliases", "delete", "help@example.com") == f"deleted {alias.public_id}\n"
    assert run("aliases", "list") == "id  address  kind  mailbox_id  active\n"


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
])  # fmt: skip
def test_what_is_refused_says_why_and_changes_nothing(args: tuple[str, ...], message: str) -> None:
    make_alias()
    before = [run(command, "list") for command in ("domains", "mailboxes", "aliases")]
    with pytest.raises(CommandError, match=message) as refusal:
        run(*args)
    assert refusal.value.returncode == 1
    assert [run(command, "list") for command in ("domains", "mailboxes", "aliases")] == before
