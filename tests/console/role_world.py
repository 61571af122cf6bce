"""A row of everything with marked content, and every address of the console with what it asks for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.urls import URLPattern, URLResolver, reverse

from emailgistics.common.roles import MAY, Action, Role
from emailgistics.console import access_table
from mailboxes.models import Attachment, Email, Mailbox
from tests.factories import make_email
from webhooks.models import Attempt, EventBody

WHO = {
    "nobody": Role.NOBODY,
    "ordinary": Role.ORDINARY,
    "staff": Role.STAFF,
    "auditor": Role.AUDITOR,
    "mail_auditor": Role.MAIL_AUDITOR,
    "member": Role.SYSTEM_ADMINISTRATOR,
    "superuser": Role.SYSTEM_ADMINISTRATOR,
}

SUBJECT = "Zebra subject"
# what mail says, and what is secret: words that are nowhere else
TEXT, HTML, HEADER, FILE, FILE_TEXT = "textmark77", "htmlmark77", "headermark77", "filemark77.txt", "octetsmark77"
ANSWER, ANSWER_HEADER, OWN_HEADER = "answermark77", "answerheadermark77", "ownheadermark77"
CONTENT = (TEXT, HTML, HEADER, FILE, FILE_TEXT, ANSWER, ANSWER_HEADER)
RAW = f"""\
From: Sender <sender@example.net>
To: help@example.com
Subject: {SUBJECT}
X-Marked: {HEADER}
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain

{TEXT}
--a
Content-Type: text/html

<p>{HTML}</p>
--a--
--m
Content-Type: text/plain
Content-Disposition: attachment; filename={FILE}

{FILE_TEXT}
--m--
""".replace("\n", "\r\n").encode()

OF_ANYBODY = frozenset({"login", "login_code"})  # where people sign in

# pages that say nothing without
QUERIES = {"autocomplete": "?app_label=mailboxes&model_name=alias&field_name=mailbox&term=help"}


@dataclass(frozen=True, slots=True)
class Address:
    """A page of the table, with the row that it is opened for."""

    name: str
    url: str
    page: access_table.Page

    def wants(self, method: str) -> Action | None:
        return self.page.look if method == "get" else self.page.send

    def is_for(self, who: str, method: str) -> bool:
        return self.wants(method) in MAY[WHO[who]]


def add_marked_content(rows: dict[str, Model]) -> None:
    """Of an email that was processed: its content, an attachment, a payload, an answer of a receiver."""
    email = make_email(raw=RAW, to="help@example.com")
    attempt: Any = rows[Attempt._meta.label]
    attempt.response_excerpt, attempt.response_headers = ANSWER.encode(), f"x-answer: {ANSWER_HEADER}".encode()
    attempt.save()
    body: Any = rows[EventBody._meta.label]
    body.body = f'{{"text": "{TEXT}", "html": "{HTML}", "subject": "{SUBJECT}"}}'.encode()
    body.save()
    rows[Email._meta.label] = email
    rows[email.message._meta.label] = email.message
    rows[Attachment._meta.label] = Attachment.objects.get(email=email)


def named_patterns() -> Iterator[tuple[URLPattern, str]]:
    """Each address of the console, with its route."""
    import_module("emailgistics.urls")  # it registers the pages
    return _walk(admin.site.urls[0], "")


def _walk(patterns: Any, before: str) -> Iterator[tuple[URLPattern, str]]:
    for one in patterns:
        route = f"{before}{one.pattern}"
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, route)
        else:
            yield one, route


def addresses(rows: dict[str, Model]) -> list[Address]:
    """Of all that is in the table, but those without a name."""
    found = []
    for pattern, route in named_patterns():
        if not pattern.name or pattern.name in OF_ANYBODY:
            continue
        url = reverse(f"admin:{pattern.name}", kwargs=_kwargs(pattern, route, rows)) + QUERIES.get(pattern.name, "")
        found.append(Address(pattern.name, url, access_table.PAGES[pattern.name]))
    return found


def _kwargs(pattern: URLPattern, route: str, rows: dict[str, Model]) -> dict[str, Any]:
    app, _, rest = route.partition("/")
    by_model = {model._meta.label_lower: row for model in admin.site._registry for row in [rows[model._meta.label]]}
    row: Any = by_model.get(f"{app}.{rest.partition('/')[0]}")
    if route.startswith("reach/"):
        row = rows[Mailbox._meta.label]
    others: dict[str, Any] = {
        "kind": "mailbox",
        "app_label": "mailboxes",
        "content_type_id": "1",
        "attachment_pk": rows[Attachment._meta.label].pk,
        "object_id": row and row.pk,
        "pk": rows[Email._meta.label].pk if "/of-email/" in route else row and row.pk,
        "id": row and row.pk,
    }
    wanted = pattern.pattern.converters or pattern.pattern.regex.groupindex
    return {name: others[name] for name in wanted}


WRITES = ("INSERT", "UPDATE", "DELETE")


@contextmanager
def writes() -> Iterator[list[str]]:
    """The statements that change rows, but those of sessions."""
    seen: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(WRITES) and '"django_session"' not in sql:
            seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield seen
