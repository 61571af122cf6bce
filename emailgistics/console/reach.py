"""Who can reach the mail of a mailbox, an alias or a domain: keys, webhooks, people, and what leads mail there or away.

What a key may do is decided by its allowlist alone (`visible_to`); this asks the same from the other side.
"""

from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apikeys.models import ApiKey
from emailgistics.common.access import Scope, system_administrators
from emailgistics.common.admin import MAX_COUNTED
from emailgistics.common.roles import AUDITORS, MAIL_READERS
from mailboxes.models import Alias, AliasCopy, Domain, Mailbox
from webhooks.models import Webhook

SHOWN = 100  # of each kind

Place = Domain | Mailbox | Alias


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    url: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Some who can, and how many there are in all; hidden: they are only counted for who asks."""

    title: str
    nobody: str
    rows: list[Row] = field(default_factory=list)
    count: int = 0
    hidden: str = ""
    is_capped: bool = False


def mailboxes_of(place: Place) -> QuerySet[Mailbox]:
    """Whose mail it is about. What is deleted is reached by nobody; copies of it are told of as what goes elsewhere."""
    rows = Mailbox.objects.live()
    if place.deleted_at is not None:
        return rows.none()
    match place:
        case Domain():
            return rows.filter(domain=place)
        case Mailbox():
            return rows.filter(pk=place.pk)
    return rows.filter(pk=place.mailbox_id)


def keys_of(place: Place) -> QuerySet[ApiKey]:
    """Those in force that open one of its mailboxes."""
    mailboxes = mailboxes_of(place)
    if not mailboxes.exists():
        # a domain without mailboxes still is something that a key for all can see
        is_seen = isinstance(place, Domain) and place.deleted_at is None
        return ApiKey.objects.in_force().filter(sealed=True, all_mailboxes=True) if is_seen else ApiKey.objects.none()
    named = ApiKey.objects.filter(allowlist__mailbox__in=mailboxes).values("pk")
    return ApiKey.objects.in_force().filter(Q(all_mailboxes=True) | Q(pk__in=named), sealed=True)


def ended_keys_of(place: Place) -> int:
    """Of those that name it: they open nothing any more."""
    named = ApiKey.objects.filter(allowlist__mailbox__in=mailboxes_of(place))
    return named.exclude(pk__in=ApiKey.objects.in_force().values("pk")).values("pk").distinct().count()


def webhooks_of(place: Place) -> QuerySet[Webhook]:
    """Those that are told of its mail. See `webhooks.services.fan_out.matching`."""
    rows = Webhook.objects.live()
    if isinstance(place, Alias):
        return rows.filter(Q(alias=place) | Q(mailbox=place.mailbox_id) | Q(domain=place.domain_id))
    # mail that comes by an alias of another domain is news of that domain, too
    mailboxes = mailboxes_of(place)
    by = Alias.objects.live().filter(mailbox__in=mailboxes)
    domains = Q(domain=place if isinstance(place, Domain) else place.domain) | Q(domain__in=by.values("domain"))
    bound = Q(mailbox__in=mailboxes) | Q(alias__mailbox__in=mailboxes) | domains
    return rows.filter(bound | Q(alias__domain=place) if isinstance(place, Domain) else bound)


def sections(place: Place, *, with_keys: bool, with_people: bool) -> list[Section]:
    return [
        _keys(place, is_shown=with_keys),
        _webhooks(place),
        _people(is_shown=with_people),
        _ways_in(place),
        _ways_out(place),
    ]


def _keys(place: Place, *, is_shown: bool) -> Section:
    keys = keys_of(place)
    count, now = keys.count(), timezone.now()
    title, nobody = _("API keys"), _("No key in force can read it.")
    if not is_shown:
        hidden = ngettext("%(n)s key can reach it.", "%(n)s keys can reach it.", count) % {"n": count}
        return Section(title, nobody, count=count, hidden=hidden)
    rows = []
    for key in keys.order_by("pk")[:SHOWN]:
        mailboxes = _("all mailboxes, also future ones") if key.all_mailboxes else _("mailboxes that it names")
        details = [mailboxes, str(key.standing(now).label), ", ".join(key.scopes)]
        if Scope.EMAILS_CONTENT not in key.scopes:
            details.append(_("does not read what mail says"))
        if key.networks:
            details.append(_("only from %(networks)s") % {"networks": ", ".join(key.networks)})
        rows.append(Row(str(key), reverse("admin:apikeys_apikey_change", args=[key.pk]), tuple(details)))
    if ended := ended_keys_of(place):
        text = ngettext("%(n)s key that named it has ended.", "%(n)s keys that named it have ended.", ended)
        rows.append(Row(text % {"n": ended}))
    return Section(title, nobody, rows, count)


def _webhooks(place: Place) -> Section:
    webhooks = webhooks_of(place).distinct()
    rows = []
    shown = webhooks.select_related("alias__domain", "mailbox__domain", "domain").defer(
        "sealed_secret", "sealed_headers"
    )
    for webhook in shown.order_by("pk")[:SHOWN]:
        bound = webhook.alias or webhook.mailbox or webhook.domain
        details = (
            _("bound to %(what)s") % {"what": bound},
            webhook.current_state,
            _("with what mail says") if webhook.payload == Webhook.Payload.FULL else _("without what mail says"),
        )
        name = webhook.url or _("%(id)s, whose deliveries are pulled with a key") % {"id": webhook.public_id}
        rows.append(Row(name, reverse("admin:webhooks_webhook_change", args=[webhook.pk]), details))
    return Section(_("Webhooks"), _("No webhook is told of its mail."), rows, webhooks.count())


def _people(*, is_shown: bool) -> Section:
    """By what their groups say; `common.roles` decides it."""
    auditors = User.objects.filter(is_active=True, groups__name=AUDITORS)
    auditors = auditors.exclude(pk__in=system_administrators().values("pk"))
    readers = auditors.filter(pk__in=User.objects.filter(groups__name=MAIL_READERS).values("pk"))
    kinds = (
        (_("does everything"), system_administrators().filter(is_active=True)),
        (_("reads mail in this console"), readers),
        (_("sees addresses and subjects, not what mail says"), auditors.exclude(pk__in=readers.values("pk"))),
    )
    counts = [people.count() for _what, people in kinds]
    title, nobody = _("People"), _("Nobody.")
    if not is_shown:
        hidden = _("%(all)s do everything, %(readers)s more read mail, %(others)s more see subjects.") % {
            "all": counts[0], "readers": counts[1], "others": counts[2],
        }  # fmt: skip
        return Section(title, nobody, count=sum(counts), hidden=hidden)
    rows = [
        Row(person.get_username(), reverse("admin:auth_user_change", args=[person.pk]), (what,))
        for what, people in kinds
        for person in people.order_by("username")[:SHOWN]
    ]
    return Section(title, nobody, rows, sum(counts))


def _ways_in(place: Place) -> Section:
    """Aliases that lead mail there, or copies of it; what takes the mail of many addresses first."""
    title, nobody = _("What leads mail there"), _("Nothing but its own address.")
    if isinstance(place, Alias):
        return Section(title, nobody, [], 0)
    mailboxes = mailboxes_of(place)
    copies = AliasCopy.objects.filter(mailbox__in=mailboxes).values("alias")
    aliases = Alias.objects.live().filter(Q(mailbox__in=mailboxes) | Q(pk__in=copies))
    count = aliases.order_by()[:MAX_COUNTED].values("pk").count()
    shown = aliases.select_related("domain", "mailbox__domain").order_by("pk")
    wide = list(shown.exclude(kind=Alias.Kind.EXACT)[:SHOWN])
    exact = shown.filter(kind=Alias.Kind.EXACT)[: SHOWN - len(wide)]
    rows = [_alias_row(alias, place) for alias in (*wide, *exact)]
    return Section(title, nobody, rows, count, is_capped=count >= MAX_COUNTED)


def _ways_out(place: Place) -> Section:
    """Other mailboxes that get mail for it, or a copy: whoever reaches those reads it, too."""
    title, nobody = (
        _("What sends its mail elsewhere"),
        _("Nothing gives its mail, or copies of it, to another mailbox."),
    )
    of = Q(alias=place) if isinstance(place, Alias) else Q(alias__mailbox__in=mailboxes_of(place))
    copies = AliasCopy.objects.filter(of, alias__deleted_at=None, mailbox__deleted_at=None)
    rows = [
        Row(_("%(alias)s gives a copy to %(to)s") % {"alias": copy.alias, "to": copy.mailbox}, url_of(copy.mailbox))
        for copy in copies.select_related("alias__domain", "mailbox__domain").order_by("pk")[:SHOWN]
    ]
    count = copies.count()
    if isinstance(place, Domain):
        away = Alias.objects.live().filter(domain=place).exclude(mailbox__domain=place)
        count += away.count()
        rows += [
            Row(_("%(alias)s leads to %(to)s") % {"alias": alias, "to": alias.mailbox}, url_of(alias.mailbox))
            for alias in away.select_related("domain", "mailbox__domain").order_by("pk")[: SHOWN - len(rows)]
        ]
    return Section(title, nobody, rows, count)


def _alias_row(alias: Alias, place: Place) -> Row:
    kinds = {Alias.Kind.PATTERN: _("a pattern of addresses"), Alias.Kind.CATCH_ALL: _("whatever nothing else takes")}
    details = [kinds.get(Alias.Kind(alias.kind), ""), "" if alias.is_active else _("disabled")]
    if place.pk not in (alias.mailbox_id, alias.mailbox.domain_id):
        details.append(_("a copy"))
    return Row(str(alias), reverse("admin:mailboxes_alias_change", args=[alias.pk]), tuple(filter(None, details)))


def url_of(place: Place) -> str:
    kind = {Domain: "domain", Mailbox: "mailbox", Alias: "alias"}[type(place)]
    return reverse("admin:reach", args=[kind, place.pk])
