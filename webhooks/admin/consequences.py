"""What follows from pausing, resuming, rotating and deleting a webhook: said before, and counted."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from webhooks.admin import show
from webhooks.admin.bindings import bound_to, kind_of
from webhooks.models import OTHER_MAILBOX, Delivery, Webhook

State = Delivery.State

OVERLAP = (
    "While the old secret signs as well, webhook-signature carries both signatures, and x-webhook-signature stays with "
    "the old secret: a receiver that still has it goes on working."
)
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
        f"Nothing more is sent to {webhook.url}, from one second after you pause it.",
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
        f"Mail to the {kind_of(bound)} {bound} is sent to {webhook.url} again.",
        f"The alias leads to {webhook.alias.mailbox} now: you confirm that mail of that mailbox may go there."
        if webhook.alias and webhook.is_moved
        else "",
        f"{_released(webhook)} held meanwhile will be sent, the oldest first.",
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
        f"{webhook.url} hears nothing more of mail to the {kind_of(bound)} {bound}.",
        f"Canceled, and never sent: {_deliveries(webhook, State.PENDING)} waiting, and {held} held.",
        "The emails stay, and so does the record of what was sent.",
        FOR_GOOD,
        in_flight(webhook),
    ]
    return Step("Delete", f"Delete {webhook.public_id}?", _said(follows), is_dangerous=True)


def in_flight(webhook: Webhook) -> str:
    """Empty if nothing is."""
    count = show.counted(Delivery.objects.filter(webhook=webhook, lease_id__isnull=False))
    if not count:
        return ""
    if count == 1:
        return "1 attempt is in flight and will still end in its own way."
    return f"{show.amount(count)} attempts are in flight and will still end in their own way."


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


def _open(webhook: Webhook) -> list[tuple[str, UUID]]:
    """State and mailbox of its open deliveries, the oldest first: no more of them than are counted anywhere."""
    open_ones = Delivery.objects.filter(webhook=webhook, state__in=[State.PENDING, State.HELD]).order_by("id")
    return list(open_ones.values_list("state", "event__email__mailbox")[: show.MAX_COUNTED + 1])


def _is_kept_back(webhook: Webhook, one: tuple[str, UUID]) -> bool:
    state, mailbox_id = one
    return state == State.HELD and webhook.keeps_back(mailbox_id)


def _said_of(count: int, open_ones: list[tuple[str, UUID]]) -> str:
    least = "at least " if len(open_ones) > show.MAX_COUNTED else ""
    return f"{least}{count:,} {'delivery' if count == 1 else 'deliveries'}"


def _said(follows: list[str]) -> list[str]:
    return [sentence for sentence in follows if sentence]
