from django.db import migrations

# One statement, so both sums are of one moment: what is stored or erased meanwhile counts itself. It reads all emails
# and keeps nobody waiting. What a process of the release before stores after it is counted once a quota is given.
COUNT = """
INSERT INTO common_tally (name, amount)
SELECT found.name, found.octets - COALESCE((SELECT SUM(t.amount) FROM common_tally t WHERE t.name = found.name), 0)
  FROM (SELECT 'mailbox_' || REPLACE(CAST(mailbox_id AS varchar(36)), '-', '') AS name, SUM(size) AS octets
          FROM mailboxes_email GROUP BY mailbox_id) found
"""
FORGET = "DELETE FROM common_tally WHERE SUBSTR(name, 1, 8) = 'mailbox_'"


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0009_mailbox_quota"), ("common", "0004_tally")]

    operations = [migrations.RunSQL(COUNT, FORGET)]
