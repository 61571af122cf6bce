from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0016_alias_imports")]

    operations = [
        migrations.RemoveConstraint(
            model_name="erasurejob",
            name="erasure_job_state",
        ),
        migrations.AddField(
            model_name="erasurejob",
            name="failed",
            field=models.PositiveIntegerField(db_default=0, default=0, help_text="emails that could not be erased"),
        ),
        migrations.AddField(
            model_name="erasurejob",
            name="failures",
            field=models.JSONField(
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="the first of them: id of the email, and the kind of the fault",
            ),
        ),
        migrations.AddField(
            model_name="erasurejob",
            name="position",
            field=models.UUIDField(editable=False, help_text="how far this round has come", null=True),
        ),
        migrations.AddField(
            model_name="erasurejob",
            name="rounds",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, editable=False, help_text="that have ended"
            ),
        ),
        migrations.AlterField(
            model_name="erasurejob",
            name="state",
            field=models.CharField(
                choices=[
                    ("running", "Running"),
                    ("done", "Done"),
                    ("canceled", "Canceled"),
                    ("failed_in_part", "Failed In Part"),
                ],
                default="running",
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="erasurejob",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["running", "done", "canceled", "failed_in_part"])),
                name="erasure_job_state",
            ),
        ),
    ]
