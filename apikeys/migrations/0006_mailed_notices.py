from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('apikeys', '0005_issued_keys'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='keynotice',
            options={'verbose_name': 'notice about a key', 'verbose_name_plural': 'notices about keys'},
        ),
        migrations.AddField(
            model_name='keynotice',
            name='claim',
            field=models.UUIDField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='keynotice',
            name='claimed_until',
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name='keynotice',
            name='mailed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='keynotice',
            name='kind',
            field=models.CharField(choices=[('expires_in_30', 'expires within 30 days'), ('expires_in_14', 'expires within 14 days'), ('expires_in_7', 'expires within 7 days'), ('expires_in_1', 'expires within a day'), ('aged_90', 'is 90 days old'), ('unused_60', 'was not used for 60 days'), ('ended', 'has ended by itself')], max_length=20),
        ),
        migrations.AlterField(
            model_name='keynotice',
            name='told_at',
            field=models.DateTimeField(help_text='shown in the console from then on'),
        ),
        migrations.AlterField(
            model_name='keyrefusals',
            name='network',
            field=models.CharField(help_text='/24 of IPv4, /64 of IPv6; elsewhere: further ones; empty: no address', max_length=43),
        ),
    ]
