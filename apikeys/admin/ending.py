"""Ending a key, at once or at a time: first the page says what stops working, then it asks once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apikeys import console, use, words
from apikeys.admin.frame import KeyPages
from apikeys.forms import AT, EndForm, RevokeForm, minute_of
from apikeys.models import ApiKey
from apikeys.services import KeyEndedError, revoke_api_key, schedule_revocation
from emailgistics.common.clients import client_address
from emailgistics.common.errors import RefusedError

FIELD_OF = {"revoke_at": "at", "reason": "reason"}  # where an error of the service is shown


@dataclass(frozen=True, slots=True)
class Outliving:
    """Something that a key made in an app above this one, and that goes on when the key ends."""

    id: str
    name: str
    url: str  # of its page
    state: str
    can_pause: bool


@dataclass(frozen=True, slots=True)
class Outlivings:
    """What such an app has to say: what there is of a key, and how to pause it. pause returns how many it paused."""

    of_key: Callable[[ApiKey], Sequence[Outliving]]
    pause: Callable[[ApiKey, Collection[str]], int]


outlivings: list[Outlivings] = []  # filled by apps above


def outliving(key: ApiKey) -> list[Outliving]:
    return [one for kind in outlivings for one in kind.of_key(key)]


class EndingPages(KeyPages):
    def get_urls(self) -> list[URLPattern]:
        page = path("<path:object_id>/end/", self.admin_site.admin_view(self.end_view), name="apikeys_apikey_end")
        return [page, *super().get_urls()]

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Deleting is revoking: the row stays, for audit."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        key = self._key(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        now = timezone.now()
        if key.standing(now) is ApiKey.Standing.REVOKED:
            self.message_user(request, _("%(key)s was revoked before; that is final.") % {"key": key})
            return redirect("admin:apikeys_apikey_change", key.pk)
        if "call_off" in request.POST:
            return self._call_off(request, key)
        left = outliving(key)
        pausable = [one.id for one in left if one.can_pause]
        at = key.revoke_at
        initial = {"when": AT, "at": minute_of(at), "reason": key.revoke_reason} if at else None
        form = RevokeForm(request.POST if request.method == "POST" else None, pausable=pausable, initial=initial)
        if form.is_valid() and (answer := self._revoke(request, key, form, now)):
            return answer
        return self._page(
            request,
            "apikeys/revoke.html",
            title=_("Delete %(name)s?") % {"name": key.name},
            form=form,
            original=key,
            outliving=left,
            to_pause=form["pause"].value() or [],
            time_zone=timezone.get_current_timezone_name(),
            calls=use.by_day([key], days=use.IN_LIST_DAYS, now=now)[key.pk].words(),
            **console.facts_of(key, now=now),
            **(extra_context or {}),
        )

    def end_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Moves a revocation that has not come, or calls it off. Nothing on this page ends the key now."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        key = self._key(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        now = timezone.now()
        if not console.is_scheduled(key, now=now):
            self.message_user(
                request, _("%(key)s is not to be revoked at a time to come.") % {"key": key}, messages.WARNING
            )
            return redirect("admin:apikeys_apikey_change", key.pk)
        if "call_off" in request.POST:
            return self._call_off(request, key)
        initial = {"at": key.revoke_at and minute_of(key.revoke_at), "reason": key.revoke_reason}
        form = EndForm(request.POST if request.method == "POST" else None, initial=initial)
        if form.is_valid() and (answer := self._move(request, key, form)):
            return answer
        return self._page(
            request,
            "apikeys/end.html",
            title=_("When %(name)s ends") % {"name": key.name},
            form=form,
            original=key,
            key=key,
            time_zone=timezone.get_current_timezone_name(),
            **console.status_of(key, now=now),
        )

    def _move(self, request: HttpRequest, key: ApiKey, form: EndForm) -> HttpResponseBase | None:
        """None: the form says why not."""
        at, reason = form.cleaned_data["at"], form.cleaned_data["reason"]
        try:
            with transaction.atomic():
                person, address = self._person(request), client_address(request)
                schedule_revocation(key, at=at, by=person, reason=reason, address=address)
                self.log_change(request, key, f"To be revoked {words.instant(at)}.")
        except RefusedError as refused:
            form.add_error(FIELD_OF.get(refused.field or ""), refused.message)
            return None
        except KeyEndedError as ended:
            self.message_user(request, ended.message, messages.ERROR)
        else:
            self.message_user(request, _("%(key)s will be revoked %(at)s.") % {"key": key, "at": words.instant(at)})
        return redirect("admin:apikeys_apikey_change", key.pk)

    def _revoke(self, request: HttpRequest, key: ApiKey, form: RevokeForm, now: datetime) -> HttpResponseBase | None:
        """None: the form says why not."""
        at = form.ends_at(now=now)
        how: Any = {"by": self._person(request), "address": client_address(request)}
        how["reason"] = form.cleaned_data["reason"]
        try:
            with transaction.atomic():
                if at is None:
                    revoke_api_key(key, **how)
                else:
                    schedule_revocation(key, at=at, **how)
                paused = sum(kind.pause(key, form.cleaned_data["pause"]) for kind in outlivings)
                self.log_change(request, key, f"To be revoked {words.instant(at)}." if at else "Revoked.")
        except RefusedError as refused:
            form.add_error(FIELD_OF.get(refused.field or ""), refused.message)
            return None
        except KeyEndedError as ended:
            form.add_error(None, ended.message)
            return None
        if at:
            said = _("%(key)s will be revoked %(at)s: every call with it answers 401 from then on.") % {
                "key": key,
                "at": words.instant(at),
            }
        else:
            said = _("%(key)s is revoked: every call with it answers 401 from now on.") % {"key": key}
        told = ngettext("%(count)s webhook of it paused.", "%(count)s webhooks of it paused.", paused) if paused else ""
        told = told and told % {"count": paused}
        self.message_user(request, " ".join(filter(None, (said, told))))
        return redirect("admin:apikeys_apikey_changelist")

    def _call_off(self, request: HttpRequest, key: ApiKey) -> HttpResponseBase:
        try:
            with transaction.atomic():
                schedule_revocation(key, at=None, by=self._person(request), address=client_address(request))
                self.log_change(request, key, "Goes on: its scheduled end was called off.")
        except KeyEndedError as ended:
            self.message_user(request, ended.message, messages.ERROR)
        else:
            self.message_user(request, _("%(key)s goes on until it expires.") % {"key": key})
        return redirect("admin:apikeys_apikey_change", key.pk)
