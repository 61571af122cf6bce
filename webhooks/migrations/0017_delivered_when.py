from django.db import migrations

NAME = "delivery_by_its_ends"


def add_index(apps, schema_editor):
    """Lists by when deliveries arrived or failed. By blocks (BRIN), as rows end about in the order of their places: that
    costs whoever writes next to nothing, and a few blocks more are read. SQLite has no such index, and small tables."""
    if schema_editor.connection.vendor == "postgresql":
        drop_index(apps, schema_editor)  # what an earlier try left may be invalid
        schema_editor.execute(
            f"CREATE INDEX CONCURRENTLY {NAME} ON webhooks_delivery USING brin (delivered_at, last_attempt_at) "
            "WITH (pages_per_range = 32, autosummarize = on)"
        )


def drop_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("webhooks", "0016_one_index_less")]

    operations = [migrations.RunPython(add_index, drop_index)]
