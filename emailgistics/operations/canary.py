"""A mail of our own through the real port, which has to come back through a webhook, signed.

It goes the way of every other: the listener, a worker, the dispatcher. Its domain is one that exists nowhere (RFC 2606)
and takes mail from TEST_NETWORKS alone. Domain and mailbox are made once and are put away, as what is deleted is,
whenever no canary is under way; the webhook is there only meanwhile, and the mail is erased with all that came of it.
What stays is that a mail was counted, and how the last one went.
"""

import re
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone

from emailgistics.common import leases
from emailgistics.common.access import Actor
from emailgistics.common.errors import ConflictError, DomainError
from emailgistics.common.ids import decode_id
from emailgistics.common.models import Canary
from emailgistics.operations.canary_ways import BY, Listen, Way, open_way
from emailgistics.sending import reachable
from mailboxes.models import Domain, Email, Mailbox, Message
from mailboxes.services import provision
from webhooks import signing
from webhooks.api.waiting import expected, with_what_keeps_back
from webhooks.models import Delivery, Webhook
from webhooks.services import webhooks
from webhooks.services.erase import erase_email

DOMAIN, LOCAL_PART = "doctor.invalid", "canary"
ADDRESS = f"{LOCAL_PART}@{DOMAIN}"
LEASE = "canary"
WITHIN = timedelta(seconds=15)
LOOK_EVERY_S = 0.1
SMTP_WITHIN_S = 5
ACCEPTED_AS = re.compile(rf"{Message.ID_PREFIX}_[0-9a-z]+")
TEXT = (
    "A canary of the doctor's: it shows that mail comes in, is opened, and is told to webhooks. It is erased at once."
)


class CanaryError(Exception):
    """It did not come back: where it stood, and what to do about that."""

    def __init__(self, where: str, remedy: str) -> None:
        super().__init__(where)
        self.where, self.remedy = where, remedy


class CanaryBusyError(ConflictError):
    code = "canary_under_way"


@dataclass(frozen=True, slots=True)
class Flight:
    message: str
    took_ms: int
    how: str


def fly(
    *, smtp: Listen | None = None, within: timedelta = WITHIN, url: str = "", listen: Listen | None = None
) -> Flight:
    """Sends one and waits for it; how it went is written down. url and listen are as in `open_way`.

    smtp is where the listener is; by default at SMTP_HOST and SMTP_PORT. Raises CanaryError, and CanaryBusyError, which
    says nothing about how mail goes.
    """
    at = timezone.now()
    try:
        with _alone(), _nest() as mailbox:
            flight = _fly(mailbox, smtp or (settings.SMTP_HOST, settings.SMTP_PORT), within, url, listen)
    except CanaryError as error:
        _note(at=at, took_ms=None, failure=error.where)
        raise
    _note(at=at, took_ms=flight.took_ms, failure="")
    return flight


def _note(*, failure: str, **values: object) -> None:
    Canary.objects.update_or_create(pk=1, defaults={**values, "failure": failure[:500]})


def _fly(mailbox: Mailbox, smtp: Listen, within: timedelta, url: str, listen: Listen | None) -> Flight:
    try:
        with open_way(url=url, listen=listen) as way, _webhook(mailbox, way) as webhook:
            begun = time.monotonic()
            message = _send(*smtp)
            _wait(message, webhook, way, until=begun + within.total_seconds())
            return Flight(message, round((time.monotonic() - begun) * 1000), way.how)
    except DomainError as error:
        raise CanaryError(error.message, "Give another --canary-url, or none.") from error
    except OSError as error:
        raise CanaryError(f"nothing can listen for it: {error}", "Give another --canary-listen.") from error
    except signing.SignatureError as error:
        raise CanaryError(f"it came back, and its signature does not verify: {error}", SIGNATURE) from error


SIGNATURE = "Have all parts the same ENCRYPTION_KEYS, and is nothing between them that changes requests?"


# --- where it lives


@contextmanager
def _alone() -> Iterator[None]:
    """Two at once would put away each other's mailbox. Raises CanaryBusyError for the later one."""
    with leases.held(LEASE) as lease:
        first = leases.alive().filter(kind=LEASE).order_by("id").values_list("pk", flat=True).first()
        if first != lease.id:
            raise CanaryBusyError("Another canary is under way: somebody else runs the doctor.")
        yield


@contextmanager
def _nest() -> Iterator[Mailbox]:
    """The canary's mailbox, for the block; what is in it afterwards, of an earlier one that was cut short too, goes."""
    mailbox = _take_out()
    try:
        yield mailbox
    finally:
        try:
            _clear(mailbox)
        finally:
            _put_away(mailbox)


@transaction.atomic
def _take_out() -> Mailbox:
    mailbox = Mailbox.objects.filter(domain__name=DOMAIN, local_part=LOCAL_PART).select_related("domain").first()
    if mailbox is None:
        domain = provision.create_domain(name=DOMAIN, is_test=True, default_local_part=LOCAL_PART)
        return Mailbox.objects.select_related("domain").get(domain=domain)
    for rows in (Domain.objects.filter(pk=mailbox.domain_id), Mailbox.objects.filter(pk=mailbox.pk)):
        rows.update(deleted_at=None, deleted_by="", is_active=True)
    mailbox.refresh_from_db()
    return mailbox


@transaction.atomic
def _put_away(mailbox: Mailbox) -> None:
    """Out of all lists, and nothing is taken for it."""
    for rows in (Mailbox.objects.filter(pk=mailbox.pk), Domain.objects.filter(pk=mailbox.domain_id)):
        rows.update(deleted_at=timezone.now(), deleted_by=BY)


def _clear(mailbox: Mailbox) -> None:
    for email_id in list(Email.objects.filter(mailbox=mailbox).values_list("pk", flat=True)):
        erase_email(email_id, by=BY)
    for webhook in Webhook.objects.filter(mailbox=mailbox):
        webhooks.delete_webhook(webhook, by=Actor(BY))
        with suppress(ProtectedError):  # something was made for it this moment; the next one takes it along
            webhook.delete()  # and not only marked: there would be one more for each canary


@contextmanager
def _webhook(mailbox: Mailbox, way: Way) -> Iterator[Webhook]:
    """Raises DomainError for a URL that may not be called."""
    webhook, _ = webhooks.create_webhook(
        url=way.url, mailbox=mailbox, secret=way.secret, description="The doctor's canary; it goes again at once."
    )
    yield webhook


# --- its way


def _send(host: str, port: int) -> str:
    """The id that it was accepted as."""
    mail = EmailMessage()
    mail["From"] = f"Emailgistics <{ADDRESS}>"
    mail["To"] = ADDRESS
    mail["Subject"] = "Canary"
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=DOMAIN)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834
    mail.set_content(TEXT)
    octets = mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))
    try:
        try:
            reply = _hand_in(smtplib.SMTP, host, port, octets)
        except smtplib.SMTPHeloError as error:
            if error.smtp_code not in UNKNOWN:
                raise
            # beside a mail server there may be LMTP alone, which knows neither EHLO nor HELO
            reply = _hand_in(smtplib.LMTP, host, port, octets)
    except smtplib.SMTPException as error:
        raise CanaryError(f"the listener at {host}:{port} did not take it: {error}", NOT_TAKEN) from error
    except OSError as error:
        raise CanaryError(f"the listener at {host}:{port} does not answer: {error}", NO_LISTENER) from error
    found = ACCEPTED_AS.search(reply)
    if found is None:
        raise CanaryError(f"{host}:{port} answered {reply!r}, which is no answer of ours", NO_LISTENER)
    return found[0]


def _hand_in(speaking: type[smtplib.SMTP], host: str, port: int, octets: bytes) -> str:
    """The last reply. Raises SMTPException, OSError."""
    with speaking(reachable(host), port, local_hostname="localhost", timeout=SMTP_WITHIN_S) as client:
        if settings.SMTP_REQUIRE_TLS and speaking is smtplib.SMTP:
            client.starttls()
        client.ehlo_or_helo_if_needed()
        for code, answer in (client.mail(ADDRESS), client.rcpt(ADDRESS), client.data(octets)):
            if code != OK:
                raise smtplib.SMTPResponseException(code, answer)
    return answer.decode(errors="replace")


OK = 250
UNKNOWN = (500, 502)  # as a command: RFC 5321 section 4.2.4
NO_LISTENER = "Is smtpd running, and are SMTP_HOST and SMTP_PORT its own? Otherwise say where it is: --smtp HOST:PORT."
NOT_TAKEN = (
    f"{DOMAIN} takes mail from TEST_NETWORKS alone: is the address in it from which this host connects? Otherwise the "
    "reply says what to do."
)


def _wait(message: str, webhook: Webhook, way: Way, *, until: float) -> None:
    """Raises CanaryError once it cannot come any more, or has not in time; signing.SignatureError."""
    message_id = decode_id(Message.ID_PREFIX, message)
    if message_id is None:
        raise CanaryError(f"the listener answered {message!r}, which is no id of ours", NO_LISTENER)
    while True:
        rows = with_what_keeps_back(Delivery.objects.filter(webhook=webhook, event__email__message=message_id))
        delivery = rows.first()
        if delivery is not None:
            if way.has_arrived(delivery):
                return
            _refuse_failed(message, delivery)
        if time.monotonic() > until:
            raise _where_it_stands(message, message_id, delivery)
        time.sleep(LOOK_EVERY_S)


def _refuse_failed(message: str, delivery: Delivery) -> None:
    """The first attempt says it: nobody waits for the second."""
    attempt = delivery.attempt_log.last()
    if attempt is not None and delivery.state != Delivery.State.DELIVERED:
        why = attempt.detail or attempt.error or f"answered {attempt.status}"
        raise CanaryError(
            f"accepted as {message} and opened; the webhook's attempt failed: {why}",
            "The dispatcher has to reach that address: is it in its WEBHOOK_ALLOW_NETWORKS? See --canary-url, too.",
        )


def _where_it_stands(message: str, message_id: UUID, delivery: Delivery | None) -> CanaryError:
    accepted = f"accepted as {message}"
    if delivery is not None:
        why = expected(delivery).reason or "no dispatcher has taken it"
        return CanaryError(
            f"{accepted} and opened; its delivery is {delivery.state}: {why}",
            "Is a dispatcher running (queue webhooks), and does it reach broker and database? See its log.",
        )
    row = Message.objects.filter(pk=message_id).first()
    if row is None:
        return CanaryError(
            f"{accepted}, and not in this database",
            "The listener uses another database: give all parts the same DATABASE_URL or DATA_DIR.",
        )
    email = row.emails.filter(mailbox__domain__name=DOMAIN).first()
    if row.state == Message.State.WAITING:
        return CanaryError(
            f"{accepted}, and {'being' if row.lease_id else 'still waits to be'} opened",
            "Is a worker running (queue mail), and does it reach broker and database? Its log says what keeps it.",
        )
    kept_back = f": {email.quarantine_reason}" if email and email.quarantine_reason else ""
    return CanaryError(
        f"{accepted}, and {email.status if email else 'gone'}{kept_back}; no webhook was told of it",
        "A rule for all mail may keep it back: `manage.py rules list`.",
    )
