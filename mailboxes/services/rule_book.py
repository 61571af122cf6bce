"""Making, changing and ending rules."""

from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from emailgistics.common.errors import InvalidChoiceError, NotFoundError, RefusedError
from emailgistics.common.text import within
from mailboxes.addresses import shown
from mailboxes.models import Alias, Domain, Mailbox, Rule
from mailboxes.services.provision import MAX_DESCRIPTION_LENGTH
from mailboxes.services.rule_values import parse_value
from mailboxes.services.rules import MAX_SIZE_RULES


@transaction.atomic
def create_rule(
    *,
    action: str,
    criterion: str,
    value: str,
    domain: Domain | None = None,
    mailbox: Mailbox | None = None,
    alias: Alias | None = None,
    description: str = "",
    is_active: bool = True,
) -> Rule:
    """A rule for a domain, a mailbox or an alias; for all mail if none is given.

    value is as people write it: see `rule_values.parse_value`. Raises InvalidRuleValueError, RefusedError.
    """
    if sum(owner is not None for owner in (domain, mailbox, alias)) > 1:
        raise RefusedError(
            "A rule is for one domain, one mailbox, one alias or, if none is given, for all mail.", field="domain_id"
        )
    within(description, limit=MAX_DESCRIPTION_LENGTH, field="description")
    _check_choices(action, criterion)
    value = parse_value(criterion, value)
    if domain:
        _hold(Domain.objects.live().filter(pk=domain.pk), domain, field="domain_id")
    if mailbox:
        _hold(Mailbox.objects.live().filter(pk=mailbox.pk), mailbox, field="mailbox_id")
    if alias:
        _hold(Alias.objects.live().filter(pk=alias.pk), alias, field="alias_id")
    rule = Rule(
        domain=domain,
        mailbox=mailbox,
        alias=alias,
        action=action,
        criterion=criterion,
        value=value,
        description=description,
        is_active=is_active,
    )
    _refuse_too_many_sizes(rule)
    rule.save(force_insert=True)
    return rule


@transaction.atomic
def update_rule(
    rule: Rule,
    *,
    action: str | None = None,
    criterion: str | None = None,
    value: str | None = None,
    description: str | None = None,
    is_active: bool | None = None,
    agree: Callable[[Rule], None] | None = None,
) -> Rule:
    """What is not named stays. With another criterion the value has to fit that.

    agree is called with the row, locked, and refuses the change by raising. Raises
    InvalidRuleValueError, RefusedError, NotFoundError for one that was deleted meanwhile.
    """
    held = Rule.objects.live().filter(pk=rule.pk).select_for_update(of=("self",), no_key=True).first()
    if held is None:
        raise NotFoundError("This rule was deleted.")
    if agree is not None:
        agree(held)
    if description is not None:
        within(description, limit=MAX_DESCRIPTION_LENGTH, field="description")
    _check_choices(action or held.action, criterion or held.criterion)
    if criterion is not None or value is not None:
        value = parse_value(criterion or held.criterion, held.value if value is None else value)
    given = {
        "action": action, "criterion": criterion, "value": value, "description": description, "is_active": is_active,
    }  # fmt: skip
    changed = {name: new for name, new in given.items() if new is not None and new != getattr(held, name)}
    for row in (held, rule):
        for name, new in changed.items():
            setattr(row, name, new)
    if "criterion" in changed or "is_active" in changed:
        _refuse_too_many_sizes(held)
    if changed:
        held.save(update_fields=list(changed))
    return rule


@transaction.atomic
def delete_rule(rule: Rule, *, agree: Callable[[Rule], None] | None = None) -> None:
    """It holds no longer; what it did stays done. Raises NotFoundError if it was deleted meanwhile."""
    if agree is not None:
        Rule.objects.filter(pk=rule.pk).select_for_update(of=("self",), no_key=True).first()
        agree(rule)
    if not Rule.objects.filter(pk=rule.pk, deleted_at=None).update(deleted_at=timezone.now()):
        raise NotFoundError("This rule was deleted.")


@transaction.atomic
def block_sender(address: str, *, mailbox: Mailbox | None) -> tuple[Rule, bool]:
    """A rule that blocks mail from there to the mailbox, or to all without one; and whether it is a new one.

    Raises InvalidRuleValueError, RefusedError.
    """
    value = parse_value(Rule.Criterion.SENDER, address)
    scope = {"domain": None, "mailbox": mailbox, "alias": None}
    same = Rule.objects.live().filter(**scope, action=Rule.Action.BLOCK, criterion=Rule.Criterion.SENDER, value=value)
    if (rule := same.filter(is_active=True).first()) is not None:
        return rule, False
    made = create_rule(action=Rule.Action.BLOCK, criterion=Rule.Criterion.SENDER, value=value, mailbox=mailbox)
    return made, True


def _check_choices(action: str, criterion: str) -> None:
    for field, given, choices in (
        ("action", action, Rule.Action.values),
        ("criterion", criterion, Rule.Criterion.values),
    ):
        if given not in choices:
            raise InvalidChoiceError(f"{shown(given)} is no {field}; there is {', '.join(choices)}.", field=field)


def _refuse_too_many_sizes(rule: Rule) -> None:
    """What all mail for the scope reads. Two at once may make one more: that does no harm."""
    if rule.criterion != Rule.Criterion.SIZE or not rule.is_active:
        return
    others = Rule.objects.filter(
        domain=rule.domain_id, mailbox=rule.mailbox_id, alias=rule.alias_id,
        criterion=Rule.Criterion.SIZE, is_active=True, deleted_at=None,
    ).exclude(pk=rule.pk)  # fmt: skip
    if others.count() >= MAX_SIZE_RULES:
        raise RefusedError(
            f"There are {MAX_SIZE_RULES} active rules about sizes for this already; the largest that fits decides, so "
            "change or disable one of them.",
            field="criterion",
        )


def _hold(rows: QuerySet[Domain] | QuerySet[Mailbox] | QuerySet[Alias], row: object, *, field: str) -> None:
    """Locked, read again: who deletes it comes before this, or ends the new rule, too."""
    # no_key: mail that comes in meanwhile refers to these rows, and has not to wait for us
    if rows.select_for_update(of=("self",), no_key=True).first() is None:
        raise RefusedError(f"{row} is deleted; choose another one.", field=field)
