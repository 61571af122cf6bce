"""What emails are found by: written in the transaction that stores what was parsed, and gone with the email.

Two sets of words are kept apart, because a key without emails:content must not learn by searching what it may not
read: `log_words` of what the log shows, `all_words` of what the mail says besides.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from mailboxes import mime
from mailboxes.addresses import address_key
from mailboxes.models import MAX_KEY, Attachment, Email, EmailContent, Recipient, SearchEntry
from mailboxes.models.search import IN_SUBJECT, mailbox_word
from mailboxes.words import MAX_TEXT, words

AT_ONCE = 200  # emails of one transaction
COLUMNS = ("from_key", "from_domain", "message_id", "has_attachment", "log_words", "all_words")

Row = TypeVar("Row", Recipient, Attachment)


def new_entry(
    email: Email, content: EmailContent, recipients: Iterable[Recipient], attachments: Iterable[Attachment]
) -> SearchEntry:
    """What an email is found by, unsaved. Needs its message."""
    key = address_key(email.from_address)[:MAX_KEY] if email.from_address else ""
    where, log = mailbox_word(email.mailbox_id), words(*_in_log(email, content, recipients))
    everything = words(*_in_log(email, content, recipients), *_in_content(content, attachments))
    in_subject = [f"{IN_SUBJECT}{word}" for word in words(email.subject)]
    return SearchEntry(
        email=email,
        mailbox_id=email.mailbox_id,
        from_key=key,
        from_domain=from_domain(key),
        message_id=message_id_key(email.message_id_header),
        has_attachment=email.has_attachment,
        log_words=[where, *in_subject, *log],
        all_words=[where, *everything],
    )


def index(
    email: Email, content: EmailContent, recipients: Iterable[Recipient], attachments: Iterable[Attachment]
) -> None:
    """Writes what the email is found by, over what was there. Needs its message."""
    entry = new_entry(email, content, recipients, attachments)
    SearchEntry.objects.bulk_create([entry], update_conflicts=True, unique_fields=["email"], update_fields=COLUMNS)


def index_what_is_missing() -> Iterator[int]:
    """For mail of an older release, which wrote no such rows: the newest first, and how many it was, some at a time.

    Each time in a transaction of its own, beside whatever else goes on; what is there already is left as it is.
    """
    below: UUID | None = None
    while some := _some_below(below):
        below = some[-1]
        yield _index_missing(some)


def index_what_is_left(emails: Sequence[Email]) -> None:
    """Of emails whose content was removed: nothing finds them by it any more. Needs their messages."""
    recipients = _by_email(Recipient.objects.filter(email__in=emails))
    entries = [new_entry(email, EmailContent(email=email), recipients[email.pk], ()) for email in emails]
    SearchEntry.objects.bulk_create(entries, update_conflicts=True, unique_fields=["email"], update_fields=COLUMNS)


def from_domain(key: str) -> str:
    """What stands behind the @ of an address key; empty for what is no address."""
    return key.rpartition("@")[2] if "@" in key else ""


def message_id_key(text: str) -> str:
    """A Message-ID with or without its angle brackets, as it is looked for."""
    return text.strip().removeprefix("<").removesuffix(">").strip()[:MAX_KEY]


def _some_below(below: UUID | None) -> list[UUID]:
    rows = Email.objects.exclude(status=Email.Status.WAITING).order_by("-pk")
    if below is not None:
        rows = rows.filter(pk__lt=below)
    return list(rows.values_list("pk", flat=True)[:AT_ONCE])


@transaction.atomic
def _index_missing(ids: Sequence[UUID]) -> int:
    # locked: who opens one of them again, or erases it, comes before this or after it
    locked = Email.objects.filter(pk__in=ids).select_related("message").select_for_update(of=("self",), no_key=True)
    emails = {email.pk: email for email in locked.order_by("pk")}
    _index_recipients(emails)
    there = set(SearchEntry.objects.filter(pk__in=ids).values_list("pk", flat=True))
    missing = [email for pk, email in emails.items() if pk not in there]
    contents = EmailContent.objects.in_bulk([email.pk for email in missing])
    recipients = _by_email(Recipient.objects.filter(email__in=missing))
    attachments = _by_email(Attachment.objects.filter(email__in=missing))
    made = [
        # what an email said may be gone; the log is not
        new_entry(
            email, contents.get(email.pk) or EmailContent(email=email), recipients[email.pk], attachments[email.pk]
        )
        for email in missing
    ]
    SearchEntry.objects.bulk_create(made)
    return len(made)


def _index_recipients(emails: dict[UUID, Email]) -> None:
    rows = list(Recipient.objects.filter(email__in=emails, mailbox=None))
    for row in rows:
        row.mailbox_id = emails[row.email_id].mailbox_id
        row.address_key = address_key(row.address)[:MAX_KEY]
    Recipient.objects.bulk_update(rows, ["mailbox", "address_key"])


def _by_email(rows: Iterable[Row]) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.email_id].append(row)
    return found


def _in_log(email: Email, content: EmailContent, recipients: Iterable[Recipient]) -> Iterator[str]:
    """As EmailDetailSerializer shows it without `include`."""
    yield from (email.subject, email.from_name, email.from_address, email.message.mail_from, email.message_id_header)
    yield from (recipient.address for recipient in recipients)
    for header in ("to", "cc"):
        for person in content.addresses.get(header) or ():
            yield from (person["name"], person["address"])


def _in_content(content: EmailContent, attachments: Iterable[Attachment]) -> Iterator[str]:
    people = [content.addresses.get("sender"), *(content.addresses.get("reply_to") or ())]
    for person in filter(None, people):
        yield from (person["name"], person["address"])
    yield from (attachment.filename for attachment in attachments)
    yield content.text
    if content.html:
        yield mime.visible(content.html, characters=MAX_TEXT)
