from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0003_tombstone'),
    ]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('name', models.CharField(db_index=True, max_length=40)),
                ('amount', models.BigIntegerField()),
            ],
            options={
                'verbose_name_plural': 'tallies',
            },
        ),
    ]
