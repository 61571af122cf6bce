"""What became of an email, from the first octet on: as far as this app knows, and what apps above it add."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailboxes.admin import facts
from mailboxes.models import Email, Message

SOON_S = 1  # how often a page looks again while the mail waits to be opened
Status = Email.Status


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a mail stands, at a glance. colour is success, info, warning, danger or none."""

    label: str
    colour: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One station of a mail's way. links are (text, address)."""

    title: str
    colour: str = ""
    at: datetime | None = None
    lines: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Sequel:
    """What happened in an app above: a template for the end of the timeline, with its context."""

    template: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    refresh_s: int = 0  # after how many seconds it may have changed; 0: it has ended, or waits for somebody


class Beyond(Protocol):
    """An app above. It may ask the database a few times, however many emails or however much of one there is."""

    def standings(self, emails: Sequence[Email]) -> Mapping[UUID, Standing]: ...

    def sequel(self, request: HttpRequest, email: Email) -> Sequel: ...


# apps above put themselves here: what they stand for is not known to this one
beyond: list[Beyond] = []


def standings(emails: Sequence[Email]) -> dict[UUID, Standing]:
    """Of each of them. What it waits for here comes first: nobody above has heard of it then."""
    own = {email.pk: _own(email) for email in emails}
    found = {pk: standing for pk, standing in own.items() if standing is not None}
    further = [email for email in emails if own[email.pk] is None]
    for app in beyond if further else ():
        found.update(app.standings(further))
    return {email.pk: found.get(email.pk) or Standing(_("processed"), "success") for email in emails}


def sequels(request: HttpRequest, email: Email) -> list[Sequel]:
    return [app.sequel(request, email) for app in beyond]


def refresh_s(email: Email, further: Sequence[Sequel]) -> int:
    """After how many seconds a page of it looks again; 0: never."""
    own = [SOON_S] if email.status == Status.WAITING else []
    return min([*own, *(sequel.refresh_s for sequel in further if sequel.refresh_s)], default=0)


def stages(email: Email, *, may_release: bool) -> list[Stage]:
    """Needs its message and rule."""
    kept_back = _kept_back(email, may_release=may_release)
    return [_received(email), _stored(email), _processed(email), *kept_back, *_removed(email)]


def _own(email: Email) -> Standing | None:
    match email.status:
        case Status.WAITING:
            return Standing(_("waiting"), "info", _("to be opened"))
        case Status.PARKED:
            return Standing(_("parked"), "danger", _("it could not be opened"))
        case Status.QUARANTINED:
            return Standing(_("quarantined"), "warning", _("nobody is told of it until it is released"))
    return None


def _received(email: Email) -> Stage:
    message = email.message
    by = {
        Message.Source.SMTP: _("Over SMTP"),
        Message.Source.LMTP: _("Over LMTP"),
        Message.Source.PIPE: _("By the command receive_mail"),
        Message.Source.API: _("Over the API"),
    }[Message.Source(message.source)]
    if message.client_ip:
        by = _("%(how)s, from %(ip)s (%(helo)s), %(tls)s") % {
            "how": by,
            "ip": message.client_ip,
            "helo": message.helo or _("no name given"),
            "tls": message.tls or _("without TLS"),
        }
    return Stage(_("Received"), "success", email.received_at, [f"{by}."])


def _stored(email: Email) -> Stage:
    message = email.message
    lines = [
        _("%(size)s, committed before it was accepted as %(id)s.")
        % {"size": filesizeformat(message.size), "id": message.public_id}
    ]
    if message.resends:
        lines.append(
            ngettext(
                "It came once more, because the sender lost our answer; that was not stored again.",
                "It came %(count)s times more, because the sender lost our answer; that was not stored again.",
                message.resends,
            )
            % {"count": message.resends}
        )
    page = reverse("admin:mailboxes_message_change", args=[message.pk])
    return Stage(_("Stored"), "success", email.received_at, lines, [(_("The message"), page)])


def _processed(email: Email) -> Stage:
    message = email.message
    # counted when it is begun: the one that is at work, or that finished, is not lost
    losses = message.losses if message.state == Message.State.WAITING and not message.lease_id else message.losses - 1
    lost = (
        ngettext("A worker was lost over it.", "%(count)s workers were lost over it.", losses) % {"count": losses}
        if losses > 0
        else ""
    )
    if message.state == Message.State.WAITING:
        what = _("It is being opened now.") if message.lease_id else _("It waits to be opened, which takes moments.")
        return Stage(_("Not processed yet"), "info", None, [line for line in (what, lost) if line])
    if email.status == Status.PARKED:
        lines = [_("It could not be opened: its raw is safe, and its webhooks are told so."), lost]
        return Stage(_("Parked"), "danger", message.processed_at, [line for line in lines if line])
    lines = [_("Opened without a defect.")] if message.parse_status == "ok" else []
    if message.parse_defects:
        defects = ", ".join(str(defect).replace("_", " ") for defect in message.parse_defects)
        lines = [_("Opened as far as it could be: %(defects)s.") % {"defects": defects}]
    colour = "success" if message.parse_status == "ok" else "warning"
    return Stage(_("Processed"), colour, message.processed_at, [line for line in (*lines, lost) if line])


def _removed(email: Email) -> list[Stage]:
    if email.content_removed_at is not None:
        return [Stage(_("Content removed"), "", email.content_removed_at, [facts.removed_content(email)])]
    if email.raw_removed_at is not None:
        return [Stage(_("Raw removed"), "", email.raw_removed_at, [facts.removed_raw(email)])]
    return []


def _kept_back(email: Email, *, may_release: bool) -> list[Stage]:
    if not email.quarantine_reason:
        return []
    rule, links = email.quarantine_rule, []
    if rule is not None:
        links.append((_("The rule"), reverse("admin:mailboxes_rule_change", args=[rule.pk])))
    if email.status == Status.QUARANTINED and may_release:
        links.append((_("Release it"), reverse("admin:mailboxes_email_release", args=[email.pk])))
    held = Stage(_("Kept back by a rule"), "warning", email.message.processed_at, [email.quarantine_reason], links)
    if email.released_at is None:
        return [held]
    return [held, Stage(_("Released from quarantine"), "success", email.released_at)]
