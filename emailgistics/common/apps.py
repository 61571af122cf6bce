from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from emailgistics.common.key_uses import ENCRYPTION, Use, register
from emailgistics.common.sealed import REMEDY, SealedColumn, register_column


class CommonConfig(AppConfig):
    name = "emailgistics.common"
    label = "common"

    def ready(self) -> None:
        # they need models; loading them registers common.E001 to E003, and W001 to W005
        from emailgistics.common import checks, deploy_checks, derived_keys  # noqa: F401, PLC0415
        from emailgistics.common.audit import append_only  # noqa: PLC0415

        pre_migrate.connect(append_only.before_migrate, sender=self)
        post_migrate.connect(append_only.after_migrate, sender=self)
        connection_created.connect(append_only.on_connection)
        register_column(SealedColumn("common.KeptKey", "sealed", "kept derived keys"))
        register_column(SealedColumn("common.KeptAnswer", "sealed", "kept answers"))
        register(Use(ENCRYPTION, "derived keys (links, tombstones)", derived_keys.unkept_by_number, REMEDY))
