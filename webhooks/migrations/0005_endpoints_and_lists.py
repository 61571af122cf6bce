import django.db.models.deletion
from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0002_mailbox_settings"),
        ("webhooks", "0004_webhook_constraints"),
    ]

    operations = limiting_lock_waits(
        migrations.AddField(
            model_name="webhook",
            name="endpoint_mailbox",
            field=models.ForeignKey(
                editable=False,
                help_text="where its alias led when url or headers were last changed; null: where it was bound first",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="mailboxes.mailbox",
            ),
        ),
    )
