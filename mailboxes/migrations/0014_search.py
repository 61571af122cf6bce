import django.db.models.deletion
from django.db import migrations, models

import mailboxes.fields
from emailgistics.common.migrating import limiting_lock_waits

WORDS = ("log_words", "all_words")


def add_word_indexes(apps, schema_editor):
    """Of a table that is new, so nobody waits. What is added goes into them in bulk: who searches reads the rest, too."""
    if schema_editor.connection.vendor == "postgresql":
        for column in WORDS:
            schema_editor.execute(
                f"CREATE INDEX search_{column} ON mailboxes_searchentry USING gin ({column}) "
                "WITH (gin_pending_list_limit = 512)"
            )


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0013_erasure_jobs")]

    operations = limiting_lock_waits(
        migrations.CreateModel(
            name="SearchEntry",
            fields=[
                (
                    "email",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="search_entry",
                        serialize=False,
                        to="mailboxes.email",
                    ),
                ),
                (
                    "mailbox",
                    models.ForeignKey(
                        db_index=False,
                        help_text="the email's",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mailboxes.mailbox",
                    ),
                ),
                ("from_key", models.CharField(blank=True, help_text="From, as address_key has it", max_length=320)),
                ("from_domain", models.CharField(blank=True, max_length=320)),
                ("message_id", models.CharField(blank=True, help_text="without its angle brackets", max_length=320)),
                ("has_attachment", models.BooleanField()),
                (
                    "log_words",
                    mailboxes.fields.WordsField(help_text="of what the log shows, to whoever has emails:read"),
                ),
                (
                    "all_words",
                    mailboxes.fields.WordsField(help_text="and of what the mail says, for who has emails:content"),
                ),
            ],
            options={
                "verbose_name_plural": "search entries",
                "indexes": [
                    models.Index(fields=["mailbox", "from_key", "-email"], name="search_by_author"),
                    models.Index(fields=["mailbox", "from_domain", "-email"], name="search_by_domain"),
                    models.Index(fields=["mailbox", "message_id", "-email"], name="search_by_message_id"),
                    models.Index(fields=["mailbox", "has_attachment", "-email"], name="search_by_attachment"),
                ],
            },
        ),
        migrations.RunPython(add_word_indexes, migrations.RunPython.noop),
        migrations.AddField(
            model_name="recipient",
            name="address_key",
            field=models.CharField(help_text="see addresses.address_key", max_length=320, null=True),
        ),
        migrations.AddField(
            model_name="recipient",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                help_text="the email's",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="mailboxes.mailbox",
            ),
        ),
        # other indexes begin with these columns
        migrations.AlterField(
            model_name="email",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="emails",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AlterField(
            model_name="email",
            name="message",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="emails",
                to="mailboxes.message",
            ),
        ),
        migrations.AlterField(
            model_name="recipient",
            name="alias",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="recipients",
                to="mailboxes.alias",
            ),
        ),
    )
