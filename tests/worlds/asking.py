"""What a key may ask: every operation of the OpenAPI document, and what is sent with it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from django.test import Client
from drf_spectacular.generators import SchemaGenerator

PARAMETER = re.compile(r"{(\w+)}")
NAMES = {"name": "email.received.json"}  # what is no id, and the same for everybody
KIND_AFTER = {
    "domains": "dom", "mailboxes": "mbx", "aliases": "alias", "emails": "email", "attachments": "att",
    "rules": "rule", "refusals": "ref", "webhooks": "wh", "deliveries": "dlv", "jobs": "job",
}  # fmt: skip
KIND_OF_REFERENCE = {"domain_id": "dom", "mailbox_id": "mbx", "alias_id": "alias"}
CURSORS = ("starting_after", "ending_before")
MINE = "https://hooks.example.net"


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str  # /v1/emails/{id}/attachments
    queries: tuple[Mapping[str, str], ...]
    bodies: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def kinds(self) -> list[str]:
        """Of the ids in its path, in their order."""
        words = self.path.split("/")
        return [KIND_AFTER[before] for before, word in pairwise(words) if word[:1] == "{" and word[1:-1] not in NAMES]

    def url(self, ids: Sequence[str]) -> str:
        remaining = iter(ids)
        return PARAMETER.sub(lambda found: NAMES.get(found[1]) or next(remaining), self.path)


# $kind is an id of that kind, # a number of the call's own; what is no mapping is done by the world itself
BODIES: dict[tuple[str, str], tuple[Any, ...]] = {
    ("POST", "/v1/domains"): ({"name": "new#.example.net"},),
    ("PATCH", "/v1/domains/{id}"): ({"active": False}, {"default_mailbox_id": "$mbx"}),
    ("POST", "/v1/domains/{id}/verify"): (None,),
    ("POST", "/v1/mailboxes"): ({"address": "mine#@example.com"},),
    ("PATCH", "/v1/mailboxes/{id}"): (
        {"name": "Named #"}, {"quota_bytes": 2**20}, {"active": False}, {"active": True},
    ),
    ("POST", "/v1/aliases"): (
        {"domain_id": "$dom", "name": "mine#", "mailbox_id": "$mbx"},
        {"domain_id": "$dom", "name": "mine#", "mailbox_id": "$mbx", "further_mailbox_ids": ["$mbx", "$mbx2"]},
        {"domain_id": "$dom", "name": "mine#"},
        {"domain_id": "$dom", "name": "*", "mailbox_id": "$mbx"},
        {"domain_id": "$dom", "name": "order-*", "mailbox_id": "$mbx"},
        {"domain_id": "$dom", "name": "sales+#", "mailbox_id": "$mbx"},
        {"domain_id": "$dom", "name": "support", "mailbox_id": "$mbx"},
    ),
    ("POST", "/v1/aliases/batch"): (
        {"operations": [
            {"action": "create", "data": {"domain_id": "$dom", "name": "many#", "mailbox_id": "$mbx"}},
            {"action": "create", "data": {"domain_id": "$dom", "name": "many#"}},
            {"action": "create", "data": {"domain_id": "$dom", "name": "order-*", "mailbox_id": "$mbx"}},
            {"action": "update", "id": "$alias", "data": {"description": "Said #"}},
            {"action": "update", "id": "$alias2", "data": {"mailbox_id": "$mbx"}},
        ]},
        {"operations": [
            {"action": "create", "data": {"domain_id": "$dom", "name": "many#", "mailbox_id": "$mbx"}},
            {"action": "update", "id": "$alias", "data": {"further_mailbox_ids": ["$mbx2"]}},
        ], "atomic": True},
    ),
    ("PATCH", "/v1/aliases/{id}"): (
        {"description": "Said #"}, {"mailbox_id": "$mbx"}, {"further_mailbox_ids": ["$mbx"]},
        {"further_mailbox_ids": []}, {"active": False}, {"active": True},
    ),
    ("PUT", "/v1/aliases/{id}"): (
        {"domain_id": "$dom", "name": "help", "description": "#", "mailbox_id": "$mbx", "active": True},
    ),
    ("POST", "/v1/rules"): (
        {"mailbox_id": "$mbx", "action": "quarantine", "criterion": "sender", "value": "ada@example.net"},
        {"alias_id": "$alias", "action": "quarantine", "criterion": "attachment", "value": ".zip"},
        {"mailbox_id": "$mbx", "action": "discard", "criterion": "sender", "value": "bob@example.net"},
        {"mailbox_id": "$mbx", "action": "block", "criterion": "size", "value": "900"},
        {"domain_id": "$dom", "action": "block", "criterion": "sender", "value": "ada@example.net"},
        {"action": "block", "criterion": "sender", "value": "ada@example.net"},
    ),
    ("PATCH", "/v1/rules/{id}"): ({"action": "allow"}, {"active": False}),
    ("POST", "/v1/routing/explain"): ({"address": "help@example.com"},),
    ("POST", "/v1/emails"): ("mail",),
    ("POST", "/v1/emails/{id}/release"): (None,),
    ("POST", "/v1/emails/{id}/replay"): (None,),
    ("POST", "/v1/emails/{id}/revoke-links"): (None,),
    ("POST", "/v1/webhooks"): (
        {"mailbox_id": "$mbx", "url": f"{MINE}/new#"},
        {"alias_id": "$alias", "url": f"{MINE}/new#", "payload": "metadata", "events": ["email.received"]},
        {"alias_id": "$alias", "url": None, "payload": "full"},
        {"domain_id": "$dom", "url": f"{MINE}/domain"},
    ),
    ("POST", "/v1/webhooks/alias"): (
        {"domain_id": "$dom", "name": "hooked#", "mailbox_id": "$mbx", "url": f"{MINE}/hooked"},
        {"domain_id": "$dom", "name": "help", "url": f"{MINE}/hooked#", "first_or_create": True},
        {"domain_id": "$dom", "name": "sales", "url": f"{MINE}/hooked#", "first_or_create": True},
    ),
    ("PATCH", "/v1/webhooks/{id}"): (
        {"url": f"{MINE}/moved#"}, {"url": "https://elsewhere.example.net/#"}, {"payload": "metadata"},
        {"payload": "full"}, {"headers": {"X-Tenant": "#"}}, {"rate_per_minute": 1}, {"events": ["webhook.disabled"]},
    ),
    ("PUT", "/v1/webhooks/{id}"): (
        {"url": f"{MINE}/put#", "headers": {}, "payload": "metadata", "description": "#"},
    ),
    ("POST", "/v1/webhooks/{id}/pause"): (None,),
    ("POST", "/v1/webhooks/{id}/resume"): (None,),
    ("POST", "/v1/webhooks/{id}/rotate-secret"): ({}, {"overlap_hours": 0}),
    ("POST", "/v1/webhooks/{id}/test"): (None,),
    ("POST", "/v1/webhooks/{id}/check-signature"): ("received", {"headers": {"webhook-id": "$evt"}}),
    ("POST", "/v1/webhooks/{id}/replay"): (
        {"since": "2020-01-01T00:00:00Z", "status": "all"}, {"since": "2020-01-01T00:00:00Z", "status": "failed"},
    ),
    ("POST", "/v1/webhooks/{id}/ack"): ({"ids": ["$dlv"]}, {"ids": ["$dlv", "$dlv2"]}),
    ("POST", "/v1/deliveries/{id}/replay"): (None,),
    ("POST", "/v1/deliveries/{id}/cancel"): (None,),
}  # fmt: skip
WITHOUT_ENUM = {
    "limit": ("1", "0"), "page": ("2",), "url": (f"{MINE}/support",), "after": ("1",), "with": ("mail",),
    "from": ("2030-01-31",), "to": ("2030-01-31",), "time_zone": ("Asia/Kathmandu", "Nowhere"),
}  # fmt: skip
# what it answers is the same for every key, and takes long to make
ONCE = frozenset({"/v1/openapi.json"})


def call(
    client: Client, method: str, path: str, query: Any, body: Any, headers: Mapping[str, str] | None = None
) -> Any:
    sent: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    sent["headers"] = headers or {}
    return client.generic(method, path, query_params=query or {}, **sent)


@cache
def operations() -> list[Operation]:
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return [
        Operation(as_asked, path, tuple(_queries(path, method, described)), _bodies(path, method))
        for path, methods in document["paths"].items()
        for method, described in _operations_of(methods)
        for as_asked in ((method, "HEAD") if method == "GET" else (method,))
        if path not in ONCE
    ]


def _operations_of(methods: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name.upper(), described) for name, described in methods.items() if "responses" in described]


def _bodies(path: str, method: str) -> tuple[Any, ...]:
    if method in ("GET", "DELETE"):
        return (None,)
    assert (method, path) in BODIES, f"say in tests/worlds/asking.py what a key may send to {method} {path}"
    return BODIES[method, path]


def _queries(path: str, method: str, described: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """None, and each parameter by itself with each value that it may have."""
    yield {}
    if (method, path) == ("POST", "/v1/emails"):
        return
    kinds = KIND_OF_REFERENCE | dict.fromkeys(CURSORS, KIND_AFTER.get(path.rpartition("/")[2], ""))
    for parameter in described.get("parameters", []):
        if parameter["in"] == "header":
            continue
        name, schema = parameter["name"], parameter["schema"]
        if parameter["in"] == "query":
            values = schema.get("enum") or schema.get("items", {}).get("enum") or WITHOUT_ENUM.get(name, ("x",))
            for value in (f"${kinds[name]}",) if name in kinds else values:
                yield {name: value}
