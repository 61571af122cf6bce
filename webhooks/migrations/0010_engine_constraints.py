from django.db import migrations, models

from emailgistics.common.migrating import AddCheckWithoutScan, limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0009_engine_indexes")]

    operations = limiting_lock_waits(
        AddCheckWithoutScan(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'held', 'delivered', 'failed', 'canceled', 'expired'])), name='delivery_state'),
        ),
        AddCheckWithoutScan(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('email__isnull', False), ('webhook', None)), models.Q(('email', None), ('webhook__isnull', False)), _connector='OR'), name='event_is_about_one_thing'),
        ),
    )
