import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0002_mailbox_settings"),
        ("webhooks", "0004_webhook_constraints"),
    ]

    operations = [
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
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["failed", "canceled"])),
                fields=["webhook", "-id"],
                name="delivery_undelivered",
            ),
        ),
        # last: the new index takes the place of the foreign key's own
        migrations.AlterField(
            model_name="delivery",
            name="webhook",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deliveries",
                to="webhooks.webhook",
            ),
        ),
    ]
