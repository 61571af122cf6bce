from django.db import migrations

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    # after it: the index delivery_not_delivered has what was in this one, and what has expired
    dependencies = [("webhooks", "0015_not_delivered")]

    operations = limiting_lock_waits(
        migrations.RemoveIndex(model_name="delivery", name="delivery_undelivered"),
    )
