"""An installation of which a key may see a part: what the matrix is asked of."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.db.models import Model
from django.utils import timezone

from emailgistics.common.ids import TypedIdModel, encode_id, uuid7
from emailgistics.common.series import Counts, Kind
from mailboxes.models import (
    Alias,
    Attachment,
    Domain,
    Email,
    EmailContent,
    ErasureJob,
    Mailbox,
    Recipient,
    Refusal,
    Rule,
)
from mailboxes.services import counted, provision, rule_book
from tests.access.operations import KIND_AFTER, Operation
from tests.factories import RAW, make_alias, make_mailbox, make_message
from webhooks.models import Delivery, Event, EventBody, ReplayJob, Webhook
from webhooks.services import replay_jobs, webhooks

Row = TypeVar("Row", bound=TypedIdModel)


@dataclass(slots=True)
class World:
    """Ids by kind: of what the key of `allowed` may see, of what is there but not for it, and of what was deleted."""

    allowed: list[Mailbox] = field(default_factory=list)
    visible: dict[str, str] = field(default_factory=dict)
    foreign: dict[str, list[str]] = field(default_factory=dict)
    deleted: dict[str, list[str]] = field(default_factory=dict)
    # seen by the key, and not to be changed by it: they act on a whole domain, or something that does leads there
    wide: dict[str, list[str]] = field(default_factory=dict)

    def url(self, operation: Operation) -> str:
        """With ids that the key may see."""
        return operation.url([self.visible[kind] for kind in operation.kinds])

    def unknown_url(self, operation: Operation) -> str:
        return operation.url([unknown(kind) for kind in operation.kinds])

    def hidden(self, kind: str) -> list[str]:
        """Ids that are to be the same to the key; the first was never given to anything."""
        return [unknown(kind), *self.foreign[kind], *self.deleted[kind], "x"]

    def some_hidden(self, kind: str) -> list[str]:
        """One of each, for where all of them would be the same question again and again."""
        return [unknown(kind), self.foreign[kind][0], self.deleted[kind][0], "x"]

    def malformed(self, kind: str) -> list[str]:
        """No ids, and ids of another kind."""
        own = self.visible[kind]
        bare = own.rpartition("_")[2]
        spoiled = [
            "0", "-1", "null", "*", kind, f"{kind}_", bare, own.upper(), own[:-1], own + "0", f" {own}", f"{own} ",
            f"{kind}_{'0' * 26}", f"{kind}_7{'z' * 25}", f"{kind}_8{'0' * 25}", f"{kind}_{kind}_{bare}",
            f"{kind}-{bare}", str(2**63), str(uuid7()), "mbx_ß", "\N{FULLWIDTH DIGIT ONE}" * 26, "\x00",
            f"{own}\x00", "' OR 1=1 --", "x" * 2000,
        ]  # fmt: skip
        return [*(id_ for other, id_ in self.visible.items() if other != kind), *spoiled]

    def invisible(self, kind: str) -> list[str]:
        """All of these, which are to be the same to the key; the first was never given to anything."""
        return [*self.hidden(kind), *self.malformed(kind)]


def unknown(kind: str) -> str:
    """An id that was never given to anything."""
    return encode_id(kind, uuid7())


def make_world() -> World:
    """support@example.com, and what belongs to it, is for the key; sales@ beside it and all of example.org are not."""
    world = World()
    mine, gone = make_mailbox(), make_mailbox(address="gone@example.com")
    caught = make_mailbox(address="caught@example.com")
    sales, elsewhere = make_mailbox(address="sales@example.com"), make_mailbox(address="secret@example.org")
    left = make_mailbox(address="left@example.edu")  # the only allowed one there, and deleted
    # as they are while keys are made; two of them are deleted below
    world.allowed = list(Mailbox.objects.filter(pk__in=[mine.pk, gone.pk, left.pk, caught.pk]))
    help_, offers = make_alias(mailbox=mine), make_alias(address="offers@example.com", mailbox=sales)
    secrets = make_alias(address="secrets@example.org", mailbox=elsewhere)
    old_alias = make_alias(address="old@example.com", mailbox=mine)
    hook, other_hook = _webhook(alias=help_), _webhook(mailbox=sales)
    domain_hook, old_hook = _webhook(domain=mine.domain), _webhook(mailbox=mine)
    secret_hook, gone_hook = _webhook(alias=secrets), _webhook(mailbox=gone)
    email, sold = _email(mine), _email(sales)
    hidden, lost = _email(elsewhere), _email(gone)
    dropped = provision.create_domain(name="example.net")
    catch_all, tagged = make_alias(address="*@example.com", mailbox=caught), _tagged(caught)
    wide_rules = [_rule(alias=catch_all), _rule(alias=tagged)]
    rules = [_rule(), _rule(domain=mine.domain), _rule(mailbox=sales), _rule(alias=offers), _rule(alias=secrets)]
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
    _hide(world.foreign, *deliveries, *jobs, *rules)
    _hide(world.deleted, dropped, gone, left, old_alias, lost, lost.attachments.get(), old_hook, gone_hook, *ended)
    _hide(world.deleted, *ended_jobs, *ended_rules)
    # for keys of all mailboxes alone, whatever it is of
    _show_too(world, _refusal("help@example.com"))
    _hide(world.foreign, _refusal("sales@example.com"))
    _hide(world.deleted, gone_refusal := _refusal("gone@example.com"))
    gone_refusal.delete()
    _hide(world.wide, caught, catch_all, tagged, *wide_rules)
    provision.delete_domain(dropped, with_mail=True)
    provision.delete_mailbox(gone, with_mail=True)
    provision.delete_mailbox(left, with_mail=True)
    _hide(world.foreign, *ErasureJob.objects.all())  # those that no key has asked for
    provision.delete_alias(old_alias)
    webhooks.delete_webhook(old_hook)
    rule_book.delete_rule(ended_rules[0])
    assert set(KIND_AFTER.values()) == world.visible.keys() == world.foreign.keys() == world.deleted.keys()
    return world


def grow(world: World, *, rows: int) -> None:
    """Much that is not for the key, in the domain that it sees and for the webhook that it sees."""
    sales, org = Mailbox.objects.get(local_part="sales"), Domain.objects.get(name="example.org")
    offers, hook = Alias.objects.get(name="offers"), Webhook.objects.get(alias__name="help")
    sold = Email.objects.get(mailbox=sales)
    numbers = range(rows)
    _copied(org, ({"name": f"d{n}.example.net"} for n in numbers))
    _copied(sales, ({"local_part": f"box{n}"} for n in numbers))
    _copied(offers, ({"name": f"alias{n}"} for n in numbers))
    _copied(Rule.objects.get(mailbox=sales), ({"value": f"spam{n}@example.net"} for n in numbers))
    _copied(Refusal.objects.get(recipient="sales@example.com"), ({"recipient": f"box{n}@example.com"} for n in numbers))
    _copied(ReplayJob.objects.filter(webhook=hook)[0], ({"mailbox_ids": None} for _ in numbers))
    hooks = _copied(Webhook.objects.get(mailbox=sales), ({} for _ in numbers))
    emails = _copied(sold, ({"message_id": one.pk} for one in _copied(sold.message, ({} for _ in numbers))))
    EmailContent.objects.bulk_create(EmailContent(email=email, text="Not for the key.") for email in emails)
    Recipient.objects.bulk_create(
        Recipient(
            message_id=one.message_id, email=one, mailbox=sales, alias=offers, address=offers.address, kind="exact"
        )
        for one in emails
    )
    _copied(sold.attachments.get(), ({"email_id": email.pk} for email in emails))
    event = Event.objects.filter(email=sold)[0]
    events = _copied(event, ({"email_id": email.pk} for email in emails))
    bodies = EventBody.objects.bulk_create(EventBody(event=one, form="full", body=b"{}") for one in events)
    delivery = Delivery.objects.filter(event=event)[0]
    for webhook_ids in ([one.pk for one in hooks], [hook.pk] * rows):
        named = zip(events, bodies, webhook_ids, strict=True)
        _copied(delivery, ({"event_id": e.pk, "body_id": body.pk, "webhook_id": w} for e, body, w in named))
    _count(sales, offers, times=rows)


def _count(mailbox: Mailbox, alias: Alias, *, times: int) -> None:
    """All that there is to count of mail, once as sums and once as entries."""
    counts = Counts()
    for kind in set(Kind) - {Kind.API_CALLS}:
        counts.add(kind, subject=mailbox.pk, parts=[alias.pk], at=timezone.now(), times=times, amount=times)
    counts.write()
    counted.fold()
    counts.write()


def everything() -> list[list[dict[str, Any]]]:
    """What no refused request may have changed."""
    models: list[type[Model]] = [
        Domain, Mailbox, Alias, Rule, Refusal, Webhook, Email, Attachment, Delivery, ReplayJob, ErasureJob,
    ]  # fmt: skip
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def _show_too(world: World, thing: Any) -> None:
    world.visible[thing.ID_PREFIX] = thing.public_id


def _refusal(recipient: str) -> Refusal:
    return Refusal.objects.create(
        at=timezone.now(),
        source="smtp",
        recipient=recipient,
        reply="550 5.1.1 no such address",
        code="unknown_recipient",
    )


def _show(world: World, *things: Any) -> None:
    world.visible = {thing.ID_PREFIX: thing.public_id for thing in things}


def _hide(ids: dict[str, list[str]], *things: Any) -> None:
    for thing in things:
        ids.setdefault(thing.ID_PREFIX, []).append(thing.public_id)


def _copied(row: Row, changes: Iterable[dict[str, Any]]) -> list[Row]:
    """The row again with each of these changes."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return type(row)._default_manager.bulk_create(type(row)(**{**values, "id": uuid7(), **one}) for one in changes)


def _tagged(mailbox: Mailbox) -> Alias:
    """Takes a part of another address's mail."""
    return make_alias(address="caught+x@example.com", mailbox=mailbox)


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
