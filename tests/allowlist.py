"""What test_allowlist.py asks about: every route of the API, and a world of which a key may see a part."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Model
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from emailgistics.common.access import Scope
from emailgistics.common.ids import encode_id, uuid7
from mailboxes.models import Alias, Attachment, Domain, Email, EmailContent, Mailbox, Rule
from mailboxes.services import provision, rule_book
from tests.factories import RAW, make_alias, make_mailbox, make_message
from tests.headers import headers_of
from webhooks.models import Delivery, Event, EventBody, ReplayJob, Webhook
from webhooks.services import replay_jobs, webhooks

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PARAMETER = re.compile(r"<str:(\w+)>")
# whose id stands after which word of a path, in which field, in which filter
KIND_AFTER = {
    "domains": "dom", "mailboxes": "mbx", "aliases": "alias", "emails": "email", "attachments": "att",
    "rules": "rule", "webhooks": "wh", "deliveries": "dlv", "jobs": "job",
}  # fmt: skip
# what is no id, and the same for everybody
NAMES = {"<str:name>": "email.received.json"}
KIND_OF_REFERENCE = {"domain_id": "dom", "mailbox_id": "mbx", "default_mailbox_id": "mbx", "alias_id": "alias"}
CURSORS = ("starting_after", "ending_before")
# of those that name an id which is not to be hidden, or none at all; a new one has to be said here
NOT_REFERENCES: set[str] = set()


@dataclass(frozen=True, slots=True)
class Route:
    path: str  # /v1/emails/<str:id>/attachments
    view: Any
    actions: Mapping[str, str]  # by method

    @property
    def parameters(self) -> list[str]:
        return PARAMETER.findall(self.path)

    @property
    def methods(self) -> list[str]:
        # once a route was called, its actions have HEAD as well
        return [method.upper() for method in self.actions if method != "head"]

    def has(self, method: str) -> bool:
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)

    @property
    def kinds(self) -> list[str]:
        """Of the ids in its path, in their order."""
        words = self.path.split("/")
        after = [
            words[index - 1] for index, word in enumerate(words) if PARAMETER.fullmatch(word) and word not in NAMES
        ]
        unknown = set(after) - KIND_AFTER.keys()
        assert not unknown, f"{self.path}: say in tests/allowlist.py whose ids stand after {unknown}, and make some"
        return [KIND_AFTER[word] for word in after]

    def url(self, ids: Sequence[str]) -> str:
        remaining = iter(ids)
        return PARAMETER.sub(lambda found: NAMES[found[0]] if found[0] in NAMES else next(remaining), self.path)

    def required(self, method: str) -> tuple[Scope, ...]:
        named = self.view.required_scopes[self.actions[method.lower().replace("head", "get")]]
        return (named,) if isinstance(named, Scope) else tuple(named)


def routes() -> list[Route]:
    return list(_routes(get_resolver().url_patterns, "/"))


def _routes(patterns: Sequence[URLPattern | URLResolver], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, path)
        elif path.startswith("/v1/") and hasattr(pattern.callback, "cls"):
            yield Route(path, pattern.callback.cls, pattern.callback.actions)


def schema() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return made


def operation(route: Route, method: str, document: Mapping[str, Any]) -> dict[str, Any]:
    described = PARAMETER.sub(r"{\1}", route.path)
    if described not in document["paths"]:
        assert route.path == "/v1/openapi.json", f"{route.path} is not in the document"
        return {}
    found: dict[str, Any] = document["paths"][described][method.lower()]
    return found


def body_references(route: Route, method: str, document: Mapping[str, Any]) -> list[str]:
    """Fields of its body that hold the id of another thing."""
    content = operation(route, method, document).get("requestBody", {}).get("content", {})
    names: set[str] = set()
    for form in content.values():
        reference = form["schema"].get("$ref", "")
        described = document["components"]["schemas"][reference.rpartition("/")[2]] if reference else form["schema"]
        names |= {name for name in described.get("properties", {}) if name.endswith("_id")}
    return _known(route, names)


def query_references(route: Route, document: Mapping[str, Any]) -> list[str]:
    """Filters that hold the id of a thing."""
    parameters = operation(route, "GET", document).get("parameters", [])
    names = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    return _known(route, {name for name in names if name.endswith("_id")})


def _known(route: Route, names: set[str]) -> list[str]:
    unknown = names - KIND_OF_REFERENCE.keys() - NOT_REFERENCES
    assert not unknown, f"{route.path}: say in tests/allowlist.py what {unknown} refer to"
    return sorted(names - NOT_REFERENCES)


def is_list(route: Route, document: Mapping[str, Any]) -> bool:
    parameters = operation(route, "GET", document).get("parameters", []) if "GET" in route.methods else []
    return "starting_after" in {parameter["name"] for parameter in parameters}


def kind_of_list(route: Route) -> str:
    return KIND_AFTER[route.path.rpartition("/")[2]]


def shown(answer: HttpResponse) -> tuple[int, bytes, dict[str, str]]:
    """All of an answer that may tell one thing from another."""
    return answer.status_code, answer.content, headers_of(answer)


@dataclass(slots=True)
class World:
    """Ids by kind: of what the key of `allowed` may see, of what is there but not for it, and of what was deleted."""

    allowed: list[Mailbox] = field(default_factory=list)
    visible: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, list[str]] = field(default_factory=dict)

    def hidden(self, kind: str) -> list[str]:
        """Ids that are to be the same to the key; the first was never given to anything."""
        return [encode_id(kind, uuid7()), *self.foreign[kind], *self.deleted[kind], "x"]

    def invisible(self, kind: str) -> list[str]:
        """The same and many that are no id, or none of that kind."""
        own = self.visible[kind]
        of_another_kind = [id_ for other, id_ in self.visible.items() if other != kind]
        bare = own.rpartition("_")[2]
        spoiled = [
            "x", "0", "-1", "null", "*", kind, f"{kind}_", bare, own.upper(), own[:-1], own + "0", f" {own}", f"{own} ",
            f"{kind}_{'0' * 26}", f"{kind}_7{'z' * 25}", f"{kind}_8{'0' * 25}", f"{kind}_{kind}_{bare}",
            f"{kind}-{bare}", str(2**63), str(uuid7()), "mbx_ß", "\N{FULLWIDTH DIGIT ONE}" * 26, "\x00",
            f"{own}\x00", "' OR 1=1 --", "x" * 2000,
        ]  # fmt: skip
        return [*self.hidden(kind), *of_another_kind, *spoiled]


def make_world() -> World:
    """support@example.com, and what belongs to it, is for the key; sales@ beside it and all of example.org are not."""
    world = World()
    mine, gone = make_mailbox(), make_mailbox(address="gone@example.com")
    sales, elsewhere = make_mailbox(address="sales@example.com"), make_mailbox(address="secret@example.org")
    left = make_mailbox(address="left@example.edu")  # the only allowed one there, and deleted
    # as they are while keys are made; two of them are deleted below
    world.allowed = list(Mailbox.objects.filter(pk__in=[mine.pk, gone.pk, left.pk]))
    help_, offers = make_alias(mailbox=mine), make_alias(address="offers@example.com", mailbox=sales)
    secrets = make_alias(address="secrets@example.org", mailbox=elsewhere)
    old_alias = make_alias(address="old@example.com", mailbox=mine)
    hook, other_hook = _webhook(alias=help_), _webhook(mailbox=sales)
    domain_hook, old_hook = _webhook(domain=mine.domain), _webhook(mailbox=mine)
    secret_hook, gone_hook = _webhook(alias=secrets), _webhook(mailbox=gone)
    email, sold = _email(mine), _email(sales)
    hidden, lost = _email(elsewhere), _email(gone)
    dropped = provision.create_domain(name="example.net")
    wide = [_rule(), _rule(domain=mine.domain), _rule(mailbox=sales), _rule(alias=offers), _rule(alias=secrets)]
    ended_rules = [_rule(mailbox=mine), _rule(mailbox=gone), _rule(alias=old_alias), _rule(domain=dropped)]

    deliveries = [
        _delivery(other_hook, sold), _delivery(hook, sold), _delivery(other_hook, email), _delivery(domain_hook, email),
        _delivery(secret_hook, hidden),
    ]  # fmt: skip
    ended = [_delivery(old_hook, email), _delivery(gone_hook, lost), _delivery(hook, lost)]
    jobs = [_job(other_hook), _job(domain_hook), _job(secret_hook), _job(hook), _job(hook, mine, sales)]
    ended_jobs = [_job(old_hook), _job(gone_hook)]
    _show(
        world,
        mine.domain,
        mine,
        help_,
        email,
        email.attachments.get(),
        hook,
        _delivery(hook, email),
        _job(hook, mine),
        _rule(alias=help_),
    )
    _hide(world.foreign, elsewhere.domain, left.domain, sales, elsewhere, offers, secrets, sold, hidden)
    _hide(world.foreign, sold.attachments.get(), hidden.attachments.get(), other_hook, domain_hook, secret_hook)
    _hide(world.foreign, *deliveries, *jobs, *wide)
    _hide(world.deleted, dropped, gone, left, old_alias, lost, lost.attachments.get(), old_hook, gone_hook, *ended)
    _hide(world.deleted, *ended_jobs, *ended_rules)
    provision.delete_domain(dropped, with_mail=True)
    provision.delete_mailbox(gone, with_mail=True)
    provision.delete_mailbox(left, with_mail=True)
    provision.delete_alias(old_alias)
    webhooks.delete_webhook(old_hook)
    rule_book.delete_rule(ended_rules[0])
    assert set(KIND_AFTER.values()) == world.visible.keys() == world.foreign.keys() == world.deleted.keys()
    return world


def grow(world: World, *, rows: int) -> None:
    """Much that is not for the key, in the domain that it sees and for the webhook that it sees."""
    sales = Mailbox.objects.get(local_part="sales")
    hook = Webhook.objects.get(alias__name="help")
    Mailbox.objects.bulk_create(Mailbox(domain=sales.domain, local_part=f"box{n}") for n in range(rows))
    Alias.objects.bulk_create(Alias(domain=sales.domain, name=f"alias{n}", mailbox=sales) for n in range(rows))
    Domain.objects.bulk_create(Domain(name=f"d{n}.example.net") for n in range(rows))
    Rule.objects.bulk_create(Rule(mailbox=sales, action="block", criterion="size", value=str(n)) for n in range(rows))
    for _ in range(rows):
        email = _email(sales)
        _delivery(hook, email)
        _delivery(_webhook(mailbox=sales), email)


def everything() -> list[object]:
    """What no refused request may have changed."""
    models: list[type[Model]] = [Domain, Mailbox, Alias, Rule, Webhook, Email, Attachment, Delivery, ReplayJob]
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def call(client: Client, method: str, url: str, *, query: Any = None, body: str | None = None) -> HttpResponse:
    sent: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
    return client.generic(method, url, query_params=query or {}, **sent)  # type: ignore[return-value]  # the test's


def _show(world: World, *things: Any) -> None:
    world.visible = {thing.ID_PREFIX: thing.public_id for thing in things}


def _hide(ids: dict[str, list[str]], *things: Any) -> None:
    for thing in things:
        ids.setdefault(thing.ID_PREFIX, []).append(thing.public_id)


def _rule(**scope: Any) -> Rule:
    return rule_book.create_rule(action="block", criterion="sender", value="spam@example.net", **scope)


def _webhook(**binding: Any) -> Webhook:
    return webhooks.create_webhook(url="https://hooks.example.net/mail", **binding)[0]


def _job(webhook: Webhook, *mailboxes: Mailbox) -> ReplayJob:
    """For mail of these, or of all mailboxes."""
    now = timezone.now()
    return replay_jobs.start_replay(
        webhook,
        since=now - timedelta(days=1),
        until=now,
        of_state="failed",
        by="Ada",
        mailbox_ids=[mailbox.pk for mailbox in mailboxes] or None,
    )


def _email(mailbox: Mailbox) -> Email:
    """Processed, with one attachment."""
    message = make_message(to=(mailbox.address,))
    type(message).objects.filter(pk=message.pk).update(state="processed")
    email = message.emails.get()
    email.status, email.subject, email.has_attachment = Email.Status.PROCESSED, f"To {mailbox.address}", True
    email.save()
    EmailContent.objects.create(email=email, text=f"For {mailbox.address} only.")
    Attachment.objects.create(
        email=email, position=0, part="1", filename="a.txt", content_type="text/plain", size=len(RAW),
        sha256="0" * 64, encoding="8bit", offset=0, length=len(RAW),
    )  # fmt: skip
    return email


def _delivery(webhook: Webhook, email: Email) -> Delivery:
    now = timezone.now()
    event, _ = Event.objects.get_or_create(type=Event.Type.EMAIL_RECEIVED, email=email, defaults={"created_at": now})
    body, _ = EventBody.objects.get_or_create(event=event, form=webhook.payload, defaults={"body": b"{}"})
    return Delivery.objects.create(
        event=event, webhook=webhook, body=body, state=Delivery.State.DELIVERED, due_at=now, delivered_at=now
    )
