from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0005_audit_log'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeptKey',
            fields=[
                ('id', models.CharField(help_text='purpose and number of the encryption key: links:1', max_length=40, primary_key=True, serialize=False)),
                ('sealed', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='SecretCheck',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('name', models.CharField(help_text='the variable: SECRET_KEY, API_KEY_PEPPERS or ENCRYPTION_KEYS', max_length=40)),
                ('number', models.PositiveIntegerField(help_text='in the variable; 0: its only one')),
                ('value', models.BinaryField(help_text='derived from the secret, and tells nothing of it', max_length=32)),
                ('was_primary', models.BooleanField(default=False, help_text='something may have been written with it')),
                ('recorded_at', models.DateTimeField(auto_now_add=True)),
                ('dropped_at', models.DateTimeField(help_text='not configured since', null=True)),
                ('given_up_at', models.DateTimeField(help_text='lost for good, so not waited for', null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('name', 'number'), name='secret_check_once')],
            },
        ),
    ]
