import emailgistics.common.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0007_series'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeptAnswer',
            fields=[
                ('id', models.UUIDField(default=emailgistics.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('api_key', models.UUIDField(help_text='whose request it was; not a reference: apps stand above this one')),
                ('digest', models.BinaryField(help_text='SHA-256 of the Idempotency-Key', max_length=32)),
                ('kept_at', models.DateTimeField()),
                ('size', models.PositiveIntegerField(help_text='octets, before they were sealed')),
                ('sealed', models.BinaryField()),
            ],
            options={
                'indexes': [models.Index(fields=['kept_at'], name='kept_answer_kept_at')],
                'constraints': [models.UniqueConstraint(fields=('api_key', 'digest'), name='kept_answer_once')],
            },
        ),
    ]
