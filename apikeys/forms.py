"""The forms of the API Access page."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from apikeys import presets
from apikeys.models import MAX_REASON_LENGTH, ApiKey
from apikeys.rotation import OVERLAPS, OldEnds
from apikeys.services import MAX_NAME_LENGTH, parse_networks
from emailgistics.common.access import Scope
from emailgistics.common.errors import RefusedError
from mailboxes.addresses import InvalidAddressError, ParsedAddress, shown
from mailboxes.models import Mailbox

CHOSEN, ALL = "chosen", "all"  # the two kinds of allowlist
ON_DATE = "date"
MAX_CHOSEN = 5000  # mailboxes in one allowlist; each request of the key loads all of them
TOLD = 5  # addresses that an error names

NOW, AT = "now", "at"  # when a key is revoked
TIME_FORM = gettext_lazy("Write the time like 2030-01-31 18:00.")
MINUTE_FORMATS = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"]


class MailboxPicker(forms.Widget):
    """Addresses: ticked ones (the boxes that are rendered are a bounded number), and further ones, one a line."""

    def value_from_datadict(self, data: Any, files: object, name: str) -> list[str]:  # noqa: ARG002
        ticked = data.getlist(name) if hasattr(data, "getlist") else data.get(name, [])
        lines = [*ticked, *data.get(self.more(name), "").splitlines()]
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    @staticmethod
    def more(name: str) -> str:
        return f"{name}_more"


class MailboxesField(forms.Field):
    """Live mailboxes by their addresses."""

    widget = MailboxPicker

    def to_python(self, value: Sequence[str] | None) -> list[Mailbox]:
        return find_mailboxes(value or ())


class NetworksField(forms.Field):
    """CIDR or single addresses, one a line."""

    widget = forms.Textarea

    def to_python(self, value: str | None) -> list[str]:
        try:
            return parse_networks(line for line in (value or "").splitlines() if line.strip())
        except RefusedError as refused:
            raise ValidationError(refused.message) from refused


class KeyForm(forms.Form):
    """A new key. What it is given besides, the service checks; the two say the same to the same mistake."""

    name = forms.CharField(
        max_length=MAX_NAME_LENGTH,
        help_text=gettext_lazy("What uses it: one key for each integration."),
        error_messages={"required": gettext_lazy("A key needs a name: say what uses it.")},
    )
    expiry = forms.ChoiceField(
        error_messages={"required": gettext_lazy("Choose how long the key lasts; shorter is safer.")}
    )
    expires_on = forms.DateField(
        required=False,
        input_formats=["%Y-%m-%d"],
        error_messages={"invalid": gettext_lazy("Write the date like 2030-01-31.")},
    )
    reach = forms.ChoiceField(
        choices=[
            (CHOSEN, gettext_lazy("Only the mailboxes that I choose")),
            (ALL, gettext_lazy("All mailboxes, also future ones")),
        ],
        initial=CHOSEN,
        error_messages={"required": gettext_lazy("Choose mailboxes, or all of them, also future ones.")},
    )
    mailboxes = MailboxesField(required=False)
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=Scope.values,
        error_messages={
            "required": gettext_lazy("A key needs at least one scope: tick what it may do, or take a preset.")
        },
    )

    networks = NetworksField(required=False)
    preset = forms.CharField(required=False)  # the one that was taken; it may ask for what a key need not have

    def __init__(self, data: Any = None, *, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial=dict(initial or {}))
        offered = [
            (str(days), ngettext("%(count)s day", "%(count)s days", days) % {"count": days})
            for days in presets.expiry_days()
        ]
        expiry = self.fields["expiry"]
        assert isinstance(expiry, forms.ChoiceField)
        expiry.choices = [*offered, (ON_DATE, _("On a date"))]
        expiry.initial = str(presets.preselected_days())

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("expiry") != ON_DATE:
            self.errors.pop("expires_on", None)  # a date beside a lifetime counts for nothing
            cleaned["expires_on"] = None
        if "expiry" in cleaned and "expires_on" in cleaned:
            cleaned["expires_at"] = self._expires_at(cleaned["expiry"], cleaned["expires_on"])
        if cleaned.get("reach") == ALL:
            self.errors.pop("mailboxes", None)  # nor do addresses beside all of them
            cleaned["mailboxes"] = None
        elif "mailboxes" in cleaned and not cleaned["mailboxes"]:
            self.add_error("mailboxes", _("Choose at least one mailbox, or all mailboxes, also future ones."))
        taken = presets.BY_SLUG.get(cleaned.get("preset", ""))
        if taken and taken.needs_networks and cleaned.get("networks") == []:
            self.add_error(
                "networks",
                _("%(name)s: name the networks it is used from, or take another preset.") % {"name": taken.name},
            )
        return cleaned

    def _expires_at(self, expiry: str, expires_on: date | None) -> datetime | None:
        today = timezone.localdate()
        if expiry != ON_DATE:
            return start_of(today + timedelta(days=int(expiry)))
        if expires_on is None:
            self.add_error("expires_on", _("Give the date as which the key ends, or take one of the lifetimes."))
        elif not today < expires_on <= today + timedelta(days=settings.APIKEY_MAX_DAYS):
            self.add_error(
                "expires_on",
                _("A key ends tomorrow at the earliest, and within %(days)s days.")
                % {"days": settings.APIKEY_MAX_DAYS},
            )
        else:
            return start_of(expires_on)
        return None

    def new_key(self) -> Mapping[str, Any]:
        """The arguments of `create_api_key`, once the form is valid."""
        return {
            "name": self.cleaned_data["name"],
            "expires_at": self.cleaned_data["expires_at"],
            "scopes": [Scope(name) for name in self.cleaned_data["scopes"]],
            "mailboxes": self.cleaned_data["mailboxes"],
            "networks": self.cleaned_data["networks"],
        }

    def typed_addresses(self) -> list[str]:
        """As they came, good or not."""
        return list(self["mailboxes"].value() or [])


class RotateForm(KeyForm):
    """A key that takes the place of another."""

    old_ends = forms.ChoiceField(
        choices=OldEnds.choices,
        initial=OldEnds.IN_24_HOURS,
        error_messages={"required": gettext_lazy("Choose when the old key ends.")},
    )

    def new_key(self) -> Mapping[str, Any]:
        """The arguments of `rotate_api_key`, once the form is valid."""
        return {**super().new_key(), "old_ends": self.cleaned_data["old_ends"]}


class RevokeForm(forms.Form):
    """pausable are the ids of what the key made and goes on without it; those chosen are paused in the same step."""

    when = forms.ChoiceField(
        choices=[
            (NOW, gettext_lazy("Now")),
            *((after.value, capfirst(after.label)) for after in OVERLAPS),
            (AT, gettext_lazy("At a time")),
        ],
        initial=NOW,
        required=False,
    )
    at = forms.DateTimeField(
        required=False,
        input_formats=MINUTE_FORMATS,
        error_messages={"invalid": TIME_FORM},
    )
    reason = forms.CharField(required=False, max_length=MAX_REASON_LENGTH)
    pause = forms.MultipleChoiceField(required=False)

    def __init__(self, data: Any = None, *, pausable: Sequence[str], initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, initial=dict(initial or {}))
        pause = self.fields["pause"]
        assert isinstance(pause, forms.MultipleChoiceField)
        pause.choices = [(one, one) for one in pausable]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        if cleaned.get("when") == AT:
            if "at" in cleaned and cleaned["at"] is None:
                self.add_error("at", _("Give the time at which the key ends, or choose when it does."))
        elif self.data.get("at") not in (None, "", self.initial.get("at")):
            # it would end now, and for good, although somebody gave a later time
            self.add_error("at", _("A time is given: choose “At a time”, or clear it."))
        else:
            self.errors.pop("at", None)
        return cleaned

    def ends_at(self, *, now: datetime) -> datetime | None:
        """None: now, as well when nothing was chosen."""
        when = self.cleaned_data["when"]
        if when == AT:
            at: datetime = self.cleaned_data["at"]
            return at
        return now + OVERLAPS[OldEnds(when)] if when in OVERLAPS else None


class EndForm(forms.Form):
    """Another time for a key that is to be revoked at one."""

    at = forms.DateTimeField(
        input_formats=MINUTE_FORMATS,
        error_messages={"required": gettext_lazy("Give the time at which the key ends."), "invalid": TIME_FORM},
    )
    reason = forms.CharField(required=False, max_length=MAX_REASON_LENGTH)


class PlanForm(forms.Form):
    """How much a key may do, which unlike all else about it can change. An empty limit is as the plan has it."""

    plan = forms.ChoiceField(choices=ApiKey.Plan.choices, error_messages={"required": gettext_lazy("Choose a plan.")})
    minute = forms.IntegerField(required=False)
    hour = forms.IntegerField(required=False)
    day = forms.IntegerField(required=False)

    def own_limits(self) -> dict[str, int | None]:
        """Of a plan that has none, what was written beside it counts for nothing."""
        is_enterprise = self.cleaned_data["plan"] == ApiKey.Plan.ENTERPRISE
        return {window: self.cleaned_data[window] if is_enterprise else None for window in ("minute", "hour", "day")}


def start_of(day: date) -> datetime:
    """00:00 of the day in the installation's time zone."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(settings.TIME_ZONE))


def minute_of(at: datetime) -> str:
    """As fields for a time have it."""
    return timezone.localtime(at).strftime(MINUTE_FORMATS[0])


def find_mailboxes(texts: Sequence[str]) -> list[Mailbox]:
    """The live mailboxes with these addresses, in their order, in a few queries. Raises ValidationError."""
    if len(texts) > MAX_CHOSEN:
        raise ValidationError(
            _("These are %(count)s mailboxes; choose at most %(most)s, or all mailboxes.")
            % {"count": len(texts), "most": MAX_CHOSEN}
        )
    try:
        wanted = [ParsedAddress.parse(text) for text in texts]
    except InvalidAddressError as error:
        raise ValidationError(error.message) from error
    found = _by_address(wanted)
    missing = [str(address) for address in wanted if (address.domain, address.local_key) not in found]
    if missing:
        told = ", ".join(shown(text) for text in missing[:TOLD]) + (", …" if len(missing) > TOLD else "")
        raise ValidationError(
            _("There is no mailbox %(addresses)s. An alias is not a mailbox; take the one it leads to.")
            % {"addresses": told}
        )
    return [found[address.domain, address.local_key] for address in wanted]


def _by_address(wanted: Iterable[ParsedAddress]) -> dict[tuple[str, str], Mailbox]:
    keys: dict[str, set[str]] = {}
    for address in wanted:
        keys.setdefault(address.domain, set()).add(address.local_key)
    found = {}
    for domain, local_keys in keys.items():
        rows = Mailbox.objects.live().filter(domain__name=domain, address_row__local_key__in=local_keys)
        for mailbox in rows.select_related("domain", "address_row"):
            found[domain, mailbox.address_row.local_key] = mailbox
    return found
