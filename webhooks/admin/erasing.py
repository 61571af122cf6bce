"""Erasing one email, for its page, which is of an app that knows no webhooks: says what goes, and asks once."""

from collections.abc import Iterator
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from emailgistics.common import audit
from emailgistics.common.clients import client_address
from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.consequences import Step
from webhooks.admin.once import AsksOnce, who
from webhooks.admin.standings import Counts, counts_of
from webhooks.services.erase import erase_email

ERASED = "email.erased"


class ErasesEmails(AsksOnce):
    def erase_email_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Twice is as good as once, so the form needs no token; what was erased before is not here any more."""
        email = Email.objects.filter(pk=pk).first()
        if email is None:
            raise Http404
        if request.method == "POST":
            erased = erase_email(pk, by=who(request))
            audit.record(
                ERASED,
                of=email.public_id,
                person=request.user,  # type: ignore[arg-type]  # the site lets nobody else here
                address=client_address(request),
                details={"deliveries": erased.deliveries or 0},
            )
            messages.success(request, _("%s is erased.") % email.public_id)
            return HttpResponseRedirect(reverse("admin:mailboxes_email_changelist"))
        counts = counts_of([pk]).get(pk, Counts())
        step = Step(
            _("Delete the email"),
            _("Delete %s?") % email.public_id,
            list(_consequences(email, counts)),
            is_dangerous=True,
        )
        return self._page(
            request, "webhooks/confirm.html", email, form=forms.Form(), step=step, cancel_url=show.page_of(email)
        )


def _consequences(email: Email, counts: Counts) -> Iterator[str]:
    others = Email.objects.filter(message=email.message_id).exclude(pk=email.pk).count()
    yield _(
        "Its text, its headers, its attachments and what is known of it are erased for good, here and for all keys."
    )
    if others:
        yield ngettext(
            "The same mail is in another mailbox as well: that email stays, and so does the raw.",
            "The same mail is in %(count)s other mailboxes as well: these emails stay, and so does the raw.",
            others,
        ) % {"count": others}
    else:
        yield _("So is its raw: it is in no other mailbox.")
    if unsent := counts.pending + counts.held:
        yield ngettext(
            "A delivery that waits or is held is never sent.",
            "%(count)s deliveries that wait or are held are never sent.",
            unsent,
        ) % {"count": unsent}
    if counts.total:
        yield _("Links in what webhooks were sent open nothing any more; what they were sent, they have.")
    yield _("It cannot be undone. Only that an email with this id was erased stays on record, when, and by whom.")
