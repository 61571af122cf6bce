"""The page "Where would mail to … go, and why?": the decisions about a mail that is not sent."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from emailgistics.common.errors import DomainError
from mailboxes.services.explain import Destination, Outlook, explain
from mailboxes.smtp.syntax import MAX_SENDER_LENGTH

MAX_ASKED_LENGTH = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody who would be told of the mail; how says what would become of that."""

    name: str
    href: str
    how: str


# what apps above have to say: who would be told of the mail in one of the mailboxes where it would be
would_tell: list[Callable[[Outlook, Destination], Iterable[Told]]] = []


class QuestionForm(forms.Form):
    address = forms.CharField(
        max_length=MAX_ASKED_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as help+order-7@example.com."),
    )
    mail_from = forms.CharField(
        label=gettext_lazy("Sender"),
        required=False,
        max_length=MAX_SENDER_LENGTH,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("On the envelope, for rules that ask for it. Empty is the null sender, as of a bounce."),
    )
    client_ip = forms.CharField(
        label=gettext_lazy("Client"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("IP address of the sender's host. Empty: the mail comes from this installation itself."),
    )
    size = forms.IntegerField(
        label=gettext_lazy("Octets"),
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=gettext_lazy("Its size."),
    )

    def outlook(self) -> Outlook | None:
        """None where the form is wrong, and says so."""
        if not self.is_valid():
            return None
        values = self.cleaned_data
        try:
            return explain(
                values["address"],
                mail_from=values["mail_from"],
                client_ip=values["client_ip"] or None,
                size=values["size"],
            )
        except DomainError as error:
            self.add_error(error.field if error.field in self.fields else None, error.message)
            return None


class ExplainPage:
    """For the admin of aliases, whose list is where people look for it."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        page = path("explain/", self.admin_site.admin_view(self.explain_view), name="mailboxes_alias_explain")
        others: list[URLPattern] = super().get_urls()  # type: ignore[misc]  # of the admin that it is mixed into
        return [page, *others]

    def explain_view(self, request: HttpRequest) -> HttpResponse:
        """By GET: nothing changes, and the address of the page can be passed on."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        form = QuestionForm(request.GET if "address" in request.GET else None)
        outlook = form.outlook() if form.is_bound else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Where mail goes"),
            "opts": self.opts,
            "form": form,
            "outlook": outlook,
            "destinations": [(one, _told(outlook, one)) for one in outlook.destinations] if outlook else [],
        }
        return TemplateResponse(request, "mailboxes/explain.html", context)


def _told(outlook: Outlook, destination: Destination) -> list[Told]:
    return [told for say in would_tell for told in say(outlook, destination)]


def explain_url(address: str) -> str:
    page = reverse("admin:mailboxes_alias_explain")
    return f"{page}?{urlencode({'address': address})}" if address else page
