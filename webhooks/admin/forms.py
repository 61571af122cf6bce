"""Forms of the console: what administrators write, as the services take it."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.urls import reverse_lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminAutocompleteModelChoiceFieldWidget,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from emailgistics.common.admin import SeenField
from emailgistics.common.errors import ConflictError, RefusedError
from webhooks import guard
from webhooks.admin.bindings import Bound, find_bound, kind_of
from webhooks.headers import MASK
from webhooks.models import MAX_IN_FLIGHT, Webhook, usual_event_types
from webhooks.services.webhooks import MAX_RATE_PER_MINUTE

PAYLOADS = (
    (
        Webhook.Payload.FULL,
        gettext_lazy("Full: the whole mail, with its text, its headers and the list of attachments"),
    ),
    (
        Webhook.Payload.METADATA,
        gettext_lazy("Metadata only: who, to whom, when, subject; nothing of what the mail says"),
    ),
)
ANOTHER_RECEIVER = format_lazy(
    gettext_lazy(
        "Another scheme, host or port is another receiver: headers kept as {mask} are dropped then, and a new secret "
        "signs from that moment on, shown once."
    ),
    mask=MASK,
)
KEEPING = format_lazy(
    gettext_lazy(
        "One “Name: value” a line. {mask} keeps the value a header has; a line that is taken out ends the header."
    ),
    mask=MASK,
)
NO_URL = gettext_lazy("Without a URL nothing is sent: its deliveries wait until a program with an API key pulls them.")
EVENTS = (
    (Webhook.EventType.EMAIL_RECEIVED, gettext_lazy("email.received: a mail came")),
    (
        Webhook.EventType.EMAIL_REPARSED,
        gettext_lazy(
            "email.reparsed: an operator had a stored mail opened again, and something of it is read otherwise now"
        ),
    ),
    (
        Webhook.EventType.WEBHOOK_DISABLED,
        gettext_lazy("webhook.disabled: another webhook for the same mail was disabled, because its receiver fails"),
    ),
)
ATTACHMENTS = (
    (
        Webhook.Attachments.LINKS,
        gettext_lazy("Links: each attachment has a signed URL, from which it is fetched without a key"),
    ),
    (
        Webhook.Attachments.INLINE,
        gettext_lazy("Inline: in the payload itself, base64, as far as they fit; for the rest, links"),
    ),
)


PLAIN = ("url", "events", "payload", "attachments", "max_in_flight", "rate_per_minute", "description")


class WebhookChangedError(ConflictError):
    """It is not any more what was on the page."""

    code = "webhook_changed"


class BoundField(forms.CharField):
    """One alias, mailbox or domain, by its id; chosen from what the server finds while somebody types."""

    widget = UnfoldAdminAutocompleteModelChoiceFieldWidget

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:  # noqa: ARG002
        return {"data-ajax--url": reverse_lazy("admin:webhooks_webhook_bindings"), "data-minimum-input-length": 0}

    def offer(self, public_id: str) -> None:
        """Shows what has that id as chosen; a list of thousands is not sent along."""
        bound = find_bound(public_id)
        if bound is not None:
            self.widget.choices = [(public_id, f"{kind_of(bound).capitalize()} {bound}")]

    def clean(self, value: Any) -> Bound | None:
        text = super().clean(value)
        bound = find_bound(text)
        if bound is None:
            raise forms.ValidationError(_("There is no such alias, mailbox or domain any more; choose another one."))
        return bound


class HeadersField(forms.CharField):
    """One `Name: value` a line -> a mapping in their order."""

    widget = UnfoldAdminTextareaWidget

    def clean(self, value: Any) -> Any:
        headers: dict[str, str] = {}
        for n, line in enumerate((super().clean(value) or "").splitlines(), start=1):
            if not line.strip():
                continue
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not (colon and name):
                # without the line itself: it may be a password
                raise forms.ValidationError(_("Line %(n)s is not written as “Name: value”.") % {"n": n})
            if name in headers:
                raise forms.ValidationError(
                    _("Line %(n)s: %(name)s is there twice; give each header once.") % {"n": n, "name": name}
                )
            headers[name] = text
        return headers

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Browsers send line ends of their own."""
        return bool((initial or "").splitlines() != (data or "").strip().splitlines())


class _WebhookForm(forms.Form):
    url = forms.CharField(
        label=gettext_lazy("URL"),
        max_length=guard.MAX_URL_LENGTH,
        required=False,
        widget=UnfoldAdminTextInputWidget({"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
        help_text=format_lazy(
            "{} {}",
            gettext_lazy(
                "Where events are posted to. It has to begin with https://, except for networks that an operator "
                "allows with WEBHOOK_ALLOW_NETWORKS."
            ),
            NO_URL,
        ),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("What it is told of"),
        choices=EVENTS,
        initial=usual_event_types,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={
            "required": gettext_lazy("Choose at least one: a webhook that is told of nothing is better paused.")
        },
    )
    payload = forms.ChoiceField(
        label=gettext_lazy("What is sent"),
        choices=PAYLOADS,
        initial=Webhook.Payload.FULL,
        widget=UnfoldAdminRadioSelectWidget,
    )
    attachments = forms.ChoiceField(
        label=gettext_lazy("How attachments come"),
        choices=ATTACHMENTS,
        initial=Webhook.Attachments.LINKS,
        widget=UnfoldAdminRadioSelectWidget,
        help_text=gettext_lazy("For the full payload. With metadata only, neither comes."),
    )
    max_in_flight = forms.IntegerField(
        label=gettext_lazy("Requests at once"),
        min_value=1,
        max_value=MAX_IN_FLIGHT,
        initial=MAX_IN_FLIGHT,
        widget=UnfoldAdminIntegerFieldWidget({"min": 1, "max": MAX_IN_FLIGHT}),
        help_text=gettext_lazy(
            "At most so many are under way at the same time, 1 to %(max_in_flight)s. With 1 they come one after "
            "the other."
        )
        % {"max_in_flight": MAX_IN_FLIGHT},
    )
    rate_per_minute = forms.IntegerField(
        label=gettext_lazy("Requests a minute"),
        required=False,
        min_value=1,
        max_value=MAX_RATE_PER_MINUTE,
        widget=UnfoldAdminIntegerFieldWidget({"min": 1, "max": MAX_RATE_PER_MINUTE}),
        help_text=gettext_lazy("At most so many; empty is no limit. What is more waits, and does not count as failed."),
    )
    description = forms.CharField(
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("For people: what it is for."),
    )
    headers = HeadersField(
        label=gettext_lazy("Own headers"),
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false", "placeholder": "Authorization: Bearer …"}),
        help_text=gettext_lazy(
            "Sent along with each request, one “Name: value” a line. Values are stored encrypted and not shown again."
        ),
    )

    def clean_url(self) -> str:
        """Judged here: a name is looked up, which no transaction should wait for."""
        url: str = self.cleaned_data["url"]
        if url and "url" in self.changed_data:
            try:
                return guard.check_url(url)
            except RefusedError as error:
                raise forms.ValidationError(error.message) from error
        return url


class AddWebhookForm(_WebhookForm):
    binding = BoundField(
        label=gettext_lazy("For mail to"),
        help_text=gettext_lazy(
            "An alias: mail to that address. A mailbox: all mail in it. A domain: all mail to any of its addresses."
        ),
    )
    field_order = ("binding", "url", "events", "payload", "attachments")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        binding = self.fields["binding"]
        if isinstance(binding, BoundField):
            binding.offer(str(self["binding"].value() or ""))


class ChangeWebhookForm(_WebhookForm):
    """The headers it has are offered by name, masked.

    What was on the page is sent along, so that only what somebody changed there is changed.
    """

    bound_field_class = SeenField

    def __init__(self, data: QueryDict | None, *, webhook: Webhook) -> None:
        self.webhook = webhook
        super().__init__(data, initial=_values(webhook))
        for field in self.fields.values():
            field.show_hidden_initial = True
        self.fields["url"].widget.attrs["data-url-now"] = webhook.url
        self.fields["url"].help_text = format_lazy("{} {}", self.fields["url"].help_text, ANOTHER_RECEIVER)
        self.fields["headers"].help_text = KEEPING

    def show_only(self) -> None:
        """For who may see how it is set, and not change it."""
        for field in self.fields.values():
            field.disabled = True
            field.show_hidden_initial = False
        self.fields["url"].help_text = ""
        self.fields["headers"].help_text = _("By name; their values are not shown.")

    def clean_headers(self) -> dict[str, str | None]:
        """A value of None keeps what is there."""
        return {name: None if value == MASK else value for name, value in self.cleaned_data["headers"].items()}

    @property
    def changes(self) -> dict[str, Any]:
        """Needs to be valid."""
        return {name: self.cleaned_data[name] for name in self.changed_data}

    def agree(self, row: Webhook) -> None:
        """Raises WebhookChangedError if what somebody changes is, by now, something else than he saw.

        So is the rest if the URL is: headers, and what is sent, were meant for that receiver. A description is for
        people.
        """
        now = _values(row)
        concerned = set(self.changed_data) | ({"url"} if set(self.changed_data) - {"description"} else set())
        stale = [name for name in self.fields if name in concerned and self._saw_otherwise(name, now[name])]
        if not stale:
            return
        for name in stale:
            self.add_error(name, _("Somebody changed this meanwhile. Now it is: ") + (_said(now[name]) or "empty"))
        # seen now: who saves it again means it
        seen = {self[name].html_initial_name: value for name, value in now.items()}
        unchanged = {name: value for name, value in now.items() if name not in self.changed_data}
        typed = {name: self[name].data for name in self.changed_data}
        sent = {name: self.data.get(name) for name in self.data}
        self.data = sent | seen | unchanged | typed
        raise WebhookChangedError(
            _(
                "Somebody changed this webhook while the page was open, so nothing was saved. Look it over, and save "
                "again."
            )
        )

    def _saw_otherwise(self, name: str, now: Any) -> bool:
        field = self.fields[name]
        seen = field.hidden_widget().value_from_datadict(self.data, self.files, self[name].html_initial_name)
        return field.has_changed(field.to_python(now), seen)


def _values(webhook: Webhook) -> dict[str, Any]:
    """As the fields have them; the headers by name."""
    headers = "\n".join(f"{name}: {MASK}" for name in webhook.header_names)
    return {"headers": headers, **{name: getattr(webhook, name) for name in PLAIN}}


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)
