from datetime import timedelta

from django.db import migrations
from django.utils import timezone

NAME = "ledger_began"  # the first day, in UTC, of which the ledger counts everything: see operations/ledger.py


def begin(apps, _schema_editor):
    today = timezone.now().date()
    is_empty = not apps.get_model("mailboxes", "Message").objects.exists()
    # of today something has come that nobody counted, and processes of the release before may store more of it
    first = today if is_empty else today + timedelta(days=1)
    apps.get_model("common", "Tally").objects.create(name=f"{NAME} {first.isoformat()}", amount=0)


def forget(apps, _schema_editor):
    apps.get_model("common", "Tally").objects.filter(name__startswith=f"{NAME} ").delete()


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0020_parked_messages"), ("common", "0010_ledger_and_alarms")]

    operations = [migrations.RunPython(begin, forget)]
