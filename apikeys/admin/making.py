"""Making a key, or one that takes another's place: a form that counts once, and the one answer that shows the key."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from apikeys import console, presets
from apikeys.admin.frame import KeyPages
from apikeys.forms import KeyForm
from apikeys.models import ApiKey
from apikeys.services import create_api_key
from emailgistics.common import one_use
from emailgistics.common.clients import client_address
from emailgistics.common.errors import RefusedError

PURPOSE = "apikey"  # of the one-use tokens
TAKE = "take"  # the buttons that fill in a preset, where no script does
FIELD_OF = {"expires_at": "expiry"}  # where an error of the service is shown, if the names differ


class MakingPages(KeyPages):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("add/preview/", view(self.preview_view), name="apikeys_apikey_preview"),
            path("mailboxes/", view(self.mailboxes_view), name="apikeys_apikey_mailboxes"),
            *super().get_urls(),
        ]

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponseBase:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method == "POST" and TAKE not in request.POST:
            return self._generate(request)
        filled = console.typed_so_far(request.POST) if request.method == "POST" else {}
        taken = presets.BY_SLUG.get(request.POST.get(TAKE) or request.GET.get("preset", ""))
        return self._form(request, KeyForm(initial=filled | (console.filled_by(taken) if taken else {})))

    @sensitive_variables("plaintext")
    def _generate(self, request: HttpRequest) -> HttpResponseBase:
        """The one answer in which the whole key exists; or the form again; or the page of a form that was spent."""
        token = request.POST.get(one_use.FIELD, "")
        form = KeyForm(request.POST)
        try:
            one_use.refuse_if_spent(token, user_id=request.user.pk, purpose=PURPOSE)
            if not form.is_valid():
                return self._form(request, form)
            key, plaintext = self._make(request, form, token)
        except one_use.FormSpentError as spent:
            return self._page(
                request,
                "apikeys/already_made.html",
                status=409,
                title="This key was made already",
                made=spent.made,
                key=ApiKey.objects.filter(identifier=spent.made).first(),
            )
        except RefusedError as refused:
            field = FIELD_OF.get(refused.field or "", refused.field)
            form.add_error(field if field in form.fields else None, refused.message)
            return self._form(request, form)
        return self._page(
            request, "apikeys/made.html", title="Key generated", key=key, **console.shown_once(key, plaintext)
        )

    def _make(self, request: HttpRequest, form: KeyForm, token: str) -> tuple[ApiKey, str]:
        with transaction.atomic():
            spent = one_use.spend(token, user_id=request.user.pk, purpose=PURPOSE)
            key, plaintext = create_api_key(**form.new_key(), created_by=self._person(request))
            spent.made = key.identifier
            spent.save(update_fields=["made"])
            self.log_addition(request, key, [{"added": {}}])
        return key, plaintext

    def _form(self, request: HttpRequest, form: KeyForm) -> TemplateResponse:
        token = one_use.new_token(user_id=request.user.pk, purpose=PURPOSE)
        parts = console.form_parts(form, address=client_address(request), now=timezone.now())
        return self._page(
            request,
            "apikeys/add.html",
            title="Add Key",
            verb="Generate Key",
            action=reverse("admin:apikeys_apikey_add"),
            back=reverse("admin:apikeys_apikey_changelist"),
            token=token,
            **parts,
        )

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """What the key of a form that is being filled in would be; see console.preview."""
        if request.method not in ("GET", "HEAD") or not self.has_add_permission(request):
            raise PermissionDenied
        return JsonResponse(console.preview(request.GET, now=timezone.now()))

    def mailboxes_view(self, request: HttpRequest) -> JsonResponse:
        """Mailboxes for the picker; see console.find_for_picker."""
        if request.method not in ("GET", "HEAD") or not self.has_add_permission(request):
            raise PermissionDenied
        return JsonResponse(
            console.find_for_picker(
                request.GET.get("q", ""), whole="whole" in request.GET, for_tests="for_tests" in request.GET
            )
        )
