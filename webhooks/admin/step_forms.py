"""Forms that belong to a question: pause, resume, rotate, stop all, replay a span, look at a signature."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from webhooks.models import Delivery, Webhook
from webhooks.services.replay_jobs import MAX_RATE_PER_MINUTE, RATE_PER_MINUTE

OVERLAPS = (
    (timedelta(hours=24), gettext_lazy("24 hours: change the receiver within a day")),
    (timedelta(hours=1), gettext_lazy("1 hour")),
    (timedelta(days=7), gettext_lazy("7 days")),
    (timedelta(0), gettext_lazy("None: the old secret is void now. For one that leaked")),
)
REPLAYED = (
    (Delivery.State.FAILED.value, gettext_lazy("Failed: given up after all attempts")),
    (Delivery.State.CANCELED.value, gettext_lazy("Canceled")),
    (Delivery.State.EXPIRED.value, gettext_lazy("Expired: not delivered in time")),
    (Delivery.State.DELIVERED.value, gettext_lazy("Delivered: the receiver gets them a second time")),
    ("all", gettext_lazy("All of these")),
)
MINUTES = "%Y-%m-%dT%H:%M"  # as browsers write what they call datetime-local
MAX_PASTED = 2_000_000  # characters


class PauseForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Shown beside its state, to you and over the API."),
    )


class ResumeForm(forms.Form):
    """To resume is to confirm where the alias leads; what is confirmed is what was on the page."""

    leads_to = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: QueryDict | None, *, webhook: Webhook) -> None:
        self.alias = webhook.alias
        self.now = webhook.alias.mailbox.public_id if webhook.alias else ""
        super().__init__(data, initial={"leads_to": self.now})

    def clean(self) -> None:
        if self.alias and self.cleaned_data.get("leads_to") != self.now:
            self.data = {**self.data, "leads_to": self.now}
            self.add_error(
                None,
                _("Meanwhile %(alias)s was led to %(mailbox)s: look at it again, and confirm.")
                % {"alias": self.alias, "mailbox": self.alias.mailbox},
            )


class StopForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Shown on every page of the console, with your name, until somebody starts them again."),
    )


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label=gettext_lazy("How long the old secret signs as well"),
        choices=[(str(int(overlap.total_seconds())), label) for overlap, label in OVERLAPS],
        initial=str(int(OVERLAPS[0][0].total_seconds())),
        widget=UnfoldAdminRadioSelectWidget,
    )

    def clean_overlap(self) -> timedelta:
        return timedelta(seconds=int(self.cleaned_data["overlap"]))


class MinuteField(forms.DateTimeField):
    """In the time zone of the installation, as a browser's own control writes it."""

    widget = UnfoldAdminTextInputWidget({"type": "datetime-local", "step": "60"})
    input_formats: Any = (MINUTES, f"{MINUTES}:%S")

    def prepare_value(self, value: Any) -> Any:
        return timezone.localtime(value).strftime(MINUTES) if isinstance(value, datetime) else value


class ReplayForm(forms.Form):
    """Which deliveries of a webhook are sent again."""

    since = MinuteField(label=gettext_lazy("Created since"))
    until = MinuteField(label=gettext_lazy("And before"))
    of_state = forms.ChoiceField(
        label=gettext_lazy("Which of them"),
        choices=REPLAYED,
        initial=Delivery.State.FAILED,
        widget=UnfoldAdminRadioSelectWidget,
    )
    rate_per_minute = forms.IntegerField(
        label=gettext_lazy("How many a minute"),
        min_value=1,
        max_value=MAX_RATE_PER_MINUTE,
        initial=RATE_PER_MINUTE,
        widget=UnfoldAdminIntegerFieldWidget({"min": 1, "max": MAX_RATE_PER_MINUTE}),
        help_text=gettext_lazy("So that the receiver is not swamped. New mail goes out beside it."),
    )

    def __init__(self, data: QueryDict | None, *, webhook: Webhook) -> None:
        now = timezone.now()
        since = max(now - timedelta(days=1), webhook.created_at)
        # the minute that is under way belongs to it
        super().__init__(data, initial={"since": since, "until": now + timedelta(minutes=1)})
        time_zone = {"name": timezone.get_current_timezone_name()}
        self.fields["since"].help_text = _("In the time zone %(name)s.") % time_zone

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since >= until:
            self.add_error("until", _("This is before the beginning: choose a later time."))


class SignatureForm(forms.Form):
    """A request as its receiver saw it. Whatever is pasted is looked at, and kept nowhere."""

    headers = forms.CharField(
        label=gettext_lazy("Headers of the request"),
        max_length=MAX_PASTED,
        widget=UnfoldAdminTextareaWidget({"rows": 7, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy("One “Name: value” a line, as the receiver got them; more than ours does no harm."),
    )
    body = forms.CharField(
        label=gettext_lazy("Body of the request"),
        max_length=MAX_PASTED,
        strip=False,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 10, "spellcheck": "false", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "The raw body, before any JSON parsing. Log it octet by octet: indentation breaks the signature."
        ),
    )

    def clean_body(self) -> str:
        """Browsers write every line end of a text area as CR LF; what we send has none at all."""
        body: str = self.cleaned_data["body"]
        return body.replace("\r\n", "\n")
