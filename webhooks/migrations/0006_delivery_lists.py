from django.db import migrations, models

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False  # concurrently

    dependencies = [("webhooks", "0005_endpoints_and_lists")]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
        ),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["failed", "canceled"])),
                fields=["webhook", "-id"],
                name="delivery_undelivered",
            ),
        ),
    ]
