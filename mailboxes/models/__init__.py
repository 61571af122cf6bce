"""Where mail goes, and the mail itself.

A message is one accepted DATA with its raw octets; an email is that message in one mailbox. Deleting a domain, mailbox
or alias only marks it, and an address rests before anybody else can have it; accepted mail stays, unless somebody says
that it is to go as well: then a job erases it. What is not taken in
leaves a refusal.
"""

from mailboxes.models.emails import MAX_KEY, Attachment, Email, EmailContent, EmailQuerySet, Recipient
from mailboxes.models.imports import AliasImport, AliasImportChunk
from mailboxes.models.jobs import ErasureJob
from mailboxes.models.messages import Message, RawMessage, Reparse, ResendGuard, Transcript
from mailboxes.models.places import (
    ACTOR_LENGTH,
    ADDRESS_RESTS_FOR,
    IN_MAILBOX,
    Address,
    Alias,
    AliasCopy,
    AliasQuerySet,
    Domain,
    DomainQuerySet,
    Mailbox,
    MailboxQuerySet,
    tally_of,
)
from mailboxes.models.refusals import Refusal, RefusalCount
from mailboxes.models.retention import PostponedRemoval, RetentionClock
from mailboxes.models.rules import Rule, RuleQuerySet
from mailboxes.models.search import SearchEntry, SearchEntryQuerySet

__all__ = (
    "ACTOR_LENGTH",
    "ADDRESS_RESTS_FOR",
    "IN_MAILBOX",
    "MAX_KEY",
    "Address",
    "Alias",
    "AliasCopy",
    "AliasImport",
    "AliasImportChunk",
    "AliasQuerySet",
    "Attachment",
    "Domain",
    "DomainQuerySet",
    "Email",
    "EmailContent",
    "EmailQuerySet",
    "ErasureJob",
    "Mailbox",
    "MailboxQuerySet",
    "Message",
    "PostponedRemoval",
    "RawMessage",
    "Recipient",
    "Refusal",
    "RefusalCount",
    "Reparse",
    "ResendGuard",
    "RetentionClock",
    "Rule",
    "RuleQuerySet",
    "SearchEntry",
    "SearchEntryQuerySet",
    "Transcript",
    "tally_of",
)
