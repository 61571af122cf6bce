"""What follows from what is done to a webhook, to a delivery, or to all that goes out: said before, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.bindings import bound_to, kind_of
from webhooks.models import OTHER_MAILBOX, Delivery, OutgoingStop, ReplayJob, Webhook
from webhooks.services.replay import EmailReplay
from webhooks.services.webhooks import in_flight_of

State = Delivery.State

OVERLAP = gettext_lazy(
    "While the old secret signs as well, webhook-signature carries both signatures, and x-webhook-signature stays with "
    "the old secret: a receiver that still has it goes on working."
)
TEST, RETRY = gettext_lazy("Send a test"), gettext_lazy("Retry now")
FOR_GOOD = gettext_lazy(
    "It cannot be undone: a new webhook for the same URL has another id and another secret. To stop it for a while "
    "only, pause it."
)


@dataclass(frozen=True, slots=True)
class Step:
    """A page that asks: verb is also the button's label."""

    verb: str
    title: str
    follows: list[str]
    is_dangerous: bool = False


def of_pausing(webhook: Webhook) -> Step:
    follows = [
        _("Nothing more is sent to %(url)s, from one second after you pause it.") % {"url": webhook.url}
        if webhook.url
        else _("What comes from now on can still be pulled: it has no URL, so nothing was sent."),
        _("Mail goes on being accepted. Its events are held, not dropped, and are sent when the webhook is resumed."),
        _("%(deliveries)s waiting now will be held.") % {"deliveries": _deliveries(webhook, State.PENDING)},
        in_flight(webhook),
    ]
    return Step(_("Pause"), _("Pause %(id)s?") % {"id": webhook.public_id}, _said(follows))


def of_resuming(webhook: Webhook) -> Step:
    bound = bound_to(webhook)
    why = webhook.current_state_reason
    follows = [
        _("It is %(state)s now: %(why)s.") % {"state": show.state_name(webhook.current_state), "why": why}
        if why
        else "",
        _goes_again(webhook) % {"kind": kind_of(bound), "bound": bound, "url": webhook.url},
        _("The alias leads to %(mailbox)s now: you confirm that mail of that mailbox may go there.")
        % {"mailbox": webhook.alias.mailbox}
        if webhook.alias and webhook.is_moved
        else "",
        _("%(deliveries)s held meanwhile will be sent, the oldest first.") % {"deliveries": _released(webhook)}
        if webhook.url
        else "",
        kept_back(webhook),
    ]
    return Step(_("Resume"), _("Resume %(id)s?") % {"id": webhook.public_id}, _said(follows))


def of_rotating(webhook: Webhook) -> Step:
    until = webhook.previous_secret_until
    overlaps = until is not None and until > timezone.now()
    follows = [
        _("A new secret is made and shown once, on the page that comes next."),
        str(OVERLAP),
        _("When that time is over, receivers that have only the old secret refuse every delivery."),
        _("A rotation is under way already: the secret before the present one is void at once.") if overlaps else "",
        in_flight(webhook, is_rotated=True),
    ]
    return Step(_("Rotate secret"), _("Rotate the secret of %(id)s?") % {"id": webhook.public_id}, _said(follows))


def of_overlap(webhook: Webhook, overlap: timedelta) -> str:
    """Said once it is done."""
    if overlap:
        return _("The old one signs as well until its time is over: change the receiver before that.")
    return f"{_('The old one is void: change the receiver now.')} {in_flight(webhook)}"


def of_deleting(webhook: Webhook) -> Step:
    bound, held = bound_to(webhook), _deliveries(webhook, State.HELD)
    follows = [
        _("%(webhook)s hears nothing more of mail to the %(kind)s %(bound)s.")
        % {"webhook": name_of(webhook), "kind": kind_of(bound), "bound": bound},
        _("Canceled, and never sent: %(deliveries)s waiting, and %(held)s held.")
        % {"deliveries": _deliveries(webhook, State.PENDING), "held": held},
        _("The emails stay, and so does the record of what was sent."),
        str(FOR_GOOD),
        in_flight(webhook),
    ]
    return Step(_("Delete"), _("Delete %(id)s?") % {"id": webhook.public_id}, _said(follows), is_dangerous=True)


def of_testing(webhook: Webhook) -> Step:
    follows = [
        _("An event webhook.test goes to %(url)s now: signed like any other, with the webhook's own headers.")
        % {"url": webhook.url},
        _("It is tried once, also while the webhook is paused or disabled, and does not count for its health."),
    ]
    return Step(str(TEST), _("Send a test to %(id)s?") % {"id": webhook.public_id}, follows)


def of_replaying_span(webhook: Webhook) -> Step:
    follows = [
        _("What ended in that time is sent to %(webhook)s once more: the same octets, under the same webhook-id.")
        % {"webhook": name_of(webhook)},
        _("What is on its way already is skipped, and what is not kept any longer is counted."),
        _("The webhook is %(state)s: what is replayed is held until the webhook is resumed.")
        % {"state": show.state_name(webhook.current_state)}
        if webhook.current_state != Webhook.State.ACTIVE
        else "",
        _("It goes on by itself, can be looked at, and can be canceled."),
    ]
    return Step(_("Start replay"), _("Replay deliveries of %(id)s") % {"id": webhook.public_id}, _said(follows))


def of_sending_full(webhook: Webhook) -> Step:
    follows = [
        _(
            "Its receiver answered 413 (too large) %(time)s ago. Since then each mail comes without its "
            "text, headers and attachments, with links to them."
        )
        % {"time": timesince(webhook.thinned_at, depth=1)}
        if webhook.thinned_at
        else _("It gets the full payload already."),
        _("New mail is sent in full again. What is waiting already is sent as it is."),
        _("Raise the receiver's limit first: if it answers 413 again, everything comes thin again."),
    ]
    return Step(_("Send full again"), _("Send %(id)s the full payload again?") % {"id": webhook.public_id}, follows)


# --- of one delivery


def of_replaying(delivery: Delivery) -> Step:
    webhook = delivery.webhook
    follows = [
        _("The same octets are sent to %(webhook)s once more, under the same webhook-id, with a new signature.")
        % {"webhook": name_of(webhook)},
        _("It was delivered: a receiver that does not remember ids does its work twice.")
        if delivery.state == State.DELIVERED
        else "",
        _("The webhook is %(state)s: it is held until the webhook is resumed.")
        % {"state": show.state_name(webhook.current_state)}
        if webhook.current_state != Webhook.State.ACTIVE
        else "",
        _("The retry schedule begins anew."),
    ]
    return Step(_("Replay"), _("Replay %(id)s?") % {"id": delivery.public_id}, _said(follows))


def of_retrying(delivery: Delivery) -> Step:
    follows = [
        _("It is sent to %(webhook)s at once, instead of waiting for its turn.")
        % {"webhook": name_of(delivery.webhook)},
        _("If it fails, it goes on as its schedule says."),
    ]
    return Step(str(RETRY), _("Retry %(id)s now?") % {"id": delivery.public_id}, follows)


def of_canceling(delivery: Delivery) -> Step:
    follows = [
        _("%(webhook)s does not get it, unless you replay it later.") % {"webhook": name_of(delivery.webhook)},
        _("The email stays, and so does the record of what was sent."),
        _("An attempt is under way: it ends in its own way.") if delivery.lease_id is not None else "",
    ]
    return Step(
        _("Cancel delivery"), _("Cancel %(id)s?") % {"id": delivery.public_id}, _said(follows), is_dangerous=True
    )


def of_replaying_email(email: Email, webhooks: Sequence[Webhook], deliveries: Mapping[UUID, Delivery]) -> Step:
    """What comes of it for the webhooks that want it now; deliveries are what they had of it so far, by webhook."""
    follows = [_replayed_to(webhook, deliveries.get(webhook.pk)) for webhook in webhooks]
    if not follows:
        follows = [_("No webhook is for mail that came this way, so nothing is sent.")]
    elif deliveries:
        follows.append(_("It goes under the same webhook-id: receivers that do not remember ids do their work twice."))
    return Step(_("Replay to all"), _("Replay %(id)s?") % {"id": email.public_id}, follows)


def _replayed_to(webhook: Webhook, delivery: Delivery | None) -> str:
    if delivery is None:
        return _("%(webhook)s had nothing of it so far, and gets it now.") % {"webhook": name_of(webhook)}
    if delivery.state in (State.PENDING, State.HELD):
        return _("%(webhook)s: it is %(state)s, so on its way already; nothing is done.") % {
            "webhook": name_of(webhook),
            "state": show.state_name(delivery.state),
        }
    return _("%(webhook)s: it is %(state)s, and is sent once more.") % {
        "webhook": name_of(webhook),
        "state": show.state_name(delivery.state),
    }


def of_email_replayed(done: EmailReplay) -> str:
    """Said once it is done."""
    told = (
        (done.replayed, _("sent once more")),
        (done.made, _("sent for the first time")),
        (done.on_their_way, _("on the way already")),
        (done.content_expired, _("not sent, because what it says is not kept any more")),
    )
    said = ", ".join(f"{_amount(count)} {what}" for count, what in told if count)
    if not said:
        return _("No webhook is for mail that came this way, so nothing was sent.")
    return _("Done: %(list)s.") % {"list": said}


def of_canceling_job(job: ReplayJob) -> Step:
    left = job.total - job.replayed - job.skipped - job.content_expired
    follows = [
        _("%(deliveries)s it has not come to yet stay as they are.") % {"deliveries": _amount(max(left, 0))},
        _("What it replayed already, %(deliveries)s, goes out: cancel those one by one, or pause the webhook.")
        % {"deliveries": _amount(job.replayed)},
    ]
    return Step(_("Cancel replay"), _("Cancel %(id)s?") % {"id": job.public_id}, follows, is_dangerous=True)


# --- of all


def in_flight_of_all() -> str:
    return in_flight_said(show.counted(Delivery.objects.filter(lease_id__isnull=False)))


def of_stopping() -> Step:
    follows = [
        _("No webhook of this installation is sent anything, from one second after you stop them, tests included."),
        _("Mail goes on being accepted. Its events wait, and nothing is lost or counted as failed."),
        _("Every page of the console says that they are stopped, by whom, and why."),
        in_flight_of_all(),
    ]
    return Step(_("Stop all outgoing"), _("Stop all outgoing webhooks?"), _said(follows), is_dangerous=True)


def of_starting(stop: OutgoingStop) -> Step:
    count = show.counted(Delivery.objects.filter(state=State.PENDING, due_at__lte=timezone.now()))
    stopped = (
        _("%(who)s stopped them %(time)s ago: %(why)s.") if stop.reason else _("%(who)s stopped them %(time)s ago.")
    )
    follows = [
        stopped % {"who": stop.stopped_by, "time": timesince(stop.stopped_at), "why": stop.reason},
        ngettext("%(count)s delivery that is due may go out.", "%(count)s deliveries that are due may go out.", count)
        % {"count": show.amount(count)},
        _("Webhooks that are paused or disabled stay so."),
    ]
    return Step(_("Start again"), _("Start all outgoing webhooks again?"), follows)


# --- what they share


def name_of(webhook: Webhook) -> str:
    return webhook.url or _("who pulls from %(id)s") % {"id": webhook.public_id}


def in_flight(webhook: Webhook, *, is_rotated: bool = False) -> str:
    """Empty if nothing is."""
    return in_flight_said(in_flight_of(webhook), is_rotated=is_rotated)


def in_flight_said(count: int, *, is_rotated: bool = False) -> str:
    if not count:
        return ""
    if is_rotated:
        told = ngettext(
            "%(count)s attempt is in flight and will still end in its own way, signed with the old secret, whatever "
            "you choose.",
            "%(count)s attempts are in flight and will still end in their own way, signed with the old secret, "
            "whatever you choose.",
            count,
        )
    else:
        told = ngettext(
            "%(count)s attempt is in flight and will still end in its own way.",
            "%(count)s attempts are in flight and will still end in their own way.",
            count,
        )
    return told % {"count": show.amount(count)}


def kept_back(webhook: Webhook) -> str:
    """What resuming does not send; empty if there is none."""
    open_ones = _open(webhook)
    count = sum(_is_kept_back(webhook, one) for one in open_ones)
    told = ngettext("%(deliveries)s stays held: %(why)s.", "%(deliveries)s stay held: %(why)s.", count)
    return told % {"deliveries": _said_of(count, open_ones), "why": OTHER_MAILBOX} if count else ""


def _deliveries(webhook: Webhook, state: State) -> str:
    open_ones = _open(webhook)
    return _said_of(sum(one[0] == state for one in open_ones), open_ones)


def _released(webhook: Webhook) -> str:
    open_ones = _open(webhook)
    count = sum(one[0] == State.HELD and not _is_kept_back(webhook, one) for one in open_ones)
    return _said_of(count, open_ones)


def _goes_again(webhook: Webhook) -> str:
    if webhook.url:
        return _("Mail to the %(kind)s %(bound)s is sent to %(url)s again.")
    return _("Mail to the %(kind)s %(bound)s is kept for who pulls it again.")


def _amount(count: int) -> str:
    return ngettext("%(count)s delivery", "%(count)s deliveries", count) % {"count": f"{count:,}"}


def _open(webhook: Webhook) -> list[tuple[str, UUID | None]]:
    """State and mailbox, if there is one, of its open deliveries, the oldest first.

    No more of them than are counted anywhere.
    """
    open_ones = Delivery.objects.filter(webhook=webhook, state__in=[State.PENDING, State.HELD]).order_by("id")
    return list(open_ones.values_list("state", "event__email__mailbox")[: show.MAX_COUNTED + 1])


def _is_kept_back(webhook: Webhook, one: tuple[str, UUID | None]) -> bool:
    state, mailbox_id = one
    return state == State.HELD and mailbox_id is not None and webhook.keeps_back(mailbox_id)


def _said_of(count: int, open_ones: list[tuple[str, UUID | None]]) -> str:
    amount = _amount(count)
    return _("at least %(count)s") % {"count": amount} if len(open_ones) > show.MAX_COUNTED else amount


def _said(follows: list[str]) -> list[str]:
    return [sentence for sentence in follows if sentence]
