"""An installation with very much mail, made by the database itself: for PostgreSQL.

A busy mailbox and a second one, some that get next to nothing, and one that was deleted with the newest mail of all.
What is rare is old: whoever looks for it by walking through the newest walks through everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection
from django.utils import timezone
from psycopg import ClientCursor

from mailboxes.models import Alias, Domain, Email, Mailbox
from mailboxes.services import provision
from tests.factories import make_alias, make_mailbox
from webhooks.models import Webhook
from webhooks.services import webhooks

AT_ONCE = 100_000  # of rows in a transaction
SPAN = timedelta(days=200)
IDLE = 5
FEW = 20  # emails of an idle mailbox
FIRST_RARE = IDLE * FEW + 1  # the oldest three of the busy mailbox are like no others
TABLES = (
    "mailboxes_message", "mailboxes_email", "mailboxes_searchentry", "mailboxes_recipient", "mailboxes_refusal",
    "webhooks_event", "webhooks_eventbody", "webhooks_delivery", "webhooks_attempt", "common_auditentry",
    "common_seriessum",
)  # fmt: skip

# n is the number of a mail, from 1 for the oldest on; salt tells tables apart
FUNCTIONS = """
CREATE OR REPLACE FUNCTION pg_temp.at(n bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT to_timestamp(%(first)s + n * %(step)s) $$;
CREATE OR REPLACE FUNCTION pg_temp.id(n bigint, salt int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT (lpad(to_hex(((%(first)s + n * %(step)s) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n %% 4096), 3, '0')
           || '8' || lpad(to_hex(salt), 3, '0') || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE OR REPLACE FUNCTION pg_temp.mailbox(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN n <= %(few)s THEN (%(idle)s::uuid[])[1 + n %% %(count)s]
               WHEN n <= %(few)s + 3 THEN %(busy)s::uuid
               WHEN n > %(gone_from)s OR n %% 10 = 9 THEN %(gone)s::uuid
               WHEN n %% 10 < 6 THEN %(busy)s::uuid ELSE %(second)s::uuid END $$;
CREATE OR REPLACE FUNCTION pg_temp.is_rare(n bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT n <= %(few)s + 3 $$;
CREATE OR REPLACE FUNCTION pg_temp.is_open(n bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT n > %(newest)s AND n %% 10 = 0 AND pg_temp.mailbox(n) = %(busy)s::uuid $$;
"""
# counts of all of it, once it is there: by quarter of an hour, hour and day, of each mailbox and of everything
SUMS = """
INSERT INTO common_seriessum (subject, part, is_restricted, kind, span, start, times, amount)
SELECT subject, '00000000-0000-0000-0000-000000000000', false, kind, span, quarter - quarter %% span, sum(times),
       sum(amount)
  FROM (SELECT mailbox_id, floor(extract(epoch FROM received_at) / 900)::int AS quarter, count(*) AS times,
               sum(size) AS amount FROM mailboxes_email GROUP BY 1, 2) e,
       unnest(ARRAY[mailbox_id, '00000000-0000-0000-0000-000000000000'::uuid, %(domain)s::uuid]) AS subject,
       unnest(ARRAY[1, 4, 96]) AS span, unnest(ARRAY[1, 2, 118]) AS kind
 GROUP BY subject, kind, span, quarter - quarter %% span
"""
WORDS = """array_to_tsvector(ARRAY['m:' || replace(pg_temp.mailbox(n)::text, '-', ''), 's:order', 'order', 's:n' || n,
    'n' || n, 's:engine' || n %% 100, 'engine' || n %% 100, 'person' || n %% 1000, 'sender' || n %% 50, 'example']
    || CASE WHEN pg_temp.is_rare(n) THEN ARRAY['rare', 's:rare'] ELSE '{}' END"""
INSERTS = {
    "mailboxes_message": """
        (id, received_at, source, mail_from, helo, tls, size, sha256, resends, state, losses, parse_status,
         parse_defects, parse_version, processed_at)
        SELECT pg_temp.id(n, 1), pg_temp.at(n), 'smtp', 'person' || n %% 1000 || '@example.net', 'mx.example.net', '',
               4000, repeat('0', 64), 0, 'processed', 0, 'ok', '[]', 1, pg_temp.at(n) FROM numbers""",
    "mailboxes_email": """
        (id, message_id, mailbox_id, received_at, size, status, quarantine_reason, kind, subject, from_name,
         from_address, message_id_header, has_attachment)
        SELECT pg_temp.id(n, 2), pg_temp.id(n, 1), pg_temp.mailbox(n), pg_temp.at(n), 4000,
               CASE WHEN pg_temp.is_rare(n) THEN 'parked' ELSE 'processed' END, '', 'normal', 'Order n' || n, 'Person',
               'person' || n %% 1000 || '@example.net', '<' || n || '@example.net>', n %% 3 = 0 FROM numbers""",
    "mailboxes_searchentry": f"""
        (email_id, mailbox_id, from_key, from_domain, message_id, has_attachment, log_words, all_words)
        SELECT pg_temp.id(n, 2), pg_temp.mailbox(n),
               CASE WHEN pg_temp.is_rare(n) THEN 'rare@quiet.example'
                    ELSE 'person' || n %% 1000 || '@sender' || n %% 50 || '.example' END,
               CASE WHEN pg_temp.is_rare(n) THEN 'quiet.example' ELSE 'sender' || n %% 50 || '.example' END,
               n || '@example.net', pg_temp.is_rare(n),
               {WORDS}), {WORDS} || ARRAY['turn', 'cog' || n %% 500]) FROM numbers""",
    "mailboxes_recipient": """
        (message_id, email_id, mailbox_id, alias_id, address, address_key, kind, tag, captures, is_copy, explanation)
        SELECT pg_temp.id(n, 1), pg_temp.id(n, 2), pg_temp.mailbox(n),
               CASE WHEN pg_temp.is_rare(n) THEN %(rare_alias)s::uuid ELSE %(alias)s::uuid END,
               CASE WHEN pg_temp.is_rare(n) THEN 'rare@example.com' ELSE 'help@example.com' END,
               CASE WHEN pg_temp.is_rare(n) THEN 'rare@example.com' ELSE 'help@example.com' END,
               'exact', '', '{}', false, '[]' FROM numbers""",
    "mailboxes_refusal": """
        (id, at, outcome, source, network, helo, mail_from, recipient, reply, code, sha256, transcript)
        SELECT pg_temp.id(n, 3), pg_temp.at(n), CASE WHEN pg_temp.is_rare(n) THEN 'discarded' ELSE 'refused' END,
               'smtp', CASE WHEN pg_temp.is_rare(n) THEN '192.0.2.0/24' ELSE '198.51.100.0/24' END, 'mx', '',
               CASE WHEN pg_temp.is_rare(n) THEN 'rare@example.com' ELSE 'Nobody@example.com' END, '550 5.1.1 no',
               CASE WHEN pg_temp.is_rare(n) THEN 'rule' ELSE 'unknown_recipient' END, '', '[]' FROM numbers""",
    "webhooks_event": """
        (id, type, email_id, created_at)
        SELECT pg_temp.id(n, 4), 'email.received', pg_temp.id(n, 2), pg_temp.at(n) FROM numbers""",
    "webhooks_eventbody": """
        (id, event_id, form, body, size) SELECT n, pg_temp.id(n, 4), 'full', '{}', 2 FROM numbers
         WHERE pg_temp.is_open(n)""",
    "webhooks_delivery": """
        (id, event_id, webhook_id, body_id, state, reason, is_test, generation, due_at, attempts, failures,
         lease_losses, last_error, created_at, delivered_at)
        SELECT pg_temp.id(n, 5), pg_temp.id(n, 4), %(hook)s::uuid, CASE WHEN pg_temp.is_open(n) THEN n END,
               CASE WHEN n <= %(few)s THEN 'delivered' WHEN n <= %(few)s + 3 THEN (%(states)s::text[])[n - %(few)s]
                    WHEN pg_temp.is_open(n) THEN 'pending' ELSE 'delivered' END,
               '', false, 1, pg_temp.at(n), 1, 0, 0, '', pg_temp.at(n), pg_temp.at(n) FROM numbers
         WHERE pg_temp.mailbox(n) = %(busy)s::uuid""",
    "webhooks_attempt": """
        (delivery_id, n, started_at, status, error, detail, response_headers, response_excerpt, total_ms)
        SELECT pg_temp.id(n, 5), 1, pg_temp.at(n), 200, '', '', '', '', 40 FROM numbers
         WHERE pg_temp.mailbox(n) = %(busy)s::uuid""",
    "common_auditentry": """
        (at, action, "of", by, details)
        SELECT pg_temp.at(n), CASE WHEN pg_temp.is_rare(n) THEN 'apikey.revoked' ELSE 'webhook.test' END,
               'wh_' || n %% 1000, CASE WHEN pg_temp.is_rare(n) THEN 'rare' ELSE 'ada' END, '{}' FROM numbers""",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ManyEmails:
    busy: Mailbox
    second: Mailbox
    idle: list[Mailbox]
    alias: Alias
    rare_alias: Alias
    hook: Webhook
    idle_hook: Webhook
    rows: int


def fill(rows: int, *, others: int = 2000) -> ManyEmails:
    """So many emails, each with all that belongs to one, and of each kind of setting so many others."""
    busy, second, gone = (make_mailbox(address=f"{name}@example.com") for name in ("busy", "second", "gone"))
    idle = [make_mailbox(address=f"idle{n}@example.com") for n in range(IDLE)]
    alias, rare_alias = (make_alias(address=f"{name}@example.com", mailbox=busy) for name in ("help", "rare"))
    hook, idle_hook = (
        webhooks.create_webhook(url="https://hooks.example.net/", mailbox=mailbox)[0] for mailbox in (busy, idle[0])
    )
    made = ManyEmails(busy, second, idle, alias, rare_alias, hook, idle_hook, rows)
    provision.delete_mailbox(gone, with_mail=True)
    _fill_settings(made, others)
    few = IDLE * FEW
    first = (timezone.now() - SPAN).timestamp()
    values = {
        "first": first, "step": SPAN.total_seconds() / rows, "few": few, "count": IDLE,
        "idle": [mailbox.pk for mailbox in idle], "busy": busy.pk, "second": second.pk, "gone": gone.pk,
        "gone_from": rows * 98 // 100, "alias": alias.pk, "rare_alias": rare_alias.pk, "hook": hook.pk,
        "states": ["failed", "canceled", "expired"], "newest": rows * 9 // 10, "domain": busy.domain_id,
    }  # fmt: skip
    with _without_indexes(), ClientCursor(connection.connection) as cursor:  # functions take no parameters
        cursor.execute(FUNCTIONS, values)
        for begin in range(1, rows + 1, AT_ONCE):
            end = min(begin + AT_ONCE - 1, rows)
            for table, statement in INSERTS.items():
                columns, _, query = statement.partition("SELECT")
                numbers = f"WITH numbers AS (SELECT n FROM generate_series({begin}::bigint, {end}) n)"
                cursor.execute(f"{numbers} INSERT INTO {table} {columns} SELECT {query}", values)
        cursor.execute(SUMS, values)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return made


def filled() -> ManyEmails:
    """What `fill` made in this database before."""
    busy, second = (Mailbox.objects.get(local_part=name) for name in ("busy", "second"))
    idle = [Mailbox.objects.get(local_part=f"idle{n}") for n in range(IDLE)]
    alias, rare_alias = (Alias.objects.get(name=name) for name in ("help", "rare"))
    hook, idle_hook = (Webhook.objects.filter(mailbox=mailbox).earliest("pk") for mailbox in (busy, idle[0]))
    return ManyEmails(busy, second, idle, alias, rare_alias, hook, idle_hook, Email.objects.count())


def _fill_settings(made: ManyEmails, others: int) -> None:
    """Domains, mailboxes, aliases, rules and webhooks that nobody asks for here, all of the key's domain or beside."""
    from tests.access.world import _copied, _rule

    numbers = range(others)
    domains = _copied(made.busy.domain, ({"name": f"d{n}.example", "default_mailbox_id": None} for n in numbers))
    _copied(made.busy, ({"local_part": f"box{n}", "domain_id": domains[n].pk} for n in numbers))
    _copied(made.alias, ({"name": f"alias{n}", "mailbox_id": made.second.pk} for n in numbers))
    _copied(_rule(mailbox=made.second), ({"value": f"spam{n}@example.net"} for n in numbers))
    _copied(
        Webhook.objects.get(pk=made.hook.pk),
        ({"mailbox_id": made.second.pk, "url": f"https://h{n}.example/"} for n in numbers),
    )
    _rule(mailbox=made.busy)
    Domain.objects.filter(pk=domains[0].pk).update(is_active=False)


@contextmanager
def _without_indexes() -> Iterator[None]:
    """They are made once at the end, which takes a part of the time; nobody looks whether references lead anywhere."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = ANY(%s::regclass[]) AND NOT EXISTS "
            "(SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)",
            [list(TABLES)],
        )
        dropped = cursor.fetchall()
        for name, _ in dropped:
            cursor.execute(f'DROP INDEX "{name}"')
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SET maintenance_work_mem = '512MB'")
        yield
        for _, definition in dropped:
            cursor.execute(definition)
        cursor.execute("RESET session_replication_role")
        cursor.execute("RESET maintenance_work_mem")
