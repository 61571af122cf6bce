from django.db import migrations, models


LOCK_TIMEOUT = "5s"  # every RCPT asks the table of rules


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):

    dependencies = [
        ("mailboxes", "0007_message_authentication"),
    ]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AlterModelOptions(
            name='refusal',
            options={'ordering': ('-id',), 'verbose_name_plural': 'refused mail'},
        ),
        migrations.AddField(
            model_name='rule',
            name='deleted_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name='rule',
            index=models.Index(condition=models.Q(('deleted_at', None), ('is_active', True)), fields=['criterion', 'value'], name='rule_by_value'),
        ),
        migrations.RunPython(migrations.RunPython.noop, limit_lock_waits),
    ]
