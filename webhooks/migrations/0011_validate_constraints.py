from django.db import migrations

from emailgistics.common.migrating import validating


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("webhooks", "0010_engine_constraints")]

    operations = [
        validating("webhooks_delivery", "delivery_state"),
        validating("webhooks_event", "event_is_about_one_thing"),
    ]
