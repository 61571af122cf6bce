"""What the dialog of a new key offers, and how a key is told to people: the grid of scopes, presets, the sentence.

Everything comes out of the one registry of scopes.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apikeys.authentication import widen
from apikeys.words import either, from_now, in_short, instant, listed
from emailgistics.common.access import Scope

READ, WRITE = "read", "write"
EXPIRY_DAYS = (7, 30, 90, 180, 365)
PRESELECTED_DAYS = 90

THINGS = {  # how the sentence names what is read
    "emails": gettext_lazy("the email log"),
    "statistics": gettext_lazy("usage statistics"),
}
DEEDS = {  # scopes that no pattern covers
    Scope.EMAILS_CONTENT: gettext_lazy("read what emails say"),
    Scope.EMAILS_SUBMIT: gettext_lazy("hand in mail"),
    Scope.EMAILS_WRITE: gettext_lazy("delete and replay emails"),
}

ON_DOMAINS = {Scope.DOMAINS_WRITE, Scope.MAILBOXES_WRITE}  # with a list of mailboxes they do less than they say

# names that stand for tests: the first two kinds are reserved, RFC 2606 and RFC 6761
TEST_TOP_LEVELS = {"test", "example", "invalid", "localhost"}
TEST_DOMAINS = ("example.com", "example.net", "example.org")
TEST_LABELS = {"test", "testing", "dev", "staging", "sandbox"}

INTEGRATION = frozenset({  # what docs/integrations needs; its tests have keys with no more
    Scope.DOMAINS_READ, Scope.MAILBOXES_READ, Scope.ALIASES_READ, Scope.ALIASES_WRITE, Scope.WEBHOOKS_READ,
    Scope.WEBHOOKS_WRITE, Scope.EMAILS_READ, Scope.EMAILS_CONTENT, Scope.EMAILS_SUBMIT,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """What is filled in together; a key does not know from which it came."""

    slug: str
    name: Any  # as the reader's language has it, and so is the hint
    scopes: frozenset[Scope]
    hint: Any
    days: int | None = None  # how long the key lasts; None leaves what is chosen
    needs_networks: bool = False
    for_tests: bool = False  # the mailboxes of domains that are for tests

    @property
    def is_scopes_alone(self) -> bool:
        return self.days is None and not self.needs_networks


PRESETS = (
    Preset(
        "full",
        gettext_lazy("Full"),
        frozenset(Scope),
        gettext_lazy("All that there is today; what is added later is not in it."),
    ),
    Preset(
        "read-only",
        gettext_lazy("Read-only"),
        frozenset(scope for scope in Scope if not scope.endswith(f":{WRITE}")) - {Scope.EMAILS_SUBMIT},
        gettext_lazy("Sees everything, what emails say too, and changes nothing."),
    ),
    Preset(
        "zapier", "Zapier", INTEGRATION, gettext_lazy("Creates aliases and webhooks, reads emails and hands mail in.")
    ),
    Preset("make", "Make", INTEGRATION, gettext_lazy("Creates aliases and webhooks, reads emails and hands mail in.")),
    Preset(
        "n8n",
        "n8n",
        INTEGRATION | {Scope.STATISTICS_READ},
        gettext_lazy("Creates aliases and webhooks, reads emails and statistics, and hands mail in."),
    ),
    Preset(
        "development",
        gettext_lazy("Development"),
        frozenset(Scope) - ON_DOMAINS,
        gettext_lazy("All but domains and mailboxes themselves, for the mailboxes of test domains, for 30 days."),
        days=30,
        for_tests=True,
    ),
    Preset(
        "production",
        gettext_lazy("Production"),
        frozenset(Scope),
        gettext_lazy("All that there is today, from named networks only: give them below."),
        needs_networks=True,
    ),
    Preset(
        "ci-cd",
        "CI/CD",
        INTEGRATION,
        gettext_lazy("Sets up aliases and webhooks, hands mail in and looks what came of it; over in 7 days."),
        days=7,
    ),
)
BY_SLUG = {preset.slug: preset for preset in PRESETS}


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


def lifetime_of(preset: Preset) -> int | None:
    """In days, within APIKEY_MAX_DAYS."""
    if preset.days is None:
        return None
    return max((days for days in expiry_days() if days <= preset.days), default=expiry_days()[0])


def is_for_tests(domain: str) -> bool:
    """Whether the name of a domain says that its mail is for tests: `example.com`, `mail.test`, `staging.acme.org`."""
    labels = domain.split(".")
    return (
        labels[-1] in TEST_TOP_LEVELS
        or any(f".{domain}".endswith(f".{known}") for known in TEST_DOMAINS)
        or not TEST_LABELS.isdisjoint(labels[:-1])
    )


def preset_of(scopes: Iterable[str]) -> str:
    """The name of the preset that is these scopes and nothing else, `Zapier / Make` if there are two; else empty."""
    chosen = frozenset(scopes)
    return " / ".join(str(preset.name) for preset in PRESETS if preset.is_scopes_alone and preset.scopes == chosen)


def sentence(
    scopes: Collection[str],
    *,
    mailboxes: int | None,
    expires_at: datetime,
    now: datetime,
    networks: Sequence[str] = (),
) -> str:
    """What the key will be able to do. mailboxes counts its allowlist; None: all mailboxes, also future ones."""
    ends = f"{instant(expires_at)} ({from_now(expires_at, now)})"
    if networks:
        told = _("This key will %(deeds)s, for %(mailboxes)s, only from %(networks)s, until %(ends)s.")
    else:
        told = _("This key will %(deeds)s, for %(mailboxes)s, until %(ends)s.")
    told %= {
        "deeds": deeds(scopes),
        "mailboxes": reach(mailboxes),
        "networks": in_short(networks, named=2),
        "ends": ends,
    }
    refused = cannot(scopes, has_list=mailboxes is not None)
    return " ".join(filter(None, (told, refused and _("It %(cannot)s.") % {"cannot": refused})))


def cannot(scopes: Iterable[str], *, has_list: bool) -> str:
    """What somebody might expect of these scopes, and they do not do: `cannot read what emails say`; empty if nothing.

    has_list: the key is for named mailboxes.
    """
    able = widen(scopes)
    told = []
    if Scope.EMAILS_CONTENT not in able:
        if Scope.EMAILS_READ in able:
            told.append(_("read what emails say (bodies, attachments)"))
        if Scope.WEBHOOKS_WRITE in able:
            told.append(_("have webhooks that carry it") if told else _("have webhooks that carry what emails say"))
    if has_list and not able.isdisjoint(ON_DOMAINS):
        told.append(_("do what concerns a whole domain"))
    if not any(scope.endswith((f":{WRITE}", ":submit")) for scope in able):
        told.append(_("change anything"))
    return _("cannot %(deeds)s") % {"deeds": either(told)} if told else ""


def deeds(scopes: Iterable[str]) -> str:
    """`read domains and the email log; create, change and delete webhooks`, never empty for a key that exists."""
    able = widen(scopes)
    if able == frozenset(Scope):
        return _("do everything that the API offers today")
    changed = [_resource(scope) for scope in Scope if scope in able and _is_change(scope)]
    read = [
        str(THINGS.get(resource, resource))
        for resource in map(_resource, (scope for scope in Scope if scope in able and _action(scope) == READ))
        if resource not in changed
    ]
    parts = [_("read %(things)s") % {"things": listed(read)}] if read else []
    parts += [_("see, create, change and delete %(things)s") % {"things": listed(changed)}] if changed else []
    parts += [str(words) for scope, words in DEEDS.items() if scope in able]
    return "; ".join(parts)


def reach(mailboxes: int | None) -> str:
    if mailboxes is None:
        return _("all mailboxes, also future ones")
    return ngettext("%(count)s mailbox", "%(count)s mailboxes", mailboxes) % {"count": mailboxes}


def _named(name: str) -> Scope | None:
    return Scope(name) if name in Scope.values else None


def _resource(scope: Scope) -> str:
    return scope.partition(":")[0]


def _action(scope: Scope) -> str:
    return scope.partition(":")[2]


def _is_change(scope: Scope) -> bool:
    return _action(scope) == WRITE and scope not in DEEDS
