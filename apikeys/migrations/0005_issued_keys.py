from django.db import migrations, models


class Migration(migrations.Migration):
    """It is filled with the keys that exist when the triggers are made, at the end of migrate: see freeze/rules.py."""

    dependencies = [
        ('apikeys', '0004_usage_networks_schedule'),
    ]

    operations = [
        migrations.CreateModel(
            name='IssuedKey',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('identifier', models.CharField(max_length=15, unique=True)),
            ],
        ),
    ]
