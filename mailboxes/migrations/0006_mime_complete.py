from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # the workers wait for the tables meanwhile


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    """The database fills them in, should the release before still write rows."""

    dependencies = [("mailboxes", "0005_patterns")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="attachment",
            name="content_type",
            field=models.CharField(help_text="as declared", max_length=255),
        ),
        migrations.AddField(
            model_name="attachment",
            name="detected_type",
            field=models.CharField(blank=True, db_default="", help_text="by its first octets; empty when they do not tell", max_length=255),
        ),
        migrations.AddField(
            model_name="emailcontent",
            name="html_safe",
            field=models.TextField(blank=True, db_default="", help_text="the HTML, made safe to show to people"),
        ),
        migrations.AddField(
            model_name="emailcontent",
            name="marks",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list, help_text="codes; see mime/kinds.py"),
        ),
        migrations.AddField(
            model_name="emailcontent",
            name="bounce",
            field=models.JSONField(help_text="action, status, diagnostic, final_recipient, original_message_id; empty if not said", null=True),
        ),
        migrations.AddField(
            model_name="emailcontent",
            name="mailing_list",
            field=models.JSONField(help_text="id, unsubscribe, one_click", null=True),
        ),
        migrations.AddField(
            model_name="emailcontent",
            name="calendar",
            field=models.JSONField(help_text="method, uid, summary, start, end; empty if not said", null=True),
        ),
        migrations.RunPython(migrations.RunPython.noop, limit_lock_waits),
    ]
