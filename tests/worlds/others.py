"""What others hold and do, in one of the two worlds."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.test import Client

from emailgistics.common.errors import DomainError
from mailboxes.models import Alias, Email, Mailbox, Message, RawMessage, Rule
from mailboxes.services import provision, quarantine, rule_book
from tests.worlds.asking import call
from tests.worlds.mails import deliver, mail
from tests.worlds.standing import Clock
from tests.worlds.telling import THEIRS
from webhooks.models import Delivery, Webhook
from webhooks.services import erase, pull, replay, replay_jobs, testing, webhooks

THEIR_ADDRESSES = (
    "sales@example.com", "vault@example.org", "inbox@example.com", "box@example.com", "theirs0@example.com",
    "theirs1@example.com", "order-7@example.com", "whoever@example.com", "postmaster@example.com",
)  # fmt: skip
HOUR = timedelta(hours=1)


class Others:
    """Steps, each of which takes numbers that choose. They raise DomainError where there is nothing to do."""

    _clock: Clock
    _mails: int  # so many came for the key
    _client_of_others: Client

    def their_mail(self, to: int, how: int) -> None:
        """Also what the key's mailboxes got, octet for octet, and mail for an alias that is theirs just now."""
        addresses = [THEIR_ADDRESSES[to % len(THEIR_ADDRESSES)]]
        if self._roams() and to % 2:
            addresses = ["roaming@example.com"]
        deliver(mail(max(1, self._mails - to % 3), how), addresses, sender=("ada", "bob")[how % 2])

    def their_alias(self, which: int, how: int) -> None:
        name = ("theirs0", "theirs1", "order-*", "*", "theirs2+tag")[which % 5]
        domain = ("example.com", "example.org")[how % 2]
        provision.create_alias(address=f"{name}@{domain}", mailbox=self._theirs(how), priority=1 + how % 5)

    def their_move(self, which: int, how: int) -> None:
        alias = _some(Alias.objects.live().filter(mailbox__in=_their_mailboxes()).exclude(name="roaming"), which)
        provision.update_alias(alias, mailbox=self._theirs(how))

    def their_end(self, which: int, how: int) -> None:
        """Of an alias, which is made again, or of a mailbox with its mail."""
        if how % 3 == 0:
            provision.delete_mailbox(mailbox_of("box@example.com"), with_mail=True)
            return
        alias = _some(Alias.objects.live().filter(mailbox__in=_their_mailboxes()).exclude(name="offers"), which)
        if alias.name != "roaming":
            provision.delete_alias(alias)
            with suppress(DomainError):  # its address may rest
                provision.create_alias(address=f"{alias.name}@{alias.domain.name}", mailbox=self._theirs(how))

    def their_copies(self, which: int, how: int) -> None:
        """Mail by an alias of the key's comes to them as well, or no longer."""
        alias = alias_of(("help", "both")[which % 2])
        own = [
            copy.mailbox
            for copy in alias.copies.select_related("mailbox")
            if copy.mailbox.local_part in ("support", "team")
        ]
        further = [self._theirs(how)] if how % 4 else []
        provision.update_alias(alias, further_mailboxes=[*further, *own] if how % 2 else [*own, *further])

    def their_webhook(self, which: int, how: int) -> None:
        mailbox = self._theirs(which)
        bindings: tuple[dict[str, Any], ...] = (
            {"mailbox": mailbox}, {"domain": mailbox.domain}, {"alias": alias_of("offers")}, {"mailbox": mailbox},
        )  # fmt: skip
        url = "" if how % 3 == 0 else f"{THEIRS}/{which}"
        form: dict[str, Any] = {
            "payload": ("full", "metadata")[how % 2],
            "attachments": ("links", "inline")[how // 2 % 2],
        }
        webhooks.create_webhook(url=url, **form, **bindings[which % 4])

    def their_upkeep(self, which: int, how: int) -> None:
        """What may be done to a webhook."""
        now, webhook = (
            self._clock.now,
            _some(Webhook.objects.live().filter(created_by=None).select_related("alias"), which),
        )
        if webhook.url.startswith(THEIRS):
            steps: tuple[Callable[[], object], ...] = (
                lambda: webhooks.pause_webhook(webhook), lambda: webhooks.resume_webhook(webhook),
                lambda: webhooks.delete_webhook(webhook), lambda: webhooks.rotate_secret(webhook),
                lambda: testing.send_test(webhook, by="them"),
                lambda: pull.pull(webhook, after=0, limit=10),
                lambda: replay_jobs.start_replay(webhook, since=now - HOUR, until=now, of_state="all", by="them"),
                lambda: webhooks.update_webhook(webhook, headers={"X-Theirs": "1"}, payload="metadata"),
            )  # fmt: skip
            steps[how % len(steps)]()

    def their_rule(self, which: int, how: int) -> None:
        action = Rule.Action.values[which % 4]
        criterion, value = (("sender", "ada@example.net"), ("attachment", ".zip"), ("size", "5000"))[how % 3]
        rule_book.create_rule(action=action, criterion=criterion, value=value, mailbox=self._theirs(which // 4))

    def their_release(self, which: int, _: int) -> None:
        held = Email.objects.filter(mailbox__in=_their_mailboxes(), status=Email.Status.QUARANTINED)
        quarantine.release_email(_some(held.select_related("message"), which), by="them")

    def their_quota(self, size: int, _: int) -> None:
        """Of one that no alias of the key's leads to: that it is full is told to senders by SMTP, of all they sent."""
        provision.update_mailbox(mailbox_of("vault@example.org"), quota_bytes=2**20 + size)

    def their_replay(self, which: int, _: int) -> None:
        email = _some(Email.objects.filter(mailbox__in=_their_mailboxes()).select_related("mailbox"), which)
        replay.replay_email(email, by="them", webhooks=Webhook.objects.filter(url__startswith=THEIRS))

    def their_cancellation(self) -> None:
        """Of all that waits for webhooks, also for those of an alias that is the key's at other times."""
        for delivery in Delivery.objects.filter(event__email__mailbox__in=_their_mailboxes(), state__in=replay.OPEN):
            replay.cancel_delivery(delivery, by="them")

    def their_default(self, which: int, _: int) -> None:
        """Which mailbox of theirs is the default one."""
        mailbox = self._theirs(which)
        provision.update_domain(mailbox.domain, default_mailbox=mailbox)

    def their_erasure(self, which: int, _: int) -> None:
        email = _some(Email.objects.filter(mailbox__in=_their_mailboxes()), which)
        erase.erase_email(email.pk, by="them")

    def their_pause(self, which: int, how: int) -> None:
        provision.update_mailbox(self._theirs(which), is_active=bool(how % 2))

    def their_call(self, which: int, how: int) -> None:
        """With a key of theirs, about things of theirs."""
        mailbox, email = mailbox_of("sales@example.com"), Email.objects.filter(mailbox__in=_their_mailboxes())
        some = email.order_by("id").first()
        paths = [("PATCH", f"/v1/mailboxes/{mailbox.public_id}", {"name": f"Sales {how}"}), ("GET", "/v1/emails", None)]
        if some is not None:
            paths += [("POST", f"/v1/emails/{some.public_id}/{what}", None) for what in ("replay", "revoke-links")]
        method, path, body = paths[which % len(paths)]
        call(self._client_of_others, method, path, None, body)

    def their_many(self, count: int, _: int) -> None:
        """At least a thousand emails at once."""
        now, mailbox = self._clock.now, mailbox_of("sales@example.com")
        messages = [
            Message(received_at=now, size=9, sha256="0" * 64, state="processed") for _ in range(1000 + count % 9)
        ]
        Message.objects.bulk_create(messages)
        RawMessage.objects.bulk_create(RawMessage(message=one, codec="none", data=b"x") for one in messages)
        Email.objects.bulk_create(
            Email(message=one, mailbox=mailbox, received_at=now, size=9, status="processed") for one in messages
        )

    def _theirs(self, which: int) -> Mailbox:
        return mailbox_of(("sales@example.com", "inbox@example.com", "box@example.com", "sales@example.com")[which % 4])

    def _roams(self) -> bool:
        return alias_of("roaming").mailbox.local_part == "sales"


def mailbox_of(address: str) -> Mailbox:
    local_part, _, domain = address.partition("@")
    return Mailbox.objects.select_related("domain").get(local_part=local_part, domain__name=domain)


def alias_of(name: str) -> Alias:
    return Alias.objects.select_related("domain", "mailbox").get(name=name, domain__name="example.com")


def _their_mailboxes() -> QuerySet[Mailbox]:
    return Mailbox.objects.exclude(local_part__in=["support", "team"])


def _some(rows: Any, which: int) -> Any:
    there = list(rows.order_by("id"))
    if not there:
        raise DomainError("There is none.")
    return there[which % len(there)]
