"""Who read what a mail says: an entry of the audit log for each time that somebody opened it in the console or by a
command.
"""

from enum import StrEnum
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest

from emailgistics.common import audit
from emailgistics.common.clients import client_address

ACTION = "mail.opened"
EXPORTED = "mail.exported"


class What(StrEnum):
    TEXT = "text"  # with the headers, on the page of the email
    HTML = "html"
    RAW = "raw"
    ATTACHMENT = "attachment"
    PAYLOAD = "payload"  # what webhooks are sent


def note_opened(request: HttpRequest, what: str, *, of: str, **details: Any) -> None:
    """Call it before the answer is sent: what is not on record is not shown. of is the id of the email or event."""
    if request.method != "GET":  # HEAD shows nothing
        return
    assert isinstance(request.user, User)
    audit.record(ACTION, of=of, person=request.user, address=client_address(request), details={"what": what, **details})


def note_opened_by_command(what: str, *, of: str) -> None:
    """As above, for whoever is at the shell."""
    audit.record(ACTION, of=of, details={"what": what})


def note_exported(*, of: str, **details: Any) -> None:
    """Many at once, by a command. of is the id of their mailbox, or that it was everything."""
    audit.record(EXPORTED, of=of, details=details)
