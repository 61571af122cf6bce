from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0003_bind_to_mailbox'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('previous_secret_until', None), ('sealed_previous_secret', None)), models.Q(('previous_secret_until__isnull', False), ('sealed_previous_secret__isnull', False)), _connector='OR'), name='webhook_previous_secret_has_an_end'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('alias', None), ('bound_mailbox', None)), models.Q(('alias__isnull', False), ('bound_mailbox__isnull', False)), _connector='OR'), name='webhook_of_alias_is_bound_to_its_mailbox'),
        ),
    ]
