"""Forms for domains, mailboxes, aliases and rules. What is done is done by the services, and so is what is refused."""

from typing import Any, ClassVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from emailgistics.common.admin import SeenField
from emailgistics.common.errors import DomainError
from mailboxes import addresses
from mailboxes.management.commands.mailboxes import find_mailbox
from mailboxes.models import Alias, Domain, Mailbox, Rule
from mailboxes.services import provision, rule_book, rule_values
from mailboxes.services.provision import DEFAULT_MAILBOX, DEFAULT_PRIORITY, MAX_PRIORITY, Retention

RETENTION = gettext_lazy(
    "So many days after a mail was accepted it is removed for good, also of mail that is here already, unless the mail "
    "waits, is in quarantine, or has a delivery that is not over. Raw: the octets, with attachments. Content: what it "
    "says, headers too. Log: the email itself, with its deliveries. Empty is as the installation says. Nothing is kept "
    "longer than what it is a part of."
)


SUBDOMAINS = gettext_lazy(
    "Mail to support@any.example.com is mail to support@example.com then. A sub-domain that is here itself keeps its "
    "own mail."
)
FURTHER = gettext_lazy(
    "Addresses of further mailboxes, with commas between. Each gets an email of its own, of which the webhooks of that "
    "mailbox and its domain are told, and those of the alias are not."
)
PRIORITY = gettext_lazy(
    "Of patterns that fit an address the one with the lowest number takes its mail. Of no account elsewhere."
)


class MailboxesField(forms.CharField):
    """Mailboxes by their addresses; its value is the addresses, as they are written, once each and in their order."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> str:
        asked = [text.strip() for text in (super().to_python(value) or "").split(",") if text.strip()]
        try:
            return ", ".join(dict.fromkeys(find_mailbox(text).address for text in asked))
        except DomainError as error:
            raise ValidationError(error.message) from error


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable at run time
    """Its last check is the service itself, so that whatever that refuses is an error of the field it names.

    The admin's view opens the transaction around the form and what follows.
    """

    # the service's names for fields, where they are other ones than ours
    FIELD_OF: ClassVar[dict[str, str]] = {}

    def apply(self, given: dict[str, Any]) -> models.Model:
        """Makes or changes the thing. Raises DomainError."""
        raise NotImplementedError

    def given(self) -> dict[str, Any]:
        """What is applied."""
        return self.cleaned_data

    def _post_clean(self) -> None:
        """In place of Django's own: the model's rules are the service's."""
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.instance = self.apply(self.given())
        except DomainError as error:
            name = error.field or ""
            name = self.FIELD_OF.get(name, name.removesuffix("_id"))
            self.add_error(name if name in self.fields else None, error.message)


class ChangeForm(ServiceForm):
    """Applies what the person changed, and only that: others change things while the page is open.

    What he saw comes back with what he sends. If both changed a field, he is told at that field.
    """

    bound_field_class = SeenField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.initial.items():
            if isinstance(value, str):
                # the box of a browser has one line: without this, a second one would count as changed by him
                self.initial[name] = " ".join(value.splitlines())
        for field in self.fields.values():
            field.show_hidden_initial = True

    def clean(self) -> dict[str, Any]:
        super().clean()
        for name in self.changed_data:
            if name in self.cleaned_data and (now := self._now(name)) not in (
                self._seen(name),
                self.cleaned_data[name],
            ):
                self.add_error(
                    name,
                    _("It was changed meanwhile to %(value)s; open the page again and look.") % {"value": _said(now)},
                )
        return self.cleaned_data

    def given(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}

    def _now(self, name: str) -> Any:
        return self.fields[name].to_python(self.initial[name])

    def _seen(self, name: str) -> Any:
        try:
            return self.fields[name].to_python(self.data.get(self[name].html_initial_name))
        except ValidationError:
            return None  # no page of ours sent it


class AddDomainForm(ServiceForm):
    FIELD_OF = {"default_mailbox": "default_local_part"}

    name = forms.CharField(
        max_length=addresses.MAX_DOMAIN_OCTETS,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as example.com. It is not changed later."),
    )
    is_test = forms.BooleanField(
        label=gettext_lazy("Is for tests"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("Tells test mail from real mail; keys for development are offered test domains."),
    )
    includes_subdomains = forms.BooleanField(
        label=gettext_lazy("With its sub-domains"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=SUBDOMAINS,
    )
    default_local_part = forms.CharField(
        label=gettext_lazy("Default mailbox"),
        max_length=addresses.MAX_LOCAL_PART_OCTETS,
        initial=DEFAULT_MAILBOX,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "The part before the @ of its first mailbox, which takes mail for postmaster and abuse as well."
        ),
    )

    class Meta:
        model = Domain
        fields = ("is_test", "includes_subdomains")

    def apply(self, given: dict[str, Any]) -> Domain:
        return provision.create_domain(**given)


class ChangeDomainForm(ChangeForm):
    class Meta:
        model = Domain
        fields = ("is_active", "is_test", "includes_subdomains", "default_mailbox")
        labels = {
            "is_active": gettext_lazy("Active"),
            "is_test": gettext_lazy("Is for tests"),
            "includes_subdomains": gettext_lazy("With its sub-domains"),
        }
        help_texts = {
            "is_active": gettext_lazy("Mail to a disabled domain is refused."),
            "includes_subdomains": SUBDOMAINS,
            "default_mailbox": gettext_lazy("One of its own; it takes mail for postmaster and abuse."),
        }

    def apply(self, given: dict[str, Any]) -> Domain:
        return provision.update_domain(self.instance, **given)


class AddMailboxForm(ServiceForm):
    FIELD_OF = {"": "address", "domain_id": "address"}

    address = forms.CharField(
        max_length=addresses.MAX_ADDRESS_OCTETS,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Such as support@example.com, in a domain that is here. It is not changed later."),
    )

    class Meta:
        model = Mailbox
        fields = ("name", "is_active", "time_zone", "quota_bytes", "raw_days", "content_days", "log_days")
        labels = {
            "is_active": gettext_lazy("Active"),
            "quota_bytes": gettext_lazy("Quota, octets"),
            "raw_days": gettext_lazy("Raw, days"),
            "content_days": gettext_lazy("Content, days"),
            "log_days": gettext_lazy("Log, days"),
        }
        help_texts = {
            "name": gettext_lazy("For people, such as Support."),
            "is_active": gettext_lazy("Mail to a disabled mailbox and its aliases is refused."),
            "quota_bytes": (
                gettext_lazy(
                    "Of mail that it may hold, such as 2147483648 for 2 GiB; empty is no limit. Mail that does not "
                    "fit is refused for now, so its sender's host tries again."
                )
            ),
        }

    def apply(self, given: dict[str, Any]) -> Mailbox:
        return provision.create_mailbox(**_with_retention(given))


class ChangeMailboxForm(ChangeForm):
    class Meta(AddMailboxForm.Meta):
        pass

    def apply(self, given: dict[str, Any]) -> Mailbox:
        return provision.update_mailbox(self.instance, **_with_retention(given))


class AliasForm(ServiceForm):
    FIELD_OF = {"further_mailbox_ids": "also"}

    priority = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_PRIORITY,
        initial=DEFAULT_PRIORITY,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=PRIORITY,
    )
    also = MailboxesField(label=gettext_lazy("Further mailboxes"), required=False, help_text=FURTHER)

    class Meta:
        model = Alias
        fields = ("mailbox", "priority", "description", "is_active")
        labels = {"is_active": gettext_lazy("Active")}
        help_texts = {
            "mailbox": gettext_lazy("Where it leads."),
            "is_active": gettext_lazy(
                "Mail to a disabled alias is refused; a pattern that is disabled is passed over."
            ),
        }


class AddAliasForm(AliasForm):
    FIELD_OF = {**AliasForm.FIELD_OF, "": "address", "name": "address", "domain_id": "address"}

    address = forms.CharField(
        max_length=addresses.MAX_PATTERN_LENGTH + 1 + addresses.MAX_DOMAIN_OCTETS,
        widget=UnfoldAdminTextInputWidget,
        help_text=(
            gettext_lazy(
                "Such as help@example.com. With * or ? before the @, as in sales-*@example.com, or with a regular "
                "expression (RE2) between slashes, as in /order-[0-9]+/@example.com, it is a pattern of addresses. "
                "*@example.com takes whatever nothing else in the domain takes."
            )
        ),
    )

    def apply(self, given: dict[str, Any]) -> Alias:
        return provision.create_alias(**_with_further_mailboxes(given))


class ChangeAliasForm(ChangeForm, AliasForm):
    class Meta(AliasForm.Meta):
        help_texts = AliasForm.Meta.help_texts | {
            "mailbox": (
                gettext_lazy(
                    "Another one moves the alias. Mail that came before stays where it is, and its webhooks pause "
                    "until somebody resumes them: they would tell their receivers of another mailbox."
                )
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        copies = self.instance.copies.filter(mailbox__deleted_at=None).select_related("mailbox__domain")
        self.initial["also"] = ", ".join(copy.mailbox.address for copy in copies)

    def apply(self, given: dict[str, Any]) -> Alias:
        return provision.update_alias(self.instance, **_with_further_mailboxes(given))


def _with_further_mailboxes(given: dict[str, Any]) -> dict[str, Any]:
    others = {name: value for name, value in given.items() if name != "also" and (name, value) != ("priority", None)}
    if "also" not in given:
        return others
    return others | {"further_mailboxes": [find_mailbox(text) for text in given["also"].split(", ") if text]}


class AddRuleForm(ServiceForm):
    class Meta:
        model = Rule
        fields = ("action", "criterion", "value", "description", "is_active", "domain", "mailbox", "alias")
        labels = {"is_active": gettext_lazy("Active")}
        help_texts = {
            "action": (
                gettext_lazy(
                    "Allow lets pass what a wider or less particular rule would stop. Block refuses, or keeps back "
                    "what can be refused no longer. Discard throws away and says so under Refused mail. Quarantine "
                    "keeps back."
                )
            ),
            "criterion": gettext_lazy(
                "What it looks at. Of rules that fit, the narrowest scope decides, then this order."
            ),
            "value": (
                gettext_lazy(
                    "Sender: an address, &lt;&gt; for the null sender. Sender domain: example.net, with its "
                    "sub-domains. Network: 192.0.2.0/24 or one address. Attachment: image/* or .exe. Size: larger "
                    "than so many octets."
                )
            ),
            "description": gettext_lazy("For people."),
            "domain": gettext_lazy("At most one of these; none is all mail. All mail to addresses of the domain."),
            "mailbox": gettext_lazy("Mail that reaches it, by whatever address."),
            "alias": gettext_lazy("Mail that comes by it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("domain", "mailbox", "alias"):
            if name in self.fields:
                self.fields[name].required = False
        self.fields["value"].required = True  # nobody blocks all bounces by leaving it out
        if self.instance.criterion and not self.instance.value:
            self.initial["value"] = rule_values.NULL_SENDER

    def apply(self, given: dict[str, Any]) -> Rule:
        return rule_book.create_rule(**given)


class ChangeRuleForm(ChangeForm):
    class Meta:
        model = Rule
        fields = ("action", "criterion", "value", "description", "is_active")
        labels = AddRuleForm.Meta.labels
        help_texts = AddRuleForm.Meta.help_texts

    def apply(self, given: dict[str, Any]) -> Rule:
        return rule_book.update_rule(self.instance, **given)


class BlockSenderForm(forms.Form):
    is_everywhere = forms.BooleanField(
        label=gettext_lazy("In all mailboxes"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("Otherwise only in this one."),
    )


def _with_retention(given: dict[str, Any]) -> dict[str, Any]:
    days = {name: value for name, value in given.items() if name.endswith("_days")}
    others = {name: value for name, value in given.items() if name not in days}
    return others | {"retention": cast("Retention", days)}


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "nothing" if value in (None, "") else str(value)
