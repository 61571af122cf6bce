"""What the dialog of a new key offers, and how a key is told to people: the grid of scopes, presets, the sentence.

Everything comes out of the one registry of scopes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings

from apikeys.authentication import widen
from emailgistics.common.access import Scope

READ, WRITE = "read", "write"
EXPIRY_DAYS = (7, 30, 90, 180, 365)
PRESELECTED_DAYS = 90

THINGS = {  # how the sentence names what is read
    "emails": "the email log",
    "statistics": "usage statistics",
}
DEEDS = {  # scopes that no pattern covers
    Scope.EMAILS_CONTENT: "read what emails say",
    Scope.EMAILS_SUBMIT: "hand in mail",
    Scope.EMAILS_WRITE: "delete and replay emails",
}

ON_DOMAINS = {Scope.DOMAINS_WRITE, Scope.MAILBOXES_WRITE}  # with a list of mailboxes they do less than they say

INTEGRATION = frozenset({
    Scope.DOMAINS_READ, Scope.MAILBOXES_READ, Scope.ALIASES_READ, Scope.WEBHOOKS_READ, Scope.WEBHOOKS_WRITE,
    Scope.EMAILS_READ, Scope.EMAILS_CONTENT,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """Scopes that are ticked together; nothing of it is stored."""

    name: str
    scopes: frozenset[Scope]
    hint: str


PRESETS = (
    Preset("Full", frozenset(Scope), "All that there is today; what is added later is not in it."),
    Preset(
        "Read-only",
        frozenset(scope for scope in Scope if not scope.endswith(f":{WRITE}")) - {Scope.EMAILS_SUBMIT},
        "Sees everything, what emails say too, and changes nothing.",
    ),
    Preset("Zapier", INTEGRATION | {Scope.EMAILS_SUBMIT}, "Subscribes webhooks, reads emails and hands mail in."),
    Preset("Make", INTEGRATION | {Scope.EMAILS_SUBMIT}, "Attaches webhooks, reads emails and hands mail in."),
    Preset("n8n", INTEGRATION | {Scope.ALIASES_WRITE}, "Creates aliases and webhooks, and reads emails."),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A resource in the grid; an action that it does not have is None."""

    resource: str
    read: Scope | None
    write: Scope | None


def grid() -> list[Row]:
    resources = dict.fromkeys(_resource(scope) for scope in Scope)
    return [Row(name, _named(f"{name}:{READ}"), _named(f"{name}:{WRITE}")) for name in resources]


def apart() -> list[Scope]:
    """The scopes beside the grid."""
    return [scope for scope in Scope if _action(scope) not in (READ, WRITE)]


def expiry_days() -> list[int]:
    """The lifetimes to choose from, within APIKEY_MAX_DAYS."""
    longest = int(settings.APIKEY_MAX_DAYS)
    return [days for days in EXPIRY_DAYS if days <= longest] or [longest]


def preselected_days() -> int:
    return max(days for days in expiry_days() if days <= PRESELECTED_DAYS or days == expiry_days()[0])


def preset_of(scopes: Iterable[str]) -> str:
    """The name of the preset that these scopes are; empty when they are none."""
    chosen = frozenset(scopes)
    return next((preset.name for preset in PRESETS if preset.scopes == chosen), "")


def sentence(scopes: Iterable[str], *, mailboxes: int | None, expires_at: datetime, now: datetime) -> str:
    """What the key will be able to do. mailboxes counts its allowlist; None: all mailboxes, also future ones."""
    ends = f"{instant(expires_at)} ({from_now(expires_at, now)})"
    refused = mailboxes is not None and not widen(scopes).isdisjoint(ON_DOMAINS)
    rest = " What concerns a whole domain is refused to it." if refused else ""
    return f"This key will {deeds(scopes)}, for {reach(mailboxes)}, until {ends}.{rest}"


def deeds(scopes: Iterable[str]) -> str:
    """`read domains and the email log; create, change and delete webhooks`, never empty for a key that exists."""
    able = widen(scopes)
    if able == frozenset(Scope):
        return "do everything that the API offers today"
    changed = [_resource(scope) for scope in Scope if scope in able and _is_change(scope)]
    read = [
        THINGS.get(resource, resource)
        for resource in map(_resource, (scope for scope in Scope if scope in able and _action(scope) == READ))
        if resource not in changed
    ]
    parts = [f"read {listed(read)}"] if read else []
    parts += [f"see, create, change and delete {listed(changed)}"] if changed else []
    parts += [words for scope, words in DEEDS.items() if scope in able]
    return "; ".join(parts)


def reach(mailboxes: int | None) -> str:
    if mailboxes is None:
        return "all mailboxes, also future ones"
    return "1 mailbox" if mailboxes == 1 else f"{mailboxes} mailboxes"


def instant(at: datetime) -> str:
    """In the installation's time zone, and saying so."""
    local = at.astimezone(ZoneInfo(settings.TIME_ZONE))
    return f"{local.day} {local:%b %Y, %H:%M} {settings.TIME_ZONE}"


def from_now(at: datetime, now: datetime) -> str:
    """`in 89 days`, `3 hours ago`: whole units, rounded down."""
    distance = abs(at - now)
    for unit, length in (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1))):
        if count := distance // length:
            amount = f"{count} {unit}" + ("s" if count > 1 else "")
            return f"in {amount}" if at > now else f"{amount} ago"
    return "in less than a minute" if at > now else "a moment ago"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _named(name: str) -> Scope | None:
    return Scope(name) if name in Scope.values else None


def _resource(scope: Scope) -> str:
    return scope.partition(":")[0]


def _action(scope: Scope) -> str:
    return scope.partition(":")[2]


def _is_change(scope: Scope) -> bool:
    return _action(scope) == WRITE and scope not in DEEDS
