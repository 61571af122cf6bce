from django.db import migrations, models

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("common", "0008_kept_answers")]

    operations = [
        AddIndexConcurrently(model_name="auditentry", index=models.Index(fields=["by", "-id"], name="audit_by")),
        AddIndexConcurrently(
            model_name="auditentry", index=models.Index(fields=["action", "-id"], name="audit_action")
        ),
        AddIndexConcurrently(model_name="auditentry", index=models.Index(fields=["at"], name="audit_at")),
    ]
