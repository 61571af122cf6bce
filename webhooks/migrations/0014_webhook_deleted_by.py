from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0013_email_reparsed")]

    operations = limiting_lock_waits(
        migrations.AddField(
            model_name="webhook",
            name="deleted_by",
            field=models.CharField(blank=True, db_default="", default="", editable=False, max_length=80),
        ),
    )
