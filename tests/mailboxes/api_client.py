"""Requests with a JSON body, and what the answers are to be."""

import json
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from emailgistics.common.ids import TypedIdModel, uuid7
from emailgistics.common.problems import NOT_FOUND
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.retention import in_force
from tests.headers import headers_of

BASE = "http://127.0.0.1:8000"


def send(client: Client, method: str, url: str, body: Any = None, **headers: str) -> Any:
    """With a body unless it is None; whatever the server does not expect is an answer too."""
    client.raise_request_exception = False
    data = "" if body is None else json.dumps(body)
    return client.generic(method.upper(), url, data, content_type="application/json", headers=headers)


def problem(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "message": detail,
        **more,
    }


def refused(pointer: str, code: str, detail: str) -> dict[str, Any]:
    """One field is wrong."""
    summary = f"{pointer.lstrip('/')}: {detail}" if pointer else detail
    found = [{"pointer": pointer, "code": code, "detail": detail}]
    return problem(400, "validation_error", summary, errors=found)


def refused_by_rule(pointer: str, code: str, detail: str) -> dict[str, Any]:
    """A rule of ours, which knows the field; its message stands for itself."""
    return problem(400, "validation_error", detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])


def unavailable(address: str) -> str:
    return (
        f"The address {address} is not available. It is taken, reserved, or was deleted within the last 30 days. "
        "Choose another name, or come back when that time is over."
    )


def not_found_in(field: str) -> dict[str, Any]:
    """Of an id that is not in the path."""
    found = [{"pointer": f"/{field}", "code": "not_found", "detail": NOT_FOUND}]
    return problem(404, "not_found", f"{field}: {NOT_FOUND}", errors=found)


NOT_FOUND_BODY = problem(404, "not_found", NOT_FOUND)
RESTRICTED_BODY = problem(
    403, "allowlist_restricted", "This acts on a whole domain, so it needs a key for all mailboxes."
)


def lacks_scope(scope: str) -> dict[str, Any]:
    return problem(403, "insufficient_scope", f"This needs a key with the scope {scope}.", required_scopes=[scope])


def answered(answer: Any) -> tuple[int, Any]:
    return answer.status_code, (answer.json() if answer.content else None)


def seen(client: Client, method: str, url: str, body: Any = None) -> tuple[Any, ...]:
    """Everything about an answer by which two could be told apart."""
    with CaptureQueriesContext(connection) as queries:
        answer = send(client, method, url, body)
    return answer.status_code, answer.content, json.dumps(headers_of(answer)), len(queries.captured_queries)


def unknown(model: type[TypedIdModel]) -> str:
    return model(pk=uuid7()).public_id


def shape(row: Domain | Mailbox | Alias, **more: Any) -> dict[str, Any]:
    """The JSON of a row as it is in the database, written down here a second time."""
    row = type(row)._default_manager.get(pk=row.pk)
    created_at = row.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"id": row.public_id, "created_at": created_at}
    match row:
        case Domain():
            assert row.default_mailbox is not None
            body: dict[str, Any] = {
                "name": row.name,
                "active": row.is_active,
                "test": row.is_test,
                "subdomains": row.includes_subdomains,
                "default_mailbox_id": row.default_mailbox.public_id,
                "verified_at": None,
                "status": row.dns_status,
            }
        case Mailbox():
            body = {
                "address": row.address,
                "name": row.name,
                "domain_id": row.domain.public_id,
                "active": row.is_active,
                "time_zone": row.time_zone or "UTC",
                "retention": {
                    "raw_days": row.raw_days,
                    "content_days": row.content_days,
                    "log_days": row.log_days,
                },
                "retention_in_force": asdict(in_force(row)),
                "quota_bytes": row.quota_bytes,
                "used_bytes": sum(row.emails.values_list("size", flat=True)),
            }
        case Alias():
            body = {
                "address": row.address,
                "name": row.name,
                "domain_id": row.domain.public_id,
                "mailbox_id": row.mailbox.public_id,
                "further_mailbox_ids": [copy.mailbox.public_id for copy in row.copies.all()],
                "description": row.description,
                "kind": row.kind,
                "priority": row.priority,
                "active": row.is_active,
            }
    return head | body | more
