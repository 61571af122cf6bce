"""docs/console-roles.md, written from the table of roles."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.urls import URLResolver

from emailgistics.common.roles import MAY, Action, Role
from emailgistics.console import access_table

INTRODUCTION = """\
# Who may do what in the console

Written by `manage.py role_table` from the table that the console itself asks (`emailgistics/console/access_table.py`);
a test tries each row of it at its address, for everybody. What is in no table is refused.

What a person may is ticked at that person, under People: **System administrator**, **Auditor**, and **May read mail**,
which is for auditors. Nobody sets it for themselves, and there is always one system administrator. Each change of it is
in the audit log (`person.…`).

Whoever opens what a mail says (its page with the text, the raw, an attachment, what webhooks were sent) is in the audit
log with it, once for each time (`mail.opened`): system administrators as well.

Subjects, addresses, dates, sizes and states are metadata. Content is what `emails:content` is for a key of the API:
bodies, headers, names and digests of attachments, the raw and its digest, reports and invitations; and, as they repeat
it, payloads and answers of receivers.
"""
ROLES_SHOWN = tuple(role for role in Role if role is not Role.NOBODY)
NOBODY = "nobody"


def text() -> str:
    return "\n".join([INTRODUCTION, *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    yield "## Roles\n"
    rows = ([action, *("yes" if action in MAY[role] else "" for role in ROLES_SHOWN)] for action in Action)
    yield _table(["may", *ROLES_SHOWN], rows)
    yield "## Pages\n"
    yield "Who opens a page, and who sends its form; who may do more may as well. `…` stands for an id.\n"
    pages = ([f"`/admin/{route}`", _who(page.look), _who(page.send)] for route, page in _pages() if page.look)
    yield _table(["page", "opened by", "sent by"], pages)
    yield "## Actions of lists\n"
    actions = (
        [f"`{_words(page)}`", f"`{name}`", _who(action)] for (page, name), action in _ordered(access_table.ACTIONS)
    )
    yield _table(["list", "action", "done by"], actions)
    yield "## Parts of pages\n"
    parts = _ordered({**access_table.PARTS, **access_table.INLINES})
    yield _table(["part", "seen by"], ([f"`{_words(part)}`", _who(action)] for part, action in parts))
    yield "## Entries of the audit log\n"
    entries = ([f"`{begin}…`", _who(action)] for begin, action in access_table.AUDITED.items())
    yield _table(["entry", "seen by"], [*entries, ["any other", _who(Action.MANAGE)]])


def _who(action: Action | None) -> str:
    """The weakest roles that may; who may more may as well."""
    may = [role for role in ROLES_SHOWN if action in MAY[role]]
    if not may:
        return NOBODY
    return {Role.ORDINARY: "everybody who is signed in", Role.STAFF: "staff, auditors, system administrators"}.get(
        may[0], _plural(may[0])
    )


def _plural(role: Role) -> str:
    first, who, rest = role.partition(" who ")
    return f"{first}s{who}{rest}"


def _pages() -> list[tuple[str, access_table.Page]]:
    found = {}
    for pattern, route in _walk(admin.site.urls[0], ""):
        if pattern.name in access_table.PAGES:
            found[re.sub(r"<[^>]+>|\^?\(\?P<[^>]+>[^)]*\)\$?/?\$?", "…", route)] = access_table.PAGES[pattern.name]
    return sorted(found.items())


def _walk(patterns: Iterable[Any], before: str) -> Iterator[tuple[Any, str]]:
    for one in patterns:
        route = f"{before}{one.pattern}"
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, route)
        else:
            yield one, route


def _words(name: str) -> str:
    return name.removesuffix("_changelist").replace("_", " ")


def _ordered(rows: dict[Any, Action]) -> list[tuple[Any, Action]]:
    return sorted(rows.items(), key=lambda row: str(row[0]))


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
