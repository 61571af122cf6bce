from django.db import migrations, models

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("webhooks", "0014_webhook_deleted_by")]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["failed", "canceled", "expired"])),
                fields=["webhook", "-id"],
                name="delivery_not_delivered",
            ),
        ),
    ]
