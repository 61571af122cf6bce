import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

import emailgistics.common.ids

STATES = ["running", "done", "canceled"]


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0012_deleted_by_whom")]

    operations = [
        migrations.CreateModel(
            name="ErasureJob",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(help_text="of its mailboxes: those that went before keep their mail"),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("running", "Running"), ("done", "Done"), ("canceled", "Canceled")],
                        default="running",
                        max_length=10,
                    ),
                ),
                (
                    "total",
                    models.PositiveIntegerField(
                        help_text="emails that there were when it was made; at the end, those erased"
                    ),
                ),
                ("erased", models.PositiveIntegerField(default=0)),
                (
                    "key_id",
                    models.UUIDField(editable=False, help_text="the API key that asked for it", null=True),
                ),
                ("created_by", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("due_at", models.DateTimeField(help_text="when it goes on")),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "domain",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mailboxes.domain",
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mailboxes.mailbox",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(condition=Q(("state", "running")), fields=["due_at"], name="erasure_job_due")],
                "constraints": [
                    models.CheckConstraint(condition=Q(("state__in", STATES)), name="erasure_job_state"),
                    models.CheckConstraint(
                        condition=Q(
                            Q(("domain", None), ("mailbox__isnull", False)),
                            Q(("domain__isnull", False), ("mailbox", None)),
                            _connector="OR",
                        ),
                        name="erasure_job_is_of_one",
                    ),
                ],
            },
        ),
    ]
