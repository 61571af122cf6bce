"""What a request made use of: the scopes that let it pass, and the mailboxes of the rows that it got.

Whoever asks for a scope (`Principal.may`) and whoever finds or shows rows (`requests.find`, the list of emails) notes
it here; who counts reads it when the answer is ready (`apikeys/usage.py`). No query is made for it: a row says what it
knows of itself. A list of settings names all that its caller may see, so it is no use of each of them.
"""

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Model


@dataclass(slots=True)
class Footprint:
    scopes: set[str] = field(default_factory=set)
    mailboxes: set[UUID] = field(default_factory=set)
    aliases: set[UUID] = field(default_factory=set)  # stand for the mailboxes that they lead to


_of_this_request: ContextVar[Footprint | None] = ContextVar("footprint", default=None)


def begin() -> Footprint:
    """A new one for the request that begins: what is noted from now on, in this thread, is noted in it."""
    footprint = Footprint()
    _of_this_request.set(footprint)
    return footprint


def current() -> Footprint:
    """Of this request; an empty one where nothing is noted."""
    return _of_this_request.get() or Footprint()


def note_scopes(scopes: Iterable[str]) -> None:
    if footprint := _of_this_request.get():
        footprint.scopes.update(scopes)


def note_rows(rows: Iterable[Model]) -> None:
    """Emails, aliases, webhooks, … by their columns mailbox and alias; those of a Mailbox itself say MAILBOX_COLUMN."""
    footprint = _of_this_request.get()
    if footprint is None:
        return
    for row in rows:
        loaded = vars(row)  # not getattr: what is deferred would be a query
        if mailbox := loaded.get(getattr(row, "MAILBOX_COLUMN", "mailbox_id")):
            footprint.mailboxes.add(mailbox)
        if alias := loaded.get("alias_id"):
            footprint.aliases.add(alias)
