"""What the API Access page says about keys, as data for its templates."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apikeys import advice, notices, presets, use, words
from apikeys.forms import ALL, CHOSEN, MAX_CHOSEN, ON_DATE, KeyForm, PlanForm, start_of
from apikeys.models import ApiKey
from apikeys.plans import Limits, granted, limits_of
from apikeys.rotation import successors_in_force
from emailgistics.common import one_use
from emailgistics.common.access import Scope
from emailgistics.common.commands import readable
from emailgistics.common.instants import instant
from emailgistics.common.models import AuditEntry
from emailgistics.common.secret import Secret
from mailboxes.models import Domain, Mailbox

PICKER_ROWS = 50  # mailboxes that are on the page at once
LISTED = 200  # mailboxes of an allowlist that the page of a key names
VARIABLE = "EMAILGISTICS_API_KEY"
STANDING_LABELS = {"active": "success", "expires_soon": "warning", "expired": "danger", "revoked": "default"}


def person(user: User | None) -> str:
    return user.get_username() if user else _("a command")


def limits_in_short(limits: Limits) -> str:
    return _("%(minute)s/min, %(hour)s/h, %(day)s/day") % {
        "minute": f"{limits.minute:,}",
        "hour": f"{limits.hour:,}",
        "day": f"{limits.day:,}",
    }


def scopes_in_short(scopes: Sequence[str], *, named: int) -> str:
    if preset := presets.preset_of(scopes):
        return f"{preset} ({len(scopes)})"
    return words.in_short(scopes, named=named)


def mailboxes_in_short(count: int | None, *, named: Sequence[str]) -> str:
    """The count is that of the live ones in the allowlist; None: all, also future ones."""
    if count is None:
        return presets.reach(None)
    if count > len(named):
        return _("%(list)s and %(count)s more") % {"list": ", ".join(named), "count": count - len(named)}
    return words.listed(named) or _("none any more: its mailboxes were deleted")


def status_of(key: ApiKey, *, now: datetime) -> dict[str, Any]:
    standing = key.standing(now)
    return {
        "standing": standing,
        "standing_type": STANDING_LABELS[standing],
        "in_force": is_in_force(key, now=now),
        "scheduled_end": is_scheduled(key, now=now) and key.revoke_at and _when(key.revoke_at, now),
    }


def is_in_force(key: ApiKey, *, now: datetime) -> bool:
    return key.standing(now) in (ApiKey.Standing.ACTIVE, ApiKey.Standing.EXPIRES_SOON)


def is_scheduled(key: ApiKey, *, now: datetime) -> bool:
    """Whether it will be revoked at a time that has not come."""
    return key.revoked_at is None and key.revoke_at is not None and key.revoke_at > now


def facts_of(key: ApiKey, *, now: datetime) -> dict[str, Any]:
    """What is fixed about a key, and what became of it."""
    allowed = Mailbox.objects.filter(pk__in=key.allowlist.values("mailbox")).select_related("domain")
    count = None if key.all_mailboxes else allowed.live().count()
    ended_at = key.revoked_at or key.revoke_at
    status = status_of(key, now=now)
    return status | {
        "key": key,
        "scopes": [(scope, Scope(scope).label if scope in Scope.values else "") for scope in key.scopes],
        "deeds": presets.deeds(key.scopes),
        "cannot": presets.cannot(key.scopes, has_list=not key.all_mailboxes),
        "reach": presets.reach(count),
        "mailboxes": allowed.order_by("domain__name", "local_part")[:LISTED],
        "further_mailboxes": max(0, allowed.count() - LISTED),
        "expires": _when(key.expires_at, now),
        "created": _by(_when(key.created_at, now), person(key.created_by)),
        "revoked": status["standing"] is ApiKey.Standing.REVOKED
        and ended_at
        and _by(_when(ended_at, now), person(key.revoked_by)),
        "last_used": key.last_used_at and _when(key.last_used_at, now),
        "limits": limits_in_short(limits_of(key)),
    }


def page_of(key: ApiKey, *, days: int, now: datetime) -> dict[str, Any]:
    """What the page of a key says beside its facts."""
    return {
        "curl": curl(f"${VARIABLE}"),
        "chart": use.chart(use.by_day([key], days=days, now=now)[key.pk]),
        "chart_days": use.CHART_DAYS,
        "refusals": use.refusals(key, now=now),
        "notices": notices.shown_for(key, now=now),
        "entries": [_recorded(entry) for entry in use.history(key)],
        "successors": key.successors.order_by("-id"),
        "rivals": _rivals(key),
        "cut_over": is_in_force(key, now=now) and _cut_over(key, now=now),
        "unused": is_in_force(key, now=now) and advice.unused_parts(key, now=now),
    }


def _rivals(key: ApiKey) -> str:
    """Said of a key that was rotated more than once; empty where its place is taken by one."""
    if len(successors := successors_in_force(key)) < 2:  # noqa: PLR2004
        return ""
    named = words.listed([successor.identifier for successor in successors])
    return _("%(count)s keys in its place are in force: %(named)s. Delete what nothing uses.") % {
        "count": len(successors),
        "named": named,
    }


def _cut_over(key: ApiKey, *, now: datetime) -> dict[str, Any] | None:
    """How far a rotation is; see `advice.cut_over`."""
    meter = advice.cut_over(key, now=now)
    if meter is None:
        return None
    used_at = meter.successor.last_used_at
    return {
        "meter": meter,
        "last_call": meter.last_call and words.from_now(meter.last_call, now),
        "successor_used": used_at and words.from_now(used_at, now),
        "families": words.listed([f"{family} ({count:,})" for family, count in meter.calls_by_family]),
    }


def shown_once(key: ApiKey, plaintext: str, *, old: ApiKey | None, now: datetime) -> dict[str, Any]:
    """The key in all the forms it is needed in, and what becomes of the one whose place it takes.

    For one response, and nowhere else.
    """
    return {
        "old": old,
        "old_ended": old and old.standing(now) is ApiKey.Standing.REVOKED,
        "old_ends": old and is_scheduled(old, now=now) and old.revoke_at and _when(old.revoke_at, now),
        "plaintext": Secret(plaintext),
        "header": Secret(f"Authorization: Bearer {plaintext}"),
        "env_line": Secret(f"{VARIABLE}={plaintext}"),
        "curl": Secret(curl(plaintext)),
        "expires": _instant(key.expires_at),
    }


def curl(key: str) -> str:
    return f'curl -H "Authorization: Bearer {key}" {settings.BASE_URL}/v1/me'


def plans_of(form: PlanForm) -> dict[str, Any]:
    """What there is to choose from: each plan with its limits, and fields for an enterprise key's own."""
    windows = {"minute": _("A minute"), "hour": _("An hour"), "day": _("A day")}
    return {
        "plans": [(plan, plan.label, limits_in_short(granted(plan, None))) for plan in ApiKey.Plan],
        "windows": [(form[name], words) for name, words in windows.items()],
    }


def form_parts(form: KeyForm, *, address: str, now: datetime) -> dict[str, Any]:
    """What the template of the form needs; address is that of whoever fills it in."""
    today = now.astimezone(start_of(now.date()).tzinfo).date()
    typed = form.typed_addresses()
    picker = find_for_picker("")
    on_page = [row["address"] for row in picker["mailboxes"]]
    return {
        "form": form,
        "token_field": one_use.FIELD,
        "lifetimes": [(days, words.instant(start_of(today + timedelta(days=days)))) for days in presets.expiry_days()],
        "on_date": ON_DATE,
        "first_date": today + timedelta(days=1),
        "last_date": today + timedelta(days=settings.APIKEY_MAX_DAYS),
        "longest": settings.APIKEY_MAX_DAYS,
        "time_zone": settings.TIME_ZONE,
        "own_address": address,
        "picker": picker,
        "ticked": typed,
        "further": [address for address in typed if address not in on_page],
        "grid": presets.grid(),
        "apart": presets.apart(),
        "presets": [(preset, presets.lifetime_of(preset)) for preset in presets.PRESETS],
        "taken": presets.BY_SLUG.get(form["preset"].value() or ""),
        "ends": ends_of(form, now=now),
    }


def filled_by(preset: presets.Preset) -> dict[str, Any]:
    """The initial values of a form that starts with it."""
    filled: dict[str, Any] = {"preset": preset.slug, "scopes": [scope.value for scope in preset.scopes]}
    if days := presets.lifetime_of(preset):
        filled["expiry"] = str(days)
    if preset.for_tests:
        found = find_for_picker("", whole=True, for_tests=True)
        filled |= {"reach": CHOSEN, "mailboxes": [row["address"] for row in found["mailboxes"]]}
    return filled


def filled_from(old: ApiKey) -> dict[str, Any]:
    """The initial values of a form for the key that takes its place."""
    live = Mailbox.objects.live().filter(pk__in=old.allowlist.values("mailbox")).select_related("domain")
    return {
        "name": old.name,
        "scopes": [scope for scope in old.scopes if scope in Scope.values],
        "reach": ALL if old.all_mailboxes else CHOSEN,
        "mailboxes": [mailbox.address for mailbox in live.order_by("domain__name", "local_part")],
        "networks": "\n".join(old.networks),
    }


def narrowed_from(old: ApiKey, *, now: datetime) -> dict[str, Any]:
    """The same, without what it did not use; see `advice.unused_parts`."""
    filled, unused = filled_from(old), advice.unused_parts(old, now=now)
    if unused:
        filled["scopes"] = list(unused.kept_scopes)
        if unused.kept_mailboxes is not None:
            filled["mailboxes"] = [mailbox.address for mailbox in unused.kept_mailboxes]
    return filled


def typed_so_far(sent: QueryDict) -> dict[str, Any]:
    """What somebody wrote in the form before a preset was taken, as initial values."""
    kept = {name: sent[name] for name in ("name", "expiry", "expires_on", "reach", "networks") if name in sent}
    mailboxes = KeyForm.base_fields["mailboxes"].widget.value_from_datadict(sent, {}, "mailboxes")
    return kept | {"mailboxes": mailboxes}


def preview(query: QueryDict, *, now: datetime) -> dict[str, str]:
    """Of a form without name and addresses; `count` says how many mailboxes are chosen."""
    form = KeyForm(query)
    form.full_clean()
    cleaned = form.cleaned_data
    expires_at, scopes = cleaned.get("expires_at"), cleaned.get("scopes")
    is_list = cleaned.get("reach") == CHOSEN
    count = int(text) if (text := query.get("count", "")).isdecimal() and len(text) < 8 else 0  # noqa: PLR2004
    missing = [_("when it ends")] if expires_at is None else []
    missing += [_("at least one mailbox")] if is_list and not count else []
    missing += [_("at least one scope")] if not scopes else []
    missing += [_("the networks, one a line")] if "networks" in form.errors else []
    if missing or expires_at is None or not scopes:
        text = _("Still to choose: %(list)s.") % {"list": words.listed(missing)}
    else:
        text = presets.sentence(
            scopes,
            mailboxes=count if is_list else None,
            expires_at=expires_at,
            now=now,
            networks=cleaned.get("networks", ()),
        )
    wrong = [str(message) for message in form.errors.get("expires_on", [])] if query.get("expires_on") else []
    return {"sentence": text, "ends": _ends(expires_at, now) or " ".join(wrong)}


def ends_of(form: KeyForm, *, now: datetime) -> str:
    """Said under the choice of a lifetime, where no script asks for it."""
    today = now.astimezone(start_of(now.date()).tzinfo).date()
    chosen = [days for days in presets.expiry_days() if str(days) == form["expiry"].value()]
    return _ends(start_of(today + timedelta(days=chosen[0])), now) if chosen else ""


def find_for_picker(text: str, *, whole: bool = False, for_tests: bool = False) -> dict[str, Any]:
    """Live mailboxes whose address or name has the text in it: the first PICKER_ROWS, or the whole of an allowlist.

    for_tests: of domains that are for tests alone.
    """
    rows: QuerySet[Mailbox] = Mailbox.objects.live().select_related("domain").order_by("domain__name", "local_part")
    if text := text.strip():
        rows = rows.annotate(written=Concat("local_part", Value("@"), "domain__name")).filter(
            Q(written__icontains=text) | Q(name__icontains=text)
        )
    if for_tests:
        names = Domain.objects.live().values_list("name", flat=True)
        rows = rows.filter(domain__name__in=[name for name in names if presets.is_for_tests(name)])
    limit = MAX_CHOSEN if whole else PICKER_ROWS
    return {
        "mailboxes": [{"address": mailbox.address, "name": mailbox.name} for mailbox in rows[:limit]],
        "count": rows.count(),
        "most": MAX_CHOSEN,
    }


def _recorded(entry: AuditEntry) -> dict[str, Any]:
    """`apikey.first_used`, and what goes with it, as words."""
    return {
        "at": _instant(entry.at),
        "done": entry.action.removeprefix("apikey.").replace("_", " "),
        "details": [(name.replace("_", " "), _detail(name, value)) for name, value in entry.details.items()],
        "by": entry.by,
        "address": entry.address or "",
    }


def _detail(name: str, value: Any) -> str:
    return _instant(datetime.fromisoformat(value)) if name.endswith("_at") else readable(value)


def _when(at: datetime, now: datetime) -> SafeString:
    return format_html("{} ({})", _instant(at), words.from_now(at, now))


def _by(when: SafeString, who: str) -> SafeString:
    return format_html(_("{when}, by {who}"), when=when, who=who)


def _instant(at: datetime) -> SafeString | str:
    """For pages; what is no page has `words.instant`."""
    return instant(at, text=words.instant(at))


def _ends(expires_at: datetime | None, now: datetime) -> str:
    return (
        _("Ends %(at)s, %(when)s.") % {"at": words.instant(expires_at), "when": words.from_now(expires_at, now)}
        if expires_at
        else ""
    )
