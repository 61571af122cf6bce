import django.db.models.deletion
from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    # after it: the index delivery_of_webhook takes the place of the foreign key's own
    dependencies = [("webhooks", "0006_delivery_lists")]

    operations = limiting_lock_waits(
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
    )
