"""One key and its receivers, in an installation where others do much or nothing.

A program is a list of steps. Those of others are left out in one of the two worlds; all else is done in both: the
same calls of the key, the same mail to its mailboxes, the same time. Each world is a savepoint of one database. What
it tells is kept with its ids, secrets and signatures renamed in the order in which they appear: those are random.
"""

import asyncio
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from inspect import signature
from typing import Any, cast
from urllib.parse import quote

from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from apikeys.models import ApiKey
from emailgistics.common.access import Scope
from emailgistics.common.errors import DomainError
from mailboxes.models import Mailbox
from mailboxes.services import provision
from tests.apikeys.factories import client_of, make_key
from tests.factories import make_alias, make_mailbox
from tests.webhooks import invariants
from tests.webhooks.invariants import Dispatcher
from tests.worlds.asking import MINE, Operation, call, operations
from tests.worlds.mails import deliver, mail
from tests.worlds.others import THEIR_ADDRESSES, Others, alias_of, mailbox_of
from tests.worlds.standing import Clock, clock_stopped, savepoint, undone
from tests.worlds.telling import ANSWERS, OF_EVERY_ANSWER, SIGNATURES, THEIRS, Names, Receivers, Told
from webhooks.models import Webhook
from webhooks.services import erasures, queue, replay_jobs, webhooks
from webhooks.services.dispatch import attempt
from webhooks.transport import Outgoing, Transport

UNLIMITED = {"minute": 10**6, "hour": 10**6, "day": 10**6}
LINK = re.compile(r"/files/evt_\w+/[a-z0-9_]+/k\d_[\w-]{43}")
# where mail for the key's mailboxes goes; offers is of another, and copies to support
MY_ADDRESSES = (
    "support@example.com", "help@example.com", "both@example.com", "offers@example.com", "team@example.com",
    "help+tag@example.com", "support@any.example.com", "roaming@example.com",
)  # fmt: skip


@dataclass(slots=True)
class Beginning:
    """support@ and team@ are for the key; sales@, box@, the domain's inbox@ and all of example.org are not."""

    at: datetime
    key: str
    others: str  # the plaintext of a key for those
    known: list[str]  # ids that the key may know
    foreign: dict[str, list[str]]  # ids, by kind, that it may have guessed
    host: str  # of the receivers that were there before it


def begin(scopes: Sequence[Scope], *, host: str = MINE) -> Beginning:
    with clock_stopped() as clock:
        return _begin(scopes, clock.now, host)


def _begin(scopes: Sequence[Scope], at: datetime, host: str) -> Beginning:
    support, team = make_mailbox(), make_mailbox(address="team@example.com")
    sales, box = make_mailbox(address="sales@example.com"), make_mailbox(address="box@example.com")
    vault = make_mailbox(address="vault@example.org")
    inbox = Mailbox.objects.get(local_part="inbox", domain=support.domain)
    provision.update_domain(support.domain, includes_subdomains=True)
    mine = [make_alias(address=f"{name}@example.com", mailbox=support) for name in ("help", "both", "roaming")]
    offers = make_alias(address="offers@example.com", mailbox=sales)
    provision.update_alias(mine[1], further_mailboxes=[team])
    provision.update_alias(offers, further_mailboxes=[support])
    my_key, key = make_key(mailboxes=[support, team], scopes=scopes, plan="enterprise")
    their_key, others = make_key(mailboxes=[sales, box, vault, inbox], plan="enterprise")
    ApiKey.objects.filter(pk__in=[my_key.pk, their_key.pk]).update(own_limits=UNLIMITED)
    hooks = [
        _webhook(f"{host}/support", mailbox=support),
        _webhook(f"{host}/help", alias=mine[0], payload="metadata", headers={"X-Tenant": "support"}),
        _webhook(f"{host}/roaming", alias=mine[2], attachments="inline"),
        _webhook("", mailbox=team),
    ]
    theirs = [_webhook(f"{THEIRS}/sales", mailbox=sales), _webhook(f"{THEIRS}/domain", domain=support.domain)]
    known: list[Any] = [support.domain, support, team, *mine, *hooks]
    foreign: list[Any] = [vault.domain, sales, vault, inbox, offers, *theirs]
    hidden: dict[str, list[str]] = {}
    for thing in foreign:
        hidden.setdefault(thing.ID_PREFIX, []).append(thing.public_id)
    return Beginning(at, key, others, [thing.public_id for thing in known], hidden, host)


def _webhook(url: str, **how: Any) -> Webhook:
    return webhooks.create_webhook(url=url, **how)[0]


class World(Others):
    """One of the two. What is done in it is in `told` afterwards, as far as the key or its receivers hear of it."""

    def __init__(self, beginning: Beginning, clock: Clock, *, has_others: bool) -> None:
        self.told: list[Told] = []
        self.seen: list[tuple[str, bytes]] = []  # the same as it is, but for what receivers got that were there before
        self.names = Names()
        self.in_vain: list[tuple[Any, ...]] = []  # steps of others that were refused
        self._beginning, self._clock, self._has_others = beginning, clock, has_others
        self._client = client_of(beginning.key)
        self._client_of_others = client_of(beginning.others)
        self._receivers = Receivers(clock)
        self._last: Outgoing | None = None
        self._links: list[str] = []
        self._pairs: list[list[str]] = []  # an email and an attachment of it
        self._calls = self._mails = 0
        self._once: list[tuple[Any, ...]] = []  # calls with an Idempotency-Key
        for id_ in beginning.known:
            self.names.in_place(id_)

    def do(self, name: str, *numbers: Any) -> None:
        """A step, with as many of the numbers as it takes. Those of others begin with `their_`."""
        step = getattr(self, name)
        given = numbers[: len(signature(step).parameters)]
        if not name.startswith("their_"):
            step(*given)
        elif self._has_others:
            try:
                with savepoint():
                    step(*given)
            except DomainError:
                self.in_vain.append((name, *given))

    # --- in both worlds

    def call(self, which: int, one: int, other: int) -> None:
        """One request of the key, about things that it was told of, and about some that it was not."""
        every = operations()
        self._call(every[which % len(every)], one, other)

    def ask(self, operation: str, one: int, other: int) -> None:
        """The same, by its name: `PATCH /v1/webhooks/{id}`."""
        self._call(next(each for each in operations() if str(each) == operation), one, other)

    def call_once(self, which: int, one: int, other: int) -> None:
        """What changes something, with an Idempotency-Key."""
        every = [operation for operation in operations() if operation.method in ("POST", "PATCH")]
        self._call(every[which % len(every)], one, other, is_once=True)

    def call_again(self, which: int) -> None:
        """One of those calls as it was, whatever has happened since."""
        if self._once:
            *call, name = self._once[which % len(self._once)]
            self._ask(*call, name=name)

    def _call(self, operation: Operation, one: int, other: int, *, is_once: bool = False) -> None:
        self._calls += 1
        ids = self._pairs[one % len(self._pairs)] if len(operation.kinds) > 1 and self._pairs else None
        ids = ids or [self._id(kind, one + place) for place, kind in enumerate(operation.kinds)]
        query = self._filled(operation.queries[other % len(operation.queries)], one)
        body = self._filled(operation.bodies[other % len(operation.bodies)], one)
        url = operation.url([quote(id_) for id_ in ids])
        name = f"call-{self._calls}" if is_once else ""
        if is_once and body != "received":  # which is another one each time
            self._once.append((str(operation), operation.method, url, query, body, one, name))
        self._ask(str(operation), operation.method, url, query, body, one, name=name)

    def mail(self, to: int, bcc: int, how: int) -> None:
        """To one or two addresses of the key's mailboxes. Where others are, some of theirs get the same as Bcc."""
        self._mails += 1
        mine = {MY_ADDRESSES[to % len(MY_ADDRESSES)], MY_ADDRESSES[(to // 8) % len(MY_ADDRESSES)]}
        if "roaming@example.com" in mine and self._roams():
            mine.discard("roaming@example.com")
        if not mine:
            return
        hidden = [THEIR_ADDRESSES[bcc % len(THEIR_ADDRESSES)], THEIR_ADDRESSES[(bcc // 9) % len(THEIR_ADDRESSES)]]
        recipients = sorted(mine)
        if self._has_others and bcc % 5:
            recipients = [*hidden, *recipients] if bcc % 2 else [*recipients, *hidden]
        # now and then the same octets as before
        number = self._mails if how % 4 else max(1, self._mails - 1)
        taken = deliver(mail(number, how), recipients, sender=("ada", "bob")[how % 2])
        self._tell("mail", sorted(mine.intersection(taken)))

    def look_after(self, how: int) -> None:
        """Mail is opened, and what is due goes out."""
        invariants.process_waiting()
        self._receivers.says = ANSWERS[how % len(ANSWERS)]
        queue.settle(queue.FIRST)
        replay_jobs.work_replays()
        erasures.work_erasures()
        dispatcher = Dispatcher()
        while claimed := dispatcher.claim():
            answers = [asyncio.run(attempt(one, cast("Transport", self._receivers))) for one in claimed]
            queue.record([queue.Result(*pair) for pair in zip(claimed, answers, strict=True)], dispatcher.lease)
            dispatcher.under_way = []
        # by event, each of which has its place in time: what goes out together has no order
        for sent in sorted(self._receivers.received, key=lambda one: (one.url, one.headers["webhook-id"])):
            self._hear(sent)
        self._receivers.received = []

    def open_a_link(self, which: int) -> None:
        if self._links:
            self._ask("a link", "GET", self._links[which % len(self._links)], {}, None, 0, client=Client())

    def move(self, where: int) -> None:
        """An administrator moves an alias of the key's away, and back."""
        address = ("support@example.com", "sales@example.com", "team@example.com")[where % 3]
        with suppress(DomainError):
            provision.update_alias(alias_of("roaming"), mailbox=mailbox_of(address))

    def later(self, minutes: int) -> None:
        self._clock.now += timedelta(minutes=minutes % 20, seconds=1)

    def ask_everything(self) -> None:
        """Every GET, of all that the key was told of, and with every filter."""
        for operation in operations():
            if operation.method != "GET":
                continue
            count = max((len(self.names.of(kind)) + 2 for kind in operation.kinds), default=1)
            count = len(self._pairs) if len(operation.kinds) > 1 else count
            for one in range(min(count, 8)):
                self._call(operation, one, 0)
            for other in range(1, len(operation.queries)):
                self._call(operation, self._calls, other)

    # --- asking and hearing

    def _ask(
        self,
        what: str,
        method: str,
        path: str,
        query: Any,
        body: Any,
        one: int,
        *,
        client: Client | None = None,
        name: str = "",
    ) -> None:
        client, headers = client or self._client, {"Idempotency-Key": name} if name else {}
        if body == "mail":
            recipients = [MY_ADDRESSES[one % 8], (*MY_ADDRESSES, *THEIR_ADDRESSES)[one // 8 % 17]]
            query = {"recipient": recipients[: 1 + one % 2], "mail_from": "ada@example.net"}
            number = 1000 + one % 3 + 3 * (one // 136 % 8)  # now and then the same octets as before
            octets = mail(number, one)
            answer: Any = client.generic(
                method, path, octets, content_type="message/rfc822", query_params=query, headers=headers
            )
        else:
            if body == "received":
                body = {"headers": dict(self._last.headers), "body": self._last.body.decode()} if self._last else {}
            answer = call(client, method, path, query, body, headers)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        self._learn(path, answer, content)
        self.seen.append((f"{what} {query} {body}", repr(list(answer.items())).encode() + content))
        self._tell(f"{what} {query} {body}", self._shown(answer, content))

    def _shown(self, answer: HttpResponse, content: bytes) -> object:
        headers = {name: value for name, value in answer.items() if not OF_EVERY_ANSWER.fullmatch(name)}
        return answer.status_code, headers, content.decode("latin-1")

    def _learn(self, path: str, answer: HttpResponse, content: bytes) -> None:
        if path.endswith("/attachments") and answer.status_code == 200 and content:
            known = [path.split("/")[3]]
            self._pairs += [[*known, part["id"]] for part in json.loads(content)["data"]]
        self._links += LINK.findall(content.decode("latin-1"))

    def _hear(self, sent: Outgoing) -> None:
        if not (self._beginning.host != MINE and sent.url.startswith(self._beginning.host)):
            self._last = sent
            self._links += LINK.findall(sent.body.decode())
            self.seen.append((f"sent to {sent.url}", repr(dict(sent.headers)).encode() + sent.body))
        headers = {name: "<signature>" if name in SIGNATURES else value for name, value in sent.headers.items()}
        self._tell(f"sent to {sent.url}", (headers, sent.body.decode()))

    def _tell(self, what: str, told: object) -> None:
        self.told.append((self.names.in_place(what), self.names.in_place(repr(told))))

    def _filled(self, given: Any, one: int) -> Any:
        """With ids and numbers in place of what stands for them."""
        match given:
            case dict():
                return {name: self._filled(value, one) for name, value in given.items()}
            case list():
                return [self._filled(value, one) for value in given]
            case str() if given.startswith("$"):
                kind = given[1:].removesuffix("2")
                return self._id(kind, one + given.endswith("2"))
            case str():
                return given.replace("#", str(self._calls))
        return given

    def _id(self, kind: str, which: int) -> str:
        """Mostly one that it was told of."""
        unknown = [f"{kind}_{'0' * 26}", *self._beginning.foreign.get(kind, [])[:1]]
        those = [*self.names.of(kind), *unknown]
        return those[which % len(those)]


STEPS = {
    name: len(signature(step).parameters) - 1
    for name, step in {**vars(Others), **vars(World)}.items()
    if not name.startswith("_") and callable(step) and name not in ("do", "ask", "ask_everything")
}


def every_call(*, ids: int = 3, is_writing: bool = False) -> list[tuple[Any, ...]]:
    """Each operation with all that may be sent with it, about several things, with mail and time between.

    Without those that delete, which `every_end` has. is_writing: only what may change something.
    """
    program: list[tuple[Any, ...]] = []
    for which, operation in enumerate(operations()):
        if operation.method in ("HEAD", "DELETE") or (is_writing and operation.method == "GET"):
            continue
        forms = max(len(operation.queries), len(operation.bodies))
        things = range(ids if operation.kinds or operation.method != "GET" else 1)
        program += [("call", which, one, other) for other in range(forms) for one in things]
        program += [("mail", which, which, which), ("look_after", which)]
    return program


def every_end() -> list[tuple[Any, ...]]:
    """Deletes what there is."""
    ending = [which for which, operation in enumerate(operations()) if operation.method == "DELETE"]
    return [("call", which, one, other) for which in ending for other in range(2) for one in range(3)]


def run(beginning: Beginning, program: Sequence[tuple[Any, ...]], *, others: bool, of: type[World] = World) -> World:
    """The program, and then every question, in a world that is undone afterwards."""
    cache.clear()
    with clock_stopped(beginning.at) as clock, undone():
        world = of(beginning, clock, has_others=others)
        for name, *numbers in program:
            world.do(name, *numbers)
        world.ask_everything()
    return world
