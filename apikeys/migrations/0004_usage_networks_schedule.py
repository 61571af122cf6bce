import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0003_seal_what_exists'),
        ('mailboxes', '0010_count_stored_octets'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyCalls',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('family', models.CharField(help_text='the word after /v1/: emails, webhooks, …', max_length=20)),
                ('status_class', models.PositiveSmallIntegerField(help_text='2 for 2xx')),
                ('count', models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='KeyMailboxUse',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('last_on', models.DateField()),
            ],
        ),
        migrations.CreateModel(
            name='KeyNotice',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kind', models.CharField(help_text='expires_in_30, …, aged_90, unused_60, unused_parts', max_length=20)),
                ('told_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='KeyRefusals',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('reason', models.CharField(help_text='the code of the answer: key_revoked, rate_limited, …', max_length=30)),
                ('network', models.CharField(help_text='/24 of IPv4, /64 of IPv6; empty: no address', max_length=43)),
                ('count', models.BigIntegerField()),
                ('last_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='KeyScopeUse',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('scope', models.CharField(max_length=30)),
                ('last_on', models.DateField()),
            ],
        ),
        migrations.AddField(
            model_name='apikey',
            name='last_used_address',
            field=models.GenericIPAddressField(null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='last_used_agent',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='apikey',
            name='networks',
            field=models.JSONField(default=list, help_text='from where it may be used, as CIDR; empty: from anywhere'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='own_limits',
            field=models.JSONField(help_text='minute, hour and day of an enterprise key; null: those of its plan', null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='revoke_at',
            field=models.DateTimeField(help_text='revoked from then on; final once it has come', null=True),
        ),
        migrations.AddField(
            model_name='apikey',
            name='rotated_from',
            field=models.ForeignKey(help_text='the key whose place it takes', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='successors', to='apikeys.apikey'),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('own_limits__isnull', True), ('rate_plan', 'enterprise'), _connector='OR'), name='apikey_own_limits_of_enterprise'),
        ),
        migrations.AddField(
            model_name='keycalls',
            name='api_key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='calls', to='apikeys.apikey'),
        ),
        migrations.AddField(
            model_name='keymailboxuse',
            name='api_key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='mailbox_uses', to='apikeys.apikey'),
        ),
        migrations.AddField(
            model_name='keymailboxuse',
            name='mailbox',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='mailboxes.mailbox'),
        ),
        migrations.AddField(
            model_name='keynotice',
            name='api_key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='apikeys.apikey'),
        ),
        migrations.AddField(
            model_name='keyrefusals',
            name='api_key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='refusals', to='apikeys.apikey'),
        ),
        migrations.AddField(
            model_name='keyscopeuse',
            name='api_key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='scope_uses', to='apikeys.apikey'),
        ),
        migrations.AddIndex(
            model_name='keycalls',
            index=models.Index(fields=['day'], name='key_calls_day'),
        ),
        migrations.AddConstraint(
            model_name='keycalls',
            constraint=models.UniqueConstraint(fields=('api_key', 'day', 'family', 'status_class'), name='key_calls_once'),
        ),
        migrations.AddConstraint(
            model_name='keymailboxuse',
            constraint=models.UniqueConstraint(fields=('api_key', 'mailbox'), name='key_mailbox_use_once'),
        ),
        migrations.AddConstraint(
            model_name='keynotice',
            constraint=models.UniqueConstraint(fields=('api_key', 'kind'), name='key_notice_once'),
        ),
        migrations.AddIndex(
            model_name='keyrefusals',
            index=models.Index(fields=['day'], name='key_refusals_day'),
        ),
        migrations.AddConstraint(
            model_name='keyrefusals',
            constraint=models.UniqueConstraint(fields=('api_key', 'day', 'reason', 'network'), name='key_refusals_once'),
        ),
        migrations.AddConstraint(
            model_name='keyscopeuse',
            constraint=models.UniqueConstraint(fields=('api_key', 'scope'), name='key_scope_use_once'),
        ),
    ]
