"""Opening what a mail says: who may, and that it is on record."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from emailgistics.common.openings import note_opened
from emailgistics.common.roles import Action, may
from mailboxes.models import Email


def opened_content(request: HttpRequest, email: Email, what: str) -> None:
    """For every answer that has something in it of what a mail says, before it is made. Raises PermissionDenied."""
    if not may(request, Action.READ_MAIL):
        raise PermissionDenied
    note_opened(request, what, of=email.public_id)
