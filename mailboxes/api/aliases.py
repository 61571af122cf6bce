"""What a caller may do to aliases, whether he asks for one thing or for many at once (`batch`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from emailgistics.common.access import Principal, require_all_mailboxes
from emailgistics.common.bodies import values_in
from emailgistics.common.requests import find
from mailboxes.api.bodies import AliasChangesSerializer, NewAliasSerializer, WholeAliasSerializer
from mailboxes.api.serializers import AliasSerializer
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision

Body = Mapping[str, Any]
# what a service asks with the row that it is about to change, locked, for the id of one; it refuses by raising
Agreeing = Callable[[str], Callable[[Any], None] | None]


def always(public_id: str) -> None:
    """Nobody is asked."""


@dataclass(frozen=True, slots=True)
class AliasesOf:
    """Those that the caller sees. A body is JSON as it was sent; whatever is wrong with it raises as in any view."""

    caller: Principal

    @property
    def rows(self) -> QuerySet[Alias]:
        return Alias.objects.visible_to(self.caller).select_related("domain").with_copies()

    @property
    def domains(self) -> QuerySet[Domain]:
        return Domain.objects.visible_to(self.caller)

    @property
    def mailboxes(self) -> QuerySet[Mailbox]:
        return Mailbox.objects.visible_to(self.caller)

    def json_of(self, alias: Alias) -> dict[str, Any]:
        return dict(AliasSerializer(alias, context={"principal": self.caller}).data)

    def create(self, body: Body) -> Alias:
        self._require_right_to_name(body)
        values = self._values(body, NewAliasSerializer)
        domain, name, mailbox = values.pop("domain"), values.pop("name"), values.pop("mailbox", None)
        return provision.create_alias(
            address=f"{name}@{domain.name}",
            mailbox=mailbox or provision.mailbox_for_alias(domain, among=self.mailboxes),
            may_take_reserved=self.caller.all_mailboxes,
            among=None if self.caller.all_mailboxes else self.mailboxes,
            **values,
        )

    def change(self, public_id: str, body: Body, *, is_whole: bool = False, agreeing: Agreeing = always) -> Alias:
        """is_whole: the body is all of the alias, as it is to be."""
        self._require_right_to_name(body)
        alias = self._found_to_change(public_id)
        serializer = WholeAliasSerializer if is_whole else AliasChangesSerializer
        values = self._values(body, serializer, current=self.json_of(alias))
        changed = provision.update_alias(alias, among=self.mailboxes, agree=agreeing(public_id), **values)
        # its further mailboxes as they are now
        is_elsewhere = "mailbox" in values or "further_mailboxes" in values
        return find(self.rows, changed.public_id) if is_elsewhere else changed

    def delete(self, public_id: str, *, agreeing: Agreeing = always) -> None:
        alias = self._found_to_change(public_id)
        provision.delete_alias(alias, by=self.caller.actor, agree=agreeing(public_id))

    def _values(self, body: Body, serializer: Any, **more: Any) -> dict[str, Any]:
        return values_in(
            body,
            serializer,
            references={"domain_id": self.domains, "mailbox_id": self.mailboxes},
            many_references={"further_mailbox_ids": self.mailboxes},
            **more,
        )

    def _require_right_to_name(self, body: Body) -> None:
        """Told by the body's form alone. Raises AllowlistRestrictedError."""
        name = body.get("name")
        if isinstance(name, str) and provision.acts_on_whole_domain(name):
            require_all_mailboxes(self.caller)

    def _found_to_change(self, public_id: str) -> Alias:
        """Raises NotFoundError, then AllowlistRestrictedError: what the key sees may be more than it may change."""
        alias = find(self.rows, public_id)
        if provision.acts_on_whole_domain(alias.name):
            require_all_mailboxes(self.caller)
        return alias
