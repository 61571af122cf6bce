"""Where an address stands in what is stored though the mail is not of it: in headers and texts of others' mail, in what
was said on connections, and in rules.

All of it is read, in the spelling that is asked for and with the domain in ASCII and in its own letters: this is for
the few times that somebody is to be forgotten, and takes minutes for millions of mails.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import UUID

import idna
from django.db import transaction
from django.db.models import Model, Q, QuerySet, TextField
from django.db.models.functions import Cast

from emailgistics.common import journal
from emailgistics.common.ids import encode_id
from mailboxes import raw
from mailboxes.addresses import address_key
from mailboxes.models import Attachment, Email, EmailContent, Message, Refusal, Rule, Transcript

ERASED = "(erased)"
# what no local part goes on with, or an escape of a URL that stands for such: the < of %3Cada%40example.net%3E
_BEFORE = r"(?:(?<![\w.+-])|(?<=%[0-9a-f]{2})(?<!%2[bde]|%5f))"
# in the journal: what was said on a connection, of mail that was taken in or that was not, and an ended rule
TRANSCRIPT_ERASED, REFUSAL_TRANSCRIPT_ERASED, RULE_ERASED = (
    "transcript.erased",
    "refusal.transcript_erased",
    "rule.erased",
)


class Mention:
    """An address as it may be written, in links too. In "nada@example.network" there is no "ada@example.net"."""

    def __init__(self, address: str) -> None:
        local_part, _, domain = address_key(address).rpartition("@")
        domains = {domain, _in_its_own_letters(domain)}
        plain = {address.strip(), *(f"{local_part}@{one}" for one in domains)}
        self.spellings = plain | {quote(one, safe="") for one in plain}
        any_of_them = "|".join(map(re.escape, sorted(self.spellings)))
        self._pattern = re.compile(rf"{_BEFORE}(?:{any_of_them})(?![\w-]|\.\w)", re.IGNORECASE)

    def is_in(self, value: Any) -> bool:
        """In a text, or in a text anywhere in a list or an object."""
        match value:
            case str():
                return self._pattern.search(value) is not None
            case list():
                return any(map(self.is_in, value))
            case dict():
                return any(map(self.is_in, value.values()))
        return False


def emails_mentioning(address: str) -> set[UUID]:
    """Emails with it in their headers, texts, names of attachments; of mail that could not be opened, in its raw.

    What attachments hold is not looked into.
    """
    mention = Mention(address)
    found = {row.pk for row in _with(mention, Email.objects.all())}
    found.update(row.pk for row in _with(mention, EmailContent.objects.all()))
    for file in _candidates(mention, Attachment.objects.all()):
        # ada@example.net.pdf is none of another domain, as it would be in a text
        if any(map(mention.is_in, (file.filename, file.filename.rpartition(".")[0], file.content_id))):
            found.add(file.email_id)
    for message in Message.objects.filter(state=Message.State.PARKED):
        if mention.is_in(_text_of(message)):
            found.update(message.emails.values_list("pk", flat=True))
    return found


def erase_from_transcripts(address: str) -> int:
    """What was said on connections on which it was named with others': transcripts go as a whole. Returns how many."""
    mention = Mention(address)
    kept = [row.pk for row in _with(mention, Transcript.objects.all())]
    refused = [row.pk for row in _with(mention, Refusal.objects.all())]
    for pk in kept:
        erase_transcript(pk)
    for pk in refused:
        erase_transcript_of_refusal(pk)
    return len(kept) + len(refused)


@transaction.atomic
def erase_transcript(message_id: UUID) -> bool:
    """False if there is none; so do the next two."""
    count, _each = Transcript.objects.filter(pk=message_id).delete()
    if count:
        journal.note(TRANSCRIPT_ERASED, of=encode_id(Message.ID_PREFIX, message_id))
    return bool(count)


@transaction.atomic
def erase_transcript_of_refusal(pk: UUID) -> bool:
    count = Refusal.objects.filter(pk=pk).exclude(transcript=[]).update(transcript=[])
    if count:
        journal.note(REFUSAL_TRANSCRIPT_ERASED, of=encode_id(Refusal.ID_PREFIX, pk))
    return bool(count)


@transaction.atomic
def erase_ended_rule(pk: UUID) -> bool:
    count = Rule.objects.filter(pk=pk).exclude(deleted_at=None).update(value=ERASED, description="")
    if count:
        journal.note(RULE_ERASED, of=encode_id(Rule.ID_PREFIX, pk))
    return bool(count)


def erase_from_ended_rules(address: str) -> None:
    """Their rows stay, because mail that they kept back or threw away goes on naming them."""
    mention = Mention(address)
    for rule in Rule.objects.exclude(deleted_at=None):
        if mention.is_in([rule.value, rule.description]):
            erase_ended_rule(rule.pk)


def rules_naming(address: str) -> list[Rule]:
    """They are somebody's decision, and stay until he ends them."""
    mention = Mention(address)
    return [rule for rule in Rule.objects.live().order_by("pk") if mention.is_in([rule.value, rule.description])]


def _with(mention: Mention, rows: "QuerySet[Any]") -> Iterator[Any]:
    """Those with it in a column of text or JSON."""
    columns = _columns(rows.model)
    for row in _candidates(mention, rows):
        if any(mention.is_in(getattr(row, name)) for name in columns):
            yield row


def _candidates(mention: Mention, rows: "QuerySet[Any]") -> Iterator[Any]:
    """The database looks roughly, and only what it gives has to be looked at."""
    columns = _columns(rows.model)
    may_be = Q()
    for name in columns:
        for spelling in mention.spellings | set(map(_in_json, mention.spellings)):
            may_be |= Q(**{f"as_text_{name}__icontains": spelling})
    casts = {f"as_text_{name}": Cast(name, TextField()) for name in columns}
    found: Iterator[Any] = rows.alias(**casts).filter(may_be).order_by().iterator(chunk_size=100)
    return found


def _columns(model: type[Model]) -> list[str]:
    kinds = {"CharField", "TextField", "JSONField"}
    fields = model._meta.concrete_fields  # noqa: SLF001 - documented all the same
    return [field.name for field in fields if field.get_internal_type() in kinds and not field.choices]


def _text_of(message: Message) -> str:
    try:
        return raw.read_raw(message).decode(errors="replace")
    except raw.UNREADABLE:
        return ""


def _in_json(spelling: str) -> str:
    """As SQLite has it in a column of JSON, where PostgreSQL writes letters of all scripts as they are."""
    return json.dumps(spelling)[1:-1]


def _in_its_own_letters(domain: str) -> str:
    try:
        return idna.decode(domain)
    except (idna.IDNAError, UnicodeError):
        return domain
