import apikeys.models
from django.db import migrations, models


class Migration(migrations.Migration):
    """No service ever made a key that is against it; it is for those who write SQL."""

    dependencies = [("apikeys", "0006_mailed_notices")]

    operations = [
        migrations.RemoveConstraint("apikey", "apikey_has_scope"),
        migrations.AddConstraint(
            "apikey",
            models.CheckConstraint(condition=apikeys.models.ListsText("scopes"), name="apikey_has_scope"),
        ),
    ]
