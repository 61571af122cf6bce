"""What rules say of mail once its attachments are known: asked by who stores what was parsed, in his transaction.

The sender was told 250 long ago. So what is blocked is kept back, and what is discarded leaves a refusal for each
recipient in the place of the email.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.utils import timezone

from emailgistics.common import tallies
from emailgistics.common.ids import encode_id
from mailboxes.mime import ParsedMail
from mailboxes.models import Email, Message, Recipient, Refusal, Transcript
from mailboxes.services import quota, rule_values, rules
from mailboxes.services.envelope import network_of
from mailboxes.services.rule_values import Criterion
from mailboxes.services.rules import TAKE, Action, Facts, Place, Verdict

_STRICTEST_FIRST = (Action.DISCARD, Action.BLOCK, Action.QUARANTINE, Action.ALLOW)


def verdicts_of(
    message: Message, emails: Sequence[Email], recipients: Iterable[Recipient], parsed: ParsedMail
) -> dict[UUID, Verdict]:
    """By email, of those for which an attachment decides. One query, none without attachments.

    An email is stopped only if every recipient that led to it says so, of whom the mildest decides. Of an email,
    mailbox is loaded; of a recipient alias.
    """
    files = dict.fromkeys((one.filename, one.content_type) for one in parsed.attachments)
    if not files:
        return {}
    of_files = [rule_values.values_of_file(*file) for file in files]
    of_envelope = rule_values.values_of_envelope(message.mail_from, message.client_ip)
    mailboxes = {email.pk: email.mailbox for email in emails}
    places: dict[UUID, list[Place]] = {}
    for recipient in recipients:
        mailbox, alias = mailboxes[recipient.email_id], recipient.alias
        domain_id = alias.domain_id if alias else mailbox.domain_id
        places.setdefault(recipient.email_id, []).append(Place(domain_id, mailbox.pk, recipient.alias_id))
    book = rules.look_up(
        (place for some in places.values() for place in some),
        {*of_envelope, *(value for values in of_files for value in values)},
    )
    if not any(book.has(Criterion.ATTACHMENT, place) for some in places.values() for place in some):
        return {}
    facts = [Facts({**of_envelope, **values}, message.size) for values in of_files]
    found = {pk: _mildest([_of_files(book, place, facts) for place in some]) for pk, some in places.items()}
    return {pk: verdict for pk, verdict in found.items() if verdict.criterion == Criterion.ATTACHMENT}


def obey(email: Email, verdict: Verdict) -> None:
    """Keeps it back, or no longer. Not for what is discarded."""
    is_stopped = verdict.action != Action.ALLOW
    email.quarantine_reason, email.quarantine_rule_id = (verdict.reason, verdict.rule_id) if is_stopped else ("", None)
    email.save(update_fields=["quarantine_reason", "quarantine_rule"])


def discard(
    message: Message, emails: Iterable[Email], verdicts: Mapping[UUID, Verdict], recipients: Iterable[Recipient]
) -> bool:
    """Removes those of the emails that have a verdict, and their message with the last one. False if that is gone."""
    transcript = Transcript.objects.filter(message=message).first()
    Refusal.objects.bulk_create(
        Refusal(
            at=timezone.now(),
            outcome=Refusal.Outcome.DISCARDED,
            source=message.source,
            network=network_of(message.client_ip) if message.client_ip else "",
            client_ip=message.client_ip,
            helo=message.helo,
            mail_from=message.mail_from,
            recipient=recipient.address,
            reply=f"250 2.0.0 accepted as {encode_id(Message.ID_PREFIX, message.pk)}, and discarded as a rule says",
            code="rule",
            rule_id=verdicts[recipient.email_id].rule_id,
            size=message.size,
            sha256=message.sha256,
            transcript=transcript.lines if transcript else [],
        )
        for recipient in recipients
        if recipient.email_id in verdicts
    )
    Email.objects.filter(pk__in=list(verdicts)).delete()
    going = [email for email in emails if email.pk in verdicts]
    tallies.count(emails_discarded=len(verdicts), **quota.removed(going))
    if message.emails.exists():
        return True
    message.delete()
    tallies.count(messages_discarded=1)
    return False


def _of_files(book: rules.Book, place: Place, facts: Sequence[Facts]) -> Verdict:
    verdicts = [book.verdict(place, one) for one in facts]
    # first what an attachment decides, of all that say the same
    return min(
        verdicts,
        key=lambda one: (_STRICTEST_FIRST.index(one.action), one.criterion != Criterion.ATTACHMENT),
        default=TAKE,
    )


def _mildest(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda one: _STRICTEST_FIRST.index(one.action))
