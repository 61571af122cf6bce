"""Mail that a rule keeps back: letting it go, and what is said of why it was kept."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from emailgistics.common.errors import ConflictError, NotFoundError
from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from mailboxes import raw
from mailboxes.models import Email, EmailContent, Message, Recipient, Rule
from mailboxes.services import counted
from mailboxes.signals import News, tell

log = get_logger(__name__)

UNNAMED = "a rule of this installation keeps it back"  # to those who may not know of the rule


class NotQuarantinedError(ConflictError):
    code = "not_quarantined"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why an email is kept back, or was until it was released."""

    reason: str
    rule_id: str | None


def release_email(email: Email, *, by: str) -> Email:
    """Lets it go: webhooks are told of it as of any mail, in the same transaction, once however often it is asked for.

    Of one that was released before, nothing is changed. Raises NotQuarantinedError for any other, NotFoundError if it
    was erased meanwhile.
    """
    octets = _octets(email)  # before the transaction: it is read from afar, perhaps, and SQLite has one writer
    with transaction.atomic():
        # the message first, as who erases it or opens it again does
        list(Message.objects.filter(pk=email.message_id).select_for_update(no_key=True))
        rows = Email.objects.filter(pk=email.pk).select_related("message", "mailbox__domain")
        held = rows.select_for_update(of=("self",), no_key=True).first()
        if held is None:
            raise NotFoundError("This email was erased.")
        if held.status == Email.Status.QUARANTINED:
            _let_go(held, octets)
            log.info("email.released", email=held.public_id, by=by)
        elif held.released_at is None:
            raise NotQuarantinedError(_why_not(held))
    return held


def _let_go(email: Email, octets: bytes | None) -> None:
    is_parked = email.message.state == Message.State.PARKED
    email.status = Email.Status.PARKED if is_parked else Email.Status.PROCESSED
    email.released_at = timezone.now()
    email.save(update_fields=["status", "released_at"])
    recipients = list(Recipient.objects.filter(email=email).select_related("alias__domain"))
    counted.became([email], recipients, at=email.released_at)
    if email.mailbox.deleted_at is not None or not EmailContent.objects.filter(email=email).exists():
        return  # nobody may hear of it, or nothing is left to tell
    tell([News(email, recipients, list(email.attachments.order_by("position")), octets)])


def quarantine_of(email: Email, *, knows_all_rules: bool) -> Quarantine | None:
    """Null of mail that no rule ever kept back. Needs quarantine_rule and its alias.

    Whoever sees an email knows the rules of its mailbox and of the aliases that belong to it; of wider ones only who
    may see everything.
    """
    if not email.quarantine_reason:
        return None
    rule = email.quarantine_rule
    is_known = knows_all_rules or (rule is not None and _belongs_to(rule, email))
    if not is_known:
        return Quarantine(UNNAMED, None)
    rule_id = encode_id(Rule.ID_PREFIX, rule.pk) if rule and rule.deleted_at is None else None
    return Quarantine(email.quarantine_reason, rule_id)


def _belongs_to(rule: Rule, email: Email) -> bool:
    return rule.mailbox_id == email.mailbox_id or (rule.alias is not None and rule.alias.mailbox_id == email.mailbox_id)


def _why_not(email: Email) -> str:
    if email.status == Email.Status.WAITING and email.quarantine_reason:
        return "This email is still to be opened; release it in a moment."
    return "This email is not in quarantine."


def _octets(email: Email) -> bytes | None:
    try:
        return raw.raw_of(email)
    except raw.UNREADABLE:
        return None  # as who stores what was parsed: it is told of without them
