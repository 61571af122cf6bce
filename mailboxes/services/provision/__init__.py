"""Domains, mailboxes and aliases: making, changing, and marking them deleted.

In a change, None leaves a thing as it is. `agree` is called with the row, locked, before it is changed or deleted, and
refuses that by raising. What several of them lock, they lock in this order: domain, mailbox, alias.
"""

from mailboxes.services.provision.addressing import AddressUnavailableError, acts_on_whole_domain
from mailboxes.services.provision.aliases import (
    CHOICES_NAMED,
    DEFAULT_PRIORITY,
    MAX_DESCRIPTION_LENGTH,
    MAX_FURTHER_MAILBOXES,
    MAX_PATTERNS,
    MAX_PRIORITY,
    TooManyPatternsError,
    alias_to_share,
    create_alias,
    delete_alias,
    mailbox_for_alias,
    named,
    split_alias,
    update_alias,
)
from mailboxes.services.provision.domains import DEFAULT_MAILBOX, create_domain, delete_domain, update_domain
from mailboxes.services.provision.mailboxes import (
    MAX_NAME_LENGTH,
    MAX_QUOTA_BYTES,
    MAX_RETENTION_DAYS,
    MIN_QUOTA_BYTES,
    Retention,
    create_mailbox,
    delete_mailbox,
    update_mailbox,
)
from mailboxes.services.provision.rows import Leave, NotEmptyError, UnknownDomainError, hold_all

__all__ = (
    "CHOICES_NAMED",
    "DEFAULT_MAILBOX",
    "DEFAULT_PRIORITY",
    "MAX_DESCRIPTION_LENGTH",
    "MAX_FURTHER_MAILBOXES",
    "MAX_NAME_LENGTH",
    "MAX_PATTERNS",
    "MAX_PRIORITY",
    "MAX_QUOTA_BYTES",
    "MAX_RETENTION_DAYS",
    "MIN_QUOTA_BYTES",
    "AddressUnavailableError",
    "Leave",
    "NotEmptyError",
    "Retention",
    "TooManyPatternsError",
    "UnknownDomainError",
    "acts_on_whole_domain",
    "alias_to_share",
    "create_alias",
    "create_domain",
    "create_mailbox",
    "delete_alias",
    "delete_domain",
    "delete_mailbox",
    "hold_all",
    "mailbox_for_alias",
    "named",
    "split_alias",
    "update_alias",
    "update_domain",
    "update_mailbox",
)
