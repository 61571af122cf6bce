"""What a webhook can be bound to: found while somebody types, and by id."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from emailgistics.common.ids import decode_id
from mailboxes.models import Alias, Domain, Mailbox
from webhooks.models import Webhook

Bound = Alias | Mailbox | Domain

MAX_FOUND = 20  # of each kind


def bound_to(webhook: Webhook) -> Bound:
    bound = webhook.alias or webhook.mailbox or webhook.domain
    if bound is None:
        raise AssertionError("webhook_has_one_binding")
    return bound


def is_gone(webhook: Webhook) -> bool:
    """Deleted, or what it was bound to."""
    return bool(webhook.deleted_at or bound_to(webhook).deleted_at)


def kind_of(bound: Bound) -> str:
    return str(bound._meta.verbose_name)  # noqa: SLF001 - Django's own name for it


def find_bound(public_id: str) -> Bound | None:
    """What has that id, if it can still receive mail."""
    if pk := decode_id(Alias.ID_PREFIX, public_id):
        return Alias.objects.live().select_related("domain", "mailbox").filter(pk=pk).first()
    if pk := decode_id(Mailbox.ID_PREFIX, public_id):
        return Mailbox.objects.live().select_related("domain").filter(pk=pk).first()
    if pk := decode_id(Domain.ID_PREFIX, public_id):
        return Domain.objects.live().filter(pk=pk).first()
    return None


def search(text: str) -> list[dict[str, Any]]:
    """Groups of what matches, as Select2 takes them. text is part of an address, or an id."""
    if exact := find_bound(text.strip()):
        return [_group(kind_of(exact).capitalize(), [exact])]
    local_part, at, domain = text.strip().rpartition("@")
    if at:
        of_alias = Q(name__icontains=local_part, domain__name__icontains=domain)
        of_mailbox = Q(local_part__icontains=local_part, domain__name__icontains=domain)
    else:
        of_alias = Q(name__icontains=domain) | Q(domain__name__icontains=domain)
        of_mailbox = Q(local_part__icontains=domain) | Q(domain__name__icontains=domain) | Q(name__icontains=domain)
    aliases = Alias.objects.live().select_related("domain").filter(of_alias).order_by("name")
    mailboxes = Mailbox.objects.live().select_related("domain").filter(of_mailbox).order_by("local_part")
    domains = Domain.objects.live().filter(name__icontains=domain).order_by("name")
    found = (
        (_("Aliases"), list(aliases[: MAX_FOUND + 1])),
        (_("Mailboxes"), list(mailboxes[: MAX_FOUND + 1])),
        (_("Domains"), [] if local_part else list(domains[: MAX_FOUND + 1])),
    )
    return [_group(title, rows) for title, rows in found if rows]


def _group(title: str, rows: list[Any]) -> dict[str, Any]:
    options: list[dict[str, Any]] = [{"id": row.public_id, "text": str(row)} for row in rows[:MAX_FOUND]]
    if len(rows) > MAX_FOUND:
        options.append({"text": _("There are more: write more of the address."), "disabled": True})
    return {"text": title, "children": options}
