from django.db import migrations, models

from emailgistics.common.migrating import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("webhooks", "0008_engine")]

    operations = [
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('lease_id', None), ('state', 'pending')), fields=['webhook', 'due_at'], name='delivery_due_of_webhook'),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', ['pending', 'held'])), fields=['webhook', 'position'], name='delivery_pulled'),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('is_test', True), ('lease_id', None), ('state', 'pending')), fields=['due_at'], name='delivery_test_due'),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('lease_id', None), ('lease_losses__gte', 2), ('state', 'pending')), fields=['due_at'], name='delivery_alone'),
        ),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(condition=models.Q(("state", "held")), fields=["webhook", "id"], name="delivery_held"),
        ),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("deferred_since__isnull", False), ("state", "pending")),
                fields=["deferred_since"],
                name="delivery_deferred",
            ),
        ),
    ]
