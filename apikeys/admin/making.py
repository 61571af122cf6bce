"""Making a key, or one that takes another's place: a form that counts once, and the one answer that shows the key."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from apikeys import console, presets, words
from apikeys.admin.frame import KeyPages
from apikeys.forms import KeyForm, RotateForm
from apikeys.models import ApiKey
from apikeys.rotation import rotate_api_key
from apikeys.services import KeyEndedError, create_api_key
from emailgistics.common import one_use
from emailgistics.common.clients import client_address
from emailgistics.common.errors import RefusedError
from mailboxes.addresses import shown

PURPOSE = "apikey"  # of the one-use tokens
TAKE = "take"  # the buttons that fill in a preset, where no script does
FIELD_OF = {"expires_at": "expiry"}  # where an error of the service is shown, if the names differ


class MakingPages(KeyPages):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("add/preview/", view(self.preview_view), name="apikeys_apikey_preview"),
            path("mailboxes/", view(self.mailboxes_view), name="apikeys_apikey_mailboxes"),
            path("<path:object_id>/rotate/", view(self.rotate_view), name="apikeys_apikey_rotate"),
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
        asked = request.POST.get(TAKE) or request.GET.get("preset", "")
        taken = presets.BY_SLUG.get(asked)
        if asked and taken is None:
            known = words.listed(list(presets.BY_SLUG))
            told = _("There is no preset %(asked)s, so none was filled in; there are %(known)s.") % {
                "asked": shown(asked),
                "known": known,
            }
            self.message_user(request, told, messages.WARNING)
        return self._form(request, KeyForm(initial=filled | (console.filled_by(taken) if taken else {})))

    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """A key in the place of another. As long as both work, the page of the old one says who still calls with it."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        old = self._key(request, object_id)
        if old is None:
            return self._not_there(request, object_id)
        if request.method == "POST":
            return self._generate(request, old)
        if not console.is_in_force(old, now=timezone.now()):
            return self._ended(request, old)
        now = timezone.now()
        filled = console.narrowed_from(old, now=now) if "narrower" in request.GET else console.filled_from(old)
        return self._form(request, RotateForm(initial=filled), old)

    @sensitive_variables("plaintext")
    def _generate(self, request: HttpRequest, old: ApiKey | None = None) -> HttpResponseBase:
        """The one answer in which the whole key exists; or the form again; or the page of a form that was spent."""
        token = request.POST.get(one_use.FIELD, "")
        form = RotateForm(request.POST) if old else KeyForm(request.POST)
        try:
            # before anything else: who sends it again is told what it made, whatever became of the old key
            one_use.refuse_if_spent(token, user_id=request.user.pk, purpose=_purpose(old))
            if not form.is_valid():
                return self._form(request, form, old)
            key, plaintext = self._make(request, form, token, old)
        except one_use.FormSpentError as spent:
            return self._already_made(request, spent.made)
        except RefusedError as refused:
            field = FIELD_OF.get(refused.field or "", refused.field)
            form.add_error(field if field in form.fields else None, refused.message)
            return self._form(request, form, old)
        except KeyEndedError:
            assert old is not None
            return self._ended(request, old)
        shown = console.shown_once(key, plaintext, old=old, now=timezone.now())
        return self._page(request, "apikeys/made.html", title=_("Key generated"), key=key, **shown)

    def _make(self, request: HttpRequest, form: KeyForm, token: str, old: ApiKey | None) -> tuple[ApiKey, str]:
        person, address = self._person(request), client_address(request)
        with transaction.atomic():
            spent = one_use.spend(token, user_id=request.user.pk, purpose=_purpose(old))
            if old:
                key, plaintext = rotate_api_key(old, **form.new_key(), by=person, address=address)
                self.log_change(request, old, f"Rotated: {key.identifier} takes its place.")
            else:
                key, plaintext = create_api_key(**form.new_key(), created_by=person, address=address)
            spent.made = key.identifier
            spent.save(update_fields=["made"])
            self.log_addition(request, key, [{"added": {}}])
        return key, plaintext

    def _form(self, request: HttpRequest, form: KeyForm, old: ApiKey | None = None) -> TemplateResponse:
        return self._page(
            request,
            "apikeys/add.html",
            title=_("Rotate %(name)s") % {"name": old.name} if old else _("Add Key"),
            old=old,
            verb=_("Rotate Key") if old else _("Generate Key"),
            action=_address("rotate", old) if old else reverse("admin:apikeys_apikey_add"),
            back=_address("change", old) if old else reverse("admin:apikeys_apikey_changelist"),
            token=one_use.new_token(user_id=request.user.pk, purpose=_purpose(old)),
            **console.form_parts(form, address=client_address(request), now=timezone.now()),
        )

    def _already_made(self, request: HttpRequest, made: str) -> TemplateResponse:
        return self._page(
            request,
            "apikeys/already_made.html",
            status=409,
            title=_("This key was made already"),
            made=made,
            key=ApiKey.objects.filter(identifier=made).first(),
        )

    def _ended(self, request: HttpRequest, old: ApiKey) -> HttpResponseBase:
        self.message_user(request, _("%(key)s has ended: add a new key.") % {"key": old}, messages.WARNING)
        return redirect("admin:apikeys_apikey_change", old.pk)

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


def _purpose(old: ApiKey | None) -> str:
    """Of the one-use token: a form belongs to the key that it rotates."""
    return f"{PURPOSE} after {old.identifier}" if old else PURPOSE


def _address(page: str, key: ApiKey) -> str:
    return reverse(f"admin:apikeys_apikey_{page}", args=[key.pk])
