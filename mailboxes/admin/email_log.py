"""The log of emails: searched as over the API, a page at a time, and each row says where its mail stands."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from emailgistics.common.admin import HistoryAdmin, without_keys
from emailgistics.common.ids import decode_id, first_id_at
from emailgistics.common.pagination import Rows, RowsInOrder
from emailgistics.common.roles import Action, may
from emailgistics.common.text import printable
from mailboxes.admin import facts, fate
from mailboxes.admin.filters import among_newest
from mailboxes.admin.log_form import OTHER_NAMES, LogForm
from mailboxes.listing import ID_WITHIN, EmailList, EmailSearch, Filters, SearchTooWideError
from mailboxes.models import Email, Mailbox

ON_A_PAGE = 50
MAX_COUNTED = 1_000
OF_A_RULE_AMONG = 100_000  # no index finds what a rule kept back: of so many, the newest
MAX_NAMED = 100  # mailboxes that the field offers while one writes
OLDER, NEWER = "before", "after"  # parameters: an email's id


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the log, newest first."""

    result_list: list[Email]
    result_count: int  # of all that was found, up to MAX_COUNTED + 1
    has_newer: bool = False
    has_older: bool = False

    @property
    def is_capped(self) -> bool:
        return self.result_count > MAX_COUNTED

    @property
    def newest(self) -> str:
        return self.result_list[0].public_id

    @property
    def oldest(self) -> str:
        return self.result_list[-1].public_id


class EmailLog(HistoryAdmin):
    """The list; `EmailAdmin` adds the page of one."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if cleaned := without_keys(request.GET):
            return HttpResponseRedirect(f"{request.path}?{cleaned.urlencode()}")
        may_read = may(request, Action.READ_MAIL)
        if request.GET.get("says") and not may_read:
            raise PermissionDenied  # what a mail says must not be learnt from whether it is found
        form = LogForm(request.GET, may_read=may_read)
        page = self._page(request, form) if _is_known(request, form) and form.is_valid() else Page([], 0)
        if address := form.named_mailbox:
            form.data = {**form.data, "mailbox": address}  # in place of the id that a link gave
        standings = fate.standings(page.result_list)
        request.current_app = self.admin_site.name  # for `{% url %}` in unfold's header
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "opts": self.opts,
            "title": _("Emails"),
            "found": page,
            "max_counted": MAX_COUNTED,
            "rows": [
                {
                    "email": email,
                    "author": facts.author(email),
                    "subject": facts.subject(email),
                    "standing": standings[email.pk],
                }
                for email in page.result_list
            ],
            "form": form,
            "mailboxes": _named_mailboxes(),
            "query": _query_without_place(request),
        }
        return TemplateResponse(request, "mailboxes/emails.html", context)

    def _page(self, request: HttpRequest, form: LogForm) -> Page:
        rows = rows_of(form)
        before, after = (decode_id(Email.ID_PREFIX, request.GET.get(name, "")) for name in (OLDER, NEWER))
        try:
            found = _stretch(rows, before, after)
            count = rows.count(MAX_COUNTED + 1)
        except SearchTooWideError:
            form.add_error(None, _("This takes too long: narrow it by a mailbox, by days, or by rarer words."))
            return Page([], 0)
        if after is not None:
            shown = found[:ON_A_PAGE][::-1]
            return Page(shown, count, has_newer=len(found) > ON_A_PAGE, has_older=bool(shown))
        return Page(found[:ON_A_PAGE], count, has_newer=before is not None, has_older=len(found) > ON_A_PAGE)


def _is_known(request: HttpRequest, form: LogForm) -> bool:
    """Whether nothing is asked for that there is not: the rows would be those of another question."""
    unknown = sorted(set(request.GET) - {*form.fields, *OTHER_NAMES, OLDER, NEWER})
    if unknown:
        form.add_error(None, _("This list has no filter %s.") % printable(", ".join(unknown))[:200])
    return not unknown


def rows_of(form: LogForm) -> Rows[Email]:
    """What a valid form asks for."""
    shown = Email.objects.select_related("message", "mailbox__domain").defer("message__parse_defects")
    if form.email_id or form.message_id_in_q or form.cleaned_data["rule"]:
        return RowsInOrder(_few(form, shown))
    filters = form.filters()
    mailboxes = Mailbox.objects.all()  # those that were deleted as well, until their mail is erased
    if filters.mailbox is not None:
        mailboxes = mailboxes.filter(pk=filters.mailbox.pk)
    if filters.domain is not None:
        mailboxes = mailboxes.filter(domain=filters.domain)
    if filters.anywhere or filters.subject:
        return EmailSearch(shown, mailboxes, filters)
    if filters == Filters(received_from=filters.received_from, received_until=filters.received_until):
        return RowsInOrder(_within(shown, filters))  # the primary key has their order
    return EmailList(shown, mailboxes, filters)


def _few(form: LogForm, shown: QuerySet[Email]) -> QuerySet[Email]:
    """By an id: other fields do not narrow that."""
    if form.email_id:
        return shown.filter(pk=form.email_id)
    if form.message_id_in_q:
        return shown.filter(message=form.message_id_in_q)
    return among_newest(shown, OF_A_RULE_AMONG).filter(quarantine_rule=form.cleaned_data["rule"])


def _within(shown: QuerySet[Email], filters: Filters) -> QuerySet[Email]:
    if filters.received_from is not None:
        first = first_id_at(filters.received_from - ID_WITHIN)
        shown = shown.filter(received_at__gte=filters.received_from, pk__gte=first)
    if filters.received_until is not None:
        last = first_id_at(filters.received_until + ID_WITHIN)
        shown = shown.filter(received_at__lt=filters.received_until, pk__lt=last)
    return shown


def _stretch(rows: Rows[Email], before: UUID | None, after: UUID | None) -> list[Email]:
    """One more than is shown: then there is more."""
    if after is not None:
        return list(rows.oldest(ON_A_PAGE + 1, after=after))
    return list(rows.newest(ON_A_PAGE + 1, before=before))


def _named_mailboxes() -> list[str]:
    rows = Mailbox.objects.live().select_related("domain").order_by("domain__name", "local_part")
    return [mailbox.address for mailbox in rows[:MAX_NAMED]]


def _query_without_place(request: HttpRequest) -> str:
    query = request.GET.copy()
    for name in (OLDER, NEWER):
        query.pop(name, None)
    return query.urlencode()
