"""What the API Access page says about keys, as data for its templates."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat
from django.http import QueryDict

from apikeys import presets
from apikeys.forms import CHOSEN, MAX_CHOSEN, ON_DATE, KeyForm, start_of
from apikeys.models import ApiKey
from apikeys.plans import Limits, limits_of
from emailgistics.common import one_use
from emailgistics.common.access import Scope
from emailgistics.common.secret import Secret
from mailboxes.models import Mailbox

PICKER_ROWS = 50  # mailboxes that are on the page at once
LISTED = 200  # mailboxes of an allowlist that the page of a key names
VARIABLE = "EMAILGISTICS_API_KEY"
STANDING_LABELS = {"active": "success", "expires_soon": "warning", "expired": "danger", "revoked": "default"}


def person(user: User | None) -> str:
    return user.get_username() if user else "a command"


def limits_in_short(limits: Limits) -> str:
    return f"{limits.minute:,}/min, {limits.hour:,}/h, {limits.day:,}/day"


def scopes_in_short(scopes: Sequence[str], *, named: int) -> str:
    if preset := presets.preset_of(scopes):
        return f"{preset} ({len(scopes)})"
    return _in_short(scopes[:named], len(scopes))


def mailboxes_in_short(count: int | None, *, named: Sequence[str]) -> str:
    """The count is that of the live ones in the allowlist; None: all, also future ones."""
    if count is None:
        return presets.reach(None)
    return _in_short(named, count) if count else "none any more: its mailboxes were deleted"


def detail_of(key: ApiKey, *, now: datetime) -> dict[str, Any]:
    allowed = Mailbox.objects.filter(pk__in=key.allowlist.values("mailbox")).select_related("domain")
    count = None if key.all_mailboxes else allowed.live().count()
    standing = key.standing(now)
    return {
        "key": key,
        "standing": standing,
        "in_force": standing in (ApiKey.Standing.ACTIVE, ApiKey.Standing.EXPIRES_SOON),
        "standing_type": STANDING_LABELS[standing],
        "scopes": [(scope, Scope(scope).label if scope in Scope.values else "") for scope in key.scopes],
        "deeds": presets.deeds(key.scopes),
        "reach": presets.reach(count),
        "mailboxes": allowed.order_by("domain__name", "local_part")[:LISTED],
        "further_mailboxes": max(0, allowed.count() - LISTED),
        "expires": f"{presets.instant(key.expires_at)} ({presets.from_now(key.expires_at, now)})",
        "created": f"{presets.instant(key.created_at)}, by {person(key.created_by)}",
        "revoked": key.revoked_at and f"{presets.instant(key.revoked_at)}, by {person(key.revoked_by)}",
        "limits": limits_in_short(limits_of(key)),
        "curl": curl(f"${VARIABLE}"),
    }


def shown_once(key: ApiKey, plaintext: str) -> dict[str, Any]:
    """The key in all the forms it is needed in. For one response, and nowhere else."""
    return {
        "plaintext": Secret(plaintext),
        "header": Secret(f"Authorization: Bearer {plaintext}"),
        "env_line": Secret(f"{VARIABLE}={plaintext}"),
        "curl": Secret(curl(plaintext)),
        "expires": presets.instant(key.expires_at),
    }


def curl(key: str) -> str:
    return f'curl -H "Authorization: Bearer {key}" {settings.BASE_URL}/v1/me'


def form_parts(form: KeyForm, *, now: datetime) -> dict[str, Any]:
    today = now.astimezone(start_of(now.date()).tzinfo).date()
    typed = form.typed_addresses()
    picker = find_for_picker("")
    on_page = [row["address"] for row in picker["mailboxes"]]
    return {
        "form": form,
        "token_field": one_use.FIELD,
        "lifetimes": [
            (days, presets.instant(start_of(today + timedelta(days=days)))) for days in presets.expiry_days()
        ],
        "on_date": ON_DATE,
        "first_date": today + timedelta(days=1),
        "last_date": today + timedelta(days=settings.APIKEY_MAX_DAYS),
        "longest": settings.APIKEY_MAX_DAYS,
        "time_zone": settings.TIME_ZONE,
        "picker": picker,
        "ticked": typed,
        "further": [address for address in typed if address not in on_page],
        "grid": presets.grid(),
        "apart": presets.apart(),
        "presets": presets.PRESETS,
    }


def preview(query: QueryDict, *, now: datetime) -> dict[str, str]:
    """Of a form without name and addresses; `count` says how many mailboxes are chosen."""
    form = KeyForm(query)
    form.full_clean()
    cleaned = form.cleaned_data
    expires_at, scopes = cleaned.get("expires_at"), cleaned.get("scopes")
    is_list = cleaned.get("reach") == CHOSEN
    count = int(text) if (text := query.get("count", "")).isdecimal() and len(text) < 8 else 0  # noqa: PLR2004
    missing = ["when it ends"] if expires_at is None else []
    missing += ["at least one mailbox"] if is_list and not count else []
    missing += ["at least one scope"] if not scopes else []
    if missing or expires_at is None or not scopes:
        text = f"Still to choose: {presets.listed(missing)}."
    else:
        text = presets.sentence(scopes, mailboxes=count if is_list else None, expires_at=expires_at, now=now)
    ends = f"Ends {presets.instant(expires_at)}, {presets.from_now(expires_at, now)}." if expires_at else ""
    wrong = [str(message) for message in form.errors.get("expires_on", [])] if query.get("expires_on") else []
    return {"sentence": text, "ends": ends or " ".join(wrong)}


def find_for_picker(text: str, *, whole: bool = False) -> dict[str, Any]:
    """Live mailboxes whose address or name has the text in it: the first PICKER_ROWS, or the whole of an allowlist."""
    rows: QuerySet[Mailbox] = Mailbox.objects.live().select_related("domain").order_by("domain__name", "local_part")
    if text := text.strip():
        rows = rows.annotate(written=Concat("local_part", Value("@"), "domain__name")).filter(
            Q(written__icontains=text) | Q(name__icontains=text)
        )
    limit = MAX_CHOSEN if whole else PICKER_ROWS
    return {
        "mailboxes": [{"address": mailbox.address, "name": mailbox.name} for mailbox in rows[:limit]],
        "count": rows.count(),
        "most": MAX_CHOSEN,
    }


def _in_short(named: Sequence[str], count: int) -> str:
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return (", ".join(named) if more else presets.listed(named)) + more
