"""One installation that never was, as the API answers it: the examples of the OpenAPI document and of the reference.

The same domain, mailbox, alias and email everywhere, so that an id in one example is found in the others. By component
of the document; a list is made of what it is a list of. Tests hold each against its schema, and an operation without an
example against whoever adds it.
"""

import base64
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from emailgistics.common import problems
from webhooks.samples import EMAIL_RECEIVED, WEBHOOK_ID

Json = dict[str, Any]

COMPONENTS = "#/components/schemas/"
DATA: Json = EMAIL_RECEIVED["data"]
DOMAIN_ID, MAILBOX_ID, ALIAS_ID = DATA["domain"]["id"], DATA["mailbox"]["id"], DATA["alias"]["id"]
EMAIL_ID, ATTACHMENT_ID = DATA["id"], DATA["attachments"][0]["id"]
MESSAGE_ID = "msg_01jd2x8ks8w2r5v9y3b6d0f4hk"
RULE_ID = "rule_01jd2x8kx7c0f4j8m2q6t9w3ze"
DELIVERY_ID = "dlv_01jd2x8kv2t8c5w6g4p1z9r0ma"
EVENT_ID = "evt_01jd2x8ks2f0b9t4k6y1r3m5pz"
JOB_ID = "job_01jd2x8kz9b3e6h0k4n8r1t5wd"
RECEIVED_AT, PROCESSED_AT = DATA["received_at"], EMAIL_RECEIVED["timestamp"]
SET_UP_AT = "2030-01-02T09:30:00.000Z"
SECRET = "whsec_" + base64.b64encode(b"An example: it signs for nobody.").decode()

# of what stands before {id} in a path; {name} and {attachment_id} are called as they are
ID_OF_SEGMENT: Mapping[str, str] = {
    "domains": DOMAIN_ID,
    "mailboxes": MAILBOX_ID,
    "aliases": ALIAS_ID,
    "rules": RULE_ID,
    "webhooks": WEBHOOK_ID,
    "deliveries": DELIVERY_ID,
    "emails": EMAIL_ID,
    "attachments": ATTACHMENT_ID,
    "jobs": JOB_ID,
    "schemas": "email.received.json",
}

PAGINATION: Json = {
    "page": 1,
    "limit": 25,
    "total": 1,
    "total_capped": False,
    "has_more": False,
    "next": None,
    "previous": None,
    "next_cursor": None,
}

DOMAIN: Json = {
    "id": DOMAIN_ID,
    "created_at": SET_UP_AT,
    "name": "example.com",
    "active": True,
    "test": False,
    "subdomains": False,
    "default_mailbox_id": MAILBOX_ID,
    "verified_at": "2030-01-02T10:05:12.480Z",
    "status": "ok",
}
WORD = "emailgistics-verification=4c1f0a7d9be35286c8d1e07f6a2b3c94"
DOMAIN_STATUS: Json = {
    "domain_id": DOMAIN_ID,
    "name": "example.com",
    "status": "ok",
    "verified_at": DOMAIN["verified_at"],
    "checked_at": "2030-01-02T10:05:12.311Z",
    "records": {
        "mx": {
            "type": "MX",
            "name": "example.com",
            "required": "10 mail.example.net",
            "recommended": None,
            "zone_line": "example.com. IN MX 10 mail.example.net.",
            "found": ["10 mail.example.net"],
            "state": "ok",
            "detail": "Mail to the domain comes here.",
        },
        "spf": {
            "type": "TXT",
            "name": "example.com",
            "required": None,
            "recommended": None,
            "zone_line": None,
            "found": ["v=spf1 include:_spf.example.org -all"],
            "state": "ok",
            "detail": "It says who sends mail as this domain; this installation does not.",
        },
        "txt": {
            "type": "TXT",
            "name": "_emailgistics.example.com",
            "required": None,
            "recommended": WORD,
            "zone_line": f'_emailgistics.example.com. IN TXT "{WORD}"',
            "found": [WORD],
            "state": "ok",
            "detail": "It says that the domain is yours; once that is verified it may go.",
        },
    },
}

MAILBOX: Json = {
    "id": MAILBOX_ID,
    "created_at": SET_UP_AT,
    "address": DATA["mailbox"]["address"],
    "name": DATA["mailbox"]["name"],
    "domain_id": DOMAIN_ID,
    "active": True,
    "time_zone": "Europe/Berlin",
    "retention": {"raw_days": 30, "content_days": None, "log_days": 365},
    "retention_in_force": {"raw_days": 30, "content_days": 365, "log_days": 365},
    "quota_bytes": None,
    "used_bytes": DATA["raw"]["size"],
}

ALIAS: Json = {
    "id": ALIAS_ID,
    "created_at": SET_UP_AT,
    "address": DATA["alias"]["address"],
    "name": "help",
    "domain_id": DOMAIN_ID,
    "mailbox_id": MAILBOX_ID,
    "further_mailbox_ids": [],
    "description": "Where the web site sends its questions",
    "kind": "exact",
    "priority": 100,
    "active": True,
}

RULE: Json = {
    "id": RULE_ID,
    "created_at": SET_UP_AT,
    "domain_id": None,
    "mailbox_id": MAILBOX_ID,
    "alias_id": None,
    "action": "block",
    "criterion": "sender",
    "value": "noise@example.org",
    "description": "Sells what nobody asked for",
    "active": True,
}

WEBHOOK: Json = {
    "id": WEBHOOK_ID,
    "created_at": SET_UP_AT,
    "url": "https://hooks.example.net/mail",
    "alias_id": ALIAS_ID,
    "mailbox_id": None,
    "domain_id": None,
    "events": ["email.received", "webhook.disabled"],
    "payload": "full",
    "attachments": "links",
    "max_in_flight": 5,
    "rate_per_minute": None,
    "thinned_at": None,
    "headers": {"X-Tenant": "***"},
    "description": "Tickets",
    "state": "active",
    "state_reason": "",
    "previous_secret_until": None,
    "health": {"failing_since": None, "failures": 0, "circuit": "closed", "open_until": None},
    "attempts_in_flight": 0,
}

DELIVERY: Json = {
    "id": DELIVERY_ID,
    "created_at": PROCESSED_AT,
    "webhook_id": WEBHOOK_ID,
    "email_id": EMAIL_ID,
    "event_id": EVENT_ID,
    "event_type": "email.received",
    "is_test": False,
    "generation": 1,
    "state": "delivered",
    "reason": "",
    "attempts": 1,
    "next_attempt_at": None,
    "last_status": 204,
    "last_error": "",
    "delivered_at": "2030-01-31T18:00:01.421Z",
}
ATTEMPT: Json = {
    "n": 1,
    "started_at": "2030-01-31T18:00:01.302Z",
    "status": 204,
    "error": "",
    "detail": "",
    "dns_ms": 4,
    "connect_ms": 38,
    "first_byte_ms": 117,
    "total_ms": 119,
    "peer": "198.51.100.7",
    "response": {"headers": [["content-length", "0"]], "body": ""},
}
DELIVERY_DETAIL: Json = DELIVERY | {"attempt_log": [ATTEMPT]}

EMAIL: Json = {
    "id": EMAIL_ID,
    "created_at": RECEIVED_AT,
    "message_id": DATA["message_id"],
    "mailbox_id": MAILBOX_ID,
    "recipients": DATA["recipients"],
    "mail_from": DATA["envelope"]["mail_from"],
    "from": DATA["from"],
    "subject": DATA["subject"],
    "date": DATA["date"],
    "received_at": RECEIVED_AT,
    "size": DATA["raw"]["size"],
    "status": "processed",
    "kind": DATA["kind"],
    "has_attachment": True,
    "quarantine": None,
    "raw_removed_at": None,
    "content_removed_at": None,
}
EMAIL_DETAIL: Json = EMAIL | {
    "to": DATA["to"],
    "cc": DATA["cc"],
    "accepted_as": MESSAGE_ID,
    "source": DATA["source"],
    "envelope": {name: value for name, value in DATA["envelope"].items() if name != "rcpt_to"},
    "auth": DATA["auth"],
    "parse": DATA["parse"],
    "marks": DATA["marks"],
    "raw": {"size": DATA["raw"]["size"], "sha256": DATA["raw"]["sha256"]},
}
ATTACHMENT: Json = {"id": ATTACHMENT_ID, "created_at": PROCESSED_AT} | {
    name: DATA["attachments"][0][name]
    for name in ("filename", "content_type", "detected_type", "size", "sha256", "inline")
}

REPLAY_JOB: Json = {
    "id": JOB_ID,
    "created_at": "2030-02-02T08:00:00.000Z",
    "kind": "replay",
    "webhook_id": WEBHOOK_ID,
    "state": "running",
    "since": "2030-02-01T00:00:00.000Z",
    "until": "2030-02-02T00:00:00.000Z",
    "status": "failed",
    "rate_per_minute": 60,
    "total": 312,
    "replayed": 118,
    "skipped": 0,
    "content_expired": 0,
    "ended_at": None,
}
ERASURE_JOB: Json = {
    "id": JOB_ID,
    "created_at": "2030-02-02T08:00:00.000Z",
    "kind": "erasure",
    "domain_id": None,
    "mailbox_id": MAILBOX_ID,
    "state": "running",
    "total": 1204,
    "erased": 431,
    "failed": 0,
    "failed_email_ids": [],
    "ended_at": None,
}

API_KEY: Json = {
    "id": "emgk_AbC123xYz9",
    "created_at": SET_UP_AT,
    "name": "Ticket system",
    "expires_at": "2030-04-02T00:00:00.000Z",
    "revoke_at": None,
    "status": "active",
    "last_used_at": "2030-01-31T17:58:12.004Z",
    "scopes": ["aliases:read", "emails:content", "emails:read", "webhooks:read", "webhooks:write"],
    "all_mailboxes": False,
    "mailboxes": [{"id": MAILBOX_ID, "address": DATA["mailbox"]["address"]}],
    "networks": [],
    "plan": "standard",
    "limits": {"minute": 100, "hour": 1000, "day": 10000},
    "server_time": PROCESSED_AT,
}

OUTLOOK: Json = {
    "address": "help+order-7@example.com",
    "accepted": True,
    "reply": "250 2.1.5 Recipient OK",
    "code": None,
    "kind": "plus",
    "tag": "order-7",
    "captures": {},
    "domain_id": DOMAIN_ID,
    "alias_id": ALIAS_ID,
    "mailboxes": [
        {
            "id": MAILBOX_ID,
            "address": DATA["mailbox"]["address"],
            "copy": False,
            "verdict": {"action": "allow", "rule_id": None, "reason": ""},
        }
    ],
    "explanation": [
        "example.com is hosted",
        "help+order-7@example.com without its tag is help@example.com",
        "help@example.com is an alias of support@example.com",
    ],
}

PULLED: Json = {
    "position": 4711,
    "delivery_id": DELIVERY_ID,
    "event_id": EVENT_ID,
    "event_type": "webhook.test",
    "headers": {
        "content-type": "application/json",
        "webhook-id": EVENT_ID,
        "webhook-timestamp": "1896199201",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    },
    "body": '{"type":"webhook.test","timestamp":"2030-01-31T18:00:01.250Z","data":{"webhook":{"id":"'
    f'{WEBHOOK_ID}","description":"Tickets"}},"message":"This is a test."}}}}',
}

REFUSAL: Json = {
    "id": "ref_01jd2x8ky5a8d1g4k7n0r3v6wb",
    "created_at": "2030-01-31T17:12:44.180Z",
    "outcome": "refused",
    "source": "smtp",
    "network": "192.0.2.0/24",
    "client_ip": "192.0.2.1",
    "helo": "mx.example.net",
    "mail_from": "ada@example.net",
    "recipient": "halp@example.com",
    "reply": "550 5.1.1 No such recipient here",
    "code": "unknown_recipient",
    "rule_id": None,
    "size": None,
    "sha256": None,
    "transcript": [
        [12, "C", "EHLO mx.example.net"],
        [41, "C", "MAIL FROM:<ada@example.net>"],
        [42, "S", "250 2.1.0 Sender OK"],
        [80, "C", "RCPT TO:<halp@example.com>"],
        [83, "S", "550 5.1.1 No such recipient here"],
    ],
}

BATCH_RESULT: Json = {
    "results": [{"index": 0, "status": 201, "data": ALIAS}, {"index": 1, "status": 204, "data": None}],
    "summary": {"total": 2, "succeeded": 2, "failed": 0},
}
TAKEN = "The address sales@example.com is not available."
BATCH_WITH_A_FAILURE: Json = {
    "results": [
        {
            "index": 0,
            "status": 409,
            "error": json.loads(problems.problem(HTTPStatus.CONFLICT, "address_unavailable", TAKEN).content),
        },
        {"index": 1, "status": 204, "data": None},
    ],
    "summary": {"total": 2, "succeeded": 1, "failed": 1},
}

OF_COMPONENT: Mapping[str, Json] = {
    "Acknowledged": {"acknowledged": 1},
    "Alias": ALIAS,
    "AliasWebhook": {"alias": ALIAS, "webhook": WEBHOOK},
    "ApiKey": API_KEY,
    "Attachment": ATTACHMENT,
    "BatchResult": BATCH_RESULT,
    "ChangedWebhook": WEBHOOK,
    "Delivery": DELIVERY,
    "DeliveryDetail": DELIVERY_DETAIL,
    "Diagnosis": {
        "is_valid": False,
        "code": "timestamp_too_old",
        "reason": "The signature is right, and the request is 3214 s old; 300 s are tolerated.",
        "remedy": "An old request that is looked at now, or the receiver's clock is ahead: check its clock.",
    },
    "Domain": DOMAIN,
    "DomainStatus": DOMAIN_STATUS,
    "Email": EMAIL,
    "EmailDetail": EMAIL_DETAIL,
    "EmailReplay": {"replayed": 1, "made": 0, "on_their_way": 0, "content_expired": 0},
    "EmailWithContent": EMAIL_DETAIL | {name: DATA[name] for name in ("text", "text_truncated")},
    "ErasureJob": ERASURE_JOB,
    "Mailbox": MAILBOX,
    "Outlook": OUTLOOK,
    "Pulled": PULLED,
    "Refusal": REFUSAL,
    "ReplayJob": REPLAY_JOB,
    "RevokedLinks": {"email_id": EMAIL_ID, "links_revoked_at": "2030-02-02T08:00:00.000Z"},
    "Rule": RULE,
    "SchemaName": {
        "name": "email.received.json",
        "event_type": "email.received",
        "url": "https://mail.example.net/v1/schemas/email.received.json",
    },
    "Submitted": {
        "id": MESSAGE_ID,
        "resent": False,
        "discarded": False,
        "emails": [{"id": EMAIL_ID, "mailbox_id": MAILBOX_ID}],
    },
    "Webhook": WEBHOOK,
    "WebhookWithSecret": WEBHOOK | {"secret": SECRET},
}

# where the status says something that the component does not
OF_STATUS: Mapping[tuple[str, str], Json] = {("BatchResult", "207"): BATCH_WITH_A_FAILURE}

# of what is no JSON object of ours
OF_TYPE: Mapping[str, Any] = {
    "message/rfc822": "From: Ada Lovelace <ada@example.net>\r\nTo: help+order-7@example.com\r\n"
    "Subject: Broken engine\r\nMessage-ID: <1@example.net>\r\n\r\nIt does not turn.\r\n",
    "*/*": "the octets of the attachment",
    "application/schema+json": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "/v1/schemas/email.received.json",
        "title": "email.received",
        "$ref": "#/$defs/EmailReceived",
        "$defs": {"EmailReceived": {"type": "object", "required": ["data", "timestamp", "type"]}},
    },
}


def of_answer(status: str, content_type: str, schema: Json, components: Json) -> Any:
    """An example of an answer with that schema; None if there is none."""
    if content_type in OF_TYPE:
        return OF_TYPE[content_type]
    name = str(schema.get("$ref", "")).removeprefix(COMPONENTS)
    if name in OF_COMPONENT:
        return OF_STATUS.get((name, status), OF_COMPONENT[name])
    of = components.get(name, schema)
    if choices := of.get("oneOf"):
        return of_answer(status, content_type, choices[0], components)
    return _list_of(of.get("properties", {}), components)


def path_of(path: str) -> str:
    """The path with an id of the examples in place of each parameter."""
    segments = path.split("/")
    return "/".join(
        ID_OF_SEGMENT.get(before, segment) if segment.startswith("{") else segment
        for before, segment in zip(["", *segments], segments, strict=False)
    )


def _list_of(properties: Json, components: Json) -> Json | None:
    items = properties.get("data", {}).get("items", {})
    name = str(items.get("$ref", "")).removeprefix(COMPONENTS)
    if choices := components.get(name, {}).get("oneOf"):
        name = str(choices[0].get("$ref", "")).removeprefix(COMPONENTS)
    row = OF_COMPONENT.get(name)
    if row is None:
        return None
    return {"data": [row]} | ({"pagination": PAGINATION} if "pagination" in properties else {})
