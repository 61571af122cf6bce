import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0004_tally'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('action', models.CharField(help_text='apikey.created, apikey.revoked, …', max_length=40)),
                ('of', models.CharField(help_text='the id or identifier of what it was done to', max_length=80)),
                ('by', models.CharField(help_text="a person's name, the identifier of a key, a command, or system", max_length=80)),
                ('address', models.GenericIPAddressField(help_text='from where', null=True)),
                ('details', models.JSONField(default=dict, help_text='ids and numbers: no address of mail, and no secret')),
                ('person', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'indexes': [models.Index(fields=['of', 'at'], name='audit_of_at')],
            },
        ),
    ]
