"""What follows from what is done to a webhook, to a delivery, or to all that goes out: said before, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.timesince import timesince

from mailboxes.models import Email
from webhooks.admin import show
from webhooks.admin.bindings import bound_to, kind_of
from webhooks.models import OTHER_MAILBOX, Delivery, OutgoingStop, ReplayJob, Webhook
from webhooks.services.replay import EmailReplay
from webhooks.services.webhooks import in_flight_of

State = Delivery.State

OVERLAP = (
    "While the old secret signs as well, webhook-signature carries both signatures, and x-webhook-signature stays with "
    "the old secret: a receiver that still has it goes on working."
)
TEST, RETRY = "Send a test", "Retry now"
FOR_GOOD = (
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
        f"Nothing more is sent to {webhook.url}, from one second after you pause it."
        if webhook.url
        else "What comes from now on can still be pulled: it has no URL, so nothing was sent.",
        "Mail goes on being accepted. Its events are held, not dropped, and are sent when the webhook is resumed.",
        f"{_deliveries(webhook, State.PENDING)} waiting now will be held.",
        in_flight(webhook),
    ]
    return Step("Pause", f"Pause {webhook.public_id}?", _said(follows))


def of_resuming(webhook: Webhook) -> Step:
    bound = bound_to(webhook)
    why = webhook.current_state_reason
    follows = [
        f"It is {webhook.current_state} now: {why}." if why else "",
        f"Mail to the {kind_of(bound)} {bound} is {_goes(webhook)} again.",
        f"The alias leads to {webhook.alias.mailbox} now: you confirm that mail of that mailbox may go there."
        if webhook.alias and webhook.is_moved
        else "",
        f"{_released(webhook)} held meanwhile will be sent, the oldest first." if webhook.url else "",
        kept_back(webhook),
    ]
    return Step("Resume", f"Resume {webhook.public_id}?", _said(follows))


def of_rotating(webhook: Webhook) -> Step:
    until = webhook.previous_secret_until
    overlaps = until is not None and until > timezone.now()
    follows = [
        "A new secret is made and shown once, on the page that comes next.",
        OVERLAP,
        "When that time is over, receivers that have only the old secret refuse every delivery.",
        "A rotation is under way already: the secret before the present one is void at once." if overlaps else "",
        in_flight(webhook, end="signed with the old secret, whatever you choose"),
    ]
    return Step("Rotate secret", f"Rotate the secret of {webhook.public_id}?", _said(follows))


def of_overlap(webhook: Webhook, overlap: timedelta) -> str:
    """Said once it is done."""
    if overlap:
        return "The old one signs as well until its time is over: change the receiver before that."
    return f"The old one is void: change the receiver now. {in_flight(webhook)}"


def of_deleting(webhook: Webhook) -> Step:
    bound, held = bound_to(webhook), _deliveries(webhook, State.HELD)
    follows = [
        f"{name_of(webhook)} hears nothing more of mail to the {kind_of(bound)} {bound}.",
        f"Canceled, and never sent: {_deliveries(webhook, State.PENDING)} waiting, and {held} held.",
        "The emails stay, and so does the record of what was sent.",
        FOR_GOOD,
        in_flight(webhook),
    ]
    return Step("Delete", f"Delete {webhook.public_id}?", _said(follows), is_dangerous=True)


def of_testing(webhook: Webhook) -> Step:
    follows = [
        f"An event webhook.test goes to {webhook.url} now: signed like any other, with the webhook's own headers.",
        "It is tried once, also while the webhook is paused or disabled, and does not count for its health.",
    ]
    return Step(TEST, f"Send a test to {webhook.public_id}?", follows)


def of_replaying_span(webhook: Webhook) -> Step:
    follows = [
        f"What ended in that time is sent to {name_of(webhook)} once more: the same octets, under the same webhook-id.",
        "What is on its way already is skipped, and what is not kept any longer is counted.",
        f"The webhook is {webhook.current_state}: what is replayed is held until the webhook is resumed."
        if webhook.current_state != Webhook.State.ACTIVE
        else "",
        "It goes on by itself, can be looked at, and can be canceled.",
    ]
    return Step("Start replay", f"Replay deliveries of {webhook.public_id}", _said(follows))


def of_sending_full(webhook: Webhook) -> Step:
    follows = [
        f"Its receiver answered 413 (too large) {timesince(webhook.thinned_at, depth=1)} ago. Since then each mail "
        "comes without its text, headers and attachments, with links to them."
        if webhook.thinned_at
        else "It gets the full payload already.",
        "New mail is sent in full again. What is waiting already is sent as it is.",
        "Raise the receiver's limit first: if it answers 413 again, everything comes thin again.",
    ]
    return Step("Send full again", f"Send {webhook.public_id} the full payload again?", follows)


# --- of one delivery


def of_replaying(delivery: Delivery) -> Step:
    webhook = delivery.webhook
    follows = [
        f"The same octets are sent to {name_of(webhook)} once more, under the same webhook-id, with a new signature.",
        "It was delivered: a receiver that does not remember ids does its work twice."
        if delivery.state == State.DELIVERED
        else "",
        f"The webhook is {webhook.current_state}: it is held until the webhook is resumed."
        if webhook.current_state != Webhook.State.ACTIVE
        else "",
        "The retry schedule begins anew.",
    ]
    return Step("Replay", f"Replay {delivery.public_id}?", _said(follows))


def of_retrying(delivery: Delivery) -> Step:
    follows = [
        f"It is sent to {name_of(delivery.webhook)} at once, instead of waiting for its turn.",
        "If it fails, it goes on as its schedule says.",
    ]
    return Step(RETRY, f"Retry {delivery.public_id} now?", follows)


def of_canceling(delivery: Delivery) -> Step:
    follows = [
        f"{name_of(delivery.webhook)} does not get it, unless you replay it later.",
        "The email stays, and so does the record of what was sent.",
        "An attempt is under way: it ends in its own way." if delivery.lease_id is not None else "",
    ]
    return Step("Cancel delivery", f"Cancel {delivery.public_id}?", _said(follows), is_dangerous=True)


def of_replaying_email(email: Email, webhooks: Sequence[Webhook], deliveries: Mapping[UUID, Delivery]) -> Step:
    """What comes of it for the webhooks that want it now; deliveries are what they had of it so far, by webhook."""
    follows = [_replayed_to(webhook, deliveries.get(webhook.pk)) for webhook in webhooks]
    if not follows:
        follows = ["No webhook is for mail that came this way, so nothing is sent."]
    elif deliveries:
        follows.append("It goes under the same webhook-id: receivers that do not remember ids do their work twice.")
    return Step("Replay to all", f"Replay {email.public_id}?", follows)


def _replayed_to(webhook: Webhook, delivery: Delivery | None) -> str:
    if delivery is None:
        return f"{name_of(webhook)} had nothing of it so far, and gets it now."
    if delivery.state in (State.PENDING, State.HELD):
        return f"{name_of(webhook)}: it is {delivery.state}, so on its way already; nothing is done."
    return f"{name_of(webhook)}: it is {delivery.state}, and is sent once more."


def of_email_replayed(done: EmailReplay) -> str:
    """Said once it is done."""
    told = (
        (done.replayed, "sent once more"),
        (done.made, "sent for the first time"),
        (done.on_their_way, "on the way already"),
        (done.content_expired, "not sent, because what it says is not kept any more"),
    )
    said = ", ".join(f"{_amount(count)} {what}" for count, what in told if count)
    return f"Done: {said}." if said else "No webhook is for mail that came this way, so nothing was sent."


def of_canceling_job(job: ReplayJob) -> Step:
    left = job.total - job.replayed - job.skipped - job.content_expired
    follows = [
        f"{_amount(max(left, 0))} it has not come to yet stay as they are.",
        f"What it replayed already, {_amount(job.replayed)}, goes out: cancel those one by one, or pause the webhook.",
    ]
    return Step("Cancel replay", f"Cancel {job.public_id}?", follows, is_dangerous=True)


# --- of all


def in_flight_of_all() -> str:
    return in_flight_said(show.counted(Delivery.objects.filter(lease_id__isnull=False)))


def of_stopping() -> Step:
    follows = [
        "No webhook of this installation is sent anything, from one second after you stop them, tests included.",
        "Mail goes on being accepted. Its events wait, and nothing is lost or counted as failed.",
        "Every page of the console says that they are stopped, by whom, and why.",
        in_flight_of_all(),
    ]
    return Step("Stop all outgoing", "Stop all outgoing webhooks?", _said(follows), is_dangerous=True)


def of_starting(stop: OutgoingStop) -> Step:
    count = show.counted(Delivery.objects.filter(state=State.PENDING, due_at__lte=timezone.now()))
    why = f": {stop.reason}" if stop.reason else ""
    follows = [
        f"{stop.stopped_by} stopped them {timesince(stop.stopped_at)} ago{why}.",
        f"{show.amount(count)} {'delivery that is' if count == 1 else 'deliveries that are'} due may go out.",
        "Webhooks that are paused or disabled stay so.",
    ]
    return Step("Start again", "Start all outgoing webhooks again?", follows)


# --- what they share


def name_of(webhook: Webhook) -> str:
    return webhook.url or f"who pulls from {webhook.public_id}"


def in_flight(webhook: Webhook, *, end: str = "") -> str:
    """Empty if nothing is. end is how they end."""
    return in_flight_said(in_flight_of(webhook), end=end)


def in_flight_said(count: int, *, end: str = "") -> str:
    if not count:
        return ""
    if count == 1:
        return f"1 attempt is in flight and will still end in its own way{end and f', {end}'}."
    return f"{show.amount(count)} attempts are in flight and will still end in their own way{end and f', {end}'}."


def kept_back(webhook: Webhook) -> str:
    """What resuming does not send; empty if there is none."""
    open_ones = _open(webhook)
    count = sum(_is_kept_back(webhook, one) for one in open_ones)
    stay = "stays" if count == 1 else "stay"
    return f"{_said_of(count, open_ones)} {stay} held: {OTHER_MAILBOX}." if count else ""


def _deliveries(webhook: Webhook, state: State) -> str:
    open_ones = _open(webhook)
    return _said_of(sum(one[0] == state for one in open_ones), open_ones)


def _released(webhook: Webhook) -> str:
    open_ones = _open(webhook)
    count = sum(one[0] == State.HELD and not _is_kept_back(webhook, one) for one in open_ones)
    return _said_of(count, open_ones)


def _goes(webhook: Webhook) -> str:
    return f"sent to {webhook.url}" if webhook.url else "kept for who pulls it"


def _amount(count: int) -> str:
    return f"{count:,} {'delivery' if count == 1 else 'deliveries'}"


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
    least = "at least " if len(open_ones) > show.MAX_COUNTED else ""
    return least + _amount(count)


def _said(follows: list[str]) -> list[str]:
    return [sentence for sentence in follows if sentence]
