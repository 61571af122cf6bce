from django.db import migrations


def seal(apps, schema_editor):
    """Keys that exist were made whole, in one transaction."""
    apps.get_model("apikeys", "ApiKey").objects.filter(sealed=False).update(sealed=True)


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0002_sealed_and_revoked")]
    operations = [migrations.RunPython(seal, migrations.RunPython.noop)]
