from django.db import migrations, models
from django.db.models.functions import Lower

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailboxes", "0014_search")]

    operations = [
        AddIndexConcurrently(
            model_name="email",
            index=models.Index(
                condition=models.Q(("status__in", ["waiting", "parked", "quarantined"])),
                fields=["mailbox", "status", "-id"],
                name="email_unprocessed",
            ),
        ),
        AddIndexConcurrently(
            model_name="recipient",
            index=models.Index(fields=["mailbox", "alias", "-email"], name="recipient_newest_of_alias"),
        ),
        AddIndexConcurrently(
            model_name="recipient",
            index=models.Index(fields=["mailbox", "address_key", "-email"], name="recipient_newest_of_address"),
        ),
        AddIndexConcurrently(
            model_name="refusal",
            index=models.Index(fields=["network", "-id"], name="refusal_by_network"),
        ),
        AddIndexConcurrently(
            model_name="refusal",
            index=models.Index(Lower("recipient"), models.F("id").desc(), name="refusal_by_recipient"),
        ),
        AddIndexConcurrently(
            model_name="refusal",
            index=models.Index(fields=["code", "-id"], name="refusal_by_code"),
        ),
        AddIndexConcurrently(
            model_name="refusal",
            index=models.Index(fields=["outcome", "-id"], name="refusal_by_outcome"),
        ),
    ]
