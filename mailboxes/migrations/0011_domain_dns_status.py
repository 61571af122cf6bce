from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # who waits for the table makes all mail wait
STATES = ["unchecked", "ok", "missing", "wrong"]


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0010_count_stored_octets")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AddField(
            model_name="domain",
            name="dns_status",
            field=models.CharField(
                choices=[("unchecked", "Unchecked"), ("ok", "Ok"), ("missing", "Missing"), ("wrong", "Wrong")],
                db_default="unchecked",
                default="unchecked",
                editable=False,
                help_text="of the DNS records that it needs, when they were last looked at",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="domain",
            name="dns_checked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        # of a table with a row for each domain: read in no time
        migrations.AddConstraint(
            model_name="domain",
            constraint=models.CheckConstraint(condition=models.Q(("dns_status__in", STATES)), name="domain_dns_status"),
        ),
    ]
