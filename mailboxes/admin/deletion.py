"""Marking addresses deleted. First the page says what will stop working, then it asks once."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.widgets import UnfoldBooleanSwitchWidget

from emailgistics.common.access import Actor
from emailgistics.common.admin import MAX_COUNTED, ConsoleModelAdmin
from emailgistics.common.errors import DomainError
from mailboxes.models import ADDRESS_RESTS_FOR, Alias, Domain, Email, Mailbox, Rule
from mailboxes.services import provision

Owner = Domain | Mailbox | Alias
NAMED = 10  # of many things, so many by name

# what apps above have to say: sentences about a thing that is about to go
also_stops: list[Callable[[Owner], Iterable[str]]] = []


class DeleteForm(forms.Form):
    with_mail = forms.BooleanField(
        label=gettext_lazy("Its mail may go"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("It is erased for good, little by little; without this nothing is deleted."),
    )


class DeletableAdmin(ConsoleModelAdmin):
    """For what has `deleted_at`. What is deleted is looked at, not changed."""

    def has_change_permission(self, request: HttpRequest, obj: Owner | Rule | None = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Owner | Rule | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002 - as Django calls it
    ) -> HttpResponse:
        row: Owner | None = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        if row is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        form = DeleteForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._deleted(request, row, form):
            self.message_user(request, _("%(row)s is deleted.") % {"row": row}, messages.SUCCESS)
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Delete %(row)s") % {"row": row},
            "opts": self.opts,
            "object": row,
            "refusal": refusal(row),
            "consequences": list(consequences(row)),
            "form": form,
            "asks_about_mail": emails_of(row).exists(),
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk]),
        }
        return TemplateResponse(request, "mailboxes/delete.html", context)

    def _deleted(self, request: HttpRequest, row: Owner, form: DeleteForm) -> bool:
        try:
            with transaction.atomic():
                self.log_deletions(request, [row])
                delete(row, with_mail=form.cleaned_data["with_mail"], by=Actor(request.user.get_username()))
        except provision.NotEmptyError:
            form.add_error(
                "with_mail",
                _("%(row)s still has mail: disable it instead, or tick that its mail may go.") % {"row": row},
            )
        except DomainError as error:
            form.add_error(None, error.message)
        return form.is_valid()


def delete(row: Owner, *, with_mail: bool, by: Actor) -> None:
    """Raises NotEmptyError, ConflictError."""
    match row:
        case Domain():
            provision.delete_domain(row, with_mail=with_mail, by=by)
        case Mailbox():
            provision.delete_mailbox(row, with_mail=with_mail, by=by)
        case Alias():
            provision.delete_alias(row, by=by)


def refusal(row: Owner) -> str:
    """Why it cannot go at all, if that is so."""
    if isinstance(row, Mailbox) and row.domain.default_mailbox_id == row.pk:
        return _(
            "%(row)s is the default mailbox of %(domain)s, which takes mail for postmaster and abuse. Choose "
            "another default mailbox for the domain first, or delete the whole domain."
        ) % {"row": row, "domain": row.domain}
    return ""


def consequences(row: Owner) -> Iterator[str]:
    yield _("Mail to %(row)s is refused from now on.") % {"row": row}
    if mailboxes := named(mailboxes_of(row)):
        yield _("%(mailboxes)s of the domain are deleted with it.") % {"mailboxes": mailboxes}
    if aliases := named(aliases_of(row)):
        yield _("Deleted with it: %(aliases)s.") % {"aliases": aliases}
    if count := rules_of(row).count():
        yield ngettext(
            "%(count)s rule about its mail end with it.", "%(count)s rules about its mail end with it.", count
        ) % {"count": f"{count:,}"}
    for said in also_stops:
        yield from said(row)
    if emails := counted(emails_of(row)):
        yield _("No key can read its %(emails)s any more, and they are erased for good.") % {"emails": emails}
    if not (isinstance(row, Alias) and row.kind == Alias.Kind.CATCH_ALL):
        yield _("Nobody else can have the name for %(days)s days, so that its mail reaches nobody new.") % {
            "days": ADDRESS_RESTS_FOR.days
        }
    yield _("This cannot be undone: what is made again under the same name is a new thing that no key was given.")


def mailboxes_of(row: Owner) -> QuerySet[Mailbox]:
    return Mailbox.objects.live().filter(domain=row) if isinstance(row, Domain) else Mailbox.objects.none()


def aliases_of(row: Owner) -> QuerySet[Alias]:
    """Those that go with it."""
    match row:
        case Domain():
            return Alias.objects.live().filter(Q(domain=row) | Q(mailbox__domain=row))
        case Mailbox():
            return Alias.objects.live().filter(mailbox=row)
    return Alias.objects.none()


def rules_of(row: Owner) -> QuerySet[Rule]:
    match row:
        case Domain():
            of_aliases = Q(alias__domain=row) | Q(alias__mailbox__domain=row)
            return Rule.objects.live().filter(Q(domain=row) | Q(mailbox__domain=row) | of_aliases)
        case Mailbox():
            return Rule.objects.live().filter(Q(mailbox=row) | Q(alias__mailbox=row))
    return Rule.objects.live().filter(alias=row)


def emails_of(row: Owner) -> QuerySet[Email]:
    """Those that no key could read any more: none of an alias, they are in its mailbox."""
    match row:
        case Domain():
            return Email.objects.filter(mailbox__domain=row, mailbox__deleted_at=None)
        case Mailbox():
            return Email.objects.filter(mailbox=row)
    return Email.objects.none()


def counted(emails: QuerySet[Email]) -> str:
    count = emails.order_by()[: MAX_COUNTED + 1].count()
    if count > MAX_COUNTED:
        return _("more than %(count)s emails") % {"count": f"{MAX_COUNTED:,}"}
    return ngettext("%(count)s email", "%(count)s emails", count) % {"count": f"{count:,}"} if count else ""


def named(rows: QuerySet[Any]) -> str:
    """`2 aliases (a@example.com, b@example.com)`, or nothing."""
    count = rows.count()
    if not count:
        return ""
    some = ", ".join(str(row) for row in rows.select_related("domain")[:NAMED])
    if count > NAMED:
        some = _("%(list)s and %(count)s more") % {"list": some, "count": count - NAMED}
    if rows.model is Mailbox:
        told = ngettext("%(count)s mailbox (%(names)s)", "%(count)s mailboxes (%(names)s)", count)
    else:
        told = ngettext("%(count)s alias (%(names)s)", "%(count)s aliases (%(names)s)", count)
    return told % {"count": count, "names": some}
