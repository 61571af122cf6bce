from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # who waits for the table makes all mail wait
STATES = ["unchecked", "ok", "missing", "wrong", "unknown"]


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


def forget_unknown(apps, schema_editor):
    apps.get_model("mailboxes", "Domain").objects.filter(dns_status="unknown").update(dns_status="unchecked")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0018_refusals_by_sender")]

    operations = [
        migrations.RunPython(limit_lock_waits, limit_lock_waits),
        migrations.AddField(
            model_name="domain",
            name="dns_found",
            field=models.JSONField(
                editable=False, help_text="what stood there then; see services.dns_records", null=True
            ),
        ),
        migrations.AlterField(
            model_name="domain",
            name="dns_status",
            field=models.CharField(
                choices=[
                    ("unchecked", "Unchecked"),
                    ("ok", "Ok"),
                    ("missing", "Missing"),
                    ("wrong", "Wrong"),
                    ("unknown", "Unknown"),
                ],
                db_default="unchecked",
                default="unchecked",
                editable=False,
                help_text="of the DNS records that it needs, when they were last looked at",
                max_length=10,
            ),
        ),
        # of a table with a row for each domain: read in no time
        migrations.RemoveConstraint(model_name="domain", name="domain_dns_status"),
        # backwards this is reached once the wider constraint is gone again
        migrations.RunPython(migrations.RunPython.noop, forget_unknown),
        migrations.AddConstraint(
            model_name="domain",
            constraint=models.CheckConstraint(condition=models.Q(("dns_status__in", STATES)), name="domain_dns_status"),
        ),
    ]
