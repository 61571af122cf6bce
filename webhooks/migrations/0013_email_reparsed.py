from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0012_circuit_window")]

    operations = limiting_lock_waits(
        migrations.AddField(
            model_name='event',
            name='changed',
            field=models.JSONField(help_text='of email.reparsed: the names of what is another since then', null=True),
        ),
        migrations.AlterField(
            model_name='event',
            name='type',
            field=models.CharField(choices=[('email.received', 'Email Received'), ('email.reparsed', 'Email Reparsed'), ('webhook.test', 'Webhook Test'), ('webhook.disabled', 'Webhook Disabled')], max_length=40),
        ),
    )
