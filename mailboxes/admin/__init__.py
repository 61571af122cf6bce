"""The pages of the console about addresses and mail."""

from mailboxes.admin.addresses import AliasAdmin, DomainAdmin, MailboxAdmin
from mailboxes.admin.emails import EmailAdmin
from mailboxes.admin.history import AddressAdmin, MessageAdmin
from mailboxes.admin.rules import RefusalAdmin, RuleAdmin

__all__ = [
    "AddressAdmin",
    "AliasAdmin",
    "DomainAdmin",
    "EmailAdmin",
    "MailboxAdmin",
    "MessageAdmin",
    "RefusalAdmin",
    "RuleAdmin",
]
