"""Events of mail that never was, in the shape of real ones: for the documents, and to build a flow against."""

from collections.abc import Mapping
from typing import Any

FILES = "https://mail.example.com/files/evt_01jd2x8ks2f0b9t4k6y1r3m5pz"
WEBHOOK_ID = "wh_01jd2x8kw4s7d1g5k9n3r6v0yb"

EMAIL_RECEIVED: dict[str, Any] = {
    "type": "email.received",
    "timestamp": "2030-01-31T18:00:01.250Z",
    "data": {
        "id": "email_01jd2x8kt6n4v8r1c5w9z2b7ha",
        "mailbox": {
            "id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
            "address": "support@example.com",
            "name": "Support",
        },
        "alias": {"id": "alias_01jd2x8krp3s6t9v2x5z8b1d4f", "address": "help@example.com"},
        "domain": {"id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e", "name": "example.com"},
        "route": {"kind": "plus", "tag": "order-7", "captures": {}},
        "recipients": [
            {
                "address": "help+order-7@example.com",
                "alias_id": "alias_01jd2x8krp3s6t9v2x5z8b1d4f",
                "kind": "plus",
                "tag": "order-7",
                "captures": {},
            }
        ],
        "received_at": "2030-01-31T18:00:00.000Z",
        "source": "smtp",
        "envelope": {
            "mail_from": "ada@example.net",
            "rcpt_to": ["help+order-7@example.com"],
            "client_ip": "192.0.2.1",
            "helo": "mx.example.net",
            "tls": None,
        },
        "auth": {
            "spf": {"result": "pass", "domain": "example.net", "scope": "mfrom", "reason": None},
            "dkim": [{"result": "pass", "domain": "example.net", "selector": "s2029", "aligned": True, "reason": None}],
            "dmarc": {
                "result": "pass",
                "policy": "reject",
                "aligned_by": ["dkim", "spf"],
                "domain": "example.net",
                "pct": 100,
                "reason": None,
            },
            "checked_at": "2030-01-31T18:00:01.000Z",
        },
        "message_id": "<1@example.net>",
        "in_reply_to": None,
        "references": [],
        "subject": "Broken engine",
        "date": "2030-01-31T17:59:58.000Z",
        "from": {"name": "Ada Lovelace", "address": "ada@example.net"},
        "sender": None,
        "reply_to": [],
        "to": [{"name": "", "address": "help+order-7@example.com"}],
        "cc": [],
        "text": "It does not turn.\n",
        "text_truncated": False,
        "html": "",
        "html_truncated": False,
        "preview": "It does not turn.",
        "reply": {"text": "It does not turn.\n"},
        "headers": [["From", "Ada Lovelace <ada@example.net>"], ["Subject", "Broken engine"]],
        "headers_truncated": False,
        "attachments": [
            {
                "id": "att_01jd2x8kv1g5j9m3q7s0v4x8za",
                "filename": "engine.jpg",
                "content_type": "image/jpeg",
                "detected_type": "image/jpeg",
                "size": 48213,
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "inline": False,
                "content_id": None,
                "url": f"{FILES}/att_01jd2x8kv1g5j9m3q7s0v4x8za/k1_Sm9pIQ7u7Ck5v0uQ1n7o2n9w8Gf3Zb0cXh4tRz6yLwE",
            }
        ],
        "kind": "normal",
        "bounce": None,
        "list": None,
        "calendar": None,
        "marks": [],
        "parse": {"status": "ok", "defects": []},
        "quarantine": None,
        "raw": {
            "size": 67104,
            "sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            "url": f"{FILES}/raw/k1_pX2mC8v5d0Qb7yT4kLr9uJ1wEo6sZa3nHgFiVtBqR5c",
        },
    },
}

EMAIL_REPARSED: dict[str, Any] = {
    "type": "email.reparsed",
    "timestamp": "2030-02-28T18:00:01.250Z",
    "data": EMAIL_RECEIVED["data"]
    | {"changed": ["subject", "text"], "received_event_id": "evt_01jcz7q4v1c8e2g6j0m4p8s2w5"},
}

WEBHOOK_TEST: dict[str, Any] = {
    "type": "webhook.test",
    "timestamp": "2030-01-31T18:00:01.250Z",
    "data": {
        "webhook": {"id": WEBHOOK_ID, "description": "Tickets"},
        "message": "This is a test. If its signature verifies, so will that of every mail.",
    },
}

WEBHOOK_DISABLED: dict[str, Any] = {
    "type": "webhook.disabled",
    "timestamp": "2030-01-31T18:00:01.250Z",
    "data": {
        "webhook": {
            "id": WEBHOOK_ID,
            "description": "Tickets",
            "alias_id": None,
            "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
            "domain_id": None,
        },
        "reason": "its receiver answered 410 Gone",
        "disabled_at": "2030-01-31T18:00:01.250Z",
    },
}

EVENTS: Mapping[str, Mapping[str, Any]] = {
    sample["type"]: sample for sample in (EMAIL_RECEIVED, EMAIL_REPARSED, WEBHOOK_TEST, WEBHOOK_DISABLED)
}
