"""What is told of an email besides what it says: columns, and the facts of its page."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mailboxes.models import Email, EmailContent

MARKS = {
    "api_key": gettext_lazy("has an API key in it: revoke that"),
    "webhook_secret": gettext_lazy("has a webhook secret in it: rotate that"),
    "tnef": gettext_lazy("Outlook's winmail.dat is not opened"),
    "partial_message": gettext_lazy("a piece of a mail"),
    "external_body": gettext_lazy("a part of it is elsewhere"),
}
NULL_SENDER = gettext_lazy("<> (a bounce or an automatic answer)")
MAX_PEOPLE = 50  # of To and Cc, each; the headers have the rest


def subject(email: Email) -> str:
    if email.subject:
        return email.subject
    if email.content_removed_at:
        return _("(removed by retention)")
    return _("(not read yet)") if email.status == Email.Status.WAITING else _("(no subject)")


def removed_content(email: Email) -> str:
    """Why nothing of what it says is there; empty if it was not removed."""
    return _removed(_("What it says was removed"), email, email.content_removed_at)


def removed_raw(email: Email) -> str:
    return _removed(_("Its raw, with what its attachments hold, was removed"), email, email.raw_removed_at)


def author(email: Email) -> str:
    """Needs its message."""
    if email.from_address:
        return f"{email.from_name} <{email.from_address}>" if email.from_name else email.from_address
    return email.message.mail_from or str(NULL_SENDER)


def people(content: EmailContent | None, header: str) -> str:
    """To or Cc, with commas between."""
    found = (content.addresses.get(header) or []) if content else []
    some = ", ".join(map(_person, found[:MAX_PEOPLE]))
    if len(found) <= MAX_PEOPLE:
        return some
    return _("%(list)s and %(count)s more") % {"list": some, "count": len(found) - MAX_PEOPLE}


def marks(content: EmailContent | None) -> str:
    return "; ".join(str(MARKS.get(mark, mark)) for mark in content.marks) if content else ""


def details(content: EmailContent) -> Iterator[tuple[str, str]]:
    """What it reports or invites to, of mail that does."""
    for title, fields in (
        (_("Delivery report"), content.bounce),
        (_("List"), content.mailing_list),
        (_("Calendar"), content.calendar),
    ):
        for name, value in (fields or {}).items():
            if value:
                yield f"{title}: {name.replace('_', ' ')}", _shown(value)


def authentication(email: Email) -> list[tuple[str, str, str]]:
    """(SPF, DKIM or DMARC, its result, what about it); empty if it was not checked. Needs its message."""
    said = email.message.authentication
    if said is None:
        return []
    lines = [("SPF", said["spf"]), *(("DKIM", one) for one in said["dkim"]), ("DMARC", said["dmarc"])]
    if not said["dkim"]:
        lines.insert(1, ("DKIM", {"result": "none", "reason": _("the mail has no signature")}))
    return [(name, one["result"], _about(one)) for name, one in lines]


def _removed(what: str, email: Email, at: datetime | None) -> str:
    if at is None:
        return ""
    days = (at - email.received_at).days
    return ngettext(
        "%(what)s after %(days)s day, by the retention of its mailbox.",
        "%(what)s after %(days)s days, by the retention of its mailbox.",
        days,
    ) % {"what": what, "days": days}


def _about(said: dict[str, Any]) -> str:
    """Of one result: what it is about, and why it is no other."""
    facts = [
        said.get("domain"),
        _("scope %(name)s") % {"name": said["scope"]} if said.get("scope") else None,
        _("selector %(name)s") % {"name": said["selector"]} if said.get("selector") else None,
        _("aligned with From") if said.get("aligned") else None,
        _("policy %(name)s") % {"name": said["policy"]} if said.get("policy") else None,
        _("aligned by %(what)s") % {"what": " and ".join(said["aligned_by"])} if said.get("aligned_by") else None,
        said.get("reason"),
    ]
    return ", ".join(fact for fact in facts if fact)


def _shown(value: Any) -> str:
    if value is True:
        return _("yes")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _person(person: dict[str, str]) -> str:
    name, address = person.get("name", ""), person.get("address", "")
    return f"{name} <{address}>" if name else address
