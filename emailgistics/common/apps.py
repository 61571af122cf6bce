from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate


class CommonConfig(AppConfig):
    name = "emailgistics.common"
    label = "common"

    def ready(self) -> None:
        from emailgistics.common.audit import append_only  # noqa: PLC0415 - loading it registers common.E001

        pre_migrate.connect(append_only.before_migrate, sender=self)
        post_migrate.connect(append_only.after_migrate, sender=self)
        connection_created.connect(append_only.on_connection)
