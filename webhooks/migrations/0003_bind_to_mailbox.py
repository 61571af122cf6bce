from django.db import migrations
from django.db.models import OuterRef, Subquery


def bind(apps, schema_editor):
    """A webhook of an alias is bound to the mailbox that the alias leads to now."""
    alias = apps.get_model("mailboxes", "Alias")
    led_to = alias.objects.filter(pk=OuterRef("alias")).values("mailbox")
    apps.get_model("webhooks", "Webhook").objects.filter(alias__isnull=False).update(bound_mailbox=Subquery(led_to))


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0002_headers_and_rotation")]
    operations = [migrations.RunPython(bind, migrations.RunPython.noop)]
