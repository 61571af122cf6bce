from django.db import migrations, models

from emailgistics.common.migrating import limiting_lock_waits


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0011_validate_constraints")]

    operations = limiting_lock_waits(
        migrations.AddField(
            model_name='webhookhealth',
            name='before_failures',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='webhookhealth',
            name='before_results',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='of the window before it'),
        ),
    )
