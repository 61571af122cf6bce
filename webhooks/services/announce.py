"""What owners of webhooks are told: notices in the console, lines in the log, and the event `webhook.disabled`."""

from uuid import UUID

from django.db.models.functions import Now
from django.utils import timezone

from emailgistics.common.ids import encode_id
from emailgistics.common.logs import get_logger
from webhooks.health import DISABLED_AFTER, Health, News
from webhooks.models import Delivery, Notice, Webhook
from webhooks.services import bodies, counted

log = get_logger(__name__)

GONE = "the receiver answered 410 Gone"
FAILING = f"nothing could be delivered for {DISABLED_AFTER.days} days"
State = Webhook.State


def tell(webhook_id: UUID, news: News, *, health: Health) -> None:
    """In the transaction that found it out."""
    public_id = encode_id(Webhook.ID_PREFIX, webhook_id)
    match news.kind:
        case "disabled":
            disable(webhook_id, reason=FAILING)
        case "failing":
            text = (
                f"Every attempt since {health.failing_since:%Y-%m-%d %H:%M} UTC has failed ({health.failures} so far): "
                f"{news.percent} % of the way to being disabled."
            )
            notify(webhook_id, Notice.Kind.FAILING, text)
            log.warning("webhook.failing", webhook=public_id, percent=news.percent, failures=health.failures)
        case "recovered":
            notify(webhook_id, Notice.Kind.RECOVERED, "It takes what it is sent again.")
            log.info("webhook.recovered", webhook=public_id)
        case _:
            log.info("webhook.circuit", webhook=public_id, state=news.kind, for_s=health.open_for_s)


def notify(webhook_id: UUID, kind: Notice.Kind, text: str) -> None:
    Notice.objects.create(webhook_id=webhook_id, kind=kind, text=text, at=timezone.now())


def disable(webhook_id: UUID, *, reason: str, url: str | None = None) -> None:
    """Nothing more is sent until somebody resumes it; its mail is held. Those beside it hear of it.

    url: where what was answered came from; if it leads elsewhere by now, that says nothing of it any more.
    """
    active = Webhook.objects.filter(pk=webhook_id, state=State.ACTIVE)
    if url is not None:
        active = active.filter(url=url)
    if not active.update(state=State.DISABLED, state_reason=reason):
        return
    log.warning("webhook.disabled", webhook=encode_id(Webhook.ID_PREFIX, webhook_id), reason=reason)
    notify(webhook_id, Notice.Kind.DISABLED, f"Disabled: {reason}. Its mail is held until somebody resumes it.")
    webhook = Webhook.objects.select_related("alias__domain", "mailbox__domain", "domain").get(pk=webhook_id)
    siblings = [one for one in _of_the_same_binding(webhook) if Webhook.EventType.WEBHOOK_DISABLED in one.events]
    if siblings:
        _send_disabled(webhook, siblings)


def thin(webhook_id: UUID, *, url: str) -> None:
    """The receiver at url answered 413: from now on its events go without what mails say, with links to it."""
    if Webhook.objects.filter(pk=webhook_id, url=url, thinned_at=None).update(thinned_at=Now()):
        log.warning("webhook.thinned", webhook=encode_id(Webhook.ID_PREFIX, webhook_id))
        notify(
            webhook_id,
            Notice.Kind.THINNED,
            "Its receiver answered 413, too large: events now come without text and attachments, with links to them. "
            "Raise the receiver's limit, then have it sent in full again.",
        )


def _of_the_same_binding(webhook: Webhook) -> list[Webhook]:
    bound = {"alias": webhook.alias_id, "mailbox": webhook.mailbox_id, "domain": webhook.domain_id}
    return list(Webhook.objects.live().filter(**bound).exclude(pk=webhook.pk).select_related("alias"))


def _send_disabled(webhook: Webhook, siblings: list[Webhook]) -> None:
    body = bodies.store_disabled_event(webhook, reason=webhook.state_reason)
    for one in siblings:
        obstacle = one.obstacle(None)
        delivery = Delivery.objects.create(
            event_id=body.event_id,
            webhook=one,
            body=body,
            state=Delivery.State.HELD if obstacle else Delivery.State.PENDING,
            reason=obstacle,
            due_at=Now(),
        )
        counted.came([delivery])
