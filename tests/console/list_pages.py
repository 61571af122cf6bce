"""Every list of the console with everything that it can be asked, as its own page offers it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from importlib import import_module
from itertools import groupby
from urllib.parse import parse_qsl

from django.conf import settings
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

from mailboxes.models import Rule
from tests.many_emails import ManyEmails

OFFERED = re.compile(r'href="\?([^"#]+)"')
OF_DASHBOARD = re.compile(r'href="(/admin/[a-z]+/[a-z]+/)\?([^"#]+)"')
OF_EACH = 4  # values of a filter that are tried: the first ones, and the last one

# what is written into the box for searching; <name> is the id of that one of ManyEmails. What is rare is old
SEARCHES: Mapping[str, Sequence[str]] = {
    "mailboxes_email": (
        "rare", "n101", "order", "engine5", "engine5 order", "rare engine5", "ord*", "rare@example.com",
        "101@example.net", "nothing", "<email>",
    ),
    "mailboxes_message": ("person5@example.net", "nobody@example.org", "192.0.2.1"),
    "mailboxes_refusal": ("nobody@example.com", "rare@example.com", "192.0.2.1", "rule", "nothing"),
    "mailboxes_mailbox": ("busy@example.com", "box1", "nothing"),
    "mailboxes_alias": ("help@example.com", "alias1", "nothing"),
    "webhooks_webhook": ("hooks.example.net", "<hook>", "nothing"),
    "webhooks_delivery": ("<hook>", "<email>", "nothing"),
    "webhooks_attempt": ("nothing",),
    "webhooks_event": ("<email>", "nothing"),
    "common_auditentry": ("ada", "rare", "nothing"),
}  # fmt: skip
OTHERS = ("a", "nothing")  # in the box of any other list
# what people fill in to narrow the log of emails; <email> stands for the newest of the busy mailbox
OF_LOG: Sequence[Mapping[str, str]] = (
    {"author": "rare@quiet.example"},
    {"author": "person5@sender5.example"},
    {"author": "@quiet.example"},
    {"author": "@sender5.example"},
    {"author": "nobody@example.net"},
    {"author": "@sender5.example", "before": "<email>"},
    {"author": "@sender5.example", "mailbox": "busy@example.com", "since": "2020-01-01", "until": "2100-01-01"},
    {"to": "rare@example.com"},
    {"to": "help@example.com"},
    {"to": "nobody@example.com"},
    {"to": "help@example.com", "author": "rare@quiet.example"},
    {"subject": "rare"},
    {"subject": "order"},
    {"subject": "engine5", "mailbox": "busy@example.com", "since": "2020-01-01"},
    {"message_id": "101@example.net"},
    {"message_id": "<5@example.net>", "mailbox": "@example.com"},
    {"mailbox": "@example.com"},
    {"mailbox": "@example.com", "received": "24h"},
    {"domain": "<domain>"},
    *({"status": status} for status in ("waiting", "processed", "parked", "quarantined")),
    {"status": "parked", "mailbox": "<busy>"},
    {"status": "processed", "before": "<email>"},
    {"attachment": "1"},
    {"attachment": "0"},
    {"attachment": "1", "mailbox": "<busy>", "received": "30d"},
    *({"received": span} for span in ("24h", "7d", "30d", "90d")),
    {"since": "2020-01-01"},
    {"until": "2020-01-01"},
    {"since": "2020-01-01", "until": "2100-01-01", "before": "<email>"},
    {"after": "<email>"},
    {"before": "<email>", "mailbox": "<idle>"},
    {"q": "cog5", "says": "on"},
    {"q": "order", "says": "on", "mailbox": "<idle>"},
    {"q": "rare", "status": "processed"},
    {"q": "order", "before": "<email>"},
    {"rule": "<rule>"},
)
# links from pages of one thing
FROM_ELSEWHERE: Mapping[str, Sequence[Mapping[str, str]]] = {
    "mailboxes_email": ({"mailbox": "<busy>"}, {"mailbox": "<idle>"}, *OF_LOG),
    "webhooks_delivery": ({"webhook": "<hook>"}, {"webhook": "<idle_hook>"}),
    "webhooks_replayjob": ({"webhook": "<hook>"},),
    "webhooks_notice": ({"webhook": "<hook>"},),
    "mailboxes_alias": ({"mailbox": "<busy>"}, {"domain": "<domain>"}),
    "webhooks_webhook": ({"mailbox__id__exact": "<busy>"}, {"domain__id__exact": "<domain>"}),
}


def names() -> list[str]:
    """Of all lists that there are, as their addresses are called."""
    import_module(settings.ROOT_URLCONF)  # which has them registered
    return sorted(f"{model._meta.app_label}_{model._meta.model_name}" for model in site._registry)


def ids_of(many: ManyEmails) -> dict[str, str]:
    """By <name>: as people see it for searches, and the primary key for filters."""
    things = {"busy": many.busy, "idle": many.idle[0], "hook": many.hook, "idle_hook": many.idle_hook}
    rule = Rule.objects.get(mailbox=many.busy)
    named = {name: str(thing.pk) for name, thing in things.items()}
    named |= {"domain": str(many.busy.domain_id), "rule": str(rule.pk), "email": public_ids_of(many)["<email>"]}
    return {f"<{name}>": pk for name, pk in named.items()}


def public_ids_of(many: ManyEmails) -> dict[str, str]:
    return {"<email>": many.busy.emails.order_by("-id")[0].public_id, "<hook>": many.hook.public_id}


def queries_of(client: Client, name: str, many: ManyEmails) -> Iterator[dict[str, str]]:
    """None, each filter, order and page that it offers, what is searched for, and what other pages link to."""
    yield {}
    page = client.get(address_of(name))
    assert page.status_code == 200
    text = page.content.decode()
    offered = sorted({tuple(parse_qsl(unescape(query), keep_blank_values=True)) for query in OFFERED.findall(text)})
    for _, group in groupby(offered, key=_fields):
        values = list(group)
        yield from (
            dict(pairs) for pairs in (values if len(values) <= OF_EACH else [*values[: OF_EACH - 1], values[-1]])
        )
    yield {"p": "2"}
    if 'id="searchbar"' in text or name in SEARCHES:
        ids = public_ids_of(many)
        yield from ({"q": ids.get(term, term)} for term in SEARCHES.get(name, OTHERS))
    pks = ids_of(many)
    for query in FROM_ELSEWHERE.get(name, ()):
        yield {field: pks.get(value, value) for field, value in query.items()}
    dashboard = client.get(reverse("admin:index")).content.decode()
    for path, linked in OF_DASHBOARD.findall(dashboard):
        if path == address_of(name):
            yield dict(parse_qsl(unescape(linked)))


def _fields(pairs: tuple[tuple[str, str], ...]) -> list[str]:
    return [field for field, _ in pairs]


def address_of(name: str) -> str:
    return reverse(f"admin:{name}_changelist")
