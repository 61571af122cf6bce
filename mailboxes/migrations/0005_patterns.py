from django.db import migrations, models


LOCK_TIMEOUT = "5s"  # who waits for a table's lock makes all mail wait


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):

    dependencies = [
        ('mailboxes', '0004_mail_in_complete'),
    ]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='alias',
            index=models.Index(fields=['domain', 'kind'], name='alias_of_kind'),
        ),
        migrations.AddConstraint(
            model_name='alias',
            constraint=models.UniqueConstraint(condition=models.Q(('deleted_at', None), ('kind', 'pattern')), fields=('domain', 'name'), name='alias_pattern_once'),
        ),
    ]
