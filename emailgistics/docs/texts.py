"""What the OpenAPI document says to people, beside what each operation says of itself."""

from collections.abc import Mapping

TAGS: Mapping[str, str] = {
    "Keys": "The key that asks. Its call is the authentication test of every integration.",
    "Domains": "Domains that mail is taken for. Each has a default mailbox.",
    "Mailboxes": "Shared mailboxes. A key opens those on its allowlist, or all of them.",
    "Aliases": "Further addresses, each of which leads to a mailbox.",
    "Rules": "Which mail is let pass, refused, thrown away or kept back: by sender, network, attachment, size.",
    "Routing": "Where mail to an address would go, and why. Nothing is sent.",
    "Webhooks": "Endpoints of yours that are told of every email. Each is bound to an alias, a mailbox or a domain.",
    "Deliveries": "What became of each event at each webhook: attempts, answers, when the next one is due.",
    "Jobs": "Work that goes on after the answer: replays of a span of time, erasing the mail of what was deleted.",
    "Schemas": "JSON Schemas of what webhooks get.",
    "Emails": "The mail itself: the log, bodies, attachments, the raw octets.",
    "Refusals": "Mail that SMTP refused, or that a rule had thrown away, with the reply that was given.",
    "Statistics": "How much mail came, what became of it, how fast its webhooks were, and how often the key was used.",
}
# the tag of a path is that of its last segment that is named here
TAG_OF_SEGMENT: Mapping[str, str] = {
    "me": "Keys",
    **{name.lower(): name for name in TAGS if name != "Keys"},
}

# in the order in which the page offers them; in Markdown, where <key> would be an element
SECURITY_SCHEMES: Mapping[str, str] = {
    "bearer": "An API key, sent as `Authorization: Bearer emgk_…`.",
    "apiKeyHeader": "The same key in a header of its own, for tools that have a field for that.",
}

# (status, code, what it means): all that there are
ERRORS: tuple[tuple[int, str, str], ...] = (
    (400, "validation_error", "A field or a parameter is wrong; `errors` lists each with its `pointer`."),
    (400, "parse_error", "The body is not JSON, or is nested deeper than 32 levels."),
    (400, "bad_request", "The request as a whole cannot be served: an unknown `Host`, or over 1,000 parameters."),
    (400, "malformed_tag", "`If-Match` or `If-None-Match` of a change is neither `*` nor tags in quotes."),
    (400, "page_too_deep", "`page` times `limit` is over 10,000; go on with `starting_after`."),
    (401, "missing_credentials", "There is no key in the request."),
    (401, "malformed_key", "What was sent is not a whole key, or two keys that differ."),
    (401, "invalid_key", "There is no such key."),
    (401, "key_expired", "The key is past its expiry date."),
    (401, "key_revoked", "The key was revoked."),
    (401, "network_not_allowed", "The key may not be used from where the request comes."),
    (403, "insufficient_scope", "The key lacks one of `required_scopes`."),
    (403, "allowlist_restricted", "This acts on a whole domain, and the key is not for all mailboxes."),
    (
        404,
        "not_found",
        "Nothing is there, or nothing that this key may see: the same body. `errors` names an id outside the path.",
    ),
    (405, "method_not_allowed", "The path has no such method; see `Allow`."),
    (406, "not_acceptable", "`Accept` leaves out `application/json`, and there is nothing else here."),
    (409, "address_unavailable", "Somebody has the address, or had it less than 30 days ago, or it is reserved."),
    (409, "blocked_by_rule", "A rule blocks this mail for one of its recipients."),
    (409, "conflict", "It contradicts something that exists."),
    (409, "not_empty", "There is mail in it."),
    (409, "not_quarantined", "No rule keeps this email back, or it is still to be opened."),
    (409, "content_expired", "What was to be sent again is no longer kept."),
    (409, "record_not_found", "The DNS answers, and does not have the record that verifies the domain."),
    (409, "rotation_overlaps", "The secret before the last rotation still signs."),
    (409, "idempotency_in_progress", "The request before with this `Idempotency-Key` is not done; see `Retry-After`."),
    (409, "test_under_way", "The test before this one has not ended."),
    (410, "content_removed", "The mailbox keeps what its mails say for so many days; this one's went then."),
    (410, "raw_removed", "The mailbox keeps raws and attachments for so many days; this email's went then."),
    (411, "length_required", "A mail is handed in with a Content-Length, not in chunks."),
    (412, "precondition_failed", "It is not as `If-Match` says: somebody has changed it since it was read."),
    (413, "body_too_large", "The body is larger than is taken there: 1 MiB, or what a mail may have."),
    (415, "unsupported_media_type", "The body is not of a type that is taken there."),
    (416, "range_not_satisfiable", "The range of a file that was asked for is beyond its end; see `Content-Range`."),
    (422, "batch_too_large", "A batch has at most 100 operations."),
    (422, "batch_failed", "One of all or nothing failed, so nothing was done; see `index` and `error`."),
    (
        422,
        "idempotency_mismatch",
        "This `Idempotency-Key` was sent with another method, path, query or body within the last 24 hours.",
    ),
    (429, "rate_limited", "The key has used up `violated_policies`; `Retry-After` says when to come again."),
    (429, "too_many_failures", "Keys that do not exist, or one that may not be used, were tried too often."),
    (429, "idempotency_full", "So many large answers are kept for the key that there is no room for one more."),
    (429, "mailbox_full", "A recipient's mailbox has no room for this mail; later it may have."),
    (500, "internal_error", "A fault on our side; `request_id` finds it in the operator's log."),
    (503, "dns_busy", "As many domains are being looked at as may be at once: try again in some seconds."),
    (503, "dns_unavailable", "The DNS has no answer about the domain: try again in a moment."),
    (503, "unavailable", "A fault on our side that may be over in a moment: try again."),
)

# (code, what it means): of `errors`, all that there are
FIELD_CODES: tuple[tuple[str, str], ...] = (
    ("required", "It has to be given."),
    ("null", "It cannot be null."),
    ("blank", "It cannot be empty."),
    ("empty", "The list has to have an entry."),
    ("invalid", "It is not of the type or form that it has to be of; `detail` says which."),
    ("invalid_choice", "It is none of the values that there are; `detail` lists them."),
    ("max_length", "It is too long, or a list of too many."),
    ("min_length", "It is too short, or a list of too few."),
    ("max_value", "The number is too large."),
    ("min_value", "The number is too small."),
    ("max_string_length", "The number has too many digits."),
    ("out_of_range", "A number or a time is beyond its bounds, or a span ends before it begins."),
    ("not_a_list", "It is a list."),
    ("not_a_dict", "It is an object."),
    ("naive", "A time has to say its offset, such as `Z`."),
    ("not_text", "It is text, in quotes."),
    ("too_far", "A time is beyond all calendars."),
    ("overflow", "A number or a time is larger than can be kept."),
    ("null_characters_not_allowed", "There is a NUL character in it."),
    ("surrogate_characters_not_allowed", "There is half a surrogate pair in it."),
    ("repeated", "It is there more than once."),
    ("unknown_field", "There is no field or parameter of this name; `detail` lists those that there are."),
    ("read_only", "It cannot be changed; `detail` says what to do instead."),
    ("not_found", "With 404: there is nothing with this id, or nothing that the key may see."),
    ("invalid_address", "It is no address, or no name of a domain."),
    ("invalid_pattern", "It is no pattern of an alias."),
    ("invalid_rule_value", "It does not go with the rule's criterion."),
    ("url_refused", "Nothing may be sent to this URL."),
    ("address_disabled", "The recipient's address takes no mail for now."),
    ("domain_for_tests", "The domain is a test domain, which takes no mail from there."),
    ("routing_loop", "The mail has passed too many hosts."),
    ("search_too_wide", "The search takes too long: narrow it."),
    ("too_many_periods", "The span has too many rows: ask for a shorter one, or a longer interval."),
)

# (component, header, type, what it is, an example): of the answers to a key that is good; see schema._headers_of
HEADERS: tuple[tuple[str, str, str, str, str | int], ...] = (
    (
        "RequestId", "X-Request-Id", "string", "of this request, for the operator's log",
        "req_01jz8c5w1xf0vt9m3k6q2r7h4e",
    ),
    ("KeyId", "X-API-Key-Id", "string", "the key that asked", "emgk_AbC123xYz9"),
    ("KeyExpires", "X-API-Key-Expires", "string", "when that key ends", "2030-01-31T18:00:00.000Z"),
    ("Limit", "X-RateLimit-Limit", "integer", "requests an hour; on a 429 the limit that was reached", 1000),
    ("Remaining", "X-RateLimit-Remaining", "integer", "how many of them are left", 850),
    ("Reset", "X-RateLimit-Reset", "integer", "when they come back, in seconds since 1970", 1640995200),
    (
        "RateLimitPolicy", "RateLimit-Policy", "string", "all limits of the key, as q requests in w seconds",
        '"minute";q=100;w=60, "hour";q=1000;w=3600, "day";q=10000;w=86400',
    ),
    (
        "RateLimit", "RateLimit", "string",
        "what is left of each, r, and in how many seconds, t, some comes back; on a 429 of those reached",
        '"minute";r=99;t=61, "hour";r=850;t=1740, "day";r=9850;t=30540',
    ),
    ("Replayed", "Idempotency-Replayed", "string", "`true`: the request was done before", "true"),
    ("RetryAfter", "Retry-After", "integer", "seconds after which the same request may be sent", 17),
)  # fmt: skip

_ERROR_ROWS = "\n".join(f"| {status} | `{code}` | {meaning} |" for status, code, meaning in ERRORS)

DESCRIPTION = f"""\
Shared mailboxes over HTTP: what is set up, what mail came, and the fate of every webhook. JSON both ways.

## Authentication

Every call needs an API key. A system administrator makes one in the console under **API Access**, or an operator with
`manage.py apikeys create`. It is shown once, is bound to a name, an expiry date, scopes and mailboxes, and never
changes afterwards. Send it in a header, never in a URL:

```
Authorization: Bearer emgk_…
```

or, for tools that have a field for it, `X-API-KEY: emgk_…`. `GET /v1/me` answers what the key may do. Signing in to
the console opens nothing here.

Each operation names the **scopes** that it needs, below and as `x-required-scopes`; write includes read of the same
resource. A key with an allowlist sees its mailboxes and what belongs to them; to it all the rest does not exist (404).

## Errors

Problems as in RFC 9457, `application/problem+json`: programs look at `code`, people at `detail` (`message` is the
same). `X-Request-Id` is in every answer.

| Status | `code` | Meaning |
|---|---|---|
{_ERROR_ROWS}

## Ids and times

Ids are strings with a prefix for what they name (`dom_…`, `mbx_…`, `alias_…`, `wh_…`, `dlv_…`, `email_…`, `att_…`) and
sort by creation. An id of the wrong kind is a 404 like an unknown one. Times are UTC in milliseconds,
`2030-01-31T18:00:00.000Z`.

## Lists

Newest first, as `{{"data": […], "pagination": {{…}}}}` with a `Link` header. Either `?page=2&limit=100` (`limit` up to
100, `page` times `limit` up to 10,000) or, as far as you like, `?starting_after=<id>` and `?ending_before=<id>`:
`next_cursor` is the id to go on with. `total` is counted up to 10,000; then `total_capped` is true.

## Conditional requests

What is set up (domains, mailboxes, aliases, rules, webhooks, their lists, and `/v1/me`) is answered with an `ETag`.
Send it back in `If-None-Match`, and the answer is 304 without a body as long as nothing is another; it costs a request
all the same. Send it in `If-Match` with PUT, PATCH or DELETE, and nothing is changed if somebody else was faster: 412,
read it again. What changes by itself (`used_bytes`, `health`, …) does not count there.

## Limits

Each key has a number of requests a minute (any 60 seconds), an hour and a day (as the clock has them, in UTC);
`GET /v1/me` shows them. Every request whose key is good costs one, whatever the answer; handing in a mail costs one for
each MiB that is begun, a batch one for each ten operations that are begun, and nothing more than a whole limit. One
that does not fit all three costs nothing and is a 429 `rate_limited`: come again after as many seconds as `Retry-After`
says, not sooner. Prefer webhooks to polling.

Every answer to a good key has `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since 1970) of the hour, on a
429 of the limit that it is about; `RateLimit-Policy` and `RateLimit` with all of them, as in
draft-ietf-httpapi-ratelimit-headers-10 (`q` requests in `w` seconds; `r` are left, `t` seconds until some come back);
and `X-API-Key-Id` and `X-API-Key-Expires`.

## Sending a request again

A request whose answer got lost may be sent again. Give each POST and PATCH an `Idempotency-Key` of its own (1 to 255
visible ASCII characters; a UUID will do), and send it again as it was, with the same one. What it does is done once,
and the answer is the one from before, with `Idempotency-Replayed: true`. GET, PUT and DELETE need none: twice does no
more than once.

- Kept are answers that say that something was done, for 24 hours, for the API key that asked, encrypted. What was
  refused (4xx) or failed (5xx) has done nothing and is not kept: send it again, corrected if need be, with the same
  `Idempotency-Key`.
- Another method, path, query or body with the same `Idempotency-Key` is a 422 `idempotency_mismatch`; the order of
  names in a JSON body and the spaces between them do not matter. While the first one is being done, the same again is a
  409 `idempotency_in_progress`, or waits for it.
- Secrets are not kept: the answer that shows one again reads it from the webhook, and is a 409 `conflict` once it was
  replaced. Nor is mail: answers about an email or a delivery (release, replay and cancel, a webhook's test) show it as
  it is by then.
- Once the key may not see all that the request was about (a mailbox was deleted, an alias was moved away), it is a 404.
- It costs as much of the limits as the request did. What changes nothing (`POST /v1/routing/explain`,
  `check-signature`) takes no notice of the header.

## Who a mail is from

`auth`, in an event and in `GET /v1/emails/{{id}}`, has what SPF, DKIM and DMARC said when the mail was first opened, in
the words of RFC 8601. Nothing is refused or held back for it: what to do about a `dmarc.result` of `fail` is yours to
decide, and `dmarc.policy` is what the domain asks for. `temperror` says that the DNS had no answer then; it is not
asked again. Mail that comes through a mail server of your own network, or by a pipe, has `none` for SPF: that server's
address says nothing of the sender. `auth` is null where the operator has the checks switched off.
`Authentication-Results` fields in the mail are not looked at.

## Webhooks

Each event is one `POST` of JSON to the webhook's `url`; see **email.received** and the others in the `webhooks` section
of this document. Answer with any 2xx within 15 seconds. Anything else is tried again for days, with growing pauses, and
always with the same octets and the same `webhook-id`, by which you recognise what you have already.

The secret of a webhook is shown when it is made. Verify the raw body, before any JSON parsing:

- `webhook-signature` is as in Standard Webhooks, for which there are libraries in most languages: base64 of
  HMAC-SHA256 over `webhook-id`, `.`, `webhook-timestamp`, `.` and the body; the key is what stands after `whsec_`,
  base64-decoded. It also dates the request: refuse what is more than 5 minutes old.
- `x-webhook-signature` is the hexadecimal HMAC-SHA256 of the body alone; the key is the text of the secret, prefix and
  all. Simpler, and without protection against replay.

The body has one of four forms: whole; with `attachments: inline`, where attachments come in base64 (up to 5 MiB in
all); thin, once the receiver has answered 413; and with `payload: metadata`, without what the mail says. The JSON
Schemas are at `/v1/schemas/email.received.json` and likewise for `email.reparsed`, `webhook.test` and
`webhook.disabled`.

The links in an event (`attachments[].url`, `raw.url`) need no key: whoever has one reads the file. They open while a
delivery of the event is on its way or held and for a while after its last attempt or replay (72 hours, unless the
operator chose otherwise), and end with the email or by `POST /v1/emails/{{id}}/revoke-links`.
"""
