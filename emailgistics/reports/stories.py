"""The story of one thing, whatever it is: what it is, what happened to it and when, and what stands beside it.

For whoever is at the shell and has an id in hand. It tells who, to whom, when and what became of it, as the log does;
never what mail says. Every question is bounded, however much there is of a thing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model, Prefetch, QuerySet

from apikeys.api.serializers import ApiKeySerializer
from apikeys.models import ApiKey
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.models import AuditEntry
from emailgistics.common.roles import role_of
from mailboxes.api.serializers import (
    AliasSerializer,
    DomainSerializer,
    EmailSerializer,
    ErasureJobSerializer,
    InstantField,
    MailboxSerializer,
    RefusalSerializer,
    RuleSerializer,
)
from mailboxes.models import (
    Alias,
    AliasImport,
    Attachment,
    Domain,
    Email,
    ErasureJob,
    Mailbox,
    Message,
    Recipient,
    Refusal,
    Rule,
)
from webhooks.api.serializers import AttemptSerializer, DeliverySerializer, ReplayJobSerializer, WebhookSerializer
from webhooks.api.waiting import expected, with_what_keeps_back
from webhooks.models import Attempt, Delivery, Event, ReplayJob, Webhook

NEWEST = 10  # emails or deliveries of a thing that has many
MAX_DELIVERIES = 50  # of one email
MAX_EMAILS = 25  # of one message: the mailboxes that it went to
MAX_AUDITED = 20

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """at None: it has not happened yet."""

    at: datetime | None
    what: str


@dataclass(frozen=True, slots=True)
class Story:
    """thing is as the API shapes it; beside are lists of other things, by what they are."""

    kind: str
    id: str
    thing: dict[str, Any]
    steps: Sequence[Step] = ()
    beside: dict[str, Rows] = field(default_factory=dict)


def stories_of(row: Model) -> list[Story]:
    """Of what a search has found, which need not have been read whole. An attachment or event is told by its email."""
    kind, tell = TELLERS[type(row)]
    return list(tell(kind, row.pk))


def of_audit(entries: Iterable[AuditEntry], of: str) -> Story:
    """What was done to a thing that may be gone."""
    return Story("audit", of, {"id": of}, _audited(entries))


def json_of(story: Story) -> dict[str, Any]:
    steps = [{"at": _instant(step.at), "what": step.what} for step in story.steps]
    return {"kind": story.kind, "id": story.id, "thing": story.thing, "story": steps, **story.beside}


# --- mail


def _of_emails(kind: str, rows: QuerySet[Email]) -> Iterator[Story]:
    recipients = Prefetch("recipients", Recipient.objects.select_related("alias").order_by("id"))
    related = rows.select_related("message", "mailbox__domain", "quarantine_rule").prefetch_related(recipients)
    for email in related.order_by("id")[:MAX_EMAILS]:
        events = list(Event.objects.filter(email=email).order_by("id")[:MAX_DELIVERIES])
        deliveries = _deliveries(Delivery.objects.filter(event__in=events), MAX_DELIVERIES)
        steps = [*_of_mail(email), *(step for one in deliveries for step in _of_delivery(one))]
        steps += [Step(event.created_at, f"{event.public_id} ({event.type}) was made for webhooks") for event in events]
        if len(deliveries) == MAX_DELIVERIES:
            steps.append(Step(None, f"its first {MAX_DELIVERIES} deliveries are shown; there may be more"))
        yield Story(
            kind,
            email.public_id,
            {**EmailSerializer(email).data, "accepted_as": email.message.public_id, "mailbox": email.mailbox.address},
            _in_order([*steps, *_of_record(email.public_id)]),
            {
                "events": [{"id": event.public_id, "type": event.type} for event in events],
                "deliveries": [_with_attempts(delivery) for delivery in deliveries],
            },
        )


def _of_mail(email: Email) -> Iterator[Step]:
    message = email.message
    to = ", ".join(recipient.address for recipient in email.recipients.all())
    came_from = f" from {message.client_ip} ({message.helo})" if message.client_ip else ""
    sender = message.mail_from or "<>"
    yield Step(
        message.received_at,
        f"accepted by {message.source}{came_from} as {message.public_id}: {message.size} octets of {sender} for {to}",
    )
    if message.resends:
        yield Step(message.received_at, f"and sent again {message.resends} times, which was not stored again")
    match email.status:
        case Email.Status.WAITING:
            held = "it is being opened" if message.lease_id else "it waits to be opened by a worker"
            yield Step(None, f"{held}; workers lost over it so far: {message.losses}")
        case Email.Status.PARKED:
            yield Step(message.processed_at, "it could not be opened, and is parked; its raw is safe")
        case _:
            defects = f": {', '.join(map(str, message.parse_defects))}" if message.parse_defects else ""
            yield Step(message.processed_at, f"opened ({message.parse_status}{defects})")
    if email.quarantine_reason:
        yield Step(message.processed_at, f"kept back by a rule: {email.quarantine_reason}")
    if email.released_at:
        yield Step(email.released_at, "released from quarantine")


def _of_message(kind: str, pk: Any) -> Iterator[Story]:
    """By its emails; one that has none any more has only its own row to tell of."""
    emails = list(_of_emails("email", Email.objects.filter(message=pk)))
    yield from emails
    if not emails:
        message = Message.objects.get(pk=pk)
        thing = {"id": message.public_id, "state": message.state, "size": message.size}
        yield Story(kind, message.public_id, thing, [Step(message.received_at, f"accepted by {message.source}")])


def _of_email(kind: str, pk: Any) -> Iterator[Story]:
    return _of_emails(kind, Email.objects.filter(pk=pk))


def _of_attachment(_kind: str, pk: Any) -> Iterator[Story]:
    return _of_emails("email", Email.objects.filter(attachments=pk))


def _of_refusal(kind: str, pk: Any) -> Iterator[Story]:
    refusal = Refusal.objects.get(pk=pk)
    to = f"{refusal.mail_from or '<>'} for {refusal.recipient or 'nobody yet'}"
    what = f"{refusal.outcome} ({refusal.code}): {to}, from {refusal.client_ip or refusal.source}: {refusal.reply}"
    yield Story(kind, refusal.public_id, dict(RefusalSerializer(refusal).data), [Step(refusal.at, what)])


# --- what webhooks are told


def _of_event(kind: str, pk: Any) -> Iterator[Story]:
    event = Event.objects.get(pk=pk)
    if event.email_id:
        yield from _of_email("email", event.email_id)
        return
    deliveries = _deliveries(Delivery.objects.filter(event=event), MAX_DELIVERIES)
    steps = [Step(event.created_at, f"{event.type} was made"), *(s for one in deliveries for s in _of_delivery(one))]
    thing = {"id": event.public_id, "type": event.type, "webhook_id": str(event.webhook)}
    yield Story(
        kind, event.public_id, thing, _in_order(steps), {"deliveries": [_with_attempts(one) for one in deliveries]}
    )


def _of_one_delivery(kind: str, pk: Any) -> Iterator[Story]:
    for delivery in _deliveries(Delivery.objects.filter(pk=pk), 1):
        steps = [*_of_delivery(delivery), *_of_record(delivery.public_id)]
        yield Story(kind, delivery.public_id, _with_attempts(delivery), _in_order(steps))


def _of_delivery(delivery: Delivery) -> Iterator[Step]:
    where = delivery.webhook.url or "who pulls"
    yield Step(delivery.created_at, f"{delivery.public_id} for {delivery.webhook.public_id} ({where})")
    for attempt in delivery.attempt_log.all():
        took = "" if attempt.total_ms is None else f" after {attempt.total_ms} ms"
        answer = f"answered {attempt.status}" if attempt.status else attempt.error or "no answer"
        said = f"attempt {attempt.n} of {delivery.public_id}: {answer}{took}. {attempt.detail}".rstrip(" .")
        yield Step(attempt.started_at, said)
    now = expected(delivery)
    stands = f"{delivery.public_id} is {delivery.state}"
    if now.reason:
        stands = f"{stands}: {now.reason}"
    if now.at:
        stands = f"{stands}; the next attempt is not before {_instant(now.at)}"
    ended_at = delivery.delivered_at or (delivery.last_attempt_at if delivery.state == State.FAILED else None)
    yield Step(ended_at, stands)


def _of_webhook(kind: str, pk: Any) -> Iterator[Story]:
    webhook = Webhook.objects.select_related("alias", "health").get(pk=pk)
    # both bounds: this order only the index of a webhook's deliveries has
    own = Delivery.objects.filter(webhook__gte=webhook, webhook__lte=webhook)
    newest = _deliveries(own, NEWEST, order=("webhook_id", "-id"))
    yield _with_own_record(
        kind,
        webhook,
        WebhookSerializer(webhook).data,
        [Step(webhook.created_at, "made")],
        {"deliveries": [dict(DeliverySerializer(one).data) for one in newest]},
    )


# --- places, keys, people and jobs


def _of_domain(kind: str, pk: Any) -> Iterator[Story]:
    domain = Domain.objects.get(pk=pk)
    mailboxes = domain.mailboxes.live().select_related("domain").with_used_bytes().order_by("-id")[:NEWEST]
    beside = {
        "mailboxes": [dict(MailboxSerializer(one).data) for one in mailboxes],
        "webhooks": _webhooks(Webhook.objects.filter(domain=domain)),
    }
    yield _with_own_record(kind, domain, DomainSerializer(domain).data, _life(domain), beside)


def _of_mailbox(kind: str, pk: Any) -> Iterator[Story]:
    mailbox = Mailbox.objects.select_related("domain").with_used_bytes().get(pk=pk)
    aliases = mailbox.aliases.live().select_related("domain").with_copies().order_by("-id")[:NEWEST]
    beside = {
        "aliases": [dict(AliasSerializer(one).data) for one in aliases],
        "webhooks": _webhooks(Webhook.objects.filter(mailbox=mailbox)),
        "emails": _newest(Email.objects.filter(mailbox=mailbox).order_by("mailbox_id", "-id")),
    }
    yield _with_own_record(kind, mailbox, MailboxSerializer(mailbox).data, _life(mailbox), beside)


def _of_alias(kind: str, pk: Any) -> Iterator[Story]:
    alias = Alias.objects.select_related("domain", "mailbox__domain").with_copies().get(pk=pk)
    came = Recipient.objects.filter(alias=alias).order_by("alias_id", "-email_id").values_list("email_id", flat=True)
    beside = {
        "webhooks": _webhooks(Webhook.objects.filter(alias=alias)),
        "emails": _newest(Email.objects.filter(pk__in=list(came[:NEWEST])).order_by("-id")),
    }
    thing = {**AliasSerializer(alias).data, "mailbox": alias.mailbox.address}
    yield _with_own_record(kind, alias, thing, _life(alias), beside)


def _of_rule(kind: str, pk: Any) -> Iterator[Story]:
    rule = Rule.objects.get(pk=pk)
    yield _with_own_record(kind, rule, RuleSerializer(rule).data, _life(rule))


def _of_key(kind: str, pk: Any) -> Iterator[Story]:
    key = ApiKey.objects.get(pk=pk)
    yield Story(kind, key.identifier, dict(ApiKeySerializer(key).data), _in_order(_of_record(key.identifier)))


def _of_person(kind: str, pk: Any) -> Iterator[Story]:
    user = User.objects.get(pk=pk)
    name = user.get_username()
    thing = {"username": name, "email": user.email, "role": role_of(user).value, "is_active": user.is_active}
    steps = [Step(user.date_joined, "made"), *_of_record(name, f"user:{user.pk}")]
    yield Story(kind, name, thing, _in_order(steps))


def _of_replay(kind: str, pk: Any) -> Iterator[Story]:
    job = ReplayJob.objects.get(pk=pk)
    yield Story(kind, job.public_id, dict(ReplayJobSerializer(job).data), _of_job(job))


def _of_erasure(kind: str, pk: Any) -> Iterator[Story]:
    job = ErasureJob.objects.get(pk=pk)
    yield Story(kind, job.public_id, dict(ErasureJobSerializer(job).data), _of_job(job))


def _of_import(kind: str, pk: Any) -> Iterator[Story]:
    job = AliasImport.objects.get(pk=pk)
    counts = {name: getattr(job, name) for name in ("state", "total", "created", "changed", "unchanged", "failed")}
    yield Story(kind, job.public_id, {"id": job.public_id, **counts}, _of_job(job))


# --- pieces

State = Delivery.State


def _with_own_record(
    kind: str, row: TypedIdModel, thing: Any, steps: Sequence[Step], beside: dict[str, Rows] | None = None
) -> Story:
    return Story(kind, row.public_id, dict(thing), _in_order([*steps, *_of_record(row.public_id)]), beside or {})


def _of_record(*names: str) -> list[Step]:
    return _audited(AuditEntry.objects.filter(of__in=names))


def _audited(entries: Any) -> list[Step]:
    return [Step(entry.at, f"{entry.action}, by {entry.by}") for entry in entries.order_by("-id")[:MAX_AUDITED]]


def _life(row: Any) -> list[Step]:
    steps = [Step(row.created_at, "made")]
    if row.deleted_at:
        by = getattr(row, "deleted_by", "")
        steps.append(Step(row.deleted_at, f"deleted by {by}" if by else "deleted"))
    return steps


def _of_job(job: Any) -> list[Step]:
    steps = [Step(job.created_at, "asked for")]
    return [*steps, Step(job.ended_at, str(job.state))] if job.ended_at else [*steps, Step(None, str(job.state))]


def _deliveries(rows: QuerySet[Delivery], most: int, *, order: Sequence[str] = ("id",)) -> list[Delivery]:
    attempts = Prefetch("attempt_log", Attempt.objects.defer("response_headers", "response_excerpt").order_by("n"))
    return list(with_what_keeps_back(rows).prefetch_related(attempts).order_by(*order)[:most])


def _with_attempts(delivery: Delivery) -> dict[str, Any]:
    """Without what was answered, which may hold what mail says."""
    log = [AttemptSerializer(attempt).data for attempt in delivery.attempt_log.all()]
    attempts = [{name: value for name, value in attempt.items() if name != "response"} for attempt in log]
    return {**DeliverySerializer(delivery).data, "attempt_log": attempts}


def _webhooks(rows: QuerySet[Webhook]) -> Rows:
    live = rows.filter(deleted_at=None).select_related("alias", "health").order_by("-id")[:NEWEST]
    return [{"id": one.public_id, "state": one.current_state, "url": one.url or None} for one in live]


def _newest(rows: QuerySet[Email]) -> Rows:
    shown = rows.only("pk", "received_at", "status", "subject", "from_address")[:NEWEST]
    return [
        {
            "id": one.public_id,
            "received_at": _instant(one.received_at),
            "status": one.status,
            "from": one.from_address,
            "subject": one.subject,
        }
        for one in shown
    ]


def _in_order(steps: Iterable[Step]) -> list[Step]:
    """What has not happened yet comes last."""
    known = sorted((step for step in steps if step.at is not None), key=lambda step: step.at)  # type: ignore[arg-type, return-value]  # none is None
    return [*known, *(step for step in steps if step.at is None)]


def _instant(at: datetime | None) -> str | None:
    return InstantField().to_representation(at) if at else None


TELLERS: dict[type[Model], tuple[str, Callable[[str, Any], Iterator[Story]]]] = {
    Domain: ("domain", _of_domain),
    Mailbox: ("mailbox", _of_mailbox),
    Alias: ("alias", _of_alias),
    Rule: ("rule", _of_rule),
    Message: ("message", _of_message),
    Email: ("email", _of_email),
    Attachment: ("attachment", _of_attachment),
    Refusal: ("refusal", _of_refusal),
    Webhook: ("webhook", _of_webhook),
    Event: ("event", _of_event),
    Delivery: ("delivery", _of_one_delivery),
    ReplayJob: ("replay", _of_replay),
    ErasureJob: ("erasure", _of_erasure),
    AliasImport: ("import", _of_import),
    ApiKey: ("api_key", _of_key),
    User: ("person", _of_person),
}
