from django.apps import AppConfig

from emailgistics.common.sealed import SealedColumn, register_column

SEALED = {
    "sealed_secret": "webhook secrets",
    "sealed_previous_secret": "previous webhook secrets",
    "sealed_headers": "webhook headers",
}


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        from mailboxes.signals import emails_processed  # noqa: PLC0415 - apps are loaded only now
        from webhooks import checks  # noqa: F401, PLC0415 - registers webhooks.E001 to E004
        from webhooks.receivers import on_emails_processed  # noqa: PLC0415

        for column, of in SEALED.items():
            register_column(SealedColumn("webhooks.Webhook", column, of))
        emails_processed.connect(on_emails_processed, dispatch_uid="webhooks.fan_out")
