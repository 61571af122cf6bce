"""Erasing an email: nothing of it stays but tombstones, which tell nobody whose it was.

What stands on emails goes first: `webhooks.services.erase` is the whole of it.
"""

from collections.abc import Iterator
from uuid import UUID

from django.db import transaction
from django.db.models import Model, Q, QuerySet

from emailgistics.common import journal, ledger_days, tallies, tombstones
from emailgistics.common.ids import encode_id
from mailboxes.addresses import InvalidAddressError, address_key, shown
from mailboxes.models import Email, Message, PostponedRemoval, Recipient, Refusal, Transcript
from mailboxes.services import quota

EMAIL, RECIPIENT = "email", "recipient"  # what tombstones are of
ERASED, REFUSAL_ERASED = "email.erased", "refusal.erased"  # in the journal
MORE_THAN_ASCII = "[^ -~]"


def hold_email(email_id: UUID) -> Email | None:
    """The email with its message, both locked until the end of the caller's transaction; None if there is none.

    The message first, as who stores what is in it does: he is done by then, or finds his claim lost.
    """
    message_id = Email.objects.filter(pk=email_id).values_list("message_id", flat=True).first()
    if message_id is None:
        return None
    Message.objects.filter(pk=message_id).select_for_update().first()
    return Email.objects.filter(pk=email_id).select_for_update(of=("self",)).select_related("message").first()


def erase_held(email: Email, *, by: str) -> None:
    """Erases an email that `hold_email` gave and that no event is about; its message too, if that has no other.

    The raw is one for all mailboxes that the message went to: it stays as long as one of them has an email of it. The
    transcript names all recipients and goes at once.
    """
    message = email.message
    addresses = email.recipients.values_list("address", flat=True)
    for tombstone in tombstones.bury(EMAIL, [email.public_id], by=by):
        journal.note(ERASED, mark=bytes(tombstone.mark).hex(), key=tombstones.print_of_key(tombstone.key))
    tombstones.bury(RECIPIENT, [recipient_name(message.pk, address) for address in addresses], by=by)
    tallies.count(**quota.removed([email]), **ledger_days.went(ledger_days.EMAILS, [email.pk]))
    PostponedRemoval.objects.filter(pk=email.pk).delete()
    email.delete()
    Transcript.objects.filter(message=message).delete()
    if not message.emails.exists():
        tallies.count(**ledger_days.went(ledger_days.MESSAGES, [message.pk]))
        message.delete()


def was_erased(email_id: UUID) -> bool:
    return bool(tombstones.buried(EMAIL, [encode_id(Email.ID_PREFIX, email_id)]))


def recipient_name(message_id: UUID, address: str) -> str:
    """By which a recipient's tombstone is found: whoever has the 250 knows both."""
    return f"{encode_id(Message.ID_PREFIX, message_id)} {address_key(address)}"


def emails_of(address: str) -> set[UUID]:
    """Emails with that envelope sender, From address or recipient, however it is spelled there.

    A +tag makes another address. It reads every address there is. Raises InvalidAddressError.
    """
    key = _key(address)
    messages = set(_with(key, Message.objects.all(), "mail_from", "pk"))
    found = set(_with(key, Email.objects.all(), "from_address", "pk"))
    found.update(_with(key, Recipient.objects.all(), "address", "email_id"))
    # one by one: a list of them may be longer than a statement can be
    for message in messages:
        found.update(Email.objects.filter(message=message).values_list("pk", flat=True))
    return found


def erase_refusals_of(address: str) -> int:
    """Of mail that was refused or discarded, what is on record from or to that address. Raises InvalidAddressError."""
    key = _key(address)
    rows = Refusal.objects.all()
    found = {*_with(key, rows, "mail_from", "pk"), *_with(key, rows, "recipient", "pk")}
    for pk in found:
        erase_refusal(pk)
    return len(found)


@transaction.atomic
def erase_refusal(pk: UUID) -> None:
    Refusal.objects.filter(pk=pk).delete()
    journal.note(REFUSAL_ERASED, of=encode_id(Refusal.ID_PREFIX, pk))


def newest_unopened() -> UUID | None:
    """The last message that waits to be opened: until then, nobody knows what its From says."""
    return Message.objects.filter(state=Message.State.WAITING).order_by("id").values_list("pk", flat=True).last()


def count_unopened(up_to: UUID) -> int:
    return Message.objects.filter(state=Message.State.WAITING, pk__lte=up_to).count()


def _key(address: str) -> str:
    if "@" not in address:
        raise InvalidAddressError(f"{shown(address)} is not an address; write it like support@example.com.")
    return address_key(address)


def _with(key: str, rows: QuerySet[Model], field: str, wanted: str) -> Iterator[UUID]:
    # the same domain in ASCII is written the same but for case; any other spelling of it has other letters
    domain = key[key.rindex("@") :]
    may_be = Q(**{f"{field}__icontains": domain}) | Q(**{f"{field}__regex": MORE_THAN_ASCII})
    for text, value in rows.filter(may_be).order_by().values_list(field, wanted).iterator():
        if address_key(text) == key:
            yield value
