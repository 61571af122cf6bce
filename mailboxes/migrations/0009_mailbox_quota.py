from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # who waits for the table makes all mail wait


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0008_rules")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AddField(
            model_name="mailbox",
            name="quota_bytes",
            field=models.PositiveBigIntegerField(
                blank=True, help_text="octets of mail that it may hold; null is no limit", null=True
            ),
        ),
    ]
