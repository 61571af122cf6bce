from django.db import migrations, models
from django.db.models.functions import Lower

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mailboxes", "0017_erasures_fail_in_part")]

    operations = [
        AddIndexConcurrently(
            model_name="refusal",
            index=models.Index(Lower("mail_from"), models.F("id").desc(), name="refusal_by_sender"),
        ),
    ]
