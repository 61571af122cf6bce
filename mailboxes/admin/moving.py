"""Moving the aliases that are chosen in the list to another mailbox."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextInputWidget

from emailgistics.common.errors import DomainError
from emailgistics.common.roles import Action, may
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Alias, Mailbox
from mailboxes.services import provision

APPLY = "apply"  # the field by which the second form is told from the first


class MoveForm(forms.Form):
    mailbox = forms.CharField(
        label=gettext_lazy("Mailbox"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Its address, such as support@example.com, or its id."),
    )

    def clean_mailbox(self) -> Mailbox:
        try:
            return find_mailbox(self.cleaned_data["mailbox"])
        except DomainError as error:
            raise ValidationError(error.message) from error


class MovesAliases:
    """For the list of aliases: an action that asks where to."""

    admin_site: Any
    opts: Any
    do_to_all: Callable[..., None]

    @admin.action(description=gettext_lazy("Move to another mailbox"))
    def move(self, request: HttpRequest, queryset: QuerySet[Alias]) -> HttpResponse | None:
        if not may(request, Action.MANAGE):
            raise PermissionDenied
        form = MoveForm(request.POST if APPLY in request.POST else None)
        if form.is_valid():
            to: Mailbox = form.cleaned_data["mailbox"]
            moving = queryset.filter(deleted_at=None).exclude(mailbox=to)
            self.do_to_all(
                request,
                moving,
                lambda alias: provision.update_alias(alias, mailbox=to),
                what=f"moved to {to}",
                told=_("moved to %(mailbox)s") % {"mailbox": to},
            )
            return None
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Move aliases"),
            "form": form,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "chosen_name": ACTION_CHECKBOX_NAME,
            "select_across": request.POST.get("select_across", "0"),
            "apply_name": APPLY,
            "count": queryset.order_by()[:10_001].count(),
            "some": list(queryset.order_by("pk")[:10]),
            "back": reverse("admin:mailboxes_alias_changelist"),
        }
        return TemplateResponse(request, "mailboxes/move.html", context)
