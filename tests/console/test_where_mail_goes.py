"""The page that says where mail would go: who would be told of it, by which rules, in which mailboxes."""

from datetime import timedelta
from typing import Any

from django.test import Client
from django.urls import reverse

from mailboxes.models import Email
from mailboxes.services import provision, rule_book
from mailboxes.services.process import drain
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from webhooks.models import Delivery
from webhooks.services.webhooks import pause_webhook


def asked(client: Client, address: str, **more: str) -> Any:
    return client.get(reverse("admin:mailboxes_alias_explain"), {"address": address, **more})


def told(client: Client, address: str, **more: str) -> dict[str, list[tuple[str, str]]]:
    """By mailbox: the webhooks, and how each would be told."""
    destinations = asked(client, address, **more).context["destinations"]
    return {str(one.mailbox): [(who.name, who.how) for who in tellings] for one, tellings in destinations}


def test_it_says_which_webhooks_would_be_told_as_a_real_mail_tells_them(
    administrator: Client, loopback_allowed: None
) -> None:
    support, sales = make_mailbox(), make_mailbox(address="sales@example.com")
    other = make_mailbox(address="other@example.com")
    alias = make_alias(mailbox=support)
    provision.update_alias(alias, further_mailboxes=[sales])
    bound = {"alias": alias, "support": support, "sales": sales, "domain": support.domain, "other": other}
    for name, thing in bound.items():
        kind = "mailbox" if name in ("support", "sales", "other") else name
        make_webhook(url=f"http://127.0.0.1:9/{name}", **{kind: thing})
    found = told(administrator, "help@example.com")
    names = {mailbox: {url.rpartition("/")[2] for url, _ in rows} for mailbox, rows in found.items()}
    assert {how for rows in found.values() for _, how in rows} == {"told at once"}
    assert not Email.objects.exists()
    make_message(to=("help@example.com",))
    drain(linger=timedelta(0))
    real: dict[str, set[str]] = {}
    for delivery in Delivery.objects.select_related("webhook", "event__email__mailbox__domain"):
        assert delivery.event.email is not None
        real.setdefault(str(delivery.event.email.mailbox), set()).add(delivery.webhook.url.rpartition("/")[2])
    assert names == real
    assert names == {"support@example.com": {"alias", "support", "domain"}, "sales@example.com": {"sales", "domain"}}


def test_it_says_who_would_not_be_told_and_why(administrator: Client, loopback_allowed: None) -> None:
    mailbox = make_mailbox()
    paused = make_webhook(url="http://127.0.0.1:9/paused", mailbox=mailbox)
    pause_webhook(paused, reason="for a while")
    make_webhook(url="http://127.0.0.1:9/deaf", mailbox=mailbox, events=["email.reparsed"])
    assert told(administrator, "support@example.com") == {
        "support@example.com": [
            ("http://127.0.0.1:9/paused", "held: the webhook is paused"),
            ("http://127.0.0.1:9/deaf", "not told: it does not want to hear of email.received"),
        ]
    }


def test_it_names_the_rule_that_applies(administrator: Client, loopback_allowed: None) -> None:
    mailbox = make_mailbox()
    make_webhook(mailbox=mailbox)
    rule = rule_book.create_rule(action="quarantine", criterion="sender", value="spam@example.net", mailbox=mailbox)
    text = asked(administrator, "support@example.com", mail_from="spam@example.net").content.decode()
    assert reverse("admin:mailboxes_rule_change", args=[rule.pk]) in text
    assert "A rule says: Quarantine" in text
    assert "told once somebody releases the mail from quarantine" in text
    assert "No rule applies." in asked(administrator, "support@example.com").content.decode()
