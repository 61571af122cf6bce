import django.db.models.deletion
import emailgistics.common.ids
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0015_list_indexes"),
    ]

    operations = [
        migrations.CreateModel(
            name="AliasImport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(help_text="of the file", max_length=200)),
                ("columns", models.JSONField(help_text="the names in its first line")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("checking", "Checking"),
                            ("checked", "Checked"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("canceled", "Canceled"),
                        ],
                        default="checking",
                        max_length=10,
                    ),
                ),
                ("total", models.PositiveIntegerField(help_text="lines, without the first and empty ones")),
                ("next_chunk", models.PositiveIntegerField(default=0, help_text="how far it has come")),
                ("created", models.PositiveIntegerField(default=0)),
                ("changed", models.PositiveIntegerField(default=0)),
                ("unchanged", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("person_id", models.IntegerField(editable=False, null=True)),
                ("created_by", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("due_at", models.DateTimeField(help_text="when it goes on")),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "import",
                "ordering": ("-id",),
            },
        ),
        migrations.CreateModel(
            name="AliasImportChunk",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("n", models.PositiveIntegerField()),
                (
                    "lines",
                    models.JSONField(
                        help_text="number of the line in the file, fault of its form or null, and its cells"
                    ),
                ),
                (
                    "results",
                    models.JSONField(default=list, help_text="of each line: what became of it, a column, and words"),
                ),
                ("failed", models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddIndex(
            model_name="aliasimport",
            index=models.Index(
                condition=models.Q(("state__in", ["checking", "running"])), fields=["due_at"], name="alias_import_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="aliasimport",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["checking", "checked", "running", "done", "canceled"])),
                name="alias_import_state",
            ),
        ),
        migrations.AddField(
            model_name="aliasimportchunk",
            name="of",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="chunks", to="mailboxes.aliasimport"
            ),
        ),
        migrations.AddConstraint(
            model_name="aliasimportchunk",
            constraint=models.UniqueConstraint(fields=("of", "n"), name="alias_import_chunk_once"),
        ),
    ]
