"""Mail of long ago in one mailbox, with all that belongs to it, made by the database itself. Needs django.setup().

Every so many mails are of one address, which then stands in the envelope, the header, the text, the raw, the words to
search for, the event that was sent and the answer to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import zstandard
from django.db import connection
from django.utils import timezone
from psycopg import ClientCursor

from mailboxes.models import Mailbox, tally_of
from webhooks.models import Webhook

ADDRESS, OTHERS = "zq7marker@example.net", "ada@example.net"
SPAN = timedelta(days=100)
AT_ONCE = 50_000  # of rows in a transaction
BODY = "It does not turn.\r\n" * 200  # 4 kB, as most mails have

# n is the number of a mail, from 1 for the oldest on; salt tells tables apart
FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.at(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT to_timestamp(%(first)s + n * %(step)s) $$;
CREATE OR REPLACE FUNCTION pg_temp.id(n bigint, salt int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex(((%(first)s + n * %(step)s) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0')
           || '8' || lpad(to_hex(salt), 3, '0') || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE OR REPLACE FUNCTION pg_temp.who(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN n %% %(every)s = 0 THEN %(address)s ELSE %(others)s END $$;
"""
WORDS = """array_to_tsvector(ARRAY['m:' || %(mailbox_hex)s, 's:order', 'order', 'n' || n, 'engine' || n %% 100,
    split_part(pg_temp.who(n), '@', 1), 'example', 'net'])"""
INSERTS = {
    "mailboxes_message": """
        (id, received_at, source, mail_from, helo, tls, size, sha256, resends, state, losses, parse_status,
         parse_defects, parse_version, processed_at)
        SELECT pg_temp.id(n, 1), pg_temp.at(n), 'smtp', pg_temp.who(n), 'mx.example.net', '', %(size)s,
               repeat('0', 64), 0, 'processed', 0, 'ok', '[]', 1, pg_temp.at(n) FROM numbers""",
    "mailboxes_rawmessage": """
        (message_id, codec, data)
        SELECT pg_temp.id(n, 1), 'zstd', CASE WHEN n %% %(every)s = 0 THEN %(raw_of_address)s ELSE %(raw)s END
          FROM numbers""",
    "mailboxes_transcript": """
        (message_id, lines)
        SELECT pg_temp.id(n, 1), jsonb_build_array(jsonb_build_array(1, 'C', 'MAIL FROM:<' || pg_temp.who(n) || '>'))
          FROM numbers""",
    "mailboxes_email": """
        (id, message_id, mailbox_id, received_at, size, status, quarantine_reason, kind, subject, from_name,
         from_address, message_id_header, has_attachment)
        SELECT pg_temp.id(n, 2), pg_temp.id(n, 1), %(mailbox)s, pg_temp.at(n), %(size)s, 'processed', '', 'normal',
               'Order n' || n, 'Person', pg_temp.who(n), '<' || n || '@example.net>', false FROM numbers""",
    "mailboxes_emailcontent": """
        (email_id, in_reply_to, "references", addresses, headers, text, text_truncated, html, html_truncated,
         html_safe, preview, marks)
        SELECT pg_temp.id(n, 2), '', '[]', '{}', jsonb_build_array(jsonb_build_array('From', pg_temp.who(n))),
               %(body)s || pg_temp.who(n), false, '', false, '', '', '[]' FROM numbers""",
    "mailboxes_searchentry": f"""
        (email_id, mailbox_id, from_key, from_domain, message_id, has_attachment, log_words, all_words)
        SELECT pg_temp.id(n, 2), %(mailbox)s, pg_temp.who(n), 'example.net', n || '@example.net', false,
               {WORDS}, {WORDS} FROM numbers""",
    "mailboxes_recipient": """
        (message_id, email_id, mailbox_id, address, address_key, kind, tag, captures, is_copy, explanation)
        SELECT pg_temp.id(n, 1), pg_temp.id(n, 2), %(mailbox)s, %(to)s, %(to)s, 'exact', '', '{}', false, '[]'
          FROM numbers""",
    "webhooks_event": """
        (id, type, email_id, created_at)
        SELECT pg_temp.id(n, 4), 'email.received', pg_temp.id(n, 2), pg_temp.at(n) FROM numbers""",
    "webhooks_eventbody": """
        (id, event_id, form, body, size)
        SELECT n + 1000000000, pg_temp.id(n, 4), 'full', convert_to(pg_temp.who(n) || %(body)s, 'UTF8'), %(size)s
          FROM numbers WHERE n %% %(every)s = 0""",
    "webhooks_delivery": """
        (id, event_id, webhook_id, body_id, state, reason, is_test, generation, due_at, attempts, failures,
         lease_losses, last_error, created_at, delivered_at, last_attempt_at)
        SELECT pg_temp.id(n, 5), pg_temp.id(n, 4), %(hook)s, CASE WHEN n %% %(every)s = 0 THEN n + 1000000000 END,
               'delivered', '', false, 1, pg_temp.at(n), 1, 0, 0, '', pg_temp.at(n), pg_temp.at(n), pg_temp.at(n)
          FROM numbers""",
    "webhooks_attempt": """
        (delivery_id, n, started_at, status, error, detail, response_headers, response_excerpt, total_ms)
        SELECT pg_temp.id(n, 5), 1, now(), 200, '', '', '', convert_to('thanks, ' || pg_temp.who(n), 'UTF8'), 40
          FROM numbers""",
}  # fmt: skip
# what is searched for the address, as text; raws are unpacked
TEXTS = {
    "mailboxes_message": "mail_from",
    "mailboxes_transcript": "lines::text",
    "mailboxes_email": "from_address || subject",
    "mailboxes_emailcontent": "text || headers::text || addresses::text",
    "mailboxes_searchentry": "from_key || log_words::text || all_words::text",
    "mailboxes_recipient": "address",
    "webhooks_eventbody": "convert_from(body, 'UTF8')",
    "webhooks_attempt": "convert_from(response_excerpt, 'UTF8')",
}


@dataclass(frozen=True, slots=True)
class OldMail:
    mailbox: Mailbox
    hook: Webhook


def fill(old: OldMail, *, rows: int, of_address: int) -> None:
    """So many mails over SPAN until now, so many of them of ADDRESS."""
    raw, raw_of_address = (_raw_of(address) for address in (OTHERS, ADDRESS))
    first = (timezone.now() - SPAN).timestamp()
    values: dict[str, Any] = {
        "first": first, "step": SPAN.total_seconds() / rows, "every": max(1, rows // of_address),
        "address": ADDRESS, "others": OTHERS, "raw": raw, "raw_of_address": raw_of_address, "body": BODY,
        "size": len(BODY), "mailbox": old.mailbox.pk, "mailbox_hex": old.mailbox.pk.hex, "hook": old.hook.pk,
        "to": old.mailbox.address, "tally": tally_of(old.mailbox.pk), "octets": rows * len(BODY),
    }  # fmt: skip
    with connection.cursor():
        pass  # connected
    with ClientCursor(connection.connection) as cursor:  # functions take no parameters
        cursor.execute("SET session_replication_role = replica")  # nobody looks whether references lead anywhere
        cursor.execute(FUNCTIONS, values)
        for begin in range(1, rows + 1, AT_ONCE):
            numbers = (
                f"WITH numbers AS (SELECT n FROM generate_series({begin}::bigint, {min(begin + AT_ONCE - 1, rows)}) n)"
            )
            for table, statement in INSERTS.items():
                columns, _, query = statement.partition("SELECT")
                cursor.execute(f"{numbers} INSERT INTO {table} {columns} SELECT {query}", values)
        cursor.execute("INSERT INTO common_tally (name, amount) VALUES (%(tally)s, %(octets)s)", values)
        cursor.execute("RESET session_replication_role")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def left_of_address() -> dict[str, int]:
    """In how many rows of which table it still stands; raws included."""
    who = ADDRESS.partition("@")[0]
    with connection.cursor() as cursor:
        found = {}
        for table, text in TEXTS.items():
            cursor.execute(f"SELECT count(*) FROM {table} WHERE {text} ILIKE %s", [f"%{who}%"])
            found[table] = int(cursor.fetchone()[0])
    found["mailboxes_rawmessage"] = sum(who.encode() in raw.lower() for raw in _raws())
    return {table: count for table, count in found.items() if count}


def _raws() -> Iterator[bytes]:
    with connection.connection.transaction(), connection.connection.cursor(name="raws") as cursor:
        cursor.itersize = 5000
        for (data,) in cursor.execute("SELECT data FROM mailboxes_rawmessage"):
            yield zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 24)


def _raw_of(address: str) -> bytes:
    text = f"From: {address}\r\nTo: support@example.com\r\nSubject: Order\r\n\r\n{BODY}"
    return zstandard.ZstdCompressor(level=1).compress(text.encode())
