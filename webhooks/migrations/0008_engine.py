import django.db.models.deletion
import emailgistics.common.ids
import webhooks.models.webhook
from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [
        ("apikeys", "0003_seal_what_exists"),
        ("mailboxes", "0002_mailbox_settings"),
        ("webhooks", "0007_delivery_webhook_index"),
    ]

    operations = limiting_lock_waits(
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('failing', 'Failing'), ('disabled', 'Disabled'), ('recovered', 'Recovered'), ('thinned', 'Thinned'), ('expiring', 'Expiring')], max_length=10)),
                ('text', models.CharField(max_length=300)),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='OutgoingStop',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('stopped_at', models.DateTimeField()),
                ('stopped_by', models.CharField(max_length=200)),
                ('reason', models.CharField(blank=True, max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name='ReplayJob',
            fields=[
                ('id', models.UUIDField(default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('since', models.DateTimeField(help_text='deliveries created from then on')),
                ('until', models.DateTimeField(help_text='and before then')),
                ('of_state', models.CharField(help_text='failed, delivered, canceled or all: what had ended so', max_length=10)),
                ('mailbox_ids', models.JSONField(help_text='only mail of these, the allowlist of who asked; null: of all', null=True)),
                ('rate_per_minute', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('running', 'Running'), ('done', 'Done'), ('canceled', 'Canceled')], default='running', max_length=10)),
                ('total', models.PositiveIntegerField(help_text='deliveries that it is for, counted when it was made')),
                ('replayed', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0, help_text='on their way by the time it came to them')),
                ('content_expired', models.PositiveIntegerField(default=0, help_text='what was to be sent is no longer kept')),
                ('last_delivery_id', models.UUIDField(editable=False, help_text='how far it has come', null=True)),
                ('created_by', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('due_at', models.DateTimeField(help_text='when it goes on')),
                ('ended_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ('-id',),
            },
        ),
        migrations.CreateModel(
            name='WebhookHealth',
            fields=[
                ('webhook', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='health', serialize=False, to='webhooks.webhook')),
                ('failing_since', models.DateTimeField(help_text='the first failure since the last success', null=True)),
                ('failures', models.PositiveIntegerField(default=0, help_text='since then')),
                ('alerted_percent', models.PositiveSmallIntegerField(default=0, help_text='of the way to being disabled: last notice')),
                ('window_started_at', models.DateTimeField(help_text='in which the circuit breaker counts', null=True)),
                ('window_results', models.PositiveIntegerField(default=0)),
                ('window_failures', models.PositiveIntegerField(default=0)),
                ('open_until', models.DateTimeField(help_text='the circuit breaker lets nothing out before', null=True)),
                ('open_for_s', models.PositiveSmallIntegerField(default=0, help_text='how long it was opened last; 0: it is closed')),
                ('cap', models.PositiveSmallIntegerField(help_text='requests at once, after trouble; null: as many as may', null=True)),
                ('tokens', models.FloatField(help_text="of the rate limit's bucket, at tokens_at", null=True)),
                ('tokens_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='delivery',
            name='delivery_state',
        ),
        migrations.AddField(
            model_name='delivery',
            name='begun_at',
            field=models.DateTimeField(help_text='when it was last replayed', null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='deferred_since',
            field=models.DateTimeField(help_text='since when a fault of ours keeps it back', null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='generation',
            field=models.SmallIntegerField(db_default=1, default=1, help_text='1, and one more by each replay'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='is_test',
            field=models.BooleanField(db_default=False, default=False, help_text='tried once, also while it is paused'),
        ),
        migrations.AddField(
            model_name='delivery',
            name='last_attempt_at',
            field=models.DateTimeField(help_text='when the last one ended', null=True),
        ),
        migrations.AddField(
            model_name='delivery',
            name='position',
            field=models.BigIntegerField(help_text='in the order in which they became visible, for pulling', null=True),
        ),
        migrations.AddField(
            model_name='eventbody',
            name='size',
            field=models.IntegerField(editable=False, help_text='octets; null: made by an older release', null=True),
        ),
        migrations.AddField(
            model_name='event',
            name='links_revoked_at',
            field=models.DateTimeField(help_text='since then the links in its bodies open nothing', null=True),
        ),
        migrations.AddField(
            model_name='event',
            name='webhook',
            field=models.ForeignKey(db_index=False, help_text='that it is about, if it is no email', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='events_about', to='webhooks.webhook'),
        ),
        migrations.AddField(
            model_name='webhook',
            name='attachments',
            field=models.CharField(choices=[('links', 'Links'), ('inline', 'Inline')], db_default='links', default='links', max_length=10),
        ),
        migrations.AddField(
            model_name='webhook',
            name='events',
            field=models.JSONField(db_default=models.Value(['email.received', 'webhook.disabled'], models.JSONField()), default=webhooks.models.webhook.usual_event_types, help_text='what it is told of'),
        ),
        migrations.AddField(
            model_name='webhook',
            name='last_position',
            field=models.BigIntegerField(db_default=0, default=0, editable=False, help_text='the highest that a delivery of its was given, for pulling'),
        ),
        migrations.AddField(
            model_name='webhook',
            name='max_in_flight',
            field=models.PositiveSmallIntegerField(db_default=20, default=20),
        ),
        migrations.AddField(
            model_name='webhook',
            name='rate_per_minute',
            field=models.PositiveIntegerField(blank=True, help_text='requests; null is no limit', null=True),
        ),
        migrations.AddField(
            model_name='webhook',
            name='thinned_at',
            field=models.DateTimeField(editable=False, help_text='since its receiver answered 413: its events go without what mails say', null=True),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='body',
            field=models.ForeignKey(help_text='null: no longer kept', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='webhooks.eventbody'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='due_at',
            field=models.DateTimeField(help_text='of the next attempt, while pending; while held, not resumed before'),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='state',
            field=models.CharField(choices=[('pending', 'Pending'), ('held', 'Held'), ('delivered', 'Delivered'), ('failed', 'Failed'), ('canceled', 'Canceled'), ('expired', 'Expired')], max_length=10),
        ),
        migrations.AlterField(
            model_name='event',
            name='email',
            field=models.ForeignKey(help_text='that it is about', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='mailboxes.email'),
        ),
        migrations.AlterField(
            model_name='event',
            name='type',
            field=models.CharField(choices=[('email.received', 'Email Received'), ('webhook.test', 'Webhook Test'), ('webhook.disabled', 'Webhook Disabled')], max_length=40),
        ),
        migrations.AlterField(
            model_name='eventbody',
            name='form',
            field=models.CharField(choices=[('full', 'Full'), ('inline', 'Inline'), ('thin', 'Thin'), ('metadata', 'Metadata')], max_length=10),
        ),
        migrations.AlterField(
            model_name='webhook',
            name='url',
            field=models.URLField(blank=True, help_text='empty: nothing is sent, its deliveries are pulled', max_length=2000),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('attachments__in', ['links', 'inline'])), name='webhook_attachments'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('max_in_flight__gte', 1), ('max_in_flight__lte', 20)), name='webhook_max_in_flight'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('rate_per_minute', None), ('rate_per_minute__gte', 1), _connector='OR'), name='webhook_rate'),
        ),
        migrations.AddField(
            model_name='notice',
            name='webhook',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='webhooks.webhook'),
        ),
        migrations.AddConstraint(
            model_name='outgoingstop',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='outgoing_stop_is_one'),
        ),
        migrations.AddField(
            model_name='replayjob',
            name='webhook',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='replay_jobs', to='webhooks.webhook'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(fields=['webhook', '-id'], name='notice_of_webhook'),
        ),
        migrations.AddIndex(
            model_name='replayjob',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['due_at'], name='replay_job_due'),
        ),
        migrations.AddConstraint(
            model_name='replayjob',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'done', 'canceled'])), name='replay_job_state'),
        ),
    )
