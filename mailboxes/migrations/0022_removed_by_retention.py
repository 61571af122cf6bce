from django.db import migrations, models


class Migration(migrations.Migration):
    """Nullable and without a default: nothing is rewritten, and the release before inserts as it did."""

    dependencies = [("mailboxes", "0021_ledger_began")]

    operations = [
        migrations.AddField(
            model_name="email",
            name="raw_removed_at",
            field=models.DateTimeField(help_text="the raw is not kept for this mailbox since then", null=True),
        ),
        migrations.AddField(
            model_name="email",
            name="content_removed_at",
            field=models.DateTimeField(help_text="what it says, headers too, is not kept since then", null=True),
        ),
    ]
