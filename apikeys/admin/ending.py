"""Ending a key, at once or at a time: first the page says what stops working, then it asks once."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from apikeys import console, use
from apikeys.admin.frame import KeyPages
from apikeys.forms import RevokeForm
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key


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
            self.message_user(request, f"{key} was revoked before; that is final.")
            return redirect("admin:apikeys_apikey_change", key.pk)
        left = outliving(key)
        form = RevokeForm(
            request.POST if request.method == "POST" else None, pausable=[one.id for one in left if one.can_pause]
        )
        if form.is_valid():
            return self._revoke(request, key, form)
        return self._page(
            request,
            "apikeys/revoke.html",
            title=f"Delete {key.name}?",
            form=form,
            original=key,
            outliving=left,
            to_pause=form["pause"].value() or [],
            calls=use.by_day([key], days=use.IN_LIST_DAYS, now=now)[key.pk].words(),
            **console.facts_of(key, now=now),
            **(extra_context or {}),
        )

    def _revoke(self, request: HttpRequest, key: ApiKey, form: RevokeForm) -> HttpResponseBase:
        with transaction.atomic():
            revoke_api_key(key, by=self._person(request), reason=form.cleaned_data["reason"])
            paused = sum(kind.pause(key, form.cleaned_data["pause"]) for kind in outlivings)
            self.log_change(request, key, "Revoked.")
        told = f" {paused} webhook{'' if paused == 1 else 's'} of it paused." if paused else ""
        self.message_user(request, f"{key} is revoked: every call with it answers 401 from now on.{told}")
        return redirect("admin:apikeys_apikey_changelist")
