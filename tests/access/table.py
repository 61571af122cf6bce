"""What each operation needs, by the contract: written down once more, so that no view decides it alone.

An operation that is not here fails the suite: say what it needs, and of it all cells of the matrix are asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emailgistics.common.access import Scope
from tests.access.operations import Operation

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """Of a request, by which alone something more is needed. In it `<kind>` is the id of one that the key may see."""

    what: str
    body: Body | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    needs: Scope | None = None


@dataclass(frozen=True, slots=True)
class Row:
    scopes: tuple[Scope, ...] = ()
    # whatever is in it, it acts on a whole domain: with an allowlist 403 allowlist_restricted, before anything else
    acts_on_whole_domain: bool = False
    # the same, in these forms only
    whole_domain_forms: tuple[Form, ...] = ()
    # and in these forms, needs a further scope
    scope_forms: tuple[Form, ...] = ()

    @property
    def is_wide_somehow(self) -> bool:
        return self.acts_on_whole_domain or bool(self.whole_domain_forms)


WIDE_NAMES = {"catch-all": "*", "pattern": "sales-*", "regular expression": "/order-[0-9]+/", "tag": "help+x"}
WIDE_NAME_FORMS = tuple(Form(f"alias named by a {what}", {"name": name}) for what, name in WIDE_NAMES.items())
WITH_MAIL = (Form("with its mail", query={"with": "mail"}, needs=Scope.EMAILS_WRITE),)
FULL_PAYLOAD = (
    Form("full payload", {"payload": "full"}, needs=Scope.EMAILS_CONTENT),
    Form("attachments inline", {"attachments": "inline"}, needs=Scope.EMAILS_CONTENT),
)
WITH_CONTENT = tuple(
    Form(f"with {part}", query={"include": part}, needs=Scope.EMAILS_CONTENT) for part in ("text", "html", "headers")
)
FOR_A_DOMAIN = Form("webhook of a domain", {"domain_id": "<dom>", "url": None})
RULES_OF_A_DOMAIN = (
    Form("rule of a domain", {"domain_id": "<dom>"}),
    Form("rule for all mail", {"action": "block"}),
    Form("rule of a domain and a mailbox", {"domain_id": "<dom>", "mailbox_id": "<mbx>"}),
)

TABLE: Mapping[str, Row] = {
    "GET /v1/aliases": Row((Scope.ALIASES_READ,)),
    "POST /v1/aliases": Row((Scope.ALIASES_WRITE,), whole_domain_forms=WIDE_NAME_FORMS),
    "POST /v1/aliases/batch": Row((Scope.ALIASES_WRITE,)),
    "GET /v1/aliases/{id}": Row((Scope.ALIASES_READ,)),
    "PUT /v1/aliases/{id}": Row((Scope.ALIASES_WRITE,), whole_domain_forms=WIDE_NAME_FORMS),
    "PATCH /v1/aliases/{id}": Row((Scope.ALIASES_WRITE,), whole_domain_forms=WIDE_NAME_FORMS),
    "DELETE /v1/aliases/{id}": Row((Scope.ALIASES_WRITE,)),
    "GET /v1/deliveries/{id}": Row((Scope.WEBHOOKS_READ,)),
    "POST /v1/deliveries/{id}/cancel": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/deliveries/{id}/replay": Row((Scope.WEBHOOKS_WRITE,)),
    "GET /v1/domains": Row((Scope.DOMAINS_READ,)),
    "POST /v1/domains": Row((Scope.DOMAINS_WRITE,), acts_on_whole_domain=True),
    "GET /v1/domains/{id}": Row((Scope.DOMAINS_READ,)),
    "PATCH /v1/domains/{id}": Row((Scope.DOMAINS_WRITE,), acts_on_whole_domain=True),
    "DELETE /v1/domains/{id}": Row((Scope.DOMAINS_WRITE,), acts_on_whole_domain=True, scope_forms=WITH_MAIL),
    "GET /v1/domains/{id}/status": Row((Scope.DOMAINS_READ,)),
    "POST /v1/domains/{id}/verify": Row((Scope.DOMAINS_WRITE,), acts_on_whole_domain=True),
    "GET /v1/emails": Row((Scope.EMAILS_READ,)),
    "POST /v1/emails": Row((Scope.EMAILS_SUBMIT,)),
    "GET /v1/emails/{id}": Row((Scope.EMAILS_READ,), scope_forms=WITH_CONTENT),
    "DELETE /v1/emails/{id}": Row((Scope.EMAILS_WRITE,)),
    "GET /v1/emails/{id}/attachments": Row((Scope.EMAILS_CONTENT,)),
    "GET /v1/emails/{id}/attachments/{attachment_id}": Row((Scope.EMAILS_CONTENT,)),
    "GET /v1/emails/{id}/deliveries": Row((Scope.EMAILS_READ, Scope.WEBHOOKS_READ)),
    "GET /v1/emails/{id}/raw": Row((Scope.EMAILS_CONTENT,)),
    "POST /v1/emails/{id}/release": Row((Scope.EMAILS_WRITE,)),
    "POST /v1/emails/{id}/replay": Row((Scope.EMAILS_WRITE,)),
    "POST /v1/emails/{id}/revoke-links": Row((Scope.EMAILS_CONTENT, Scope.EMAILS_WRITE)),
    # by what it does, which is not in the route: a job whose scope the key lacks does not exist for it
    "GET /v1/jobs": Row(),
    "GET /v1/jobs/{id}": Row(),
    "DELETE /v1/jobs/{id}": Row(),
    "GET /v1/mailboxes": Row((Scope.MAILBOXES_READ,)),
    "POST /v1/mailboxes": Row((Scope.MAILBOXES_WRITE,), acts_on_whole_domain=True),
    "GET /v1/mailboxes/{id}": Row((Scope.MAILBOXES_READ,)),
    "PATCH /v1/mailboxes/{id}": Row((Scope.MAILBOXES_WRITE,)),
    "DELETE /v1/mailboxes/{id}": Row((Scope.MAILBOXES_WRITE,), scope_forms=WITH_MAIL),
    "GET /v1/me": Row(),
    "GET /v1/openapi.json": Row(),
    "GET /v1/refusals": Row((Scope.EMAILS_READ,), acts_on_whole_domain=True),
    "POST /v1/routing/explain": Row((Scope.ALIASES_READ,), acts_on_whole_domain=True),
    "GET /v1/rules": Row((Scope.ALIASES_READ,)),
    "POST /v1/rules": Row((Scope.ALIASES_WRITE,), whole_domain_forms=RULES_OF_A_DOMAIN),
    "GET /v1/rules/{id}": Row((Scope.ALIASES_READ,)),
    "PATCH /v1/rules/{id}": Row((Scope.ALIASES_WRITE,)),
    "DELETE /v1/rules/{id}": Row((Scope.ALIASES_WRITE,)),
    "GET /v1/schemas": Row(),
    "GET /v1/schemas/{name}": Row(),
    "GET /v1/statistics": Row((Scope.STATISTICS_READ,)),
    "GET /v1/webhooks": Row((Scope.WEBHOOKS_READ,)),
    "POST /v1/webhooks": Row((Scope.WEBHOOKS_WRITE,), whole_domain_forms=(FOR_A_DOMAIN,), scope_forms=FULL_PAYLOAD),
    "GET /v1/webhooks/{id}": Row((Scope.WEBHOOKS_READ,)),
    "PUT /v1/webhooks/{id}": Row((Scope.WEBHOOKS_WRITE,), scope_forms=FULL_PAYLOAD),
    "PATCH /v1/webhooks/{id}": Row((Scope.WEBHOOKS_WRITE,), scope_forms=FULL_PAYLOAD),
    "DELETE /v1/webhooks/{id}": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/webhooks/{id}/ack": Row((Scope.EMAILS_CONTENT, Scope.WEBHOOKS_WRITE)),
    "POST /v1/webhooks/{id}/check-signature": Row((Scope.WEBHOOKS_WRITE,)),
    "GET /v1/webhooks/{id}/deliveries": Row((Scope.WEBHOOKS_READ,)),
    "POST /v1/webhooks/{id}/pause": Row((Scope.WEBHOOKS_WRITE,)),
    "GET /v1/webhooks/{id}/pull": Row((Scope.EMAILS_CONTENT, Scope.WEBHOOKS_READ)),
    "POST /v1/webhooks/{id}/replay": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/webhooks/{id}/resume": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/webhooks/{id}/rotate-secret": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/webhooks/{id}/test": Row((Scope.WEBHOOKS_WRITE,)),
    "POST /v1/webhooks/alias": Row(
        (Scope.ALIASES_WRITE, Scope.WEBHOOKS_WRITE), whole_domain_forms=WIDE_NAME_FORMS, scope_forms=FULL_PAYLOAD
    ),
    "GET /v1/webhooks/sample": Row((Scope.WEBHOOKS_READ,)),
}


def row_of(operation: Operation) -> Row:
    """An empty one for an operation that has none, which test_table.py does not let pass."""
    return TABLE.get(str(operation), Row())


def check(found: Sequence[Operation]) -> None:
    """That the table and the operations are the same ones, and need the same scopes."""
    named = {str(operation): operation for operation in found}
    missing, gone = sorted(named.keys() - TABLE.keys()), sorted(TABLE.keys() - named.keys())
    assert not missing, f"say in tests/access/table.py what is needed for {', '.join(missing)}"
    assert not gone, f"the API has no {', '.join(gone)} any more"
    others = [name for name, operation in named.items() if set(operation.scopes) != set(TABLE[name].scopes)]
    assert not others, f"the document names other scopes than the table for {', '.join(others)}"
