import django.db.models.deletion
import emailgistics.common.ids
from django.db import migrations, models


LOCK_TIMEOUT = "5s"  # who waits for a table's lock makes all mail wait


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def keep_raws_apart(apps, schema_editor):
    """Raws are compressed already: PostgreSQL need not try again."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE mailboxes_rawmessage ALTER COLUMN data SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    """The database fills new columns in, should the release before still write rows."""


    dependencies = [
        ('mailboxes', '0003_reparse_requests'),
    ]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.RunPython(keep_raws_apart, migrations.RunPython.noop),
        migrations.CreateModel(
            name='AliasCopy',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='Refusal',
            fields=[
                ('id', models.UUIDField(default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('at', models.DateTimeField(db_index=True)),
                ('outcome', models.CharField(choices=[('refused', 'Refused'), ('discarded', 'Discarded')], default='refused', max_length=10)),
                ('source', models.CharField(choices=[('smtp', 'Smtp'), ('lmtp', 'Lmtp'), ('pipe', 'Pipe'), ('api', 'Api')], max_length=10)),
                ('network', models.CharField(blank=True, help_text='of the client: /24, or /64 of IPv6', max_length=43)),
                ('client_ip', models.GenericIPAddressField(null=True)),
                ('helo', models.CharField(blank=True, max_length=255)),
                ('mail_from', models.CharField(blank=True, max_length=320)),
                ('recipient', models.CharField(blank=True, help_text='empty where none was named yet', max_length=320)),
                ('reply', models.CharField(help_text='what the client was told', max_length=200)),
                ('code', models.CharField(help_text="stable: the error's, or rule", max_length=40)),
                ('size', models.PositiveIntegerField(help_text='octets of the raw, where they were read', null=True)),
                ('sha256', models.CharField(blank=True, help_text='of the raw, hexadecimal, where it was read', max_length=64)),
                ('transcript', models.JSONField(default=list, help_text='see Transcript')),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='RefusalCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('network', models.CharField(blank=True, max_length=43)),
                ('hour', models.DateTimeField()),
                ('refused', models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='ResendGuard',
            fields=[
                ('key', models.UUIDField(help_text='digest of octets, envelope sender and recipient', primary_key=True, serialize=False)),
                ('accepted_at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name='Rule',
            fields=[
                ('id', models.UUIDField(default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('action', models.CharField(choices=[('allow', 'Allow'), ('block', 'Block'), ('discard', 'Discard'), ('quarantine', 'Quarantine')], max_length=10)),
                ('criterion', models.CharField(choices=[('sender', 'Sender'), ('sender_domain', 'Sender Domain'), ('network', 'Network'), ('attachment', 'Attachment'), ('size', 'Size')], max_length=20)),
                ('value', models.CharField(blank=True, help_text="in the criterion's canonical form", max_length=320)),
                ('description', models.CharField(blank=True, max_length=500)),
                ('is_active', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ('id',),
            },
        ),
        migrations.CreateModel(
            name='Transcript',
            fields=[
                ('message', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='transcript', serialize=False, to='mailboxes.message')),
                ('lines', models.JSONField(help_text='[[ms since the connection began, "C" or "S", text], …]')),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='alias',
            name='alias_kind_fits_name',
        ),
        migrations.RemoveConstraint(
            model_name='email',
            name='email_status',
        ),
        migrations.AddField(
            model_name='alias',
            name='priority',
            field=models.PositiveSmallIntegerField(db_default=100, default=100, help_text='of patterns that fit, the lowest wins'),
        ),
        migrations.AddField(
            model_name='domain',
            name='includes_subdomains',
            field=models.BooleanField(db_default=False, default=False, help_text='mail to support@any.example.com is mail to support@example.com'),
        ),
        migrations.AddField(
            model_name='domain',
            name='verified_at',
            field=models.DateTimeField(editable=False, help_text="its owner's word was found in its DNS", null=True),
        ),
        migrations.AddField(
            model_name='email',
            name='quarantine_reason',
            field=models.CharField(blank=True, db_default='', default='', help_text='why it is kept back, or was', max_length=400),
        ),
        migrations.AddField(
            model_name='email',
            name='released_at',
            field=models.DateTimeField(help_text='out of quarantine', null=True),
        ),
        migrations.AddField(
            model_name='message',
            name='resends',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='times that it came again after a 250 that got lost'),
        ),
        migrations.AddField(
            model_name='recipient',
            name='captures',
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text="what the pattern's groups matched, by name or number"),
        ),
        migrations.AddField(
            model_name='recipient',
            name='is_copy',
            field=models.BooleanField(db_default=False, default=False, help_text='it led to a further mailbox of its alias'),
        ),
        migrations.AlterField(
            model_name='alias',
            name='kind',
            field=models.CharField(choices=[('exact', 'Exact'), ('pattern', 'Pattern'), ('catch_all', 'Catch All')], default='exact', max_length=10),
        ),
        migrations.AlterField(
            model_name='alias',
            name='name',
            field=models.CharField(help_text='local part, a pattern of them, or * for the catch-all', max_length=256),
        ),
        migrations.AlterField(
            model_name='email',
            name='status',
            field=models.CharField(choices=[('waiting', 'Waiting'), ('processed', 'Processed'), ('parked', 'Parked'), ('quarantined', 'Quarantined')], default='waiting', max_length=12),
        ),
        migrations.AlterField(
            model_name='message',
            name='source',
            field=models.CharField(choices=[('smtp', 'Smtp'), ('lmtp', 'Lmtp'), ('pipe', 'Pipe'), ('api', 'Api')], default='smtp', max_length=10),
        ),
        migrations.AlterField(
            model_name='recipient',
            name='kind',
            field=models.CharField(choices=[('exact', 'Exact'), ('plus', 'Plus'), ('reserved', 'Reserved'), ('pattern', 'Pattern'), ('catch_all', 'Catch All')], max_length=10),
        ),
        migrations.AddField(
            model_name='aliascopy',
            name='alias',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='copies', to='mailboxes.alias'),
        ),
        migrations.AddField(
            model_name='aliascopy',
            name='mailbox',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='mailboxes.mailbox'),
        ),
        migrations.AddField(
            model_name='alias',
            name='further_mailboxes',
            field=models.ManyToManyField(help_text='each gets an email of its own, too', related_name='+', through='mailboxes.AliasCopy', to='mailboxes.mailbox'),
        ),
        migrations.AddConstraint(
            model_name='alias',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'catch_all'), ('name', '*')), models.Q(('kind__in', ['exact', 'pattern']), models.Q(('name', '*'), _negated=True)), _connector='OR'), name='alias_kind_fits_name'),
        ),
        migrations.AddConstraint(
            model_name='refusalcount',
            constraint=models.UniqueConstraint(fields=('network', 'hour'), name='refusal_count_once'),
        ),
        migrations.AddField(
            model_name='resendguard',
            name='email',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailboxes.email'),
        ),
        migrations.AddField(
            model_name='rule',
            name='alias',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='rules', to='mailboxes.alias'),
        ),
        migrations.AddField(
            model_name='rule',
            name='domain',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='rules', to='mailboxes.domain'),
        ),
        migrations.AddField(
            model_name='rule',
            name='mailbox',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='rules', to='mailboxes.mailbox'),
        ),
        migrations.AddField(
            model_name='refusal',
            name='rule',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='refusals', to='mailboxes.rule'),
        ),
        migrations.AddField(
            model_name='email',
            name='quarantine_rule',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='mailboxes.rule'),
        ),
        migrations.AddConstraint(
            model_name='email',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['waiting', 'processed', 'parked', 'quarantined'])), name='email_status'),
        ),
        migrations.AddConstraint(
            model_name='aliascopy',
            constraint=models.UniqueConstraint(fields=('alias', 'mailbox'), name='alias_copy_once'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('domain', None), ('mailbox', None)), models.Q(('alias', None), ('domain', None)), models.Q(('alias', None), ('mailbox', None)), _connector='OR'), name='rule_has_one_scope'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', ['allow', 'block', 'discard', 'quarantine'])), name='rule_action'),
        ),
        migrations.AddConstraint(
            model_name='rule',
            constraint=models.CheckConstraint(condition=models.Q(('criterion__in', ['sender', 'sender_domain', 'network', 'attachment', 'size'])), name='rule_criterion'),
        ),
        migrations.AddConstraint(
            model_name='refusal',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['refused', 'discarded'])), name='refusal_outcome'),
        ),
        migrations.RunPython(migrations.RunPython.noop, limit_lock_waits),
    ]
