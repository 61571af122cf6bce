"""What to do first in a new installation. The steps tick themselves off: each looks whether the thing is there.

Every question is bounded: a thing that exists, the newest of a few rows.
"""

from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from apikeys.models import ApiKey
from emailgistics.common.roles import Action, may
from emailgistics.sending import by_swaks, in_python
from mailboxes.admin.domains import dns_context
from mailboxes.models import Alias, Domain, Email, Mailbox
from webhooks.models import Delivery, Webhook

YES = "hidden"
HIDDEN = "first_steps"  # YES, in the cookie of a browser whose person does not want to see them on the dashboard
REFRESH_S = 3
NEWEST = 100  # deliveries of a webhook among which a test is looked for
NEWEST_EMAILS = 20  # among which one that was delivered is looked for
MAX_SHOWN = 10  # deliveries of one email


@dataclass(frozen=True, slots=True)
class Step:
    """name says which part of the template it has besides. action is what its link says; empty: it has a form."""

    name: str
    title: str
    text: str
    is_done: bool
    href: str = ""
    action: str = ""


def _first_alias() -> Alias | None:
    return Alias.objects.live().filter(kind=Alias.Kind.EXACT).select_related("domain").first()


def _newest_webhook() -> Webhook | None:
    related = Webhook.objects.live().select_related("alias__domain", "mailbox__domain", "domain")
    return related.defer("sealed_secret", "sealed_previous_secret", "sealed_headers").order_by("-pk").first()


@dataclass
class Standing:
    """What there is of what the steps are about, asked once."""

    domain: Domain | None = field(default_factory=lambda: Domain.objects.live().first())
    alias: Alias | None = field(default_factory=_first_alias)
    webhook: Webhook | None = field(default_factory=_newest_webhook)
    email: Email | None = field(
        default_factory=lambda: Email.objects.select_related("mailbox__domain").order_by("-pk").first()
    )

    @cached_property
    def has_mailbox(self) -> bool:
        return Mailbox.objects.live().exclude(pk__in=Domain.objects.values("default_mailbox")).exists()

    @cached_property
    def has_key(self) -> bool:
        return ApiKey.objects.exists()

    @cached_property
    def tests(self) -> list[Delivery]:
        """Of the webhook, the newest first."""
        if self.webhook is None:
            return []
        # both bounds: see webhooks.admin.webhooks, this order only the index of a webhook's deliveries has
        own = Delivery.objects.filter(webhook__gte=self.webhook, webhook__lte=self.webhook)
        newest = own.order_by("webhook_id", "-id").defer("body__body")[:NEWEST]
        return [delivery for delivery in newest if delivery.is_test]

    @cached_property
    def deliveries(self) -> list[Delivery]:
        """Of the newest email."""
        if self.email is None:
            return []
        of_email = Delivery.objects.filter(event__email=self.email).select_related("webhook")
        return list(of_email.order_by("-id")[:MAX_SHOWN])

    @cached_property
    def is_delivered(self) -> bool:
        if any(delivery.state == Delivery.State.DELIVERED for delivery in self.deliveries):
            return True
        newest = list(Email.objects.order_by("-pk").values_list("pk", flat=True)[:NEWEST_EMAILS])
        return Delivery.objects.filter(event__email__in=newest, state=Delivery.State.DELIVERED).exists()

    @property
    def to(self) -> str:
        """An address to send the first mail to: one of which a webhook hears."""
        webhook = self.webhook
        if webhook is not None and webhook.alias is not None and webhook.alias.kind == Alias.Kind.EXACT:
            return webhook.alias.address
        if webhook is not None and webhook.mailbox is not None:
            return webhook.mailbox.address
        if self.alias is not None:
            return self.alias.address
        inbox = self.domain.default_mailbox if self.domain else None
        return inbox.address if inbox else ""


def context(request: HttpRequest) -> dict[str, Any]:
    """For the templates of the steps."""
    standing = Standing()
    steps = [*_of_addresses(standing), *_of_webhooks(standing), *_of_mail(standing)]
    is_over = all(step.is_done for step in steps)
    to = standing.to
    return {
        "steps": steps,
        "next_step": next((step.name for step in steps if not step.is_done), ""),
        "is_over": is_over,
        "steps_refresh_s": 0 if is_over else REFRESH_S,
        "standing": standing,
        "dns": dns_context(request, standing.domain) if standing.domain else None,
        "to": to,
        "in_python": in_python(to),
        "by_swaks": by_swaks(to),
        "is_hidden": is_hidden(request),
    }


def on_dashboard(request: HttpRequest) -> dict[str, Any] | None:
    """None: they are done, hidden, or not for this person."""
    if is_hidden(request) or not may(request, Action.MANAGE):
        return None
    shown = context(request)
    return None if shown["is_over"] else shown


def is_hidden(request: HttpRequest) -> bool:
    return request.COOKIES.get(HIDDEN) == YES


def where_to_send() -> str:
    alias = _first_alias()
    return _("To %(address)s, over SMTP at %(host)s port %(port)s.") % {
        "address": alias.address if alias else _("your alias"), "host": settings.SMTP_HOST, "port": settings.SMTP_PORT,
    }  # fmt: skip


def _of_addresses(standing: Standing) -> list[Step]:
    domain, alias = standing.domain, standing.alias
    return [
        Step(
            "domain",
            _("Add a domain"),
            _("One whose mail comes here. A default mailbox, inbox, comes with it, and the DNS records that it needs."),
            domain is not None,
            reverse("admin:mailboxes_domain_add"),
            _("Add domain"),
        ),
        Step(
            "mailbox",
            _("Add a mailbox"),
            _("A shared mailbox with an address of its own, such as support@%(domain)s.")
            % {"domain": domain.name if domain else "example.com"},
            standing.has_mailbox,
            reverse("admin:mailboxes_mailbox_add"),
            _("Add mailbox"),
        ),
        Step(
            "alias",
            _("Add an alias"),
            _("A further address that leads to a mailbox, or * for whatever no other address takes."),
            alias is not None or Alias.objects.live().exists(),
            reverse("admin:mailboxes_alias_add"),
            _("Add alias"),
        ),
    ]


def _of_webhooks(standing: Standing) -> list[Step]:
    return [
        Step(
            "webhook",
            _("Add a webhook"),
            _("The endpoint that is told of each mail. Its secret is shown once: the receiver needs it."),
            standing.webhook is not None,
            reverse("admin:webhooks_webhook_add"),
            _("Add webhook"),
        ),
        Step(
            "test",
            _("Send the webhook a test"),
            _("An event that says it is a test, signed as every other, so that you see your receiver answer."),
            any(delivery.state == Delivery.State.DELIVERED for delivery in standing.tests),
        ),
        Step(
            "key",
            _("Make an API key"),
            _("For programs that read mail or manage mailboxes. It is shown once."),
            standing.has_key,
            reverse("admin:apikeys_apikey_add"),
            _("Add key"),
        ),
    ]


def _of_mail(standing: Standing) -> list[Step]:
    return [
        Step(
            "mail",
            _("Send a mail"),
            _(
                "The button hands a mail in here, as the listener does when a mail is complete: the same routing and "
                "rules, stored before it says so. Over SMTP, from a shell, the commands do."
            ),
            standing.email is not None,
        ),
        Step(
            "fate",
            _("See it arrive, and what became of it"),
            _("From here to the answer of the webhook's receiver. This looks again by itself."),
            standing.email is not None and standing.is_delivered,
        ),
    ]
