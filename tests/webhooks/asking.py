"""Asking the API about webhooks, and reading what it answers."""

import json
from typing import Any

from django.test import Client

from tests.headers import headers_of
from webhooks.models import Webhook

NOT_FOUND = (404, "not_found")
LACKS_CONTENT = (403, "insufficient_scope")


def call(client: Client, method: str, path: str, body: Any = None) -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    sent = {} if body is None else {"data": data, "content_type": "application/json"}
    return client.generic(method, f"/v1{path}", **sent)


def post(client: Client, body: Any) -> Any:
    return call(client, "POST", "/webhooks", body)


def one(client: Client, method: str, webhook: Webhook | str, body: Any = None, *, verb: str = "") -> Any:
    public_id = webhook if isinstance(webhook, str) else webhook.public_id
    return call(client, method, f"/webhooks/{public_id}{verb and '/'}{verb}", body)


def problem(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def pointers(answer: Any) -> list[str]:
    assert problem(answer) == (400, "validation_error")
    return [entry["pointer"] for entry in answer.json()["errors"]]


def seen_as(answer: Any) -> tuple[int, bytes, dict[str, str]]:
    """All that a caller can tell one answer from another by."""
    return answer.status_code, answer.content, headers_of(answer)
