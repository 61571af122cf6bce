"""The pages of the console about addresses and mail."""

from mailboxes.admin.addresses import AliasAdmin, MailboxAdmin
from mailboxes.admin.domains import DomainAdmin
from mailboxes.admin.emails import EmailAdmin
from mailboxes.admin.erasures import ErasureJobAdmin
from mailboxes.admin.history import AddressAdmin, MessageAdmin
from mailboxes.admin.imports import AliasImportAdmin
from mailboxes.admin.rules import RefusalAdmin, RuleAdmin

__all__ = [
    "AddressAdmin",
    "AliasAdmin",
    "AliasImportAdmin",
    "DomainAdmin",
    "EmailAdmin",
    "ErasureJobAdmin",
    "MailboxAdmin",
    "MessageAdmin",
    "RefusalAdmin",
    "RuleAdmin",
]
