"""An installation in which every kind of thing has rows, and texts are as long and as odd as they come."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from apikeys.models import KeyNotice
from emailgistics.common.access import Scope
from emailgistics.common.models import Lease
from mailboxes.models import Alias, Email, Mailbox, Refusal
from mailboxes.services import provision, rule_book
from tests.apikeys.factories import make_ended_key, make_key
from tests.factories import in_days, make_alias, make_domain, make_email, make_mailbox, make_webhook
from tests.shell import ROOT
from tests.webhooks.browsing import make_job
from webhooks.models import Attempt, Delivery, Notice, Webhook

NAMED = ("invoice", "alternative_with_picture", "bounce", "invitation", "japanese")
LONG = "x" * 52  # where a name is as long as it may be, and has no place to break
SUBJECTS = (
    "Order 4711: where is it?",
    "=?utf-8?B?0KHRh9GR0YIg0L3QsCDQvtC/0LvQsNGC0YMg4oSWIDQ3MTE=?=",
    "=?utf-8?B?2YHYp9iq2YjYsdipINix2YLZhSA0NzEx?=",
    "Re: Re: Fwd: A subject that is as long as people write them when they put all they want to say into this one line",
    "<script>alert(1)</script>",
)
RAW = """From: {name} <{local}@example.net>
To: support@example.com
Subject: {subject}
Date: Mon, 01 Jun 2026 10:00:00 +0200
Message-ID: <{n}@example.net>

Hello,

the order has not come yet. Could you look into it?

{name}
"""


@dataclass(frozen=True, slots=True)
class Populated:
    support: Mailbox
    webhook: Webhook
    failing: Webhook


def populate(*, long: str = LONG, receiver: str = "http://127.0.0.1:9") -> Populated:
    with override_settings(WEBHOOK_ALLOW_NETWORKS=["127.0.0.1/32"]):
        support, others = _addresses(long)
        webhook, failing = _webhooks(support, others, f"{receiver}/hooks/mail", f"{receiver}/crm-{long}?token={long}")
        _mail(long)
        _deliveries(webhook, failing)
        _keys(support)
        _installation()
    return Populated(support, webhook, failing)


def _addresses(long: str) -> tuple[Mailbox, list[Mailbox]]:
    make_domain(name="tests.example.org")
    support = _mailbox("support")
    others = [_mailbox(name) for name in ("sales", "billing", "jobs", f"contact-{long}")]
    for name in ("help", "hello", "orders-*", f"sales-{long}"):
        if not Alias.objects.live().filter(name=name, domain__name="example.com").exists():
            make_alias(address=f"{name}@example.com", mailbox=support)
    provision.delete_mailbox(make_mailbox(address="former@example.com"), with_mail=False)
    for values in ({"action": "block"}, {"action": "quarantine", "mailbox": support}):
        rule_book.create_rule(criterion="sender", value=f"spam{len(values)}@example.net", **values)
    return support, others


def _mailbox(name: str) -> Mailbox:
    """It may be there already, as part of the sample of a first start."""
    existing = Mailbox.objects.live().filter(local_part=name, domain__name="example.com").first()
    return existing or make_mailbox(address=f"{name}@example.com")


def _webhooks(support: Mailbox, others: list[Mailbox], good: str, bad: str) -> tuple[Webhook, Webhook]:
    webhook = make_webhook(mailbox=support, url=good)
    failing = make_webhook(mailbox=others[0], url=bad)
    Webhook.objects.filter(pk=failing.pk).update(description="To the old CRM, until it is gone")
    return webhook, failing


def _mail(long: str) -> None:
    for name in NAMED:
        make_email(raw=(ROOT / "tests" / "emails" / f"{name}.eml").read_bytes())
    for n, subject in enumerate((*SUBJECTS, f"Depot {long}: the keys are missing")):
        make_email(raw=_written(subject, n, third=long.capitalize()))
    parked, quarantined = Email.objects.all()[:2]
    Email.objects.filter(pk=parked.pk).update(status=Email.Status.PARKED)
    Email.objects.filter(pk=quarantined.pk).update(
        status=Email.Status.QUARANTINED, quarantine_reason="A rule for spam@example.net"
    )
    for n, (recipient, code) in enumerate((("nobody@example.com", "unknown_recipient"), (f"{long}@x", "relay_denied"))):
        Refusal.objects.create(
            at=timezone.now() - timedelta(minutes=n), source="smtp", recipient=recipient, mail_from="a@example.net",
            helo="mx.example.net", network="192.0.2.0/24", reply="550 5.1.1 There is no such address here",
            code=code, transcript=[[1, "C", "MAIL FROM:<a@example.net>"], [2, "S", "250 OK"]],
        )  # fmt: skip


def _written(subject: str, n: int, *, third: str = "Emmy Noether") -> bytes:
    text = RAW.format(name=("Ada Lovelace", "Grace Hopper", third)[n % 3], local=f"p{n}", subject=subject, n=n)
    return text.replace("\n", "\r\n").encode()


def _deliveries(webhook: Webhook, failing: Webhook) -> None:
    now = timezone.now()
    for n, state in enumerate(Delivery.State):
        done = {"delivered_at": now} if state == Delivery.State.DELIVERED else {}
        for hook in (webhook, failing):
            assert hook.mailbox is not None
            email = make_email(raw=_written(f"Order {4712 + n}", n), to=hook.mailbox.address)
            delivery = Delivery.objects.get(event__email=email, webhook=hook)
            Delivery.objects.filter(pk=delivery.pk).update(state=state, attempts=n % 3 + 1, **done)
            for attempt in range(1, n % 3 + 2):
                Attempt.objects.create(
                    delivery=delivery, n=attempt, started_at=now - timedelta(minutes=10 - attempt),
                    **_answer(hook == failing),
                )  # fmt: skip
    Notice.objects.create(webhook=failing, kind=Notice.Kind.FAILING, text="It fails since 10 hours.", at=now)
    make_job(webhook)


def _answer(is_bad: bool) -> dict[str, Any]:
    return {"status": 503 if is_bad else 200, "total_ms": 3210 if is_bad else 41}


def _keys(support: Mailbox) -> None:
    make_key(mailboxes=[support], name="Helpdesk", scopes=[Scope.EMAILS_READ], expires_at=in_days(90))
    soon, _ = make_key(name="Nightly report of the sales of all shops", expires_at=in_days(5))
    make_ended_key(mailboxes=[support], revoked_at=in_days(-3))
    KeyNotice.objects.create(api_key=soon, kind=KeyNotice.Kind.AGED_90, told_at=timezone.now())


def _installation() -> None:
    for kind in ("mail", "webhooks"):
        Lease.objects.create(kind=kind, host="worker.example.net", pid=len(kind), seen_at=timezone.now())
    User.objects.create_user("ada", "ada@example.com", first_name="Ada", last_name="Lovelace", is_staff=True)
