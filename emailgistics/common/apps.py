from django.apps import AppConfig

from emailgistics.common.key_uses import ENCRYPTION, Use, register
from emailgistics.common.sealed import REMEDY, SealedColumn, register_column


class CommonConfig(AppConfig):
    name = "emailgistics.common"
    label = "common"

    def ready(self) -> None:
        from emailgistics.common import checks, derived_keys  # noqa: F401, PLC0415 - they need models; registers E001

        register_column(SealedColumn("common.KeptKey", "sealed", "kept derived keys"))
        register(Use(ENCRYPTION, "derived keys (links, tombstones)", derived_keys.unkept_by_number, REMEDY))
