"""What the log of emails is searched for."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from emailgistics.common import between
from emailgistics.common.ids import decode_id
from mailboxes.addresses import InvalidAddressError, ParsedAddress, address_key, domain_key
from mailboxes.listing import Filters
from mailboxes.models import MAX_KEY, Domain, Email, Mailbox, Message
from mailboxes.services.search import message_id_key
from mailboxes.words import NoWordsError, Term, terms

# by what other pages' links name a field, as Django's lists do
OTHER_NAMES = {
    "status__exact": "status",
    "has_attachment__exact": "attachment",
    "mailbox__id__exact": "mailbox",
    "quarantine_rule__id__exact": "rule",
}
SPANS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}
SPAN_CHOICES = [
    ("", gettext_lazy("Any time")),
    ("24h", gettext_lazy("In 24 hours")),
    ("7d", gettext_lazy("In 7 days")),
    ("30d", gettext_lazy("In 30 days")),
    ("90d", gettext_lazy("In 90 days")),
]
NOT_HERE = gettext_lazy("There is no mailbox %(name)s. Write its address, or @ and a domain for all mailboxes of that.")


class DateInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]  # unfold has no types
    input_type = "date"


def _text(label: Any, help_text: Any = "", **options: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", **options.pop("attrs", {})})
    return forms.CharField(label=label, help_text=help_text, required=False, max_length=1000, widget=widget, **options)


def _day(label: Any) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=DateInput())


class LogForm(forms.Form):
    """Its fields are what may stand in the address of the log; a link from elsewhere is a search as well."""

    q = _text(gettext_lazy("Search"), attrs={"type": "search"})
    says = forms.BooleanField(
        label=gettext_lazy("Also in what mails say"),
        required=False,
        help_text=gettext_lazy("Text, further names in headers, names of files. Otherwise what the log shows."),
        widget=UnfoldBooleanSwitchWidget,
    )
    author = _text(gettext_lazy("From"), gettext_lazy("An address, or @example.net for a whole domain."))
    to = _text(gettext_lazy("To"), gettext_lazy("An address that it was for on the envelope."))
    subject = _text(gettext_lazy("Words in the subject"), gettext_lazy("All of them; engin* finds engine."))
    message_id = _text(gettext_lazy("Message-ID"))
    mailbox = _text(
        gettext_lazy("Mailbox"),
        gettext_lazy("An address, or @example.com for a whole domain."),
        attrs={"list": "mailboxes"},
    )
    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", gettext_lazy("Any")), *Email.Status.choices],
    )
    attachment = forms.ChoiceField(
        label=gettext_lazy("Attachments"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", gettext_lazy("With or without")), ("1", gettext_lazy("With")), ("0", gettext_lazy("Without"))],
    )
    received = forms.ChoiceField(
        label=gettext_lazy("Received"),
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=SPAN_CHOICES,
    )
    since = _day(gettext_lazy("From the day"))
    until = _day(gettext_lazy("To the day"))
    # links only
    rule = forms.UUIDField(required=False, widget=forms.HiddenInput)
    domain = forms.UUIDField(required=False, widget=forms.HiddenInput)
    FIRST: ClassVar = ("q",)

    def __init__(self, given: Mapping[str, Any], *, may_read: bool) -> None:
        data = {name: given[name] for name in given if name in self.base_fields}
        data |= {name: given[other] for other, name in OTHER_NAMES.items() if other in given and name not in data}
        super().__init__(data)
        if not may_read:
            del self.fields["says"]
        # a link of a number that was counted: that time is chosen then
        text = str(data.get("received", ""))
        self.bounds = between.read(text)
        if self.bounds:
            received = cast("forms.ChoiceField", self.fields["received"])
            received.choices = [*SPAN_CHOICES, (text, between.shown(*self.bounds))]
        self.email_id: UUID | None = None
        self.message_id_in_q: UUID | None = None

    @property
    def further(self) -> list[forms.BoundField]:
        """All but the first line."""
        return [field for field in self.visible_fields() if field.name not in (*self.FIRST, "says")]

    @property
    def is_narrowed(self) -> bool:
        """Whether anything below the first line is asked for."""
        return any(str(field.value() or "").strip() for field in (*self.further, self["rule"], self["domain"]))

    @property
    def is_used(self) -> bool:
        return self.is_narrowed or bool(str(self["q"].value() or "").strip())

    @property
    def named_mailbox(self) -> str:
        """Of a form that was looked through: what to show in the field in place of an id that a link gave."""
        mailbox = self.cleaned_data.get("mailbox", {}).get("mailbox")
        return mailbox.address if mailbox else ""

    def clean_q(self) -> tuple[Term, ...]:
        text = self.cleaned_data["q"].strip()
        self.email_id = decode_id(Email.ID_PREFIX, text)
        self.message_id_in_q = decode_id(Message.ID_PREFIX, text)
        return () if self.email_id or self.message_id_in_q else _terms(text)

    def clean_subject(self) -> tuple[Term, ...]:
        return _terms(self.cleaned_data["subject"])

    def clean_author(self) -> dict[str, str]:
        text = self.cleaned_data["author"].strip()
        if not text:
            return {}
        return {"from_domain": _domain(text)} if text.startswith("@") else {"from_key": _address(text)}

    def clean_to(self) -> str:
        text = self.cleaned_data["to"].strip()
        return _address(text) if text else ""

    def clean_message_id(self) -> str:
        return message_id_key(self.cleaned_data["message_id"])

    def clean_mailbox(self) -> dict[str, Mailbox | Domain]:
        text = self.cleaned_data["mailbox"].strip()
        if not text:
            return {}
        if text.startswith("@"):
            domain = Domain.objects.filter(name=_domain(text)).order_by("-pk").first()
            found: dict[str, Mailbox | Domain] = {"domain": domain} if domain else {}
        else:
            mailbox = _mailbox(text)
            found = {"mailbox": mailbox} if mailbox else {}
        if not found:
            raise ValidationError(NOT_HERE, params={"name": text[:MAX_KEY]})
        return found

    def clean_domain(self) -> Domain | None:
        pk = self.cleaned_data["domain"]
        domain = Domain.objects.filter(pk=pk).first() if pk else None
        if pk and domain is None:
            raise ValidationError(_("There is no such domain."))
        return domain

    def filters(self) -> Filters:
        """Of a valid form."""
        given = self.cleaned_data
        return Filters(
            **{"domain": given["domain"], **given["mailbox"]},
            **given["author"],
            status=given["status"] or None,
            recipient_key=given["to"] or None,
            message_id=given["message_id"] or None,
            has_attachment={"1": True, "0": False}.get(given["attachment"]),
            received_from=self._from(),
            received_until=self._until(),
            subject=given["subject"],
            anywhere=given["q"],
            reads_content=bool(given.get("says")) and bool(given["q"]),
        )

    def _from(self) -> datetime | None:
        span, day = SPANS.get(self.cleaned_data["received"]), self.cleaned_data["since"]
        starts = [timezone.now() - span] if span else [self.bounds[0]] if self.bounds else []
        return max([*starts, *([_start(day)] if day else [])], default=None)

    def _until(self) -> datetime | None:
        day = self.cleaned_data["until"]
        ends = [self.bounds[1]] if self.bounds else []
        return min([*ends, *([_start(day + timedelta(days=1))] if day else [])], default=None)


def _mailbox(text: str) -> Mailbox | None:
    rows = Mailbox.objects.select_related("domain")
    pk = decode_id(Mailbox.ID_PREFIX, text) or _uuid(text)
    if pk is not None:
        return rows.filter(pk=pk).first()
    try:
        address = ParsedAddress.parse(text)
    except InvalidAddressError:
        return None
    return rows.filter(address_row__local_key=address.local_key, address_row__domain__name=address.domain).first()


def _start(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _terms(text: str) -> tuple[Term, ...]:
    if not text.strip():
        return ()
    try:
        return tuple(terms(text))
    except NoWordsError as error:
        raise ValidationError(str(error)) from error


def _address(text: str) -> str:
    if "@" not in text.strip("@"):
        raise ValidationError(_("This is an address, as support@example.com."))
    return address_key(text)[:MAX_KEY]


def _domain(text: str) -> str:
    try:
        return domain_key(text[1:])
    except InvalidAddressError as error:
        raise ValidationError(_("This is no domain: write it as @example.com.")) from error


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
