from django.db import migrations, models

LOCK_TIMEOUT = "5s"  # who waits for these tables makes all mail wait
NAME = {"blank": True, "db_default": "", "default": "", "editable": False, "max_length": 80}


def limit_lock_waits(apps, schema_editor):
    """For the rest of the transaction: the migration fails, and is tried again, rather than stop mail."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0011_domain_dns_status")]

    operations = [
        migrations.RunPython(limit_lock_waits, migrations.RunPython.noop),
        migrations.AddField(model_name="alias", name="deleted_by", field=models.CharField(**NAME)),
        migrations.AddField(model_name="domain", name="deleted_by", field=models.CharField(**NAME)),
        migrations.AddField(model_name="mailbox", name="deleted_by", field=models.CharField(**NAME)),
    ]
