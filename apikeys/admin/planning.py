"""Giving a key another plan, the one thing about it that can change."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _

from apikeys import console
from apikeys.admin.frame import KeyPages
from apikeys.forms import PlanForm
from apikeys.models import ApiKey
from apikeys.plans import limits_of
from apikeys.services import change_plan
from emailgistics.common.clients import client_address
from emailgistics.common.errors import ConflictError, RefusedError


class PlanPages(KeyPages):
    def get_urls(self) -> list[URLPattern]:
        page = path("<path:object_id>/plan/", self.admin_site.admin_view(self.plan_view), name="apikeys_apikey_plan")
        return [page, *super().get_urls()]

    def plan_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        key = self._key(request, object_id)
        if key is None:
            return self._not_there(request, object_id)
        initial = {"plan": key.rate_plan, **(key.own_limits or {})}
        form = PlanForm(request.POST if request.method == "POST" else None, initial=initial)
        if form.is_valid() and (answer := self._change_plan(request, key, form)):
            return answer
        return self._page(
            request,
            "apikeys/plan.html",
            title=_("Plan of %(name)s") % {"name": key.name},
            form=form,
            original=key,
            key=key,
            in_force=console.is_in_force(key, now=timezone.now()),
            **console.plans_of(form),
        )

    def _change_plan(self, request: HttpRequest, key: ApiKey, form: PlanForm) -> HttpResponseBase | None:
        """None: the form says why not."""
        try:
            with transaction.atomic():
                plan = form.cleaned_data["plan"]
                change_plan(
                    key,
                    plan=plan,
                    own_limits=form.own_limits(),
                    by=self._person(request),
                    address=client_address(request),
                )
                self.log_change(request, key, f"Plan: {plan}, {console.limits_in_short(limits_of(key))}.")
        except RefusedError as refused:
            form.add_error(refused.field if refused.field in form.fields else None, refused.message)
            return None
        except ConflictError as ended:
            self.message_user(request, ended.message, messages.ERROR)
        else:
            self.message_user(
                request,
                _("%(key)s may make %(limits)s from now on.")
                % {"key": key, "limits": console.limits_in_short(limits_of(key))},
            )
        return redirect("admin:apikeys_apikey_change", key.pk)
