from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy

from emailgistics.common.key_uses import PEPPERS, Use, register


class ApiKeysConfig(AppConfig):
    name = "apikeys"
    verbose_name = gettext_lazy("API access")

    def ready(self) -> None:
        # loading them registers apikeys.E001, before any view is loaded, and apikeys.E002
        from apikeys import freeze, peppers, permissions  # noqa: F401, PLC0415

        register(Use(PEPPERS, peppers.OF, peppers.keys_by_pepper, peppers.REMEDY))
        pre_migrate.connect(freeze.LOCK.before_migrate, sender=self)
        post_migrate.connect(freeze.LOCK.after_migrate, sender=self)
        connection_created.connect(freeze.LOCK.on_connection)
