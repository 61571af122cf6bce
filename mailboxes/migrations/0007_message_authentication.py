from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # who waits for the table makes all mail wait


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0006_mime_complete")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AddField(
            model_name='message',
            name='authentication',
            field=models.JSONField(help_text='SPF, DKIM and DMARC when it was opened; null: not checked', null=True),
        ),
    ]
