import django.db.models.deletion
from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # a foreign key locks the table it leads to; who waits for that makes all mail wait


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0002_mailbox_settings")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.CreateModel(
            name='Reparse',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_dry_run', models.BooleanField(default=False, help_text='say what would change, and leave it')),
                ('asked_at', models.DateTimeField()),
                ('lease_id', models.UUIDField(editable=False, null=True)),
                ('losses', models.PositiveSmallIntegerField(default=0, help_text='claims whose worker never came back')),
                ('ended_at', models.DateTimeField(null=True)),
                ('report', models.JSONField(default=list, help_text='of each of its emails: id, outcome, changed, reason')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reparses', to='mailboxes.message')),
            ],
            options={
                'ordering': ('id',),
                'indexes': [models.Index(condition=models.Q(('ended_at', None)), fields=['losses', 'id'], name='reparse_unfinished')],
                'constraints': [models.CheckConstraint(condition=models.Q(('ended_at', None), ('lease_id', None), _connector='OR'), name='reparse_lease_only_unfinished')],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, limit_lock_waits),
    ]
