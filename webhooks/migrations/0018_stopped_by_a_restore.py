from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0017_delivered_when")]

    operations = limiting_lock_waits(
        migrations.AddField(
            model_name="outgoingstop",
            name="is_restore",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="the database is older than what was sent; see `restored.py`",
            ),
        ),
    )
