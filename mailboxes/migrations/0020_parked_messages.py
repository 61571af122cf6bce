from django.db import migrations, models

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    """The list of messages is narrowed to what could not be opened."""

    atomic = False
    dependencies = [("mailboxes", "0019_dns_unknown_and_found")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(condition=models.Q(("state", "parked")), fields=["-id"], name="message_parked"),
        ),
    ]
