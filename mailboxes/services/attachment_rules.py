"""What rules say of mail once its attachments are known: asked by who stores what was parsed, in his transaction.

The sender was told 250 long ago. So what is blocked is kept back, and what is discarded leaves a refusal for each
recipient in the place of the email.

Where not all attachments are known, because there are too many of them, because some stand where they were not looked
for, or because the mail could not be opened at all, no rule may be got round by that: if one that stops some attachment
would apply, the email is kept back until somebody has looked at it. Of a parked mail, too, nobody is told then. It is
never discarded for what it may have in it, and is judged once more when it is opened after all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from emailgistics.common import ledger_days, tallies
from emailgistics.common.ids import encode_id
from mailboxes.mime import Defect, ParsedMail
from mailboxes.models import Email, Message, Recipient, Refusal, Rule, Transcript
from mailboxes.services import quota, rule_values, rules
from mailboxes.services.envelope import network_of
from mailboxes.services.rule_values import Criterion
from mailboxes.services.rules import TAKE, Action, Facts, Place, Verdict

# there may be files that nobody has seen, or seen the names of
_HIDING = frozenset(
    (
        Defect.TOO_MANY_ATTACHMENTS,
        Defect.TOO_MANY_PARTS,
        Defect.TOO_DEEP,
        Defect.TOO_MANY_HEADERS,
        Defect.HEADER_TOO_LARGE,
    )
)
_STRICTEST_FIRST = (Action.DISCARD, Action.BLOCK, Action.QUARANTINE, Action.ALLOW)


def verdicts_of(
    message: Message, emails: Sequence[Email], recipients: Iterable[Recipient], parsed: ParsedMail
) -> dict[UUID, Verdict]:
    """By email, of those for which an attachment decides. One query, none without attachments; one more if some hide.

    An email is stopped only if every recipient that led to it says so, of whom the mildest decides. Of an email,
    mailbox is loaded; of a recipient alias.
    """
    places = _places_of(emails, recipients)
    found = _of_known(message, places, parsed)
    why = _why_unknown(parsed)
    if not why:
        return found
    for email in emails:
        verdict = found.get(email.pk)
        if verdict and verdict.action != Action.ALLOW:
            continue
        may_be_stopped = _of_unknown(message, places.get(email.pk, ()), why)
        if may_be_stopped is None:
            continue
        if email.quarantine_reason:
            found.pop(email.pk, None)  # it stays kept back for what it was kept back for
        else:
            found[email.pk] = may_be_stopped
    return found


def verdicts_once_known(
    message: Message, emails: Sequence[Email], recipients: Iterable[Recipient], parsed: ParsedMail
) -> dict[UUID, Verdict]:
    """The same of mail that could not be opened before, and is there to be read now.

    What was kept back only because its attachments were unknown is let go if they do no harm. Of what somebody released
    nothing is said. What others were told of is not discarded any more, but kept back.
    """
    still_judged = [email for email in emails if email.released_at is None]
    rule_ids = {email.quarantine_rule_id for email in still_judged if email.quarantine_rule_id}
    of_attachments = set(
        Rule.objects.filter(pk__in=rule_ids, criterion=Criterion.ATTACHMENT).values_list("pk", flat=True)
    )
    let_go: dict[UUID, Verdict] = {}
    for email in still_judged:
        if email.quarantine_rule_id in of_attachments:
            email.quarantine_reason, email.quarantine_rule_id = "", None
            let_go[email.pk] = TAKE
    found = let_go | verdicts_of(message, still_judged, recipients, parsed)
    told = {email.pk for email in still_judged if email.status != Email.Status.QUARANTINED}
    return {
        pk: replace(verdict, action=Action.QUARANTINE) if pk in told and verdict.action == Action.DISCARD else verdict
        for pk, verdict in found.items()
    }


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
    tallies.count(
        emails_discarded=len(verdicts), **quota.removed(going), **ledger_days.went(ledger_days.EMAILS, verdicts)
    )
    if message.emails.exists():
        return True
    tallies.count(messages_discarded=1, **ledger_days.went(ledger_days.MESSAGES, [message.pk]))
    Message.objects.filter(pk=message.pk).delete()  # the object stays what it is: all of this may be undone
    return False


def _places_of(emails: Sequence[Email], recipients: Iterable[Recipient]) -> dict[UUID, list[Place]]:
    mailboxes = {email.pk: email.mailbox for email in emails}
    places: dict[UUID, list[Place]] = {}
    for recipient in recipients:
        if recipient.email_id in mailboxes:
            mailbox, alias = mailboxes[recipient.email_id], recipient.alias
            domain_id = alias.domain_id if alias else mailbox.domain_id
            places.setdefault(recipient.email_id, []).append(Place(domain_id, mailbox.pk, recipient.alias_id))
    return places


def _of_known(message: Message, places: Mapping[UUID, Sequence[Place]], parsed: ParsedMail) -> dict[UUID, Verdict]:
    files = dict.fromkeys((one.filename, one.content_type, one.detected_type) for one in parsed.attachments)
    if not files:
        return {}
    of_files = [rule_values.values_of_file(*file) for file in files]
    of_envelope = rule_values.values_of_envelope(message.mail_from, message.client_ip)
    book = rules.look_up(
        (place for some in places.values() for place in some),
        {*of_envelope, *(value for values in of_files for value in values)},
    )
    if not any(book.has(Criterion.ATTACHMENT, place) for some in places.values() for place in some):
        return {}
    facts = [Facts({**of_envelope, **values}, message.size) for values in of_files]
    found = {pk: _mildest([_of_files(book, place, facts) for place in some]) for pk, some in places.items()}
    return {pk: verdict for pk, verdict in found.items() if verdict.criterion == Criterion.ATTACHMENT}


def _why_unknown(parsed: ParsedMail) -> str:
    """The defects by which attachments may be there that nobody knows of; empty if all are known."""
    if parsed.status == "failed":
        return ", ".join(parsed.defects)
    return ", ".join(defect for defect in parsed.defects if defect in _HIDING)


def _of_unknown(message: Message, places: Sequence[Place], why: str) -> Verdict | None:
    """What keeps the mail back if, of each place, some rule would stop some attachment; None if it may pass."""
    of_envelope = rule_values.values_of_envelope(message.mail_from, message.client_ip)
    book = rules.look_up(places, of_envelope, whole=(Criterion.SIZE, Criterion.ATTACHMENT))
    stopping = [_that_may_stop(book, place, Facts(of_envelope, message.size)) for place in places]
    first = next(iter(stopping), None)
    if first is None or None in stopping:
        return None
    reason = f"its attachments are not all known ({why}), and {first.reason}"
    return Verdict(Action.QUARANTINE, first.rule_id, reason[: rules.MAX_REASON_LENGTH], Criterion.ATTACHMENT)


def _that_may_stop(book: rules.Book, place: Place, facts: Facts) -> Verdict | None:
    """The first verdict against some file, of those that rules of this place speak of."""
    of_value: dict[tuple[tuple[str, UUID | None], str], list[rules.Found]] = {}
    others: dict[tuple[str, UUID | None], list[rules.Found]] = {}
    for scope in place.scopes:
        for rule in book.by_scope.get(scope, ()):
            if rule.criterion == Criterion.ATTACHMENT:
                of_value.setdefault((scope, rule.value), []).append(rule)
            else:
                others.setdefault(scope, []).append(rule)
    for value in dict.fromkeys(value for _, value in of_value):
        values = rule_values.values_of_any_file(value)
        # only those that can fit, so that many rules are not each held against all of them
        page = {
            scope: others.get(scope, []) + [rule for _, one in values for rule in of_value.get((scope, one), ())]
            for scope in place.scopes
        }
        verdict = rules.Book(page).verdict(place, Facts({**facts.values, **values}, facts.size))
        if verdict.criterion == Criterion.ATTACHMENT and verdict.action != Action.ALLOW:
            return verdict
    return None


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
